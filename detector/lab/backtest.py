"""A recorded, labelled stream scored again: what one configuration finds in it, and two apart.

Each `Trial` is a configuration with an engine of its own; it scores line by line and counts. What
is held grows with cases and with distinct scores (at most a million a kind), never with events.

Knows events, labels and flags. Does not know what figures a report shows, and opens no files.
"""

from __future__ import annotations

import heapq
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from time import perf_counter_ns
from typing import Any, NamedTuple

from detector.core.decision import SCORED_KINDS, Decision
from detector.core.decode import Skipped
from detector.core.engine import Engine
from detector.core.event import Event, Rejected
from detector.core.fusion import Flag, Thresholds
from detector.core.reasons import KINDS, SEVERITIES
from detector.core.verdict import Verdict
from detector.lab.labels import Label, Labels
from detector.lab.measures import ANY_KIND, Alarm, CaseKey, Found, is_at_least
from detector.lab.survey import Survey, case_of

ANY = "any"
"""In place of a kind: whichever."""

TRUE, UNJUDGED = "true", "unjudged"
KNOWN_GOOD, OTHER_CASE, ORDINARY = "known_good", "other_case", "ordinary"
"""What a flag hit: a case of its kind, an event known to be good, a case of another kind, an event
that no label is about; or `trap:` and the trap's name. All but the first are false. A kind that
only rules find is a matter of fact: its flags are judged only where labels speak of that kind."""


Decode = Callable[[bytes], Event | Rejected | Skipped]
"""Makes a line an event, or says why it is none."""


class Judged(NamedTuple):
    """A flag, and what it hit.

    Attributes:
        line: of the event that led to it.
        record: the Flag.
        hit: see `TRUE`.
    """

    line: int
    record: dict[str, Any]
    hit: str


def is_false(hit: str) -> bool:
    """Whether a flag that hit this should not have been raised."""
    return hit not in (TRUE, UNJUDGED)


class Top:
    """The gravest few of any number of flags; of equals, the first.

    >>> top = Top(1)
    >>> for line, severity in enumerate(("low", "high", "high")):
    ...     top.add(Judged(line, {"severity": severity, "score": 0.9}, "ordinary"))
    >>> [flag.line for flag in top.best()]
    [1]
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._heap: list[tuple[tuple[int, float], int, Judged]] = []
        self._added = 0

    def add(self, flag: Judged) -> None:
        """Offers one."""
        rank = SEVERITIES.index(flag.record["severity"]), flag.record["score"]
        self._added += 1
        heapq.heappush(self._heap, (rank, -self._added, flag))
        if len(self._heap) > self._most:
            heapq.heappop(self._heap)

    def best(self) -> list[Judged]:
        """Those kept, gravest first."""
        return [flag for _, _, flag in sorted(self._heap, reverse=True)]


class Feed:
    """Gives verdicts to an engine as its event clock passes the time they were made.

    Args:
        verdicts: by that time.
        learn: the engine's, takes one.
    """

    def __init__(self, verdicts: Iterable[Verdict], learn: Callable[[Verdict], object]) -> None:
        self._upcoming = deque(verdicts)
        self._learn = learn

    def pass_on(self, now_ms: int) -> None:
        """Those that were made up to a time, epoch ms."""
        while self._upcoming and self._upcoming[0].decided_ms <= now_ms:
            self._learn(self._upcoming.popleft())


class Trial:
    """One configuration on the stream.

    Args:
        name: what a report calls it.
        decode, engine: what it scores with; the engine is fresh.
        thresholds: kind → its thresholds, for the kinds that have a score.
        labels: what is known about the events.
        survey: where the cases lie.
        examples: false flags kept as examples.
        verdicts: given to the engine in time; None where it is to learn from none.

    Attributes:
        events, tips: scored so far; repeated ones are not.
        not_scored: why other lines were not → how many.
        elapsed_ns: time spent decoding and scoring.
        scored: kind, or `any` → score → events that have it, but for a score of 0.
        positive: the same, 0 included, of events labelled with the kind.
        hits: kind → labelled events whose score, or a flag, is medium or higher.
        best: case → the highest score its kind has on an event of it.
        flags: kind, severity, what was hit → flags.
        found: least severity (`low`, `medium`, `high`) → case → how it was found.
        trap_hits: trap → its instances with a false flag of medium or higher.
        false: the gravest false flags.
    """

    def __init__(
        self, name: str, decode: Decode, engine: Engine, thresholds: dict[str, Thresholds],
        labels: Labels, survey: Survey, examples: int = 20, verdicts: Feed | None = None,
    ) -> None:  # fmt: skip
        self.name = name
        self.thresholds = thresholds
        self._decode = decode
        self._engine = engine
        self._labels = labels
        self._answers = survey.answers
        self._verdicts = verdicts
        self._judged_kinds = labels.kinds.union(SCORED_KINDS)
        self._line = 0
        self.events = self.tips = self.elapsed_ns = 0
        self.not_scored: Counter[str] = Counter()
        self.scored: dict[str, Counter[float]] = {k: Counter() for k in (*SCORED_KINDS, ANY)}
        self.positive: dict[str, Counter[float]] = {k: Counter() for k in (*KINDS, ANY)}
        self.hits: Counter[str] = Counter()
        self.best: dict[CaseKey, float] = {}
        self.flags: Counter[tuple[str, str, str]] = Counter()
        self.found: dict[str, dict[CaseKey, Found]] = {least: {} for least in SEVERITIES}
        self.trap_hits: dict[str, set[str]] = {}
        self.false = Top(examples)

    def take(self, line: bytes) -> list[Judged]:
        """Scores the next line; the flags it led to."""
        self._line += 1
        began_ns = perf_counter_ns()
        outcome: Any = self._decode(line)
        if isinstance(outcome, Event):
            if self._verdicts is not None:
                self._verdicts.pass_on(self._engine.watermark_ms)
            outcome = self._engine.process(outcome)
        self.elapsed_ns += perf_counter_ns() - began_ns
        if not isinstance(outcome, Decision):
            self.not_scored[outcome.reason] += 1
            return []
        event = outcome.event
        self.events += 1
        self.tips += event.type == "tip"
        its_labels = self._labels.of(event.event_id)
        judged = [self._judge(flag, its_labels) for flag in outcome.flags]
        scores = outcome.to_record()["scores"]
        for kind, score in scores.items():
            if score:
                self.scored[kind][score] += 1
        if its_labels:
            self._enter(event, its_labels, scores, outcome.flags)
        return judged

    def _judge(self, flag: Flag, its_labels: Sequence[Label]) -> Judged:
        alarm = Alarm.of_flag(flag.record)
        judged = Judged(self._line, flag.record, self._hit_by(alarm, its_labels))
        self.flags[flag.kind, flag.severity, judged.hit] += 1
        if judged.hit == TRUE:
            for least, found in self.found.items():
                for key, how in self._answers.found([alarm], least).items():
                    found.setdefault(key, how)
        elif is_false(judged.hit):
            self.false.add(judged)
        if is_false(judged.hit) and is_at_least(alarm, "medium"):
            for label in its_labels:
                if label.trap is not None:
                    instance = label.case or alarm.event_id
                    self.trap_hits.setdefault(label.trap, set()).add(instance)
        return judged

    def _hit_by(self, alarm: Alarm, its_labels: Sequence[Label]) -> str:
        if self._answers.about(alarm):
            return TRUE
        if alarm.kind not in self._judged_kinds:
            return UNJUDGED
        for label in its_labels:
            if label.trap is not None:
                return f"trap:{label.trap}"
        if self._answers.about(alarm._replace(kind=ANY_KIND)):
            return OTHER_CASE
        is_good = self._labels.is_good(alarm.event_id) or any(
            not label.is_case and label.kind in (None, alarm.kind) for label in its_labels
        )
        return KNOWN_GOOD if is_good else ORDINARY

    def _enter(
        self, event: Event, its_labels: Sequence[Label], scores: dict[str, float],
        flags: Sequence[Flag],
    ) -> None:  # fmt: skip
        """Counts an event of a case by its scores."""
        kinds = {str(label.kind) for label in its_labels if label.is_case}
        flagged = {flag.kind for flag in flags if flag.severity != "low"}
        for kind in kinds:
            threshold = self.thresholds.get(kind)
            is_reached = threshold is not None and scores.get(kind, 0.0) >= threshold.medium
            self.hits[kind] += kind in flagged or is_reached
            self.positive[kind][scores.get(kind, 0.0)] += 1
        if kinds:
            self.hits[ANY] += bool(flagged) or any(
                scores.get(kind, 0.0) >= each.medium for kind, each in self.thresholds.items()
            )
            self.positive[ANY][scores[ANY]] += 1
        for label in its_labels:
            if label.is_case:
                key = str(label.kind), case_of(label, event)[0]
                self.best[key] = max(self.best.get(key, 0.0), scores.get(key[0], 0.0))


class Difference:
    """Where two configurations part, flag by flag.

    Args:
        examples: flags of each sort kept as examples.

    Attributes:
        same: flags that both raise with the same severity.
        changed: kind, severity in the first, in the second → flags that both raise.
        only: for the first and for the second: kind, severity, hit → flags that it alone raises.
        changed_examples: pairs, the first's flag and the second's.
        only_examples: for the first and for the second.
    """

    def __init__(self, examples: int = 20) -> None:
        self.same = 0
        self.changed: Counter[tuple[str, str, str]] = Counter()
        self.only: tuple[Counter[tuple[str, str, str]], ...] = (Counter(), Counter())
        self.changed_examples: list[tuple[Judged, Judged]] = []
        self.only_examples = (Top(examples), Top(examples))
        self._examples = examples

    def add(self, first: Sequence[Judged], second: Sequence[Judged]) -> None:
        """What both made of one line."""
        sides = [{flag.record["flag_id"]: flag for flag in flags} for flags in (first, second)]
        for own, other, only, examples in (
            (sides[0], sides[1], self.only[0], self.only_examples[0]),
            (sides[1], sides[0], self.only[1], self.only_examples[1]),
        ):
            for flag_id, flag in own.items():
                if flag_id in other:
                    continue
                only[flag.record["kind"], flag.record["severity"], flag.hit] += 1
                examples.add(flag)
        for flag_id, flag in sides[0].items():
            if flag_id not in sides[1]:
                continue
            pair = flag, sides[1][flag_id]
            before, after = (each.record["severity"] for each in pair)
            if before == after:
                self.same += 1
                continue
            self.changed[pair[0].record["kind"], before, after] += 1
            if len(self.changed_examples) < self._examples:
                self.changed_examples.append(pair)


def run(lines: Iterable[bytes], trials: Sequence[Trial], difference: Difference) -> None:
    """Scores the whole stream with one or two trials.

    Args:
        lines: of the stream.
        trials: the configuration in question, and the one it is held against, if any.
        difference: filled where there are two.
    """
    for line in lines:
        judged = [trial.take(line) for trial in trials]
        if len(judged) == 2 and (judged[0] or judged[1]):
            difference.add(judged[0], judged[1])
