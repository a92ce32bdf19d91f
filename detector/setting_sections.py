"""The sections of the settings: what each key may be. What it means stands in `detector.toml`."""

from __future__ import annotations

import re
from decimal import Decimal
from ipaddress import ip_address
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator
from pydantic.networks import IPvAnyNetwork

from detector.core.school import SchoolTimes, parse_days, parse_times

Port = Annotated[int, Field(ge=0, le=65_535)]
Milliseconds = Annotated[int, Field(ge=1, le=86_400_000)]
Seconds = Annotated[int, Field(ge=0, le=31_536_000)]
Days = Annotated[int, Field(ge=1, le=3_650)]
Entries = Annotated[int, Field(ge=100, le=100_000_000)]
Topic = Annotated[str, Field(pattern=r"^[a-zA-Z0-9._-]{1,249}$")]
InternalTopic = Annotated[str, Field(pattern=r"^[a-zA-Z0-9._-]{0,249}$")]
Word = Annotated[str, Field(min_length=1, max_length=40)]
HeaderName = Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{1,100}$")]
Share = Annotated[float, Field(gt=0, le=1)]
Points = Annotated[int, Field(ge=0, le=120)]


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine's own.

    >>> [is_loopback(each) for each in ("localhost", "127.0.0.9", "[::1]", "0.0.0.0", "kafka")]
    [True, True, True, False, False]
    """
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class KafkaSettings(Section):
    bootstrap_servers: Annotated[str, Field(min_length=1)]
    group_id: Annotated[str, Field(min_length=1)]
    client_id: Annotated[str, Field(min_length=1)]
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
    ssl_cafile: str
    ssl_certfile: str
    ssl_keyfile: str
    ssl_check_hostname: bool
    sasl_mechanism: Literal["", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]
    sasl_username: str
    sasl_password_file: str
    sasl_password: SecretStr = SecretStr("")
    session_timeout_ms: Annotated[int, Field(ge=1_000, le=1_800_000)]
    max_poll_interval_ms: Annotated[int, Field(ge=1_000, le=86_400_000)]
    fetch_max_bytes: Annotated[int, Field(ge=65_536, le=1_073_741_824)]
    auto_offset_reset: Literal["earliest", "latest"]
    retry_backoff_max_ms: Annotated[int, Field(ge=100, le=600_000)]
    instance_id: Annotated[str, Field(pattern=r"^[a-zA-Z0-9._-]{0,200}$")]
    transaction_timeout_ms: Annotated[int, Field(ge=1_000, le=900_000)]


class TopicSettings(Section):
    tips: Topic
    flags: Topic
    scores: Topic
    dead_letters: Topic
    verdicts: Topic
    accounts: Topic
    rekeyed: InternalTopic
    checkpoints: InternalTopic
    console: InternalTopic
    tips_key: Literal["tipper", "streamer", "other"]
    write_scores: bool
    partitions: Annotated[int, Field(ge=1, le=10_000)]
    replication_factor: Annotated[int, Field(ge=1, le=10)]
    min_insync_replicas: Annotated[int, Field(ge=0, le=10)]


class RetentionSettings(Section):
    flags_days: Days
    scores_days: Days
    verdicts_days: Days
    dead_letters_days: Days
    rekeyed_days: Days


class InputSettings(Section):
    mapping: str
    max_record_bytes: Annotated[int, Field(ge=256, le=67_108_864)]
    max_id_chars: Annotated[int, Field(ge=8, le=1_000)]
    max_text_chars: Annotated[int, Field(ge=1, le=100_000)]
    max_amount: Annotated[int, Field(ge=1, le=10**12)]
    max_future_skew_s: Seconds


class MoneySettings(Section):
    base_currency: str


class CurrencySettings(Section):
    rate: Annotated[Decimal, Field(gt=0)]
    decimals: Annotated[int, Field(ge=0, le=4)]


class EngineSettings(Section):
    zone: str
    allowed_lateness_s: Seconds
    duplicate_horizon_s: Annotated[int, Field(ge=1, le=31_536_000)]
    duplicate_max_entries: Entries
    tipper_idle_days: Days
    tipper_max_entries: Entries
    streamer_idle_days: Days
    streamer_max_entries: Entries
    case_cool_down_s: Annotated[int, Field(ge=1, le=31_536_000)]

    @field_validator("zone")
    @classmethod
    def _is_a_zone(cls, zone: str) -> str:
        try:
            ZoneInfo(zone)
        except (KeyError, ValueError, OSError):
            raise ValueError(
                f'"{zone}": expected an IANA time zone, such as Asia/Shanghai'
            ) from None
        return zone


class CasesSettings(Section):
    max_age_days: Days
    snooze_days: Annotated[int, Field(ge=0, le=90)]
    storm_flags: Annotated[int, Field(ge=1, le=10_000)]
    storm_window_s: Annotated[int, Field(ge=1, le=86_400)]


class CreditSettings(Section):
    recovery_per_week: Annotated[float, Field(ge=0.1, le=100)]
    open_share: Annotated[float, Field(ge=0, le=1)]
    tier_a: Points
    tier_b: Points
    tier_c: Points
    top_share: Annotated[float, Field(gt=0, lt=1)]
    max_entries: Entries


class PolicySettings(Section):
    pack: Annotated[str, Field(min_length=1)]


class ThresholdSettings(Section):
    low: Share
    medium: Share
    high: Share


class ShadowSettings(Section):
    config: str


class SnoozesSettings(Section):
    file: str


class ReloadSettings(Section):
    interval_s: Annotated[float, Field(ge=0, le=86_400)]


class PseudonymsSettings(Section):
    key_file: str
    version: Annotated[int, Field(ge=1, le=999)]


ScoredKind = Literal["minor", "outsized", "binge", "gambling", "ring", "refund_abuse"]


class LearningSettings(Section):
    event_max_entries: Entries
    event_idle_days: Days
    verdict_max_entries: Entries
    verdict_idle_days: Days
    background_max_entries: Annotated[int, Field(ge=2, le=100_000)]
    report_horizon_days: Days
    id_half_life_days: Days
    shape_half_life_days: Days
    reviewer_weight_change: Annotated[float, Field(ge=0, le=100)]
    day_weight_change: Annotated[float, Field(ge=0, le=100)]
    reviewer_verdicts_a_day: Annotated[int, Field(ge=0, le=1_000_000)]


class WordSettings(Section):
    child: list[Word]
    adult: list[Word]
    bet: list[Word]
    child_rooms: list[Word]
    perks: list[Word]


class SchoolSettings(Section):
    days: list[Annotated[int, Field(ge=1, le=7)]]
    hours: list[str]
    after_school: str
    free_day: str
    night: str
    holidays: Annotated[list[str], Field(max_length=400)]

    @field_validator("hours", "after_school", "free_day", "night")
    @classmethod
    def _are_times(cls, written: list[str] | str) -> list[str] | str:
        for text in [written] if isinstance(written, str) else written:
            parse_times(text)
        return written

    @field_validator("holidays")
    @classmethod
    def _are_days(cls, written: list[str]) -> list[str]:
        for text in written:
            parse_days(text)
        return written

    def times(self) -> SchoolTimes:
        """A pupil's times as the engine reads them."""
        return SchoolTimes(
            tuple(self.days), tuple(self.hours), self.after_school, self.free_day, self.night,
            tuple(self.holidays),
        )  # fmt: skip


class CommitSettings(Section):
    interval_ms: Milliseconds
    records: Annotated[int, Field(ge=1, le=100_000)]


class CheckpointSettings(Section):
    enabled: bool
    interval_s: Annotated[float, Field(gt=0, le=86_400)]
    records: Annotated[int, Field(ge=1, le=100_000_000)]


class MergeSettings(Section):
    idle_after_s: Annotated[float, Field(gt=0, le=86_400)]
    max_waiting: Annotated[int, Field(ge=1, le=100_000_000)]


class BreakerSettings(Section):
    max_share: Share
    records: Annotated[int, Field(ge=10, le=10_000_000)]


class HttpSettings(Section):
    host: Annotated[str, Field(min_length=1)]
    port: Port
    tls_certificate_file: str
    tls_key_file: str
    username: Annotated[str, Field(pattern=r"^[^:]*$")]
    password_file: str
    token_file: str

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach the port."""
        return is_loopback(self.host)

    @property
    def is_guarded(self) -> bool:
        """Whether /metrics asks who is there."""
        return bool(self.username or self.token_file)


class ConsoleSettings(Section):
    host: Annotated[str, Field(min_length=1)]
    port: Port
    url: Annotated[str, Field(pattern=r"^(https?://[^\s/]+(/[^\s?#]*)?)?$")]
    database: SecretStr
    language: Literal["en", "zh"]
    access: Literal["open", "users", "proxy"]
    users_file: str
    proxy_user_header: HeaderName
    proxy_role_header: HeaderName
    proxy_addresses: list[IPvAnyNetwork]
    pseudonym_key: SecretStr = SecretStr("")
    page_rows: Annotated[int, Field(ge=10, le=500)]
    expire_days: Days
    keep_days: Days
    evidence_days: Annotated[int, Field(ge=1, le=365)]
    evidence_records: Annotated[int, Field(ge=100, le=10_000_000)]
    evidence_s: Annotated[float, Field(gt=0, le=60)]

    def case_url(self, case_id: str) -> str:
        """Where a reviewer finds a case; empty where `url` is not set."""
        return f"{self.url.rstrip('/')}/cases/{case_id}" if self.url else ""


class ReadySettings(Section):
    max_lag_s: Annotated[int, Field(ge=1, le=86_400)]
    stalled_after_s: Annotated[int, Field(ge=1, le=86_400)]


class AlertmanagerSettings(Section):
    url: str
    token_file: str
    runbook_url: str
    max_alerts: Annotated[int, Field(ge=1, le=10_000)]
    resend_s: Annotated[float, Field(ge=1, le=3_600)]

    @field_validator("url")
    @classmethod
    def _are_addresses(cls, url: str) -> str:
        for each in filter(None, url.split(",")):
            if re.fullmatch(r"https?://[^\s/@?#]+(/[^\s@?#]*)?", each.strip()) is None:
                # what was found is not shown: it may hold a password
                raise ValueError(
                    "expected an address such as http://host:9093/path, without a user"
                )
        return url

    @property
    def urls(self) -> list[str]:
        """One for each Alertmanager; none: nobody is told."""
        return [each.strip() for each in self.url.split(",") if each.strip()]


class CanarySettings(Section):
    interval_s: Annotated[float, Field(ge=0, le=86_400)]
    timeout_s: Annotated[float, Field(ge=0.1, le=3_600)]


class LogSettings(Section):
    level: Literal["debug", "info", "warning", "error"]
    format: Literal["auto", "json", "text"]
