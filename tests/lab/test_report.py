"""The report: a page that stands alone, and the command that makes it."""

from __future__ import annotations

import gzip
import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import orjson
import pytest

from detector.lab.plots import Mark, Series, line_plot
from detector.lab.report import render
from tests.lab.test_backtest import LABELS, LINES, SCRIPT, card_of
from tests.lab.test_labels import tip
from tests.test_cli import run

VOID = {"meta", "br", "line", "path", "link", "img"}


class Page(HTMLParser):
    """Checks that what is opened is closed, in order, and gathers the rest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: Counter[str] = Counter()
        self.attributes: list[tuple[str, str, str]] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen[tag] += 1
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen[tag] += 1
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


HOSTILE = '<script>alert("x")</script>&'


def hostile_card(show_ids: bool) -> dict[str, Any]:
    """Every text that comes from the stream or the labels is markup."""
    lines = [*LINES, tip(HOSTILE, HOSTILE, 10)]
    records = [
        *LABELS,
        {"event_id": "e8", "kind": "refund_abuse", "case": HOSTILE,
         "subject": {"type": "tipper", "id": HOSTILE}},
        {"event_id": "e10", "kind": None, "trap": HOSTILE, "case": HOSTILE},
    ]  # fmt: skip
    script = SCRIPT | {
        "e10": [("gambling", "high", 0.95, "t6")],
        HOSTILE: [("binge", "high", 0.95, HOSTILE)],
    }
    card = card_of(lines, records, (SCRIPT, script), show_ids)
    card["files"]["events"] = card["trials"][0]["name"] = HOSTILE
    return card


@pytest.mark.parametrize("card", [card_of(), card_of(scripts=({},)), hostile_card(True)])
def test_the_page_is_well_formed_and_fetches_nothing(card: dict[str, Any]) -> None:
    text = render(card)
    page = Page(text)
    assert page.open == []
    assert page.seen["h1"] == page.seen["main"] == 1
    assert not {"script", "link", "img", "iframe", "object"} & page.seen.keys()
    names = {name for _, name, _ in page.attributes}
    assert not {"href", "src", "srcset", "xlink:href", "action"} & names
    assert not any(name.startswith("on") for name in names)
    assert not re.search(r"https?:|//|url\(|@import", text)


def test_ids_of_a_page_are_unique_and_every_picture_says_what_it_shows() -> None:
    page = Page(render(card_of(scripts=(SCRIPT, {}))))
    ids = [value for _, name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids)) > 0
    named = [value for tag, name, value in page.attributes if name == "aria-labelledby"]
    assert named
    assert {each for value in named for each in value.split()} == set(ids)
    assert page.seen["title"] == len(named) + 1  # and the page's own
    assert page.seen["caption"] == page.seen["table"]
    assert page.seen["th"] > page.seen["table"]


def test_whatever_came_from_the_stream_is_escaped() -> None:
    text = render(hostile_card(show_ids=True))
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    assert HOSTILE in "".join(Page(text).text)


def test_ids_and_cases_are_hidden_unless_asked_for() -> None:
    hidden = render(card_of())
    assert "<code>t2</code>" not in hidden
    assert "tipper t2" not in hidden
    shown = render(card_of(show_ids=True))
    assert "<code>t2</code>" in shown
    assert "<code>tipper t2</code>" in shown  # the case of events that labels do not group
    assert "personal data" in shown


def test_reasons_are_shown_as_a_reviewer_reads_them_in_both_languages() -> None:
    text = render(card_of())
    assert '<li>Much<span lang="zh">多</span></li>' in text
    assert "on the trap birthday" in text


def test_a_page_on_one_configuration_speaks_of_no_second_and_one_on_two_of_both() -> None:
    alone = render(card_of())
    assert "What changed" not in alone
    assert "ring A" not in alone
    both = render(card_of(scripts=(SCRIPT, SCRIPT | {"e3": []})))
    assert "What changed" in both
    assert "ring A" in both
    assert "only A" in both


def test_a_plot_leaves_gaps_where_nothing_is_known_and_skips_nought_on_a_log_scale() -> None:
    points = [(0.0, 10.0), (0.25, None), (0.5, 0.0), (0.75, 100.0), (1.0, 1000.0)]
    plot = line_plot("n", "t", "d", [Series("s", "s1", points)], [Mark("high", 0.9)], is_log=True)
    path = re.search(r'class="line s1"[^>]* d="([^"]*)"', plot)
    assert path is not None
    assert re.sub(r"[\d. ]+", "", path[1]) == "MML"
    assert ">1000<" in plot
    assert ">high<" in plot


def test_a_plot_of_nothing_is_still_a_plot() -> None:
    for is_log in (False, True):
        assert Page(line_plot("n", "t", "d", [Series("s", "s1", [])], is_log=is_log)).open == []


# --- The command ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("backtest")
    done = run(
        "simulate", "--events", "4000", "--seed", "21", "--out", str(folder / "e.jsonl"),
        "--labels", str(folder / "l.jsonl"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (folder / "e.jsonl.gz").write_bytes(gzip.compress((folder / "e.jsonl").read_bytes()))
    (folder / "mild.toml").write_text(
        "[thresholds]\noutsized = { low = 0.3, medium = 0.4, high = 0.95 }\n"
    )
    return folder


def test_a_recorded_stream_and_its_labels_become_a_page_and_a_json(files: Path) -> None:
    report = files / "out.html"
    done = run(
        "backtest", "--events", str(files / "e.jsonl.gz"), "--labels", str(files / "l.jsonl"),
        "--against", str(files / "mild.toml"), "--report", str(report),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert b"4,000 events scored" in done.stderr
    page, card = report.read_text("utf-8"), orjson.loads((files / "out.json").read_bytes())
    assert Page(page).open == []
    assert [trial["name"] for trial in card["trials"]] == ["default settings", "mild.toml"]
    assert card["stream"]["events"] == card["trials"][0]["events"] == 4000
    labels = [orjson.loads(line) for line in (files / "l.jsonl").read_bytes().splitlines()]
    kinds = Counter({each["case"]: each["kind"] for each in labels if each["kind"]}.values())
    assert card["labels"]["cases"] == kinds
    flags = [trial["kinds"]["outsized"]["flags"] for trial in card["trials"]]
    assert flags[1]["medium"] > flags[0]["medium"]
    everyone = {
        orjson.loads(line).get("tipper_id")
        for line in (files / "e.jsonl").read_bytes().splitlines()
    }
    words = set(re.findall(r"[\w-]+", page + (files / "out.json").read_text("utf-8")))
    assert not (everyone - {None}) & words


def test_verdicts_change_what_is_scored_after_them(files: Path) -> None:
    labels = [orjson.loads(line) for line in (files / "l.jsonl").read_bytes().splitlines()]
    times = {
        event["event_id"]: event["event_time"]
        for event in map(orjson.loads, (files / "e.jsonl").read_bytes().splitlines())
    }
    (files / "v.jsonl").write_bytes(
        b"\n".join(
            orjson.dumps(
                {"event_id": each["event_id"], "verdict": "confirmed", "kind": each["kind"],
                 "reviewer": "r1", "decided_at": times[each["event_id"]] + 60_000}
            )
            for each in labels if each["kind"]
        )
    )  # fmt: skip
    cards = []
    for options in ([], ["--verdicts", str(files / "v.jsonl")]):
        done = run(
            "backtest", "--events", str(files / "e.jsonl"), "--labels", str(files / "l.jsonl"),
            "--report", str(files / "out3.html"), *options,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        cards.append(orjson.loads((files / "out3.json").read_bytes()))
    curves = [card["trials"][0]["overall"]["curve"] for card in cards]
    assert curves[0] != curves[1]
    assert "verdicts in v.jsonl" in (files / "out3.html").read_text("utf-8")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"--events": "nowhere.jsonl"}, "--events nowhere.jsonl: No such file or directory"),
        ({"--labels": "nowhere.jsonl"}, "--labels nowhere.jsonl: No such file or directory"),
        ({"--verdicts": "nowhere.jsonl"}, "--verdicts nowhere.jsonl: No such file or directory"),
        ({"--report": "out.json"}, "--report out.json: expected a name that ends in .html"),
        ({"--report": "no/out.html"}, "--report no/out.html: there is no such directory"),
        ({"--labels": "odd.jsonl"}, "--labels odd.jsonl: line 1: kind: expected one of minor, "),
        (
            {"--labels": "strange.jsonl"},
            "--labels strange.jsonl: labels without an event: 1, the first on line 1",
        ),
        ({"--events": "empty.jsonl"}, "--events empty.jsonl: found no event on 0 lines"),
        ({"--labels": "l.json", "--report": "l.html"}, "would overwrite --labels l.json"),
        ({"--events": "broken.gz"}, "--events broken.gz: "),
        ({"--against": "nowhere.toml"}, "nowhere.toml"),
    ],
)
def test_unusable_input_is_refused_with_exit_code_2(
    files: Path, change: dict[str, str], message: str
) -> None:
    (files / "odd.jsonl").write_text('{"event_id": "e", "kind": "robbery"}\n')
    (files / "strange.jsonl").write_text('{"event_id": "of nobody", "kind": "ring"}\n')
    (files / "empty.jsonl").write_text("")
    (files / "broken.gz").write_bytes(gzip.compress(b"{}\n" * 1000)[:-20])
    options = {"--events": "e.jsonl", "--labels": "l.jsonl", "--report": "out2.html"} | change
    place = {name: str(files / value) for name, value in options.items()}
    done = run("backtest", *(word for pair in place.items() for word in pair))
    said = done.stderr.decode().replace(f"{files}/", "")
    assert (done.returncode, message in said) == (2, True), said
    assert not (files / "out2.html").exists()
    assert "Traceback" not in said
    assert "of nobody" not in said
