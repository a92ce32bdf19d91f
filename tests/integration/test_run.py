"""`tip-detector run` against a real Apache Kafka."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from detector.lab.simulate import Scenario, simulate
from tests.integration.process import ROOT, Detector
from tests.kafka_node import KafkaNode

pytestmark = pytest.mark.kafka

BAD = [b"not json", b"[1, 2]", b"\xff\xfe", b'{"event_id": "x"}', b'{"type": "nonsense"}']


def tips(count: int, seed: int = 7) -> list[dict[str, Any]]:
    scenario = Scenario(
        seed=seed, events=count, days=14, cases_per_10k={"minor": 10, "outsized": 5, "binge": 5}
    )
    return [each.event for each in simulate(scenario)]


def keyed(events: list[dict[str, Any]]) -> list[tuple[bytes, bytes]]:
    return [
        ((each.get("tipper_id") or each.get("streamer_id") or "").encode(), orjson.dumps(each))
        for each in events
    ]


def make_topics(node: KafkaNode, prefix: str, partitions: int = 1) -> None:
    node.create_topic(f"{prefix}-tips", partitions)
    node.create_topic(f"{prefix}-flags", 1)
    node.create_topic(f"{prefix}-dead", 1, {"max.message.bytes": "2097152"})


def until(condition: Callable[[], bool], timeout_s: float = 40) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s, "it did not come about in time"
        time.sleep(0.2)


def committed(node: KafkaNode, prefix: str) -> int:
    return sum(node.committed(prefix, f"{prefix}-tips").values())


def flags(node: KafkaNode, prefix: str) -> list[dict[str, Any]]:
    return [orjson.loads(each.value) for each in node.read_all(f"{prefix}-flags", 10)]


def settled(node: KafkaNode, prefix: str) -> None:
    """Waits until no transaction on the flags is open: a commit is final before all can see it."""
    topic = f"{prefix}-flags"
    until(lambda: node.end(topic, "read_committed") == node.end(topic, "read_uncommitted"))


def flags_by_score(lines: list[bytes]) -> list[dict[str, Any]]:
    """What `tip-detector score` says of the same records."""
    done = subprocess.run(
        [sys.executable, "-m", "detector", "score"], input=b"\n".join(lines) + b"\n", cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, check=True, timeout=120,
    )  # fmt: skip
    decisions = [orjson.loads(line) for line in done.stdout.splitlines()]
    assert len(decisions) == len(lines)
    return [flag for decision in decisions for flag in decision.get("flags", [])]


def test_flags_equal_those_of_score_and_bad_records_become_dead_letters_with_their_bytes(
    kafka: KafkaNode, topic_prefix: str, tmp_path: Path, promtool: str
) -> None:
    make_topics(kafka, topic_prefix)
    good = keyed(tips(3000))
    kafka.produce(f"{topic_prefix}-tips", [*good[:1500], *((b"k", bad) for bad in BAD),
                                           *good[1500:], good[-1]])  # fmt: skip
    with Detector(tmp_path, kafka.bootstrap, topic_prefix) as detector:
        detector.wait_ready()
        until(lambda: committed(kafka, topic_prefix) == len(good) + len(BAD) + 1)
        _, metrics = detector.get("/metrics")
        assert detector.metric("events_total") == len(good)
        assert detector.metric("duplicates_total") == 1
        assert detector.metric("dead_letters_total") == len(BAD)
        assert detector.get("/healthz")[0] == 200
        code, took_s = detector.terminate()
    assert code == 0
    assert took_s < 10
    found = flags(kafka, topic_prefix)
    assert found == flags_by_score([value for _, value in good])
    assert {flag["kind"] for flag in found} >= {"minor", "outsized"}
    dead = kafka.read_all(f"{topic_prefix}-dead", 10)
    assert [each.value for each in dead] == BAD
    assert [dict(each.headers)["reason"] for each in dead] == [
        b"not_json", b"not_object", b"invalid_utf8", b"missing_field", b"unknown_type",
    ]  # fmt: skip
    assert dict(dead[0].headers)["offset"] == b"1500"
    checked = subprocess.run(
        [promtool, "check", "metrics"], input=metrics.encode(), capture_output=True, check=False
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")


def test_sigterm_in_mid_stream_loses_nothing(
    kafka: KafkaNode, topic_prefix: str, tmp_path: Path
) -> None:
    make_topics(kafka, topic_prefix)
    events = keyed(tips(30_000, seed=8))
    kafka.produce(f"{topic_prefix}-tips", events)
    settings = {"COMMIT__RECORDS": "200"}
    with Detector(tmp_path, kafka.bootstrap, topic_prefix, **settings) as detector:
        until(lambda: b"metrics at" in detector.log.read_bytes())
        until(lambda: detector.metric("events_total") > 6_000)
        code, took_s = detector.terminate()
        assert (code, took_s < 10) == (0, True), detector.log.read_text()
    reached = committed(kafka, topic_prefix)
    assert 6_000 < reached < len(events)
    first = flags_by_score([value for _, value in events[:reached]])
    assert first
    settled(kafka, topic_prefix)
    assert flags(kafka, topic_prefix) == first
    with Detector(tmp_path, kafka.bootstrap, topic_prefix) as detector:
        until(lambda: committed(kafka, topic_prefix) == len(events))
    declared = {
        orjson.loads(value)["event_id"]
        for _, value in events
        if (orjson.loads(value).get("tipper_age") or 99) < 18
        and orjson.loads(value).get("type", "tip") == "tip"
    }
    flagged = {f["event_id"] for f in flags(kafka, topic_prefix) if f["kind"] == "minor"}
    assert declared
    assert declared <= flagged


def test_a_broker_that_goes_away_and_comes_back_loses_nothing(
    tmp_path: Path, kafka: KafkaNode
) -> None:
    prefix = "outage"
    with KafkaNode(tmp_path / "node") as node:
        make_topics(node, prefix)
        events = keyed(tips(2000, seed=9))
        with Detector(tmp_path, node.bootstrap, prefix) as detector:
            detector.wait_ready()
            node.produce(f"{prefix}-tips", events[:1000])
            until(lambda: committed(node, prefix) == 1000)
            node.stop()
            detector.wait_ready(is_ready=False)
            assert detector.get("/healthz")[0] == 200
            node.start()
            detector.wait_ready()
            node.produce(f"{prefix}-tips", events[1000:])
            until(lambda: committed(node, prefix) == len(events))
            code, _ = detector.terminate()
        assert code == 0
        assert flags(node, prefix) == flags_by_score([value for _, value in events])


def test_a_detector_started_before_its_broker_waits_for_it(
    tmp_path: Path, kafka: KafkaNode
) -> None:
    prefix = "early"
    with KafkaNode(tmp_path / "node") as node:
        make_topics(node, prefix)
        node.stop()
        with Detector(tmp_path, node.bootstrap, prefix) as detector:
            until(lambda: b"no broker answers" in detector.log.read_bytes())
            status, detail = detector.get("/readyz")
            assert status == 503
            assert "unreachable" in detail
            node.start()
            detector.wait_ready()


def test_two_share_four_partitions_and_the_one_that_stays_takes_over(
    kafka: KafkaNode, topic_prefix: str, tmp_path: Path
) -> None:
    make_topics(kafka, topic_prefix, partitions=4)
    events = keyed(tips(4000, seed=10))
    with (
        Detector(tmp_path, kafka.bootstrap, topic_prefix) as one,
        Detector(tmp_path, kafka.bootstrap, topic_prefix) as two,
    ):
        until(
            lambda: (
                all(b"metrics at" in each.log.read_bytes() for each in (one, two))
                and (one.metric("assigned_partitions"), two.metric("assigned_partitions")) == (4, 4)
            )
        )
        kafka.produce(f"{topic_prefix}-tips", events[:2000])
        until(lambda: committed(kafka, topic_prefix) == 2000)
        seen = one.metric("events_total"), two.metric("events_total")
        assert min(seen) > 0
        assert sum(seen) == 2000
        code, _ = two.terminate()
        assert code == 0
        until(lambda: one.metric("assigned_partitions") == 8)
        kafka.produce(f"{topic_prefix}-tips", events[2000:])
        until(lambda: committed(kafka, topic_prefix) == len(events))
        assert one.metric("events_total") == seen[0] + 2000
    found = [flag["flag_id"] for flag in flags(kafka, topic_prefix)]
    assert found
    assert len(found) == len(set(found))
