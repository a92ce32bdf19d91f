"""The benchmark's score on small files in its layout, worked out by hand.

Twenty points: the first three do not count, the window is points 10 to 14. With s(x) = 2 / (1 +
e^5x) - 1, a detection at its start is worth s(-1) / s(-1) = 1, at point 12 s(-0.6) / s(-1) =
0.905148 / 0.986614 = 0.917429; a false one before it -0.11, at point 16, half a window behind,
0.11 s(0.5) = -0.093311. Silence is worth -1, all is worth 1: normalised 100 (worth + 1) / 2.
"""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from tests.bench import nab, series

DAY = "2014-04-01 00:{:02d}:00"


class Echo:
    """A detector whose score is the value."""

    def observe(self, time_ms: int, value: float) -> float:
        return value


def clone(folder: Path, files: dict[str, tuple[dict[int, float], list[nab.Window]]]) -> Path:
    """Files of twenty values, 0 but where told, and their windows."""
    labels = {}
    for name, (values, windows) in files.items():
        path = folder / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = [f"{DAY.format(place)},{values.get(place, 0.0)}" for place in range(20)]
        path.write_text("\n".join(["timestamp,value", *rows, ""]))
        labels[name] = [[DAY.format(at) + ".000000" for at in window] for window in windows]
    (folder / "labels").mkdir()
    (folder / "labels" / "combined_windows.json").write_bytes(orjson.dumps(labels))
    return folder


def score_of(folder: Path, *files: tuple[dict[int, float], list[nab.Window]]) -> float:
    named = {f"real{place}/series.csv": each for place, each in enumerate(files)}
    return nab.nab_score(nab.judged(nab.read(clone(folder, named)), Echo))[0]


@pytest.mark.parametrize(
    ("values", "score"),
    [
        ({}, 37.6317),  # to call everything: 1 - 0.11 (7 + 4.3397)
        ({10: 1.0}, 100.0),
        ({12: 1.0}, 95.8715),
        ({12: 1.0, 13: 1.0, 14: 1.0}, 95.8715),  # only the earliest counts
        ({5: 1.0, 12: 1.0}, 90.3715),
        ({12: 1.0, 16: 1.0}, 91.2059),
        ({5: 0.5, 12: 1.0}, 95.8715),  # a threshold between both
        ({1: 1.0, 12: 1.0}, 95.8715),  # the first three points do not count
        ({5: 1.0}, 37.6317),
    ],
)
def test_the_score_is_the_one_worked_out_by_hand(
    tmp_path: Path, values: dict[int, float], score: float
) -> None:
    assert score_of(tmp_path, (values, [(10, 14)])) == pytest.approx(score, abs=1e-3)


def test_one_threshold_holds_for_all_files(tmp_path: Path) -> None:
    # At 0.5 both are found, with a false one: 1 + 1 - 0.11 of -2 to 2; at 1.0 only one is.
    found = score_of(tmp_path, ({10: 0.5}, [(10, 14)]), ({5: 0.6, 10: 1.0}, [(10, 14)]))
    assert found == pytest.approx(100 * (1.89 + 2) / 4)


def test_a_file_without_windows_only_has_false_detections(tmp_path: Path) -> None:
    found = score_of(tmp_path, ({10: 1.0}, [(10, 14)]), ({4: 1.0, 9: 1.0}, []))
    assert found == pytest.approx(100 * (0.78 + 1) / 2)


def test_average_precision_calls_equal_scores_together() -> None:
    points = [nab.Point(score, 0.0, window) for score, window in
              ((0.9, 0), (0.8, -1), (0.7, 0), (0.7, -1), (0.1, -1))]  # fmt: skip
    assert nab.average_precision(points) == pytest.approx(0.5 * 1 + 0.5 * 2 / 4)


def test_the_command_scores_a_clone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = clone(tmp_path, {"real/a.csv": ({10: 1.0}, [(10, 14)])})
    monkeypatch.setattr("sys.argv", ["nab", str(folder)])
    nab.main()
    figures = [orjson.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [figure["bench"] for figure in figures] == ["nab", "nab AP"]
    # Twenty points are fewer than Rhythm's warm-up: at best everything is called.
    assert figures[0]["value"] == pytest.approx(37.6317, abs=1e-3)


def test_the_command_wants_a_clone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("sys.argv", ["nab", str(tmp_path)])
    with pytest.raises(SystemExit, match=r"DIR: a clone"):
        nab.main()


def test_rhythm_does_better_than_a_rolling_z_score_on_made_up_series() -> None:
    many = series.made(100) + series.made(101)
    ours, theirs = (nab.judged(many, make) for make in (series.Rhythm, series.RollingZ))
    assert nab.nab_score(ours)[0] > nab.nab_score(theirs)[0] + 10
    assert nab.average_precision(ours) > nab.average_precision(theirs)
