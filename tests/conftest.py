"""What all tests share: a running Kafka node, promtool, and the account of what was not tested.

A test that needs Apache Kafka takes the fixture `kafka`, or is marked `kafka` and starts a node of
its own. Where a part of the outside world is missing, the tests that need it are skipped with the
reason; with TIP_DETECTOR_FORBID_SKIP=1 a single skipped test turns the run red.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import sys
import uuid
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

if TYPE_CHECKING:
    from tests.kafka_node import KafkaNode

ROOT = Path(__file__).resolve().parent.parent
MISSING = ROOT / ".cache" / "missing"  # written by tests/setup.sh: name, tab, reason

sys.path.insert(0, str(ROOT))  # tests import `tests.…`, however pytest was started


# How long one example takes says more about the machine than about the code.
hypothesis.settings.register_profile("unhurried", deadline=None)
hypothesis.settings.load_profile("unhurried")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "kafka: needs Apache Kafka (tests/setup.sh fetches it)")
    # kafka-python 3.0 reads its schemas in a way that Python 3.11 and 3.12 call deprecated
    reader = r"ignore:(read|open)_text is deprecated. Use files:DeprecationWarning"
    config.addinivalue_line("filterwarnings", reader)
    # An end from outside goes the way of Ctrl-C, so that no Kafka node outlives its tests.
    signal.signal(signal.SIGTERM, signal.default_int_handler)


# -- what tests ask for --------------------------------------------------------------------------


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaNode]:
    """One Kafka node for all tests, started by the first that asks; never stop or kill this one."""
    from tests.kafka_node import KafkaNode  # only here: few tests need a Kafka client

    with KafkaNode(tmp_path_factory.mktemp("kafka")) as node:
        yield node


@pytest.fixture
def topic_prefix(request: pytest.FixtureRequest) -> str:
    """A start for topic and group names that no other test uses; ends with a hyphen."""
    name = re.sub(r"[^A-Za-z0-9]+", "_", request.node.name)[:60]
    return f"{name}-{uuid.uuid4().hex[:8]}-"


@pytest.fixture
def promtool() -> str:
    """The path of Prometheus's promtool."""
    return program("promtool")


def program(name: str) -> str:
    """The path of a program that tests/packages.apt names; skips the test where it is missing."""
    if path := shutil.which(name):
        return path
    pytest.skip(why_missing(name, f"no program {name}"))


def why_missing(name: str, found: str) -> str:
    """What was found, and what tests/setup.sh wrote about it."""
    lines = MISSING.read_text("utf-8").splitlines() if MISSING.exists() else []
    reasons = dict(line.split("\t", 1) for line in lines)
    return f"{found}: {reasons.get(name, 'run tests/setup.sh')}"


# -- what is skipped, and how that is told -------------------------------------------------------


@pytest.hookimpl(tryfirst=True)  # before -m is applied
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "kafka" in getattr(item, "fixturenames", ()):
            item.add_marker("kafka")


@pytest.hookimpl(tryfirst=True)  # before any fixture is set up
def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("kafka"):
        from tests.kafka_node import why_not_here

        if found := why_not_here():
            pytest.skip(why_missing("java" if "java" in found else "kafka", found))


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    if _skipped(session.config) and _is_skip_forbidden() and session.exitstatus == 0:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    skipped = _skipped(config)
    terminalreporter.section("not tested", sep="-")
    if not skipped:
        terminalreporter.write_line("nothing was skipped")
    for reason, tests in skipped.items():
        terminalreporter.write_line(f"{reason}\n  " + "\n  ".join(tests))
    if skipped and _is_skip_forbidden():
        terminalreporter.write_line("TIP_DETECTOR_FORBID_SKIP=1: the run failed", red=True)


def _skipped(config: pytest.Config) -> dict[str, list[str]]:
    """The ids of the skipped tests, by reason."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    by_reason = defaultdict(list)
    for report in reporter.stats.get("skipped", []) if reporter else []:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        by_reason[str(reason).removeprefix("Skipped: ")].append(report.nodeid)
    return by_reason


def _is_skip_forbidden() -> bool:
    return os.environ.get("TIP_DETECTOR_FORBID_SKIP") == "1"
