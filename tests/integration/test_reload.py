"""A running detector whose configuration changes, whose ids are pseudonyms, and which is killed.

One story on a real Apache Kafka, told once; each test looks at a part of what came of it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import pytest

from detector.edges.pseudonyms import NAMING
from tests.engines import POLICIES
from tests.integration.process import ROOT, Detector
from tests.integration.test_run import committed, flags, keyed, make_topics, settled, tips, until
from tests.kafka_node import KafkaNode

pytestmark = pytest.mark.kafka

COUNT = 2_500
RAW = "RAW-ID-"
"""What every id of the story's events begins with; an id of a user that got out shows it."""


@dataclass
class Story:
    """What was seen."""

    prefix: str
    config: Path
    events: list[tuple[bytes, bytes]] = field(default_factory=list)
    bad: tuple[int, str] = (0, "")
    bad_gauge: float = -1
    fixed_log: str = ""
    build: list[str] = field(default_factory=list)
    replayed: float = -1
    flags: list[dict[str, Any]] = field(default_factory=list)
    logs: str = ""
    metrics: str = ""


def write_config(folder: Path, pack: str, extra: str = "") -> Path:
    (folder / "mine.toml").write_text(pack, "utf-8")
    config = folder / "config.toml"
    config.write_text(
        f'[policy]\npack = "mine.toml"\n[reload]\ninterval_s = 0.5\n'
        f'[pseudonyms]\nkey_file = "{folder / "key"}"\n{extra}',
        "utf-8",
    )
    return config


def with_raw_ids(number: int, event: dict[str, Any]) -> dict[str, Any]:
    """The event with ids that can be searched for; every fortieth is a minor's, worth a flag."""
    if number % 40 == 0:
        event = {**event, "tipper_age": 12}
    return {
        name: f"{RAW}{value}" if name in NAMING and value else value
        for name, value in event.items()
    }


@pytest.fixture(scope="module")
def story(kafka: KafkaNode, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    folder = tmp_path_factory.mktemp("story")
    (folder / "key").write_bytes(os.urandom(32))
    (folder / "key").chmod(0o600)
    pack = (POLICIES / "cn.toml").read_text("utf-8")
    config = write_config(folder, pack)
    told = Story(f"reload-{os.urandom(4).hex()}", config)
    told.events = keyed([with_raw_ids(number, event) for number, event in enumerate(tips(COUNT))])
    prefix, feed = told.prefix, told.events
    make_topics(kafka, prefix)
    for name in ("verdicts", "accounts"):
        kafka.create_topic(f"{prefix}-{name}", 1)

    def detector() -> Detector:
        return Detector(
            folder, kafka.bootstrap, prefix, config=config, COMMIT__RECORDS="50",
            KAFKA__TRANSACTION_TIMEOUT_MS="3000", TOPICS__VERDICTS=f"{prefix}-verdicts",
            TOPICS__ACCOUNTS=f"{prefix}-accounts", TOPICS__WRITE_SCORES="true",
            TOPICS__SCORES=f"{prefix}-scores",
        )  # fmt: skip

    kafka.create_topic(f"{prefix}-scores", 1)
    with detector() as one:
        kafka.produce(f"{prefix}-tips", feed[:300])
        until(lambda: committed(kafka, prefix) == 300)
        one.wait_ready()
        _refuse(one, folder, pack, told)
        write_config(folder, pack)
        until(lambda: one.metric("config_reload_successful") == 1)
        kafka.produce(f"{prefix}-tips", feed[300:600])
        applied = one.metric("config_reloads_total", outcome="applied")
        write_config(folder, pack + "\n# another\n")  # nobody is told: it finds out by itself
        at = 600
        while one.metric("config_reloads_total", outcome="applied") == applied:
            assert at < COUNT - 300, "no reload while records came"
            kafka.produce(f"{prefix}-tips", feed[at : at + 20])
            at += 20
            time.sleep(0.05)
        told.build = [line for line in one.get("/metrics")[1].splitlines() if "build_info{" in line]
        kafka.produce(f"{prefix}-tips", feed[at : at + 200])
        one.process.kill()
        one.process.wait()
    with detector() as two:
        kafka.produce(f"{prefix}-tips", feed[at + 200 :])
        until(lambda: committed(kafka, prefix) == len(feed))
        settled(kafka, prefix)
        told.flags = flags(kafka, prefix)
        _judge(kafka, two, told)
        told.metrics = two.get("/metrics")[1]
        told.replayed = two.metric("replayed_total")
        assert two.terminate()[0] == 0
    told.logs = one.log.read_text() + two.log.read_text()
    yield told


def _refuse(one: Detector, folder: Path, pack: str, told: Story) -> None:
    """A pack with mistakes, then settings that only a restart can change."""
    assert "age_below = " in pack
    write_config(folder, pack.replace("age_below = ", "age_blow = "))
    one.process.send_signal(signal.SIGHUP)
    until(lambda: one.metric("config_reloads_total", outcome="refused") >= 1)
    told.bad, told.bad_gauge = one.get("/readyz"), one.metric("config_reload_successful")
    write_config(folder, pack, '[engine]\nzone = "UTC"\n[merge]\nidle_after_s = 9\n')
    one.process.send_signal(signal.SIGHUP)
    until(lambda: "engine.zone" in one.log.read_text())
    told.fixed_log = one.log.read_text()


def _judge(kafka: KafkaNode, two: Detector, told: Story) -> None:
    """A reviewer's verdict on the first flag, by its flag_id."""
    first = told.flags[0]
    verdict = {
        "flag_id": first["flag_id"], "verdict": "false_positive", "kind": first["kind"],
        "reviewer": "r1", "decided_at": first["event_time"],
    }  # fmt: skip
    kafka.produce(f"{told.prefix}-verdicts", [(b"k", orjson.dumps(verdict))])

    def poke() -> bool:  # verdicts are learned before a record
        two_more = {**orjson.loads(told.events[0][1]), "event_id": os.urandom(6).hex()}
        kafka.produce(f"{told.prefix}-tips", keyed([two_more]))
        return two.metric("verdicts_total", verdict="false_positive") == 1

    until(poke)


def test_a_bad_pack_is_refused_with_all_problems_and_the_detector_stays_ready(
    story: Story,
) -> None:
    status, body = story.bad
    assert (status, story.bad_gauge) == (200, 0)
    assert "the last reload was refused" in body
    assert "age_below: is missing (and 9 more, see the log)" in body
    assert "age_blow: is not a known key" in story.fixed_log
    assert "the configuration of before stays in force" in story.fixed_log


def test_what_only_a_restart_can_change_is_named(story: Story) -> None:
    for key in ("engine.zone", "merge.idle_after_s"):
        assert f"{key}: differs from what runs: restart to change it" in story.fixed_log


def test_flags_carry_the_old_hash_before_and_the_new_one_after_and_so_does_build_info(
    story: Story,
) -> None:
    found = [flag["policy"]["hash"] for flag in story.flags]
    old, new = dict.fromkeys(found)
    assert found == [old] * found.count(old) + [new] * found.count(new)
    assert len(story.build) == 1
    assert f'policy_hash="{new}"' in story.build[0]


def test_nothing_is_lost_or_doubled_by_a_reload_under_load_and_a_kill_after_it(
    story: Story,
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "detector", "score", "--config", str(story.config)],
        input=b"\n".join(value for _, value in story.events) + b"\n", cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, check=True, timeout=120,
    )  # fmt: skip
    decisions = [orjson.loads(line) for line in done.stdout.splitlines()]
    undisturbed = [flag for decision in decisions for flag in decision["flags"]]
    assert len(undisturbed) > 10
    assert [{**flag, "policy": None} for flag in story.flags] == [
        {**flag, "policy": None} for flag in undisturbed
    ]


def test_no_id_of_a_user_is_in_any_topic_log_or_metric(kafka: KafkaNode, story: Story) -> None:
    raw, scanned = RAW.encode(), {}
    for name in ("flags", "accounts", "scores", "rekeyed", "checkpoints", "dead"):
        records = kafka.read_all(f"{story.prefix}-{name}", 20)
        scanned[name] = len(records)
        for record in records:
            own = b"".join(value for _, value in record.headers)
            assert raw not in (record.key or b"") + (record.value or b"") + own, name
    assert min(scanned[name] for name in scanned if name != "dead") > 0
    assert all(flag["subject"]["id"].startswith("p1_") for flag in story.flags)
    assert RAW not in story.logs + story.metrics


def test_a_verdict_on_a_flag_with_a_pseudonym_finds_what_it_is_about(
    kafka: KafkaNode, story: Story
) -> None:
    first = story.flags[0]
    records = [orjson.loads(each.value) for each in kafka.read_all(f"{story.prefix}-accounts", 20)]
    last = [record for record in records if record["subject"] == first["subject"]][-1]
    before = next(record for record in records if record["subject"] == first["subject"])
    assert last["score"] > before["score"]  # a false positive gives all points back
