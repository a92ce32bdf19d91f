"""The source's promises about its group: who has what, since when, and as which member."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest
from kafka.admin import MemberToRemove
from kafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from kafka.protocol.consumer.metadata import ConsumerProtocolAssignment

from detector.edges.kafka_assignor import ByTopicAssignor
from detector.edges.kafka_source import KafkaSource
from detector.runtime.ports import Aborted, Partition
from tests.edges.contract import Contract, Member, finish, settle, until

FOUR = range(4)


def all_of(contract: Contract) -> set[Partition]:
    return {Partition(topic, each) for topic in (contract.tips, contract.rekeyed) for each in FOUR}


def widths(contract: Contract, *members: Member) -> list[tuple[int, int]]:
    """(partitions of tips, of rekeyed) by member, in order."""
    return sorted((each.count(contract.tips), each.count(contract.rekeyed)) for each in members)


def test_each_topic_is_shared_out_by_itself_as_members_join(contract: Contract) -> None:
    one = contract.member()
    settle(one)
    assert one.told.assigned == all_of(contract)
    assert one.membership is not None
    two = contract.member()
    settle(one, two)
    assert widths(contract, one, two) == [(2, 2), (2, 2)]
    assert one.told.revoked == all_of(contract) - one.partitions
    assert not one.told.lost and not two.told.lost


def test_what_stays_is_not_mentioned_and_what_moves_is_revoked_before_it_is_assigned(
    contract: Contract,
) -> None:
    one, two = contract.member(), contract.member()
    settle(one)
    one.forget()
    order: list[tuple[str, set[Partition]]] = []
    deadline_s = time.monotonic() + 10
    while len(two.partitions) < 4 and time.monotonic() < deadline_s:
        if gone := one.turn().revoked:
            order.append(("revoked", gone))
        if come := two.turn().assigned:
            order.append(("assigned", come))
    moved = two.partitions
    assert len(moved) == 4
    assert order == [("revoked", moved), ("assigned", moved)]
    assert not one.told.assigned and not one.told.lost


def test_a_member_that_leaves_gives_its_partitions_at_once(contract: Contract) -> None:
    one, two = contract.member(session_timeout_ms=60_000), contract.member()
    settle(one, two)
    two.forget()
    started_s = time.monotonic()
    one.source.close(2.0)
    settle(two)
    assert time.monotonic() - started_s < 5.0  # without waiting for its session to end
    assert two.told.assigned == all_of(contract) - (two.partitions - two.told.assigned)
    assert not two.told.revoked and not two.told.lost


def test_a_member_that_is_killed_gives_its_partitions_after_its_session(
    contract: Contract,
) -> None:
    killed = contract.killable()
    one = contract.member()
    until(lambda: len(one.partitions) == 4, one)
    kept = one.partitions
    one.forget()
    killed.kill()
    settle(one)
    assert one.told.assigned == all_of(contract) - kept
    assert not one.told.revoked and not one.told.lost


def test_a_commit_under_the_membership_before_is_accepted_until_the_member_joins_again(
    contract: Contract,
) -> None:
    contract.node.produce(contract.tips, [(b"k", b"v")] * 3, partition=0)
    sink, one = contract.exactly_once(), contract.member()
    until(lambda: len(one.records) == 3, one)
    before = one.membership
    two = contract.member()
    two.turn()
    until(lambda: one.source._consumer._coordinator.rejoin_needed)  # a heartbeat told it
    sink.submit([contract.flag(b"1")], [], {Partition(contract.tips, 0): 3}, before)
    finish(sink)
    assert contract.values(contract.flags) == [b"1"]
    assert contract.node.committed(contract.group, contract.tips) == {0: 3}


def test_a_commit_under_the_membership_before_a_rebalance_is_aborted(contract: Contract) -> None:
    contract.node.produce(contract.tips, [(b"k", b"v")] * 3, partition=0)
    sink, one = contract.exactly_once(), contract.member()
    until(lambda: len(one.records) == 3, one)
    before = one.membership
    two = contract.member()
    settle(one, two)
    sink.submit([contract.flag(b"1")], [], {Partition(contract.tips, 0): 3}, before)
    with pytest.raises(Aborted):
        finish(sink)
    assert contract.values(contract.flags) == []
    assert contract.node.committed(contract.group, contract.tips) == {}
    settle(one, two)
    sink.submit([contract.flag(b"2")], [], {Partition(contract.tips, 0): 3}, one.membership)
    finish(sink)
    assert contract.values(contract.flags) == [b"2"]


def test_the_membership_is_the_one_the_assignment_came_with_while_a_newer_one_is_on_its_way(
    contract: Contract,
) -> None:
    sink = contract.exactly_once()
    one, two, three = contract.member(), contract.member(), contract.member()
    settle(one, two)
    before, kept, client = one.membership, one.partitions, one.source._consumer
    three.turn()
    until(lambda: client._coordinator.rejoin_needed)  # a heartbeat told it
    one.turn()  # asks to join again, and the answer waits for `two`
    until(lambda: client.group_metadata().generation_id > before.generation_id, two, three)
    assert one.partitions == kept  # the client has the answer and has not applied it
    assert one.source.membership() == before
    sink.submit([contract.flag(b"1")], [], {Partition(contract.tips, 0): 3}, before)
    with pytest.raises(Aborted):
        finish(sink)


def test_a_leader_that_joins_again_for_new_partitions_finishes_that_over_several_polls(
    contract: Contract,
) -> None:
    one = contract.member()
    settle(one)
    coordinator = one.source._consumer._coordinator
    with contract.node._admin() as admin:
        admin.create_partitions({contract.tips: 6})
    coordinator._cluster.request_update()
    until(coordinator.need_rejoin)
    while coordinator._join_task is None and coordinator.need_rejoin():
        one.turn(0.001)  # asks to join again, and does not wait for the answer
    until(lambda: coordinator._join_task is None or coordinator._join_task.is_done)
    settle(one, partitions=10)
    assert one.membership is not None
    assert one.source._consumer.group_metadata().state == "<stable>"


def test_a_member_that_overruns_its_poll_interval_has_lost_its_partitions(
    contract: Contract,
) -> None:
    contract.node.produce(contract.tips, [(b"k", b"v")] * 3, partition=0)
    sink = contract.exactly_once()
    one = contract.member(session_timeout_ms=1_000, max_poll_interval_ms=1_500)
    until(lambda: len(one.records) == 3 and len(one.partitions) == 8, one)
    before = one.membership
    until(lambda: one.source.membership() is None)
    sink.submit([contract.flag(b"1")], [], {Partition(contract.tips, 0): 3}, before)
    with pytest.raises(Aborted):
        finish(sink)
    assert contract.values(contract.flags) == []
    one.forget()
    settle(one)
    assert one.told.lost == one.told.assigned == all_of(contract)
    assert one.membership.member_id != before.member_id


def test_a_member_that_comes_back_gets_nothing_that_another_still_reads(
    contract: Contract,
) -> None:
    one = contract.member(session_timeout_ms=1_000, max_poll_interval_ms=1_000)
    two = contract.member()
    until(lambda: len(one.partitions) == 8, one)
    until(lambda: len(two.partitions) == 8, two)  # and `one` polls no more
    deadline_s = time.monotonic() + 10
    while len(one.partitions) != 4 or len(two.partitions) != 4:
        assert time.monotonic() < deadline_s
        one.turn()
        assert not one.partitions & two.partitions
        two.turn()
        assert not one.partitions & two.partitions


def test_a_member_thrown_out_while_it_joins_again_is_told_that_it_lost_what_it_kept(
    contract: Contract,
) -> None:
    one, two = contract.member(session_timeout_ms=100_000), contract.member()
    settle(one)
    one.forget()
    with contract.node._admin() as admin:
        gone = MemberToRemove(member_id=one.membership.member_id)
        admin.remove_group_members(contract.group, [gone])
    settle(two)
    two.source.commit({Partition(contract.tips, 0): 7})  # of which `one` knows nothing
    two.source.close(2.0)
    one.source._consumer._coordinator.request_rejoin()  # as a heartbeat does
    settle(one)
    assert one.told.lost == one.told.assigned == one.partitions == all_of(contract)
    assert one.source.committed(Partition(contract.tips, 0)) == 7


def claim(name: str, owned: dict[str, list[int]], generation: int) -> Any:
    """A member as the leader sees it."""
    assignor = ByTopicAssignor({})
    assignor.on_assignment(
        ConsumerProtocolAssignment(1, list(owned.items()), b""), generation
    )  # fmt: skip
    return SimpleNamespace(member_id=name, metadata=assignor.metadata(["tips"]))


@pytest.mark.parametrize("names", [("a", "b"), ("b", "a")])
def test_the_newest_claim_to_a_partition_holds(names: tuple[str, str]) -> None:
    zombie, owner = names
    members = [claim(zombie, {"tips": [0, 1, 2, 3]}, 5), claim(owner, {"tips": [0, 1, 2, 3]}, 6)]
    cluster = SimpleNamespace(
        topics=lambda: {"tips"}, partitions_for_topic=lambda topic: set(FOUR)
    )  # fmt: skip
    for order in (members, members[::-1]):
        shares = ByTopicAssignor({}).assign(cluster, order)
        assert shares[zombie].partitions() == []  # first the owner has to give them up
        assert len(shares[owner].partitions()) == 2


def test_what_was_lost_is_not_claimed() -> None:
    assignor = ByTopicAssignor({})
    assignor.on_assignment(ConsumerProtocolAssignment(1, [("tips", [0])], b""), 5)
    assert [each.partitions for each in assignor.metadata(["tips"]).owned_partitions] == [[0]]
    assignor.forget()
    told = assignor.metadata(["tips"])
    assert told.owned_partitions == []
    assert told.generation_id == StickyPartitionAssignor.DEFAULT_GENERATION_ID


def test_only_the_platforms_topic_may_be_begun_at_its_end(contract: Contract) -> None:
    topics = (contract.tips, contract.rekeyed)
    for topic in topics:
        contract.node.produce(topic, [(b"k", b"v")] * 40, partition=1)
    settings = contract.kafka(auto_offset_reset="latest")
    source = KafkaSource(settings, dict.fromkeys(topics, 4), 500, internal=(contract.rekeyed,))
    origins = [source.origin(Partition(topic, 1)) for topic in topics]
    source.close(1)
    assert origins == [40, 0]
