"""Pages of made-up records: what is escaped, what is told in which language, how long it takes."""

from __future__ import annotations

import re
import time
from dataclasses import fields, replace
from html.parser import HTMLParser
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from detector.console.charts import near
from detector.console.model import (
    ACTS,
    CHANNELS,
    STATE_FILTERS,
    STATES,
    AccountView,
    CaseView,
    Concentration,
    Decision,
    EvidenceView,
    ExportView,
    FlagView,
    Language,
    MoneyEdge,
    QueueFilter,
    QueuePage,
    QueueRow,
    ReasonView,
    Round,
    Strip,
    TimelineEvent,
    User,
    View,
)
from detector.console.pages import Pages
from detector.console.words import WORDS
from detector.core.reasons import ACTIONS, FAMILIES, KINDS, SEVERITIES
from tests.conftest import ROOT

PAGES = Pages()
NOW_MS = 1_772_380_802_272
EVIL = "<script>window.stolen = 1</script>\"'><img src=x onerror=stolen()>"
ROW = QueueRow(
    case_id="c_1", kind="ring", severity="high", score=0.9, action="refer", state="open",
    subject_type="streamer", subject_id=EVIL, sentence={"en": "13 are linked", "zh": "关联"},
    observed=11, usual=None, limit=2, unit="tips", opened_ms=NOW_MS - 7_200_000,
    last_ms=NOW_MS - 60_000, arrived_ms=NOW_MS - 3_600_000, changed_ms=NOW_MS - 60_000, flags=2,
    version=3, is_new=True, owner=EVIL, flag_id="f_1",
)  # fmt: skip
CASE = CaseView(
    row=ROW,
    reasons=(
        ReasonView("shared_devices", "device", {"en": "13 linked", "zh": "13名"}, 11, None, 2,
                   "tips", 13, "ring-1", EVIL, "operator"),
        ReasonView("benign_broad", "tempo", {"en": "a broad audience", "zh": "受众广泛"}, 92, 40,
                   None, "times", 0, is_benign=True),
    ),
    features={EVIL: 1.0},
    policy={"pack": "cn", "version": "1", "hash": "0"},
    detector="0",
    flags=(FlagView("f_1", EVIL, NOW_MS, NOW_MS, "high", 0.9, True),),
    decisions=(Decision("unclear", NOW_MS, EVIL, note=EVIL, is_undone=True),
               Decision("hand_over", NOW_MS, "lin", to=EVIL)),
    earlier=(replace(ROW, case_id=EVIL),),
    account=AccountView(73, "C", True, "raised", NOW_MS, NOW_MS,
                        ((NOW_MS, 12.0, "ring", {"en": "12 points", "zh": "12分"}),)),
    raw=EVIL,
    undo_until_ms=NOW_MS + 30_000,
    neighbours=("c_0", "c_2"),
    can_decide=True,
)  # fmt: skip
EVENTS = tuple(
    TimelineEvent(NOW_MS - 3_600_000 + 1_000 * number, type, f"e{number}", 12.5, "CNY", 12.5, EVIL,
                  EVIL, EVIL, EVIL, is_flagged=number == 2)
    for number, type in enumerate(("tip", "recharge", "tip", "payout", "refund", "room"))
)  # fmt: skip
EVIDENCE = EvidenceView(
    status="cut", currency="CNY", cut_by="records", read_records=1_000,
    since_ms=NOW_MS - 86_400_000, until_ms=NOW_MS, events=EVENTS,
    strips=tuple(
        Strip(kind, NOW_MS - 7_200_000, NOW_MS)
        for kind in ("lessons", "night", "child_time", "pk", "ceremony", "lottery", "live")
    ),
    amounts=((NOW_MS - 7_200_000, 1.0), (NOW_MS - 3_598_000, 12.5)), quantiles=(1.0, 2.0, 3.0),
    hours=((1,) * 24, (0,) * 24), devices=((EVIL, NOW_MS, 3),),
    instruments=((EVIL, "other", NOW_MS, 3),),
    edges=(MoneyEdge(("tipper", EVIL), ("streamer", EVIL), 100.0, 3),
           MoneyEdge(("streamer", EVIL), ("tipper", EVIL), 33.0, 1),
           MoneyEdge(("streamer", EVIL), ("account", EVIL), 50.0, 1)),
    rounds=(Round(NOW_MS - 7_200_000, NOW_MS, 0.0, 3, 40.0, 2),),
    concentration=Concentration(3, 100.0, (0.5, 0.9, 1.0)), raw_event=EVIL,
)  # fmt: skip
EXPORT = ExportView("refund", "c_1", "en", False, {
    "finding": EVIL, "notice": EVIL, "made_at": "2026-03-01T20:00:00+08:00", "zone": "UTC",
    "case": {"case_id": EVIL, "kind": "ring", "severity": "high", "state": "open",
             "opened_at": "2026-03-01T20:00:00+08:00", "last_at": "2026-03-01T20:00:00+08:00"},
    "subject": {"type": "tipper", "id": EVIL}, "policy": {"pack": EVIL, "version": "1"},
    "detector": "0", "evidence": {"status": "unreadable", "from": None, "base_currency": "CNY"},
    "reasons": [{"sentence": EVIL, "family": "device", "speaks": "against", "rule": EVIL,
                 "source": EVIL, "confidence": "S"}],
    "decisions": [{"act": "undo", "is_undone": False, "by": EVIL,
                   "at": "2026-03-01T20:00:00+08:00", "note": EVIL}],
    "orders": [{"order": EVIL, "at": "2026-03-01T20:00:00+08:00", "type": "tip", "amount": 1.5,
                "currency": "CNY", "other_side": EVIL, "detail": EVIL, "is_flagged": True,
                "message": EVIL}],
    "room": [{"at": "2026-03-01T20:00:00+08:00", "event": "pk_start", "room_id": EVIL}],
    "money": [{"from": {"type": "tipper", "id": EVIL}, "to": {"type": "account", "id": EVIL},
               "value": 1.0, "count": 1}],
    "devices": [{"id": EVIL, "first_seen": "2026-03-01T20:00:00+08:00", "events": 1}],
    "instruments": [{"id": EVIL, "holder": "", "first_seen": "2026-03-01T20:00:00", "events": 1}],
    "to_add": [EVIL],
})  # fmt: skip


def view(language: Language = "en", **changes: Any) -> View:
    return View(User(EVIL, "reviewer"), language, "Asia/Shanghai", "token", f"/?{EVIL}", NOW_MS,
                **changes)  # fmt: skip


def queue_page(rows: tuple[QueueRow, ...] = (ROW,), **asked: Any) -> QueuePage:
    return QueuePage(
        QueueFilter(**asked), rows, {("ring", "high"): 2, ("cap", "low"): 1}, total=250, pages=3,
        new=1, revision="r1", lag_records=None,
    )  # fmt: skip


def every_page(language: Language) -> dict[str, str]:
    seen_by = view(language)
    asked = {"kind": "ring", "streamer": EVIL, "tipper": EVIL, "since_ms": NOW_MS, "page": 2}
    decided = replace(CASE, row=replace(ROW, state="confirmed"))
    snoozed = replace(CASE, row=replace(ROW, state="snoozed", until_ms=NOW_MS))
    return {
        "queue": PAGES.queue(queue_page(**asked), seen_by),
        "list": PAGES.queue(queue_page(()), replace(seen_by, is_fragment=True)),
        "case": PAGES.case(CASE, EVIDENCE, seen_by),
        "decided": PAGES.case(decided, None, seen_by, conflict=True),
        "snoozed": PAGES.case(snoozed, EvidenceView("unreadable", "CNY", problem=EVIL), seen_by),
        "trial": PAGES.case(replace(CASE, can_decide=False, account=None), None, seen_by),
        "evidence": PAGES.evidence(CASE, EVIDENCE, seen_by),
        "export": PAGES.export(replace(EXPORT, language=language), seen_by),
        "problem": PAGES.problem("bad_request", EVIL, seen_by),
        "login": PAGES.problem("unauthorised", "", None),
    }


class Parsed(HTMLParser):
    """What a browser would find in a page: (tag, attributes), and all text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize("language", ["en", "zh"])
def test_nothing_in_a_page_runs_or_comes_from_elsewhere_whoever_wrote_it(
    language: Language,
) -> None:
    for name, html in every_page(language).items():
        page = Parsed(html)
        assert EVIL in page.text or name in ("list", "login"), name
        for tag, attributes in page.tags:
            assert tag not in ("img", "iframe", "style"), name
            assert tag != "script" or attributes["src"] == "/static/console.js", name
            assert not [key for key in attributes if key.startswith("on") or key == "style"], name
            for key in ("href", "src", "action", "formaction"):
                assert (attributes.get(key) or "/").startswith(("/", "#")), (name, attributes)
                assert not (attributes.get(key) or "").startswith("//"), (name, attributes)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_no_field_stands_without_a_label_and_no_id_twice(language: Language) -> None:
    for name, html in every_page(language).items():
        page = Parsed(html)
        ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
        assert len(ids) == len(set(ids)), (name, sorted(ids))
        unlabelled = re.sub(r"<label.*?</label>", "", html, flags=re.S)
        fields = [attributes for tag, attributes in Parsed(unlabelled).tags
                  if tag in ("input", "select", "textarea")]  # fmt: skip
        assert all(each.get("type") == "hidden" for each in fields), (name, fields)
        for tag, attributes in page.tags:
            if tag == "svg" and attributes.get("role") == "img":
                assert set(str(attributes["aria-labelledby"]).split()) <= set(ids)


def test_every_value_of_the_topics_has_a_name_in_both_languages() -> None:
    named = {
        "kind": KINDS, "severity": SEVERITIES, "family": FAMILIES, "action": ACTIONS,
        "state": STATES, "filter": STATE_FILTERS, "act": ACTS, "channel": CHANNELS,
    }  # fmt: skip
    missing = [f"{group}.{value}" for group, values in named.items() for value in values
               if f"{group}.{value}" not in WORDS]  # fmt: skip
    assert missing == []
    for key, (english, chinese) in WORDS.items():
        assert english and chinese, key
        assert set(re.findall(r"\{\w+\}", english)) == set(re.findall(r"\{\w+\}", chinese)), key


def test_no_word_is_kept_that_no_page_says() -> None:
    folder = ROOT / "detector" / "console"
    files = [*folder.glob("templates/*"), *folder.glob("*.py")]
    said = "".join(each.read_text() for each in files if each.name != "words.py")
    unsaid = [key for key in WORDS if "." not in key and f'"{key}"' not in said
              and f"'{key}'" not in said]  # fmt: skip
    assert unsaid == []


def test_a_chinese_page_says_everything_in_chinese() -> None:
    text = Parsed(PAGES.queue(queue_page(), view("zh"))).text
    assert "团伙" in text
    assert "限额" in text
    english = [words for words, _ in WORDS.values() if len(words) > 6 and words in text]
    assert english == ["English"] or english == []


def test_links_of_the_queue_keep_the_filter_and_begin_at_its_first_page() -> None:
    html = PAGES.queue(queue_page(kind="ring", tipper="a&b", since_ms=NOW_MS, page=2), view())
    found = [parse_qs(urlsplit(str(attributes.get("href"))).query)
             for tag, attributes in Parsed(html).tags if tag == "a"]  # fmt: skip
    kept = {"kind": ["ring"], "tipper": ["a&b"], "since": ["2026-03-02T00:00"]}
    for link in ({"kind": ["cap"]}, {"page": ["3"]}, {}, {"state": ["closed"]}):
        assert {**kept, **link} in found


def test_who_may_not_decide_gets_no_buttons() -> None:
    html = PAGES.case(replace(CASE, can_decide=False), None, view())
    assert not [attributes for tag, attributes in Parsed(html).tags if tag == "textarea"]
    assert 'value="confirmed"' not in html
    assert 'value="confirmed"' in PAGES.case(CASE, None, view())


def test_a_close_up_is_drawn_only_where_the_whole_hides_something() -> None:
    since_ms, until_ms = near(EVIDENCE) or (0, 0)
    flagged = next(each.at_ms for each in EVENTS if each.is_flagged)
    assert (since_ms, until_ms) == (flagged - 900_000, flagged + 900_000)
    assert near(replace(EVIDENCE, since_ms=NOW_MS - 3_600_000)) is None
    assert near(replace(EVIDENCE, events=())) is None


def test_many_amounts_are_thinned_and_no_flagged_one_is_lost() -> None:
    amounts = tuple((NOW_MS + number, 1.0 + number % 7) for number in range(2_000))
    flagged = replace(EVENTS[2], at_ms=NOW_MS + 1_003)
    html = PAGES.evidence(CASE, replace(EVIDENCE, amounts=amounts, events=(flagged,)), view())
    points = [attributes for tag, attributes in Parsed(html).tags
              if tag == "circle" and "point" in (attributes.get("class") or "")]  # fmt: skip
    assert 500 <= len(points) <= 700
    assert sum("flagged" in (each["class"] or "") for each in points) == 1


def test_a_hundred_rows_take_less_than_thirty_milliseconds_of_the_processor() -> None:
    page = queue_page(tuple(replace(ROW, case_id=f"c_{number}") for number in range(100)))
    PAGES.queue(page, view())
    spent = []
    for _ in range(5):
        started_s = time.process_time()
        PAGES.queue(page, view())
        spent.append(time.process_time() - started_s)
    assert min(spent) < 0.030, spent


def test_made_up_records_leave_no_field_of_the_evidence_out() -> None:
    empty = EvidenceView("read", "CNY")
    left = [each.name for each in fields(EvidenceView) if each.name != "problem"
            and getattr(EVIDENCE, each.name) == getattr(empty, each.name)]  # fmt: skip
    assert left == ["currency"]
