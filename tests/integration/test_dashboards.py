"""Every query of the shipped dashboards, against a Prometheus that scrapes a live detector."""

from __future__ import annotations

import math
import re
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from tests.alerts.stack import Alertmanager, Prometheus
from tests.console.stack import Browser, Console, write
from tests.integration.process import Detector
from tests.integration.test_run import make_topics, until
from tests.kafka_node import HOST, ROOT, KafkaNode, keep_port

pytestmark = pytest.mark.kafka

DASHBOARDS = sorted((ROOT / "deploy" / "grafana" / "dashboards").glob("*.json"))
QUERIES = [
    (target["expr"], target["legendFormat"])
    for path in DASHBOARDS
    for panel in orjson.loads(path.read_bytes())["panels"]
    for target in panel.get("targets", ())
]
"""(PromQL, legend)."""
PREFIX = "dashboards"


def tips() -> list[dict[str, Any]]:
    """Of twenty children who say so, each with a case of its own."""
    now_ms = int(time.time() * 1000)
    return [
        {"event_id": f"e{number}", "event_time": now_ms + number, "tipper_id": f"t{number}",
         "streamer_id": "s1", "amount": "12.50", "currency": "CNY", "tipper_age": 12}
        for number in range(20)
    ]  # fmt: skip


def ask(prometheus: Prometheus, query: str) -> list[dict[str, Any]]:
    """The series of an instant query that have a figure, NaN being none."""
    url = f"{prometheus.url}/api/v1/query?" + urllib.parse.urlencode({"query": query})
    with urllib.request.urlopen(url, timeout=10) as answer:
        found = orjson.loads(answer.read())["data"]["result"]
    return [each for each in found if math.isfinite(float(each["value"][1]))]


@pytest.fixture(scope="module")
def prometheus(kafka: KafkaNode, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """It has seen a detector and a console at rest, then tips, bad records and decisions."""
    folder = tmp_path_factory.mktemp(PREFIX)
    make_topics(kafka, PREFIX)
    for topic in ("verdicts", "accounts"):
        kafka.create_topic(f"{PREFIX}-{topic}", 1)
    ports = {name: keep_port(kafka, None) for name in ("tip-detector", "tip-detector-console")}
    targets = {name: f"{HOST}:{port}" for name, port in ports.items()}
    with (
        Alertmanager(folder / "alertmanager") as alertmanager,
        Detector(
            folder, kafka.bootstrap, PREFIX,
            TOPICS__VERDICTS=f"{PREFIX}-verdicts", TOPICS__ACCOUNTS=f"{PREFIX}-accounts",
            HTTP__PORT=str(ports["tip-detector"]), ALERTMANAGER__URL=alertmanager.url,
            CANARY__INTERVAL_S="0.5", CANARY__TIMEOUT_S="30",
        ) as detector,
        Console(
            folder, kafka.bootstrap, PREFIX, CONSOLE__PORT=str(ports["tip-detector-console"])
        ) as console,
        Prometheus(folder / "prometheus", targets, alertmanager) as running,
    ):  # fmt: skip
        detector.wait_ready()
        console.wait_ready()
        for name in targets:  # a rate needs a scrape before anything happens
            twice = f'count_over_time(up{{job="{name}"}}[1m]) > 1'
            until(lambda twice=twice: bool(ask(running, twice)))
        _live(kafka, Browser(console), detector)
        yield running


def _live(kafka: KafkaNode, reviewer: Browser, detector: Detector) -> None:
    """What a day brings, in seconds."""
    kafka.produce(f"{PREFIX}-tips", [(b"k", b"no JSON")])
    write(kafka, f"{PREFIX}-tips", tips())
    until(lambda: len(_cases(kafka)) == 20)
    decided = _cases(kafka)[:2]
    for case_id, act in zip(decided, ("confirmed", "false_positive"), strict=True):
        until(lambda case_id=case_id: reviewer.ask(f"/cases/{case_id}.json")[0] == 200)
        version = reviewer.json(f"/cases/{case_id}.json")["row"]["version"]
        form = {"csrf": reviewer.csrf, "version": version, "act": act}
        assert reviewer.ask(f"/cases/{case_id}/decide", form)[0] == 303

    def are_read() -> bool:
        write(kafka, f"{PREFIX}-tips", [{**tips()[0], "event_id": f"late{time.monotonic_ns()}"}])
        return detector.metric("judged_total", kind="minor") == 2

    until(are_read)


def _cases(kafka: KafkaNode) -> list[str]:
    flags = (orjson.loads(each.value) for each in kafka.read_all(f"{PREFIX}-flags", 10))
    return sorted({each["case_id"] for each in flags if each["kind"] == "minor"})


def test_there_are_dashboards() -> None:
    assert len(DASHBOARDS) == 2
    assert len(QUERIES) > 50


def test_every_query_has_figures_and_every_legend_its_labels(prometheus: Prometheus) -> None:
    deadline_s = time.monotonic() + 60
    silent = QUERIES
    while silent and time.monotonic() < deadline_s:
        silent = [each for each in silent if not _shows(prometheus, *each)]
        time.sleep(0.5)
    assert silent == []


def _shows(prometheus: Prometheus, query: str, legend: str) -> bool:
    labels = set(re.findall(r"{{(\w+)}}", legend))
    found = ask(prometheus, query)
    return bool(found) and all(labels <= each["metric"].keys() for each in found)
