"""What was saved is loaded as it was at the cut, or refused; and nothing is left lying about."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.core.state import StateError
from detector.runtime import checkpoint
from detector.runtime.checkpoint import (
    Checkpointer,
    Manifest,
    Mark,
    Save,
    SaveEvery,
    chunk_names,
    describe,
    load,
    manifest_key,
)
from detector.runtime.ports import Output, Partition
from tests.runtime.fake_kafka import Broker
from tests.runtime.fake_ports import Store

TIPS = Partition("tips", 0)
STORE = Partition("checkpoints", 0)
MANIFEST = Manifest(
    120, 1_772_380_802_000, "0.1.0", 7, (Save("7.0", 2, 11, "a"), Save("7.1", 1, 3, "b"))
)

OLD_MANIFEST = (
    b'{"format":1,"next_offset":120,"saved_at_ms":1772380802000,"version":"0.1.0","since":7,'
    b'"saves":[{"name":"7.0","chunks":2,"bytes":11,"digest":"a"},'
    b'{"name":"7.1","chunks":1,"bytes":3,"digest":"b"}]}'
)
"""As the first release wrote it: read by every release that says format 1."""


class Book:
    """Something that can be saved: pages, each of them a chunk. See `checkpoint.Stateful`."""

    def __init__(self) -> None:
        self.pages: dict[str, str] = {}
        self._changed: dict[str, str] = {}

    def put(self, page: str, text: str) -> None:
        self.pages[page] = self._changed[page] = text

    def save_all(self) -> Iterator[bytes]:
        return self._save(self.pages)

    def save_changes(self) -> Iterator[bytes]:
        return self._save(self._changed)

    def load(self, chunk: bytes) -> None:
        page, text = chunk.decode().split("=")
        self.pages[page] = text

    def _save(self, pages: dict[str, str]) -> Iterator[bytes]:
        cut, self._changed = dict(pages), {}
        return (f"{page}={text}".encode() for page, text in cut.items())


class Desk:
    """A book, who saves it, and the log it is saved to.

    Args:
        every: records between saves.
    """

    def __init__(self, every: int = 1) -> None:
        self.broker = Broker({STORE.topic: 1})
        self.store = Store(self.broker, STORE.topic)
        self.every = every
        self.next_offset = 0
        self.open()

    def open(self) -> None:
        """Throws the book away and goes on from what was saved of it."""
        self.book = Book()
        saved = self.store.find(TIPS)
        manifest = saved.manifest if saved else None
        if saved:
            load(self.book, saved)
        self.next_offset = manifest.next_offset if manifest else 0
        self.checkpointer = Checkpointer(
            TIPS, self.book, STORE.topic, SaveEvery(1e9, self.every), self.end(), manifest,
            saved.strays if saved else [], now_s=0.0,
        )  # fmt: skip

    def end(self) -> int:
        return self.store.end(TIPS)

    def write(self, page: str, text: str) -> None:
        self.book.put(page, text)
        self.next_offset += 1
        self.checkpointer.count(1)

    def commit(self) -> list[Output]:
        outputs = self.checkpointer.step(self.next_offset, 0.0, 1_772_380_802_000, self.end)
        self.broker.finish(self.broker.begin(outputs, {}), "committed")
        return outputs

    def left(self) -> set[bytes]:
        """Of all that is left in the log once it is compacted and tombstones are gone."""
        last = {record.key: record.value for record in self.broker.all(STORE.topic)}
        return {key or b"" for key, value in last.items() if value is not None}

    def manifest(self) -> Manifest:
        saved = self.store.find(TIPS)
        assert saved is not None
        return saved.manifest


# -- the manifest --------------------------------------------------------------------------------

POSITIONS = st.dictionaries(st.integers(0, 9_999), st.integers(0, 2**63 - 1))


@given(
    st.builds(
        Manifest,
        next_offset=st.integers(0, 2**63 - 1),
        saved_at_ms=st.integers(0, 2**63 - 1),
        version=st.text(st.characters(exclude_categories=["Cs"])),
        since=st.integers(0, 2**63 - 1),
        saves=st.lists(
            st.builds(Save, name=st.just("7.0"), chunks=st.integers(0, 99),
                      bytes=st.integers(0, 2**40), digest=st.just("ab"))
        ).map(tuple),
        positions=POSITIONS,
        marks=st.lists(
            st.builds(Mark, next_offset=st.integers(0, 2**63 - 1), positions=POSITIONS)
        ).map(tuple),
    )
)  # fmt: skip
def test_a_manifest_survives_the_way_to_bytes_and_back(manifest: Manifest) -> None:
    assert Manifest.parse(manifest.to_bytes()) == manifest


def test_the_manifest_of_the_first_release_is_written_and_read_byte_for_byte() -> None:
    assert MANIFEST.to_bytes() == OLD_MANIFEST
    assert Manifest.parse(OLD_MANIFEST) == MANIFEST


def test_a_manifest_of_another_format_is_refused_with_what_to_do() -> None:
    with pytest.raises(StateError) as refused:
        Manifest.parse(b'{"format": 3, "something": "else"}')
    assert str(refused.value) == (
        "checkpoint: format 3; expected 1 or 2: run the version of tip-detector that wrote it, or "
        "start cold from an empty checkpoint topic"
    )


@pytest.mark.parametrize(
    "data",
    [
        b"", b"7", b"null", b"[]", b"{}", b'{"format":1}', OLD_MANIFEST[:-1],
        OLD_MANIFEST.replace(b'"since"', b'"until"'), OLD_MANIFEST.replace(b'"name"', b'"title"'),
    ],
)  # fmt: skip
def test_bytes_that_are_no_manifest_are_refused(data: bytes) -> None:
    with pytest.raises(StateError, match="checkpoint: not a manifest"):
        Manifest.parse(data)


def test_an_operator_is_told_how_large_a_saved_state_is() -> None:
    told = describe(MANIFEST)
    assert (told["saves"], told["chunks"], told["bytes"], told["format"]) == (2, 3, 14, 1)


# -- loading -------------------------------------------------------------------------------------


def desk_with_two_saves() -> Desk:
    desk = Desk()
    desk.write("a", "1")
    desk.write("b", "1")
    desk.commit()
    desk.write("a", "2")
    desk.commit()
    return desk


def test_a_whole_save_and_the_changes_after_it_make_the_state() -> None:
    desk = desk_with_two_saves()
    assert [save.chunks for save in desk.manifest().saves] == [2, 1]
    desk.open()
    assert (desk.book.pages, desk.next_offset) == ({"a": "2", "b": "1"}, 3)


def test_a_chunk_with_another_content_is_refused() -> None:
    desk = desk_with_two_saves()
    for record in desk.broker.all(STORE.topic):
        if record.value == b"b=1":
            record.value = b"b=7"
    with pytest.raises(StateError, match=r"save 0\.0: its digest is not the manifest's"):
        desk.open()


@pytest.mark.parametrize("gone", [b"a=1", b"b=1", b"a=2"])
def test_a_chunk_that_is_gone_is_missed(gone: bytes) -> None:
    desk = desk_with_two_saves()
    for record in desk.broker.all(STORE.topic):
        if record.value == gone:
            record.key = b"something/else"
    with pytest.raises(StateError, match="chunks are missing"):
        desk.open()


# -- what is saved, and when ---------------------------------------------------------------------


def test_an_empty_state_is_saved_at_once_and_then_only_after_records() -> None:
    desk = Desk(every=2)
    (manifest,) = desk.commit()
    assert (manifest.key, desk.manifest().next_offset) == (manifest_key(TIPS), 0)
    desk.write("a", "1")
    assert desk.commit() == []
    desk.write("a", "2")
    assert [output.value for output in desk.commit()][:-1] == [b"a=2"]


def test_a_save_is_due_after_its_interval_too_if_there_is_anything_new() -> None:
    checkpointer = Checkpointer(
        TIPS, Book(), STORE.topic, SaveEvery(60.0, 1_000), 0, MANIFEST, [], now_s=100.0
    )
    assert not checkpointer.is_busy(now_s=1_000.0)
    checkpointer.count(1)
    assert [checkpointer.is_busy(now_s) for now_s in (159.0, 160.0)] == [False, True]


def test_only_what_is_newer_than_the_last_save_makes_it_old() -> None:
    every = SaveEvery(interval_s=30, records=1_000)
    checkpointer = Checkpointer(TIPS, Book(), STORE.topic, every, 0, MANIFEST, [], now_s=100.0)
    assert checkpointer.unsaved_s(9_000.0) == 0
    checkpointer.count(1)
    assert checkpointer.unsaved_s(107.0) == 7


def test_once_the_changes_weigh_as_much_as_the_whole_all_is_saved_and_the_old_deleted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(checkpoint, "_SMALL_BYTES", 0)
    desk = Desk()
    for page in "abcd":
        desk.write(page, "1")
    desk.commit()  # 12 bytes
    for text in "2345":
        desk.write("a", text)
        desk.commit()
    before = desk.manifest()
    assert [save.bytes for save in before.saves] == [12, 3, 3, 3, 3]
    desk.write("a", "6")
    outputs = desk.commit()
    after = desk.manifest()
    assert [save.bytes for save in after.saves] == [12]
    deleted = [output.key for output in outputs if output.value is None]
    assert deleted == chunk_names(before, TIPS)
    assert desk.left() == {manifest_key(TIPS), *chunk_names(after, TIPS)}
    assert after.since > before.since
    desk.open()
    assert desk.book.pages == {"a": "6", "b": "1", "c": "1", "d": "1"}


def test_a_state_is_never_made_of_more_than_a_few_dozen_saves() -> None:
    desk = Desk()
    for number in range(200):
        desk.write("a", str(number))
        desk.commit()
        assert len(desk.manifest().saves) <= 65
    assert len(desk.left()) <= 66


def test_a_save_in_slices_is_of_the_moment_it_was_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "SLICE_BYTES", 1)
    desk = Desk()
    desk.write("a", "1")
    desk.write("b", "1")
    slices = [desk.commit()]
    while desk.checkpointer.is_busy(0.0) and len(slices) < 3:
        desk.write("b", "later")
        slices.append(desk.commit())
    values = [[output.value for output in outputs] for outputs in slices]
    assert values[:2] == [[b"a=1"], [b"b=1"]]
    assert Manifest.parse(values[2][0] or b"").next_offset == 2
    desk.open()
    assert (desk.book.pages, desk.next_offset) == ({"a": "1", "b": "1"}, 2)


def test_a_save_that_is_written_after_it_was_begun_is_of_the_moment_it_was_begun() -> None:
    desk = Desk()
    desk.write("a", "1")
    desk.checkpointer.begin(desk.next_offset, 0.0, desk.end)
    desk.write("a", "later")
    desk.commit()
    desk.open()
    assert (desk.book.pages, desk.next_offset) == ({"a": "1"}, 1)


def test_a_save_that_was_cut_off_leaves_the_one_before_and_is_deleted_with_the_next_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    desk = desk_with_two_saves()
    monkeypatch.setattr(checkpoint, "SLICE_BYTES", 1)
    desk.write("a", "3")
    desk.write("b", "3")
    (cut_off,) = desk.commit()
    assert (cut_off.value, desk.manifest().next_offset) == (b"a=3", 3)
    desk.open()
    assert (desk.book.pages, desk.next_offset) == ({"a": "2", "b": "1"}, 3)

    monkeypatch.undo()
    monkeypatch.setattr(checkpoint, "_MOST_SAVES", 0)  # a whole save is due
    assert cut_off.key in desk.left()
    desk.write("a", "4")
    desk.commit()
    assert desk.left() == {manifest_key(TIPS), *chunk_names(desk.manifest(), TIPS)}


STEPS = st.lists(
    st.sampled_from(["commit", "open"]) | st.tuples(st.sampled_from("abcde"), st.integers(0, 9)),
    max_size=60,
)


@given(STEPS, st.integers(1, 4), st.integers(1, 12), st.integers(0, 4))
def test_what_is_loaded_is_what_was_there_at_the_manifests_offset(
    steps: list[Any], every: int, slice_bytes: int, most_saves: int
) -> None:
    desk = Desk(every)
    desk.commit()  # an empty state fits into one slice
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoint, "SLICE_BYTES", slice_bytes)
        patch.setattr(checkpoint, "_MOST_SAVES", most_saves)
        history = [dict[str, str]()]  # by next offset; what is thrown away is forgotten here too
        for step in [*steps, "open"]:
            if step == "commit":
                desk.commit()
            elif step == "open":
                desk.open()
                assert desk.book.pages == history[desk.next_offset]
                del history[desk.next_offset + 1 :]
            else:
                desk.write(step[0], str(step[1]))
                history.append(dict(desk.book.pages))
        patch.setattr(checkpoint, "_MOST_SAVES", 0)
        patch.setattr(checkpoint, "SLICE_BYTES", 1_000)
        for _ in range(2):  # one may be under way; the next is a whole one
            for _ in range(every):
                desk.write("a", "last")
            desk.commit()
        assert desk.left() == {manifest_key(TIPS), *chunk_names(desk.manifest(), TIPS)}


def test_keys_sort_by_partition_and_the_manifest_is_json_that_says_its_format_first() -> None:
    desk = desk_with_two_saves()
    assert desk.left() == {
        b"tips/0/manifest", b"tips/0/0.0/00000", b"tips/0/0.0/00001", b"tips/0/0.1/00000",
    }  # fmt: skip
    assert next(iter(orjson.loads(desk.manifest().to_bytes()))) == "format"
