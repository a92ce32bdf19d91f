"""Running detectors, and a supervisor that starts again what ends by itself, as systemd would."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random

from tests.integration.process import ROOT, Detector

PLAIN = ("detector", "run")
STOP_S = 20.0
MOST_EXITS_IN_A_ROW = 8


class Failed(Exception):
    """The detector did not do what it must whatever the fault; says what."""


class Instance(Detector):
    """A detector that can be frozen and killed, or runs in a world gone wrong.

    Args:
        module: what `python -m` is given: `PLAIN`, or a wrapper in tests.faults.wrapped.
        variables: environment beside the settings, for the wrapper.
    """

    def __init__(
        self, folder: Path, bootstrap: str, prefix: str, settings: Mapping[str, str],
        module: tuple[str, ...] = PLAIN, variables: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        super().__init__(folder, bootstrap, prefix, **settings)
        self.environment |= variables or {}
        self._module = module

    def start(self) -> Instance:
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", *self._module], env=self.environment, cwd=ROOT,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        return self

    @property
    def has_ended(self) -> bool:
        return self.process.poll() is not None

    @property
    def is_up(self) -> bool:
        """Whether it got as far as opening its HTTP port."""
        return not self.has_ended and b"metrics at" in self.log.read_bytes()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def freeze(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def rss_bytes(self) -> int:
        """Resident memory now."""
        pages = Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]
        return int(pages) * 4096


class Fleet:
    """So many detectors of one group.

    Args:
        make: a new one, not started.
        size: how many run at first.

    Attributes:
        instances: those that run now.
        exits: how often one ended without being asked; the log of the last is `last_log`.
    """

    def __init__(self, make: Callable[[], Instance], size: int) -> None:
        self._make = make
        self.instances = [make().start() for _ in range(size)]
        self.exits = 0
        self._exits_in_a_row = 0
        self.last_log = ""

    def tend(self) -> None:
        """Starts again what ended by itself.

        Raises:
            Failed: that happens over and over, and nothing comes of it.
        """
        for at, each in enumerate(self.instances):
            if each.has_ended:
                self.exits += 1
                self.last_log = each.log.read_text("utf-8", "replace")[-1500:]
                self._exits_in_a_row += 1
                if self._exits_in_a_row > MOST_EXITS_IN_A_ROW:
                    raise Failed(f"ended by itself {self.exits} times:\n{self.last_log}")
                self.instances[at] = self._make().start()

    def has_progressed(self) -> None:
        """Tells the supervisor that what it starts is of use."""
        self._exits_in_a_row = 0

    def add(self) -> None:
        self.instances.append(self._make().start())

    def pick(self, chance: Random) -> Instance:
        return chance.choice(self.instances)

    def kill(self, instance: Instance) -> None:
        """Kills it and starts another at once."""
        instance.kill()
        self.instances[self.instances.index(instance)] = self._make().start()

    def remove(self, instance: Instance, by_kill: bool) -> None:
        """Ends one for good: at once, or in good order."""
        self.instances.remove(instance)
        if by_kill:
            instance.kill()
        else:
            _end_in_order(instance)

    def stop(self) -> None:
        """Ends all, each in good order.

        Raises:
            Failed: one did not end in time, or not with exit code 0.
        """
        try:
            for each in self.instances:
                _end_in_order(each)
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Kills whatever still runs."""
        for each in self.instances:
            if not each.has_ended:
                each.kill()
        self.instances = []


def _end_in_order(instance: Instance) -> None:
    was_up = instance.is_up
    instance.process.send_signal(signal.SIGTERM)
    try:
        code = instance.process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        instance.kill()
        raise Failed(f"SIGTERM did not end it within {STOP_S:.0f} s") from None
    if code and (was_up or code != -signal.SIGTERM):  # before it is up nothing catches the signal
        tail = instance.log.read_text("utf-8", "replace")[-1500:]
        raise Failed(f"SIGTERM ended it with exit code {code}:\n{tail}")
