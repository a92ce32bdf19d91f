"""A directory that keeps the state of one engine where there is no Kafka.

It holds what a partition of the checkpoint topic would hold (see `runtime.checkpoint`), one file a
record, and knows nothing of what is in the chunks:

    <save>-<number>.chunk   a chunk, as it is
    manifest                the manifest, one line of JSON, and its digest on the next line
    lock                    locked while a process uses the directory

The manifest is replaced only after every chunk that it names is on the disk, and chunks that it no
longer names are deleted after that. So whenever the process or the machine dies, the directory
holds the state before the save or the one after it. Tippers' ids are in it: only its owner may read
the files.
"""

from __future__ import annotations

import fcntl
import math
import os
import re
import time
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Self

from detector.core.state import StateError
from detector.runtime.checkpoint import (
    Checkpointer,
    Manifest,
    SaveEvery,
    Stateful,
    chunk_names,
    load,
    manifest_key,
)
from detector.runtime.ports import Output, Partition
from detector.settings import ConfigError

_LINES = Partition("lines", 0)
"""What the state stands for, as a partition: its `next_offset` is the number of lines before."""

_SAVE_NAME = re.compile(r"[0-9]{1,18}\.[0-9]{1,18}")
_MANIFEST, _MANIFEST_BEFORE_RENAME, _LOCK = "manifest", "manifest.new", "lock"


class StateDir:
    """The directory, locked while it is open; made if it is not there.

    Args:
        path: where.

    Raises:
        ConfigError: another process has it open.
        OSError: it cannot be made or opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = os.open(path / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._lock)
            raise ConfigError(f"{path}: another process keeps its state there now") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._lock)

    def find(self) -> SavedFiles | None:
        """The saved state; None if there is none yet.

        Raises:
            StateError: its manifest is damaged or of another format.
        """
        try:
            content = (self.path / _MANIFEST).read_bytes()
        except FileNotFoundError:
            return None
        line, _, digest = content.partition(b"\n")
        if digest != _digest(line):
            raise StateError(f"{_MANIFEST}: damaged: it and its digest differ")
        manifest = Manifest.parse(line)
        for save in manifest.saves:
            if not _SAVE_NAME.fullmatch(save.name):
                raise StateError(f"{_MANIFEST}: found no name of a save, expected one like 3.0")
        return SavedFiles(self.path, manifest)

    def write(self, outputs: Iterable[Output]) -> None:
        """Does what the records say, in order, as the checkpoint topic would: puts and deletions.

        Raises:
            OSError: the disk is full, for example; the manifest before holds.
        """
        for output in outputs:
            key = output.key or b""
            if output.value is None:
                (self.path / _file_name(key)).unlink(missing_ok=True)
            elif key == manifest_key(_LINES):
                self._put_manifest(output.value)
            else:
                _write(self.path / _file_name(key), output.value)

    def sweep(self, manifest: Manifest | None) -> None:
        """Deletes what saves left that never came to an end."""
        keys = [] if manifest is None else chunk_names(manifest, _LINES)
        kept = {_file_name(key) for key in keys}
        for path in self.path.glob("[0-9]*.[0-9]*-[0-9]*.chunk"):
            if path.name not in kept:
                path.unlink()
        (self.path / _MANIFEST_BEFORE_RENAME).unlink(missing_ok=True)

    def _put_manifest(self, line: bytes) -> None:
        before_rename = self.path / _MANIFEST_BEFORE_RENAME
        _write(before_rename, line + b"\n" + _digest(line))
        self._sync()  # first the names of the chunks, then the manifest that names them
        before_rename.replace(self.path / _MANIFEST)
        self._sync()

    def _sync(self) -> None:
        directory = os.open(self.path, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


class SavedFiles:
    """The saved state in a directory. See `ports.Saved`."""

    def __init__(self, path: Path, manifest: Manifest) -> None:
        self.manifest = manifest
        self.strays: list[bytes] = []  # `StateDir.sweep` deletes them
        self._path = path

    def chunks(self) -> Iterator[bytes]:
        for key in chunk_names(self.manifest, _LINES):
            name = _file_name(key)
            try:
                yield (self._path / name).read_bytes()
            except FileNotFoundError:
                raise StateError(f"{name}: is missing") from None


class KeptState:
    """What is kept in a directory, loaded once and saved again and again.

    Args:
        directory: open.
        stateful: a fresh engine; it takes over what is saved there.

    Attributes:
        next_offset: lines that the newest save stands for, over all runs; 0 if there is none.

    Raises:
        ConfigError: what is saved there cannot be used. Throw the engine away.
    """

    def __init__(self, directory: StateDir, stateful: Stateful) -> None:
        self._directory = directory
        try:
            saved = directory.find()
            if saved is not None:
                load(stateful, saved)
        except StateError as error:
            raise ConfigError(
                f"{directory.path}: the state there cannot be used: {error}. Begin anew with "
                "another directory, or undo what changed it"
            ) from error
        manifest = None if saved is None else saved.manifest
        directory.sweep(manifest)
        self.next_offset = 0 if manifest is None else manifest.next_offset
        self._checkpointer = Checkpointer(
            _LINES, stateful, "", SaveEvery(math.inf, 1), _next_epoch(manifest), manifest, [],
            time.monotonic(),
        )  # fmt: skip

    def save(self, next_offset: int) -> None:
        """Saves the state, unless it stands for the same lines as the one saved last.

        Args:
            next_offset: lines scored until now, over all runs.

        Raises:
            OSError: it could not be written; the state before is still there.
        """
        manifest = self._checkpointer.manifest
        if manifest is not None and manifest.next_offset == next_offset:
            return
        self._checkpointer.begin(next_offset, time.monotonic(), lambda: 0)
        while outputs := self._checkpointer.step(
            next_offset, time.monotonic(), time.time_ns() // 1_000_000, lambda: 0
        ):
            self._directory.write(outputs)
        self.next_offset = next_offset


def _next_epoch(manifest: Manifest | None) -> int:
    """A first number for the names of saves that no kept one has."""
    saves = () if manifest is None else manifest.saves
    return max((int(save.name.partition(".")[0]) for save in saves), default=-1) + 1


def _file_name(key: bytes) -> str:
    """
    >>> _file_name(b"lines/0/2.1/00017"), _file_name(b"lines/0/manifest")
    ('2.1-00017.chunk', 'manifest')
    """
    if key == manifest_key(_LINES):
        return _MANIFEST
    *_, save, number = key.decode().split("/")
    return f"{save}-{number}.chunk"


def _write(path: Path, data: bytes) -> None:
    """Writes a file and waits until it is on the disk; only its owner may read it."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _digest(line: bytes) -> bytes:
    return blake2b(line, digest_size=16).hexdigest().encode() + b"\n"
