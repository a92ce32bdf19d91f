"""The whole of /metrics: names, help, labels and values, byte for byte."""

from __future__ import annotations

import subprocess
from pathlib import Path

import detector
from detector.assembly import Assembly
from detector.edges.metrics import METRICS, Metrics
from detector.runtime.checkpoint import Checkpointer, Manifest, Save, SaveEvery
from detector.runtime.owned import Owned
from detector.runtime.ports import Changes, Partition
from detector.runtime.status import Status
from detector.runtime.tally import Tally

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests" / "golden" / "metrics.txt"


def exposition() -> str:
    metrics = Metrics({"policy": "cn 1", "policy_hash": "abc", "mapping": "canonical"})
    tally = Tally()
    tally.events["tip"] = tally.tips = 3
    tally.duplicates, tally.late = 2, 1
    tally.skipped["free_gift"] = 4
    tally.dead_letters["not_json"] = 5
    tally.flags["minor", "high"] = 1
    tally.cases["minor", "opened"] = 1
    tally.unpaged = 2
    tally.paging["minor", "declared"] = 1
    tally.shadow["binge", "only_shadow"] = 4
    tally.accounts["tipper", "B"] = 1
    tally.verdicts["confirmed"], tally.verdicts["unreadable"], tally.lessons = 7, 1, 14
    tally.judged["minor", "confirmed"], tally.judged["ring", "missed"] = 6, 1
    tally.add_scores({"minor": 1.0, "outsized": 0.25})
    tally.decode_s, tally.score_s, tally.replayed = 0.002, 0.003, 6
    metrics.batch(tally)
    metrics.stage("poll", 0.001)
    metrics.committed(1_772_380_802_000)
    metrics.rebalanced(Changes(assigned={Partition("tips", 0)}))
    metrics.aborted()
    metrics.started(1_772_380_700)
    metrics.reloaded(
        {"policy": "cn 2", "policy_hash": "def", "mapping": "canonical"}, 1_772_380_750
    )
    metrics.reload_refused()
    lane = Assembly.load(None).make_lane(Partition("tips", 0), 1)
    save = Save("0.0", 1, 2_000, "digest")
    manifest = Manifest(100, 1_772_380_800_000, "1", 0, (save,))
    checkpointer = Checkpointer(
        lane.partition, lane, "checkpoints", SaveEvery(30, 1000), 0, manifest, [], 10.0
    )
    checkpointer.count(1)
    owned = Owned(lane, checkpointer, 0, is_cold=True)
    metrics.opened(owned, 0.2)
    metrics.state([owned], Status("running", "", 1.0, 1, 7, 2.5), 14.0)
    metrics.case_alerts(2, newly_dropped=1)
    metrics.alertmanager_told(1_772_380_803.0)
    metrics.alertmanager_failed()
    metrics.canary_begun(1_772_380_700.0)
    metrics.canary_sent()
    metrics.canary_sent()
    metrics.canary_seen(0.3, 1_772_380_804.0)
    metrics.canary_lost()
    return metrics.exposition("running", True).decode()


def test_the_exposition_is_the_golden_one() -> None:
    assert exposition().replace(f'"{detector.__version__}"', '"VERSION"') == GOLDEN.read_text()


def test_what_an_engine_counts_itself_is_counted_from_when_its_partition_came() -> None:
    metrics = Metrics({"policy": "cn 1", "policy_hash": "abc", "mapping": "canonical"})
    lane = Assembly.load(None).make_lane(Partition("tips", 0), 1)
    owned = Owned(lane, None, 0)
    by_rule = lane.engines[0]._learning.reviews.by_rule
    labels = {"rule": "declared_age", "verdict": "confirmed"}

    def counted() -> float | None:
        metrics.state([owned], Status(), 0.0)
        return metrics.registry.get_sample_value("tip_detector_judged_rules_total", labels)

    by_rule["declared_age", "confirmed"] = 5  # as it was saved
    assert counted() == 0
    for total in (6, 9):
        by_rule["declared_age", "confirmed"] = total
        assert counted() == total - 5


def test_promtool_has_nothing_to_say(promtool: str) -> None:
    done = subprocess.run(
        [promtool, "check", "metrics"], input=exposition().encode(), capture_output=True,
        check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_every_metric_stands_in_the_readme() -> None:
    readme = (ROOT / "README.md").read_text()
    assert [spec.name for spec in METRICS if f"`{spec.name}`" not in readme] == []
