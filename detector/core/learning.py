"""Learning from verdicts: what reviewers decide moves the scores of what comes after.

Two sorts of logistic models, whose weights start at an expert's and are moved by verdicts only:

* `any`, the chance that a reviewer would confirm some kind. Inputs: the detectors' scores, the
  traits of the event, and the risk of each cell it falls in (`risk`), which is how a pattern that
  no detector knows is found. Untaught, it is the noisy-or of the scores, to the last bit.
* a correction for each kind: (log odds of the detector's score, risk of the streamer, device and
  instrument, 1) → score. Untaught and without risk, it is the score itself. A score of 1 is a
  fact and stays 1, one up to 0.05 is not worth asking.

An event is scored, then remembered as a `Lesson`; a verdict finds it by event or flag id, however
late, or brings its features along. A confirmed event is learned beside a few of the `background`,
which nobody reported, with the log odds shifted by how much rarer confirmed events are than that
(case-control sampling; Prentice and Pyke, Biometrika 66, 1979). A false positive stands for
itself. Nothing moves before the first verdict, and nothing that a rule decided teaches.

The models are the partition's own: a function of its events and of the verdicts, in order. Weights
of two partitions that read the same verdicts, with features, differ only by their background.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import exp, log
from operator import mul
from typing import Any, Literal, NamedTuple

import orjson

from detector.core.background import Background, hash_of
from detector.core.cases import identity
from detector.core.cells import ID_CELLS, MEASURES, SHAPE_CELLS, TABLE, Codes, id_cells, traits_of
from detector.core.event import Event
from detector.core.features import Features, Moment
from detector.core.fusion import Flag
from detector.core.generations import Generations
from detector.core.lesson import ID_RISKS, INPUTS, SCORES, Lesson
from detector.core.reasons import KINDS
from detector.core.reviews import Reviews
from detector.core.risk import RiskTable
from detector.core.verdict import Verdict
from detector.core.weights import Budget, Expert, Teacher, Weights

Outcome = Literal["learned", "counted", "unclear", "duplicate", "unknown"]
"""What a verdict did: moved weights; was only counted, since a rule decided the case, or it had
been taught before, or its reviewer has taught enough for a day; said nothing; had been seen
before; is about an event that is not remembered."""

OUTCOMES: tuple[Outcome, ...] = ("learned", "counted", "unclear", "duplicate", "unknown")

_CONFIRMED = {
    "minor": 0.95, "outsized": 0.6, "binge": 0.6, "gambling": 0.8, "ring": 0.8,
    "refund_abuse": 0.7,
}  # fmt: skip
"""Prior chance that a reviewer confirms a finding of score 1, until verdicts say better."""

_CHANCES = tuple(_CONFIRMED.get(kind, 0.0) for kind in KINDS)
_BASE = 0.001  # what `any` takes for the share of confirmed events before it knows
_ASKED_FROM = 0.05
_ONE_IN = 50  # of the events remembered: as many may one feed confirm in a day, however busy it is
_BACKGROUND_A_LESSON, _BACKGROUND_AT_FIRST = 8, 64
_DRAWN = 8192  # by when the first confirmed events have been compared with enough
_COUNT_ALL_UNTIL, _SAMPLED_OF = 4096, 8
_DAY_MS = 86_400_000
# Log odds and risks span several units, measures and scores one: what an event says may be off by
# some log odds, and by no more.
_ALWAYS, _ODDS, _UNTRIED = Expert(0.0, 1.0), Expert(1.0, 0.25), Expert(0.0, 4.0)
_ID_RISK, _SHAPE_RISK, _KIND_RISK = Expert(0.3, 0.5), Expert(0.15, 0.5), Expert(0.25, 0.5)
_ANY, _KIND_WEIGHTS = 0, 3  # where the weights of `any` begin; a correction's are so many
_OF_STREAMERS = frozenset(("gambling", "ring"))  # found by the streamer view
_new = tuple.__new__  # half of what a call of the class costs; once an event
_IP = ID_CELLS.index("ip")
_KIND_NUMBER = {kind: number for number, kind in enumerate(KINDS)}


@dataclass(frozen=True, slots=True)
class LearningConfig:
    """Limits and times of learning; every field is in `config/detector.toml`.

    Attributes:
        event_max_entries, event_idle_ms: events remembered for a late verdict, and how long.
        verdict_max_entries, verdict_idle_ms: verdicts remembered, to recognise them.
        background_max_entries: events sampled to compare with.
        report_horizon_ms: event time after which an event without a report is genuine.
        id_half_life_ms, shape_half_life_ms: event time in which a confirmed case counts half for
            the streamer, device and so on that it names, and for events of its shape.
        budget: what a day of verdicts may change.
    """

    event_max_entries: int
    event_idle_ms: int
    verdict_max_entries: int
    verdict_idle_ms: int
    background_max_entries: int
    report_horizon_ms: int
    id_half_life_ms: int
    shape_half_life_ms: int
    budget: Budget


class Flagged(NamedTuple):
    """What is remembered of a flag.

    Attributes:
        event_id, kind, subject_type, subject_id: as in the flag.
        is_fact: a rule decided it.
        rule: the code of its leading reason.
    """

    event_id: str
    kind: str
    subject_type: str
    subject_id: str
    is_fact: bool
    rule: str

    def save(self) -> bytes:
        """As a JSON list."""
        return orjson.dumps(tuple(self))

    @classmethod
    def load(cls, saved: bytes) -> Flagged:
        """The inverse of `save`.

        Raises:
            ValueError, TypeError: it is something else.
        """
        return cls._make(orjson.loads(saved))


class Learning:
    """The models of one engine, and what they need to learn late.

    Args:
        config: limits and times.

    Attributes:
        events: event id → packed `Lesson`.
        flags: flag id → `Flagged`.
        verdicts: digests of verdicts seen, and of (event, judgement) taught.
        reviews: verdicts counted, scores watched.
    """

    def __init__(self, config: LearningConfig) -> None:
        self.events: Generations[bytes] = Generations(
            config.event_max_entries, config.event_idle_ms
        )
        self.flags: Generations[Flagged] = Generations(
            config.event_max_entries, config.event_idle_ms
        )
        self.verdicts: Generations[bool] = Generations(
            config.verdict_max_entries, config.verdict_idle_ms
        )
        self.reviews = Reviews()
        self._weights = Weights(_experts(), config.budget)
        self._risk_of_ids = RiskTable(TABLE, config.id_half_life_ms)
        self._risk_of_shapes = RiskTable(TABLE, config.shape_half_life_ms)
        self._background = Background(config.background_max_entries, config.report_horizon_ms)
        self._codes = Codes()
        self._seen = self._confirmed = self._lessons = 0
        self._ids: list[int] = []
        self._id_risk = 0.0
        self._raw = [0.0] * len(KINDS)

    def look_at(self, event: Event, now_ms: int) -> None:
        """Takes up the event that is to be scored next; `now_ms` is the watermark, epoch ms."""
        self._ids = id_cells(event, self._codes)
        self._raw = [0.0] * len(KINDS)
        self._id_risk = self._highest_id_risk(now_ms) if self._lessons else 0.0

    def corrected(self, kind: str, score: float) -> float:
        """A detector's score of the event at hand, 0..1, as verdicts have moved it."""
        self._raw[_KIND_NUMBER[kind]] = score
        return self.moved(kind, score) if self._lessons else score

    def moved(self, kind: str, score: float) -> float:
        """As `corrected`, for a score that nothing is to be learned of."""
        if not self._lessons or not _ASKED_FROM < score < 1.0:
            return score
        place, weights = _kind_place(kind), self._weights.values
        odds = (
            weights[place] * log(score / (1.0 - score))
            + weights[place + 1] * self._id_risk
            + weights[place + 2]
        )
        return _probability(odds)

    def judge(
        self, event: Event, moment: Moment, f: Features | None, scores: Mapping[str, float],
        flags: list[Flag], now_ms: int,
    ) -> float:  # fmt: skip
        """The chance, 0..1, that a reviewer would confirm some kind; remembers the event.

        Args:
            event: the one that was looked at.
            moment, f: its local time and its features; None where there are none.
            scores: by kind, corrected.
            flags: those it led to; each gets the lesson among its `features`.
            now_ms: the watermark, epoch ms.
        """
        prior = overall(scores)
        if event.type != "tip" and not scores and not flags:
            return prior
        found, any_kind = prior, prior
        if self._lessons:  # what is learned of a score must not move with its correction
            found = _overall_raw(self._raw)
        lesson = self._make_lesson(event, moment, f, found, self._raw, self._ids)
        if self._lessons:
            any_kind = _probability(sum(map(mul, self._weights.values, lesson.inputs)))
        if flags:
            lesson = lesson._replace(protected=_protected(flags))
        self._remember(event.event_id, lesson, now_ms)
        for flag in flags:
            of_view = self._lesson_of_view(flag, event, moment, f)
            self._remember_flag(event.event_id, flag, of_view, now_ms)
        return any_kind

    def learn(self, verdict: Verdict, now_ms: int) -> Outcome:
        """Applies a verdict; the same one again does nothing.

        Args:
            verdict: on an event or a flag.
            now_ms: the watermark, epoch ms.
        """
        flagged = None if verdict.flag_id is None else self.flags.get(verdict.flag_id)
        event_id = verdict.event_id or (None if flagged is None else flagged.event_id)
        packed = None if event_id is None else self.events.get(event_id)
        lesson = None if packed is None else Lesson.unpack(packed)
        if lesson is None and verdict.features is not None:
            lesson = Lesson.of_features(verdict.features)
        if lesson is None and flagged is None:
            return "unknown"
        about = verdict.flag_id or verdict.event_id or ""
        if not self._is_first(_digest(about, verdict), now_ms):
            return "duplicate"
        if flagged is not None:
            self.reviews.by_rule[flagged.rule, verdict.judgement] += 1
        if verdict.judgement == "unclear":
            return "unclear"
        if lesson is None or _is_protected(verdict.kind, lesson, flagged):
            return "counted"
        is_true = verdict.judgement == "confirmed"
        teacher = Teacher(verdict.reviewer, min(verdict.decided_ms, now_ms) // _DAY_MS)
        if not (
            self._is_first(_taught(event_id or about, verdict.judgement), now_ms)
            and self._weights.admits(teacher, is_true, len(self.events) // _ONE_IN)
        ):
            return "counted"
        self._teach(lesson, verdict.kind, is_true, teacher, now_ms)
        return "learned"

    def _teach(
        self, lesson: Lesson, kind: str, is_true: bool, teacher: Teacher, now_ms: int
    ) -> None:
        self._lessons += 1
        self._correct(lesson, kind, is_true, teacher)
        if not is_true:
            self._weights.step(_ANY, lesson.inputs, False, teacher)
            return
        self._confirmed += 1
        self._risk_of_ids.confirm(lesson.ids, now_ms)
        self._risk_of_shapes.confirm(lesson.shapes, now_ms)
        count = max(_BACKGROUND_A_LESSON, min(_BACKGROUND_AT_FIRST, _DRAWN // self._confirmed))
        drawn = self._background.draw(count, self._is_reported)
        rarity = self._seen / (self._confirmed * max(1, len(drawn)))
        shift = log(rarity) if rarity > 1.0 else 0.0
        self._weights.step(_ANY, lesson.inputs, True, teacher, shift)
        for sampled in drawn:
            inputs = Lesson.unpack(sampled.lesson).inputs
            self._weights.step(_ANY, inputs, False, teacher, shift)

    def _make_lesson(
        self, event: Event, moment: Moment, f: Features | None, prior: float, raw: list[float],
        ids: list[int],
    ) -> Lesson:  # fmt: skip
        measures, shapes = traits_of(event, moment, f, self._codes)
        of_ids, of_shapes = self._risk_of_ids.risks, self._risk_of_shapes.risks
        inputs = [
            1.0,
            log((prior + _BASE) / (1.0 - prior + _BASE)),
            *raw,
            *measures,
            *map(of_ids.__getitem__, ids),
            *map(of_shapes.__getitem__, shapes),
        ]
        return _new(Lesson, (0, inputs, ids, shapes))

    def _lesson_of_view(
        self, flag: Flag, event: Event, moment: Moment, f: Features | None
    ) -> Lesson:
        """What the view that raised the flag knows of the event, the same wherever the other is."""
        is_streamers = flag.record["subject"]["type"] == "streamer"
        raw = [
            score if (kind in _OF_STREAMERS) == is_streamers else 0.0
            for kind, score in zip(KINDS, self._raw, strict=True)
        ]
        ids = self._ids
        if is_streamers:
            ids, f = [*ids[:_IP], 0, *ids[_IP + 1 :]], None
        return self._make_lesson(event, moment, f, _overall_raw(raw), raw, ids)

    def _correct(self, lesson: Lesson, kind: str, is_true: bool, teacher: Teacher) -> None:
        """Moves the correction of a kind, if its detector had something to say."""
        score = lesson.inputs[SCORES][_KIND_NUMBER[kind]]
        if _ASKED_FROM < score < 1.0:
            inputs = (log(score / (1.0 - score)), _highest(lesson.inputs[ID_RISKS]), 1.0)
            self._weights.step(_kind_place(kind), inputs, is_true, teacher)

    def _remember(self, event_id: str, lesson: Lesson, now_ms: int) -> None:
        self._seen += 1
        packed, hashed = lesson.pack(), hash_of(event_id)
        self.events.put(event_id, packed, now_ms)
        self._background.add(event_id, hashed, now_ms, packed)
        self._risk_of_ids.see(lesson.ids, now_ms)
        stands_for = 1 if self._seen < _COUNT_ALL_UNTIL else _SAMPLED_OF
        if hashed % stands_for == 0:
            self._risk_of_shapes.see(lesson.shapes, now_ms, stands_for)
            self._risk_of_shapes.refresh(lesson.shapes, now_ms)
            self._risk_of_ids.refresh(lesson.ids, now_ms)
            self.reviews.watch(self._raw)

    def _remember_flag(self, event_id: str, flag: Flag, lesson: Lesson, now_ms: int) -> None:
        record = flag.record
        record["features"] = {**record["features"], **lesson.to_features()}
        known = Flagged(
            event_id, flag.kind, record["subject"]["type"], flag.subject_id, _is_fact(flag),
            record["reasons"][0]["code"],
        )  # fmt: skip
        self.flags.put(record["flag_id"], known, now_ms)

    def _highest_id_risk(self, now_ms: int) -> float:
        """The highest risk of what the event names; 0.0 where nothing speaks against any."""
        table = self._risk_of_ids
        risky = [cell for cell in self._ids if table.risks[cell] > 0.0]
        if not risky:
            return 0.0
        table.refresh(risky, now_ms)  # it has faded since
        return _highest([table.risks[cell] for cell in risky])

    def _is_first(self, digest: str, now_ms: int) -> bool:
        if digest in self.verdicts:
            return False
        self.verdicts.put(digest, True, now_ms)
        return True

    def _is_reported(self, event_id: str) -> bool:
        return _taught(event_id, "confirmed") in self.verdicts

    def figures(self) -> dict[str, Any]:
        """What it has learned, for metrics: counts only."""
        return {
            "lessons": self._lessons,
            "confirmed": self._confirmed,
            "by_rule": dict(self.reviews.by_rule),
            "drifts": dict(self.reviews.drifts),
            "background": len(self._background),
        }

    def save(self) -> list[tuple[str, bytes]]:
        """What is not in one of the maps, by part, as it is at this call."""
        counts = {
            "seen": self._seen,
            "confirmed": self._confirmed,
            "lessons": self._lessons,
            "reviews": self.reviews.save(),
        }
        return [
            ("counts", orjson.dumps(counts)),
            ("weights", self._weights.save()),
            *((f"ids {part}", each) for part, each in self._risk_of_ids.save().items()),
            *((f"shapes {part}", each) for part, each in self._risk_of_shapes.save().items()),
            *((f"background {part}", each) for part, each in self._background.save().items()),
        ]

    def load(self, part: str, saved: bytes) -> None:
        """Takes over one part of `save`; they come in its order.

        Raises:
            ValueError, TypeError, KeyError: it is something else.
        """
        whose, _, rest = part.partition(" ")
        if whose == "counts":
            counts = orjson.loads(saved)
            self.reviews.load(counts["reviews"])
            self._seen, self._confirmed = int(counts["seen"]), int(counts["confirmed"])
            self._lessons = int(counts["lessons"])
        elif whose == "weights":
            self._weights.load(saved)
        elif whose == "ids":
            self._risk_of_ids.load(rest, saved)
        elif whose == "shapes":
            self._risk_of_shapes.load(rest, saved)
        elif whose == "background":
            self._background.load(rest, saved)
        else:
            raise ValueError(f"found part {whose!r}, which `save` does not give")


def overall(scores: Mapping[str, float]) -> float:
    """The chance, 0..1, that a reviewer would confirm some kind, before any verdict.

    >>> round(overall({"outsized": 1.0, "binge": 0.5}), 3)
    0.72
    """
    none = 1.0
    for kind, score in scores.items():
        none *= 1.0 - _CONFIRMED.get(kind, 0.0) * score
    return 1.0 - none


def _overall_raw(raw: list[float]) -> float:
    """As `overall`, of scores in the order of `KINDS`."""
    none = 1.0
    for chance, score in zip(_CHANCES, raw, strict=True):
        if score:
            none *= 1.0 - chance * score
    return 1.0 - none


def _experts() -> list[list[Expert]]:
    of_any = [_ALWAYS, _ODDS, *[_UNTRIED] * (len(KINDS) + len(MEASURES))]
    of_any += [_ID_RISK] * len(ID_CELLS) + [_SHAPE_RISK] * len(SHAPE_CELLS)
    return [of_any] + [[_ODDS, _KIND_RISK, _ALWAYS]] * len(KINDS)


def _kind_place(kind: str) -> int:
    """Where the weights of a kind's correction begin."""
    return len(INPUTS) + _KIND_WEIGHTS * _KIND_NUMBER[kind]


def _probability(odds: float) -> float:
    return 1.0 / (1.0 + exp(-odds)) if odds > -50.0 else 0.0


def _highest(risks: list[float]) -> float:
    return max(0.0, 0.0, *risks)


def _digest(about: str, verdict: Verdict) -> str:
    decided = str(verdict.decided_ms)
    return identity(about, verdict.kind, verdict.judgement, verdict.reviewer, decided)


def _taught(event_id: str, judgement: str) -> str:
    return identity("taught", event_id, judgement)


def _is_fact(flag: Flag) -> bool:
    return any("rule" in reason for reason in flag.record["reasons"])


def _protected(flags: list[Flag]) -> int:
    """The kinds that a rule decided, as bits."""
    bits = 0
    for flag in flags:
        if _is_fact(flag):
            bits |= 1 << _KIND_NUMBER[flag.kind]
    return bits


def _is_protected(kind: str, lesson: Lesson, flagged: Flagged | None) -> bool:
    if kind == "cap" or (flagged is not None and flagged.is_fact):
        return True
    return bool(lesson.protected & 1 << _KIND_NUMBER[kind])
