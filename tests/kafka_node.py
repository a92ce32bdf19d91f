"""One real Apache Kafka node for the tests: a broker and its controller in one Java process.

Knows how to start, stop, kill and freeze the node on this machine (Linux), and how to write topics
and read them back. It knows nothing of tips, of the detector or of pytest. The jars come from
tests/setup.sh; `why_not_here` says why a node cannot run.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import time
import uuid
import weakref
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Self

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import InvalidReplicationFactorError, KafkaError

ROOT = Path(__file__).resolve().parent.parent
POM = Path(__file__).resolve().parent / "kafka" / "pom.xml"
VERSION = re.findall(r"<kafka\.version>(.+?)</kafka\.version>", POM.read_text("utf-8"))[0]
JARS = ROOT / ".cache" / "kafka" / VERSION

HOST = "127.0.0.1"
START_LIMIT_S = 60.0
STOP_LIMIT_S = 30.0
CLIENT_LIMIT_S = 30.0

# What differs from Kafka's defaults, and why. `config=` of KafkaNode comes on top.
PROPERTIES = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    # A single node cannot hold three copies; few partitions, since each takes time to create.
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "4",
    # A typo in a topic's name must fail, and no test should wait for what Kafka does at leisure.
    "auto.create.topics.enable": "false",
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "500",
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "500",
    "log.cleaner.backoff.ms": "500",
    "log.cleaner.dedupe.buffer.size": str(16 * 1024 * 1024),  # is allocated at the start
    # After a crash the controller takes the broker back only when its old session has run out.
    "broker.session.timeout.ms": "1500",
    "broker.heartbeat.interval.ms": "250",
    # Recorded tips carry old timestamps: a retention of days would delete them within minutes.
    "log.retention.ms": "-1",
}


def why_not_here() -> str | None:
    """The reason why no node can be started on this machine; None where one can."""
    if not shutil.which("java"):
        return "no program java"
    if not JARS.is_dir():
        return f"Apache Kafka {VERSION} is not in {JARS.relative_to(ROOT)}"
    return None


class KafkaNode:
    """A Kafka node whose data lives in `directory`; started again there, it has its data back.

    The port is kept for as long as this object lives, also while the node is down: clients that try
    to reconnect are refused, and nobody else gets the port. `port=None` lets the system pick one;
    pass the old node's port to let a new object take over its directory. `config` holds server
    properties on top of `PROPERTIES`.
    """

    def __init__(
        self, directory: Path, port: int | None = None, config: Mapping[str, str] | None = None
    ) -> None:
        self.directory = Path(directory)
        self.port = keep_port(self, port)
        self.bootstrap = f"{HOST}:{self.port}"
        self._controller_port = keep_port(self, None)
        self._config = dict(config or {})
        self._process: subprocess.Popen[bytes] | None = None

    # -- the process ----------------------------------------------------------------------------

    def start(self) -> None:
        """Start the node, return once it answers clients; RuntimeError with its log otherwise."""
        if self._process is not None:
            raise RuntimeError(f"the Kafka node on {self.bootstrap} runs already")
        self.directory.mkdir(parents=True, exist_ok=True)
        self._write_properties()
        if not (self._data / "meta.properties").exists():
            self._format()
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                # WARN and worse go to the log file: log4j's built-in configuration, one level down
                self._java("-Xms256m", "-Xmx512m", "-Dlog4j2.level=WARN", "kafka.Kafka"),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C ends the tests, and the tests end the node
            )
        # also at the interpreter's exit, and when a test forgets its node
        self._reaper = weakref.finalize(self, _end_now, self._process)
        try:
            self._wait_until_ready(time.monotonic() + START_LIMIT_S)
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        """End the node in good order (SIGTERM), so that it flushes its data. Harmless when down."""
        if self._process is not None and self._process.poll() is None:
            self.resume()  # a frozen process does not hear SIGTERM
            self._process.terminate()
            try:
                self._process.wait(STOP_LIMIT_S)
            except subprocess.TimeoutExpired:
                self.kill()
                what = f"did not stop within {STOP_LIMIT_S:.0f} s"
                raise RuntimeError(self._failure(what)) from None
        self.kill()

    def kill(self) -> None:
        """End the node at once (SIGKILL), as a crash would. Harmless when it is down."""
        if self._process is not None:
            self._reaper()
            self._process = None

    def pause(self) -> None:
        """Freeze the node (SIGSTOP): connections stay open and nothing answers."""
        self._signal(signal.SIGSTOP)
        if self._process is not None:  # its last thread may stop only after the signal was sent
            os.waitid(os.P_PID, self._process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def resume(self) -> None:
        """Let a frozen node go on (SIGCONT)."""
        self._signal(signal.SIGCONT)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    # -- its topics -----------------------------------------------------------------------------

    def create_topic(
        self, name: str, partitions: int = 1, config: Mapping[str, str] | None = None
    ) -> None:
        """Create a topic and return once every partition has its leader."""
        topic = {"num_partitions": partitions, "replication_factor": 1, "configs": config or {}}
        deadline = time.monotonic() + CLIENT_LIMIT_S
        with self._admin() as admin:
            while True:
                try:
                    admin.create_topics({name: topic}, wait_for_metadata=True)
                    return
                except InvalidReplicationFactorError:
                    # A node that was frozen does not count until its controller hears of it again.
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(0.05)

    def produce(
        self,
        topic: str,
        records: Iterable[tuple[Any, ...]],
        compression: str | None = None,
        partition: int | None = None,
    ) -> list[int]:
        """Write records, wait until all are acknowledged, and return their offsets, in order.

        A record is (key, value[, headers[, timestamp_ms]]): bytes or None for key and value, a list
        of (str, bytes) for headers, epoch milliseconds. `compression` is gzip, snappy, lz4 or zstd.
        """
        producer = KafkaProducer(
            bootstrap_servers=self.bootstrap,
            compression_type=compression,
            linger_ms=5,
            batch_size=256 * 1024,
        )
        try:
            sent = [_send(producer, topic, partition, *record) for record in records]
            producer.flush(CLIENT_LIMIT_S)
            return [future.get(timeout=CLIENT_LIMIT_S).offset for future in sent]
        finally:
            producer.close(timeout=CLIENT_LIMIT_S)

    def read_all(
        self,
        topic: str,
        timeout_s: float = CLIENT_LIMIT_S,
        count: int | None = None,
        isolation: str = "read_committed",
    ) -> list[Any]:
        """All records of a topic as ConsumerRecords, by partition and offset; uses no group.

        Reads to the end that the topic has now. With `count` it waits for at least so many records
        and then reads on to the end, so that one too many shows. TimeoutError after `timeout_s`.
        """
        deadline = time.monotonic() + timeout_s
        consumer = KafkaConsumer(
            bootstrap_servers=self.bootstrap,
            isolation_level=isolation,
            enable_auto_commit=False,
            max_poll_records=10_000,
            fetch_max_wait_ms=100,
        )
        try:
            partitions = _partitions(consumer, topic)
            consumer.assign(partitions)
            consumer.seek_to_beginning(*partitions)
            records: list[Any] = []

            def poll(goal: str) -> None:
                if time.monotonic() > deadline:
                    found = f"{len(records)} records in {timeout_s} s"
                    raise TimeoutError(f"{topic}: read {found}, expected {goal}")
                for batch in consumer.poll(timeout_ms=100).values():
                    records.extend(batch)

            while len(records) < (count or 0):
                poll(f"{count} records")
            # in read_committed mode this is the last stable offset: no open transaction blocks us
            ends = consumer.end_offsets(partitions)
            while any((consumer.position(at) or 0) < end for at, end in ends.items()):
                poll(f"all up to {list(ends.values())}")
        finally:
            consumer.close()
        return sorted(records, key=lambda record: (record.partition, record.offset))

    def end(self, topic: str, isolation: str = "read_committed") -> int:
        """The sum of a topic's end offsets, as far as readers of this isolation get."""
        consumer = KafkaConsumer(
            bootstrap_servers=self.bootstrap, isolation_level=isolation, enable_auto_commit=False
        )
        try:
            return sum(consumer.end_offsets(_partitions(consumer, topic)).values())
        finally:
            consumer.close()

    def committed(self, group: str, topic: str) -> dict[int, int]:
        """The next offset that a consumer group has committed, by partition; {} if it has none."""
        deadline = time.monotonic() + CLIENT_LIMIT_S
        with self._admin() as admin:
            while True:
                try:
                    offsets = admin.list_group_offsets(group)[group]
                    break
                except KafkaError as error:  # the coordinator may not have been elected yet
                    if not error.retriable or time.monotonic() > deadline:
                        raise
                    time.sleep(0.05)
        return {at.partition: kept.offset for at, kept in offsets.items() if at.topic == topic}

    # -- inside ---------------------------------------------------------------------------------

    @property
    def log_file(self) -> Path:
        """What the node had to say, over all its starts."""
        return self.directory / "kafka.log"

    @property
    def _data(self) -> Path:
        return self.directory / "data"

    @property
    def _properties_file(self) -> Path:
        return self.directory / "server.properties"

    def _properties(self) -> dict[str, str]:
        controller = f"{HOST}:{self._controller_port}"
        return PROPERTIES | {
            "listeners": f"PLAINTEXT://{self.bootstrap},CONTROLLER://{controller}",
            "advertised.listeners": f"PLAINTEXT://{self.bootstrap}",
            "controller.quorum.voters": f"1@{controller}",
            "log.dirs": str(self._data),
        }

    def _write_properties(self) -> None:
        properties = self._properties() | self._config
        lines = [f"{name}={value}\n" for name, value in properties.items()]
        self._properties_file.write_text("".join(lines), "utf-8")

    def _format_options(self) -> list[str]:
        """What else the storage is formatted with, such as users."""
        return []

    def _format(self) -> None:
        """Make the empty storage that a node in KRaft mode wants to find."""
        tool = ("kafka.tools.StorageTool", "format", "--cluster-id", uuid.uuid4().hex,
                *self._format_options(), "--config")  # fmt: skip
        done = subprocess.run(
            self._java("-XX:TieredStopAtLevel=1", *tool), capture_output=True, text=True
        )
        if done.returncode:
            raise RuntimeError(f"Kafka's storage could not be formatted:\n{done.stderr[-2000:]}")

    def _java(self, *arguments: str) -> list[str]:
        if reason := why_not_here():
            raise RuntimeError(f"{reason}; run tests/setup.sh")
        return ["java", "-cp", f"{JARS}/*", *arguments, str(self._properties_file)]

    def _wait_until_ready(self, deadline: float) -> None:
        while not _accepts(self.port):
            if self._process is None or self._process.poll() is not None:
                raise RuntimeError(self._failure("ended while starting"))
            if time.monotonic() > deadline:
                raise RuntimeError(self._failure("opened no port"))
            time.sleep(0.02)
        with self._admin() as admin:
            while not admin.describe_cluster()["brokers"]:
                if time.monotonic() > deadline:
                    raise RuntimeError(self._failure("did not register with its controller"))
                time.sleep(0.02)

    def _admin(self) -> KafkaAdminClient:
        limit_ms = int(CLIENT_LIMIT_S * 1000)
        return KafkaAdminClient(bootstrap_servers=self.bootstrap, bootstrap_timeout_ms=limit_ms)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is None:
            raise RuntimeError(f"the Kafka node on {self.bootstrap} is down")
        os.killpg(self._process.pid, number)

    def _failure(self, what: str) -> str:
        tail = self.log_file.read_text("utf-8", "replace")[-3000:]
        return f"the Kafka node on {self.bootstrap} {what}; the end of {self.log_file}:\n{tail}"


def keep_port(owner: object, port: int | None) -> int:
    """Bind a port of 127.0.0.1 without listening, until `owner` is gone, and return its number.

    Linux lets Java's server socket bind over it, since both set SO_REUSEADDR; but the port is not
    handed out to anyone else, nor to a reconnecting client, which might else connect to itself.
    """
    keeper = socket.socket()
    weakref.finalize(owner, keeper.close)
    keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    keeper.bind((HOST, port or 0))
    return int(keeper.getsockname()[1])


def _accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0


def _end_now(process: subprocess.Popen[bytes]) -> None:
    """Kill a node's process group and reap it; harmless when it has ended."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _send(
    producer: KafkaProducer,
    topic: str,
    partition: int | None,
    key: bytes | None,
    value: bytes | None,
    headers: list[tuple[str, bytes]] | None = None,
    timestamp_ms: int | None = None,
) -> Any:
    return producer.send(topic, value, key, headers, partition, timestamp_ms)


def _partitions(consumer: KafkaConsumer, topic: str) -> list[TopicPartition]:
    numbers = consumer.partitions_for_topic(topic)
    if not numbers:
        raise ValueError(f"no topic {topic!r} on the node")
    return [TopicPartition(topic, number) for number in sorted(numbers)]
