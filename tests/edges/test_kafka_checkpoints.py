"""Finding and reading saved state in a checkpoint topic as Apache Kafka keeps it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from hashlib import blake2b

import pytest
from kafka import KafkaProducer

from detector.core.state import StateError
from detector.edges.kafka_checkpoints import KafkaCheckpoints, KafkaSaved
from detector.runtime.checkpoint import Manifest, Save, chunk_key, load, manifest_key
from detector.runtime.ports import Partition, Retry, Stop
from tests.edges.contract import Contract, until

Records = list[tuple[bytes, bytes | None]]


class Kept:
    """A state that is the list of its chunks."""

    def __init__(self) -> None:
        self.chunks: list[bytes] = []

    def save_all(self) -> Iterator[bytes]:
        yield from self.chunks

    save_changes = save_all

    def load(self, chunk: bytes) -> None:
        self.chunks.append(chunk)


def save(partition: Partition, name: str, chunks: list[bytes], offset: int, since: int) -> Records:
    """The records of a whole save: its chunks, then its manifest."""
    digest = blake2b(b"".join(chunks), digest_size=16).hexdigest()
    size = sum(len(chunk) for chunk in chunks)
    manifest = Manifest(offset, 0, "0", since, (Save(name, len(chunks), size, digest),))
    return [
        *((chunk_key(partition, name, at), chunk) for at, chunk in enumerate(chunks)),
        (manifest_key(partition), manifest.to_bytes()),
    ]


def transact(
    contract: Contract, number: int, *transactions: Records, last: str = "commit"
) -> KafkaProducer | None:
    """Writes one transaction each; the last one ends as told: commit, abort, or open.

    Returns:
        The producer of the open one.
    """
    producer = KafkaProducer(
        bootstrap_servers=contract.node.bootstrap, transactional_id=contract.prefix + "writer"
    )
    producer.init_transactions()
    for at, records in enumerate(transactions):
        producer.begin_transaction()
        for key, value in records:
            producer.send(contract.checkpoints, value, key, partition=number)
        end = last if at == len(transactions) - 1 else "commit"
        if end == "commit":
            producer.commit_transaction()
        elif end == "abort":
            producer.flush()
            producer.abort_transaction()
        else:
            producer.flush()
            return producer
    producer.close(timeout=5)
    return None


def find(store: KafkaCheckpoints, partition: Partition) -> KafkaSaved | None:
    """As the loop does: again, while the last commit's records are not stable yet."""
    deadline_s = time.monotonic() + 10
    while True:
        try:
            return store.find(partition)
        except Retry:
            assert time.monotonic() < deadline_s
            time.sleep(0.01)


def read(contract: Contract, partition: Partition) -> tuple[list[bytes], list[bytes]]:
    """(chunks, strays) of a partition's saved state."""
    kept, saved = Kept(), find(contract.store(), partition)
    assert saved is not None
    load(kept, saved)
    return kept.chunks, saved.strays


def test_nothing_is_found_where_nothing_was_saved(contract: Contract) -> None:
    store = contract.store()
    assert store.find(Partition(contract.tips, 1)) is None
    assert store.end(Partition(contract.tips, 1)) == 0
    tips, rekeyed = Partition(contract.tips, 1), Partition(contract.rekeyed, 1)
    transact(contract, 1, save(rekeyed, "0.0", [b"not mine"], 5, 0))
    assert find(store, tips) is None
    assert store.end(tips) == 3  # chunk, manifest, and the mark of the commit


def test_two_partitions_that_share_a_log_each_find_their_own(contract: Contract) -> None:
    tips, rekeyed = Partition(contract.tips, 1), Partition(contract.rekeyed, 1)
    mixed = save(tips, "0.0", [b"t0", b"t1"], 7, 0), save(rekeyed, "0.0", [b"r0", b"r1"], 9, 0)
    transact(contract, 1, [each for pair in zip(*mixed, strict=True) for each in pair])
    assert read(contract, tips) == ([b"t0", b"t1"], [])
    assert read(contract, rekeyed) == ([b"r0", b"r1"], [])
    store = contract.store()
    saved = find(store, rekeyed)
    assert saved is not None and saved.manifest.next_offset == 9


def test_the_newest_manifest_is_found_behind_thousands_of_other_records(
    contract: Contract,
) -> None:
    tips, rekeyed = Partition(contract.tips, 1), Partition(contract.rekeyed, 1)
    older, newer = save(tips, "0.0", [b"old"], 7, 0), save(tips, "3.0", [b"new"], 8, 3)
    others: Records = [(chunk_key(rekeyed, "5.0", at), b"x") for at in range(3_000)]
    transact(contract, 1, older, newer, others)
    assert read(contract, tips) == ([b"new"], [])


def test_chunks_of_an_unfinished_save_are_strays_unless_they_were_deleted(
    contract: Contract,
) -> None:
    tips, rekeyed = Partition(contract.tips, 1), Partition(contract.rekeyed, 1)
    left: Records = [(chunk_key(tips, "9.1", at), b"left") for at in range(3)]
    other: Records = [(chunk_key(rekeyed, "9.1", 0), b"not mine")]
    deleted: Records = [(chunk_key(tips, "9.1", 1), None)]
    transact(contract, 1, save(tips, "0.0", [b"a"], 7, 0), left, other, deleted)
    chunks, strays = read(contract, tips)
    assert chunks == [b"a"]
    assert strays == [chunk_key(tips, "9.1", 0), chunk_key(tips, "9.1", 2)]


def test_a_save_that_was_aborted_is_not_seen(contract: Contract) -> None:
    tips = Partition(contract.tips, 1)
    first, second = save(tips, "0.0", [b"a"], 7, 0), save(tips, "3.0", [b"b"], 8, 3)
    transact(contract, 1, first, second, last="abort")
    assert read(contract, tips) == ([b"a"], [])


def test_a_save_whose_transaction_is_open_is_waited_for(contract: Contract) -> None:
    tips, store = Partition(contract.tips, 1), contract.store()
    first, second = save(tips, "0.0", [b"a"], 7, 0), save(tips, "3.0", [b"b"], 8, 3)
    transact(contract, 1, first)
    writer = transact(contract, 1, second, last="open")
    assert writer is not None
    with pytest.raises(Retry, match="nothing comes"):
        store.find(tips)
    writer.commit_transaction()
    writer.close(timeout=5)
    assert read(contract, tips) == ([b"b"], [])


def test_state_is_found_and_read_after_the_log_was_compacted(contract: Contract) -> None:
    contract.checkpoints += "-compacted"
    contract.node.create_topic(contract.checkpoints, 2, {
        "cleanup.policy": "compact", "segment.bytes": str(1024 * 1024), "segment.ms": "500",
        "min.cleanable.dirty.ratio": "0.01", "delete.retention.ms": "0",
        "max.compaction.lag.ms": "500",
    })  # fmt: skip
    tips, rekeyed = Partition(contract.tips, 1), Partition(contract.rekeyed, 1)
    store, since = contract.store(), 0
    for at in range(5):
        since = store.end(tips)
        garbage: Records = [(chunk_key(tips, f"{at - 1}.0", each), None) for each in range(3)]
        chunks = [f"{at}-{each}".encode() * 40_000 for each in range(3)]
        transact(contract, 1, save(rekeyed, "0.0", [b"r"], at, 0))
        transact(contract, 1, save(tips, f"{at}.0", chunks, at, since), garbage)

    def is_compacted() -> bool:
        transact(contract, 1, [(b"filler", b"x")])  # the segment in use is never compacted
        return len(contract.node.read_all(contract.checkpoints)) < 30  # of 45

    until(is_compacted)
    found, strays = read(contract, tips)
    assert (found, strays) == (chunks, [])
    saved = find(store, tips)
    assert saved is not None
    assert (saved.manifest.next_offset, saved.manifest.since) == (4, since)
    assert read(contract, rekeyed)[0] == [b"r"]


def test_a_manifest_of_another_format_is_refused_with_words(contract: Contract) -> None:
    tips = Partition(contract.tips, 1)
    transact(contract, 1, [(manifest_key(tips), b'{"format":3,"something":"else"}')])
    with pytest.raises(StateError, match=r"format 3; expected 1 or 2: run the version"):
        find(contract.store(), tips)


def test_a_missing_chunk_is_an_error_and_never_a_shorter_state(contract: Contract) -> None:
    tips = Partition(contract.tips, 1)
    records = save(tips, "0.0", [b"a", b"b"], 7, 0)
    transact(contract, 1, [records[0], records[2]])
    with pytest.raises(StateError, match="chunks are missing"):
        read(contract, tips)


def test_a_topic_that_is_not_there_can_be_asked_for_later(contract: Contract) -> None:
    contract.checkpoints += "-later"
    store = contract.store()
    with pytest.raises(Retry):
        store.find(Partition(contract.tips, 1))
    contract.node.create_topic(contract.checkpoints, 2)
    assert find(store, Partition(contract.tips, 1)) is None


def test_a_partition_that_the_topic_does_not_have_stops_until_somebody_adds_it(
    contract: Contract,
) -> None:
    store, fifth = contract.store(), Partition(contract.tips, 4)
    with pytest.raises(Stop, match=r"checkpoints has 4 partitions, .*: partitions were added"):
        store.find(fifth)
    with contract.node._admin() as admin:
        admin.create_partitions({contract.checkpoints: 5})
    until(lambda: is_found(store, fifth))


def is_found(store: KafkaCheckpoints, partition: Partition) -> bool:
    try:
        return store.find(partition) is None
    except (Stop, Retry):  # a broker learns of a new partition in its own time
        return False
