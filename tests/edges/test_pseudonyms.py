"""Pseudonyms: which ids they replace, that scores do not change, and what a key must be."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import orjson
import pytest

from detector.assembly import Assembly
from detector.core.decision import Decision
from detector.core.event import Event
from detector.core.verdict import read_verdict
from detector.edges.pseudonyms import NAMING, Pseudonyms, load_pseudonyms
from detector.lab.simulate import Scenario, simulate
from detector.setting_sections import PseudonymsSettings
from detector.settings import ConfigError, Settings
from tests import engines

TIP = {
    "event_id": "e1", "event_time": 1_772_380_802_272, "tipper_id": "t1", "streamer_id": "s1",
    "amount": "1", "currency": "CNY", "tipper_age": 12, "device_id": "d1", "ip": "10.0.0.1",
    "instrument_id": "i1", "room_id": "r1", "message": "作业 t1",
}  # fmt: skip


def write_key(folder: Path, content: bytes, mode: int = 0o600) -> PseudonymsSettings:
    path = folder / "key"
    path.write_bytes(content)
    path.chmod(mode)
    return PseudonymsSettings(key_file=str(path), version=1)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    key = write_key(tmp_path_factory.mktemp("key"), os.urandom(32))
    return engines.settings().model_copy(update={"pseudonyms": key})


def decode(assembly: Assembly, record: dict[str, Any]) -> Event:
    event = assembly.decoder.decode(orjson.dumps(record), engines.RECEIVED_MS)
    assert isinstance(event, Event), event
    return event


def test_every_id_is_replaced_the_same_way_wherever_it_stands_and_the_message_goes(
    settings: Settings,
) -> None:
    assembly = Assembly(settings)
    assert assembly.pseudonyms is not None
    of = assembly.pseudonyms.of
    event = decode(assembly, TIP)
    known = [name for name in NAMING if name in TIP]
    assert len(known) == 6
    assert {name: getattr(event, name) for name in known} == {n: of(TIP[n]) for n in known}
    assert (event.message, event.event_id) == (None, "e1")
    assert event.marks == decode(Assembly(engines.settings()), TIP).marks is not None
    payout = {**TIP, "type": "payout", "account_id": "t1"}
    assert decode(assembly, payout).account_id == event.tipper_id
    refund = {**TIP, "type": "refund", "claimant_id": "t1"}
    assert decode(assembly, refund).claimant_id == event.tipper_id


def test_an_event_id_that_was_made_of_other_fields_is_replaced_too(settings: Settings) -> None:
    record = {name: value for name, value in TIP.items() if name != "event_id"}
    record["type"] = "recharge"
    guessable = decode(Assembly(engines.settings()), record).event_id
    made = decode(Assembly(settings), record).event_id
    assert made.startswith("p1_")
    assert decode(Assembly(settings), record).event_id == made != guessable
    bilibili = Assembly(settings, mapping="bilibili")
    assert bilibili.mapping is not None
    assert bilibili.mapping.makes_event_ids
    twitch = Assembly(settings, mapping="twitch").mapping
    assert twitch is not None
    assert not twitch.makes_event_ids


def test_flags_are_those_without_pseudonyms_but_for_ids_and_verdicts_find_them(
    settings: Settings,
) -> None:
    hidden, plain = Assembly(settings), Assembly(engines.settings())
    kinds = {"minor": 10, "binge": 5, "gambling": 5, "ring": 5, "refund_abuse": 5}
    scenario = Scenario(seed=7, events=3_000, days=14, cases_per_10k=kinds)
    stream = [orjson.dumps(each.event) for each in simulate(scenario)]
    ours, theirs = hidden.make_engine(), plain.make_engine()
    assert hidden.pseudonyms is not None
    found = set()
    for line in stream:
        pair = []
        for assembly, engine in ((hidden, ours), (plain, theirs)):
            event = assembly.decoder.decode(line, engines.RECEIVED_MS)
            assert isinstance(event, Event)
            decision = engine.process(event)
            pair.append(decision.flags if isinstance(decision, Decision) else [])
        for mine, its in zip(*pair, strict=True):
            assert mine.subject_id == hidden.pseudonyms.of(its.subject_id)
            assert mine.record["flag_id"] != its.record["flag_id"]
            assert mine.record["case_id"] != its.record["case_id"]
            assert comparable(mine.record) == comparable(its.record)
            found.add(mine.kind)
    assert {"minor", "gambling"} <= found
    last = next(line for line in reversed(stream) if b'"tip"' in line or b"gift" in line)
    tip = {**TIP, "event_id": "last", "event_time": orjson.loads(last)["event_time"]}
    flagged = ours.process(decode(hidden, tip))
    assert isinstance(flagged, Decision)
    verdict = {"flag_id": flagged.flags[0].record["flag_id"], "verdict": "confirmed",
               "kind": "minor", "reviewer": "r", "decided_at": tip["event_time"]}  # fmt: skip
    assert ours.learn(read_verdict(verdict)) not in ("unknown", "duplicate")


def comparable(record: dict[str, Any]) -> dict[str, Any]:
    """A flag but for what follows from ids: cells are places by a hash of them."""
    others = ("flag_id", "case_id", "subject", "features")
    kept = {name: value for name, value in record.items() if name not in others}
    features = record["features"].items()
    return kept | {name: value for name, value in features if not name.startswith("cell_")}


@pytest.mark.parametrize(
    ("content", "mode", "message"),
    [
        (os.urandom(31), 0o600, "found 31 bytes, expected 32 to 4096 random bytes"),
        (os.urandom(4_097), 0o600, "found more, expected 32 to 4096 random bytes"),
        (b"secret-secret-secret-secret-secret", 0o600, "different bytes, expected random ones"),
        (os.urandom(32), 0o644, "its mode is 0644: expected 0600"),
        (os.urandom(32), 0o660, "its mode is 0660: expected 0600"),
    ],
    ids=["short", "long", "words", "others read", "group writes"],
)
def test_a_key_that_is_none_or_open_to_others_is_refused_and_not_shown(
    tmp_path: Path, content: bytes, mode: int, message: str
) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        load_pseudonyms(write_key(tmp_path, content, mode))
    assert "key_file" in str(caught.value)
    assert "secret-s" not in str(caught.value)


def test_a_key_that_is_not_there_is_an_error_and_none_is_none(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        load_pseudonyms(PseudonymsSettings(key_file=str(tmp_path / "no"), version=1))
    assert load_pseudonyms(PseudonymsSettings(key_file="", version=1)) is None


def test_another_key_gives_other_pseudonyms_and_another_fingerprint() -> None:
    one, two = Pseudonyms(bytes(32), 1), Pseudonyms(bytes(31) + b"\1", 1)
    assert one.of("t1") != two.of("t1")
    assert one.fingerprint != two.fingerprint
    assert one.of("") != one.of("\0")
    assert len(one.of("長" * 300)) == 25
