"""The demo, as a newcomer meets it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

from tests.integration.test_run import until

ROOT = Path(__file__).resolve().parents[1]


def start(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-u", "-m", "detector", "demo", *arguments], cwd=ROOT, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )  # fmt: skip


def fetch(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=15) as answer:
        return bytes(answer.read())


def test_it_ends_by_itself_with_a_summary_of_at_least_two_kinds() -> None:
    said, errors = start("--seconds", "8", "--rate", "1500").communicate(timeout=90)
    assert re.search(r"^\d+ flags: .*minor \d+.*outsized \d+", said, re.M), said + errors
    assert re.search(r"^tip to flag: p50 \d+ ms, p99 \d+ ms$", said, re.M)
    assert "new   tipper" in said


def test_ctrl_c_ends_it_cleanly_and_its_metrics_were_there() -> None:
    demo = start()
    try:
        assert demo.stdout is not None
        address = demo.stdout.readline().split()[1]
        assert b"tip_detector_build_info" in fetch(address)
        console = demo.stdout.readline().split()
        assert console[0] == "console"
        assert b"<html" in fetch(console[1])
        until(lambda: json.loads(fetch(f"{console[1]}queue.json"))["rows"])
        case = json.loads(fetch(f"{console[1]}queue.json"))["rows"][0]["case_id"]
        assert b"chart-timeline" in fetch(f"{console[1]}cases/{case}/evidence")
        demo.send_signal(signal.SIGINT)
        said, errors = demo.communicate(timeout=30)
    finally:
        demo.kill()
    assert demo.returncode == 0, said + errors
    assert "tips and other events in" in said
    assert errors == ""
