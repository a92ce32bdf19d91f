"""Engines for tests: the shipped settings and packs, with what a test wants changed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from detector.core.engine import VIEWS, Engine
from detector.core.event_reader import EventLimits, EventReader
from detector.core.money import Currencies
from detector.core.policy import Policy, parse_policy
from detector.settings import Settings, load_settings

ROOT = Path(__file__).resolve().parent.parent
POLICIES = ROOT / "config" / "policies"
PACKS = ("cn", "kr", "generic")

RECEIVED_MS = 4_102_444_800_000  # 2100-01-01T00:00:00Z: later than any event of a test

_ZONES = {"cn": "Asia/Shanghai", "kr": "Asia/Seoul", "generic": "UTC"}

_CURRENCIES = {
    "cn": Currencies("CNY", {"CNY": ("1", 2), "KRW": ("0.005", 0), "USD": ("7", 2)}),
    "kr": Currencies("KRW", {"CNY": ("200", 2), "KRW": ("1", 0), "USD": ("1400", 2)}),
    "generic": Currencies("USD", {"CNY": ("0.14", 2), "KRW": ("0.0007", 0), "USD": ("1", 2)}),
}


def currencies(pack: str = "cn") -> Currencies:
    """CNY, KRW and USD at round rates; the pack's own currency is the base."""
    return _CURRENCIES[pack]


def policy(pack: str = "cn") -> Policy:
    """A shipped pack."""
    where = POLICIES / f"{pack}.toml"
    return parse_policy(where.read_text("utf-8"), str(where.relative_to(ROOT)), currencies(pack))


def settings() -> Settings:
    """The shipped settings, whatever the environment says."""
    return load_settings(None, ROOT / "config" / "detector.toml", environment={})


def engine(
    pack: str = "cn", views: frozenset[str] = VIEWS, dedupe: bool = True, **changes: Any
) -> tuple[Engine, EventReader]:
    """A fresh engine, and a reader of canonical events.

    Args:
        pack: a shipped pack; days and hours are local to its country, its currency is the base.
        views, dedupe: as `Engine` has them.
        changes: fields of `EngineConfig` that differ from the shipped settings.

    >>> tips, reader = engine("cn", case_cool_down_ms=0)
    >>> record = {"event_id": "e1", "event_time": 1772380802272, "tipper_id": "t1",
    ...           "streamer_id": "s1", "amount": "1", "currency": "CNY", "tipper_age": 12}
    >>> [flag.kind for flag in tips.process(reader.read(record, RECEIVED_MS)).flags]
    ['minor']
    """
    config = replace(settings().make_engine_config(), **{"zone": _ZONES[pack], **changes})
    rates = currencies(pack)
    made = Engine(config, policy(pack), rates, views, dedupe)
    return made, EventReader(rates, EventLimits(), settings().make_lexicon())
