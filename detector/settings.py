"""Settings: the shipped defaults, the operator's file and the environment, in that order.

The only place that reads the environment. Strict: unknown keys are refused, and every problem is
reported at once. Defaults stand in `config/detector.toml` and nowhere else.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from detector.core.account import CreditRules
from detector.core.cases import Snooze
from detector.core.engine_config import EngineConfig
from detector.core.event_reader import EventLimits
from detector.core.fusion import Thresholds
from detector.core.learning import LearningConfig
from detector.core.lexicon import Lexicon
from detector.core.money import Currencies
from detector.core.problems import Problems, describe
from detector.core.weights import Budget
from detector.setting_sections import (
    AlertmanagerSettings,
    BreakerSettings,
    CanarySettings,
    CasesSettings,
    CheckpointSettings,
    CommitSettings,
    ConsoleSettings,
    CreditSettings,
    CurrencySettings,
    EngineSettings,
    HttpSettings,
    InputSettings,
    KafkaSettings,
    LearningSettings,
    LogSettings,
    MergeSettings,
    MoneySettings,
    PolicySettings,
    PseudonymsSettings,
    ReadySettings,
    ReloadSettings,
    RetentionSettings,
    SchoolSettings,
    ScoredKind,
    Section,
    ShadowSettings,
    SnoozesSettings,
    ThresholdSettings,
    TopicSettings,
    WordSettings,
)

ENVIRONMENT_PREFIX = "TIP_DETECTOR__"
DAY_MS = 86_400_000


class ConfigError(ValueError):
    """Settings that cannot be used; the message has one line a problem."""


class Settings(Section):
    """All settings; `config/detector.toml` says what each means and its unit."""

    delivery: Literal["exactly_once", "at_least_once"]
    kafka: KafkaSettings
    topics: TopicSettings
    retention: RetentionSettings
    input: InputSettings
    money: MoneySettings
    currencies: dict[str, CurrencySettings]
    engine: EngineSettings
    cases: CasesSettings
    credit: CreditSettings
    policy: PolicySettings
    thresholds: dict[ScoredKind, ThresholdSettings]
    shadow: ShadowSettings
    snoozes: SnoozesSettings
    learning: LearningSettings
    words: WordSettings
    school: SchoolSettings
    commit: CommitSettings
    checkpoint: CheckpointSettings
    merge: MergeSettings
    breaker: BreakerSettings
    http: HttpSettings
    ready: ReadySettings
    alertmanager: AlertmanagerSettings
    console: ConsoleSettings
    canary: CanarySettings
    reload: ReloadSettings
    pseudonyms: PseudonymsSettings
    log: LogSettings

    @property
    def rekeyed_topic(self) -> str:
        """The internal topic that feeds the view whose key the tips topic does not have."""
        return self.topics.rekeyed or f"{self.kafka.group_id}-rekeyed"

    @property
    def checkpoints_topic(self) -> str:
        """The internal topic that keeps saved state."""
        return self.topics.checkpoints or f"{self.kafka.group_id}-checkpoints"

    @property
    def console_topic(self) -> str:
        """The internal topic that keeps what reviewers did beside their verdicts."""
        return self.topics.console or f"{self.kafka.group_id}-console"

    def make_currencies(self) -> Currencies:
        """The base currency and the rates to it."""
        rates = {code: (str(each.rate), each.decimals) for code, each in self.currencies.items()}
        return Currencies(self.money.base_currency, rates)

    def make_event_limits(self) -> EventLimits:
        """What an event may be at most."""
        scale = 10 ** self.currencies[self.money.base_currency].decimals
        return EventLimits(
            max_id_chars=self.input.max_id_chars,
            max_text_chars=self.input.max_text_chars,
            max_value_minor=self.input.max_amount * scale,
            max_future_skew_ms=self.input.max_future_skew_s * 1000,
        )

    def make_lexicon(self) -> Lexicon:
        """The words that messages are searched for."""
        return Lexicon(self.words.child, self.words.adult, self.words.bet)

    def make_engine_config(self, snoozes: Mapping[str, Snooze] | None = None) -> EngineConfig:
        """How one partition's engine is set up, with those of the snoozes' file, if any."""
        engine = self.engine
        return EngineConfig(
            zone=engine.zone,
            allowed_lateness_ms=engine.allowed_lateness_s * 1000,
            duplicate_horizon_ms=engine.duplicate_horizon_s * 1000,
            duplicate_max_entries=engine.duplicate_max_entries,
            tipper_idle_ms=engine.tipper_idle_days * DAY_MS,
            tipper_max_entries=engine.tipper_max_entries,
            streamer_idle_ms=engine.streamer_idle_days * DAY_MS,
            streamer_max_entries=engine.streamer_max_entries,
            case_cool_down_ms=engine.case_cool_down_s * 1000,
            case_max_age_ms=self.cases.max_age_days * DAY_MS,
            snooze_ms=self.cases.snooze_days * DAY_MS,
            storm_flags=self.cases.storm_flags,
            storm_window_ms=self.cases.storm_window_s * 1000,
            credit=CreditRules(**self.credit.model_dump()),
            thresholds=self.make_thresholds(),
            school=self.school.times(),
            child_rooms=tuple(self.words.child_rooms),
            perks=tuple(self.words.perks),
            learning=self._make_learning_config(),
            standing_snoozes=snoozes or {},
        )

    def make_thresholds(self) -> dict[str, Thresholds]:
        """Thresholds by kind, as the engine reads them."""
        return {
            kind: Thresholds(each.low, each.medium, each.high)
            for kind, each in self.thresholds.items()
        }

    def _make_learning_config(self) -> LearningConfig:
        learning = self.learning
        return LearningConfig(
            event_max_entries=learning.event_max_entries,
            event_idle_ms=learning.event_idle_days * DAY_MS,
            verdict_max_entries=learning.verdict_max_entries,
            verdict_idle_ms=learning.verdict_idle_days * DAY_MS,
            background_max_entries=learning.background_max_entries,
            report_horizon_ms=learning.report_horizon_days * DAY_MS,
            id_half_life_ms=learning.id_half_life_days * DAY_MS,
            shape_half_life_ms=learning.shape_half_life_days * DAY_MS,
            budget=Budget(
                of_reviewer=learning.reviewer_weight_change,
                of_day=learning.day_weight_change,
                lessons=learning.reviewer_verdicts_a_day,
            ),
        )


def load_settings(
    path: Path | None, defaults: Path, environment: Mapping[str, str] | None = None
) -> Settings:
    """The settings in force.

    Args:
        path: the operator's file; None for the defaults alone.
        defaults: the shipped `detector.toml`.
        environment: variables to read; the process's own when None.

    Raises:
        ConfigError: with every problem, one a line: where, what was found, what is expected.
    """
    where = str(path or defaults)
    written = read_toml(defaults)
    if path is not None:
        merge(written, read_toml(path))
    problems = Problems(where)
    _merge_environment(written, os.environ if environment is None else environment)
    try:
        settings = Settings.model_validate(written)
    except ValidationError as error:
        describe(error, written, problems)
        raise ConfigError(problems.text()) from None
    check_relations(settings, problems)
    if problems:
        raise ConfigError(problems.text())
    return settings


def read_toml(path: Path) -> dict[str, Any]:
    """A settings file as written.

    Raises:
        ConfigError: it cannot be read, or is no TOML.
    """
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not TOML: {error}") from None


def merge(base: dict[str, Any], changes: dict[str, Any]) -> None:
    """Lets `changes` win, key by key; the rest of `base` stays."""
    for key, value in changes.items():
        if isinstance(value, dict) and isinstance(base.get(key), dict):
            merge(base[key], value)
        else:
            base[key] = value


def _merge_environment(written: dict[str, Any], environment: Mapping[str, str]) -> None:
    """Sets `a.b` from TIP_DETECTOR__A__B; names are matched without regard to case."""
    for name in sorted(environment):
        if not name.startswith(ENVIRONMENT_PREFIX):
            continue
        *sections, key = name[len(ENVIRONMENT_PREFIX) :].split("__")
        here: Any = written
        for section in sections:
            here = here.setdefault(_match(here, section), {})
            if not isinstance(here, dict):
                raise ConfigError(f"environment: {name}: {section.lower()} is not a section")
        key = _match(here, key)
        here[key] = _environment_value(environment[name], here.get(key, ""))


def _match(table: dict[str, Any], name: str) -> str:
    """The key as written; a new one in the case of its neighbours (currencies are capitals)."""
    found = next((key for key in table if key.lower() == name.lower()), None)
    if found is not None:
        return found
    return name.upper() if table and all(key.isupper() for key in table) else name.lower()


def _environment_value(text: str, default: object) -> object:
    """Text stays text where the setting is text; else it is read as TOML would."""
    if isinstance(default, str):
        return text
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def check_relations(settings: Settings, problems: Problems) -> None:
    """Adds what is wrong with several settings together."""
    base = settings.money.base_currency
    if base not in settings.currencies:
        problems.add("money.base_currency", base, "a currency with a rate under [currencies]")
    elif settings.currencies[base].rate != 1:
        problems.add(
            f"currencies.{base}.rate", str(settings.currencies[base].rate),
            "1, since it is the base currency",
        )  # fmt: skip
    kafka = settings.kafka
    if kafka.security_protocol.startswith("SASL") != bool(kafka.sasl_mechanism):
        problems.add_line(
            "kafka",
            f'security_protocol = "{kafka.security_protocol}" and sasl_mechanism = '
            f'"{kafka.sasl_mechanism}": expected both or neither to be SASL',
        )
    if kafka.session_timeout_ms > kafka.max_poll_interval_ms:
        problems.add_line(
            "kafka",
            f"session_timeout_ms = {kafka.session_timeout_ms}: expected at most "
            f"max_poll_interval_ms = {kafka.max_poll_interval_ms}",
        )
    _check_http(settings.http, problems)
    learning = settings.learning
    if learning.reviewer_weight_change > learning.day_weight_change:
        problems.add_line(
            "learning",
            f"reviewer_weight_change = {learning.reviewer_weight_change}: expected at most "
            f"day_weight_change = {learning.day_weight_change}",
        )
    for kind, each in settings.thresholds.items():
        if not each.low <= each.medium <= each.high:
            problems.add_line(
                f"thresholds.{kind}",
                f"low = {each.low}, medium = {each.medium}, high = {each.high}: "
                "expected low <= medium <= high",
            )
    credit = settings.credit
    if not credit.tier_a > credit.tier_b > credit.tier_c:
        problems.add_line(
            "credit",
            f"tier_a = {credit.tier_a}, tier_b = {credit.tier_b}, tier_c = {credit.tier_c}: "
            "expected tier_a > tier_b > tier_c",
        )
    check_console(settings.console, problems)
    topics = settings.topics
    if topics.min_insync_replicas > topics.replication_factor:
        problems.add_line(
            "topics",
            f"min_insync_replicas = {topics.min_insync_replicas}: expected at most "
            f"replication_factor = {topics.replication_factor}",
        )
    names = [topics.tips, topics.flags, topics.scores, topics.dead_letters, topics.verdicts,
             topics.accounts, settings.rekeyed_topic, settings.checkpoints_topic,
             settings.console_topic]  # fmt: skip
    for name in sorted({name for name in names if names.count(name) > 1}):
        problems.add_line("topics", f'"{name}" stands for two topics: expected different names')


def _check_http(http: HttpSettings, problems: Problems) -> None:
    for one, other in (("tls_certificate_file", "tls_key_file"), ("username", "password_file")):
        if bool(getattr(http, one)) != bool(getattr(http, other)):
            problems.add_line(
                "http",
                f'{one} = "{getattr(http, one)}" and {other} = "{getattr(http, other)}": '
                "expected both or neither",
            )


def check_console(console: ConsoleSettings, problems: Problems) -> None:
    """Adds what is wrong with the console's settings together."""
    if console.access == "open" and not is_loopback(console.host):
        problems.add_line(
            "console",
            f'access = "open" and host = "{console.host}": expected a loopback address, or '
            'access = "users" or "proxy": everybody who reaches it could decide',
        )
    if console.access == "users" and not console.users_file:
        problems.add("console.users_file", "", 'a file of users, with access = "users"')
    if console.keep_days < console.expire_days:
        problems.add_line(
            "console",
            f"keep_days = {console.keep_days}: expected at least "
            f"expire_days = {console.expire_days}",
        )


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens there.

    >>> is_loopback("127.0.0.1"), is_loopback("::1"), is_loopback("0.0.0.0"), is_loopback("")
    (True, True, False, False)
    """
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def find_beside(name: str, beside: Path | None) -> Path:
    """The file of a relative path: beside the operator's config file if it is there."""
    path = Path(name)
    if beside is not None and (beside.parent / path).exists():
        return beside.parent / path
    return path


def differences(changed: dict[str, Any], base: dict[str, Any], at: str = "") -> Iterator[str]:
    """Dotted keys of the values in `changed` that are not the same in `base`."""
    for key, value in changed.items():
        known = base.get(key)
        if isinstance(value, dict) and isinstance(known, dict):
            yield from differences(value, known, f"{at}{key}.")
        elif value != known:
            yield f"{at}{key}"


def read_password(settings: KafkaSettings) -> str:
    """The SASL password, from the environment or its file.

    Raises:
        ConfigError: the file cannot be read.
    """
    if not settings.sasl_password_file:
        return settings.sasl_password.get_secret_value()
    try:
        return Path(settings.sasl_password_file).read_text("utf-8").strip()
    except OSError as error:
        raise ConfigError(
            f"kafka.sasl_password_file: {settings.sasl_password_file}: {error.strerror or error}"
        ) from None
