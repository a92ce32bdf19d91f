"""What a cluster says of itself, of topics, of a group and of our rights. It changes none."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, TypeVar

from kafka import KafkaAdminClient, KafkaProducer
from kafka import errors as kafka_errors
from kafka.admin import ConfigResource, ConfigResourceType, MemberToRemove
from kafka.protocol.api_key import ApiKey

from detector.edges.kafka import ANSWER_MS, client_options
from detector.edges.kafka_reasons import told_why
from detector.setting_sections import KafkaSettings

T = TypeVar("T")

_HIDDEN = 29
"""TOPIC_AUTHORIZATION_FAILED, which brokers say of every topic that one may not describe."""


@dataclass(frozen=True, slots=True)
class TopicFacts:
    """A topic as the broker shows it to us.

    Attributes:
        name: of the topic.
        partitions: how many; 0 where it is missing or hidden.
        replicas: of the partition that has the fewest.
        rights: operations we may perform on it, such as READ.
        config: its settings at the broker; empty where we may not see them.
        is_hidden: we may not even ask whether it exists.
    """

    name: str
    partitions: int = 0
    replicas: int = 0
    rights: frozenset[str] = frozenset()
    config: Mapping[str, str] = field(default_factory=dict)
    is_hidden: bool = False

    @property
    def is_missing(self) -> bool:
        return not self.partitions and not self.is_hidden


@dataclass(frozen=True, slots=True)
class GroupFacts:
    """A consumer group as the broker shows it to us.

    Attributes:
        rights: operations we may perform on it; empty: we may not even look.
        members: how many it has now.
        committed: partition of the asked topic → its committed offset.
    """

    rights: frozenset[str] = frozenset()
    members: int = 0
    committed: Mapping[int, int] = field(default_factory=dict)


class Cluster:
    """Asks one cluster; a context manager.

    Args:
        settings: of Kafka.

    Raises:
        KafkaError: no broker lets us in; the error says why.
    """

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        with told_why():
            self._admin = KafkaAdminClient(**client_options(settings))
        about = self._admin.describe_cluster()
        self.brokers = len(about["brokers"])
        self.rights = frozenset(about.get("authorized_operations") or ())

    def __enter__(self) -> Cluster:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self._admin.close()

    def newest_version(self, api: str) -> int:
        """The newest version of an API that the brokers speak; -1: none.

        Args:
            api: its name in the protocol, such as `TxnOffsetCommit`.
        """
        versions = {key.name.lower(): most for key, (_, most) in self._api_versions().items()}
        return int(versions.get(api.lower(), -1))

    def _api_versions(self) -> dict[ApiKey, tuple[int, int]]:
        found: dict[ApiKey, tuple[int, int]] = self._admin.api_versions()
        return found

    def topics(self, names: Sequence[str]) -> dict[str, TopicFacts]:
        """Each topic, whether it is there or not.

        Raises:
            KafkaError: no broker answers.
        """
        found = {str(each["name"]): each for each in self._admin.describe_topics(list(names))}
        seen = [name for name in names if found[name]["partitions"]]
        configs = self._configs(seen)
        return {name: _topic(found[name], configs.get(name, {})) for name in names}

    def _configs(self, names: list[str]) -> dict[str, dict[str, str]]:
        if not names:
            return {}
        resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
        found = self._admin.describe_configs(resources, config_filter="all").get("topic", {})
        return {
            name: {key: str(entry["value"]) for key, entry in config.items()}
            for name, config in found.items()
        }

    def group(self, topic: str) -> GroupFacts:
        """Our group, and how far it has come in a topic.

        Raises:
            KafkaError: no broker answers.
        """
        name = self._settings.group_id
        try:
            about = _patiently(lambda: self._admin.describe_groups([name])[name])
            offsets = self._admin.list_group_offsets(name).get(name, {})
            rights = about.get("authorized_operations") or self._rights_on_new(name)
        except kafka_errors.GroupAuthorizationFailedError:
            return GroupFacts()
        committed = {
            at.partition: int(kept.offset)
            for at, kept in offsets.items()
            if at.topic == topic and kept.offset >= 0
        }
        return GroupFacts(frozenset(rights), len(about.get("members") or ()), committed)

    def _rights_on_new(self, group: str) -> set[str]:
        """Of a group that does not exist yet brokers tell no rights: one is tried.

        Who may not read is told so before the broker sees that there is no such member to remove.
        """
        try:
            self._admin.remove_group_members(group, [MemberToRemove(member_id="nobody")])
        except kafka_errors.GroupAuthorizationFailedError:
            return {"DESCRIBE"}
        except kafka_errors.UnknownMemberIdError:
            pass
        return {"DESCRIBE", "READ"}

    def why_no_transaction(self) -> str:
        """Why no transaction can be begun under this group's prefix; empty: one can.

        Asked by taking an id that no run can have, and so cuts off none; the broker notes it among
        its transactional ids, and no topic of the platform sees it.

        Raises:
            KafkaError: no broker lets us in.
        """
        producer = KafkaProducer(
            **client_options(self._settings), metrics_enabled=False, max_block_ms=5_000,
            transactional_id=f"{self._settings.group_id}-/doctor",
        )  # fmt: skip
        try:
            producer.init_transactions()
        except kafka_errors.KafkaError as error:
            return str(error)
        finally:
            producer.close(timeout=1)
        return ""


def _patiently(ask: Callable[[], T]) -> T:
    """Asks again while the broker says that it is not ready to answer yet."""
    deadline_s = time.monotonic() + ANSWER_MS / 1000
    while True:
        try:
            return ask()
        except kafka_errors.KafkaError as error:
            if not error.retriable or time.monotonic() > deadline_s:
                raise
        time.sleep(0.1)


def _topic(found: Mapping[str, Any], config: Mapping[str, str]) -> TopicFacts:
    partitions = found["partitions"]
    if not partitions:
        return TopicFacts(found["name"], is_hidden=found["error_code"] == _HIDDEN)
    replicas = min(len(each["replica_nodes"]) for each in partitions)
    rights = frozenset(found.get("authorized_operations") or ())
    return TopicFacts(found["name"], len(partitions), replicas, rights, config)
