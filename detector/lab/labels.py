"""What is known about the events of a recorded stream: cases, traps, known-good events, verdicts.

Reads label records and answers for an event which of them are about it. Does not know flags, and
opens no files. Case labels are few and kept whole; known-good events may be most of the stream and
cost nine bytes each.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import orjson

from detector.core.event import Event
from detector.core.fusion import flag_id
from detector.core.reasons import KINDS
from detector.core.verdict import VerdictError, read_verdict

GENUINE = (None, "", "genuine")
MOST_TRAPS = 1_000
_MAX_CHARS = 256


class LabelError(ValueError):
    """Labels that cannot be used; says where, what was found and what was expected, and no id."""


class Label(NamedTuple):
    """One label.

    Attributes:
        event_id: the event it is about; None where only `flag_id` says so.
        flag_id: a verdict's flag; None where `event_id` is known.
        kind: of `reasons.KINDS`; None for good in every respect.
        is_case: whether the event belongs to a case of `kind`, or is known not to.
        case: the case's name; None where labels do not group events.
        subject: (`tipper` or `streamer`, id) of the case; None where the label does not say.
        trap: what innocent thing it is that looks like a case; None for none.
    """

    event_id: str | None
    flag_id: str | None
    kind: str | None
    is_case: bool
    case: str | None
    subject: tuple[str, str] | None
    trap: str | None

    @property
    def is_plain_good(self) -> bool:
        """Whether it says only that the event is good."""
        return not self.is_case and self.kind is None and self.trap is None


def read_label(record: Any) -> Label | None:
    """The record as a Label; None for a verdict that decides nothing.

    Args:
        record: `{"event_id", "kind"}`, with `case`, `subject` and `trap` where known; a `kind` of
            null or `genuine` is a good event. Or a Verdict.

    Raises:
        LabelError: it is neither.

    >>> read_label({"event_id": "e1", "kind": "ring", "case": "r1"}).case
    'r1'
    >>> read_label({"event_id": "e1", "kind": "genuine"}).is_plain_good
    True
    >>> read_label({"event_id": "e1", "kind": "robbery"})
    Traceback (most recent call last):
    detector.lab.labels.LabelError: kind: expected one of minor, outsized, binge, gambling, ring, \
cap, refund_abuse, or null or "genuine" for a good event
    """
    if not isinstance(record, dict):
        raise LabelError("found no JSON object")
    if "verdict" in record:
        return _of_verdict(record)
    event_id = _text(record, "event_id")
    if event_id is None:
        raise LabelError("event_id: required, found nothing")
    kind, trap = record.get("kind"), _text(record, "trap")
    if kind in GENUINE:
        return Label(event_id, None, None, False, _text(record, "case"), None, trap)
    if kind not in KINDS:
        raise LabelError(
            f'kind: expected one of {", ".join(KINDS)}, or null or "genuine" for a good event'
        )
    subject = _subject(record.get("subject"))
    return Label(event_id, None, kind, True, _text(record, "case"), subject, None)


class Labels:
    """All labels of a stream.

    Args:
        labels: each with where it stands, such as its line's number.

    Attributes:
        undecided: verdicts that decide nothing; they are left out.
        kinds: those that labels speak of.

    Raises:
        LabelError: more different traps than can be told apart.

    >>> labels = Labels([(1, read_label({"event_id": "e1", "kind": "ring"})),
    ...                  (2, read_label({"event_id": "e2", "kind": None}))])
    >>> [label.kind for label in labels.of("e1")], labels.of("e2"), labels.is_good("e2")
    (['ring'], (), True)
    """

    def __init__(self, labels: Iterable[tuple[int, Label | None]]) -> None:
        self.undecided = 0
        self.kinds: set[str] = set()
        self._by_event: dict[str, tuple[Label, ...]] = {}
        self._by_flag: dict[str, Label] = {}
        self._lines: dict[str, int] = {}  # of the first label of an event, or of a flag
        hashes, good_lines, traps = array("q"), array("L"), set()
        for line, label in labels:
            if label is None:
                self.undecided += 1
                continue
            if label.kind is not None:
                self.kinds.add(label.kind)
            if label.event_id is None:
                self._by_flag[str(label.flag_id)] = label
                self._lines.setdefault(str(label.flag_id), line)
            elif label.is_plain_good:
                hashes.append(hash(label.event_id))
                good_lines.append(line)
            else:
                traps.update({label.trap} - {None})
                self._add(label.event_id, label)
                self._lines.setdefault(label.event_id, line)
            if len(traps) > MOST_TRAPS:
                raise LabelError(
                    f"trap: found more than {MOST_TRAPS:,} different ones, expected kinds of trap"
                )
        order = sorted(range(len(hashes)), key=hashes.__getitem__)
        self._good = array("q", (hashes[each] for each in order))
        self._good_lines = array("L", (good_lines[each] for each in order))
        self._is_good_met = bytearray(len(order))
        self._flag_kinds = {label.kind for label in self._by_flag.values()}

    def meet(self, event: Event) -> tuple[Label, ...]:
        """The labels of an event, noting that it is there; call it once for each event.

        From then on a verdict on one of its flags is a label of the event.
        """
        event_id = event.event_id
        for kind in self._flag_kinds if self._by_flag else ():
            for subject in (("tipper", event.tipper_id), ("streamer", event.streamer_id)):
                if subject[1] is None or kind is None:
                    continue
                wanted = flag_id(event_id, kind, (subject[0], subject[1]))
                label = self._by_flag.pop(wanted, None)
                if label is not None:
                    self._add(event_id, label._replace(event_id=event_id))
                    del self._lines[wanted]
        self._lines.pop(event_id, None)
        at = bisect_left(self._good, hash(event_id))
        while at < len(self._good) and self._good[at] == hash(event_id):
            self._is_good_met[at] = 1
            at += 1
        return self._by_event.get(event_id, ())

    def of(self, event_id: str) -> tuple[Label, ...]:
        """The labels of an event, but for one that only says it is good."""
        return self._by_event.get(event_id, ())

    def is_good(self, event_id: str) -> bool:
        """Whether a label says that the event is good, and nothing more."""
        at = bisect_left(self._good, hash(event_id))
        return at < len(self._good) and self._good[at] == hash(event_id)

    def not_met(self) -> tuple[int, int]:
        """How many labelled events or flags have not been met, and where the first one stands."""
        lines = list(self._lines.values())
        lines += [
            line
            for line, is_met in zip(self._good_lines, self._is_good_met, strict=True)
            if not is_met
        ]
        return len(lines), min(lines, default=0)

    def counts(self) -> dict[str, int]:
        """How many labels say what."""
        kept = [label for labels in self._by_event.values() for label in labels]
        return {
            "in_cases": sum(label.is_case for label in kept),
            "traps": sum(label.trap is not None for label in kept),
            "known_good": len(self._good) + sum(not (e.is_case or e.trap) for e in kept),
            "undecided": self.undecided,
        }

    def _add(self, event_id: str, label: Label) -> None:
        before = self._by_event.get(event_id, ())
        if label not in before:
            self._by_event[event_id] = (*before, label)


def read_labels(lines: Iterable[bytes], name_of: Callable[[str], str] = str) -> Labels:
    """The labels in a file of JSON lines; empty lines are passed over.

    Args:
        lines: the file's.
        name_of: a subject's id → what it is called in flags.

    Raises:
        LabelError: a line is no label; or there are none.
    """
    number = 0

    def read() -> Iterable[tuple[int, Label | None]]:
        nonlocal number
        for number, line in enumerate(lines, 1):
            if line.strip():
                label = read_label(orjson.loads(line))
                if label is not None and label.subject is not None:
                    subject_type, subject_id = label.subject
                    label = label._replace(subject=(subject_type, name_of(subject_id)))
                yield number, label

    try:
        labels = Labels(read())
    except orjson.JSONDecodeError:
        raise LabelError(f"line {number}: not JSON") from None
    except LabelError as error:
        raise LabelError(f"line {number}: {error}") from None
    if not any(labels.counts().values()) and not labels.not_met()[0]:
        raise LabelError("found no label")
    return labels


def _of_verdict(record: dict[str, Any]) -> Label | None:
    try:
        verdict = read_verdict(record)
    except VerdictError as error:
        raise LabelError(str(error)) from None
    if verdict.judgement == "unclear":
        return None
    flag = None if verdict.event_id is not None else verdict.flag_id
    is_case = verdict.judgement == "confirmed"
    return Label(verdict.event_id, flag, verdict.kind, is_case, None, None, None)


def _text(record: dict[str, Any], name: str) -> str | None:
    value = record.get(name)
    if value is None or value == "":
        return None
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or len(value) > _MAX_CHARS:
        raise LabelError(f"{name}: expected a text of at most {_MAX_CHARS} characters")
    return value


def _subject(found: Any) -> tuple[str, str] | None:
    if found is None:
        return None
    if not isinstance(found, dict) or found.get("type") not in ("tipper", "streamer"):
        raise LabelError("subject: expected a type of tipper or streamer, and an id")
    subject_id = _text(found, "id")
    if subject_id is None:
        raise LabelError("subject: expected an id, found none")
    return found["type"], subject_id
