"""Whatever happens to the detectors, what they commit is what an undisturbed one would have.

One simulated stream goes through the real loop, on a Kafka in memory. Polls of any size, commits
that are late or aborted, processes killed before or after a commit, partitions that move between
two members at any moment: the flags, scores, dead letters, re-keyed events and offsets that count
in the end are the same, byte for byte, and each of them counts once.

All tips are there from the start: whether a partition without tips is waited for is a question of
time (`merge.idle_after_s`), so what a tip that comes after that meets does depend on the clock.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import chain, count
from typing import Any, Literal, NamedTuple
from zlib import crc32

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.assembly import Assembly
from detector.core.engine import Decision
from detector.core.event import Event
from detector.lab.simulate import Scenario, simulate
from detector.runtime.ports import Output, Partition
from detector.runtime.rekey import decode
from tests import engines
from tests.runtime.fake_kafka import Broker
from tests.runtime.fake_ports import Fate, Instance, Killed, make_broker

Key = Literal["tipper", "streamer", "other"]

QUIET_TURNS = 15
"""Turns of every member without a commit after which nothing will come any more."""


class Site(NamedTuple):
    """What stays the same in a run and its disturbed twin."""

    tips_key: Key
    partitions: int


class Step(NamedTuple):
    """One turn of one member, and what happens to it.

    Attributes:
        who: which of the two.
        most: records it polls.
        fate: of its next commit.
        moves: a number that picks a partition, which the other one gets; None: all stay.
        moves_meanwhile: it does so while the commit is under way, not before the turn.
    """

    who: int
    most: int
    fate: Fate | None
    moves: int | None
    moves_meanwhile: bool


class Outcome(NamedTuple):
    """All that counts in the end.

    Attributes:
        flags: subject → its flags, in order; `accounts`: subject → its credit records, in order.
        scores: of every event.
        dead_letters: partition → its letters with their headers, in order.
        rekeyed: (source, target, view) → time, offset and id of each event, in order.
        offsets: of the tips topic.
    """

    flags: dict[tuple[str, str], list[bytes]]
    accounts: dict[tuple[str, str], list[bytes]]
    scores: list[bytes]
    dead_letters: dict[bytes, list[Any]]
    rekeyed: dict[tuple[int, int, bytes], list[tuple[int, int, str]]]
    offsets: dict[Partition, int]


STEPS = st.lists(
    st.builds(
        Step,
        who=st.integers(0, 1),
        most=st.integers(1, 150),
        fate=st.sampled_from([None, None, "late", "aborted", "killed before", "killed after"]),
        moves=st.none() | st.integers(0, 5),
        moves_meanwhile=st.booleans(),
    ),
    min_size=12,  # Hypothesis makes lists about twice as long as they must be
    max_size=60,
)


@pytest.mark.parametrize("tips_key", ["tipper", "streamer", "other"])
@settings(max_examples=60)
@given(partitions=st.integers(1, 3), steps=STEPS, save_every=st.integers(1, 80))
def test_what_is_committed_is_what_an_undisturbed_run_commits(
    tips_key: Key, partitions: int, steps: list[Step], save_every: int
) -> None:
    site = Site(tips_key, partitions)
    expected, found = undisturbed(site), run(site, steps, save_every)
    assert found.offsets == expected.offsets
    assert found.dead_letters == expected.dead_letters
    assert found.rekeyed == expected.rekeyed
    assert found.scores == expected.scores
    assert found.flags == expected.flags
    assert found.accounts == expected.accounts


def test_an_undisturbed_run_commits_what_one_engine_says_on_its_own() -> None:
    site = Site("tipper", 1)
    engine, decoder = assembly("tipper").make_engine(), assembly("tipper").decoder
    events = [decoder.decode(value, engines.RECEIVED_MS) for _, _, value in records("tipper")]
    decisions = [engine.process(event) for event in events if isinstance(event, Event)]
    scored = [decision for decision in decisions if isinstance(decision, Decision)]
    found = undisturbed(site)
    flags = [orjson.dumps(flag.record) for decision in scored for flag in decision.flags]
    assert sorted(chain.from_iterable(found.flags.values())) == sorted(flags)
    accounts = [orjson.dumps(record) for decision in scored for record in decision.accounts]
    assert sorted(chain.from_iterable(found.accounts.values())) == sorted(accounts)
    assert len(found.scores) == len(scored)


@pytest.mark.parametrize("tips_key", ["tipper", "streamer", "other"])
def test_the_stream_has_enough_in_it_to_tell_runs_apart(tips_key: Key) -> None:
    site = Site(tips_key, 3)
    outcome = undisturbed(site)
    assert sum(map(len, outcome.flags.values())) > 50
    assert sum(map(len, outcome.accounts.values())) > 15
    assert len(outcome.dead_letters) == 3
    assert min(outcome.offsets.values()) > 50
    broker = make_broker(assembly(tips_key), 3)
    one = Instance(assembly(tips_key), broker)
    fill(broker, site)
    broker.assign([*broker.logs], "one")
    one.turn(60)
    engines_of = [engine for lane in one.lanes.values() for engine in lane.engines]
    for store, least in (("tippers", 5), ("event_ids", 5), ("accounts", 0)):
        assert sum(engine.evictions()[store] for engine in engines_of) > least
    assert one.sample("duplicates_total") > 10


# -- the run -------------------------------------------------------------------------------------


@cache
def undisturbed(site: Site) -> Outcome:
    return run(site, steps=[], save_every=100)


def run(site: Site, steps: Sequence[Step], save_every: int) -> Outcome:
    broker = make_broker(assembly(site.tips_key), site.partitions)
    fill(broker, site)
    fleet = Fleet(broker, site, save_every)
    for step in steps:
        fleet.take(step)
    fleet.turn_until_quiet()
    return outcome(broker, site)


class Fleet:
    """Two members of one group; whoever is killed is started anew.

    Args:
        broker: theirs.
        site: what they run on.
        save_every: records between saves.
    """

    def __init__(self, broker: Broker, site: Site, save_every: int) -> None:
        topics = assembly(site.tips_key).settings
        self._broker = broker
        self._site = site
        self._save_every = save_every
        self._names = (f"member {n}" for n in count())
        self._read = [
            at for at in broker.logs if at.topic in (topics.topics.tips, topics.rekeyed_topic)
        ]
        self._members = [self._start(), self._start()]
        broker.assign(self._read, self._members[0][0])

    def take(self, step: Step) -> None:
        _, instance = self._members[step.who]
        instance.source.most = step.most
        instance.sink.fates = [step.fate]
        if step.moves is not None:
            if step.moves_meanwhile:
                instance.sink.meanwhile = lambda: self._move(step)
            else:
                self._move(step)
        self._turn(step.who)
        instance.sink.meanwhile = lambda: None

    def turn_until_quiet(self) -> None:
        for _, instance in self._members:
            instance.source.most = 300
            instance.sink.fates = []
        quiet = 0
        while quiet < QUIET_TURNS:
            commits = self._broker.commits
            for who in range(len(self._members)):
                self._turn(who)
            quiet = quiet + 1 if self._broker.commits == commits else 0

    def _turn(self, who: int) -> None:
        name, instance = self._members[who]
        try:
            instance.turn()
        except Killed:
            self._members[who] = self._start()
            self._broker.assign([*self._broker.owned(name)], self._members[who][0])

    def _move(self, step: Step) -> None:
        """A partition goes to the other one."""
        assert step.moves is not None
        at = self._read[step.moves % len(self._read)]
        self._broker.assign([at], self._members[1 - step.who][0])

    def _start(self) -> tuple[str, Instance]:
        name = next(self._names)
        made = Instance(assembly(self._site.tips_key), self._broker, name, self._save_every)
        return name, made


def outcome(broker: Broker, site: Site) -> Outcome:
    topics = assembly(site.tips_key).settings.topics
    rekeyed_topic = assembly(site.tips_key).settings.rekeyed_topic
    flags = by_subject(broker, topics.flags)
    accounts = by_subject(broker, topics.accounts)
    letters: defaultdict[bytes, list[Any]] = defaultdict(list)
    for record in broker.all(topics.dead_letters):
        letters[dict(record.headers)["partition"]].append(
            (record.key, record.value, record.headers)
        )
    rekeyed: defaultdict[tuple[int, int, bytes], list[tuple[int, int, str]]] = defaultdict(list)
    for target in range(site.partitions):
        at = Partition(rekeyed_topic, target)
        for record in broker.read(at)[0]:
            view = record.key or b""
            batch = decode(record.value or b"", view.decode())  # type: ignore[arg-type]
            rekeyed[batch.source, target, view] += [
                (time_ms, offset, event.event_id or "") for time_ms, offset, event in batch.rows
            ]
        unread, _ = broker.read(at, broker.offsets.get(at, 0))
        assert not unread
    scores = sorted(record.value or b"" for record in broker.all(topics.scores))
    offsets = {at: offset for at, offset in broker.offsets.items() if at.topic == topics.tips}
    return Outcome(flags, accounts, scores, dict(letters),
                   {k: r for k, r in rekeyed.items() if r}, offsets)  # fmt: skip


def by_subject(broker: Broker, topic: str) -> dict[tuple[str, str], list[bytes]]:
    """The records about each subject, in order."""
    found: defaultdict[tuple[str, str], list[bytes]] = defaultdict(list)
    for record in broker.all(topic):
        subject = orjson.loads(record.value or b"")["subject"]
        assert record.key == subject["id"].encode()
        found[subject["type"], subject["id"]].append(record.value or b"")
    return dict(found)


# -- what it runs on -----------------------------------------------------------------------------


@cache
def assembly(tips_key: Key) -> Assembly:
    """The shipped settings with maps so small that much is forgotten, and low thresholds."""
    shipped = engines.settings()
    low = {
        kind: each.model_copy(update={"low": 0.05, "medium": 0.3, "high": 0.6})
        for kind, each in shipped.thresholds.items()
    }
    small = {
        "tipper_max_entries": 6, "streamer_max_entries": 4, "duplicate_max_entries": 40,
        "case_cool_down_s": 3600,
    }  # fmt: skip
    changed = shipped.model_copy(
        update={
            "topics": shipped.topics.model_copy(
                update={"tips_key": tips_key, "write_scores": True}
            ),
            "engine": shipped.engine.model_copy(update=small),
            "credit": shipped.credit.model_copy(
                update={"recovery_per_week": 20.0, "max_entries": 4}
            ),
            "thresholds": low,
        }
    )
    return Assembly(changed)


@cache
def stream() -> list[dict[str, Any]]:
    """Two weeks of a small site, many events late; every fourth tipper says he is twelve."""
    scenario = Scenario(
        seed=12, events=500, streamers=12, cases={"minor": 2, "outsized": 2, "binge": 2},
        jitter_s=3_600,
    )  # fmt: skip
    events = [simulated.event for simulated in simulate(scenario)]
    for event in events:
        if crc32(str(event.get("tipper_id")).encode()) % 4 == 0:
            event["tipper_age"] = 12
    return events


def fill(broker: Broker, site: Site) -> None:
    """The stream in the tips topic, with what is no event, what comes again, and gaps."""
    topic = assembly(site.tips_key).settings.topics.tips
    for number, (at, key, value) in enumerate(records(site.tips_key)):
        partition = crc32(at) % site.partitions
        broker.produce(Partition(topic, partition), value, key)
        if number % 23 == 0:  # somebody sends in transactions, and gives one up
            given_up = Output(topic, key, value, [], partition)
            broker.finish(broker.begin([given_up], {}), "aborted")


@cache
def _lines(tips_key: Key) -> list[tuple[bytes, bytes]]:
    id_of = {"tipper": "tipper_id", "streamer": "streamer_id", "other": "event_id"}[tips_key]
    lines = []
    for event in stream():
        key = event.get(id_of) or event.get("streamer_id") or ""
        lines.append((key.encode(), orjson.dumps(event)))
    return lines


def records(tips_key: Key) -> Iterator[tuple[bytes, bytes, bytes]]:
    """(what picks the partition, key, value) of each record."""
    lines = _lines(tips_key)
    for number, (key, value) in enumerate(lines):
        yield key, key, value
        if number % 13 == 0:
            again, value = lines[max(0, number - 4)]
            yield again, again, value
        if number % 19 == 0:
            yield str(number).encode(), key, b'{"event_id": "broken'
