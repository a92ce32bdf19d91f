"""Labels: what is known about the events of a stream."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from detector.assembly import Assembly
from detector.core.decode import Skipped
from detector.core.event import Event, Rejected
from detector.core.fusion import flag_id
from detector.lab.labels import MOST_TRAPS, Label, LabelError, Labels, read_labels
from detector.lab.survey import StreamError, survey

START_MS = 1_772_380_800_000
DECODER = Assembly.load(None).decoder


def decode(line: bytes) -> Event | Rejected | Skipped:
    return DECODER.decode(line, START_MS + 86_400_000)


def tip(event_id: str, tipper: str = "t1", minute: int = 0, **fields: Any) -> bytes:
    return orjson.dumps(
        {
            "event_id": event_id, "event_time": START_MS + minute * 60_000, "tipper_id": tipper,
            "streamer_id": "s1", "amount": "5", "currency": "CNY",
        }
        | fields
    )  # fmt: skip


def event(event_id: str, tipper: str = "t1") -> Event:
    decoded = decode(tip(event_id, tipper))
    assert isinstance(decoded, Event)
    return decoded


def labels_of(*records: dict[str, Any]) -> Labels:
    return read_labels(map(orjson.dumps, records))


def verdict(**fields: Any) -> dict[str, Any]:
    return {
        "verdict": "confirmed",
        "kind": "ring",
        "reviewer": "r1",
        "decided_at": START_MS,
    } | fields


def test_a_label_of_a_case_a_trap_and_a_good_event_are_told_apart() -> None:
    subject = {"type": "streamer", "id": "s1"}
    labels = labels_of(
        {"event_id": "e1", "kind": "ring", "case": "r1", "subject": subject, "trap": None},
        {"event_id": "e2", "kind": None, "case": "b1", "subject": subject, "trap": "birthday"},
        {"event_id": "e3", "kind": "genuine"},
        {"event_id": "e4", "kind": None},
    )
    assert labels.of("e1") == (Label("e1", None, "ring", True, "r1", ("streamer", "s1"), None),)
    assert [each.trap for each in labels.of("e2")] == ["birthday"]
    assert [labels.is_good(f"e{number}") for number in range(1, 6)] == [
        False, False, True, True, False,
    ]  # fmt: skip
    assert labels.counts() == {"in_cases": 1, "traps": 1, "known_good": 2, "undecided": 0}


def test_a_verdict_is_a_label_and_one_that_decides_nothing_is_left_out() -> None:
    labels = labels_of(
        verdict(event_id="e1"),
        verdict(event_id="e2", verdict="false_positive"),
        verdict(event_id="e3", verdict="unclear"),
    )
    assert [each.is_case for each in labels.of("e1")] == [True]
    assert [(each.is_case, each.kind) for each in labels.of("e2")] == [(False, "ring")]
    assert labels.of("e3") == ()
    assert labels.undecided == 1


def test_a_verdict_on_a_flag_becomes_a_label_of_the_flags_event() -> None:
    labels = labels_of(
        verdict(flag_id=flag_id("e1", "ring", ("tipper", "t1"))),
        verdict(flag_id=flag_id("e2", "ring", ("streamer", "s1"))),
        verdict(flag_id=flag_id("e3", "ring", ("tipper", "nobody"))),
    )
    for event_id in ("e1", "e2", "e3"):
        labels.meet(event(event_id))
    assert [len(labels.of(each)) for each in ("e1", "e2", "e3")] == [1, 1, 0]
    assert labels.not_met() == (1, 3)


def test_the_same_label_twice_counts_once() -> None:
    labels = labels_of(*[{"event_id": "e1", "kind": "ring"}] * 2)
    assert len(labels.of("e1")) == 1


def test_one_event_may_be_in_cases_of_two_kinds() -> None:
    labels = labels_of({"event_id": "e1", "kind": "ring"}, {"event_id": "e1", "kind": "minor"})
    found = survey([event("e1")], labels)
    assert sorted(case.kind for case in found.answers.cases) == ["minor", "ring"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"nonsense", "line 2: not JSON"),
        (b"[]", "line 2: found no JSON object"),
        (b'{"kind": "ring"}', "line 2: event_id: required, found nothing"),
        (
            b'{"event_id": "secret", "kind": "robbery"}',
            "line 2: kind: expected one of minor, outsized, binge, gambling, ring, "
            'cap, refund_abuse, or null or "genuine" for a good event',
        ),
        (
            b'{"event_id": "secret", "kind": "ring", "subject": {"type": "cat", "id": "secret"}}',
            "line 2: subject: expected a type of tipper or streamer, and an id",
        ),
        (
            b'{"event_id": "secret", "kind": "ring", "verdict": "guilty"}',
            "line 2: verdict: expected confirmed, false_positive or unclear",
        ),
    ],
)
def test_a_wrong_label_is_refused_with_its_line_and_without_its_id(
    line: bytes, message: str
) -> None:
    with pytest.raises(LabelError) as refused:
        read_labels([b'{"event_id": "e1", "kind": "ring"}', line])
    assert str(refused.value) == message


def test_no_labels_at_all_and_too_many_traps_are_refused() -> None:
    with pytest.raises(LabelError, match=r"found no label"):
        labels_of()
    with pytest.raises(LabelError, match=r"line 1001: trap: found more than 1,000 different ones"):
        labels_of(
            *({"event_id": "e1", "kind": None, "trap": f"{n}"} for n in range(MOST_TRAPS + 1))
        )


def test_labels_for_no_event_are_refused_with_their_number_and_the_first_ones_line() -> None:
    labels = labels_of(
        {"event_id": "e1", "kind": "ring"}, {"event_id": "secret", "kind": "ring"},
        {"event_id": "secret2", "kind": None},
    )  # fmt: skip
    with pytest.raises(LabelError) as refused:
        survey([event("e1")], labels)
    assert str(refused.value) == (
        "labels without an event: 2, the first on line 2; 0 lines of the events could not be read"
    )


def test_labels_that_may_be_about_unreadable_lines_are_counted() -> None:
    labels = labels_of({"event_id": "e1", "kind": "ring"}, {"event_id": "e2", "kind": "ring"})
    lines = [tip("e1"), tip("e2", amount="0")]
    found = survey(map(decode, lines), labels)
    assert (found.unread_labels, dict(found.not_read)) == (1, {"amount_zero": 1})
    assert len(found.answers.cases) == 1


def test_a_stream_without_one_event_is_refused_and_says_why_lines_are_none() -> None:
    labels = labels_of({"event_id": "e1", "kind": "ring"})
    with pytest.raises(StreamError) as refused:
        survey(map(decode, (b"x", b"{}")), labels)
    assert str(refused.value) == "found no event on 2 lines: missing_field 1, not_json 1"


def test_events_that_labels_do_not_group_are_one_case_for_each_kind_and_tipper() -> None:
    labels = labels_of(*({"event_id": f"e{n}", "kind": "ring"} for n in range(4)))
    events = [event("e0", "t1"), event("e1", "t2"), event("e2", "t1"), event("e3", "t1")]
    cases = survey(events, labels).answers.cases
    assert sorted(len(case.event_ids) for case in cases) == [1, 3]


def test_an_event_that_comes_twice_counts_once_in_its_case() -> None:
    labels = labels_of({"event_id": "e1", "kind": "ring"})
    found = survey([event("e1"), event("e1")], labels)
    assert [len(case.tips_ms) for case in found.answers.cases] == [1]


def test_known_good_events_cost_little_memory() -> None:
    def many() -> Iterator[tuple[int, Label]]:
        for number in range(200_000):
            yield number, Label(f"event-{number}", None, None, False, None, None, None)

    tracemalloc.start()
    try:
        labels = Labels(many())
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert labels.is_good("event-199999")
    assert held / 200_000 < 32
