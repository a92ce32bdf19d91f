"""What a run left behind, and how it differs from what an undisturbed run leaves."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson

Id = tuple[str, str]
"""("flag", its flag_id) or ("dead letter", the offset it comes from)."""


class Written(NamedTuple):
    """One record of an output topic: which it is, and everything it says."""

    id: Id
    content: bytes


@dataclass(frozen=True)
class Outcome:
    """What a reader of committed records sees after a run.

    Attributes:
        written: flags and dead letters, each as often as it is there.
        next_offsets: partition of the tips topic → the offset the group has committed.
    """

    written: list[Written]
    next_offsets: Mapping[int, int]

    def count(self, what: str) -> int:
        """How many there are: of "flag" or of "dead letter"."""
        return sum(each.id[0] == what for each in self.written)


class Difference(NamedTuple):
    """How an outcome differs from the reference.

    Attributes:
        lost: ids of the reference that are missing.
        doubled: records whose id is there more often than in the reference.
        different: records that say something else than the reference's record of that id, or whose
            id the reference does not have.
    """

    lost: int = 0
    doubled: int = 0
    different: int = 0

    def __str__(self) -> str:
        return f"lost {self.lost}, doubled {self.doubled}, different {self.different}"


def compare(found: list[Written], expected: list[Written]) -> Difference:
    """Record for record, score for score; order does not matter.

    >>> def flags(*said): return [Written(("flag", each[:2]), each.encode()) for each in said]
    >>> expected = flags("f1 score 0.5", "f2 score 0.5", "f3 score 0.5")
    >>> found = flags("f1 score 0.5", "f1 score 0.5", "f2 score 0.6", "f9 score 1.0")
    >>> print(compare(found, expected))
    lost 1, doubled 1, different 2
    """
    ids, expected_ids = Counter(each.id for each in found), Counter(each.id for each in expected)
    contents: dict[Id, set[bytes]] = defaultdict(set)
    for each in expected:
        contents[each.id].add(each.content)
    return Difference(
        lost=(expected_ids - ids).total(),
        doubled=sum(max(0, n - expected_ids[id]) for id, n in ids.items() if id in expected_ids),
        different=sum(each.content not in contents.get(each.id, ()) for each in found),
    )


def flag(record: Any) -> Written:
    """A record of the flags topic."""
    said = orjson.loads(record.value)
    key = b"" if record.key is None else record.key
    content = key + b"\n" + orjson.dumps(said, option=orjson.OPT_SORT_KEYS)
    return Written(("flag", said["flag_id"]), content)


def dead_letter(record: Any, sources: Mapping[tuple[int, int], bytes]) -> Written:
    """A record of the dead-letter topic; its bytes are compared with those that were produced.

    Its content says whether it kept them: whole, or, with a header that says so, their first part.
    So a letter cut for want of room is equal to one that was not.
    """
    headers = dict(record.headers)
    partition, offset = int(headers["partition"]), int(headers["offset"])
    produced = sources[partition, offset]
    cut_from = headers.get("cut_from_bytes")
    is_kept = (
        record.value == produced
        if cut_from is None
        else produced.startswith(record.value) and int(cut_from) == len(produced)
    )
    said = {"reason": headers["reason"].decode(), "is_kept": is_kept}
    return Written(("dead letter", f"{partition}@{offset}"), orjson.dumps(said))
