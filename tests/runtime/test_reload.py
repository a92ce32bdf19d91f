"""Other rules while the loop runs, on a Kafka in memory: what is judged by which, and what a crash
right after it leaves."""

from __future__ import annotations

import logging
from typing import Any

import orjson
import pytest

from detector.assembly import Assembly
from detector.core.cases import Snooze, case_key
from detector.runtime import checkpoint
from detector.runtime.reload import PATIENCE_S
from tests import engines
from tests.runtime.fake_kafka import Broker
from tests.runtime.fake_ports import Instance, make_broker
from tests.runtime.test_worker import (
    ZERO,
    another,
    assembly,
    flagged,
    letters,
    minor_tip,
    produce,
    running,
    saved,
)


def changed(section: str, **values: Any) -> Assembly:
    settings = engines.settings()
    one = getattr(settings, section).model_copy(update=values)
    return Assembly(settings.model_copy(update={section: one}))


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Assembly:
    """The same rules from another file: only the hash differs."""
    pack = tmp_path_factory.mktemp("pack") / "mine.toml"
    pack.write_text((engines.POLICIES / "cn.toml").read_text("utf-8") + "\n# mine\n", "utf-8")
    return changed("policy", pack=str(pack))


def hashes(broker: Broker) -> list[str]:
    records = [orjson.loads(each.value or b"") for each in broker.all("tip-flags")]
    return [record["policy"]["hash"] for record in records]


def without_hash(broker: Broker) -> list[dict[str, Any]]:
    records = [orjson.loads(each.value or b"") for each in broker.all("tip-flags")]
    return [{**record, "policy": None} for record in records]


def test_flags_tell_the_pack_that_judged_them_and_are_otherwise_those_of_an_undisturbed_run(
    other: Assembly,
) -> None:
    broker, one = running()
    produce(broker, *range(5))
    one.turn()
    one.reloads.offer(other)
    produce(broker, *range(5, 8))
    one.turn()  # judged before the commit that the change follows
    produce(broker, *range(8, 12))
    one.turn()
    old, new = assembly().policy.digest, other.policy.digest
    assert old != new
    assert hashes(broker) == [old] * 8 + [new] * 4
    assert one.reloads.in_force is other
    undisturbed, two = running()
    produce(undisturbed, *range(12))
    two.turn()
    assert without_hash(broker) == without_hash(undisturbed)


def test_a_crash_right_after_a_change_replays_nothing_under_the_new_rules(
    other: Assembly,
) -> None:
    broker, one = running(save_every=1_000)
    produce(broker, *range(5))
    one.turn()
    assert saved(broker).next_offset == 0
    one.reloads.offer(other)
    produce(broker, 5)
    one.turn()
    assert saved(broker).next_offset == 6
    two = Instance(other, broker, "two")
    broker.assign([ZERO], "two")
    produce(broker, 6)
    two.turn(2)
    assert two.sample("replayed_total") == 0
    assert hashes(broker) == [assembly().policy.digest] * 6 + [other.policy.digest]


def test_a_change_waits_for_a_save_of_several_commits_but_not_for_ever(
    other: Assembly, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    broker, one = running(save_every=1_000)
    monkeypatch.setattr(checkpoint, "SLICE_BYTES", 1)
    one.reloads.offer(other)
    produce(broker, 1)
    one.turn()  # the save is begun
    produce(broker, 2)
    one.turn()
    assert one.reloads.in_force is not other
    with caplog.at_level(logging.WARNING):
        for number in range(3, 200):
            produce(broker, number)  # so that no save is ever of all that was read
            one.turn()
            if one.reloads.in_force is other:
                break
    assert one.reloads.in_force is other
    assert "before the state of 1 partitions is saved" in caplog.text


def test_a_change_waits_for_the_end_of_a_replay(other: Assembly) -> None:
    broker, one = running(save_every=1_000)
    produce(broker, *range(20))
    one.turn()
    two = another(broker)
    two.source.most = 5
    two.reloads.offer(other)
    two.turn(2)
    two.clock.s += 2 * PATIENCE_S
    two.turn()
    assert two.worker.owned[ZERO].is_replaying
    assert two.reloads.in_force is not other
    two.turn(4)
    assert two.reloads.in_force is other
    assert len(flagged(broker)) == 20


def test_a_change_comes_about_while_nothing_is_read_and_while_nothing_is_owned(
    other: Assembly,
) -> None:
    _, one = running()
    one.reloads.offer(other)
    one.turn()
    assert one.reloads.in_force is other
    two = Instance(assembly(), make_broker(assembly()), "two")
    two.reloads.offer(other)
    two.turn()
    assert two.reloads.in_force is other


def test_an_aborted_commit_is_done_again_under_the_new_rules_and_its_flags_count_once(
    other: Assembly,
) -> None:
    broker, one = running()
    one.reloads.offer(other)
    produce(broker, 1, 2)
    one.sink.fates = ["aborted"]
    one.turn(3)
    assert one.reloads.in_force is other
    assert flagged(broker) == ["e1", "e2"]


def test_the_next_record_is_decoded_with_the_new_rates_and_dead_letters_tell_the_new_pack(
    other: Assembly,
) -> None:
    coins = changed("policy", pack=str(other.policy_file))
    money = engines.settings().currencies
    rates = {**money, "COIN": money["CNY"].model_copy(update={"rate": 1})}
    settings = coins.settings.model_copy(update={"currencies": rates})
    broker, one = running()
    tip = {**orjson.loads(minor_tip(1)), "currency": "COIN"}
    broker.produce(ZERO, orjson.dumps(tip))
    one.turn()
    assert len(letters(broker)) == 1
    one.reloads.offer(Assembly(settings))
    one.turn()
    broker.produce(ZERO, orjson.dumps(tip))
    broker.produce(ZERO, b"no event")
    one.turn()
    assert flagged(broker) == ["e1"]
    policies = [dict(each.headers)["policy"] for each in letters(broker)]
    assert policies == [
        f"cn@{assembly().policy.digest}".encode(), f"cn@{other.policy.digest}".encode()
    ]  # fmt: skip


def test_a_standing_snooze_silences_from_the_change_on_and_no_longer_than_it_stands() -> None:
    broker, one = running()
    snoozed = Assembly(engines.settings())
    until = Snooze(4_000_000_000_000, 2)
    config = engines.settings().make_engine_config({case_key("minor", "tipper", "t"): until})
    snoozed._engine_config = config
    produce(broker, 1)
    one.turn()
    one.reloads.offer(snoozed)
    one.turn()
    produce(broker, 2)
    one.turn()
    one.reloads.offer(assembly())
    one.turn()
    produce(broker, 3)
    one.turn()
    assert flagged(broker) == ["e1", "e3"]
