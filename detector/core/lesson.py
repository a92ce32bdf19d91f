"""A lesson: what a scored event keeps so that a late verdict on it can teach.

Inputs of the model of `any`, as they were when the event was scored, and the cells it fell in.
Compact, since there is one for each event remembered; and readable, with names, in a flag's
`features`, so that a verdict that brings them back needs no memory of the event at all.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import NamedTuple

from detector.core.reasons import KINDS
from detector.core.traits import CELLS, MEASURES, TABLE

PRIOR, SCORES = 0, 1
"""Places of the inputs: the log odds of the detectors together, then each kind's own score."""

INPUTS = (
    "prior",
    *(f"score_{kind}" for kind in KINDS),
    *MEASURES,
    *(f"risk_{cell}" for cell in CELLS),
    "always",
)
"""Names of the inputs; that of each cell is its risk, the last one is always 1."""

_PACKED = struct.Struct(f"<B{len(INPUTS) - 1}f{len(CELLS)}H")
_LEARNED, _CELL = "learn_", "cell_"


class Lesson(NamedTuple):
    """What an event teaches.

    Attributes:
        protected: kinds, as bits in the order of `KINDS`, that a rule decided: not to be learned.
        inputs: numbers of `INPUTS`.
        cells: places of `traits.CELLS`.
    """

    protected: int
    inputs: list[float]
    cells: list[int]

    def pack(self) -> bytes:
        """As bytes; inputs as 32 bit floats."""
        return _PACKED.pack(self.protected, *self.inputs[:-1], *self.cells)

    @classmethod
    def unpack(cls, packed: bytes) -> Lesson:
        """The inverse of `pack`.

        Raises:
            ValueError: it is something else.

        >>> lesson = Lesson(1, [0.5] * (len(INPUTS) - 1) + [1.0], [3] * len(CELLS))
        >>> Lesson.unpack(lesson.pack()) == lesson
        True
        """
        protected, *figures = _PACKED.unpack(cls.checked(packed))
        inputs = len(INPUTS) - 1
        return cls(protected, [*figures[:inputs], 1.0], figures[inputs:])

    @staticmethod
    def checked(packed: bytes) -> bytes:
        """The same bytes, if they are as many as `pack` gives.

        Raises:
            ValueError: they are not.
        """
        if len(packed) != _PACKED.size:
            raise ValueError(f"a lesson: found {len(packed)} bytes, expected {_PACKED.size}")
        return packed

    def to_features(self) -> dict[str, float]:
        """Its figures by name; those that are 0 are left out."""
        named = {
            _LEARNED + name: round(value, 4)
            for name, value in zip(INPUTS[:-1], self.inputs, strict=False)
            if value
        }
        named |= {_CELL + name: cell for name, cell in zip(CELLS, self.cells, strict=True) if cell}
        return named

    @classmethod
    def of_features(cls, features: Mapping[str, float]) -> Lesson | None:
        """The inverse of `to_features`; None if there are no such figures. Others are ignored.

        A lesson from outside is no more than one from inside could be: inputs are bounded.
        """
        if _LEARNED + "prior" not in features:
            return None
        inputs = [_bounded(features.get(_LEARNED + name, 0.0)) for name in INPUTS[:-1]]
        cells = [_place(features.get(_CELL + name, 0.0)) for name in CELLS]
        return cls(0, [*inputs, 1.0], cells)


def _bounded(value: float) -> float:
    return min(10.0, max(-10.0, value))


def _place(value: float) -> int:
    return int(value) if 0 <= value < TABLE else 0
