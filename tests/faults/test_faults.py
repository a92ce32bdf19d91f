"""The fault suite within two minutes; `make test-faults` does all of it, many times over."""

from __future__ import annotations

import contextlib
import gc
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from tests.faults.cluster import Cluster
from tests.faults.outcome import Written, compare
from tests.faults.proxy import HOST, Proxy
from tests.faults.scenarios import EVENTS, SCENARIOS, Scenario
from tests.faults.stream import make_stream
from tests.faults.suite import Suite

# A Kafka client that loses its broker leaves sockets to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")

BOUNDED = [each for each in SCENARIOS if each.times[1]]


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Suite]:
    folder = tmp_path_factory.mktemp("faults")
    with Cluster(folder / "node") as cluster:
        yield Suite(cluster, folder, events=3000)
    gc.collect()  # those sockets, while they are still ignored


@pytest.mark.kafka
@pytest.mark.parametrize("scenario", BOUNDED, ids=lambda each: each.name)
def test_nothing_is_lost_doubled_or_different_after(suite: Suite, scenario: Scenario) -> None:
    report = suite.run(scenario, scenario.times[1])
    print(report)
    assert report.is_fine, str(report)


def test_a_stream_is_the_same_every_time_and_has_everything_in_it() -> None:
    stream = make_stream(3000)
    assert stream == make_stream(3000)
    values = [each.value for each in stream.records]
    assert len(set(values)) < len(values)
    assert b"not json" in values
    assert any(b"pk_start" in value for value in values)
    assert min(stream.ends().values()) > 300
    assert sum(stream.ends().values()) == len(values) == len(stream.by_offset())


@pytest.mark.parametrize("longer", sorted({each.longer for each in SCENARIOS}))
def test_the_long_form_has_room_for_its_cases(longer: int) -> None:
    assert len(make_stream(EVENTS * longer).records) > EVENTS * longer


def test_a_letter_that_changes_its_place_is_lost_and_different() -> None:
    before, after = (Written(("dead letter", at), b"not_json") for at in ("0@1", "0@2"))
    assert compare([after], [before]) == (1, 0, 1)


@pytest.fixture
def echo() -> Iterator[Proxy]:
    """A proxy before a server that sends back what it gets."""
    with socket.create_server((HOST, 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection, contextlib.suppress(ConnectionResetError):
                    while data := connection.recv(100):
                        connection.sendall(data)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        with Proxy(0, server.getsockname()[1]) as proxy:
            yield proxy
        server.shutdown(socket.SHUT_RDWR)
    thread.join(5)


def ask(client: socket.socket) -> float:
    """Seconds until the echo is back."""
    started_s = time.monotonic()
    client.sendall(b"ping")
    assert client.recv(100) == b"ping"
    return time.monotonic() - started_s


def test_a_proxy_passes_delays_holds_back_and_resets(echo: Proxy) -> None:
    with socket.create_connection((HOST, echo.port), timeout=0.5) as client:
        assert ask(client) < 0.15
        echo.delay(100)
        assert ask(client) >= 0.2
        echo.black_hole()
        with pytest.raises(TimeoutError):
            ask(client)
        echo.heal()
        assert client.recv(100) == b"ping"
        assert echo.reset() == 1
        with pytest.raises(ConnectionResetError):
            client.recv(100)
