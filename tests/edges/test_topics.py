"""The internal topics: made as wide as the tips topic, by whoever is first, or refused."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from detector.settings import Settings
    from tests.kafka_node import KafkaNode


@pytest.fixture
def settings(kafka: KafkaNode, topic_prefix: str) -> Settings:
    from tests.edges.contract import Contract  # only here: kafka-python warns when first imported

    return Contract(kafka, topic_prefix).settings()


def widths(kafka: KafkaNode, settings: Settings) -> tuple[int, int]:
    """Partitions of (rekeyed, checkpoints), once all of them are known."""
    names = [settings.rekeyed_topic, settings.checkpoints_topic]
    deadline_s = time.monotonic() + 10
    found: dict[str, int] = {}
    with kafka._admin() as admin:
        while not all(found.get(name) for name in names) and time.monotonic() < deadline_s:
            found = {each["name"]: len(each["partitions"]) for each in admin.describe_topics(names)}
    return found[names[0]], found[names[1]]


def ensure(settings: Settings) -> int:
    from detector.edges.topics import ensure_own_topics

    return ensure_own_topics(settings).get(settings.rekeyed_topic, 0)


def test_nothing_is_made_while_there_are_no_tips(kafka: KafkaNode, settings: Settings) -> None:
    assert ensure(settings) == 0
    with kafka._admin() as admin:
        assert not {settings.rekeyed_topic, settings.checkpoints_topic} & set(admin.list_topics())


def test_the_internal_topics_are_as_wide_as_tips(kafka: KafkaNode, settings: Settings) -> None:
    kafka.create_topic(settings.topics.tips, 3)
    assert ensure(settings) == 3
    assert widths(kafka, settings) == (3, 3)
    with kafka._admin() as admin:
        assert admin.list_topics().count(settings.checkpoints_topic) == 1
    assert ensure(settings) == 3


def test_the_topic_of_accounts_is_made_where_it_is_missing_and_compacted(
    kafka: KafkaNode, settings: Settings
) -> None:
    from kafka.admin import ConfigResource, ConfigResourceType

    kafka.create_topic(settings.topics.tips, 3)
    ensure(settings)
    accounts = settings.topics.accounts
    with kafka._admin() as admin:
        found = admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, accounts)])
    assert "compact" in str(found)


def test_created_topics_are_there_at_once_and_kept_as_long_as_the_settings_say(
    settings: Settings, topic_prefix: str
) -> None:
    from detector.edges.kafka_facts import Cluster
    from detector.edges.topics import create_topics, describe_topics, topic_configs

    retention = settings.retention.model_copy(update={"flags_days": 7})
    own = {name: f"{topic_prefix}{name}" for name in ("verdicts", "scores", "accounts")}
    topics = settings.topics.model_copy(update=own)
    settings = settings.model_copy(update={"retention": retention, "topics": topics})
    assert len(create_topics(settings)) == len(topic_configs(settings))
    assert describe_topics(settings)[1]
    with Cluster(settings.kafka) as cluster:
        found = cluster.topics(list(topic_configs(settings)))
    days = {
        name: int(facts.config["retention.ms"]) / 86_400_000
        for name, facts in found.items()
        if facts.config["cleanup.policy"] == "delete"
    }
    assert days == {
        topics.flags: 7, topics.verdicts: 90, topics.dead_letters: 30, topics.scores: 1,
        settings.rekeyed_topic: 7, settings.console_topic: 90, topics.tips: days[topics.tips],
    }  # fmt: skip
    assert create_topics(settings) == []


def test_two_that_make_them_at_once_both_succeed(kafka: KafkaNode, settings: Settings) -> None:
    kafka.create_topic(settings.topics.tips, 3)
    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(ensure, [settings] * 3)) == [3, 3, 3]
    assert widths(kafka, settings) == (3, 3)


def test_checkpoints_are_as_wide_as_a_wider_rekeyed_topic(
    kafka: KafkaNode, settings: Settings
) -> None:
    kafka.create_topic(settings.topics.tips, 2)
    kafka.create_topic(settings.rekeyed_topic, 5)
    assert ensure(settings) == 5
    assert widths(kafka, settings) == (5, 5)


def test_a_checkpoint_topic_that_is_too_narrow_is_widened(
    kafka: KafkaNode, settings: Settings
) -> None:
    kafka.create_topic(settings.topics.tips, 3)
    kafka.create_topic(settings.checkpoints_topic, 2, {"cleanup.policy": "compact"})
    assert ensure(settings) == 3
    deadline_s = time.monotonic() + 10
    while widths(kafka, settings) != (3, 3):
        assert time.monotonic() < deadline_s
