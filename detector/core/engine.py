"""The engine of one partition: events in, decisions out, nothing else.

Its output is a pure function of its configuration and of the events, in order. It never asks the
time, never draws a random number, and shares nothing with the engine of another partition.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import partial
from typing import Any, Protocol

import orjson

from detector.core.account import Account, Tier
from detector.core.calendar import LocalCalendar
from detector.core.cases import Case, Cases, Snooze
from detector.core.claimants import checked_accounts
from detector.core.credit import Credit
from detector.core.decision import DUPLICATE, Decision
from detector.core.decode import Skipped
from detector.core.detectors.surge import Surge
from detector.core.engine_config import EngineConfig
from detector.core.event import Event
from detector.core.features import Moment
from detector.core.fusion import Fusion
from detector.core.generations import Cut, Generations
from detector.core.learning import Flagged, Learning, Outcome
from detector.core.lesson import Lesson
from detector.core.money import Currencies
from detector.core.policy import Policy
from detector.core.population import Population
from detector.core.prominence import Prominence, Prominences
from detector.core.room import Room
from detector.core.school import SchoolCalendar
from detector.core.shadow import (
    SHADOW_SECTIONS,
    SHADOW_TOTAL,
    Candidate,
    Shadow,
    load_pks,
    save_pks,
)
from detector.core.state import (
    CHUNK_BYTES,
    Head,
    Part,
    StateError,
    Step,
    Store,
    loaded,
    read,
    write,
)
from detector.core.storm import Storm
from detector.core.streamer import StreamerView
from detector.core.tipper import checked
from detector.core.tipper_view import TipperView
from detector.core.trait_reader import TraitReader
from detector.core.verdict import Verdict

VIEWS = frozenset(("tipper", "streamer"))
"""What an engine can look at: payers by their tips, receivers by their rooms."""


class Engine:
    """Scores the events of one partition.

    Args:
        config: how it is set up.
        policy: the pack in force.
        currencies: the base currency and its rates.
        views: which of `VIEWS` it has; what only the other one reads is neither scored nor
            remembered.
        dedupe: whether a repeated event id is skipped; if not, none is remembered.
        candidate: another pack and other thresholds, on trial; None for no trial.
        ids: what ids are, where they are not the platform's own: state with others is refused.

    Attributes:
        watermark_ms: the newest event time seen.

    Raises:
        ValueError: there is no such view.
    """

    def __init__(
        self,
        config: EngineConfig,
        policy: Policy,
        currencies: Currencies,
        views: frozenset[str] = VIEWS,
        dedupe: bool = True,
        candidate: Candidate | None = None,
        ids: str | None = None,
    ) -> None:
        if not views <= VIEWS:
            raise ValueError(f"views: found {sorted(views)}, expected some of {sorted(VIEWS)}")
        self._views = views
        self._dedupe = dedupe
        self._lateness_ms = config.allowed_lateness_ms
        self._calendar = LocalCalendar(config.zone)
        self._seen: Generations[bool] = Generations(
            config.duplicate_max_entries, config.duplicate_horizon_ms
        )
        self._cases = Cases(config.case_cool_down_ms, config.case_max_age_ms)
        self._storm = Storm(config.storm_flags, config.storm_window_ms)
        self._prominences = Prominences(
            config.credit.top_share, config.streamer_max_entries, config.streamer_idle_ms
        )
        self._credit = Credit(config.credit, self._prominences)
        self._snooze_ms = config.snooze_ms
        self._learning = Learning(config.learning)
        self._shadow: Shadow | None = None
        self._judge_by(config, policy, currencies, candidate)
        self._tipper_view = TipperView(
            policy, currencies, self._fusion, config.tipper_max_entries, config.tipper_idle_ms,
            self._trait_reader, self._learning.corrected, self._shadow,
        )  # fmt: skip
        self._streamer_view = StreamerView(
            policy, currencies, self._fusion, self._learning.corrected,
            config.streamer_max_entries, config.streamer_idle_ms, self._shadow,
        )  # fmt: skip
        self.watermark_ms = 0
        self._meaning = {
            "base currency": currencies.base,
            "base currency decimals": currencies.base_decimals,
            "zone": config.zone,
            "views": sorted(views),
            "pseudonym key": ids,
        }
        self._own_stores: tuple[Store, ...] = (
            Store("tippers", self._tipper_view.tippers, bytes, checked),
            Store("streamers", self._streamer_view.streamers, Room.save, Room.load),
            Store("surges", self._streamer_view.surges, Surge.save, Surge.load),
            Store("event_ids", self._seen, _save_nothing, _load_nothing),
            Store("cases", self._cases.open, Case.save, Case.load),
            Store("claimants", self._tipper_view.claimants.accounts, bytes, checked_accounts),
            Store("snoozes", self._cases.snoozes, Snooze.save, Snooze.load),
            Store("prominences", self._prominences.streamers, Prominence.save, Prominence.load),
            Store("accounts", self._credit.accounts, Account.save, Account.load),
            Store("lessons", self._learning.events, bytes, Lesson.checked),
            Store("flags", self._learning.flags, Flagged.save, Flagged.load),
            Store("verdicts", self._learning.verdicts, _save_nothing, _load_nothing),
        )
        self._own_totals: dict[str, _Total] = {
            "cases": self._cases, "storm": self._storm, "prominences": self._prominences,
            "credit": self._credit,
        }  # fmt: skip
        self._parts_loaded = 0  # of the save being loaded; 0: nothing has been

    def reconfigure(
        self, config: EngineConfig, policy: Policy, currencies: Currencies,
        candidate: Candidate | None = None,
    ) -> None:  # fmt: skip
        """Judges otherwise from the next event on, and keeps all that it knows.

        It goes on as a fresh engine so configured would that had loaded its state.

        Args:
            config: of which thresholds, school times, words and standing snoozes are taken over;
                all else stays as it is.
            policy, currencies, candidate: as for a fresh engine; the base currency is the same.
        """
        self._judge_by(config, policy, currencies, candidate)
        self._tipper_view.reconfigure(
            policy, currencies, self._fusion, self._trait_reader, self._shadow
        )
        self._streamer_view.reconfigure(policy, self._fusion, self._shadow)

    def _judge_by(
        self, config: EngineConfig, policy: Policy, currencies: Currencies,
        candidate: Candidate | None,
    ) -> None:  # fmt: skip
        self._school = SchoolCalendar(config.school)
        self._trait_reader = TraitReader(config.child_rooms, config.perks)
        self._cases.standing = config.standing_snoozes
        self._fusion = Fusion(policy, config.thresholds, self._cases, self._storm)
        self._shadow = (
            None if candidate is None else self._make_shadow(candidate, config, currencies)
        )

    @property
    def _stores(self) -> tuple[Store, ...]:
        if self._shadow is None:
            return self._own_stores
        return (
            *self._own_stores,
            Store("shadow_cases", self._shadow.cases.open, Case.save, Case.load),
            Store("shadow_pks", self._shadow.pks, save_pks, load_pks),
        )

    @property
    def _totals(self) -> dict[str, _Total]:
        if self._shadow is None:
            return self._own_totals
        return {**self._own_totals, SHADOW_TOTAL: self._shadow.storm}

    def process(self, event: Event) -> Decision | Skipped:
        """Scores one event and learns from it; a repeated event id is skipped.

        An event counts as seen only once it has been processed: one that raised can be replayed.
        """
        now_ms = event.event_time_ms
        if event.event_id in self._seen:
            return DUPLICATE
        if now_ms > self.watermark_ms:
            self.watermark_ms = now_ms
        day, minute = self._calendar.day_and_minute(now_ms)
        is_late = now_ms < self.watermark_ms - self._lateness_ms
        decision = Decision(event, {}, is_late)
        time = self._school.time_of(day, minute)
        self._look(decision, Moment(day, minute, self._calendar.month_of(day), is_late, time))
        credit = self._credit
        if decision.flags or credit.waiting or self.watermark_ms >= credit.due_ms:
            self._rate(decision)
        if self._dedupe:
            self._seen.put(event.event_id, True, self.watermark_ms)
        return decision

    def _look(self, decision: Decision, moment: Moment) -> None:
        """Shows the event to the views that it is for, and what they found to the models."""
        event, features = decision.event, None
        self._learning.look_at(event, self.watermark_ms)
        if self._shadow is not None:
            decision.shadow = self._shadow.begin()
        if "tipper" in self._views and event.type in TipperView.types:
            scores, flags = self._tipper_view.observe(event, moment, self.watermark_ms)
            decision.scores |= scores
            decision.flags += flags
            features = self._tipper_view.features
        if "streamer" in self._views and event.type in StreamerView.types:
            self._prominences.add(event, moment.day, self.watermark_ms)
            scores, flags = self._streamer_view.observe(event, moment, self.watermark_ms)
            decision.scores |= scores
            decision.flags += flags
        decision.any_kind = self._learning.judge(
            event, moment, features, decision.scores, decision.flags, self.watermark_ms
        )

    def _make_shadow(
        self, candidate: Candidate, config: EngineConfig, currencies: Currencies
    ) -> Shadow:
        """The candidate, with what an earlier one has left."""
        before = self._shadow
        if before is None:
            cases = Cases(
                config.case_cool_down_ms, config.case_max_age_ms, snoozes=self._cases.snoozes,
                prefix="cs_",
            )  # fmt: skip
            storm = Storm(config.storm_flags, config.storm_window_ms)
            pks = Generations[dict[str, tuple[int, int]]](
                config.streamer_max_entries, config.streamer_idle_ms
            )
        else:
            cases, storm, pks = before.cases, before.storm, before.pks
        cases.standing = config.standing_snoozes
        own = Fusion(candidate.policy, candidate.thresholds, cases, storm, is_shadow=True)
        return Shadow(self._fusion, own, currencies, pks, self._learning.moved)

    def learn(self, verdict: Verdict) -> Outcome:
        """Applies a reviewer's verdict to what is scored from now on; a repeat is harmless.

        One on a flag also settles it: the account's credit, a known minor, and for a false positive
        some quiet about its subject. An unclear one takes all this back; what the models learned
        stays learned. A credit record that changes comes with the next decision.
        """
        outcome = self._learning.learn(verdict, self.watermark_ms)
        flagged = self._learning.flags.get(verdict.flag_id or "")
        if flagged is None or outcome in ("unknown", "duplicate"):
            return outcome
        subject, now_ms = (flagged.subject_type, flagged.subject_id), self.watermark_ms
        record = self._credit.judged(flagged.kind, subject, verdict.judgement, now_ms)
        if record is not None:
            self._credit.waiting.append(record)
        if verdict.judgement == "false_positive":
            self._cases.snooze(flagged.kind, *subject, now_ms + self._snooze_ms, now_ms)
        elif verdict.judgement == "unclear":
            self._cases.snooze(flagged.kind, *subject, now_ms, now_ms)
        if flagged.kind == "minor":
            is_minor = verdict.judgement == "confirmed"
            view = self._tipper_view
            settle = view.confirm_minor if is_minor else view.doubt_minor
            settle(flagged.subject_id, now_ms)
        return outcome

    def learning_figures(self) -> dict[str, Any]:
        """What was learned, for metrics; see `Learning.figures`."""
        return self._learning.figures()

    def _rate(self, decision: Decision) -> None:
        """What clean time has given accounts, and what the flags cost their subjects."""
        records = self._credit.take_waiting() + self._credit.recovered(self.watermark_ms)
        for flag in decision.flags:
            record = self._credit.flagged(flag, self.watermark_ms)
            if record is not None:
                records.append(record)
        newest = {tuple(record["subject"].values()): record for record in records}
        decision.accounts = list(newest.values())

    def snooze(self, kind: str, subject_type: str, subject_id: str, until_ms: int) -> None:
        """Leaves findings of one kind on one subject unwritten for a while: see `Cases.snooze`."""
        self._cases.snooze(kind, subject_type, subject_id, until_ms, self.watermark_ms)

    def save_all(self, chunk_bytes: int = CHUNK_BYTES) -> Iterator[bytes]:
        """The whole state, as it is at this call, in chunks.

        They are encoded as they are consumed; the engine may go on meanwhile. From now on the
        engine keeps a record of what changes.

        Args:
            chunk_bytes: a chunk's size at most; only a single entry may be larger.
        """
        return self._save([store.entries.cut_all() for store in self._stores], chunk_bytes)

    def save_changes(self, chunk_bytes: int = CHUNK_BYTES) -> Iterator[bytes]:
        """What changed since the last save or load, everything if there was none; as `save_all`."""
        return self._save([store.entries.cut_changes() for store in self._stores], chunk_bytes)

    def load(self, chunk: bytes) -> None:
        """Takes over a saved state, chunk by chunk.

        A fresh engine that is given the chunks of one `save_all` and then those of each later
        `save_changes`, in order, does what the saved one would do. Policy, thresholds and limits
        may differ. What is saved of a candidate is dropped where there is none, and a candidate of
        which nothing is saved begins with nothing.

        Raises:
            StateError: it is not the chunk that comes next, or none at all, or the state is of an
                engine with another base currency, zone or views. The chunk had no effect; unless
                it was the first one, do not use the engine.
        """
        part = read(chunk)
        expected = 0 if part.section == "head" else max(1, self._parts_loaded)
        if part.number != expected:
            raise StateError(f"{part.section}: found part {part.number}, expected {expected}")
        if part.section == "head":
            self._load_head(part)
        elif not self._parts_loaded:
            raise StateError(f"{part.section}: found no head before it, expected one")
        elif part.section == "populations":
            self._tipper_view.populations.update(loaded(part, _load_population))
        elif part.section == "totals":
            self._load_totals(part)
        elif part.section == "learning":
            self._load_learning(part)
        elif self._shadow is not None or part.section not in SHADOW_SECTIONS:
            store = next(each for each in self._stores if each.section == part.section)
            store.entries.load(part.turns_first, loaded(part, store.load))
            if part.section == "accounts":
                self._credit.schedule()
        self._parts_loaded = part.number + 1

    def _save(self, cuts: list[Cut[Any]], chunk_bytes: int) -> Iterator[bytes]:
        self._streamer_view.begin_epoch()
        stores = list(zip(self._stores, cuts, strict=True))
        head = Head(
            {name: value for name, value in self._meaning.items() if value is not None},
            all(cut.is_whole for cut in cuts),
            self.watermark_ms,
            {store.section: cut.counters for store, cut in stores},
        )
        populations = [
            (currency, orjson.dumps(population.save()))
            for currency, population in self._tipper_view.populations.items()
        ]
        totals = [(name, orjson.dumps(total.save())) for name, total in self._totals.items()]
        steps = [
            Step("head", False, [("", head.save())]),
            Step("populations", False, populations),
            Step("totals", False, totals),
        ]
        for store, cut in stores:
            steps.extend(store.steps(cut))
        steps.append(Step("learning", False, self._learning.save()))
        return write(steps, chunk_bytes)

    def _load_head(self, part: Part) -> None:
        heads = list(loaded(part, Head.load).values())
        sections = {store.section for store in self._stores} - SHADOW_SECTIONS
        if len(heads) != 1 or heads[0].counters.keys() - SHADOW_SECTIONS != sections:
            expected = sorted(sections)
            raise StateError(f"head: found another one, expected one with counters of {expected}")
        head = heads[0]
        head.check_meaning(self._meaning)
        if not (head.is_whole or self._parts_loaded):
            raise StateError("head: found changes only, expected a save of everything first")
        self.watermark_ms = head.watermark_ms
        if self._shadow is not None and not head.counters.keys() >= SHADOW_SECTIONS:
            self._shadow.forget()
        for store in self._stores:
            if store.section in head.counters:
                store.entries.counters = head.counters[store.section]

    def _load_learning(self, part: Part) -> None:
        for name, saved in part.entries.items():
            try:
                self._learning.load(name, saved)
            except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError) as error:
                raise StateError(
                    f"learning: found a part that cannot be read: {type(error).__name__}"
                ) from error

    def _load_totals(self, part: Part) -> None:
        if not part.entries.keys() <= self._totals.keys() | {SHADOW_TOTAL}:
            raise StateError(f"totals: found another one, expected some of {sorted(self._totals)}")
        for name, total in self._totals.items():
            if name in part.entries:
                loaded(part._replace(entries={"": part.entries[name]}), partial(_load_total, total))

    @property
    def is_storm(self) -> bool:
        """Whether so many high flags come that those that follow do not page."""
        return self._storm.is_on(self.watermark_ms)

    @property
    def storms(self) -> int:
        """Storms since the engine began."""
        return self._storm.storms

    @property
    def snoozed(self) -> int:
        """Findings since the engine began that were not written, since their subject is snoozed."""
        return self._cases.snoozed

    @property
    def surging_minutes(self) -> int:
        """Minutes of some streamer's takings far above their own rhythm, since this was made."""
        return self._streamer_view.surging_minutes

    def tiers(self) -> Counter[tuple[str, Tier]]:
        """Accounts that ever lost points, by (subject type, tier of credit)."""
        return self._credit.tiers()

    def sizes(self) -> dict[str, int]:
        """Entries held, by store."""
        return {store.section: len(store.entries) for store in self._stores}

    def evictions(self) -> dict[str, int]:
        """Entries dropped since the engine began, by store."""
        return {store.section: store.entries.evicted for store in self._stores}


class _Total(Protocol):
    """What the engine as a whole has counted of something; small, so that all of it is saved."""

    def save(self) -> dict[str, Any]: ...
    def load(self, saved: dict[str, Any]) -> None: ...


def _save_nothing(value: object) -> bytes:
    return b""


def _load_nothing(saved: bytes) -> bool:
    if saved:
        raise ValueError(f"found {len(saved)} bytes, expected none")
    return True


def _load_total(total: _Total, saved: bytes) -> None:
    total.load(orjson.loads(saved))


def _load_population(saved: bytes) -> Population:
    return Population.load(orjson.loads(saved))
