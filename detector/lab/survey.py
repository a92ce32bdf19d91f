"""What a recorded stream holds: how long it is, and where its labelled cases and traps lie.

Goes through the stream once, before any engine does, so that labels which fit nothing are refused
early and a flag can be compared with its case as soon as it is raised. Opens no files.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from detector.core.decode import Skipped
from detector.core.event import Event, Rejected
from detector.lab.labels import Label, LabelError, Labels
from detector.lab.measures import Answers, CaseKey, Seen, known_cases

DAY_MS = 86_400_000


class StreamError(ValueError):
    """A stream that cannot be used; says what was found, and no id."""


@dataclass(slots=True)
class Trap:
    """Innocent life of one kind that looks like a case.

    Attributes:
        events: how many are labelled with it.
        instances: names of its instances, where labels tell them apart.
    """

    events: int = 0
    instances: set[str] = field(default_factory=set)


@dataclass(slots=True)
class Survey:
    """What a stream holds.

    Attributes:
        lines, events, tips: lines, those that are read as events, and those that are tips.
        first_ms, last_ms: the earliest and the latest event time, epoch ms.
        not_read: why the other lines are no events → how many.
        unread_labels: labels that must be about lines that were not read; they count nowhere.
        answers: the cases, ready to be compared with flags.
        case_lines: the line on which each case begins.
        traps: kind of trap → how much of it there is.
    """

    lines: int = 0
    events: int = 0
    tips: int = 0
    first_ms: int = 0
    last_ms: int = 0
    not_read: Counter[str] = field(default_factory=Counter)
    unread_labels: int = 0
    answers: Answers = field(default_factory=lambda: Answers([]))
    case_lines: dict[CaseKey, int] = field(default_factory=dict)
    traps: dict[str, Trap] = field(default_factory=dict)

    @property
    def days(self) -> float:
        """How long the stream is, in days; what is shorter than one counts as one."""
        return max(1.0, (self.last_ms - self.first_ms) / DAY_MS)


def survey(decoded: Iterable[Event | Rejected | Skipped], labels: Labels) -> Survey:
    """Goes through a stream.

    Args:
        decoded: what each line is, in order.
        labels: what is known about its events.

    Raises:
        StreamError: no line is an event.
        LabelError: more labels have no event than lines could not be read.
    """
    found = Survey()
    found.answers = Answers(known_cases(_labelled(decoded, labels, found)))
    if not found.events:
        why = ", ".join(f"{reason} {count:,}" for reason, count in sorted(found.not_read.items()))
        raise StreamError(f"found no event on {found.lines:,} lines{why and ': '}{why}")
    found.unread_labels, line = labels.not_met()
    if found.unread_labels > found.not_read.total():
        raise LabelError(
            f"labels without an event: {found.unread_labels:,}, the first on line {line:,}; "
            f"{found.not_read.total():,} lines of the events could not be read"
        )
    return found


def _labelled(
    decoded: Iterable[Event | Rejected | Skipped], labels: Labels, found: Survey
) -> Iterator[Seen]:
    """The events of cases, one for each case an event is in; the rest is counted."""
    met = set()  # ids of labelled events: one that comes twice counts once
    for line, event in enumerate(decoded, 1):
        found.lines = line
        if not isinstance(event, Event):
            found.not_read[event.reason] += 1
            continue
        _count(event, found)
        its_labels = labels.meet(event)
        if not its_labels or event.event_id in met:
            continue
        met.add(event.event_id)
        for label in its_labels:
            if label.trap is not None:
                trap = found.traps.setdefault(label.trap, Trap())
                trap.events += 1
                if label.case is not None:
                    trap.instances.add(label.case)
            if label.is_case:
                name, subject = case_of(label, event)
                found.case_lines.setdefault((str(label.kind), name), line)
                record = {
                    "kind": label.kind, "case": name,
                    "subject": {"type": subject[0], "id": subject[1]},
                }  # fmt: skip
                yield Seen(event.event_id, event.event_time_ms, event.type == "tip", record)


def _count(event: Event, found: Survey) -> None:
    found.events += 1
    found.tips += event.type == "tip"
    now_ms = event.event_time_ms
    found.first_ms = min(found.first_ms, now_ms) if found.events > 1 else now_ms
    found.last_ms = max(found.last_ms, now_ms)


def case_of(label: Label, event: Event) -> tuple[str, tuple[str, str]]:
    """The name of the case a labelled event is in, and its subject.

    Where the label does not say, the subject is the event's tipper, or its streamer where it has no
    tipper; where labels do not group events, all those of a kind on one subject are one case.
    """
    subject = label.subject
    if subject is None:
        has_tipper = event.tipper_id is not None
        subject = ("tipper" if has_tipper else "streamer",
                   (event.tipper_id if has_tipper else event.streamer_id) or "")  # fmt: skip
    return label.case or " ".join(subject), subject
