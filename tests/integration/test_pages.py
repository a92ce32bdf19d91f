"""From a tip to a page: Apache Kafka, the detector, Prometheus, Alertmanager, a mail."""

from __future__ import annotations

import time
from pathlib import Path

import orjson
import pytest

from tests.alerts.stack import Alertmanager, MailServer, Prometheus
from tests.integration.process import Detector
from tests.integration.test_run import make_topics
from tests.kafka_node import HOST, KafkaNode, keep_port

pytestmark = pytest.mark.kafka

CONSOLE = "http://127.0.0.1:9470/?kind=minor&severity=high"


def tip_of_a_declared_minor() -> tuple[bytes, bytes]:
    return b"t1", orjson.dumps({
        "event_id": "e1", "event_time": int(time.time() * 1000), "tipper_id": "t1",
        "streamer_id": "s1", "amount": "20", "currency": "CNY", "tipper_age": 12,
    })  # fmt: skip


def test_a_minors_tip_and_a_dead_detector_are_paged_and_both_pages_end(
    kafka: KafkaNode, topic_prefix: str, tmp_path: Path
) -> None:
    make_topics(kafka, topic_prefix)
    port = keep_port(kafka, None)
    targets = {"tip-detector": f"{HOST}:{port}"}

    def detector() -> Detector:
        return Detector(tmp_path, kafka.bootstrap, topic_prefix, HTTP__PORT=str(port))

    with (
        MailServer() as mail,
        Alertmanager(tmp_path / "alertmanager", mail.port) as alertmanager,
        Prometheus(tmp_path / "prometheus", targets, alertmanager),
    ):
        with detector() as first:
            first.wait_ready()
            kafka.produce(f"{topic_prefix}-tips", [tip_of_a_declared_minor()])
            subject, page = mail.wait_for(
                "reviewers@localhost", lambda subject, _: "FIRING" in subject, within_s=60
            )
            assert subject == (
                "[FIRING 告警] Tips by a minor 未成年人打赏: "
                "New or worsened cases of declared minors who tip: 1"
            )
            assert page.startswith("Tips by a minor 未成年人打赏\n1 open 条未恢复, since 始于 2")
            assert "已声明未成年人打赏：新增或加重 1 起\n" in page
            assert f"Look 查看: {CONSOLE}\n" in page
            assert "/TipDetectorDeclaredMinor.md\n" in page
            assert "t1" not in subject + page
        mail.wait_for(
            "platform@localhost",
            lambda subject, text: "FIRING" in subject and "/TipDetectorDown.md" in text,
            within_s=60,
        )
        with detector() as second:
            second.wait_ready()
            resolved = "No instance of the tip detector answers"
            for to, summary in (("reviewers", "declared minors"), ("platform", resolved)):
                mail.wait_for(
                    f"{to}@localhost",
                    lambda subject, _, summary=summary: (
                        "RESOLVED" in subject and summary in subject
                    ),
                    within_s=60,
                )
            assert second.metric("paging_flags_total") == 0
    pages = [m for m in mail.mails if m["To"] == "reviewers@localhost" and "FIRING" in m["Subject"]]
    assert len(pages) == 1
