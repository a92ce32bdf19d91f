"""Writes the dashboards: `python deploy/grafana/build.py` after a change here.

A panel is a title, a unit, its queries, and what its figures mean; where it stands follows from its
place in the list. Kept as code, since a dashboard's JSON says the same thing thirty times.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent / "dashboards"
P = "tip_detector_"
COLUMNS = 24
ROW_HEIGHT = {"row": 1, "stat": 4, "timeseries": 8, "bargauge": 8, "table": 8}


@dataclass(frozen=True)
class Panel:
    """One panel.

    Attributes:
        title: what it shows.
        about: what a change means, for the panel's tooltip.
        queries: PromQL → legend.
        unit: of Grafana's.
        kind: `timeseries`, `stat`, `bargauge`, `table` or `row`.
        warn, bad: figures from which it is yellow, red; None for no such limit.
        falls: whether it is the low figures that are bad.
        width: of 24 columns.
        stacked: whether series add up.
    """

    title: str
    about: str
    queries: dict[str, str]
    unit: str = "short"
    kind: str = "timeseries"
    warn: float | None = None
    bad: float | None = None
    falls: bool = False
    width: int = 8
    stacked: bool = False


def row(title: str) -> Panel:
    return Panel(title, "", {}, kind="row", width=COLUMNS)


def stat(title: str, about: str, query: str, unit: str = "short", **more: Any) -> Panel:
    return Panel(title, about, {query: ""}, unit, "stat", width=more.pop("width", 4), **more)


def _share(part: str, whole: str, by: str) -> str:
    return f"sum by ({by}) ({part}) / sum by ({by}) ({whole})"


JUDGED = P + "judged_total{{verdict{}}}[7d]"
RULED = P + "judged_rules_total{{verdict{}}}[7d]"
TRUE, DECIDED = '="confirmed"', '=~"confirmed|false_positive"'


def _quantiles(histogram: str, window: str, *quantiles: float) -> dict[str, str]:
    """Queries of a histogram's quantiles, with what their legends say."""
    rates = f"sum by (le) (rate({histogram}[{window}]))"
    return {
        f"histogram_quantile({quantile}, {rates})": f"{quantile * 100:g} in 100 within"
        for quantile in quantiles
    }


def _precision(counter: str, by: str) -> str:
    return _share(f"increase({counter.format(TRUE)})", f"increase({counter.format(DECIDED)})", by)


REVIEWERS = (
    row("Now"),
    stat("High flags, 24 h", "Flags of high severity written in the last day.",
         f'sum(increase({P}flags_total{{severity="high"}}[24h]))', warn=1),
    stat("Cases opened, 24 h", "Cases that began in the last day, of any severity.",
         f'sum(increase({P}cases_total{{step="opened"}}[24h]))'),
    stat("Open cases", "Waiting in the console's queue.", f"sum({P}console_open_cases)",
         warn=50, bad=200),
    stat("Oldest open case", "How long it has waited.",
         f"max({P}console_oldest_open_case_seconds)", "s", warn=14_400, bad=86_400),
    stat("Storm", "1 while more high flags come than anybody could look at: those that follow are "
         "written but page nobody.", f"max({P}flag_storm)", bad=1),
    stat("Flags per 10,000 tips", "Medium and high flags of the last day.",
         f'1e4 * sum(increase({P}flags_total{{severity=~"medium|high"}}[24h])) '
         f'/ sum(increase({P}events_total{{type="tip"}}[24h]))', warn=5, bad=20),
    row("What is found"),
    Panel("Flags by kind", "Flags an hour. A step: the stream, a rule or a model changed.",
          {f"sum by (kind) (increase({P}flags_total[1h]))": "{{kind}}"}, stacked=True),
    Panel("Flags by severity", "Flags an hour.",
          {f"sum by (severity) (increase({P}flags_total[1h]))": "{{severity}}"}, stacked=True),
    Panel("Cases opened or worsened", "An hour, by kind: each is worth a look.",
          {f'sum by (kind) (increase({P}cases_total{{step=~"opened|worsened"}}[1h]))': "{{kind}}"},
          stacked=True),
    Panel("Scores, 99th percentile", "By kind, of all tips. A shift without a cause on the site: "
          "drift.",
          {f"histogram_quantile(0.99, sum by (kind, le) (rate({P}score_bucket[1h])))": "{{kind}}"},
          "percentunit"),
    Panel("Surges", "Minutes an hour in which some streamer takes far more than its own rhythm "
          "has it: an occasion, mostly.", {f"sum(increase({P}surges_total[1h]))": "minutes"}),
    Panel("Kept back", "An hour: findings on snoozed subjects, and high flags that page nobody.",
          {f"sum(increase({P}snoozed_total[1h]))": "snoozed",
           f"sum(increase({P}unpaged_flags_total[1h]))": "not paged"}),
    row("How good it is, by verdicts of seven days"),
    Panel("Precision by kind", "Confirmed among those decided. Low: the kind flags ordinary life.",
          {_precision(JUDGED, "kind"): "{{kind}}"}, "percentunit", warn=0.7, bad=0.4, falls=True),
    Panel("Missed by kind", "Confirmed, and never flagged.",
          {f'sum by (kind) (increase({P}judged_total{{verdict="missed"}}[7d]))': "{{kind}}"}),
    Panel("Verdicts by rule", "Verdicts on flags by the leading reason: the ten most seen.",
          {f"topk(10, sum by (rule) (increase({P}judged_rules_total[7d])))": "{{rule}}"},
          kind="bargauge"),
    Panel("Precision by rule", "The ten lowest: rules to tighten.",
          {f"bottomk(10, {_precision(RULED, 'rule')})": "{{rule}}"}, "percentunit",
          "bargauge", warn=0.7, bad=0.4, falls=True),
    Panel("Lessons", "Verdicts an hour, and those that taught an engine. Verdicts without lessons: "
          "they carry no features, or come too late.",
          {f"sum(increase({P}verdicts_total[1h]))": "verdicts",
           f"sum(increase({P}lessons_total[1h]))": "lessons"}),
    Panel("Drift", "Changes of a kind's mean score that ADWIN found, a day.",
          {f"sum by (kind) (increase({P}score_drifts_total[1d]))": "{{kind}}"}),
    row("The queue"),
    Panel("Open cases", "By kind.", {f"sum by (kind) ({P}console_open_cases)": "{{kind}}"},
          stacked=True),
    Panel("Oldest open case", "By kind.",
          {f"max by (kind) ({P}console_oldest_open_case_seconds)": "{{kind}}"}, "s"),
    Panel("Decisions", "An hour, by verdict.",
          {f"sum by (verdict) (increase({P}console_decisions_total[1h]))": "{{verdict}}"},
          stacked=True),
    Panel("Time to decision", "From a case's first flag to its verdict, of the last day.",
          _quantiles(P + "console_decision_seconds_bucket", "1d", 0.5, 0.9), "s"),
    Panel("Accounts by credit", "Accounts that ever lost points. A shift to C and D: cases add up.",
          {f'sum by (subject, tier) ({P}accounts{{tier=~"B|C|D"}})': "{{subject}} {{tier}}"}),
    Panel("A pack on trial", "Findings an hour that only one of the two has; none without a trial.",
          {f'sum by (outcome) (increase({P}shadow_findings_total{{outcome!="both"}}[1h]))':
           "{{outcome}}"}),
)  # fmt: skip

OPERATIONS = (
    row("Now"),
    stat("Ready", "Instances that say so at /readyz.", f"sum({P}ready)", bad=1, falls=True),
    stat("Lag", "Age of the newest record scored while others wait: the worst instance.",
         f"max({P}lag_seconds)", "s", warn=30, bad=60),
    stat("Tips", "Scored, a second.", f'sum(rate({P}events_total{{type="tip"}}[5m]))', "reqps"),
    stat("Since the last commit", "Of the slowest instance. Standing still under load: stuck.",
         f"time() - min({P}last_commit_timestamp_seconds > 0)", "s", warn=60, bad=300),
    stat("Dead letters", "Share of records refused, of an hour.",
         f"sum(rate({P}dead_letters_total[1h])) / (sum(rate({P}events_total[1h])) "
         f"+ sum(rate({P}dead_letters_total[1h])))", "percentunit", warn=0.001, bad=0.01),
    stat("Age of saved state", "What a new owner would have to replay, at most.",
         f"max({P}oldest_checkpoint_seconds)", "s", warn=120, bad=600),
    row("The stream"),
    Panel("Events", "Scored, a second, by type.",
          {f"sum by (type) (rate({P}events_total[5m]))": "{{type}}"}, "reqps", stacked=True),
    Panel("Lag in seconds", "0 when caught up.", {f"{P}lag_seconds": "{{instance}}"}, "s",
          warn=30, bad=60),
    Panel("Lag in records", "Waiting to be read.", {f"{P}lag_records": "{{instance}}"}),
    Panel("Dead letters", "A minute, by reason. A producer or the mapping changed.",
          {f"sum by (reason) (rate({P}dead_letters_total[5m])) * 60": "{{reason}}"}),
    Panel("Not scored", "A minute: no tips by the mapping, repeated, or late (scored in part).",
          {f"sum(rate({P}skipped_total[5m])) * 60": "skipped",
           f"sum(rate({P}duplicates_total[5m])) * 60": "repeated",
           f"sum(rate({P}late_total[5m])) * 60": "late"}),
    Panel("Canary", "From a marked tip's sending to its commit; lost ones an hour.",
          {**_quantiles(P + "canary_seconds_bucket", "15m", 0.99),
           f"sum(increase({P}canary_lost_total[1h]))": "lost (count)"}, "s", warn=1, bad=5),
    row("Where the time goes"),
    Panel("Stages", "Share of a core that each takes.",
          {f"sum by (stage) (rate({P}stage_seconds_sum[5m]))": "{{stage}}"}, "percentunit",
          stacked=True),
    Panel("A batch", "Records, and milliseconds to score one record.",
          {f"sum(rate({P}batch_records_sum[5m])) / sum(rate({P}batch_records_count[5m]))":
           "records",
           f'1e3 * sum(rate({P}stage_seconds_sum{{stage="score"}}[5m])) '
           f"/ sum(rate({P}batch_records_sum[5m]))": "ms a record"}),
    Panel("Commit", "Time that a commit takes.",
          _quantiles(P + 'stage_seconds_bucket{stage="commit"}', "5m", 0.5, 0.99), "s"),
    row("State"),
    Panel("Entries", "Held in memory, by store.",
          {f"sum by (store) ({P}state_entries)": "{{store}}"}),
    Panel("Evictions", "Entries dropped, a minute: idle ones are usual; a steep rise: a limit is "
          "too low.", {f"sum by (store) (rate({P}evictions_total[5m])) * 60": "{{store}}"}),
    Panel("Memory", "Resident.", {'process_resident_memory_bytes{job="tip-detector"}':
          "{{instance}}"}, "bytes"),
    Panel("Saved state", "Size, all partitions.", {f"sum({P}checkpoint_bytes)": "bytes"}, "bytes"),
    Panel("Age of saved state", "Of each instance.",
          {f"{P}oldest_checkpoint_seconds": "{{instance}}"}, "s", warn=120, bad=600),
    Panel("Held for order", "Re-keyed events that wait for slower partitions, and those that could "
          "not be waited for.",
          {f"sum({P}merge_waiting)": "waiting",
           f"sum(rate({P}merge_forced_total[5m])) * 60": "forced a minute"}),
    row("Members"),
    Panel("Partitions", "Read by each instance. 0: it does nothing.",
          {f"{P}assigned_partitions": "{{instance}}"}, stacked=True),
    Panel("Rebalances", "Partitions that moved, an hour.",
          {f"sum by (change) (increase({P}rebalances_total[1h]))": "{{change}}"}),
    Panel("Commits that failed, cold starts", "An hour. A cold start learns what is usual anew.",
          {f"sum(increase({P}aborted_commits_total[1h]))": "commits aborted",
           f"sum(increase({P}cold_starts_total[1h]))": "cold starts",
           f"sum(increase({P}replayed_total[1h]))": "records replayed"}),
    Panel("What the loop is at", "1 for the state of each instance.",
          {f"{P}worker_state == 1": "{{instance}} {{state}}"}),
    Panel("Settings", "Reloads an hour, by outcome. Refused: the old settings are still in force.",
          {f"sum by (outcome) (increase({P}config_reloads_total[1h]))": "{{outcome}}",
           f"min({P}config_reload_successful)": "last one successful"}),
    Panel("Alertmanager", "Per-case alerts held, and attempts that failed an hour.",
          {f"sum({P}case_alerts)": "alerts",
           f"sum(increase({P}alertmanager_failures_total[1h]))": "failures"}),
    Panel("What runs", "Version, pack and mapping of each instance.",
          {f"{P}build_info": ""}, kind="table", width=COLUMNS),
)  # fmt: skip


def dashboard(uid: str, title: str, about: str, panels: Iterable[Panel]) -> dict[str, Any]:
    """One dashboard as Grafana's JSON."""
    return {
        "uid": uid,
        "title": title,
        "description": about,
        "tags": ["tip-detector"],
        "schemaVersion": 41,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "timezone": "browser",
        "links": [{"type": "dashboards", "tags": ["tip-detector"], "title": "tip-detector",
                   "asDropdown": False, "keepTime": True}],
        "templating": {"list": [{
            "name": "datasource", "label": "Prometheus", "type": "datasource",
            "query": "prometheus", "current": {"text": "Prometheus", "value": "prometheus"},
        }]},
        "panels": list(_placed(panels)),
    }  # fmt: skip


def _placed(panels: Iterable[Panel]) -> Iterator[dict[str, Any]]:
    x = y = 0
    below = 0  # the height of the line of panels under way
    for number, panel in enumerate(panels, 1):
        if x + panel.width > COLUMNS or panel.kind == "row":
            x, y, below = 0, y + below, 0
        height = ROW_HEIGHT[panel.kind]
        yield _panel(panel, number, {"x": x, "y": y, "w": panel.width, "h": height})
        x, below = x + panel.width, max(below, height)


def _panel(panel: Panel, number: int, place: dict[str, int]) -> dict[str, Any]:
    made = {"id": number, "title": panel.title, "type": panel.kind, "gridPos": place}
    if panel.kind == "row":
        return {**made, "collapsed": False, "panels": []}
    source = {"type": "prometheus", "uid": "${datasource}"}
    is_table, is_now = panel.kind == "table", panel.kind != "timeseries"
    custom = {"fillOpacity": 20 if panel.stacked else 5, "showPoints": "never",
              "stacking": {"mode": "normal" if panel.stacked else "none"},
              "thresholdsStyle": {"mode": "off" if _is_plain(panel) else "dashed"}}  # fmt: skip
    return {
        **made,
        "description": panel.about,
        "datasource": source,
        "targets": [
            {"refId": chr(ord("A") + at), "expr": query, "legendFormat": legend,
             "datasource": source, "instant": is_now, "range": not is_now,
             "format": "table" if is_table else "time_series"}
            for at, (query, legend) in enumerate(panel.queries.items())
        ],
        "fieldConfig": {"overrides": [], "defaults": {
            "unit": panel.unit, "min": 0, "thresholds": _thresholds(panel),
            "noValue": "–", "custom": {} if is_now else custom,
        }},
        "options": _OPTIONS[panel.kind],
    }  # fmt: skip


def _is_plain(panel: Panel) -> bool:
    return panel.warn is None and panel.bad is None


def _thresholds(panel: Panel) -> dict[str, Any]:
    limits = [(limit, colour) for limit, colour in ((panel.warn, "yellow"), (panel.bad, "red"))
              if limit is not None]  # fmt: skip
    if panel.falls:  # a colour holds from its limit up to the next higher one
        colours = [colour for _, colour in reversed(limits)]
        ups = zip([None, *(limit for limit, _ in reversed(limits))], [*colours, "green"],
                  strict=True)  # fmt: skip
    else:
        ups = iter([(None, "green"), *limits])
    return {
        "mode": "absolute",
        "steps": [{"color": colour, "value": value} for value, colour in ups],
    }


_OPTIONS: dict[str, dict[str, Any]] = {
    "timeseries": {
        "legend": {"displayMode": "list", "placement": "bottom"},
        "tooltip": {"mode": "multi", "sort": "desc"},
    },
    "stat": {
        "colorMode": "value",
        "graphMode": "none",
        "reduceOptions": {"calcs": ["lastNotNull"]},
    },
    "bargauge": {"orientation": "horizontal", "reduceOptions": {"calcs": ["lastNotNull"]}},
    "table": {"showHeader": True},
}

DASHBOARDS = {
    "reviewers": dashboard(
        "tip-detector-reviewers", "Tip detector: reviewers",
        "What is found, how good it is, and what waits.", REVIEWERS,
    ),
    "operations": dashboard(
        "tip-detector-operations", "Tip detector: operations",
        "Whether it keeps up, and whether it would come back.", OPERATIONS,
    ),
}  # fmt: skip
"""File name → dashboard."""


def text(made: dict[str, Any]) -> str:
    """The file's text."""
    return json.dumps(made, indent=1, ensure_ascii=False) + "\n"


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for name, made in DASHBOARDS.items():
        (FOLDER / f"{name}.json").write_text(text(made), "utf-8")


if __name__ == "__main__":
    main()
