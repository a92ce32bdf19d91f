"""`tip-detector run` learns from verdicts in a real Apache Kafka, whatever becomes of it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.integration.process import Detector
from tests.integration.test_run import committed, flags, keyed, make_topics, settled, tips, until
from tests.kafka_node import KafkaNode

pytestmark = pytest.mark.kafka

FOLLOWED_S = 2.0
"""After so long an instance has read what lies in the verdict topic."""


def verdicts(*numbers: int) -> list[tuple[bytes, bytes]]:
    records = (
        {
            "event_id": f"e{number}", "verdict": "confirmed", "kind": "minor", "reviewer": "r1",
            "decided_at": 1_772_380_802_272,
        }
        for number in numbers
    )  # fmt: skip
    return [(b"k", orjson.dumps(record)) for record in records]


def flags_of_a_run(
    node: KafkaNode, folder: Path, prefix: str, is_killed: bool
) -> list[dict[str, Any]]:
    """Tips in three parts, verdicts before the last two; perhaps killed amid the second."""
    make_topics(node, prefix)
    node.create_topic(f"{prefix}-verdicts", 2)
    events = keyed(tips(6_000))

    def detector() -> Detector:
        settings = {"TOPICS__VERDICTS": f"{prefix}-verdicts", "COMMIT__RECORDS": "50",
                    "KAFKA__TRANSACTION_TIMEOUT_MS": "3000"}  # fmt: skip
        return Detector(folder, node.bootstrap, prefix, "tests.minding", **settings)

    with detector() as one:
        node.produce(f"{prefix}-tips", events[:2_000])
        until(lambda: committed(node, prefix) == 2_000)
        node.produce(f"{prefix}-verdicts", verdicts(1, 2, 3))
        time.sleep(FOLLOWED_S)
        node.produce(f"{prefix}-tips", events[2_000:4_000])
        until(lambda: committed(node, prefix) > 2_000)
        if not is_killed:
            until(lambda: committed(node, prefix) == 4_000)
            return _finish(node, prefix, one, events)
    assert committed(node, prefix) < 4_000, "it was killed too late to tell anything"
    with detector() as two:
        until(lambda: committed(node, prefix) == 4_000)
        assert two.metric("replayed_total") >= 2_000, two.log.read_text()
        return _finish(node, prefix, two, events)


def _finish(
    node: KafkaNode, prefix: str, detector: Detector, events: list[tuple[bytes, bytes]]
) -> list[dict[str, Any]]:
    node.produce(f"{prefix}-verdicts", verdicts(4, 5))
    time.sleep(FOLLOWED_S)
    node.produce(f"{prefix}-tips", events[4_000:])
    until(lambda: committed(node, prefix) == len(events))
    assert detector.metric("verdicts_total", verdict="confirmed") >= 2
    settled(node, prefix)
    return flags(node, prefix)


def test_whoever_takes_over_from_a_killed_one_has_learned_the_same_at_the_same_tips(
    kafka: KafkaNode, topic_prefix: str, tmp_path: Path
) -> None:
    undisturbed = flags_of_a_run(kafka, tmp_path, f"{topic_prefix}a", is_killed=False)
    killed = flags_of_a_run(kafka, tmp_path, f"{topic_prefix}b", is_killed=True)
    assert killed == undisturbed
    assert len({flag["learned"] for flag in undisturbed}) == 3
