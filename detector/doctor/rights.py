"""Which rights at the broker a run needs, and which of them it lacks. Knows no broker."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from detector.doctor.finding import Finding
from detector.edges.kafka_facts import GroupFacts, TopicFacts
from detector.settings import Settings


class Right(NamedTuple):
    """One operation on one topic.

    Attributes:
        topic: its name.
        operation: READ or WRITE.
        purpose: what a run does with it.
    """

    topic: str
    operation: str
    purpose: str


def needed_rights(settings: Settings) -> list[Right]:
    """What a run does to topics, in the order of the stream."""
    topics, rekeyed, saved = settings.topics, settings.rekeyed_topic, settings.checkpoints_topic
    needed = [
        Right(topics.tips, "READ", "the tips are read from it"),
        Right(topics.verdicts, "READ", "reviewers' verdicts are learned from it"),
        Right(topics.flags, "WRITE", "flags are written to it"),
        Right(topics.accounts, "WRITE", "accounts' credit is written to it"),
        Right(topics.dead_letters, "WRITE", "records that are no event are kept in it"),
        Right(rekeyed, "READ", "the view of the other key is fed by it"),
        Right(rekeyed, "WRITE", "the view of the other key is fed by it"),
    ]
    if topics.write_scores:
        needed.append(Right(topics.scores, "WRITE", "every event's scores are written to it"))
    if settings.canary.interval_s:
        needed.append(Right(topics.tips, "WRITE", "canaries are written to it"))
    if settings.alertmanager.urls:
        needed.append(Right(topics.flags, "READ", "alerts are made of it"))
    if settings.checkpoint.enabled:
        needed += [Right(saved, each, "state is saved in it") for each in ("READ", "WRITE")]
    return needed


def check_topic_rights(settings: Settings, topics: Mapping[str, TopicFacts]) -> Iterator[Finding]:
    """A finding for each right that is lacking; one in all where none is."""
    lacking = [
        right for right in needed_rights(settings)
        if topics[right.topic].is_hidden
        or (topics[right.topic].partitions and right.operation not in topics[right.topic].rights)
    ]  # fmt: skip
    for topic, operation, purpose in lacking:
        hidden = "; not even DESCRIBE is allowed, so it may also be missing"
        yield Finding(
            "fail", "rights",
            f"topic {topic}: {operation} is denied to {_who(settings)}"
            f"{hidden if topics[topic].is_hidden else ''}",
            purpose, _grant(settings, f"--operation {operation.title()} --topic {topic}"),
        )  # fmt: skip
    if not lacking:
        yield Finding("ok", "rights", "topics: all that a run reads and writes is allowed")


def check_group_rights(settings: Settings, group: GroupFacts) -> Finding:
    """Whether a run may join its group."""
    name = settings.kafka.group_id
    if "READ" in group.rights:
        return Finding("ok", "rights", f"group {name}: READ is allowed")
    return Finding(
        "fail", "rights", f"group {name}: READ is denied to {_who(settings)}",
        "partitions are shared, and offsets committed, by this group",
        _grant(settings, f"--operation Read --group {name}"),
    )  # fmt: skip


def check_transactions(settings: Settings, refusal: str) -> Finding:
    """Whether a run may begin transactions.

    Args:
        settings: all settings.
        refusal: the broker's answer to one begun under an id that begins as a run's does.
    """
    prefix = f"{settings.kafka.group_id}-"
    if not refusal:
        return Finding("ok", "rights", f"transactional ids {prefix}*: WRITE is allowed")
    grant = _grant(settings, f"--operation Write --operation Describe --transactional-id {prefix} "
                             "--resource-pattern-type prefixed")  # fmt: skip
    what = f"transactional ids {prefix}*: refused to {_who(settings)}: {refusal}"
    why = "with delivery = exactly_once each commit is a transaction"
    instance = settings.kafka.instance_id
    if not instance:
        return Finding("fail", "rights", what, why, grant)
    return Finding(
        "warn", "rights", what,
        f"{why}; whether {prefix}{instance} alone is allowed cannot be asked without cutting off "
        "a run that has it", grant,
    )  # fmt: skip


def _who(settings: Settings) -> str:
    user = settings.kafka.sasl_username
    return f"User:{user}" if user else "this client"


def _grant(settings: Settings, what: str) -> str:
    user = settings.kafka.sasl_username or "NAME"
    return f"have it granted: kafka-acls.sh --add --allow-principal User:{user} {what}"
