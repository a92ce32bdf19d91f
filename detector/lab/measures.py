"""What a detector is worth on a labelled stream: cases found, how soon, false alarms, precision.

Knows labels, alarms and how the two are compared; does not know who raised the alarms, and reads no
files. Works by case, not by event: a reviewer opens a case once, however many tips it holds.

A label is `{"event_id", "kind", "case", "subject": {"type", "id"}, "trap"}`; its `kind` is None for
a trap, which is innocent and looks like a case.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, NamedTuple

SEVERITIES = ("low", "medium", "high")
ANY_KIND = ""  # of an alarm by a detector that knows no kinds

Subject = tuple[str, str]
"""`tipper` or `streamer`, and the id."""

CaseKey = tuple[str, str]
"""Kind and name of a case."""


class Alarm(NamedTuple):
    """One flag, as far as it is judged.

    Attributes:
        kind: of case, `ANY_KIND` where the detector knows none.
        severity: one of `SEVERITIES`.
        subject: whom it names.
        event_id, time_ms: the event it was raised on, and that event's time, epoch ms.
    """

    kind: str
    severity: str
    subject: Subject
    event_id: str
    time_ms: int

    @classmethod
    def of_flag(cls, flag: Mapping[str, Any]) -> Alarm:
        """A flag's record.

        >>> Alarm.of_flag({"kind": "ring", "severity": "low", "event_id": "e1", "event_time": 5,
        ...                "subject": {"type": "streamer", "id": "s1"}}).subject
        ('streamer', 's1')
        """
        subject = flag["subject"]["type"], flag["subject"]["id"]
        return cls(flag["kind"], flag["severity"], subject, flag["event_id"], flag["event_time"])


class Seen(NamedTuple):
    """One event of the stream with its label.

    Attributes:
        event_id, time_ms: its id and time, epoch ms.
        is_tip: whether it is a tip.
        label: None for ordinary life.
    """

    event_id: str
    time_ms: int
    is_tip: bool
    label: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class KnownCase:
    """A case that is in the stream.

    Attributes:
        kind, name: as its labels have them.
        subjects: everybody its labels name.
        event_ids: its events.
        first_ms, last_ms: its first and last event, epoch ms.
        tips_ms: times of its tips, in order.
    """

    kind: str
    name: str
    subjects: frozenset[Subject]
    event_ids: frozenset[str]
    first_ms: int
    last_ms: int
    tips_ms: tuple[int, ...]

    @property
    def key(self) -> CaseKey:
        return self.kind, self.name


def known_cases(stream: Iterable[Seen]) -> list[KnownCase]:
    """The cases of a labelled stream, in order of their first event.

    >>> def label(kind, case): return {"kind": kind, "case": case, "trap": None,
    ...                                "subject": {"type": "tipper", "id": "t1"}}
    >>> cases = known_cases([Seen("e1", 10, True, label("binge", "b1")), Seen("e2", 11, True, None),
    ...                      Seen("e3", 12, False, label("binge", "b1"))])
    >>> [(case.name, case.first_ms, case.last_ms, case.tips_ms) for case in cases]
    [('b1', 10, 12, (10,))]
    """
    gathered: dict[CaseKey, list[Seen]] = {}
    for seen in stream:
        if seen.label is not None and seen.label["kind"] is not None:
            gathered.setdefault((seen.label["kind"], seen.label["case"]), []).append(seen)
    cases = [
        KnownCase(
            kind,
            name,
            frozenset(_subject(seen.label) for seen in events if seen.label is not None),
            frozenset(seen.event_id for seen in events),
            min(seen.time_ms for seen in events),
            max(seen.time_ms for seen in events),
            tuple(sorted(seen.time_ms for seen in events if seen.is_tip)),
        )
        for (kind, name), events in gathered.items()
    ]
    return sorted(cases, key=lambda case: (case.first_ms, case.kind, case.name))


class Found(NamedTuple):
    """How a case was found.

    Attributes:
        alarm: the first one on it.
        tips: how many of the case's own tips had come by then, that one included.
        minutes: from the case's first event to the alarm.
    """

    alarm: Alarm
    tips: int
    minutes: float


class Answers:
    """The known cases, ready to be compared with alarms.

    Args:
        cases: all there are in the stream.

    >>> t1 = ("tipper", "t1")
    >>> case = KnownCase("binge", "b1", frozenset({t1}), frozenset({"e1", "e3"}), 0, 60_000, (0,))
    >>> answers = Answers([case])
    >>> alarms = [Alarm("ring", "high", t1, "e1", 0),                # another kind
    ...           Alarm("binge", "low", t1, "e1", 0),                # too mild
    ...           Alarm("binge", "medium", t1, "e2", 30_000),        # the subject, in time
    ...           Alarm("binge", "medium", t1, "e9", 60_001)]        # the subject, too late
    >>> {key: (found.tips, found.minutes) for key, found in answers.found(alarms).items()}
    {('binge', 'b1'): (1, 0.5)}
    >>> [alarm.event_id for alarm in answers.false(alarms)]
    ['e1', 'e9']
    >>> [alarm.event_id for alarm in answers.false(alarms, is_any_kind_right=True)]
    ['e9']
    """

    def __init__(self, cases: Sequence[KnownCase]) -> None:
        self.cases = cases
        self._by_event: dict[str, list[KnownCase]] = {}
        self._by_subject: dict[Subject, list[KnownCase]] = {}
        for case in cases:
            for event_id in case.event_ids:
                self._by_event.setdefault(event_id, []).append(case)
            for subject in case.subjects:
                self._by_subject.setdefault(subject, []).append(case)

    def about(self, alarm: Alarm, grace_ms: int = 0) -> list[KnownCase]:
        """The cases of the alarm's kind that it hits."""
        hit = self._hit(alarm, grace_ms)
        return [case for case in hit if alarm.kind in (case.kind, ANY_KIND)]

    def _hit(self, alarm: Alarm, grace_ms: int) -> list[KnownCase]:
        """The cases that an alarm hits, whatever their kind.

        It hits a case by an event of it, or by a subject of it between the case's first event and
        its last, or `grace_ms` later.
        """
        hit = list(self._by_event.get(alarm.event_id, ()))
        hit += [
            case
            for case in self._by_subject.get(alarm.subject, ())
            if case.first_ms <= alarm.time_ms <= case.last_ms + grace_ms and case not in hit
        ]
        return hit

    def found(self, alarms: Iterable[Alarm], least: str = "medium") -> dict[CaseKey, Found]:
        """The first alarm on each case, by the case's kind and name.

        Args:
            alarms: in the order raised.
            least: the mildest severity that counts.
        """
        found: dict[CaseKey, Found] = {}
        for alarm in alarms:
            if not is_at_least(alarm, least):
                continue
            for case in self.about(alarm):
                if case.key not in found:
                    tips = bisect_right(case.tips_ms, alarm.time_ms)
                    found[case.key] = Found(alarm, tips, (alarm.time_ms - case.first_ms) / 60_000)
        return found

    def recall(self, found: Mapping[CaseKey, Found]) -> dict[str, tuple[int, int]]:
        """By kind: how many cases were found, of how many.

        >>> Answers([]).recall({})
        {}
        """
        recall: dict[str, tuple[int, int]] = {}
        for case in sorted(self.cases, key=lambda case: case.kind):
            hits, of = recall.get(case.kind, (0, 0))
            recall[case.kind] = hits + (case.key in found), of + 1
        return recall

    def false(
        self,
        alarms: Iterable[Alarm],
        least: str = "medium",
        grace_ms: int = 0,
        is_any_kind_right: bool = False,
    ) -> list[Alarm]:
        """The alarms that hit no case of their kind.

        Args:
            alarms: any, of kinds that are labelled; leave others out.
            least: the mildest severity that counts.
            grace_ms: how long after a case's end an alarm on its subject is still no false one.
            is_any_kind_right: whether one that hits a case of another kind is none: whoever is
                called finds a case.
        """
        about = self._hit if is_any_kind_right else self.about
        return [
            alarm for alarm in alarms if is_at_least(alarm, least) and not about(alarm, grace_ms)
        ]


def is_at_least(alarm: Alarm, least: str) -> bool:
    """Whether an alarm is of that severity or a graver one."""
    return SEVERITIES.index(alarm.severity) >= SEVERITIES.index(least)


def average_precision(scores: Sequence[float], is_positive: Sequence[bool]) -> float | None:
    """The mean of the precision at each positive, from the highest score down, 0 to 1.

    Equal scores are one step, as in scikit-learn's `average_precision_score`. None without a
    positive. Chance gives the share of positives.

    >>> average_precision([0.1, 0.4, 0.35, 0.8], [False, False, True, True])
    0.8333333333333333
    >>> average_precision([0.5, 0.5, 0.5, 0.5], [True, False, False, False])
    0.25
    >>> average_precision([0.5], [False]) is None
    True

    Raises:
        ValueError: the two differ in length.
    """
    ranked = sorted(zip(scores, is_positive, strict=True), key=lambda pair: -pair[0])
    outcomes = ([hit for _, hit in step] for _, step in groupby(ranked, key=lambda pair: pair[0]))
    return average_precision_of_steps((sum(step), len(step)) for step in outcomes)


def average_precision_of_steps(steps: Iterable[tuple[int, int]]) -> float | None:
    """`average_precision` of a stream that was counted by score.

    Args:
        steps: from the highest score down: how many of its events are positive, and how many
            have it.

    >>> average_precision_of_steps([(1, 1), (0, 1), (1, 1), (0, 1)])
    0.8333333333333333
    """
    total, hits, seen = 0.0, 0, 0
    for gained, size in steps:
        hits, seen = hits + gained, seen + size
        total += gained * hits / seen if gained else 0.0
    return total / hits if hits else None


def merged(alarms: Iterable[Alarm], cool_down_ms: int) -> list[Alarm]:
    """One alarm a subject and kind until it has been quiet for a while, as a case is opened once.

    Args:
        alarms: in the order raised.
        cool_down_ms: time without an alarm after which the next one counts again.

    >>> raised = [Alarm("", "medium", ("tipper", "t1"), f"e{at_ms}", at_ms) for at_ms in (0, 9, 25)]
    >>> [alarm.event_id for alarm in merged(raised, 10)]
    ['e0', 'e25']
    """
    latest_ms: dict[tuple[str, Subject], int] = {}
    kept = []
    for alarm in alarms:
        key = alarm.kind, alarm.subject
        before_ms = latest_ms.get(key)
        if before_ms is None or alarm.time_ms - before_ms > cool_down_ms:
            kept.append(alarm)
        latest_ms[key] = alarm.time_ms if before_ms is None else max(before_ms, alarm.time_ms)
    return kept


def within_budget(scored: Sequence[tuple[float, Alarm]], budget: int, cool_down_ms: int) -> float:
    """The lowest threshold whose alarms, merged, are no more than a budget; infinity if none is.

    A lower threshold finds no fewer cases, so this is the best one for the money.

    Args:
        scored: alarms in the order they would be raised, each with its score.
        budget: merged alarms at most.
        cool_down_ms: as in `merged`.

    >>> scored = [(s, Alarm("", "medium", ("tipper", t), t, 0))
    ...           for s, t in ((0.9, "a"), (0.5, "b"), (0.5, "c"), (0.1, "d"))]
    >>> [within_budget(scored, budget, 0) for budget in (0, 1, 2, 3, 4)]
    [inf, 0.9, 0.9, 0.5, 0.1]
    """
    levels = sorted({score for score, _ in scored}, reverse=True)
    low, high = 0, len(levels)  # the first `low` levels fit, more than `high` do not
    while low < high:
        middle = (low + high + 1) // 2
        raised = (alarm for score, alarm in scored if score >= levels[middle - 1])
        if len(merged(raised, cool_down_ms)) <= budget:
            low = middle
        else:
            high = middle - 1
    return levels[low - 1] if low else float("inf")


def mean(values: Iterable[float | None]) -> float | None:
    """The mean of those that are known: a macro average, where each kind counts alike.

    >>> mean([1.0, None, 0.5]), mean([])
    (0.75, None)
    """
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def per_10k(count: int, of: int) -> float:
    """A count as a rate in ten thousand; 0 of nothing.

    >>> per_10k(3, 60_000), per_10k(0, 0)
    (0.5, 0.0)
    """
    return 10_000 * count / of if of else 0.0


def _subject(label: Mapping[str, Any]) -> Subject:
    return label["subject"]["type"], label["subject"]["id"]
