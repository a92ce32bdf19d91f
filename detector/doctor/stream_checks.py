"""What the tips topic's newest records say of mapping, clocks and lag. Knows no broker.

A record's content is looked at and never repeated: only reasons and counts are told.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from detector.core.decode import Decoder, Skipped
from detector.core.event import Event
from detector.doctor.finding import Finding
from detector.edges.kafka_facts import GroupFacts
from detector.edges.kafka_sample import Sample
from detector.settings import Settings

_LOG_APPEND_TIME = 1
_MUCH = 0.5
_SOME = 0.01
_SKEW_MS = 2_000


def check_mapping(settings: Settings, decoder: Decoder, sample: Sample) -> Finding:
    """How many of the newest records become events, and why the others do not."""
    reasons, events, skipped = Counter[str](), 0, 0
    for record in sample.records:
        decoded = decoder.decode(record.value, record.timestamp)
        if isinstance(decoded, Event):
            events += 1
        elif isinstance(decoded, Skipped):
            skipped += 1
        else:
            reasons[decoded.reason] += 1
    name, refused = settings.input.mapping or "canonical", reasons.total()
    if not sample.records:
        return Finding(
            "warn", "mapping", f"{settings.topics.tips} has no records to try {name} on",
            "whether records can be read shows only with the first ones",
            "run this again once tips flow",
        )  # fmt: skip
    what = f"{name}: of the newest {len(sample.records):,} records {events:,} are events"
    what += f", {skipped:,} are skipped" if skipped else ""
    if not refused:
        return Finding("ok", "mapping", what)
    shown = ", ".join(f"{reason} {count:,}" for reason, count in reasons.most_common(5))
    share = refused / len(sample.records)
    return Finding(
        "fail" if share > _MUCH else "warn", "mapping", f"{what}, {refused:,} are not: {shown}",
        "they become dead letters and are not scored" if share > _SOME else
        "a few records become dead letters",
        'set input.mapping to the platform\'s; `tip-detector score --mapping NAME` on some records '
        "says what is wrong with each",
    )  # fmt: skip


def check_clock(settings: Settings, sample: Sample, now_ms: int) -> Finding:
    """What the newest records say of the clocks.

    Only one direction can be seen: a stamp from the future shows a clock that is ahead, while an
    old one may simply be an old record.

    Args:
        settings: all settings.
        sample: the newest records.
        now_ms: this host's clock.
    """
    if not sample.records:
        return Finding("ok", "clock", "nothing can be known without records")
    newest = max(sample.records, key=lambda record: record.timestamp)
    ahead_ms = newest.timestamp - now_ms
    by_broker = newest.timestamp_type == _LOG_APPEND_TIME
    whose = "the broker's" if by_broker else "a producer's"
    if ahead_ms <= _SKEW_MS:
        return Finding(
            "ok", "clock", f"no record is from the future by this host's clock and {whose}; the "
            f"newest is {max(0, -ahead_ms) / 1000:,.0f} s old",
        )  # fmt: skip
    return Finding(
        "warn", "clock",
        f"{whose} clock is ahead of this host's, or this one behind, by at least "
        f"{ahead_ms / 1000:,.0f} s",
        "lag looks smaller than it is" if by_broker else
        "a stamp far in the future makes what follows late",
        "set this host's clock (NTP)" if by_broker else
        f"set clocks (NTP), or message.timestamp.type=LogAppendTime on {settings.topics.tips}",
    )  # fmt: skip


def check_lag(settings: Settings, group: GroupFacts, sample: Sample) -> Iterator[Finding]:
    """How far the group is behind, and whether records were deleted before it read them."""
    name = settings.kafka.group_id
    if not group.committed:
        where = settings.kafka.auto_offset_reset
        yield Finding("ok", "group", f"{name}: nothing is committed yet; it starts at the {where}")
        return
    lag = lost = 0
    for number, (start, end) in sample.spans.items():
        offset = group.committed.get(number, start)
        lag += max(0, end - max(offset, start))
        lost += max(0, start - offset)
    if lost:
        yield Finding(
            "warn", "group", f"{name}: {lost:,} records were deleted before they were read",
            "they are never scored", f"keep records of {settings.topics.tips} for longer",
        )  # fmt: skip
    what = f"{name}: {lag:,} records behind, {group.members} members"
    if lag and not group.members:
        yield Finding(
            "warn", "group", what, "nobody reads: flags come once a run catches up", "start a run"
        )
    else:
        yield Finding("ok", "group", what)
