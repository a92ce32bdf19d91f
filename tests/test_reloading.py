"""Reading the configuration again: what is offered, what is refused, when files are looked at."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from detector.assembly import Assembly
from detector.edges.metrics import Metrics
from detector.reloading import Reloader, files_of, fingerprint
from detector.runtime.status import Status
from detector.settings import ConfigError
from detector.snooze_settings import load_snoozes
from tests.engines import POLICIES

PACK = (POLICIES / "generic.toml").read_text("utf-8")
SNOOZE = """[[snooze]]
kind = "minor"
subject_type = "tipper"
subject_id = "u1"
until = 2026-12-01T00:00:00+08:00
reason = "a shared family account, ticket 17"
"""


class Site:
    """A configuration in a directory, and a reloader on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pack, self.snoozes = folder / "mine.toml", folder / "snoozes.toml"
        self.pack.write_text(PACK, "utf-8")
        self.snoozes.write_text(SNOOZE, "utf-8")
        self.write()
        self.status = Status()
        self.assembly = Assembly.load(self.config)
        self.metrics = Metrics(self.assembly.build())
        self.reloader = Reloader(self.assembly, self.config, self.metrics, self.status)

    @property
    def config(self) -> Path:
        return self.folder / "config.toml"

    def write(self, extra: str = "", interval_s: float = 0) -> None:
        self.config.write_text(
            '[policy]\npack = "mine.toml"\n[snoozes]\nfile = "snoozes.toml"\n'
            f"[reload]\ninterval_s = {interval_s}\n{extra}",
            "utf-8",
        )

    def sample(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(f"tip_detector_{name}", labels)

    def take(self) -> Assembly:
        """Waits for an offer, and takes it as the loop would."""
        until(lambda: self.reloader.waiting() is not None)
        rules = self.reloader.waiting()
        assert rules is not None
        self.reloader.applied(rules)
        return self.reloader.in_force

    def refused(self, times: int) -> None:
        until(lambda: self.sample("config_reloads_total", outcome="refused") == times)
        assert self.sample("config_reload_successful") == 0
        assert self.reloader.waiting() is None
        assert self.reloader.in_force is self.assembly


def until(condition: Callable[[], bool], timeout_s: float = 20) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s, "it did not come about in time"
        time.sleep(0.02)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    yield made
    made.reloader.close()


def test_what_is_good_is_offered_once_and_in_force_once_it_is_taken(site: Site) -> None:
    site.pack.write_text(PACK + "\n# another\n", "utf-8")
    site.reloader.ask()
    until(lambda: site.reloader.waiting() is not None)
    assert site.reloader.in_force is site.assembly
    assert site.sample("config_reloads_total", outcome="applied") == 0
    new = site.take()
    assert new.policy.digest != site.assembly.policy.digest
    assert site.reloader.waiting() is None
    assert site.sample("config_reloads_total", outcome="applied") == 1
    build = {"version": "0.1.0", **new.build()}
    assert site.sample("build_info", **build) == 1
    assert site.sample("build_info", **{**build, **site.assembly.build()}) is None


def test_examples_that_do_not_hold_and_fixed_settings_are_refused_and_a_good_one_ends_it(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    assert "age_below = 18" in PACK
    site.pack.write_text(PACK.replace("age_below = 18", "age_below = 9"), "utf-8")
    site.reloader.ask()
    site.refused(1)
    assert "expected" in caplog.text
    assert site.status.notice.startswith("the last reload was refused: ")
    site.pack.write_text(PACK, "utf-8")
    site.write('[kafka]\ngroup_id = "b"\n[currencies]\nCNY = { rate = "1", decimals = 4 }\n')
    site.reloader.ask()
    site.refused(2)
    for key in ("kafka.group_id", "currencies.CNY.decimals"):
        assert f"config.toml: {key}: differs from what runs: restart to change it" in caplog.text
    site.write('[currencies]\nCOIN = { rate = "0.1", decimals = 0 }\n[words]\nchild = ["school"]\n')
    site.reloader.ask()
    assert site.take().currencies.get("COIN") is not None
    assert site.status.notice == ""
    assert site.sample("config_reload_successful") == 1


def test_another_key_in_the_same_file_is_refused(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_bytes(os.urandom(32))
    key.chmod(0o600)
    site = Site(tmp_path)
    site.reloader.close()
    site.write(f'[pseudonyms]\nkey_file = "{key}"\n')
    site.snoozes.write_text("", "utf-8")
    assembly = Assembly.load(site.config)
    reloader = Reloader(assembly, site.config, site.metrics, site.status)
    try:
        key.write_bytes(os.urandom(32))
        reloader.ask()
        until(lambda: site.status.notice != "")
        assert "pseudonyms.key_file: holds another key than the one that runs" in site.status.notice
    finally:
        reloader.close()


def test_files_are_looked_at_by_themselves_only_where_an_interval_is_set(tmp_path: Path) -> None:
    quiet = Site(tmp_path)
    quiet.snoozes.write_text(SNOOZE.replace("u1", "u2"), "utf-8")
    time.sleep(0.6)
    assert quiet.reloader.waiting() is None
    quiet.reloader.close()
    quiet.write(interval_s=0.1)
    assembly = Assembly.load(quiet.config)
    reloader = Reloader(assembly, quiet.config, quiet.metrics, quiet.status)
    try:
        quiet.snoozes.write_text(SNOOZE, "utf-8")
        until(lambda: reloader.waiting() is not None)
    finally:
        reloader.close()


def test_files_that_still_change_from_look_to_look_are_not_read_yet(site: Site) -> None:
    looks = []
    for text in ("half", "whole", "whole", "whole"):
        site.pack.write_text(f"{PACK}\n# {text}\n", "utf-8")
        looks.append(site.reloader._have_files_changed())
    assert looks == [False, False, True, True]  # until it is read


def test_all_files_of_a_configuration_are_watched_also_while_some_are_wrong(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.reloader.close()
    (tmp_path / "shadow.toml").write_text('[policy]\npack = "tried.toml"\n', "utf-8")
    (tmp_path / "tried.toml").write_text(PACK, "utf-8")
    site.write('[shadow]\nconfig = "shadow.toml"\n[input]\nmapping = "twitch"\n')
    names = {file.name for file in files_of(site.config)}
    assert names == {
        "detector.toml", "config.toml", "mine.toml", "snoozes.toml", "shadow.toml", "tried.toml",
        "twitch.toml",
    }  # fmt: skip
    site.pack.write_text("not toml", "utf-8")
    files = files_of(site.config)
    assert {file.name for file in files} == names
    before = fingerprint(files)
    site.pack.unlink()
    assert fingerprint(files) != before


WRONG_SNOOZES = (
    SNOOZE.replace("minor", "minr")
    + SNOOZE.replace("2026-12-01T00:00:00+08:00", "2026-12-01")
    + SNOOZE.replace('"u1"', '""')
    + SNOOZE.replace('"tipper"', '"streamer"')
    + SNOOZE.replace("reason", "because")
)
WRONG_SNOOZES_MESSAGE = """\
{path}: snooze[0].kind = "minr": expected one of 'minor', 'outsized', 'binge', 'gambling', 'ring', \
'cap' or 'refund_abuse'; did you mean "minor"?
{path}: snooze[1].until: expected a time with an offset, such as 2026-12-01T00:00:00+08:00
{path}: snooze[2].subject_id: expected text of 1 to 1000 characters
{path}: snooze[3]: kind = "minor", subject_type = "streamer": expected "tipper": nobody else is \
flagged for that
{path}: snooze[4].reason: is missing
{path}: snooze[4].because: is not a known key"""


def test_all_that_is_wrong_with_a_file_of_snoozes_is_told_without_an_id(tmp_path: Path) -> None:
    path = tmp_path / "snoozes.toml"
    path.write_text(WRONG_SNOOZES, "utf-8")
    with pytest.raises(ConfigError) as caught:
        load_snoozes(str(path), None)
    assert str(caught.value) == WRONG_SNOOZES_MESSAGE.format(path=path)
    path.write_text(SNOOZE + SNOOZE, "utf-8")
    with pytest.raises(ConfigError, match="stand there twice"):
        load_snoozes(str(path), None)
    path.write_text(SNOOZE, "utf-8")
    with pytest.raises(ConfigError, match="which begins p1_") as caught:
        load_snoozes(str(path), None, "p1_")
    assert "u1" not in str(caught.value).replace(str(path), "")
    (snooze,) = load_snoozes(str(path), None).values()
    assert (snooze.until_ms, snooze.rank) == (1_796_054_400_000, 1)
