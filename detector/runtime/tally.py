"""What one batch led to, in plain numbers: counted in the hot path, published once a batch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from detector.runtime.flag_log import HighFlag

SCORE_BUCKETS = tuple(round(step / 10, 1) for step in range(1, 11))
"""Upper bounds of the score histogram."""


class Tally:
    """Counts of one batch.

    Attributes:
        events: type → events scored.
        duplicates, late: events.
        skipped, dead_letters: reason → records.
        flags: (kind, severity) → flags; `cases`: (kind, step) → flags that opened, worsened or
            updated a case; `unpaged`: those that a storm kept from paging; `high`: the high ones
            themselves.
        paging: (kind, basis) → flags that somebody should be called for.
        shadow: (kind, who has it) → findings, of the policy in force and the candidate on trial.
        accounts: (subject type, tier) → credit records.
        scores: kind → events by tenth of the score, for scores above 0.
        tips: tips scored: the total behind `scores`.
        replayed: records that only rebuilt state.
        verdicts: judgement → verdicts read, `unreadable` and `lost` ones too: by one partition for
            all of them. `lessons`: those that taught an engine something, once an engine.
        judged: (kind, verdict) → those of `verdicts` that are verdicts; a confirmed one on what was
            never flagged is `missed`.
        rekeyed: events shown to the other view; where they were read they count in `events`.
        decode_s, score_s: time spent.
    """

    __slots__ = (
        "accounts", "cases", "dead_letters", "decode_s", "duplicates", "events", "flags",
        "high", "judged", "late", "lessons", "paging", "rekeyed", "replayed", "score_s",
        "score_sums", "scores", "shadow", "skipped", "tips", "unpaged", "verdicts",
    )  # fmt: skip

    def __init__(self) -> None:
        self.events: Counter[str] = Counter()
        self.duplicates = 0
        self.late = 0
        self.tips = 0
        self.replayed = 0
        self.rekeyed = 0
        self.lessons = 0
        self.decode_s = 0.0
        self.score_s = 0.0
        self.skipped: Counter[str] = Counter()
        self.dead_letters: Counter[str] = Counter()
        self.verdicts: Counter[str] = Counter()
        self.judged: Counter[tuple[str, str]] = Counter()
        self.flags: Counter[tuple[str, str]] = Counter()
        self.cases: Counter[tuple[str, str]] = Counter()
        self.unpaged = 0
        self.high: list[HighFlag] = []
        self.paging: Counter[tuple[str, str]] = Counter()
        self.shadow: Counter[tuple[str, str]] = Counter()
        self.accounts: Counter[tuple[str, str]] = Counter()
        self.scores: dict[str, list[int]] = {}
        self.score_sums: Counter[str] = Counter()

    def add_scores(self, scores: Mapping[str, float]) -> None:
        """Counts the scores of one tip; those that are absent are 0."""
        for kind, score in scores.items():
            counts = self.scores.get(kind)
            if counts is None:
                counts = self.scores[kind] = [0] * len(SCORE_BUCKETS)
            counts[min(int(score * 10), 9)] += 1
            self.score_sums[kind] += score  # type: ignore[assignment]

    @property
    def records(self) -> int:
        """Records accounted for: scored, duplicate, skipped or dead-lettered."""
        return (
            sum(self.events.values())
            + self.duplicates
            + sum(self.skipped.values())
            + sum(self.dead_letters.values())
        )
