"""Hot reload: reads the configuration again, checks all of it, and offers it to the loop.

On SIGHUP, or when a file of the configuration has changed, a thread of its own loads everything as
`check-config` does. What cannot be used, or changes what a running detector cannot change, is
refused with every problem, and the configuration of before stays in force. Does not decide when a
good one takes over (`runtime.reload`), and does not see a changed environment: a process cannot.
"""

from __future__ import annotations

import logging
import threading
import time
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

from detector.assembly import Assembly
from detector.core.mapping import MappingError
from detector.core.policy import PolicyError
from detector.core.problems import Problems
from detector.edges.files import find, shipped_config
from detector.edges.metrics import Metrics
from detector.runtime.lane import Rules, internal_error
from detector.runtime.status import Status
from detector.settings import ConfigError, Settings, differences, find_beside, load_settings
from detector.shadow_settings import load_shadow

log = logging.getLogger(__name__)

RELOADABLE = frozenset(
    ("policy", "thresholds", "shadow", "snoozes", "words", "school", "input", "currencies")
)
"""Sections that a running detector can change."""

_LOOK_S = 0.25  # how soon a signal is heeded


class _Offer(NamedTuple):
    assembly: Assembly
    rules: Rules


class Reloader:
    """Keeps the configuration in force up to date. See `runtime.reload.Reloads`.

    Args:
        assembly: the configuration of the start.
        config: the operator's file it was loaded from; None for the shipped defaults.
        metrics: where outcomes are counted.
        status: whose notice says that a configuration was refused.

    Attributes:
        in_force: the configuration that new lanes are made by; the loop's thread only.
    """

    def __init__(
        self, assembly: Assembly, config: Path | None, metrics: Metrics, status: Status
    ) -> None:
        self.in_force = assembly
        self._config = config
        self._metrics = metrics
        self._status = status
        self._start = assembly
        self._interval_s = assembly.settings.reload.interval_s
        self._offer: _Offer | None = None  # the reload thread makes it, the loop's takes it
        self._shown: _Offer | None = None  # the loop's thread only
        self._lock = threading.Lock()  # never taken in a signal handler
        self._is_asked = False
        self._files = files_of(config)
        self._known = self._seen = fingerprint(self._files)
        self._ended = threading.Event()
        metrics.started(time.time())
        self._thread = threading.Thread(target=self._run, name="reload", daemon=True)
        self._thread.start()

    def ask(self) -> None:
        """Asks for a reload soon; safe in a signal handler."""
        self._is_asked = True

    def waiting(self) -> Rules | None:
        self._shown = self._offer
        return None if self._shown is None else self._shown.rules

    def applied(self, rules: Rules) -> None:
        taken = self._shown
        if taken is None or taken.rules is not rules:
            raise ValueError("rules: expected those that `waiting` gave last")
        with self._lock:
            if self._offer is taken:  # else a newer one has come meanwhile, or was refused
                self._offer = None
        self.in_force = taken.assembly
        build = self.in_force.build()
        self._metrics.reloaded(build, time.time())
        log.info(
            "configuration reloaded: policy %s (%s), mapping %s",
            build["policy"], build["policy_hash"], build["mapping"],
        )  # fmt: skip

    def close(self) -> None:
        """Ends the thread; a check under way is not waited for longer than a moment."""
        self._ended.set()
        self._thread.join(2)

    def _run(self) -> None:
        look_s = time.monotonic() + self._interval_s
        while not self._ended.wait(_LOOK_S):
            if self._is_asked:
                self._is_asked = False
                self._load("SIGHUP")
            elif self._interval_s and time.monotonic() >= look_s:
                look_s = time.monotonic() + self._interval_s
                if self._have_files_changed():
                    self._load("files have changed")

    def _have_files_changed(self) -> bool:
        """Whether they are others than at the last load, and the same as at the last look: files
        that belong together may be written one after the other."""
        found = fingerprint(self._files)
        is_still, self._seen = found == self._seen, found
        return is_still and found != self._known

    def _load(self, why: str) -> None:
        log.info("reading the configuration again: %s", why)
        self._files = files_of(self._config)
        self._known = self._seen = fingerprint(self._files)  # before: what changes now is seen
        try:
            assembly = Assembly.load(self._config)
            problems = self._not_reloadable(assembly) or "\n".join(assembly.check_policy())
        except (ConfigError, MappingError, PolicyError) as error:
            problems = str(error)
        except Exception as error:  # the thread must be there for the next attempt
            problems = internal_error(error).detail
        with self._lock:  # what was offered before and not taken yet is out of date in any case
            self._offer = None if problems else _Offer(assembly, assembly.rules())
        if problems:
            self._refuse(problems)
        else:
            self._status.notice = ""

    def _refuse(self, problems: str) -> None:
        log.error("reload refused; the configuration of before stays in force:\n%s", problems)
        first, _, rest = problems.partition("\n")
        more = f" (and {rest.count(chr(10)) + 1} more, see the log)" if rest else ""
        self._status.notice = f"the last reload was refused: {first}{more}"
        self._metrics.reload_refused()

    def _not_reloadable(self, assembly: Assembly) -> str:
        """What differs from the start and cannot be changed while running, one a line."""
        problems = Problems(str(self._config or shipped_config() / "detector.toml"))
        running, found = self._start.settings, assembly.settings
        for key in sorted(_fixed_differences(running, found)):
            problems.add_line(key, "differs from what runs: restart to change it")
        keys = [each.pseudonyms and each.pseudonyms.fingerprint for each in (self._start, assembly)]
        if keys[0] != keys[1] and running.pseudonyms == found.pseudonyms:
            problems.add_line(
                "pseudonyms.key_file", "holds another key than the one that runs: restart to change"
            )
        return problems.text()


def files_of(config: Path | None) -> list[Path]:
    """The files that a configuration is made of, as far as can be told while some are wrong."""
    defaults = shipped_config() / "detector.toml"
    files = [defaults] if config is None else [defaults, config]
    try:
        settings = load_settings(config, defaults)
        files.append(find(settings.policy.pack, "policies", config))
        if settings.input.mapping:
            files.append(find(settings.input.mapping, "mappings", config))
        named = (settings.snoozes.file, settings.shadow.config)
        files += [find_beside(name, config) for name in named if name]
        trial = load_shadow(settings, config, defaults)
        if trial is not None:
            files.append(find(trial.settings.policy.pack, "policies", trial.beside))
    except ConfigError:
        pass  # whoever loads it says so
    return files


def fingerprint(files: list[Path]) -> str:
    """A digest of names and contents; what cannot be read counts as missing."""
    digest = blake2b(digest_size=16)
    for file in files:
        try:
            content = file.read_bytes()
        except OSError:
            content = b"\0missing"
        digest.update(f"{file}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def _fixed_differences(running: Settings, found: Settings) -> set[str]:
    """Dotted keys of settings that differ and cannot be changed while running."""
    ours, theirs = running.model_dump(), found.model_dump()
    base = running.money.base_currency
    base_key = f"currencies.{base}"
    changed = {*differences(theirs, ours), *differences(ours, theirs)}
    return {
        key
        for key in changed
        if key.partition(".")[0] not in RELOADABLE
        or (key == base_key or key.startswith(base_key + "."))
    }
