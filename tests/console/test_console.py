"""`tip-detector console` against a real Apache Kafka: what reviewers do, and what befalls it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import orjson
import pytest

from detector.console.access import user_entry
from tests.console.stack import Browser, Console, flag, write
from tests.integration.test_run import until
from tests.kafka_node import KafkaNode

pytestmark = pytest.mark.kafka

FLAGS = [
    flag(1, severity="low"), flag(2), flag(3, kind="ring", severity="high"),
    flag(4, case=2, severity="high"), flag(5, kind="minor", severity="high"), flag(6), flag(7),
    flag(8), flag(9), flag(10, detector={"version": "0", "shadow": True}),
]  # fmt: skip
TIPS = [
    {"event_id": f"e{number}", "event_time": 1_772_380_802_272 + number, "tipper_id": "u2",
     "streamer_id": "s1", "amount": "12.5", "currency": "CNY", "message": "hello <b>"}
    for number in range(1, 21)
]  # fmt: skip


@pytest.fixture(scope="module")
def prefix(kafka: KafkaNode) -> str:
    """Topics with flags, tips and an account."""
    prefix = "console-of-test"
    for topic in ("flags", "tips", "accounts"):
        kafka.create_topic(f"{prefix}-{topic}", 2)
    write(kafka, f"{prefix}-flags", FLAGS)
    write(kafka, f"{prefix}-tips", TIPS)
    account = {
        "subject": {"type": "tipper", "id": "u2"}, "score": 94, "tier": "B", "is_top": False,
        "attention": "normal", "since": 1_772_380_802_272, "updated_at": 1_772_380_802_272,
        "reasons": [], "version": "0",
    }  # fmt: skip
    write(kafka, f"{prefix}-accounts", [account])
    return prefix


@pytest.fixture(scope="module")
def users(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("users") / "users.toml"
    names = {"lin": "reviewer", "wu": "reviewer", "reader": "reader"}
    entries = (user_entry(name, role, f"{name} knows it")[0] for name, role in names.items())
    file.write_text("\n".join(entries))
    return file


@pytest.fixture(scope="module")
def console(
    kafka: KafkaNode, prefix: str, users: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Console]:
    folder = tmp_path_factory.mktemp("console")
    settings = {"CONSOLE__ACCESS": "users", "CONSOLE__USERS_FILE": str(users)}
    with Console(folder, kafka.bootstrap, prefix, **settings) as running:
        running.wait_ready()
        yield running


@pytest.fixture
def lin(console: Console) -> Browser:
    return Browser(console, "lin:lin knows it")


@pytest.fixture
def wu(console: Console) -> Browser:
    return Browser(console, "wu:wu knows it")


def verdicts(kafka: KafkaNode, prefix: str) -> list[dict[str, Any]]:
    return [orjson.loads(each.value) for each in kafka.read_all(f"{prefix}-verdicts", 10)]


def test_nobody_gets_in_without_a_password_and_probes_need_none(console: Console) -> None:
    for login in ("", "lin:wrong", "nobody:x"):
        browser = Browser(console, login)
        for path in ("/", "/cases/c_1", "/queue.json", "/changes"):
            assert browser.ask(path)[0] == 401
        assert browser.headers["WWW-Authenticate"].startswith("Basic")
        assert browser.ask(f"/cases/c_{1:032x}/decide", {"act": "confirmed"})[0] == 401
        assert [browser.ask(path)[0] for path in ("/metrics", "/healthz", "/readyz")] == [200] * 3
    assert console.metric("console_refused_logins_total") == 10


def test_every_answer_forbids_what_is_not_ours(lin: Browser) -> None:
    for path in ("/", f"/cases/c_{1:032x}", "/cases/none", "/metrics", "/static/none"):
        lin.ask(path)
        policy = lin.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert lin.headers["X-Content-Type-Options"] == "nosniff"
        assert lin.headers["Cache-Control"] == "no-store"


def test_the_queue_counts_as_the_metrics_do(console: Console, lin: Browser) -> None:
    queue = lin.json("/queue.json")
    assert queue["rows"][0]["severity"] == "high"
    for key, count in queue["counts"].items():
        kind, severity = key.split(",")
        assert console.metric("console_open_cases", kind=kind, severity=severity) == count
    assert sum(queue["counts"].values()) == console.metric("console_open_cases") == queue["total"]
    assert lin.json("/changes")["open"] == queue["total"]
    assert console.metric("console_oldest_open_case_seconds", kind="ring") > 0
    assert console.metric("console_lag_records") == 0


def test_a_verdict_is_in_kafka_before_the_page_says_so(
    console: Console, kafka: KafkaNode, prefix: str, lin: Browser
) -> None:
    before = console.metric("console_decisions_total", verdict="confirmed")
    status, _ = lin.do(2, "decide", act="confirmed", note="two sessions")
    assert (status, lin.headers["Location"]) == (303, f"/cases/c_{2:032x}")
    written = verdicts(kafka, prefix)[-1]
    assert written == {
        "flag_id": f"f_{4:032x}", "event_id": "e4", "verdict": "confirmed", "kind": "binge",
        "reviewer": "lin", "decided_at": written["decided_at"],
        "features": {"value_minor": 520_000.0}, "note": "two sessions",
    }  # fmt: skip
    case = lin.case(2)
    assert case["row"]["state"] == "confirmed"
    assert case["decisions"][0]["note"] == "two sessions"
    assert case["account"]["tier"] == "B"
    assert [each["event_id"] for each in case["flags"]] == ["e4", "e2"]
    assert console.metric("console_decisions_total", verdict="confirmed") == before + 1


def test_an_undo_takes_back_the_own_last_verdict_and_nobody_elses(
    kafka: KafkaNode, prefix: str, lin: Browser, wu: Browser
) -> None:
    assert lin.do(6, "decide", act="false_positive")[0] == 303
    assert wu.do(6, "undo")[0] == 409
    assert lin.case(6)["undo_until_ms"] > time.time() * 1000
    assert wu.case(6)["undo_until_ms"] is None
    assert lin.do(6, "undo")[0] == 303
    assert lin.do(6, "undo")[0] == 409
    case = lin.case(6)
    assert (case["row"]["state"], case["row"]["is_unclear"]) == ("open", False)
    assert [each["is_undone"] for each in case["decisions"]] == [False, True]
    assert [each["verdict"] for each in verdicts(kafka, prefix)
            if each["flag_id"] == f"f_{6:032x}"] == ["false_positive", "unclear"]  # fmt: skip


def test_of_two_reviewers_at_once_one_decides_and_the_other_is_told(
    kafka: KafkaNode, prefix: str, lin: Browser, wu: Browser
) -> None:
    version, together = lin.case(7)["row"]["version"], threading.Barrier(2)

    def decide(browser: Browser, act: str) -> int:
        form = {"csrf": browser.csrf, "version": version, "act": act}
        together.wait(10)
        return browser.ask(f"/cases/c_{7:032x}/decide", form)[0]

    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(decide, (lin, wu), ("confirmed", "false_positive")))
    assert sorted(answers) == [303, 409]
    assert len(lin.case(7)["decisions"]) == 1


def test_a_case_that_got_worse_since_it_was_looked_at_is_not_decided_unseen(
    kafka: KafkaNode, prefix: str, lin: Browser
) -> None:
    version = lin.case(8)["row"]["version"]
    write(kafka, f"{prefix}-flags", [flag(80, case=8, severity="high")])
    until(lambda: lin.case(8)["row"]["severity"] == "high")
    assert lin.do(8, "decide", version=version, act="confirmed")[0] == 409
    assert lin.case(8)["row"]["state"] == "open"
    assert lin.do(8, "decide", act="confirmed")[0] == 303


def test_a_verdict_from_elsewhere_settles_its_case(
    kafka: KafkaNode, prefix: str, lin: Browser
) -> None:
    record = {"flag_id": f"f_{1:032x}", "verdict": "false_positive", "kind": "binge",
              "reviewer": "a program", "decided_at": int(time.time() * 1000)}  # fmt: skip
    write(kafka, f"{prefix}-verdicts", [record])
    until(lambda: lin.case(1)["row"]["state"] == "false_positive")
    assert lin.case(1)["decisions"][0]["by"] == "a program"


def test_snoozes_end_and_cases_change_hands(lin: Browser, wu: Browser) -> None:
    assert lin.do(9, "snooze", hours=2, note="ask again")[0] == 303
    row = lin.case(9)["row"]
    assert row["state"] == "snoozed"
    assert 7_100_000 < row["until_ms"] - time.time() * 1000 < 7_200_000
    assert lin.do(9, "wake")[0] == 303
    assert lin.do(9, "hand-over", to="wu")[0] == 303
    assert [each["case_id"] for each in wu.json("/queue.json?state=mine")["rows"]] == [
        f"c_{9:032x}"
    ]
    assert lin.json("/queue.json?state=mine")["total"] == 0
    assert lin.do(9, "snooze", hours=0)[0] == lin.do(9, "snooze", hours=721)[0] == 400
    assert lin.do(9, "hand-over", to="")[0] == lin.do(9, "decide", act="guilty")[0] == 400
    assert lin.do(9, "decide", act="confirmed", note="x" * 1001)[0] == 400
    assert lin.do(9, "decide", act="confirmed", note="x" * 20_000)[0] == 400


def test_forged_forms_readers_and_trials_are_refused(
    console: Console, lin: Browser, wu: Browser
) -> None:
    version = lin.case(3)["row"]["version"]
    forged = {"version": version, "act": "confirmed"}
    decide = f"/cases/c_{3:032x}/decide"
    assert lin.ask(decide, forged)[0] == 403
    assert lin.ask(decide, {**forged, "csrf": wu.csrf})[0] == 403
    other_site = {"Sec-Fetch-Site": "cross-site"}
    assert lin.ask(decide, {**forged, "csrf": lin.csrf}, other_site)[0] == 403
    reader = Browser(console, "reader:reader knows it")
    assert reader.do(3, "decide", act="confirmed")[0] == 403
    assert not reader.case(3)["can_decide"]
    assert lin.do(10, "decide", act="confirmed")[0] == 400
    assert lin.case(3)["decisions"] == []


def test_what_makes_no_sense_is_told_so(lin: Browser) -> None:
    assert lin.ask("/cases/none")[0] == 404
    for query in ("kind=x", "severity=x", "state=x", "since=yesterday", "page=0", "page=x"):
        assert lin.ask(f"/?{query}")[0] == 400
    assert lin.ask("/seen", {"csrf": lin.csrf, "back": "https://elsewhere.example"})[0] == 303
    assert lin.headers["Location"] == "/"
    assert lin.json("/queue.json")["new"] == 0


def test_evidence_is_read_from_the_tips_and_leaves_the_house_under_pseudonyms(
    console: Console, lin: Browser
) -> None:
    status, page = lin.ask(f"/cases/c_{2:032x}/evidence")
    assert status == 200
    assert "12.5" in page
    path = f"/cases/c_{2:032x}/export.json?channel=refund"
    document = lin.json(f"{path}&lang=zh")
    assert document["finding"] == "案件"
    assert len(document["orders"]) == 20
    assert document["orders"][0]["value"] == 12.5
    text = orjson.dumps(document)
    for id_ in (b'"u2"', b'"s1"', b'"e4"', b"hello", b'"lin"', b"two sessions"):
        assert id_ not in text
    reader = Browser(console, "reader:reader knows it")
    assert reader.ask(f"{path}&ids=full")[0] == 403
    whole = lin.json(f"{path}&ids=full")
    assert whole["subject"]["id"] == "u2"
    assert whole["orders"][0]["message"] == "hello <b>"
    assert lin.ask(f"/cases/c_{2:032x}/export?channel=x")[0] == 400


def test_a_database_that_is_deleted_is_made_again_with_the_same_cases_and_verdicts(
    console: Console, lin: Browser
) -> None:
    def shown() -> Any:
        queue = lin.json("/queue.json?state=all")
        cases = [lin.json(f"/cases/{row['case_id']}.json") for row in queue["rows"]]
        for each in cases:
            each["undo_until_ms"] = None
        return cases

    before = shown()
    assert len(before) == 8
    assert {row["row"]["state"] for row in before} >= {"open", "confirmed", "false_positive"}
    for file in console.database.parent.glob(f"{console.database.name}*"):
        file.unlink()
    until(lambda: console.metric("console_rebuilds_total") == 2)  # the first was its start
    console.wait_ready()
    assert shown() == before
    lines = console.log.read_text()
    code, took_s = console.terminate()
    assert (code, took_s < 10) == (0, True)
    console.start().wait_ready()  # from the database as it is
    assert shown() == before
    assert console.metric("console_rebuilds_total") == 0
    assert "audit: lin did confirmed to c_" in lines
    assert not [each for each in ("u2", "s1", "knows it") if each in lines]


def test_a_topic_that_is_made_anew_is_read_from_its_start_and_loses_no_case(
    console: Console, kafka: KafkaNode, prefix: str, lin: Browser
) -> None:
    with kafka._admin() as admin:
        admin.delete_topics([f"{prefix}-flags"])
        until(lambda: f"{prefix}-flags" not in admin.list_topics())
    kafka.create_topic(f"{prefix}-flags", 2)
    write(kafka, f"{prefix}-flags", [flag(100)])
    until(lambda: lin.ask(f"/cases/c_{100:032x}.json")[0] == 200)
    assert lin.json("/queue.json?state=all")["total"] == 9
    until(lambda: console.metric("console_rebuilds_total") >= 1)
