"""The alerting that is shipped, as tests read it: rules, their tests, runbooks, and who is told.

Knows the files under deploy/ only; it starts nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
PROMETHEUS = ROOT / "deploy" / "prometheus"
ALERTMANAGER = ROOT / "deploy" / "alertmanager"
RUNBOOKS = ROOT / "deploy" / "runbooks"
RULES = sorted((PROMETHEUS / "rules").glob("*.yml"))
RULE_TESTS = sorted((PROMETHEUS / "tests").glob("*.yml"))


def load(path: Path) -> Any:
    """A YAML file's content."""
    return yaml.safe_load(path.read_text("utf-8"))


def rules() -> list[dict[str, Any]]:
    """All rules, recording and alerting."""
    return [rule for path in RULES for group in load(path)["groups"] for rule in group["rules"]]


def alerts() -> dict[str, dict[str, Any]]:
    """Name → alerting rule."""
    return {rule["alert"]: rule for rule in rules() if "alert" in rule}


def alert_checks() -> Iterator[tuple[str, str, bool]]:
    """(test, alert, whether it is expected to fire) of each check in the tests of the rules."""
    for path in RULE_TESTS:
        for test in load(path)["tests"]:
            for check in sorted(test["alert_rule_test"], key=lambda one: minutes(one["eval_time"])):
                yield test["name"], check["alertname"], bool(check.get("exp_alerts"))


def minutes(duration: str) -> int:
    """
    >>> minutes("90m"), minutes("2h")
    (90, 120)
    """
    return int(duration[:-1]) * {"m": 1, "h": 60}[duration[-1]]


_DURATION = re.compile(r"(?<![\w.])(\d+)([dhm])\b")


def hurried(text: str) -> str:
    """Rules or intervals in which each minute lasts a second, an hour a minute, a day an hour.

    >>> hurried("increase(x[10m]) > 0 unless y[1d] offset 10m  # for: 2m")
    'increase(x[10s]) > 0 unless y[1h] offset 10s  # for: 2s'
    >>> hurried("job:x:increase10m")
    'job:x:increase10m'
    """
    return _DURATION.sub(lambda m: m[1] + {"d": "h", "h": "m", "m": "s"}[m[2]], text)
