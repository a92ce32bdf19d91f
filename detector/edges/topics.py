"""The topics: created with the retention the contract names, or described as they are."""

from __future__ import annotations

import logging
from contextlib import suppress

from kafka import KafkaAdminClient
from kafka import errors as kafka_errors
from kafka.admin import NewTopic

from detector.edges.kafka import REFUSED, client_options
from detector.edges.kafka_reasons import told_why
from detector.runtime.ports import Stop
from detector.settings import Settings

log = logging.getLogger(__name__)

_DAY_MS = 86_400_000


def topic_configs(settings: Settings) -> dict[str, dict[str, str]]:
    """Topic → its settings at the broker. Dead letters may be a little larger than tips."""
    topics, days = settings.topics, settings.retention
    configs: dict[str, dict[str, str]] = {
        topics.tips: {},
        topics.flags: _kept(days.flags_days),
        topics.scores: _kept(days.scores_days),
        topics.verdicts: _kept(days.verdicts_days),
        topics.dead_letters: {
            **_kept(days.dead_letters_days),
            "max.message.bytes": str(2 * 1024 * 1024),
        },
        settings.console_topic: _kept(days.verdicts_days),
        **own_configs(settings),
    }
    return {name: _insync(settings) | config for name, config in configs.items()}


def _kept(days: int) -> dict[str, str]:
    """Deleted after so many days, and never before: a later record of a key replaces nothing."""
    return {"cleanup.policy": "delete", "retention.ms": str(days * _DAY_MS)}


def _insync(settings: Settings) -> dict[str, str]:
    least = settings.topics.min_insync_replicas
    return {"min.insync.replicas": str(least)} if least else {}


def own_configs(settings: Settings) -> dict[str, dict[str, str]]:
    """The topics that a run makes itself where they are missing.

    Those that only this program reads; and that of accounts, which came later than the others and
    is of no use unless it is compacted.
    """
    configs = {
        settings.topics.accounts: {"cleanup.policy": "compact"},
        settings.rekeyed_topic: _kept(settings.retention.rekeyed_days),
        settings.checkpoints_topic: {
            "cleanup.policy": "compact",
            "segment.bytes": str(64 * 1024 * 1024),  # the segment in use is never compacted
            "min.cleanable.dirty.ratio": "0.3",
            "delete.retention.ms": str(3_600_000),
        },
    }
    return {name: _insync(settings) | config for name, config in configs.items()}


def ensure_own_topics(settings: Settings) -> dict[str, int]:
    """Makes the topics of `own_configs` where they are missing, as wide as the tips topic.

    A checkpoint topic that is narrower, since partitions were added to tips, is widened.

    Returns:
        Partitions of the tips topic and of the re-keyed one, by topic; empty while there is no
        tips topic yet.

    Raises:
        KafkaError: no broker answers.
        Stop: not allowed.
    """
    tips, rekeyed, checkpoints = (
        settings.topics.tips, settings.rekeyed_topic, settings.checkpoints_topic,
    )  # fmt: skip
    own = own_configs(settings)
    admin = KafkaAdminClient(**client_options(settings.kafka))
    try:
        width = _widths(admin, [tips, *own])
        if tips not in width:
            return {}
        for name, config in own.items():
            if name not in width:
                partitions = max(width[tips], width.get(rekeyed, 0))
                _create(admin, settings, name, partitions, config)
                width[name] = partitions
        widest = max(width[tips], width[rekeyed])
        if width[checkpoints] < widest:
            _widen(admin, checkpoints, widest)
    except REFUSED as error:
        raise Stop(
            f"the topics {', '.join(own)} cannot be made ({error}): have somebody who may run "
            "`tip-detector topics create`"
        ) from error
    finally:
        admin.close()
    return {tips: width[tips], rekeyed: width[rekeyed]}


def ensure_review_topics(settings: Settings) -> None:
    """Makes the topics that the console writes to, where they are missing.

    Raises:
        KafkaError: no broker answers.
        Stop: not allowed.
    """
    names = [settings.topics.verdicts, settings.console_topic]
    admin = KafkaAdminClient(**client_options(settings.kafka))
    try:
        there = _widths(admin, names)
        for name in names:
            if name not in there:
                config = topic_configs(settings)[name]
                _create(admin, settings, name, settings.topics.partitions, config)
    except REFUSED as error:
        raise Stop(
            f"the topics {', '.join(names)} cannot be made ({error}): have somebody who may run "
            "`tip-detector topics create`"
        ) from error
    finally:
        admin.close()


def create_topics(settings: Settings) -> list[str]:
    """Creates the topics that are not there yet; a line for each one made.

    Raises:
        Stop: no broker answers, or it refuses.
    """
    made = []
    admin = _admin(settings)
    try:
        width = _widths(admin, list(topic_configs(settings)))
        own = own_configs(settings)
        for name, config in topic_configs(settings).items():
            if name in width:
                continue
            partitions = settings.topics.partitions
            if name in own:
                partitions = max(partitions, width.get(settings.topics.tips, 0))
            _create(admin, settings, name, partitions, config)
            made.append(name)
        admin.wait_for_topics(made)  # else who looks right now may not see them all
    except kafka_errors.KafkaError as error:
        raise Stop(f"creating topics failed: {error}") from error
    finally:
        admin.close()
    return [f"{name}: created" for name in made]


def describe_topics(settings: Settings) -> tuple[list[str], bool]:
    """A line for each topic, and whether those that a run needs are there.

    Raises:
        Stop: no broker answers, or it refuses.
    """
    topics = settings.topics
    needed = {topics.tips, topics.flags, topics.dead_letters}
    admin = _admin(settings)
    try:
        width = _widths(admin, list(topic_configs(settings)))
    except kafka_errors.KafkaError as error:
        raise Stop(f"describing topics failed: {error}") from error
    finally:
        admin.close()
    lines = []
    for name in topic_configs(settings):
        if name in width:
            lines.append(f"{name}: {width[name]} partitions")
        else:
            lines.append(f"{name}: missing{' (needed)' if name in needed else ''}")
    return lines, needed <= width.keys()


def _widths(admin: KafkaAdminClient, names: list[str]) -> dict[str, int]:
    """Topic → partitions, for those that exist."""
    there = set(admin.list_topics())
    wanted = [name for name in names if name in there]
    if not wanted:
        return {}
    return {
        str(each["name"]): len(each["partitions"])
        for each in admin.describe_topics(wanted)
        if each.get("partitions")  # a topic just made may be known by its name alone
    }


def _create(
    admin: KafkaAdminClient, settings: Settings, name: str, partitions: int,
    config: dict[str, str],
) -> None:  # fmt: skip
    factor = settings.topics.replication_factor
    with suppress(kafka_errors.TopicAlreadyExistsError):  # somebody was faster
        admin.create_topics([NewTopic(name, partitions, factor, topic_configs=config)])


def _widen(admin: KafkaAdminClient, name: str, partitions: int) -> None:
    """Adds partitions: a partition's state is found by number, so what is there stays right."""
    log.warning("%s: widened to %d partitions, as many as there are to save", name, partitions)
    with suppress(kafka_errors.InvalidPartitionsError):  # somebody was faster
        admin.create_partitions({name: partitions})


def _admin(settings: Settings) -> KafkaAdminClient:
    try:
        with told_why():
            return KafkaAdminClient(**client_options(settings.kafka))
    except kafka_errors.KafkaError as error:
        raise Stop(f"{settings.kafka.bootstrap_servers}: no broker answers: {error}") from error
