"""The canary through a real Apache Kafka and a real detector: seen, lost, and never a tip."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from detector.edges.canary import Canary
from detector.edges.metrics import PREFIX, Metrics
from detector.runtime.canary import CANARY_HEADER, CANARY_VALUE
from detector.setting_sections import CanarySettings
from detector.settings import load_settings
from tests.engines import ROOT
from tests.integration.process import Detector
from tests.kafka_node import KafkaNode

pytestmark = pytest.mark.kafka

GROUP = "canary"


@pytest.fixture(scope="module")
def detector(kafka: KafkaNode, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Detector]:
    """A detector with a mapping, two views, every score written, and a canary of its own."""
    for name, partitions in {"tips": 2, "flags": 1, "dead": 1, "scores": 1, "accounts": 1}.items():
        kafka.create_topic(f"{GROUP}-{name}", partitions)
    with Detector(
        tmp_path_factory.mktemp("canary"), kafka.bootstrap, GROUP,
        INPUT__MAPPING="bilibili", TOPICS__TIPS_KEY="other", TOPICS__WRITE_SCORES="true",
        TOPICS__SCORES=f"{GROUP}-scores", TOPICS__ACCOUNTS=f"{GROUP}-accounts",
        CANARY__INTERVAL_S="0.2", CANARY__TIMEOUT_S="20", KAFKA__SESSION_TIMEOUT_MS="20000",
    ) as running:  # fmt: skip
        running.wait_ready()
        yield running


def until(condition: Any, timeout_s: float = 20) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s, "it did not come about in time"
        time.sleep(0.05)


def test_canaries_are_seen_on_every_partition_and_lead_to_nothing(
    kafka: KafkaNode, detector: Detector
) -> None:
    until(lambda: detector.metric("canary_seconds_count") >= 4)
    sent, seen = detector.metric("canary_sent_total"), detector.metric("canary_seconds_count")
    assert seen <= sent <= seen + 3
    assert detector.metric("canary_lost_total") == 0
    assert detector.metric("canary_seconds_sum") / seen < 10
    assert time.time() - detector.metric("canary_last_seen_timestamp_seconds") < 10
    canaries = kafka.read_all("canary-tips", 10, count=4)
    assert {each.partition for each in canaries} == {0, 1}
    assert {each.value for each in canaries} == {CANARY_VALUE}
    assert orjson.loads(CANARY_VALUE)["canary"] == "tip-detector"
    for name in ("events_total", "skipped_total", "dead_letters_total", "flags_total",
                 "duplicates_total", "score_count", "account_changes_total"):  # fmt: skip
        assert detector.metric(name) == 0, name
    for topic in ("dead", "flags", "scores", "accounts"):
        assert kafka.end(f"canary-{topic}", "read_uncommitted") == 0, topic
    batches = kafka.read_all("canary-rekeyed", 10)
    assert all(orjson.loads(each.value)["offset"] == [] for each in batches)


def test_a_record_that_only_claims_to_be_a_canary_is_treated_as_any_other(
    kafka: KafkaNode, detector: Detector
) -> None:
    header = [(CANARY_HEADER, b"1")]
    kafka.produce("canary-tips", [(b"k", b"{", header), (b"k", CANARY_VALUE)])
    until(lambda: kafka.end("canary-dead") >= 2)
    assert {each.value for each in kafka.read_all("canary-dead", 10)} == {b"{", CANARY_VALUE}


def test_a_canary_is_lost_while_nobody_reads_and_seen_once_somebody_does(
    kafka: KafkaNode, detector: Detector
) -> None:
    settings = load_settings(None, ROOT / "config" / "detector.toml", {
        "TIP_DETECTOR__KAFKA__BOOTSTRAP_SERVERS": kafka.bootstrap,
        "TIP_DETECTOR__KAFKA__GROUP_ID": GROUP,
    })  # fmt: skip
    metrics = Metrics({"policy": "", "policy_hash": "", "mapping": ""})

    def value(name: str) -> float:
        return metrics.registry.get_sample_value(PREFIX + name) or 0.0

    began_s = time.time()
    canary = Canary(
        settings.kafka, "canary-tips", CanarySettings(interval_s=0.1, timeout_s=1.5), metrics
    )
    canary.start()
    try:
        until(lambda: value("canary_seconds_count") >= 1)
        lost_before = value("canary_lost_total")
        detector.process.send_signal(signal.SIGSTOP)
        until(lambda: value("canary_lost_total") >= lost_before + 2)
        seen = value("canary_seconds_count")
        detector.process.send_signal(signal.SIGCONT)
        until(lambda: value("canary_seconds_count") > seen)
    finally:
        detector.process.send_signal(signal.SIGCONT)
        canary.close()
    assert began_s < value("canary_last_seen_timestamp_seconds") <= time.time()
    assert detector.terminate()[0] == 0
