"""What reviewers do to cases: written to Kafka first, shown once it has come back from there.

Knows when something may be done, and how it stands in the topics. Verdicts go to the verdict topic,
whence the detectors learn; a snooze of the console's queue and a hand-over mean nothing to them and
go to the console's own topic.
"""

from __future__ import annotations

import threading
import time
from typing import Any, NamedTuple

import orjson
from kafka import KafkaProducer, TopicPartition
from kafka import errors as kafka_errors

from detector.console.intake import UNDO_HEADER
from detector.console.metrics import ConsoleMetrics
from detector.console.model import MAX_NOTE_CHARS, UNDO_MS, Act, Decision, User
from detector.console.projection import Projection
from detector.console.queries import Queries
from detector.edges.kafka import ANSWER_MS, client_options, make_reader
from detector.settings import Settings

MAX_SNOOZE_HOURS = 720
_CATCH_UP_S = 3.0
_SHOWN_S = 5.0
_DELIVERY_S = 10.5
_SENT_S = 11.0
"""Longer than the client tries: what is told not to have arrived must not arrive later."""
_VERDICTS = ("confirmed", "false_positive", "unclear")


class Refused(Exception):
    """It was not done.

    Attributes:
        problem: `not_found`, `conflict`, `too_late`, `bad_request`, `kafka_away` or
            `unanswered`, as in `model`.
    """

    def __init__(self, problem: str, detail: str = "") -> None:
        super().__init__(detail or problem)
        self.problem = problem


class Request(NamedTuple):
    """What a reviewer asks for.

    Attributes:
        case_id: of which case.
        version: of the case as the reviewer saw it.
        act: what to do.
        flag_id: of a verdict: the flag it judges, of this case; empty for the leading one.
        note: in the reviewer's words.
        hours: of a snooze: how long.
        to: of a hand-over: to whom.
    """

    case_id: str
    version: int
    act: Act
    flag_id: str = ""
    note: str = ""
    hours: int = 0
    to: str = ""


class Desk:
    """Does what reviewers ask for, one thing at a time.

    Args:
        settings: where Kafka is.
        queries, projection: how the cases stand, and how far the topics were read.
        metrics: told of verdicts.
    """

    def __init__(
        self, settings: Settings, queries: Queries, projection: Projection, metrics: ConsoleMetrics
    ) -> None:
        self._settings = settings
        self._queries = queries
        self._projection = projection
        self._metrics = metrics
        self._lock = threading.Lock()
        self._producer: Any = None
        self._reader: Any = None

    def do(self, asked: Request, user: User) -> None:
        """Does it, if nothing has happened to the case since the reviewer saw it.

        What others have written, here or elsewhere, is read first, so that nobody overwrites it
        unawares.

        Raises:
            Refused: it was not done; `unanswered`: perhaps it was.
        """
        note = asked.note.strip()
        if len(note) > MAX_NOTE_CHARS:
            raise Refused("bad_request", f"a note has at most {MAX_NOTE_CHARS} characters")
        with self._lock:
            self._catch_up()
            found = self._queries.case(asked.case_id)
            if found is None:
                raise Refused("not_found")
            row, lead = found
            if row.version != asked.version:
                raise Refused("conflict")
            now_ms = time.time_ns() // 1_000_000
            if asked.act in _VERDICTS or asked.act == "undo":
                last = self._last_verdict(asked, user, now_ms) if asked.act == "undo" else None
                flag = orjson.loads(lead)
                if asked.flag_id not in ("", flag["flag_id"]):
                    raise Refused("conflict")
                judgement = "unclear" if last else asked.act
                record = _verdict(flag, judgement, user.name, now_ms, note)
                if last:
                    record["flag_id"] = last.flag_id
                headers = [(UNDO_HEADER, b"1")] if last else []
                self._send(self._settings.topics.verdicts, record["flag_id"], record, headers)
                self._metrics.decided(judgement, (now_ms - row.arrived_ms) / 1000)
            else:
                record = _note(asked, user.name, now_ms, note)
                self._send(self._settings.console_topic, asked.case_id, record, [])

    def record(self, entry: dict[str, Any]) -> None:
        """Writes an entry of the audit log to the console's topic, without waiting for it."""
        try:
            self._get_producer().send(
                self._settings.console_topic, key=b"audit", value=orjson.dumps(entry)
            )
        except (kafka_errors.KafkaError, OSError) as error:
            raise Refused("kafka_away", type(error).__name__) from error

    def close(self) -> None:
        """Gives back its clients, after what they hold was sent."""
        for client in (self._producer, self._reader):
            if client is not None:
                client.close()

    def _last_verdict(self, asked: Request, user: User, now_ms: int) -> Decision:
        """The verdict that an undo takes back.

        Raises:
            Refused: there is none, it is somebody else's or too old.
        """
        last = undoable(self._queries.decisions(asked.case_id), user.name, now_ms)
        if last is None:
            raise Refused("too_late")
        return last

    def _catch_up(self) -> None:
        try:
            if self._reader is None:
                self._reader = make_reader(self._settings.kafka, "read_committed", 65_536)
            topics = (self._settings.topics.verdicts, self._settings.console_topic)
            partitions = []
            for topic in topics:
                numbers = self._reader.partitions_for_topic(topic)
                if not numbers:
                    raise Refused("kafka_away", f"there is no topic {topic}")
                partitions += [TopicPartition(topic, number) for number in numbers]
            ends = self._reader.end_offsets(partitions, timeout_ms=ANSWER_MS)
        except (kafka_errors.KafkaError, OSError, KeyError) as error:
            raise Refused("kafka_away", type(error).__name__) from error
        wanted = {(at.topic, at.partition): end for at, end in ends.items()}
        if not self._projection.wait_for(wanted, _CATCH_UP_S):
            raise Refused("kafka_away", "what others decided cannot be read")

    def _send(self, topic: str, key: str, record: dict[str, Any], headers: list[Any]) -> None:
        """Writes a record, and waits until it is in the database."""
        try:
            sent = self._get_producer().send(
                topic, key=key.encode(), value=orjson.dumps(record), headers=headers
            )
        except (kafka_errors.KafkaError, OSError) as error:
            raise Refused("kafka_away", type(error).__name__) from error
        try:
            written = sent.get(_SENT_S)
        except kafka_errors.KafkaError as error:
            raise Refused("unanswered", type(error).__name__) from error
        self._projection.wait_for({(topic, written.partition): written.offset + 1}, _SHOWN_S)

    def _get_producer(self) -> Any:
        if self._producer is None:
            self._producer = KafkaProducer(
                **client_options(self._settings.kafka), acks="all", max_block_ms=5_000,
                delivery_timeout_ms=int(_DELIVERY_S * 1000),
            )  # fmt: skip
        return self._producer


def undoable(decisions: tuple[Decision, ...], user: str, now_ms: int) -> Decision | None:
    """The verdict that a user can still take back: the last thing done, a minute ago at most.

    Args:
        decisions: of a case, the newest first.
        user: who asks.
        now_ms: epoch ms.

    >>> said = Decision("confirmed", 1_000, "lin", flag_id="f_1")
    >>> [undoable((said,), user, now_ms) is said for user, now_ms in
    ...  (("lin", 61_000), ("lin", 61_001), ("wu", 2_000))]
    [True, False, False]
    """
    last = next(iter(decisions), None)
    if last is None or last.act not in _VERDICTS or last.by != user:
        return None
    return last if now_ms - last.at_ms <= UNDO_MS else None


def _verdict(
    flag: dict[str, Any], judgement: str, reviewer: str, now_ms: int, note: str
) -> dict[str, Any]:
    """A verdict on a flag, with its features, so that it teaches every partition."""
    record = {
        "flag_id": flag["flag_id"],
        "event_id": flag["event_id"],
        "verdict": judgement,
        "kind": flag["kind"],
        "reviewer": reviewer,
        "decided_at": now_ms,
        "features": flag.get("features", {}),
    }
    return {**record, "note": note} if note else record


def _note(asked: Request, by: str, now_ms: int, note: str) -> dict[str, Any]:
    """What was done to a case beside verdicts.

    Raises:
        Refused: how long, or to whom, is not said.
    """
    record: dict[str, Any] = {"case_id": asked.case_id, "act": asked.act, "by": by, "at": now_ms}
    if asked.act == "snooze":
        if not 1 <= asked.hours <= MAX_SNOOZE_HOURS:
            raise Refused("bad_request", f"a snooze lasts 1 to {MAX_SNOOZE_HOURS} hours")
        record["until"] = now_ms + asked.hours * 3_600_000
    elif asked.act == "hand_over":
        if not 1 <= len(asked.to) <= 256:
            raise Refused("bad_request", "expected a name of 1 to 256 characters")
        record["to"] = asked.to
    return {**record, "note": note} if note else record
