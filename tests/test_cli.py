"""The command, as a user runs it."""

from __future__ import annotations

import io
import os
import random
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.assembly import Assembly
from detector.cli import main
from detector.lab.simulate import Scenario, simulate
from detector.runtime.lane import Lane
from detector.runtime.ports import Output, Partition
from detector.runtime.tally import Tally
from detector.service import WallClock

ROOT = Path(__file__).resolve().parents[1]
ASSEMBLY = Assembly.load(None)


class Read(NamedTuple):
    """A record as it was read."""

    offset: int
    value: bytes | None
    timestamp: int = 1_800_000_000_000
    key: bytes | None = b"k"
    headers: Sequence[tuple[str, bytes]] = ()


def run(
    *arguments: str, stdin: bytes = b"", **environment: str
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "detector", *arguments], input=stdin, capture_output=True,
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT), **environment}, timeout=120,
        check=False,
    )  # fmt: skip


def lines_of(events: int, seed: int = 3) -> list[bytes]:
    scenario = Scenario(seed=seed, events=events)
    return [orjson.dumps(each.event) for each in simulate(scenario)]


def test_score_writes_one_line_for_each_line_in_order_and_twice_the_same_bytes() -> None:
    lines = lines_of(5000)
    lines[100:100] = [b"", b"nonsense", lines[99]]
    stdin = b"\n".join(lines) + b"\n"
    first, second = (run("score", stdin=stdin, PYTHONHASHSEED=seed) for seed in ("1", "2"))
    assert first.returncode == 0, first.stderr
    assert first.stdout == second.stdout
    decisions = [orjson.loads(line) for line in first.stdout.splitlines()]
    assert len(decisions) == len(lines)
    assert decisions[100] == {
        "line": 101, "rejected": "not_json", "detail": decisions[100]["detail"],
    }  # fmt: skip
    assert decisions[101]["rejected"] == "not_json"
    assert decisions[102] == {"line": 103, "skipped": "duplicate"}
    for line, decision in zip(lines[103:], decisions[103:], strict=True):
        assert decision["event_id"] == orjson.loads(line)["event_id"]


def test_a_wrong_config_is_refused_with_every_problem_and_exit_code_2(tmp_path: Path) -> None:
    config = tmp_path / "my.toml"
    config.write_text('[http]\nport = 99999\n[kafka]\ngroup = "x"\n')
    done = run("check-config", "--config", str(config))
    assert done.returncode == 2
    assert sorted(done.stderr.decode().splitlines()) == [
        f"{config}: http.port = 99999: expected a number <= 65535",
        f"{config}: kafka.group: is not a known key",
    ]


def test_the_shipped_config_is_fine() -> None:
    done = run("check-config")
    assert (done.returncode, done.stdout.startswith(b"fine: policy cn")) == (0, True)


def test_the_examples_of_a_shadow_are_checked_as_well(tmp_path: Path) -> None:
    config, pack = tmp_path / "my.toml", tmp_path / "pack.toml"
    config.write_text('[shadow]\nconfig = "trial.toml"\n')
    (tmp_path / "trial.toml").write_text('[policy]\npack = "pack.toml"\n')
    shipped = (ROOT / "config" / "policies" / "cn.toml").read_text()
    pack.write_text(shipped)
    done = run("check-config", "--config", str(config))
    assert (done.returncode, b"shadow cn" in done.stdout) == (0, True)
    before, rule, after = shipped.partition('type = "room_count"')
    pack.write_text(before + rule + after.replace("limit = 2", "limit = 9", 1))
    done = run("check-config", "--config", str(config))
    assert done.returncode == 2
    assert done.stderr.decode().startswith(f"{pack}: rules[pk-evening]: fires: expected")


def test_an_unknown_mapping_names_those_that_are_shipped() -> None:
    done = run("score", "--mapping", "nowhere")
    assert done.returncode == 2
    assert b"bilibili" in done.stderr


SEEDS = lines_of(2000)


@settings(max_examples=100, deadline=None)
@given(st.randoms(use_true_random=True))
def test_every_mutated_record_is_accounted_for(rng: random.Random) -> None:
    """A hundred examples of a thousand records each."""
    lane: Lane = ASSEMBLY.make_lane(Partition("tips", 0), 1)
    tally, clock = Tally(), WallClock()
    outputs: list[Output] = []
    records = [Read(offset, mutate(rng, SEEDS)) for offset in range(1000)]
    lane.process(records, tally, outputs, clock)
    assert tally.records == 1000
    assert lane.next_offset == 1000
    dead = [each for each in outputs if each.topic == "tip-dead-letters"]
    assert len(dead) == sum(tally.dead_letters.values()) > 100
    for letter in dead:
        assert letter.value == records[int(dict(letter.headers)["offset"])].value
    assert len(tally.dead_letters) >= 6


def mutate(rng: random.Random, seeds: list[bytes]) -> bytes:
    """A record with a few bytes or one value changed, or as it was."""
    data = bytearray(rng.choice(seeds))
    choice = rng.random()
    if choice < 0.3:
        return bytes(data)
    if choice < 0.6:
        for _ in range(rng.randint(1, 4)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        return bytes(data)
    if choice < 0.7:
        return bytes(data[: rng.randrange(len(data))])
    record = orjson.loads(bytes(data))
    values = [None, True, -1, 0, 1e300, "", "x" * 400, [], {}, "NaN", "-5", 10**18, "2009-01-01Z"]
    record[rng.choice(list(record))] = rng.choice(values)
    return orjson.dumps(record)


def test_score_learns_from_verdicts_whatever_the_order_of_their_file(tmp_path: Path) -> None:
    lines = lines_of(3000)
    records = [orjson.loads(line) for line in lines]
    tips = [each for each in records[:1500] if each.get("type", "tip") == "tip"][::40]
    verdicts = [
        orjson.dumps({"event_id": each["event_id"], "verdict": "confirmed", "kind": "ring",
                      "reviewer": "r1", "decided_at": each["event_time"] + 86_400_000})
        for each in tips
    ]  # fmt: skip
    forward, backward = tmp_path / "forward.jsonl", tmp_path / "backward.jsonl"
    forward.write_bytes(b"\n".join(verdicts))
    backward.write_bytes(b"\n\n".join(reversed(verdicts)) + b"\n")
    stdin = b"\n".join(lines) + b"\n"
    without = run("score", stdin=stdin)
    first, second = (
        run("score", "--verdicts", str(path), stdin=stdin) for path in (forward, backward)
    )
    assert first.returncode == 0, first.stderr
    assert first.stdout == second.stdout
    assert first.stdout != without.stdout
    before = min(each["event_time"] for each in tips) + 86_400_000
    for record, taught, untaught in zip(
        records, first.stdout.splitlines(), without.stdout.splitlines(), strict=True
    ):
        if record["event_time"] >= before:
            break
        assert taught == untaught

    state = ("--state", str(tmp_path / "state"), "--verdicts", str(forward))
    cut = len(lines) // 2
    parts = [run("score", *state, stdin=b"\n".join(part) + b"\n")
             for part in (lines[:cut], lines[cut:])]  # fmt: skip
    assert b"".join(part.stdout for part in parts) == first.stdout


def test_verdicts_that_are_none_are_named_by_line_and_nothing_is_scored(tmp_path: Path) -> None:
    path = tmp_path / "verdicts.jsonl"
    path.write_text('{"event_id": "e1"}\nnonsense\n')
    done = run("score", "--verdicts", str(path), stdin=lines_of(5)[0])
    assert (done.returncode, done.stdout) == (2, b"")
    first, second = done.stderr.decode().splitlines()
    assert first == f"{path}: line 1: verdict: expected confirmed, false_positive or unclear"
    assert second.startswith(f"{path}: line 2: no JSON: ")


def with_key(folder: Path) -> Path:
    """Settings with a fresh key for pseudonyms."""
    (folder / "key").write_bytes(os.urandom(32))
    (folder / "key").chmod(0o600)
    config = folder / "hidden.toml"
    config.write_text(f'[pseudonyms]\nkey_file = "{folder / "key"}"\n', "utf-8")
    return config


def test_pseudonyms_of_ids_are_printed_in_order_and_found_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    monkeypatch.setattr("detector.cli.set_up_logs", lambda *_: None)
    config = str(with_key(tmp_path))

    def pseudonym(*arguments: str, stdin: bytes = b"") -> tuple[int, bytes]:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        code = main(["pseudonym", "--config", config, *arguments])
        sys.stdout.flush()
        return code, capfdbinary.readouterr().out

    _, printed = pseudonym(stdin=b"u1\nu2\nu1\n")
    one, two, again = printed.decode().split()
    assert one == again != two
    assert pseudonym("--find", two, stdin=b"u1\r\nu2\r\n") == (0, b"u2\n")
    assert pseudonym("--find", two, "u1", "u3") == (1, b"")
    assert pseudonym("--find", "u2", "u2") == (2, b"")
    Path(config).write_text("", "utf-8")
    assert pseudonym("u1") == (2, b"")


def test_a_kept_state_is_refused_under_another_key_and_under_none(tmp_path: Path) -> None:
    config, state = str(with_key(tmp_path)), str(tmp_path / "state")
    lines = b"\n".join(lines_of(20)) + b"\n"
    first = run("score", "--config", config, "--state", state, stdin=lines)
    assert first.returncode == 0, first.stderr
    with_key(tmp_path)
    for arguments in (["--config", config], []):
        refused = run("score", *arguments, "--state", state, stdin=lines)
        assert (refused.returncode, refused.stdout) == (2, b"")
        assert b"pseudonym key: found 'p1_" in refused.stderr
