"""Who reads which partition: cooperative and sticky, balanced for each topic by itself.

kafka-python's assignor counts all partitions alike, and could give one member the platform's whole
topic and another the whole of the internal one, which is far less work. It also believes every
member's claim to what it owns. A member that was thrown out and comes back would claim what has
long gone to others, and be given it while they still read it; so a claim here carries the
generation it is from, the newest one holds, and what was lost is no longer claimed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.protocol.consumer.metadata import ConsumerProtocolAssignment


class ByTopicAssignor(CooperativeStickyAssignor):  # type: ignore[misc]
    """KIP-429 cooperative assignment, once for each topic.

    Args:
        widths: topic → how many partitions it has at least. kafka-python may assign before it has
            asked the broker, would then find nothing to assign, and leave it at that.
    """

    name = "cooperative-sticky-by-topic"
    version = 2  # of the protocol; the first that tells the generation of a claim

    def __init__(self, widths: Mapping[str, int]) -> None:
        super().__init__()
        self._widths = widths

    def forget(self) -> None:
        """Claims nothing any more; called when all partitions were lost."""
        self.member_assignment = None
        self.generation = self.DEFAULT_GENERATION_ID

    def metadata(self, topics: Any) -> Any:
        """What this member tells the leader: its topics, what it owns, as of which generation."""
        told = super().metadata(topics)
        told.generation_id = self.generation
        return told

    def assign(self, cluster: Any, members: Any) -> dict[str, Any]:
        """Member id → its partitions of all topics."""
        together: dict[str, list[Any]] = defaultdict(list)
        owners, known = _owners(members), _Cluster(cluster, self._widths)
        for topic in sorted({topic for member in members for topic in member.metadata.topics}):
            alone = [
                _only(topic, member, owners)
                for member in members
                if topic in member.metadata.topics
            ]
            for member_id, assignment in super().assign(known, alone).items():
                together[member_id] += assignment.assigned_partitions
        return {
            member.member_id: ConsumerProtocolAssignment(
                self.version, together[member.member_id], b""
            )
            for member in members
        }


class _Cluster:
    """What the client knows of the cluster, and at least what we do."""

    def __init__(self, cluster: Any, widths: Mapping[str, int]) -> None:
        self._cluster = cluster
        self._widths = widths

    def topics(self) -> set[str]:
        return set(self._cluster.topics()) | set(self._widths)

    def partitions_for_topic(self, topic: str) -> set[int] | None:
        found: set[int] | None = self._cluster.partitions_for_topic(topic)
        return found or set(range(self._widths.get(topic, 0))) or None


def _owners(members: Any) -> dict[tuple[str, int], str]:
    """(topic, partition) → the member whose claim is the newest."""
    owners: dict[tuple[str, int], str] = {}
    for member in sorted(members, key=_generation):
        for claim in member.metadata.owned_partitions or ():
            owners |= {(claim.topic, number): member.member_id for number in claim.partitions}
    return owners


def _generation(member: Any) -> int:
    generation = member.metadata.generation_id
    return -1 if generation is None else int(generation)


def _only(topic: str, member: Any, owners: dict[tuple[str, int], str]) -> SimpleNamespace:
    """A member as if it had subscribed to one topic."""
    own = [each for (name, each), who in owners.items()
           if name == topic and who == member.member_id]  # fmt: skip
    return SimpleNamespace(
        member_id=member.member_id,
        metadata=SimpleNamespace(
            topics=[topic],
            owned_partitions=[SimpleNamespace(topic=topic, partitions=own)],
            generation_id=_generation(member),
        ),
    )
