"""Imports go one way, and the core stays pure."""

from __future__ import annotations

import ast
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1] / "detector"
MAY_IMPORT = {
    "core": {"core"},
    "runtime": {"core", "runtime"},
    "lab": {"core", "runtime", "lab"},
}
OUTSIDE = {"kafka", "prometheus_client", "http", "socket", "time", "random", "os", "pathlib"}


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return names


def test_imports_go_one_way() -> None:
    for layer, allowed in MAY_IMPORT.items():
        for path in (PACKAGE / layer).rglob("*.py"):
            own = {name.split(".")[1] for name in imported(path) if name.startswith("detector.")}
            assert own <= allowed, f"{path}: {own - allowed}"


def test_only_the_command_and_the_demo_know_the_console() -> None:
    others = [path for path in PACKAGE.rglob("*.py") if path.parent != PACKAGE / "console"]
    knowing = {
        path.name
        for path in others
        if any(name.startswith("detector.console") for name in imported(path))
    }
    assert knowing == {"cli.py", "demo.py"}


def test_the_core_knows_no_clock_no_chance_no_files_and_no_outside_system() -> None:
    paths = list((PACKAGE / "core").rglob("*.py"))
    assert len(paths) > 15
    for path in paths:
        assert not {name.split(".")[0] for name in imported(path)} & OUTSIDE, path
