"""Cases to a real Alertmanager, by what a real Apache Kafka has committed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from kafka import KafkaProducer

from detector.edges.alert_sender import make_alert_sender
from detector.edges.metrics import PREFIX, Metrics
from detector.settings import Settings, load_settings
from tests.alertmanager_node import AlertmanagerNode
from tests.conftest import program
from tests.engines import RECEIVED_MS, ROOT, engine
from tests.integration.process import Detector
from tests.kafka_node import KafkaNode

pytestmark = pytest.mark.kafka

SUBJECT = "tipper-that-nobody-may-read"


@pytest.fixture(scope="module")
def alertmanager(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AlertmanagerNode]:
    """One for all tests of this file; it runs whenever a test begins."""
    node = AlertmanagerNode(
        program("prometheus-alertmanager"), tmp_path_factory.mktemp("alertmanager")
    )
    with node:
        yield node


@pytest.fixture
def settings(kafka: KafkaNode, topic_prefix: str, alertmanager: AlertmanagerNode) -> Settings:
    """Of topics that no other test uses."""
    for name in ("flags", "verdicts"):
        kafka.create_topic(f"{topic_prefix}{name}", 2)
    return changed(kafka, topic_prefix, alertmanager)


def changed(kafka: KafkaNode, prefix: str, alertmanager: AlertmanagerNode, **more: str) -> Settings:
    environment = {
        "KAFKA__BOOTSTRAP_SERVERS": kafka.bootstrap, "TOPICS__FLAGS": f"{prefix}flags",
        "TOPICS__VERDICTS": f"{prefix}verdicts", "ALERTMANAGER__URL": alertmanager.url, **more,
    }  # fmt: skip
    return load_settings(None, ROOT / "config" / "detector.toml", {
        f"TIP_DETECTOR__{name}": value for name, value in environment.items()
    })  # fmt: skip


def minors_tip(number: int) -> dict[str, Any]:
    now_ms = time.time_ns() // 1_000_000
    return {"event_id": f"e{number}-{now_ms}", "event_time": now_ms, "tipper_id": SUBJECT,
            "streamer_id": "s", "amount": "66", "currency": "CNY", "tipper_age": 12}  # fmt: skip


def flag(number: int, case: str, **more: Any) -> dict[str, Any]:
    """A high flag as the engine writes it, of a case that no other test has."""
    tips, reader = engine()
    decision = tips.process(reader.read(minors_tip(number), RECEIVED_MS))
    (found,) = decision.flags  # type: ignore[union-attr]
    assert found.severity == "high"
    return {**found.record, "flag_id": f"f_{case}_{number}", "case_id": case, **more}


def verdict(flag: dict[str, Any]) -> dict[str, Any]:
    return {"flag_id": flag["flag_id"], "verdict": "confirmed", "kind": flag["kind"],
            "reviewer": "r1", "decided_at": time.time_ns() // 1_000_000}  # fmt: skip


def write(kafka: KafkaNode, topic: str, *records: dict[str, Any]) -> None:
    kafka.produce(topic, [(b"k", orjson.dumps(each)) for each in records])


@contextmanager
def sender(settings: Settings) -> Iterator[Metrics]:
    metrics = Metrics({"policy": "", "policy_hash": "", "mapping": ""})
    running = make_alert_sender(settings, metrics)
    running.start()
    try:
        yield metrics
    finally:
        running.close()


def value(metrics: Metrics, name: str) -> float:
    return metrics.registry.get_sample_value(PREFIX + name) or 0.0


def firing(alertmanager: AlertmanagerNode, prefix: str) -> set[str]:
    """The cases of one test that it fires."""
    return {case for case in alertmanager.firing() if case.startswith(prefix)}


def until(condition: Any, timeout_s: float = 20) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s, "it did not come about in time"
        time.sleep(0.05)


def test_a_high_case_fires_with_its_reasons_until_a_reviewer_has_judged_it(
    kafka: KafkaNode, topic_prefix: str, alertmanager: AlertmanagerNode, tmp_path: Path
) -> None:
    prefix = topic_prefix.rstrip("-")
    for name in ("tips", "flags", "dead", "verdicts"):
        kafka.create_topic(f"{prefix}-{name}")
    before = set(alertmanager.firing())
    with Detector(
        tmp_path, kafka.bootstrap, prefix, TOPICS__VERDICTS=f"{prefix}-verdicts",
        ALERTMANAGER__URL=alertmanager.url, CONSOLE__URL="https://console.test/tips/",
        ALERTMANAGER__RUNBOOK_URL="https://runbooks.test/TipCase",
    ) as detector:  # fmt: skip
        write(kafka, f"{prefix}-tips", minors_tip(1))
        until(lambda: set(alertmanager.firing()) - before)
        (case_id,) = set(alertmanager.firing()) - before
        alert = alertmanager.firing()[case_id]
        assert alert["labels"] == {
            "alertname": "TipCase", "team": "reviewers", "kind": "minor", "severity": "high",
            "case_id": case_id, "subject_type": "tipper",
        }  # fmt: skip
        text = alert["annotations"]
        assert text["summary"].startswith("Tips by a minor (tipper), severity high: ")
        assert text["summary_zh"].startswith("未成年人打赏（打赏者），严重程度高：")
        (written,) = (orjson.loads(each.value) for each in kafka.read_all(f"{prefix}-flags", 10))
        for language, name in (("en", "description"), ("zh", "description_zh")):
            assert [line.removeprefix("- ") for line in text[name].splitlines()] == [
                reason["text"][language] for reason in written["reasons"]
            ]
        assert text["console_url"] == f"https://console.test/tips/cases/{case_id}"
        assert text["runbook_url"] == "https://runbooks.test/TipCase"
        assert SUBJECT not in str(alert)
        assert detector.metric("case_alerts") == 1
        line = f"high flag {written['flag_id']}: minor, severity high, case {case_id}, from "
        assert f"{line}{prefix}-tips[0]@0" in detector.log.read_text()
        assert SUBJECT not in detector.log.read_text()
        write(kafka, f"{prefix}-verdicts", verdict(written))
        until(lambda: case_id not in alertmanager.firing())
        until(lambda: detector.metric("case_alerts") == 0)
        assert detector.metric("alertmanager_failures_total") == 0
        assert time.time() - detector.metric("alertmanager_last_success_timestamp_seconds") < 60
        assert detector.terminate()[0] == 0


def test_an_alertmanager_that_was_away_or_has_forgotten_is_told_again(
    kafka: KafkaNode, topic_prefix: str, settings: Settings, alertmanager: AlertmanagerNode
) -> None:
    case = f"{topic_prefix}c"
    again = changed(kafka, topic_prefix, alertmanager, ALERTMANAGER__RESEND_S="1")
    alertmanager.stop()
    with sender(again) as metrics:
        write(kafka, settings.topics.flags, flag(1, case))
        until(lambda: value(metrics, "alertmanager_failures_total") >= 2)
        assert value(metrics, "case_alerts") == 1
        alertmanager.start()
        until(lambda: firing(alertmanager, case) == {case})
        alertmanager.stop()
        alertmanager.start()
        until(lambda: firing(alertmanager, case) == {case})


def test_what_was_flagged_or_judged_while_nobody_ran_is_told_by_the_next_and_paged_once(
    kafka: KafkaNode, topic_prefix: str, settings: Settings, alertmanager: AlertmanagerNode
) -> None:
    judged, open_, late = (
        flag(1, f"{topic_prefix}{name}") for name in ("judged", "open", "late")
    )  # fmt: skip
    worse = flag(2, open_["case_id"], update=True)
    others = [{"labels": {"alertname": "TipCase", "case_id": f"{topic_prefix}of-others"}}]
    alertmanager.post(others)
    with sender(settings):
        write(kafka, settings.topics.flags, judged, open_)
        until(lambda: len(firing(alertmanager, topic_prefix)) == 3)
    write(kafka, settings.topics.verdicts, verdict(judged))
    write(kafka, settings.topics.flags, late, worse)
    assert len(firing(alertmanager, topic_prefix)) == 3
    with sender(settings), sender(settings):  # two instances say the same
        until(lambda: firing(alertmanager, topic_prefix) == {
            open_["case_id"], late["case_id"], f"{topic_prefix}of-others"
        })  # fmt: skip
        pages = [
            (judged["case_id"], "firing"), (judged["case_id"], "resolved"),
            (late["case_id"], "firing"), (open_["case_id"], "firing"),
            (f"{topic_prefix}of-others", "firing"),
        ]  # fmt: skip
        until(lambda: set(pages) <= set(alertmanager.pages))
    paged = [page for page in alertmanager.pages if page[0].startswith(topic_prefix)]
    assert sorted(paged) == sorted(pages)


def test_flags_of_an_aborted_transaction_page_nobody_nor_do_records_that_are_no_flags(
    kafka: KafkaNode, topic_prefix: str, settings: Settings, alertmanager: AlertmanagerNode
) -> None:
    topic = settings.topics.flags
    with sender(settings) as metrics:
        producer = KafkaProducer(
            bootstrap_servers=kafka.bootstrap, transactional_id=f"{topic_prefix}aborted"
        )
        producer.init_transactions()
        producer.begin_transaction()
        aborted = orjson.dumps(flag(1, f"{topic_prefix}aborted"))
        producer.send(topic, aborted, partition=0).get(10)
        kafka.produce(topic, [(b"k", b"{"), (b"k", b"{}"), (b"k", None)], partition=1)
        write(kafka, topic, flag(2, f"{topic_prefix}medium", severity="medium"))
        producer.abort_transaction()
        producer.close()
        marker = orjson.dumps(flag(3, f"{topic_prefix}committed"))
        for partition in (0, 1):
            kafka.produce(topic, [(b"k", marker)], partition=partition)
        until(lambda: f"{topic_prefix}committed" in alertmanager.firing())
        assert firing(alertmanager, topic_prefix) == {f"{topic_prefix}committed"}
        assert value(metrics, "case_alerts") == 1


def test_beyond_the_limit_the_alert_with_the_oldest_news_ends_and_is_counted(
    kafka: KafkaNode, topic_prefix: str, settings: Settings, alertmanager: AlertmanagerNode
) -> None:
    two = changed(kafka, topic_prefix, alertmanager, ALERTMANAGER__MAX_ALERTS="2")
    names = [f"{topic_prefix}{number}" for number in range(3)]
    with sender(two) as metrics:
        for name in names:
            write(kafka, settings.topics.flags, flag(1, name))
            until(lambda name=name: name in alertmanager.firing())  # type: ignore[misc]
        until(lambda: firing(alertmanager, topic_prefix) == set(names[1:]))
        assert value(metrics, "case_alerts_dropped_total") == 1
        assert value(metrics, "case_alerts") == 2
