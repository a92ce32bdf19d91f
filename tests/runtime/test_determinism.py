"""Whatever happens to the detectors, what they commit is what an undisturbed one would have.

One simulated stream goes through the real loop, on a Kafka in memory. Polls of any size, commits
that are late or aborted, processes killed before or after a commit, partitions that move between
two members at any moment: the flags, scores, dead letters, re-keyed events and offsets that count
in the end are the same, byte for byte, and each of them counts once.

Verdicts come at any moment. When each was learned is no function of the tips, so those runs are
held against lanes on their own that learn where the commits that came about have learned.

All tips are there from the start: whether a partition without tips is waited for is a question of
time (`merge.idle_after_s`), so what a tip that comes after that meets does depend on the clock.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import chain, count, islice
from typing import Any, Literal, NamedTuple
from zlib import crc32

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.assembly import Assembly
from detector.core.decision import Decision
from detector.core.event import Event
from detector.lab.simulate import Scenario, simulate
from detector.runtime.checkpoint import Mark
from detector.runtime.ports import Output, Partition
from detector.runtime.rekey import decode
from detector.runtime.tally import Tally
from tests import engines
from tests.minding import MindingAssembly
from tests.runtime.fake_kafka import Broker
from tests.runtime.fake_ports import (
    FakeClock,
    FakeVerdicts,
    Fate,
    Instance,
    Killed,
    make_broker,
)

Key = Literal["tipper", "streamer", "other"]

VERDICTS = engines.settings().topics.verdicts
BAD_VERDICT = b'{"verdict": "guilty"}'

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
        verdicts: how many come before the turn.
        is_deaf: the member cannot read them in this turn.
    """

    who: int
    most: int
    fate: Fate | None
    moves: int | None
    moves_meanwhile: bool
    verdicts: int = 0
    is_deaf: bool = False


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


def steps(most_verdicts: int) -> st.SearchStrategy[list[Step]]:
    return st.lists(
        st.builds(
            Step,
            who=st.integers(0, 1),
            most=st.integers(1, 150),
            fate=st.sampled_from([None, None, "late", "aborted", "killed before", "killed after"]),
            moves=st.none() | st.integers(0, 5),
            moves_meanwhile=st.booleans(),
            verdicts=st.integers(0, most_verdicts),
            is_deaf=st.booleans() if most_verdicts else st.just(False),
        ),
        min_size=12,  # Hypothesis makes lists about twice as long as they must be
        max_size=60,
    )


@pytest.mark.parametrize("tips_key", ["tipper", "streamer", "other"])
@settings(max_examples=20)
@given(partitions=st.integers(1, 3), steps=steps(0), save_every=st.integers(1, 80))
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


@pytest.mark.parametrize("tips_key", ["tipper", "streamer", "other"])
@settings(max_examples=15)
@given(partitions=st.integers(1, 3), steps=steps(4), save_every=st.integers(1, 80))
def test_what_is_committed_is_what_lanes_say_that_learn_where_the_marks_are(
    tips_key: Key, partitions: int, steps: list[Step], save_every: int
) -> None:
    site = Site(tips_key, partitions)
    fleet = run_fleet(site, steps, save_every)
    found, expected = outcome(fleet.broker, site), on_their_own(fleet, site)
    assert found.offsets == undisturbed(site).offsets
    assert found.dead_letters == expected.dead_letters
    assert found.scores == expected.scores
    assert found.flags == expected.flags


@settings(max_examples=12)
@given(steps=steps(4), save_every=st.integers(1, 80))
def test_each_bad_verdict_that_was_reached_is_one_dead_letter(
    steps: list[Step], save_every: int
) -> None:
    site = Site("tipper", 2)
    fleet = run_fleet(site, steps, save_every)
    broker, topics = fleet.broker, assembly("tipper").settings.topics
    reached = {0: 0, 1: 0}
    for mark in fleet.marks[Partition(topics.tips, 0)]:
        reached |= mark.positions
    bad = [
        (number, record.offset)
        for number, end in reached.items()
        for record in broker.read(Partition(topics.verdicts, number))[0]
        if record.value == BAD_VERDICT and record.offset < end
    ]
    headers = [dict(record.headers) for record in broker.all(topics.dead_letters)]
    letters = [
        (int(each["partition"] or b""), int(each["offset"] or b""))
        for each in headers
        if each["topic"] == topics.verdicts.encode()
    ]
    assert sorted(letters) == sorted(bad)


def test_verdicts_are_learned_in_the_runs_that_are_compared() -> None:
    site = Site("other", 2)
    ones = [Step(n % 2, 20, None, None, False, 3) for n in range(40)]
    fleet = run_fleet(site, ones, save_every=50)
    topics, rekeyed = assembly("other").settings.topics, assembly("other").settings.rekeyed_topic
    assert len(fleet.marks[Partition(topics.tips, 0)]) > 3
    assert len(fleet.marks[Partition(rekeyed, 0)]) > 3
    flags = [orjson.loads(record.value or b"") for record in fleet.broker.all(topics.flags)]
    assert len({flag["learned"] for flag in flags}) > 3


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
    assert sum(map(len, outcome.flags.values())) > 30
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
    return outcome(run_fleet(site, steps, save_every).broker, site)


def run_fleet(site: Site, steps: Sequence[Step], save_every: int) -> Fleet:
    broker = make_broker(assembly(site.tips_key), site.partitions)
    fill(broker, site)
    fleet = Fleet(broker, site, save_every)
    for step in steps:
        fleet.take(step)
    fleet.turn_until_quiet()
    return fleet


def on_their_own(fleet: Fleet, site: Site) -> Outcome:
    """What fresh lanes say of the logs as they are, record by record, learning at the marks."""
    made, broker = assembly(site.tips_key), fleet.broker
    twin, verdicts = make_broker(made, site.partitions), FakeVerdicts(broker, VERDICTS)
    for at in [*broker.logs]:
        if at.topic not in (made.settings.topics.tips, made.settings.rekeyed_topic):
            continue
        lane, outputs = made.make_lane(at, site.partitions), list[Output]()
        learner = made.make_learner(lane, verdicts)
        learner.recall({}, fleet.marks[at])
        for record in broker.read(at)[0]:
            learner.learn_again(record.offset)
            lane.process([record], Tally(), outputs, FakeClock())
        twin.finish(twin.begin(outputs, {}), "committed")
    return outcome(twin, site)


class Fleet:
    """Two members of one group; whoever is killed is started anew.

    Args:
        broker: theirs.
        site: what they run on.
        save_every: records between saves.

    Attributes:
        broker: theirs.
        marks: of the commits that came about: when each partition has learned what.
    """

    def __init__(self, broker: Broker, site: Site, save_every: int) -> None:
        topics = assembly(site.tips_key).settings
        self.broker = broker
        self._site = site
        self._save_every = save_every
        self._names = (f"member {n}" for n in count())
        self._verdicts = verdicts()
        self.marks: defaultdict[Partition, list[Mark]] = defaultdict(list)
        self._read = [
            at for at in broker.logs if at.topic in (topics.topics.tips, topics.rekeyed_topic)
        ]
        self._members = [self._start(), self._start()]
        broker.assign(self._read, self._members[0][0])

    def take(self, step: Step) -> None:
        _, instance = self._members[step.who]
        instance.source.most = step.most
        instance.sink.fates = [step.fate]
        instance.verdicts.is_away = step.is_deaf
        for number, value in islice(self._verdicts, step.verdicts):
            self.broker.produce(Partition(VERDICTS, number % self._site.partitions), value)
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
            instance.verdicts.is_away = False
        quiet = 0
        while quiet < QUIET_TURNS:
            commits = self.broker.commits
            for who in range(len(self._members)):
                self._turn(who)
            quiet = quiet + 1 if self.broker.commits == commits else 0

    def _turn(self, who: int) -> None:
        name, instance = self._members[who]
        instance.marked.clear()
        commits = self.broker.commits
        try:
            instance.turn()
        except Killed:
            self._members[who] = self._start()
            self.broker.assign([*self.broker.owned(name)], self._members[who][0])
        if self.broker.commits > commits:
            for at, mark in instance.marked:
                self.marks[at].append(mark)

    def _move(self, step: Step) -> None:
        """A partition goes to the other one."""
        assert step.moves is not None
        at = self._read[step.moves % len(self._read)]
        self.broker.assign([at], self._members[1 - step.who][0])

    def _start(self) -> tuple[str, Instance]:
        name = next(self._names)
        made = Instance(assembly(self._site.tips_key), self.broker, name, self._save_every)
        return name, made


def outcome(broker: Broker, site: Site) -> Outcome:
    topics = assembly(site.tips_key).settings.topics
    rekeyed_topic = assembly(site.tips_key).settings.rekeyed_topic
    flags = by_subject(broker, topics.flags)
    accounts = by_subject(broker, topics.accounts)
    letters: defaultdict[bytes, list[Any]] = defaultdict(list)
    for record in broker.all(topics.dead_letters):
        if dict(record.headers)["topic"] == VERDICTS.encode():
            continue
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
    return MindingAssembly(changed)


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


def verdicts() -> Iterator[tuple[int, bytes]]:
    """(what picks the partition, value) of each; every seventh is none."""
    for number in count():
        record = {
            "event_id": f"e{number}", "verdict": "confirmed", "kind": "minor", "reviewer": "r1",
            "decided_at": 1_772_380_802_000 + number, "features": {"score": 0.5},
        }  # fmt: skip
        yield number, BAD_VERDICT if number % 7 == 3 else orjson.dumps(record)


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
