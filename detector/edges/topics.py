"""The topics: created with the retention the contract names, or described as they are."""

from __future__ import annotations

from kafka import KafkaAdminClient
from kafka import errors as kafka_errors
from kafka.admin import NewTopic

from detector.edges.kafka import client_options
from detector.runtime.ports import Stop
from detector.settings import Settings

_DAY_MS = 86_400_000


def topic_configs(settings: Settings) -> dict[str, dict[str, str]]:
    """Topic → its settings at the broker. Dead letters may be a little larger than tips."""
    topics = settings.topics
    return {
        topics.tips: {},
        topics.flags: {"retention.ms": str(90 * _DAY_MS)},
        topics.scores: {"retention.ms": str(_DAY_MS)},
        topics.verdicts: {"retention.ms": str(90 * _DAY_MS)},
        topics.accounts: {"cleanup.policy": "compact"},
        topics.dead_letters: {
            "retention.ms": str(30 * _DAY_MS),
            "max.message.bytes": str(2 * 1024 * 1024),
        },
    }


def create_topics(settings: Settings) -> list[str]:
    """Creates the topics that are not there yet; a line for each one made.

    Raises:
        Stop: no broker answers, or it refuses.
    """
    lines = []
    admin = _admin(settings)
    try:
        there = set(admin.list_topics())
        for name, config in topic_configs(settings).items():
            if name in there:
                continue
            admin.create_topics(
                [
                    NewTopic(
                        name,
                        settings.topics.partitions,
                        settings.topics.replication_factor,
                        topic_configs=config,
                    )
                ]
            )
            lines.append(f"{name}: created")
    except kafka_errors.TopicAlreadyExistsError:
        pass  # somebody was faster
    except kafka_errors.KafkaError as error:
        raise Stop(f"creating topics failed: {error}") from error
    finally:
        admin.close()
    return lines


def describe_topics(settings: Settings) -> tuple[list[str], bool]:
    """A line for each topic, and whether those that a run needs are there.

    Raises:
        Stop: no broker answers, or it refuses.
    """
    topics = settings.topics
    needed = {topics.tips, topics.flags, topics.dead_letters}
    admin = _admin(settings)
    try:
        there = set(admin.list_topics())
        described = {
            each["name"]: len(each["partitions"])
            for each in admin.describe_topics([name for name in topic_configs(settings)
                                               if name in there] or None)
            if "name" in each
        }  # fmt: skip
    except kafka_errors.KafkaError as error:
        raise Stop(f"describing topics failed: {error}") from error
    finally:
        admin.close()
    lines = []
    for name in topic_configs(settings):
        if name in there:
            lines.append(f"{name}: {described.get(name, '?')} partitions")
        else:
            lines.append(f"{name}: missing{' (needed)' if name in needed else ''}")
    return lines, needed <= there


def _admin(settings: Settings) -> KafkaAdminClient:
    try:
        return KafkaAdminClient(**client_options(settings.kafka))
    except kafka_errors.KafkaError as error:
        raise Stop(f"{settings.kafka.bootstrap_servers}: no broker answers: {error}") from error
