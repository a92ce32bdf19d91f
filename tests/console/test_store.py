"""Whatever the order in which topics are read, the same cases stand in the database."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from detector.console.database import Database
from detector.console.intake import read_account, read_flag, read_note, read_verdict_record
from detector.console.model import QueueFilter
from detector.console.queries import Queries
from detector.console.schema import cases, decisions, flags, leads
from detector.console.store import Batch, Store, summed
from detector.runtime.ports import Stop
from tests.console.stack import flag

DAY_MS = 86_400_000
NOW_MS = 10_000


class Record(NamedTuple):
    value: bytes | None
    timestamp: int
    headers: Sequence[tuple[str, bytes]] = ()
    offset: int = 0
    key: bytes | None = None


def a_flag(at_ms: int, number: int, **changes: Any) -> tuple[str, Any]:
    return "flags", read_flag(Record(orjson.dumps(flag(number, **changes)), at_ms))


def a_verdict(at_ms: int, number: int, judgement: str, headers: Any = ()) -> tuple[str, Any]:
    record = {"flag_id": f"f_{number:032x}", "verdict": judgement, "kind": "binge",
              "reviewer": "lin", "decided_at": 1_772_380_802_272 + at_ms}  # fmt: skip
    return "decisions", read_verdict_record(Record(orjson.dumps(record), at_ms, list(headers)))


def a_note(at_ms: int, case: int, act: str, **more: Any) -> tuple[str, Any]:
    record = {"case_id": f"c_{case:032x}", "act": act, "by": "wu", "at": 1_772_380_802_272, **more}
    return "decisions", read_note(Record(orjson.dumps(record), at_ms))


STORY = [
    a_flag(100, 1, severity="low"),
    a_flag(200, 2),
    a_flag(300, 3, case=1, severity="medium"),
    a_verdict(400, 3, "false_positive"),
    a_verdict(410, 2, "confirmed"),
    a_verdict(420, 2, "unclear", [("undo", b"1")]),
    a_flag(500, 4, case=1, severity="high"),
    a_flag(600, 5),
    a_note(610, 5, "snooze", until=2_000_000_000_000),
    a_note(620, 5, "hand_over", to="lin"),
    a_flag(700, 6),
    a_verdict(710, 6, "unclear"),
    a_verdict(800, 4, "confirmed"),
]
STANDING = {1: "confirmed", 2: "open", 5: "snoozed", 6: "open"}


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'console.db'}"
    else:
        url = request.getfixturevalue("postgresql").new_database()
    opened = Database(url)
    yield opened
    opened.close()


def enter(database: Database, *parts: list[tuple[str, Any]]) -> Store:
    store = Store(database, 30 * DAY_MS, 90 * DAY_MS)
    for part in parts:
        batch = Batch()
        for kind, record in part:
            assert record is not None
            getattr(batch, kind).append(record)
        store.apply(batch, NOW_MS)
    return store


def tables(database: Database) -> list[Any]:
    with database.engine.connect() as at:
        return [
            at.execute(select(table).order_by(next(iter(table.primary_key)))).all()
            for table in (cases, flags, decisions, leads)
        ]


@settings(max_examples=25)
@given(order=st.permutations(STORY), cuts=st.lists(st.integers(0, len(STORY)), max_size=3))
def test_the_order_of_reading_and_where_it_is_cut_make_no_difference(
    order: list[tuple[str, Any]], cuts: list[int]
) -> None:
    whole, cut = Database("sqlite://"), Database("sqlite://")
    enter(whole, STORY)
    ends = [0, *sorted(cuts), len(order)]
    enter(cut, *(order[first:last] for first, last in pairwise(ends)))
    assert tables(cut) == tables(whole)
    whole.close()
    cut.close()


def test_what_is_read_a_second_time_changes_nothing(database: Database) -> None:
    enter(database, STORY)
    once = tables(database)
    enter(database, STORY[:7], STORY)
    assert tables(database) == once


def test_cases_stand_where_reviewers_left_them_unless_they_became_graver(
    database: Database,
) -> None:
    enter(database, STORY)
    with database.engine.connect() as at:
        rows = {row.case_id: row for row in at.execute(select(cases))}
    assert {int(key[2:], 16): row.state for key, row in rows.items()} == STANDING
    assert [row.is_unclear for row in rows.values()] == [False, False, False, True]
    assert rows[f"c_{5:032x}"].owner == "lin"
    enter(database, STORY, [a_flag(900, 7, case=1, severity="high")])
    assert Queries(database, 10).case(f"c_{1:032x}")[0].state == "confirmed"  # no graver: no news
    enter(database, [a_flag(910, 8, case=5, severity="high")])
    assert Queries(database, 10).case(f"c_{5:032x}")[0].state == "open"


def test_the_gravest_and_newest_flag_speaks_for_its_case(database: Database) -> None:
    enter(
        database,
        [
            a_flag(1, 1),
            a_flag(3, 2, case=1, severity="high"),
            a_flag(4, 3, case=1, severity="low"),
            a_flag(2, 4, case=1, severity="high"),
        ],
    )
    row, _ = Queries(database, 10).case(f"c_{1:032x}")  # type: ignore[misc]
    assert (row.flag_id, row.severity, row.flags) == (f"f_{2:032x}", "high", 4)


def test_the_queue_is_worst_first_and_each_filter_lets_through_what_it_names(
    database: Database,
) -> None:
    enter(database, [
        a_flag(1, 1, severity="low"), a_flag(2, 2, score=0.7), a_flag(3, 3, score=0.9),
        a_flag(4, 4, kind="ring", severity="high"),
        a_flag(5, 5, detector={"version": "0", "shadow": True}), a_flag(6, 6, paged=False),
        a_verdict(7, 6, "confirmed"),
    ])  # fmt: skip
    queries = Queries(database, 3)

    def found(**asked: Any) -> list[int]:
        rows, total, _ = queries.queue(QueueFilter(**asked), "lin", 0)
        assert total >= len(rows)
        return [int(row.case_id[2:], 16) for row in rows]

    assert found() == [4, 3, 2]
    assert found(page=2) == [1]
    assert found(kind="ring") == found(severity="high") == found(streamer="u4") == [4]
    assert found(tipper="u2") == found(tipper="u2", streamer="u9") == [2]
    assert found(is_shadow=True) == [5]
    assert found(state="closed") == [6]
    assert found(since_ms=1_772_380_802_275) == [4, 3]
    assert found(until_ms=1_772_380_802_275) == [2, 1]
    row, _ = queries.case(f"c_{3:032x}")  # type: ignore[misc]
    assert [int(each[2:], 16) for each in queries.neighbours(row)] == [4, 2]
    with database.engine.connect() as at:
        assert (
            sum(count for count, _ in summed(at).values())
            == queries.queue(QueueFilter(), "lin", 0)[1]
        )


def test_what_is_new_is_told_from_what_was_seen(database: Database) -> None:
    enter(database, [a_flag(1, 1), a_flag(5, 2)])
    rows, _, new = Queries(database, 10).queue(QueueFilter(), "lin", seen_ms=3)
    assert (new, {row.is_new for row in rows if row.case_id == f"c_{2:032x}"}) == (1, {True})


def test_time_ends_snoozes_lets_cases_expire_and_forgets_them(database: Database) -> None:
    store = enter(database, STORY)

    def states(now_ms: int) -> dict[int, str]:
        store.sweep(now_ms)
        with database.engine.connect() as at:
            return {int(row.case_id[2:], 16): row.state for row in at.execute(select(cases))}

    assert states(30 * DAY_MS) == STANDING
    assert states(30 * DAY_MS + 450)[2] == "expired"
    assert states(31 * DAY_MS) == {**STANDING, 2: "expired", 5: "expired", 6: "expired"}
    enter(database, [a_flag(31 * DAY_MS, 9, case=2, severity="low")])
    assert states(31 * DAY_MS)[2] == "open"
    assert states(91 * DAY_MS) == {2: "expired"}
    assert [len(table) for table in tables(database)] == [1, 2, 2, 1]


def test_records_that_are_none_of_ours_are_passed_over() -> None:
    broken = [b"", b"[]", b"{}", b"\xff", b'{"subject": 1}', None]
    for read in (read_flag, read_verdict_record, read_note, read_account):
        assert [read(Record(value, 1)) for value in broken] == [None] * len(broken)  # type: ignore[operator]
    whole = flag(1)
    for key in ("flag_id", "case_id", "kind", "severity", "subject", "reasons", "detector"):
        assert read_flag(Record(orjson.dumps({**whole, key: 3}), 1)) is None
    del whole["reasons"][0]["limit"]
    assert read_flag(Record(orjson.dumps(whole), 1)) is None


def test_a_database_file_is_nobody_elses_to_read(tmp_path: Path) -> None:
    file = tmp_path / "console.db"
    Database(f"sqlite:///{file}").close()
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_url_that_leads_nowhere_is_told_without_its_password() -> None:
    with pytest.raises(Stop, match=r"console\.database: .*No such file"):
        Database("sqlite:////nowhere/at/all.db")
    for url in ("hunter2", "postgresql+psycopg://lin:hunter2@127.0.0.1:1/console"):
        with pytest.raises(Stop, match=r"console\.database: ") as told:
            Database(url)
        assert "hunter2" not in str(told.value)
