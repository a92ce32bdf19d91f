"""What a reviewer meets while Kafka is away, and after it is back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from tests.console.stack import Browser, Console, flag, write
from tests.integration.test_run import until
from tests.kafka_node import KafkaNode

pytestmark = pytest.mark.kafka

PREFIX = "away"


def test_while_kafka_is_away_nothing_is_decided_and_afterwards_all_is_decided_once(
    tmp_path: Path,
) -> None:
    with KafkaNode(tmp_path / "node") as node:
        node.create_topic(f"{PREFIX}-flags")
        write(node, f"{PREFIX}-flags", [flag(1), flag(2)])
        with Console(tmp_path, node.bootstrap, PREFIX) as console:
            console.wait_ready()
            lin = Browser(console)

            def decide_while(
                case: int, leave: Callable[[], None], back: Callable[[], None]
            ) -> None:
                form = {"csrf": lin.csrf, "version": lin.case(case)["row"]["version"],
                        "act": "confirmed"}  # fmt: skip
                path = f"/cases/c_{case:032x}/decide"
                leave()
                status, page = lin.ask(path, form)
                assert status == 503, page
                assert "Kafka does not answer: nothing was done" in page
                assert "Nothing was decided" in page
                assert lin.case(case)["row"]["state"] == "open"
                back()
                until(lambda: lin.ask(path, form)[0] == 303)
                assert lin.case(case)["row"]["state"] == "confirmed"
                assert lin.ask(path, form)[0] == 409

            decide_while(1, node.pause, node.resume)
            decide_while(2, node.stop, node.start)
        verdicts = [orjson.loads(each.value) for each in node.read_all(f"{PREFIX}-verdicts", 10)]
        assert sorted(each["flag_id"] for each in verdicts) == [f"f_{1:032x}", f"f_{2:032x}"]
