"""`score --state`: many runs are one run, and whatever happens to a run, the state stays whole."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from hashlib import blake2b
from pathlib import Path

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.core.state import VERSION
from detector.edges.state_dir import KeptState, StateDir
from detector.lab.simulate import Scenario, simulate
from detector.runtime.checkpoint import Manifest
from detector.runtime.ports import Output
from detector.settings import ConfigError
from tests.core.test_state import events, outcome, small_engine, uncut

ROOT = Path(__file__).resolve().parents[2]
MOST_BUFFERED_BYTES = 140_000
EVERY_50_LINES = (
    "import sys; from pathlib import Path; from detector.assembly import Assembly;"
    "from detector.scoring import score;"
    "sys.exit(score(Assembly.load(None), sys.stdin.buffer, sys.stdout.buffer,"
    " Path(sys.argv[1]), save_every_lines=50))"
)


@cache
def lines() -> list[bytes]:
    """A made-up stream with a repeat and with lines that are no events."""
    scenario = Scenario(
        seed=5, events=6_000, days=6, tippers=200, streamers=20,
        cases={"minor": 3, "outsized": 3, "binge": 3},
    )  # fmt: skip
    made = [orjson.dumps(each.event) + b"\n" for each in simulate(scenario)]
    made[3_000:3_000] = [made[2_998], b"\n", b"nonsense\n"]
    return made


def environment(**changes: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), **changes}


def score(
    given_lines: list[bytes], *arguments: str | Path, **changes: str
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "detector", "score", *map(str, arguments)], cwd=ROOT,
        input=b"".join(given_lines), env=environment(**changes), capture_output=True, timeout=120,
        check=False,
    )  # fmt: skip


@cache
def one_run() -> list[bytes]:
    return score(lines()).stdout.splitlines(keepends=True)


@contextmanager
def scoring(out: Path, *command: str | Path) -> Iterator[subprocess.Popen[bytes]]:
    """A run that reads from a pipe and appends to a file."""
    with out.open("ab") as file, out.with_suffix(".err").open("ab") as said:
        process = subprocess.Popen(
            [sys.executable, *map(str, command)], cwd=ROOT, env=environment(),
            stdin=subprocess.PIPE, stdout=file, stderr=said,
        )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        assert process.stdin is not None
        process.stdin.close()


def feed(process: subprocess.Popen[bytes], some: list[bytes]) -> None:
    assert process.stdin is not None
    process.stdin.write(b"".join(some))
    process.stdin.flush()


def wait_for_bytes(out: Path, count: int) -> None:
    deadline_s = time.monotonic() + 30
    while out.stat().st_size < count:
        assert time.monotonic() < deadline_s, out.with_suffix(".err").read_text()
        time.sleep(0.002)


def manifest(directory: Path) -> Manifest:
    return Manifest.parse((directory / "manifest").read_bytes().splitlines()[0])


def with_digest(line: bytes) -> bytes:
    return line + b"\n" + blake2b(line, digest_size=16).hexdigest().encode() + b"\n"


# -- many runs are one ----------------------------------------------------------------------------


def test_two_days_in_two_runs_give_byte_for_byte_the_decisions_of_one(tmp_path: Path) -> None:
    cut = 2_500
    first = score(lines()[:cut], "--state", tmp_path / "S")
    second = score(lines()[cut:], "--state", tmp_path / "S")
    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    expected = one_run()
    assert any(b'"flag_id"' in line for line in expected[cut:])
    within_the_input = [
        line.replace(b'"line":%d' % (number + 1), b'"line":%d' % (number + 1 - cut))
        for number, line in enumerate(expected[cut:], cut)
    ]
    assert first.stdout.splitlines(keepends=True) == expected[:cut]
    assert second.stdout.splitlines(keepends=True) == within_the_input
    assert second.stdout != b"".join(expected[cut:])
    assert second.stderr.decode().splitlines() == [
        f"{tmp_path}/S: state of 2,500 lines loaded",
        f"{tmp_path}/S: state of {len(lines()):,} lines saved",
    ]
    assert score(lines()[cut:], "--state", tmp_path / "new").stdout != second.stdout


@settings(max_examples=10)
@given(st.integers(0, 2), st.lists(st.tuples(st.integers(0, 250), st.booleans()), max_size=10))
def test_cut_anywhere_and_kept_in_a_directory_is_one_run(
    seed: int, cuts: list[tuple[int, bool]]
) -> None:
    expected, _ = uncut(seed)
    found, at = [], 0
    with tempfile.TemporaryDirectory() as folder:
        for count, is_saved_twice in [*cuts, (len(expected), False)]:
            with StateDir(Path(folder)) as directory:
                running = small_engine()
                kept = KeptState(directory, running)
                assert kept.next_offset == at
                for event in events(seed)[at : at + count]:
                    found.append(outcome(running, event))
                    if is_saved_twice and len(found) == at + count // 2:
                        kept.save(len(found))
                at = len(found)
                kept.save(at)
            named = sum(save.chunks for save in manifest(Path(folder)).saves)
            assert len(list(Path(folder).iterdir())) == named + 2
    assert found == expected


def test_saves_of_changes_are_replaced_by_a_whole_one_before_they_are_too_many(
    tmp_path: Path,
) -> None:
    with StateDir(tmp_path) as directory:
        running = small_engine()
        kept = KeptState(directory, running)
        counts = []
        for number, event in enumerate(events(0)[:150], 1):
            running.process(event)
            kept.save(number)
            counts.append(len(manifest(tmp_path).saves))
    assert counts[:3] == [1, 2, 3]
    assert max(counts) < 100
    assert counts[-1] < max(counts)


def test_a_run_without_any_line_leaves_the_state_as_it_is(tmp_path: Path) -> None:
    assert score(lines()[:300], "--state", tmp_path).returncode == 0
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert score([], "--state", tmp_path).returncode == 0
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_only_the_owner_may_read_what_is_kept(tmp_path: Path) -> None:
    score(lines()[:300], "--state", tmp_path / "S")
    files = list((tmp_path / "S").iterdir())
    assert len(files) > 5
    assert {path.stat().st_mode & 0o077 for path in [tmp_path / "S", *files]} == {0}


# -- signals --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)], ids=["SIGTERM", "SIGINT"]
)
@pytest.mark.parametrize("is_waiting", [True, False], ids=["waiting", "working"])
def test_a_signal_ends_the_input_between_two_lines_and_the_next_run_goes_on(
    tmp_path: Path, number: signal.Signals, code: int, is_waiting: bool
) -> None:
    out, state = tmp_path / "out", tmp_path / "S"
    half_a_line = lines()[2_000][:40]
    with scoring(out, "-m", "detector", "score", "--state", state) as process:
        feed(process, [*lines()[:2_000], half_a_line] if is_waiting else lines())
        wait_for_bytes(out, 1)
        if is_waiting:
            wait_for_bytes(out, len(b"".join(one_run()[:2_000])) - MOST_BUFFERED_BYTES)
            time.sleep(1)  # for the rest, which stays in its buffer
        process.send_signal(number)
        assert process.wait(20) == code
    done = out.read_bytes().splitlines(keepends=True)
    assert done == one_run()[: len(done)]
    assert (len(done) == 2_000) if is_waiting else (0 < len(done) < len(lines()))
    assert manifest(state).next_offset == len(done)
    rest = score(lines()[len(done) :], "--state", state).stdout.splitlines(keepends=True)
    expected = one_run()[len(done) :]
    assert [line for line in rest if b'"line"' not in line] == [
        line for line in expected if b'"line"' not in line
    ]


def test_a_run_that_is_killed_again_and_again_leaves_a_whole_state_every_time(
    tmp_path: Path,
) -> None:
    out, state, rng = tmp_path / "out", tmp_path / "S", random.Random(3)
    at, saves_seen = 0, set()
    for _ in range(6):
        out.write_bytes(b"")
        with scoring(out, "-c", EVERY_50_LINES, state) as process:
            # Not all of the rest: it is to be killed in mid-stream, however fast it is.
            feed(process, lines()[at : at + rng.randrange(200, 900)])
            wait_for_bytes(out, 1)
            time.sleep(rng.uniform(0, 0.1))
            process.kill()
            process.wait()
        done = out.read_bytes().splitlines(keepends=True)
        saved = manifest(state).next_offset if (state / "manifest").exists() else at
        saves_seen.add(saved)
        whole = [line for line in done if line.endswith(b"\n") and b'"line"' not in line]
        assert (
            whole
            == [line for line in one_run()[at : at + len(done)] if b'"line"' not in line][
                : len(whole)
            ]
        )
        assert at <= saved <= at + len(done), "no decision is missing for what the state stands for"
        at = saved
    assert len(saves_seen) > 2
    rest = score(lines()[at:], "--state", state)
    assert rest.returncode == 0, rest.stderr
    assert [line for line in rest.stdout.splitlines(keepends=True) if b'"line"' not in line] == [
        line for line in one_run()[at:] if b'"line"' not in line
    ]


class Dying(StateDir):
    """A directory whose process dies after some of the files of a save."""

    left = 0

    def write(self, outputs: Iterable[Output]) -> None:
        for output in outputs:
            if not self.left:
                raise KeyboardInterrupt
            self.left -= 1
            super().write([output])


@pytest.mark.parametrize("is_whole", [True, False], ids=["whole", "changes"])
def test_a_run_that_dies_after_any_file_of_a_save_leaves_the_state_before_it_or_after(
    tmp_path: Path, is_whole: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("detector.runtime.checkpoint._MOST_SAVES", 1 if is_whole else 64)
    seen = []
    for files in range(100):
        path, running = tmp_path / str(files), small_engine()
        states = {}
        with Dying(path) as directory:
            directory.left = 1_000
            kept = KeptState(directory, running)
            with suppress(KeyboardInterrupt):
                for number, event in enumerate(events(0)[:350], 1):
                    running.process(event)
                    if number in (250, 300, 350):
                        states[number] = running.sizes(), running.watermark_ms
                        directory.left = files if number == 350 else 1_000
                        kept.save(number)
        with StateDir(path) as directory:
            loaded = small_engine()
            found = KeptState(directory, loaded).next_offset
        assert (loaded.sizes(), loaded.watermark_ms) == states[found]
        named = sum(save.chunks for save in manifest(path).saves)
        assert len(list(path.iterdir())) == named + 2, "what never came to an end is swept away"
        seen.append(found)
        if kept.next_offset == 350:
            break
    assert seen == sorted(seen)
    assert set(seen) == {300, 350}


def test_a_second_process_on_the_directory_is_refused_until_the_first_is_gone(
    tmp_path: Path,
) -> None:
    out, state = tmp_path / "out", tmp_path / "S"
    with scoring(out, "-m", "detector", "score", "--state", state) as process:
        feed(process, lines()[:1_000])
        wait_for_bytes(out, 1)
        second = score(lines()[:1], "--state", state)
        assert (second.returncode, second.stdout) == (2, b"")
        assert second.stderr.decode() == f"{state}: another process keeps its state there now\n"
        process.kill()
    assert score(lines()[:1], "--state", state).returncode == 0


# -- what is refused ------------------------------------------------------------------------------


@pytest.fixture
def kept_dir(tmp_path: Path) -> Path:
    """A state in two saves, of which every section has entries."""
    with StateDir(tmp_path / "S") as directory:
        running = small_engine()
        kept = KeptState(directory, running)
        for number, event in enumerate(events(0)[:700], 1):
            running.process(event)
            if number in (600, 700):
                kept.save(number)
    assert len(manifest(tmp_path / "S").saves) == 2
    return tmp_path / "S"


def refusal(path: Path) -> str:
    """Why the state is refused; checks that the refusal leaves the directory as it was."""
    before = {each.name: each.read_bytes() for each in path.iterdir()}
    with StateDir(path) as directory, pytest.raises(ConfigError) as caught:
        KeptState(directory, small_engine())
    assert {each.name: each.read_bytes() for each in path.iterdir()} == before
    assert str(caught.value).startswith(f"{path}: the state there cannot be used: ")
    return str(caught.value)


def test_a_file_that_is_damaged_cut_or_missing_is_refused_whichever_it_is(kept_dir: Path) -> None:
    ids = {event.tipper_id for event in events(0)} | {event.event_id for event in events(0)}
    rng = random.Random(11)
    for path in sorted(kept_dir.iterdir()):
        if path.name == "lock":
            continue
        good = path.read_bytes()
        places = [0, len(good) - 1, *(rng.randrange(len(good)) for _ in range(10))]
        wrong = [good[:at] + bytes([good[at] ^ 1 << at % 8]) + good[at + 1 :] for at in places]
        wrong += [b"", good[:-1], good[: len(good) // 2], good + b"\0"]
        for content in wrong:
            path.write_bytes(content)
            text = refusal(kept_dir)
            assert not any(each and len(each) > 3 and each in text for each in ids)
        if path.name != "manifest":
            path.unlink()
            assert f"{path.name}: is missing" in refusal(kept_dir)
        path.write_bytes(good)
    with StateDir(kept_dir) as directory:
        assert KeptState(directory, small_engine()).next_offset == 700


def test_chunks_of_another_save_are_refused_though_each_is_fine(kept_dir: Path) -> None:
    first, second = (sorted(kept_dir.glob(f"0.{save}-*.chunk")) for save in (0, 1))
    second[0].write_bytes(first[0].read_bytes())
    assert "its digest is not the manifest's" in refusal(kept_dir)


def test_a_manifest_of_another_format_is_refused(kept_dir: Path) -> None:
    line = (kept_dir / "manifest").read_bytes().splitlines()[0]
    (kept_dir / "manifest").write_bytes(with_digest(line.replace(b'"format":1', b'"format":3')))
    assert "format 3; expected 1 or 2: run the version of tip-detector" in refusal(kept_dir)


def test_a_manifest_that_names_files_elsewhere_is_refused(kept_dir: Path) -> None:
    line = (kept_dir / "manifest").read_bytes().splitlines()[0]
    (kept_dir / "manifest").write_bytes(with_digest(line.replace(b'"0.0"', b'"../0.0"')))
    assert "found no name of a save" in refusal(kept_dir)


def test_a_chunk_of_another_version_is_refused(kept_dir: Path) -> None:
    chunk = kept_dir / "0.0-00000.chunk"
    chunk.write_bytes(bytes([VERSION + 1]) + chunk.read_bytes()[1:])
    assert f"version: found {VERSION + 1}, expected {VERSION}" in refusal(kept_dir)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"ENGINE__ZONE": "UTC"}, "zone: found 'Asia/Shanghai' in the state, expected 'UTC'"),
        (
            {"MONEY__BASE_CURRENCY": "USD", "CURRENCIES__USD__RATE": "1",
             "POLICY__PACK": "generic"},
            "base currency: found 'CNY' in the state, expected 'USD'",
        ),
    ],
    ids=["zone", "base currency"],
)  # fmt: skip
def test_a_state_of_another_zone_or_base_currency_is_refused_with_exit_code_2(
    tmp_path: Path, changes: dict[str, str], words: str
) -> None:
    assert score(lines()[:500], "--state", tmp_path).returncode == 0
    settings_of_the_other = {f"TIP_DETECTOR__{name}": value for name, value in changes.items()}
    refused = score(lines()[500:], "--state", tmp_path, **settings_of_the_other)
    assert (refused.returncode, refused.stdout) == (2, b"")
    assert words in refused.stderr.decode()
    assert manifest(tmp_path).next_offset == 500
