"""What of the events around a case is shown to whoever looks at it."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import orjson

from detector.assembly import Assembly
from detector.console.evidence import CaseSpan, Frame, make_evidence
from detector.console.tips import Found
from detector.core.event import Event
from detector.settings import load_settings
from tests.conftest import ROOT

NOW_MS = 1_772_380_802_272
ASSEMBLY = Assembly(load_settings(None, ROOT / "config" / "detector.toml", {}))
FRAME = Frame(ASSEMBLY.currencies, ZoneInfo("Asia/Shanghai"), ASSEMBLY.settings.school.times())


def events(*records: dict[str, object]) -> list[Event]:
    found = []
    for number, record in enumerate(records):
        whole = {"event_id": f"e{number}", "event_time": NOW_MS + number, "currency": "CNY",
                 "streamer_id": "s1", **record}  # fmt: skip
        event = ASSEMBLY.decoder.decode(orjson.dumps(whole), NOW_MS)
        assert isinstance(event, Event), event
        found.append(event)
    return found


def tip(tipper: str, amount: int = 10) -> dict[str, object]:
    return {"type": "tip", "tipper_id": tipper, "amount": str(amount)}


def payout(account: str, amount: int = 500) -> dict[str, object]:
    return {"type": "payout", "account_id": account, "amount": str(amount)}


def span(subject: tuple[str, str]) -> CaseSpan:
    return CaseSpan(subject, NOW_MS, NOW_MS, frozenset())


def test_what_streamers_pay_to_others_is_no_part_of_a_tippers_case() -> None:
    room = {"type": "room", "event": "live_start"}
    found = Found(events(room, tip("u1"), payout("u1"), payout("a9")))
    seen = make_evidence(found, span(("tipper", "u1")), FRAME)
    assert [(each.type, each.who) for each in seen.events] == [
        ("room", "s1"), ("tip", "s1"), ("payout", "u1"),
    ]  # fmt: skip
    assert [(edge.source[1], edge.target[1]) for edge in seen.edges] == [("s1", "u1"), ("u1", "s1")]
    seen = make_evidence(found, span(("streamer", "s1")), FRAME)
    assert [each.who for each in seen.events if each.type == "payout"] == ["u1", "a9"]
