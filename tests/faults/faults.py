"""The faults: what is done to a run, and how often. Each works through the stream in rounds."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from itertools import chain
from pathlib import Path

from tests.faults.fleet import Failed
from tests.faults.run import Run, known

OUTAGE_S = 1.0
BALLAST = "ballast"


def kill(run: Run, times: int) -> None:
    """SIGKILL of one detector, started again at once."""
    for _ in run.rounds(times):
        run.pause_at_random(0.1)
        run.fleet.kill(run.fleet.pick(run.chance))


def zombie(run: Run, times: int) -> None:
    """One freezes in mid-batch until another has done its work, then wakes: it must be fenced."""
    for _ in run.rounds(times):
        run.pause_at_random(0.05, start_share=0)
        frozen = run.fleet.pick(run.chance)
        frozen.freeze()
        try:
            run.wait_until_done()
        finally:
            frozen.thaw()
        run.sleep(1.0)  # it tries to finish what it had begun


def broker_kill(run: Run, times: int) -> None:
    """SIGKILL of the broker, started again."""
    for _ in run.rounds(times):
        run.pause_at_random(0.1)
        run.cluster.node.kill()
        run.sleep(run.chance.uniform(0, OUTAGE_S))
        run.cluster.node.start()


def broker_freeze(run: Run, times: int) -> None:
    """The broker neither answers nor refuses, for less and for more than the session timeout."""
    for number in run.rounds(times):
        run.pause_at_random(0.1)
        run.cluster.node.pause()
        try:
            run.sleep(5.0 if number % 3 == 0 else run.chance.uniform(0.2, 2.0))
        finally:
            run.cluster.node.resume()


def slow_network(run: Run, times: int) -> None:
    """Every packet 200 ms late, then a line of 100 kB/s, then well again."""
    proxy = run.cluster.proxy
    for number in run.rounds(times):
        run.pause_at_random(0.1)
        if number % 2 == 0:
            proxy.delay(200)
        else:
            proxy.throttle(100_000)
        run.sleep(2.0)
        proxy.heal()


def black_hole(seconds: float) -> Callable[[Run, int], None]:
    """Nothing passes and nothing is refused, for so long."""

    def fault(run: Run, times: int) -> None:
        for _ in run.rounds(times):
            run.pause_at_random(0.1)
            run.cluster.proxy.black_hole()
            run.sleep(seconds)
            run.cluster.proxy.heal()

    return fault


def resets(run: Run, times: int) -> None:
    """All connections are reset, in the midst of requests."""
    for _ in run.rounds(times):
        run.pause_at_random(0.1, start_share=0.1)
        run.cluster.proxy.reset()


def rebalances(run: Run, times: int) -> None:
    """Instances come, and leave in good order or by SIGKILL, one to three at a time."""
    for _ in run.rounds(times):
        run.pause_at_random(0.3, start_share=0.5)
        running = len(run.fleet.instances)
        if running < 3 and (running == 1 or run.chance.random() < 0.5):
            run.fleet.add()
        else:
            run.fleet.remove(run.fleet.pick(run.chance), by_kill=run.chance.random() < 0.5)


def full_disk(run: Run, times: int) -> None:
    """The broker's disk fills up; room is made, and the broker is started again."""
    node = run.cluster.node
    for _ in run.rounds(times):
        run.pause_at_random(0.05, start_share=0)
        ballast = node.directory / BALLAST
        _fill(ballast)
        run.sleep(4.0)
        ballast.unlink()
        node.kill()
        node.start()


def _fill(ballast: Path) -> None:
    """Writes until not a byte is left."""
    with ballast.open("wb", buffering=0) as file:
        for size in (1024 * 1024, 4096, 1):
            try:
                while file.write(b"\0" * size) == size:
                    pass
            except OSError:
                pass


def breaker(run: Run, times: int) -> None:
    """Every second event is poisonous: the detector must end and say that it failed."""
    if not known({"BREAKER__MAX_SHARE": ""}):
        raise Failed("there is no setting breaker.max_share")
    for _ in run.rounds(times):
        instance = run.fleet.instances[0]
        deadline_s = time.monotonic() + 40
        while not instance.has_ended:
            if time.monotonic() > deadline_s:
                raise Failed("half of all events failed for 40 s, and the detector goes on")
            time.sleep(0.1)
        if instance.process.returncode == 0:
            raise Failed("half of all events failed, and the detector ended with exit code 0")
        run.fleet.tend()


def overload(run: Run, times: int) -> None:
    """Everything at once: memory must not follow the backlog, and the lag must be told.

    Memory is judged flat when, from the moment a third of the backlog is done, it grows by no more
    than a quarter and 16 MB to the end: state grows with tippers, which repeat; a backlog held in
    memory would show at once. The state itself is kept small, so that it is full early.
    """
    instance = run.fleet.instances[0]
    first, *rest = run.stream.chunks(20)
    run.feed(first)
    run.wait_until_done()  # before a partition's first event its lag in seconds is unknown
    feeder = threading.Thread(target=lambda: run.feed(chain(*rest)))
    feeder.start()
    total = len(run.stream.records)
    rss: list[tuple[float, int]] = []
    longest_lag_s = 0.0
    while run.progress() < total:
        before = run.progress()
        run.wait_for_more_than(before)
        rss.append((before / total, instance.rss_bytes()))
        longest_lag_s = max(longest_lag_s, instance.metric("lag_seconds"))
        time.sleep(0.2)
    feeder.join()
    run.applied = times
    if not longest_lag_s > 0:
        raise Failed("lag_seconds was never above 0 under overload")
    run.wait(lambda: instance.metric("lag_seconds") == 0, "lag_seconds is 0 again", 20)
    early = [size for share, size in rss if share <= 1 / 3] or [rss[0][1]]
    peak = max(size for _, size in rss)
    if peak > early[-1] * 1.25 + 16 * 1024**2:
        raise Failed(
            f"memory grew from {early[-1] / 1e6:.0f} to {peak / 1e6:.0f} MB under overload"
        )


def nothing(run: Run, times: int) -> None:
    """No fault but the world that the program runs in."""
    for _ in run.rounds(times):
        run.wait_until_done()
