"""The console on a real PostgreSQL, which is stricter than SQLite about what a text may hold."""

from __future__ import annotations

import random
from pathlib import Path

import psycopg
import pytest

from tests.console.postgresql import PostgreSQL
from tests.console.stack import Browser, Console, flag, write
from tests.integration.test_run import until
from tests.kafka_node import KafkaNode

pytestmark = pytest.mark.kafka

PREFIX = "console-on-postgresql"
DRAWN = random.Random(1)
WORST_ID = "".join(chr(DRAWN.randrange(0x20000, 0x2A6DF)) for _ in range(1_000))
"""As long as an id may be, each character four bytes, and not to be made any shorter."""


def test_cases_of_any_subject_are_shown_decided_and_there_again_after_the_server_was(
    kafka: KafkaNode, postgresql: PostgreSQL, tmp_path: Path
) -> None:
    kafka.create_topic(f"{PREFIX}-flags")
    subjects = ("u1", WORST_ID, "nul \0 inside")
    kafka.create_topic(f"{PREFIX}-accounts")
    account = {"score": 94, "tier": "B", "is_top": False, "attention": "normal", "reasons": [],
               "since": 1_772_380_802_272, "updated_at": 1_772_380_802_272}  # fmt: skip
    write(kafka, f"{PREFIX}-accounts", [{"subject": {"type": "tipper", "id": WORST_ID}, **account}])
    write(kafka, f"{PREFIX}-flags", [
        flag(number, subject={"type": "tipper", "id": subject})
        for number, subject in enumerate(subjects, start=1)
    ])  # fmt: skip
    url = postgresql.new_database()
    with Console(tmp_path, kafka.bootstrap, PREFIX, CONSOLE__DATABASE=url) as console:
        console.wait_ready()
        lin = Browser(console)
        assert lin.json("/queue.json")["total"] == len(subjects)
        assert lin.do(2, "decide", act="confirmed", note="seen \0 twice")[0] == 303
        assert lin.case(2)["row"]["subject_id"] == WORST_ID[:600]
        assert lin.case(2)["decisions"][0]["note"] == "seen � twice"
        assert lin.case(2)["account"]["tier"] == "B"
        assert lin.ask("/?tipper=%00")[0] == 200
        assert lin.ask("/cases/%00")[0] == 404
        with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as at:
            at.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE pid <> pg_backend_pid() AND datname = current_database()"
            )
        write(kafka, f"{PREFIX}-flags", [flag(4)])
        until(lambda: lin.json("/queue.json")["total"] == 3)
        assert console.metric("console_rebuilds_total") == 1  # its first start
