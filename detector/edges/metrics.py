"""Prometheus: every metric in one table, and the telemetry that feeds them.

All series with closed label sets exist from the start, so that a rate over them is never missing.
No label ever holds an id.
"""

from __future__ import annotations

from collections import Counter as Counts
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, get_args

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
)
from prometheus_client.core import HistogramMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

import detector
from detector.core.account import TIERS
from detector.core.credit import SUBJECT_TYPES
from detector.core.decision import SCORED_KINDS
from detector.core.engine import Engine
from detector.core.event import REASONS, EventType
from detector.core.fusion import BASES
from detector.core.mapping import SKIP_REASONS
from detector.core.reasons import KINDS, SEVERITIES
from detector.core.shadow import AGREEMENTS
from detector.core.verdict import Judgement
from detector.core.wording import WORDS
from detector.runtime.owned import Owned
from detector.runtime.ports import Changes
from detector.runtime.status import Status
from detector.runtime.tally import SCORE_BUCKETS, Tally

disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each, which nobody asks for

PREFIX = "tip_detector_"
STAGES = ("poll", "decode", "score", "save", "commit")
STORES = (
    "tippers", "streamers", "surges", "event_ids", "cases", "snoozes", "prominences", "accounts",
    "claimants", "lessons", "flags", "verdicts", "shadow_cases", "shadow_pks",
)  # fmt: skip
STATES = ("starting", "running", "restoring", "blocked", "unreachable", "stopping")
SCORED = (*SCORED_KINDS, "cap")
RULES = tuple(sorted(code for code in WORDS if not code.startswith("benign_")))
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_LONG_SECONDS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0)
_CANARY_SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
_RECORDS = (1, 10, 50, 100, 500, 1000, 2500, 5000, 10000)


@dataclass(frozen=True, slots=True)
class Spec:
    """One metric.

    Attributes:
        name: without the prefix.
        kind: `counter|gauge|histogram`.
        help: what it is, and what a rise means.
        labels: label → its closed set of values, in the order of the labels.
        buckets: upper bounds of a histogram.
    """

    name: str
    kind: str
    help: str
    labels: tuple[tuple[str, tuple[str, ...]], ...] = ()
    buckets: tuple[float, ...] = ()


METRICS: tuple[Spec, ...] = (
    Spec("events_total", "counter", "Events scored. Should follow the platform's own rate.",
         (("type", ("tip", "recharge", "payout", "refund", "room")),)),
    Spec("duplicates_total", "counter",
         "Events whose id was seen before, not scored again. A rise: a producer retries a lot."),
    Spec("late_total", "counter",
         "Events behind the watermark by more than the allowed lateness, scored without tempo. "
         "A rise: a source is delayed."),
    Spec("skipped_total", "counter", "Records that the mapping says are no tips.",
         (("reason", SKIP_REASONS),)),
    Spec("dead_letters_total", "counter",
         "Records refused and kept in the dead-letter topic. A rise: a producer or the mapping "
         "changed.", (("reason", REASONS),)),
    Spec("flags_total", "counter", "Flags written.", (("kind", KINDS), ("severity", SEVERITIES))),
    Spec("cases_total", "counter",
         "What flags did to their cases. Opened and worsened are worth a page, updated is not.",
         (("kind", KINDS), ("step", ("opened", "worsened", "updated")))),
    Spec("paging_flags_total", "counter",
         "High flags that opened or worsened a case, but for those written with paged = false, by "
         "what they rest on. Each is worth a page.", (("kind", KINDS), ("basis", BASES))),
    Spec("unpaged_flags_total", "counter",
         "High flags written with paged = false, since a storm went on."),
    Spec("flag_storm", "gauge",
         "1 while some partition raises more high flags than anybody could look at. Likely a "
         "producer, the mapping or a rule changed."),
    Spec("snoozed_total", "counter", "Findings not written, since their subject is snoozed."),
    Spec("shadow_findings_total", "counter",
         "Findings of medium or high severity by who has them: the policy in force, the shadow or "
         "both. Each event counts, be it news in its case or not. 0 without a shadow.",
         (("kind", KINDS), ("outcome", AGREEMENTS))),
    Spec("account_changes_total", "counter",
         "Credit records written, by the tier they say. A rise in C and D: cases add up.",
         (("subject", SUBJECT_TYPES), ("tier", TIERS))),
    Spec("accounts", "gauge",
         "Accounts that ever lost points, by tier of credit. A shift to C and D: cases add up.",
         (("subject", SUBJECT_TYPES), ("tier", TIERS))),
    Spec("verdicts_total", "counter",
         "Reviewers' verdicts read from their topic, each once in all instances together. "
         "unreadable: no verdict, see the dead letters; lost: deleted before they were read.",
         (("verdict", (*get_args(Judgement), "unreadable", "lost")),)),
    Spec("judged_total", "counter",
         "Verdicts by the kind they are about; missed: confirmed, and never flagged. confirmed ÷ "
         "(confirmed + false_positive) is the precision; a fall: the kind flags ordinary life.",
         (("kind", KINDS), ("verdict", (*get_args(Judgement), "missed")))),
    Spec("judged_rules_total", "counter",
         "Verdicts on flags by the leading reason's code: which rule earns its pages.",
         (("rule", RULES), ("verdict", get_args(Judgement)))),
    Spec("score_drifts_total", "counter",
         "Changes of a kind's mean score that ADWIN found. A rise: the stream or the models moved; "
         "look at `score`.", (("kind", KINDS),)),
    Spec("lessons_total", "counter",
         "Verdicts that taught an engine; one teaches every partition. Standing still while "
         "verdicts come: they carry no features, or are about events that are long forgotten."),
    Spec("score", "histogram", "Scores of tips by kind, 0 to 1. A shift: the stream or the models "
         "drift.", (("kind", SCORED),), SCORE_BUCKETS),
    Spec("surges_total", "counter",
         "Minutes in which a streamer took far more than its own rhythm has it. A rise: an "
         "occasion on the site, or something that stirs tips up."),
    Spec("lag_seconds", "gauge",
         "Age of the newest record scored while others wait; 0 when caught up, NaN while unknown. "
         "A rise: the detector falls behind."),
    Spec("lag_records", "gauge", "Records waiting to be read; NaN while unknown."),
    Spec("batch_records", "histogram",
         "Records a batch. A shift to the right: more waits at each poll.", (), _RECORDS),
    Spec("stage_seconds", "histogram", "Time a batch spends in each stage.",
         (("stage", STAGES),), _SECONDS),
    Spec("state_entries", "gauge", "Entries held in memory, by store.", (("store", STORES),)),
    Spec("evictions_total", "counter",
         "Entries dropped because idle or for want of room. A steep rise: the limit is too low.",
         (("store", STORES),)),
    Spec("rebalances_total", "counter",
         "Partitions that came, left or were lost. A steady rise: members come and go.",
         (("change", ("assigned", "revoked", "lost")),)),
    Spec("aborted_commits_total", "counter",
         "Commits that did not come about; their partitions start again from saved state. "
         "A steady rise: members come and go, or a commit takes longer than the group waits."),
    Spec("cold_starts_total", "counter",
         "Partitions begun in mid-stream without saved state: what is usual is learned anew."),
    Spec("replayed_total", "counter", "Records read again in silence, only to rebuild state."),
    Spec("restore_seconds", "histogram",
         "Time from a partition's assignment until its saved state is loaded.", (), _LONG_SECONDS),
    Spec("oldest_checkpoint_seconds", "gauge",
         "Age of the oldest newest save among the partitions, of those with something newer; NaN "
         "before there is one. A rise: after a crash more has to be replayed."),
    Spec("checkpoint_bytes", "gauge", "Size of the saved state of all partitions."),
    Spec("merge_waiting", "gauge",
         "Re-keyed events that wait for slower partitions. A rise: one of them stands still."),
    Spec("merge_forced_total", "counter",
         "Re-keyed events that could not be waited for: their order is not certain."),
    Spec("case_alerts", "gauge",
         "Cases that Alertmanager is told of: high, not judged, not over. A rise: reviewers fall "
         "behind."),
    Spec("case_alerts_dropped_total", "counter",
         "Cases no longer told of, since there were more than alertmanager.max_alerts."),
    Spec("alertmanager_failures_total", "counter",
         "Requests to an Alertmanager that failed; all is told again when it answers. A rise: "
         "nobody is told of cases."),
    Spec("alertmanager_last_success_timestamp_seconds", "gauge",
         "When an Alertmanager was last told all, Unix time; 0 before the first time, and when "
         "off."),
    Spec("canary_sent_total", "counter",
         "Canaries sent to the tips topic, or tried to. Standing still: the watch is off."),
    Spec("canary_lost_total", "counter",
         "Canaries whose offset was not committed within canary.timeout_s. A rise: tips are not "
         "consumed, or the topic takes none."),
    Spec("canary_seconds", "histogram",
         "Time from sending a canary until its offset was committed, of those not lost. A shift: "
         "all tips wait so long.", (), _CANARY_SECONDS),
    Spec("canary_last_seen_timestamp_seconds", "gauge",
         "When a canary was last seen committed, Unix time; before the first one, when the watch "
         "began; 0 when off."),
    Spec("assigned_partitions", "gauge", "Partitions this instance reads. 0: it does nothing."),
    Spec("last_commit_timestamp_seconds", "gauge",
         "When offsets were last committed, Unix time. Standing still under load: stuck."),
    Spec("worker_state", "gauge", "1 for what the loop is at, 0 for the rest.",
         (("state", STATES),)),
    Spec("ready", "gauge", "1 when assigned and caught up, as /readyz says."),
    Spec("config_reload_successful", "gauge",
         "0 since a reload was refused: the configuration of before stays in force. 1 when one is "
         "applied, and from the start."),
    Spec("config_reloads_total", "counter",
         "Reloads of the configuration, on SIGHUP or since its files changed. A rise of refused: "
         "look at the log.", (("outcome", ("applied", "refused")),)),
    Spec("config_last_reload_timestamp_seconds", "gauge",
         "When the configuration in force was taken over, Unix time; the start without a reload."),
    Spec("build_info", "gauge", "1; its labels say what runs.",
         (("version", ()), ("policy", ()), ("policy_hash", ()), ("mapping", ()))),
)  # fmt: skip
"""Every metric there is."""

assert set(METRICS[0].labels[0][1]) == set(EventType.__args__)  # type: ignore[attr-defined]


def make_metric(spec: Spec, registry: CollectorRegistry) -> Any:
    """The counter, gauge or histogram, with a series for every closed set of labels."""
    names = [label for label, _ in spec.labels]
    name = PREFIX + spec.name
    if spec.kind == "counter":
        metric: Any = Counter(name, spec.help, names, registry=registry)
    elif spec.kind == "gauge":
        metric = Gauge(name, spec.help, names, registry=registry)
    else:
        metric = Histogram(name, spec.help, names, registry=registry, buckets=spec.buckets)
    for values in product(*(values for _, values in spec.labels)):
        if values:
            metric.labels(*values)
    return metric


class ScoreHistogram(Collector):
    """The score histogram, counted by the engines' batches rather than observed one by one."""

    def __init__(self, spec: Spec) -> None:
        self._spec = spec
        self._counts = {kind: [0] * len(SCORE_BUCKETS) for kind in SCORED}
        self._sums = dict.fromkeys(SCORED, 0.0)
        self._tips = 0

    def add(self, tally: Tally) -> None:
        """Adds one batch; tips without a score for a kind count as 0."""
        self._tips += tally.tips
        for kind, counts in tally.scores.items():
            mine = self._counts[kind]
            for index, count in enumerate(counts):
                mine[index] += count
            self._sums[kind] += tally.score_sums[kind]

    def collect(self) -> Iterator[Metric]:
        family = HistogramMetricFamily(PREFIX + self._spec.name, self._spec.help, labels=["kind"])
        for kind in SCORED:
            counts = list(self._counts[kind])
            counts[0] += self._tips - sum(counts)
            total, buckets = 0, []
            for bound, count in zip(SCORE_BUCKETS, counts, strict=True):
                total += count
                buckets.append((str(bound), float(total)))
            buckets.append(("+Inf", float(total)))
            family.add_metric([kind], buckets=buckets, sum_value=self._sums[kind])
        yield family


_Total = tuple[str, ...]
"""A counter that lanes and engines keep themselves: its name, then its labels' values."""


def _totals_of(engine: Engine) -> Iterator[tuple[_Total, int]]:
    for store, total in engine.evictions().items():
        yield ("evictions_total", store), total
    yield ("snoozed_total",), engine.snoozed
    yield ("surges_total",), engine.surging_minutes
    figures = engine.learning_figures()
    for (rule, judgement), total in figures["by_rule"].items():
        yield ("judged_rules_total", rule, judgement), total
    for kind, total in figures["drifts"].items():
        yield ("score_drifts_total", kind), total


class Metrics:
    """The registry, and the loop's telemetry.

    Args:
        build: label → value of `build_info`.
    """

    def __init__(self, build: dict[str, str]) -> None:
        self.registry = CollectorRegistry(auto_describe=False)
        self._by_name: dict[str, Any] = {spec.name: self._make(spec) for spec in METRICS}
        self._build: dict[str, str] = {}
        self._show_build(build)
        self._by_name["config_reload_successful"].set(1)
        self._totals: dict[tuple[str, _Total], int] = {}
        self._set_lag(None, None)

    def _make(self, spec: Spec) -> Any:
        if spec.name == "score":
            scores = ScoreHistogram(spec)
            self.registry.register(scores)
            return scores
        return make_metric(spec, self.registry)

    def started(self, now_s: float) -> None:
        """The configuration of the start is in force, Unix time."""
        self._by_name["config_last_reload_timestamp_seconds"].set(now_s)

    def reloaded(self, build: dict[str, str], now_s: float) -> None:
        """Another configuration is in force: label → value of `build_info`; Unix time."""
        self._show_build(build)
        self._by_name["config_reloads_total"].labels("applied").inc()
        self._by_name["config_last_reload_timestamp_seconds"].set(now_s)
        self._by_name["config_reload_successful"].set(1)

    def reload_refused(self) -> None:
        """A configuration could not be used; the one before stays in force."""
        self._by_name["config_reloads_total"].labels("refused").inc()
        self._by_name["config_reload_successful"].set(0)

    def _show_build(self, build: dict[str, str]) -> None:
        info, shown = self._by_name["build_info"], {"version": detector.__version__, **build}
        info.labels(**shown).set(1)
        if self._build and self._build != shown:
            info.remove_by_labels(self._build)
        self._build = shown

    def batch(self, tally: Tally) -> None:
        """Adds what one committed batch led to."""
        metric = self._by_name
        for event_type, count in tally.events.items():
            metric["events_total"].labels(event_type).inc(count)
        metric["duplicates_total"].inc(tally.duplicates)
        metric["late_total"].inc(tally.late)
        for name in ("skipped", "dead_letters"):
            for reason, count in getattr(tally, name).items():
                metric[name + "_total"].labels(reason).inc(count)
        for verdict, count in tally.verdicts.items():
            metric["verdicts_total"].labels(verdict).inc(count)
        for (kind, verdict), count in tally.judged.items():
            metric["judged_total"].labels(kind, verdict).inc(count)
        metric["lessons_total"].inc(tally.lessons)
        for (kind, severity), count in tally.flags.items():
            metric["flags_total"].labels(kind, severity).inc(count)
        for (kind, step), count in tally.cases.items():
            metric["cases_total"].labels(kind, step).inc(count)
        for (kind, basis), count in tally.paging.items():
            metric["paging_flags_total"].labels(kind, basis).inc(count)
        metric["unpaged_flags_total"].inc(tally.unpaged)
        for (kind, outcome), count in tally.shadow.items():
            metric["shadow_findings_total"].labels(kind, outcome).inc(count)
        for (subject, tier), count in tally.accounts.items():
            metric["account_changes_total"].labels(subject, tier).inc(count)
        metric["score"].add(tally)
        metric["replayed_total"].inc(tally.replayed)
        metric["batch_records"].observe(tally.records)
        self.stage("decode", tally.decode_s)
        self.stage("score", tally.score_s)

    def stage(self, name: str, seconds: float) -> None:
        """Adds the time a batch spent in a stage."""
        self._by_name["stage_seconds"].labels(name).observe(seconds)

    def committed(self, now_ms: int) -> None:
        """Offsets were committed."""
        self._by_name["last_commit_timestamp_seconds"].set(now_ms / 1000)

    def aborted(self) -> None:
        """A commit did not come about."""
        self._by_name["aborted_commits_total"].inc()

    def opened(self, owned: Owned, seconds: float) -> None:
        """A partition is ready to be read."""
        self._by_name["cold_starts_total"].inc(owned.is_cold)
        self._by_name["restore_seconds"].observe(seconds)

    def rebalanced(self, changes: Changes) -> None:
        """Partitions came or went."""
        for change in ("assigned", "revoked", "lost"):
            self._by_name["rebalances_total"].labels(change).inc(len(getattr(changes, change)))

    def state(self, all_owned: Sequence[Owned], status: Status, now_s: float) -> None:
        """What is held, how far behind it is, and how safe it is."""
        metric = self._by_name
        entries = dict.fromkeys(STORES, 0)
        totals: dict[tuple[str, _Total], int] = {}
        waiting = saved_bytes = 0
        ages_s = []
        for owned in all_owned:
            lane, name = owned.lane, str(owned.lane.partition)
            for number, engine in enumerate(lane.engines):
                for store, size in engine.sizes().items():
                    entries[store] += size
                for which, total in _totals_of(engine):
                    totals[f"{name}/{number}", which] = total
            waiting += lane.waiting
            totals[name, ("merge_forced_total",)] = lane.forced
            if owned.checkpointer is not None and owned.checkpointer.manifest is not None:
                saved_bytes += sum(save.bytes for save in owned.checkpointer.manifest.saves)
                ages_s.append(owned.checkpointer.unsaved_s(now_s))
        known = {name for name, _ in self._totals}
        for (name, which), total in totals.items():
            # A lane that came anew counts from what it was saved with, or from 0.
            before = self._totals.get((name, which), 0 if name in known else total)
            counter = metric[which[0]]
            (counter.labels(*which[1:]) if which[1:] else counter).inc(max(0, total - before))
        self._totals = totals
        for store, size in entries.items():
            metric["state_entries"].labels(store).set(size)
        self._set_accounts([engine for owned in all_owned for engine in owned.lane.engines])
        metric["merge_waiting"].set(waiting)
        metric["checkpoint_bytes"].set(saved_bytes)
        metric["oldest_checkpoint_seconds"].set(max(ages_s, default=float("nan")))
        metric["assigned_partitions"].set(status.partitions)
        self._set_lag(status.lag_records, status.lag_s)

    def _set_accounts(self, engines: Sequence[Engine]) -> None:
        tiers = Counts[tuple[str, str]]()
        for engine in engines:
            tiers.update(engine.tiers())
        for at in product(SUBJECT_TYPES, TIERS):
            self._by_name["accounts"].labels(*at).set(tiers[at])
        self._by_name["flag_storm"].set(any(engine.is_storm for engine in engines))

    def _set_lag(self, records: int | None, seconds: float | None) -> None:
        unknown = float("nan")
        self._by_name["lag_records"].set(unknown if records is None else records)
        self._by_name["lag_seconds"].set(unknown if seconds is None else seconds)

    def case_alerts(self, active: int, newly_dropped: int) -> None:
        """How many cases are told of, and how many no longer are for want of room."""
        self._by_name["case_alerts"].set(active)
        self._by_name["case_alerts_dropped_total"].inc(newly_dropped)

    def alertmanager_told(self, now_s: float) -> None:
        """One Alertmanager is up to date; Unix time."""
        self._by_name["alertmanager_last_success_timestamp_seconds"].set(now_s)

    def alertmanager_failed(self) -> None:
        """One Alertmanager did not answer, or refused."""
        self._by_name["alertmanager_failures_total"].inc()

    def canary_begun(self, now_s: float) -> None:
        """The canary is on from now; Unix time."""
        self._by_name["canary_last_seen_timestamp_seconds"].set(now_s)

    def canary_sent(self) -> None:
        """A canary is on its way."""
        self._by_name["canary_sent_total"].inc()

    def canary_seen(self, seconds: float, now_s: float) -> None:
        """A canary was committed after so long; Unix time."""
        self._by_name["canary_seconds"].observe(seconds)
        self._by_name["canary_last_seen_timestamp_seconds"].set(now_s)

    def canary_lost(self) -> None:
        """A canary was not committed in time."""
        self._by_name["canary_lost_total"].inc()

    def exposition(self, state: str, is_ready: bool) -> bytes:
        """The text that Prometheus scrapes."""
        for each in STATES:
            self._by_name["worker_state"].labels(each).set(each == state)
        self._by_name["ready"].set(is_ready)
        return generate_latest(self.registry)
