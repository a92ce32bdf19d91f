"""Cases to Alertmanager, on a thread of its own: reads what was committed, tells what is news.

The flags and verdicts are read from their topics as any other reader would read them, so nothing
is told of that was not committed, nothing is lost when the process is killed in between, and a slow
Alertmanager keeps nobody waiting. Every instance reads all of both and tells the same; Alertmanager
takes alerts with the same labels for one.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import orjson
from kafka import KafkaConsumer, TopicPartition
from kafka import errors as kafka_errors

from detector.core.case_alerts import CaseAlert, CaseAlerts
from detector.core.verdict import VerdictError, read_verdict
from detector.edges.alertmanager import Alertmanager, AlertmanagerError, Links, to_alert
from detector.edges.kafka import ANSWER_MS, bounds, make_reader, read_between
from detector.runtime.ports import Retry, Stop
from detector.setting_sections import KafkaSettings
from detector.settings import DAY_MS, Settings

log = logging.getLogger(__name__)

_FETCH_BYTES = 1024 * 1024
_POLL_MS = 250
_LOOK_EVERY_S = 30.0
_PAUSE_S = 1.0
_LEAST_GAP_S = 1.0
"""Between two requests to one Alertmanager, however much changes."""


class AlertTelemetry(Protocol):
    """Where the sender says how it is doing."""

    def case_alerts(self, active: int, newly_dropped: int) -> None: ...
    def alertmanager_told(self, now_s: float) -> None: ...
    def alertmanager_failed(self) -> None: ...


class CaseReader:
    """Follows the topics of flags and of verdicts into `cases`.

    Args:
        settings: of Kafka.
        flags, verdicts: the topics.
        cases: what is read goes there.
        lives_ms: how far back to begin: what is older says nothing of a case that still goes on.
        links: as in the alerts; a flag that cannot be shown as one is left out, with a warning.

    Attributes:
        is_caught_up: whether all from before the start was read; until then nobody is to be told.

    Raises:
        KafkaError: no broker answers.
    """

    def __init__(
        self, settings: KafkaSettings, flags: str, verdicts: str, cases: CaseAlerts, lives_ms: int,
        links: Links,
    ) -> None:  # fmt: skip
        self._flags = flags
        self._take = {verdicts: self._take_verdict, flags: self._take_flag}  # read in this order
        self._cases = cases
        self._lives_ms = lives_ms
        self._links = links
        self._consumer: KafkaConsumer = make_reader(settings, "read_committed", _FETCH_BYTES)
        self._next: dict[TopicPartition, int] = {}
        self._looked_s = float("-inf")
        self._unknown = 0
        self.is_caught_up = False

    def read(self, is_stopping: Callable[[], bool]) -> None:
        """Takes in what has come; at first, and of a new partition, what came before too.

        Raises:
            Retry: the broker is away; what is known stays, and the next call goes on.
            Stop: not allowed.
        """
        try:
            if not self.is_caught_up or time.monotonic() - self._looked_s >= _LOOK_EVERY_S:
                self._looked_s = time.monotonic()
                self._catch_up(is_stopping)
            for at, records in self._consumer.poll(timeout_ms=_POLL_MS).items():
                self._next[at] = records[-1].offset + 1
                for record in records:
                    self._take[at.topic](record)
        except kafka_errors.KafkaError as error:
            raise Retry(str(error)) from error

    def close(self) -> None:
        self._consumer.close(autocommit=False, timeout_ms=500)

    def _catch_up(self, is_stopping: Callable[[], bool]) -> None:
        """Reads partitions that were not read yet up to their ends.

        Verdicts come first: a case that was judged long ago must not take another's room.
        """
        there = list(self._partitions())
        if not any(at.topic == self._flags for at in there):
            raise Retry(f"there is no topic {self._flags} yet")
        new = [at for at in there if at not in self._next]
        ends = {}
        try:
            for at in new:
                start, ends[at] = bounds(self._consumer, at)
                since = max(start, self._first_offset(at, ends[at]))
                for record in read_between(self._consumer, at, since, ends[at]):
                    if is_stopping():
                        return
                    self._take[at.topic](record)
            self._next |= ends
            self.is_caught_up = True
        finally:
            if new:  # the consumer was sent elsewhere
                self._consumer.assign(list(self._next))
                for at, offset in self._next.items():
                    self._consumer.seek(at, offset)

    def _partitions(self) -> Iterator[TopicPartition]:
        for topic in self._take:
            for number in sorted(self._consumer.partitions_for_topic(topic) or ()):
                yield TopicPartition(topic, number)

    def _first_offset(self, at: TopicPartition, end: int) -> int:
        since_ms = _now_ms() - self._lives_ms
        found = self._consumer.offsets_for_times({at: since_ms}, timeout_ms=ANSWER_MS).get(at)
        return end if found is None else int(found.offset)

    def _take_flag(self, record: Any) -> None:
        try:
            flag = orjson.loads(record.value or b"")
            if flag["severity"] == "high":
                to_alert(str(flag["case_id"]), CaseAlert(flag, 0, 0), self._links)
            self._cases.add_flag(flag, record.timestamp, _now_ms())
        except (LookupError, TypeError, ValueError) as error:
            self._unknown += 1
            if self._unknown.bit_count() == 1:  # the 1st, 2nd, 4th …
                log.warning(
                    "%s[%d]@%d: no flag that can be told of (%d so far): %s", record.topic,
                    record.partition, record.offset, self._unknown, type(error).__name__,
                )  # fmt: skip

    def _take_verdict(self, record: Any) -> None:
        try:
            self._cases.add_verdict(read_verdict(orjson.loads(record.value or b"")),
                                    record.timestamp)  # fmt: skip
        except (VerdictError, ValueError):
            return  # a dead letter says so


@dataclass(slots=True)
class _Target:
    """One Alertmanager, and when it is to hear from us again."""

    alertmanager: Alertmanager
    version: int = -1
    told_s: float = float("-inf")
    failures: int = 0


class AlertSender:
    """Tells every Alertmanager which cases are active: at each change, and every `resend_s`.

    Args:
        make_reader: makes the one `CaseReader`, once a broker answers.
        cases: what the reader fills.
        alertmanagers: all are told the same.
        links: see `to_alert`.
        resend_s: how often without a change: one that was started again has forgotten.
        telemetry: where to say what was done.
    """

    def __init__(
        self, make_reader: Callable[[], CaseReader], cases: CaseAlerts,
        alertmanagers: Sequence[Alertmanager], links: Links, resend_s: float,
        telemetry: AlertTelemetry,
    ) -> None:  # fmt: skip
        self._make_reader = make_reader
        self._cases = cases
        self._targets = [_Target(each) for each in alertmanagers]
        self._links = links
        self._resend_s = resend_s
        self._telemetry = telemetry
        self._dropped = 0
        self._trouble = ""
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="alerts", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Ends it within a second; what was not told is told by the next start."""
        self._stopping.set()
        self._thread.join(1)

    def _run(self) -> None:
        reader: CaseReader | None = None
        while not self._stopping.is_set():
            try:
                reader = reader or self._make_reader()
                self._read(reader)
                if reader.is_caught_up:  # also while no broker answers
                    self._tell()
            except (kafka_errors.KafkaError, OSError) as error:
                self._pause(str(error))
            except Exception:  # one bug must not end all paging
                log.exception("telling of cases failed; going on")
                self._stopping.wait(_PAUSE_S)
        if reader is not None:
            reader.close()

    def _read(self, reader: CaseReader) -> None:
        try:
            reader.read(self._stopping.is_set)
        except (Retry, Stop) as error:
            self._pause(str(error))
        else:
            self._note("")

    def _pause(self, trouble: str) -> None:
        self._note(trouble)
        self._stopping.wait(_PAUSE_S)

    def _tell(self) -> None:
        now_ms, now_s = _now_ms(), time.monotonic()
        cases = self._cases
        cases.expire(now_ms)
        self._telemetry.case_alerts(len(cases.active), cases.dropped - self._dropped)
        self._dropped = cases.dropped
        due = [each for each in self._targets if self._is_due(each, now_s)]
        if not due:
            return
        alerts = [to_alert(case_id, case, self._links) for case_id, case in cases.active.items()]
        for target in due:
            target.told_s = now_s
            try:
                target.alertmanager.bring_up_to_date(alerts, cases.is_over, now_ms)
            except AlertmanagerError as error:
                target.failures += 1
                self._telemetry.alertmanager_failed()
                if target.failures == 1:
                    log.warning("cases are not told of, trying again: %s", error)
            else:
                if target.failures:
                    log.info("an Alertmanager answers again; it is up to date")
                target.failures, target.version = 0, cases.version
                self._telemetry.alertmanager_told(now_ms / 1000)

    def _is_due(self, target: _Target, now_s: float) -> bool:
        """At once when something changed; after failures 1, 2, 4 … s later, at most `resend_s`."""
        waited_s = now_s - target.told_s
        if target.failures:
            return waited_s >= min(2.0 ** min(target.failures - 1, 20), self._resend_s)
        is_news = target.version != self._cases.version
        return waited_s >= (_LEAST_GAP_S if is_news else self._resend_s)

    def _note(self, trouble: str) -> None:
        """Says once what is wrong, and once that it no longer is."""
        if trouble and not self._trouble:
            log.warning("cases are not followed: %s", trouble)
        elif self._trouble and not trouble:
            log.info("cases are followed again")
        self._trouble = trouble


def make_alert_sender(settings: Settings, telemetry: AlertTelemetry) -> AlertSender:
    """The sender as the settings have it; nothing is connected before it is started."""
    ours, topics = settings.alertmanager, settings.topics
    lives_ms = settings.cases.max_age_days * DAY_MS
    lasts_ms = min(settings.engine.case_cool_down_s * 1000, lives_ms)
    cases = CaseAlerts(lasts_ms, lives_ms, ours.max_alerts)
    links = Links(settings.console.case_url, ours.runbook_url)
    return AlertSender(
        lambda: CaseReader(
            settings.kafka, topics.flags, topics.verdicts, cases, lives_ms, links
        ),
        cases, [Alertmanager(url, ours.token_file) for url in ours.urls], links, ours.resend_s,
        telemetry,
    )  # fmt: skip


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
