"""Writes the rules of Prometheus as an object of its operator: run it after a change to them.

python -m tests.deploy.write_prometheusrule
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
ALERTS = DEPLOY / "kubernetes" / "monitoring" / "alerts.yaml"


def prometheus_rule() -> dict[str, Any]:
    """The object, with the groups of every file of rules."""
    groups: list[Any] = []
    for path in sorted((DEPLOY / "prometheus" / "rules").glob("*.yml")):
        groups += yaml.safe_load(path.read_text("utf-8"))["groups"]
    name = {"app.kubernetes.io/name": "tip-detector"}
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "tip-detector", "labels": name},
        "spec": {"groups": groups},
    }


def main() -> None:
    text = yaml.safe_dump(prometheus_rule(), sort_keys=False, allow_unicode=True, width=100)
    ALERTS.write_text("# Written by tests/deploy/write_prometheusrule.py.\n" + text, "utf-8")


if __name__ == "__main__":
    main()
