"""What a tip can tell of the recharges before it."""

from __future__ import annotations

import pytest

from detector.core.event import Event
from detector.core.features import Features, Moment, compute
from detector.core.memory import advance, recharge
from detector.core.population import Population
from detector.core.tipper import NEW_TIPPER, WEEK_MS, TipperStats, pack, unpack

START_MS = 1_772_424_000_000


def event(kind: str, at_ms: int, value: int, holder: str | None = None) -> Event:
    made = Event()
    made.type, made.tipper_id, made.streamer_id = kind, "t", "s"
    made.event_time_ms, made.value_minor, made.instrument_holder = at_ms, value, holder
    return made


class Account:
    """One tipper's stats, by way of their packed form as in the view."""

    def __init__(self) -> None:
        self.stats: TipperStats = NEW_TIPPER

    def recharge(self, after_s: float, value: int, holder: str | None = None) -> None:
        tipper = unpack(pack(self.stats))
        recharged = event("recharge", START_MS + round(after_s * 1000), value, holder)
        recharge(tipper, recharged, Moment(20_000, 60, 24_000, False))
        self.stats = unpack(pack(tipper))

    def tip(self, after_s: float, value: int) -> Features:
        at_ms = START_MS + round(after_s * 1000)
        features = compute(
            event("tip", at_ms, value), Moment(20_000, 60, 24_000, False), self.stats, Population()
        )
        self.stats = unpack(pack(advance(features)))
        return features


def test_an_account_that_never_recharged_has_no_time_since_it() -> None:
    f = Account().tip(0, 100)
    assert f.since_recharge_s is None
    assert (f.session_recharges, f.recharges_week, f.recharged_week) == (0, 0.0, 0.0)


def test_a_session_counts_the_recharges_that_led_to_it_and_those_within_it() -> None:
    account = Account()
    account.recharge(0, 500)
    account.recharge(5, 500)
    assert account.tip(8, 900).session_recharges == 2
    account.recharge(20, 500)
    f = account.tip(22, 500)
    assert (f.session_recharges, f.since_recharge_s) == (3, 2.0)


def test_a_recharge_of_long_ago_is_none_of_the_session() -> None:
    account = Account()
    account.tip(0, 100)
    account.recharge(60, 500)
    f = account.tip(4 * 3600, 100)
    assert (f.session_recharges, f.since_recharge_s) == (0, 4 * 3600 - 60)


def test_recharges_of_a_week_ago_count_for_a_share_and_so_do_those_of_another_holder() -> None:
    account = Account()
    account.recharge(0, 1000, "other")
    account.recharge(WEEK_MS / 1000, 1000, "self")
    f = account.tip(WEEK_MS / 1000, 100)
    assert f.recharges_week == pytest.approx(1.3679, abs=1e-4)
    assert f.recharged_week == pytest.approx(1367.9, abs=0.1)
    assert f.other_recharges_week == pytest.approx(0.3679, abs=1e-4)


def test_a_recharge_out_of_order_counts_for_less_and_leaves_the_last_one_in_its_place() -> None:
    account = Account()
    account.recharge(WEEK_MS / 1000, 1000)
    account.recharge(0, 1000)
    f = account.tip(WEEK_MS / 1000 + 7, 100)
    assert f.since_recharge_s == 7
    assert f.recharges_week == pytest.approx(1.3679, abs=1e-3)


def test_tips_spend_what_was_recharged_and_never_more() -> None:
    account = Account()
    account.recharge(0, 1000)
    account.tip(1, 400)
    assert account.stats.balance == 600
    account.tip(2, 900)
    assert account.stats.balance == 0
