"""What the doctor makes of facts: each thing that is wrong is found, named, and can be mended."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from detector.assembly import Assembly
from detector.core.decode import Decoder
from detector.doctor.finding import Finding
from detector.doctor.rights import check_transactions, needed_rights
from detector.doctor.stream_checks import check_clock, check_lag, check_mapping
from detector.doctor.topic_checks import check_topics
from detector.edges.kafka_facts import GroupFacts, TopicFacts
from detector.edges.kafka_sample import Sample
from detector.edges.topics import topic_configs
from detector.settings import Settings, load_settings
from tests.engines import ROOT

NOW_MS = 1_772_380_802_000
SECRET_ID = "tipper-8812"
TIP = (
    b'{"event_id":"e1","event_time":1772380800000,"tipper_id":"tipper-8812","streamer_id":"s1",'
    b'"amount":"5","currency":"CNY"}'
)


def load(**environment: str) -> Settings:
    named = {f"TIP_DETECTOR__{name}": value for name, value in environment.items()}
    return load_settings(None, ROOT / "config" / "detector.toml", named)


def healthy(settings: Settings, replicas: int = 1) -> dict[str, TopicFacts]:
    """The topics as `topics create` makes them, with all rights."""
    rights = frozenset({"READ", "WRITE", "DESCRIBE"})
    return {
        name: TopicFacts(name, 4, replicas, rights, {"cleanup.policy": "delete"} | config)
        for name, config in topic_configs(settings).items()
    }


def wrong(
    name: str, brokers: int = 1, may_create: bool = False, **changes: Any
) -> list[tuple[str, str]]:
    """(level, what) of all that is not ok once one topic's facts are changed."""
    settings = load()
    topics = healthy(settings)
    config = {**topics[name].config, **changes.pop("config", {})}
    fields = {"partitions": 4, "replicas": 1, "rights": topics[name].rights} | changes
    topics[name] = TopicFacts(name=name, config=config, **fields)
    findings = [f for f in check_topics(settings, topics, brokers, may_create) if f.level != "ok"]
    assert all(each.why and each.do for each in findings)
    return [(each.level, each.what) for each in findings if each.what.startswith(name)]


def test_topics_as_we_create_them_are_fine() -> None:
    settings = load()
    findings = list(check_topics(settings, healthy(settings), 1, False))
    assert {each.level for each in findings} == {"ok"}
    assert {each.what.split(":")[0] for each in findings} == {
        r.topic for r in needed_rights(settings)
    }


@pytest.mark.parametrize(
    ("name", "changes", "level", "what"),
    [
        ("tips", {"partitions": 0}, "fail", "missing"),
        ("tip-verdicts", {"partitions": 0}, "warn", "missing"),
        ("tip-accounts", {"partitions": 0}, "warn", "missing"),
        ("tips", {"config": {"retention.ms": "3600000"}}, "warn", "kept for 0.0417 days"),
        ("tip-flags", {"config": {"cleanup.policy": "compact"}}, "fail", 'expected "delete"'),
        ("tip-flags", {"config": {"retention.ms": "86400000"}}, "warn", "kept for 1 days, "),
        ("tip-flags", {"config": {"retention.ms": "-1"}}, "warn", "kept for ever, "),
        ("tip-detector-checkpoints", {"config": {"cleanup.policy": "compact,delete"}}, "fail",
         'expected "compact"'),
        ("tip-detector-checkpoints", {"partitions": 3}, "warn", "3 partitions, expected 4"),
        ("tip-dead-letters", {"config": {"max.message.bytes": "1048588"}}, "warn", "1048588"),
        ("tip-flags", {"brokers": 3}, "warn", "1 replicas on 3 brokers"),
        ("tip-flags", {"brokers": 3, "replicas": 3}, "warn", "min.insync.replicas = 1"),
        ("tip-flags", {"config": {"min.insync.replicas": "2"}}, "fail", "with 1 replicas"),
    ],
)  # fmt: skip
def test_a_topic_that_is_not_as_it_must_be_is_found(
    name: str, changes: dict[str, Any], level: str, what: str
) -> None:
    found = wrong(name, **changes)
    assert [each[0] for each in found] == [level]
    assert what in found[0][1]


def test_a_topic_that_the_run_makes_itself_may_be_missing_where_it_may_make_topics() -> None:
    assert wrong("tip-accounts", partitions=0, may_create=True) == []
    assert wrong("tip-flags", partitions=0, may_create=True) != []


def test_what_is_switched_on_needs_its_rights_too() -> None:
    plain = {(topic, operation) for topic, operation, _ in needed_rights(load())}
    more = load(
        TOPICS__WRITE_SCORES="true", CANARY__INTERVAL_S="10", ALERTMANAGER__URL="http://a:9093",
        CHECKPOINT__ENABLED="false",
    )  # fmt: skip
    rich = {(topic, operation) for topic, operation, _ in needed_rights(more)}
    assert rich - plain == {("tip-scores", "WRITE"), ("tips", "WRITE"), ("tip-flags", "READ")}
    assert {topic for topic, _ in plain - rich} == {"tip-detector-checkpoints"}


def test_a_refused_transaction_fails_unless_only_one_id_may_have_been_granted() -> None:
    assert check_transactions(load(), "").level == "ok"
    assert check_transactions(load(), "denied").level == "fail"
    assert check_transactions(load(KAFKA__INSTANCE_ID="pod-0"), "denied").level == "warn"


def sample(*values: bytes, ahead_ms: int = -1000, timestamp_type: int = 0) -> Sample:
    return Sample(
        [
            SimpleNamespace(value=each, timestamp=NOW_MS + ahead_ms, timestamp_type=timestamp_type)
            for each in values
        ],
        {0: (10, 100), 1: (0, 50)},
    )


@pytest.mark.parametrize(
    ("values", "level", "what"),
    [
        ([], "warn", "tips has no records"),
        ([TIP] * 3, "ok", "of the newest 3 records 3 are events"),
        ([TIP, TIP, b'{"tipper_id":"tipper-8812"}'], "warn", "1 are not: missing_field 1"),
        ([TIP, b"tipper-8812", b"tipper-8812"], "fail", "2 are not: not_json 2"),
    ],
)
def test_the_mapping_is_judged_by_what_it_does_and_nobody_is_named(
    values: list[bytes], level: str, what: str
) -> None:
    decoder: Decoder = Assembly.load(None).decoder
    finding = check_mapping(load(), decoder, sample(*values))
    assert (finding.level, what in finding.what) == (level, True), finding
    assert SECRET_ID not in str(finding)


def test_a_clock_is_doubted_only_by_a_stamp_from_the_future() -> None:
    def level_and_what(**of: int) -> Finding:
        return check_clock(load(), sample(TIP, **of), NOW_MS)

    assert level_and_what(ahead_ms=-86_400_000).level == "ok"
    assert level_and_what(ahead_ms=1_000).level == "ok"
    producer = level_and_what(ahead_ms=90_000)
    assert (producer.level, "a producer's clock" in producer.what) == ("warn", True)
    assert "LogAppendTime" in producer.do
    broker = level_and_what(ahead_ms=90_000, timestamp_type=1)
    assert (broker.level, "the broker's clock" in broker.what) == ("warn", True)


@pytest.mark.parametrize(
    ("committed", "members", "expected"),
    [
        ({}, 0, [("ok", "nothing is committed yet")]),
        ({0: 100, 1: 50}, 0, [("ok", "0 records behind")]),
        ({0: 90, 1: 50}, 1, [("ok", "10 records behind, 1 members")]),
        ({0: 90, 1: 50}, 0, [("warn", "10 records behind, 0 members")]),
        ({0: 4, 1: 50}, 1, [("warn", "6 records were deleted"), ("ok", "90 records behind")]),
    ],
)
def test_lag_is_told_with_what_was_lost_and_whether_anybody_reads(
    committed: dict[int, int], members: int, expected: list[tuple[str, str]]
) -> None:
    group = GroupFacts(frozenset({"READ"}), members, committed)
    found = list(check_lag(load(), group, sample(TIP)))
    assert [each.level for each in found] == [level for level, _ in expected]
    assert all(what in each.what for each, (_, what) in zip(found, expected, strict=True))


def test_without_a_broker_the_reason_is_told_and_what_needs_none_is_looked_at() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and does not listen
        port = nobody.getsockname()[1]
        settings = {
            "KAFKA__BOOTSTRAP_SERVERS": f"127.0.0.1:{port}", "HTTP__HOST": "0.0.0.0",
            "CONSOLE__URL": f"http://127.0.0.1:{port}/console",
        }  # fmt: skip
        named = {f"TIP_DETECTOR__{name}": value for name, value in settings.items()}
        done = subprocess.run(
            [sys.executable, "-m", "detector", "doctor"], cwd=ROOT, text=True, check=False,
            env={**os.environ, "PYTHONPATH": str(ROOT), **named}, capture_output=True, timeout=60,
        )  # fmt: skip
    lines = done.stdout.splitlines()
    assert (done.returncode, done.stderr, lines[-1]) == (1, "", "1 ok, 2 warn, 1 fail")
    assert [line.split(":")[0] for line in lines if line[0] != " "][:-1] == [
        "ok    config", "warn  config", "warn  links", "fail  broker",
    ]  # fmt: skip
    assert "nothing listens there: see kafka.bootstrap_servers" in done.stdout
