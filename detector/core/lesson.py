"""A lesson: what a scored event keeps so that a late verdict on it can teach.

Inputs of the model of `any`, as they were when the event was scored, and the cells it fell in.
Compact, since there is one for each event remembered; and readable, with names, in a flag's
`features`, so that a verdict that brings them back needs no memory of the event at all.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import NamedTuple

from detector.core.cells import CELLS, ID_CELLS, MEASURES, SHAPE_CELLS, TABLE
from detector.core.reasons import KINDS

INPUTS = (
    "always",
    "prior",
    *(f"score_{kind}" for kind in KINDS),
    *MEASURES,
    *(f"risk_{cell}" for cell in CELLS),
)
"""Names of the inputs: 1, the log odds of the detectors together, each kind's own score, the
measures of the event, the risks of its cells."""

SCORES = slice(2, 2 + len(KINDS))
ID_RISKS = slice(-len(CELLS), -len(SHAPE_CELLS))

_PACKED = struct.Struct(f"<B{len(INPUTS)}f{len(CELLS)}H")
_LEARNED, _CELL = "learn_", "cell_"


class Lesson(NamedTuple):
    """What an event teaches.

    Attributes:
        protected: kinds, as bits in the order of `KINDS`, that a rule decided: not to be learned.
        inputs: numbers of `INPUTS`.
        ids, shapes: places of `traits.ID_CELLS` and `traits.SHAPE_CELLS`.
    """

    protected: int
    inputs: list[float]
    ids: list[int]
    shapes: list[int]

    def pack(self) -> bytes:
        """As bytes; inputs as 32 bit floats."""
        protected, inputs, ids, shapes = self
        return _PACKED.pack(protected, *inputs, *ids, *shapes)

    @classmethod
    def unpack(cls, packed: bytes) -> Lesson:
        """The inverse of `pack`.

        Raises:
            ValueError: it is something else.

        >>> lesson = Lesson(1, [0.5] * len(INPUTS), [3] * len(ID_CELLS), [4] * len(SHAPE_CELLS))
        >>> Lesson.unpack(lesson.pack()) == lesson
        True
        """
        protected, *figures = _PACKED.unpack(cls.checked(packed))
        ids_at, shapes_at = len(INPUTS), len(INPUTS) + len(ID_CELLS)
        return cls(protected, figures[:ids_at], figures[ids_at:shapes_at], figures[shapes_at:])

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
        inputs = zip(INPUTS, self.inputs, strict=True)
        cells = zip(CELLS, self.ids + self.shapes, strict=True)
        named = {_LEARNED + name: round(value, 4) for name, value in inputs if value}
        return named | {_CELL + name: cell for name, cell in cells if cell}

    @classmethod
    def of_features(cls, features: Mapping[str, float]) -> Lesson | None:
        """The inverse of `to_features`; None if there are no such figures. Others are ignored.

        A lesson from outside is no more than one from inside could be: its figures are bounded.

        >>> lesson = Lesson(0, [0.5] * len(INPUTS), [3] * len(ID_CELLS), [0] * len(SHAPE_CELLS))
        >>> Lesson.of_features(lesson.to_features()) == lesson
        True
        """
        if _LEARNED + INPUTS[0] not in features:
            return None
        inputs = [_bounded(features.get(_LEARNED + name, 0.0)) for name in INPUTS]
        ids = [_place(features.get(_CELL + name, 0.0)) for name in ID_CELLS]
        shapes = [_place(features.get(_CELL + name, 0.0)) for name in SHAPE_CELLS]
        return cls(0, inputs, ids, shapes)


def _bounded(value: float) -> float:
    return min(10.0, max(-10.0, value))


def _place(value: float) -> int:
    return int(value) if 0 <= value < TABLE else 0
