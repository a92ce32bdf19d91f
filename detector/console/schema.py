"""The console's tables. All but the secrets can be read from the topics again.

Knows what is kept and how it is found. Does not know what changes it (`store`).
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
)

VERSION = "1"
"""Of these tables: with another one in the database, they are made anew and read in again."""

metadata = MetaData()

meta = Table(
    "meta", metadata,
    Column("name", String(40), primary_key=True),
    Column("value", String(200), nullable=False),
)  # fmt: skip

offsets = Table(
    "offsets", metadata,
    Column("topic", String(249), primary_key=True),
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("topic_id", String(40), nullable=False),
    Column("next_offset", BigInteger, nullable=False),
)  # fmt: skip

cases = Table(
    "cases", metadata,
    Column("case_id", String(64), primary_key=True),
    Column("kind", String(20), nullable=False),
    Column("subject_type", String(10), nullable=False),
    Column("subject_id", String(600), nullable=False),
    Column("is_shadow", Boolean, nullable=False),
    Column("is_paged", Boolean, nullable=False),
    # The flag that speaks for the case, in `leads`: the newest of the gravest.
    Column("lead_id", String(64), nullable=False),
    Column("lead_ms", BigInteger, nullable=False),
    Column("rank", Integer, nullable=False),
    Column("score", Float, nullable=False),
    # Event time of the first and the newest flag; the broker's time of the first flag, of the first
    # one of each severity or worse, of the newest flag and of whatever happened last.
    Column("opened_ms", BigInteger, nullable=False),
    Column("last_ms", BigInteger, nullable=False),
    Column("arrived_ms", BigInteger, nullable=False),
    Column("medium_ms", BigInteger),
    Column("high_ms", BigInteger),
    Column("flagged_ms", BigInteger, nullable=False),
    Column("changed_ms", BigInteger, nullable=False),
    Column("flags", Integer, nullable=False),
    Column("version", Integer, nullable=False),
    # What decisions and time make of it.
    Column("state", String(20), nullable=False),
    Column("is_unclear", Boolean, nullable=False),
    Column("owner", String(256), nullable=False),
    Column("until_ms", BigInteger),
    Index("cases_queue", "state", "is_shadow", "rank", "score", "last_ms", "case_id"),
    Index("cases_subject", "subject_type", "subject_id"),
    Index("cases_changed", "changed_ms"),
)  # fmt: skip

leads = Table(
    "leads", metadata,
    Column("case_id", String(64), primary_key=True),
    Column("flag", LargeBinary, nullable=False),  # as it stands in Kafka
)  # fmt: skip

flags = Table(
    "flags", metadata,
    Column("flag_id", String(64), primary_key=True),
    Column("case_id", String(64), nullable=False),
    Column("event_id", String(600), nullable=False),
    Column("event_time_ms", BigInteger, nullable=False),
    Column("arrived_ms", BigInteger, nullable=False),
    Column("rank", Integer, nullable=False),
    Column("score", Float, nullable=False),
    Column("is_update", Boolean, nullable=False),
    Index("flags_case", "case_id", "arrived_ms"),
    sqlite_with_rowid=False,
)  # fmt: skip

decisions = Table(
    "decisions", metadata,
    Column("decision_id", String(64), primary_key=True),
    Column("case_id", String(64), nullable=False),  # empty while its flag is not known
    Column("flag_id", String(256), nullable=False),
    Column("act", String(20), nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("arrived_ms", BigInteger, nullable=False),
    Column("by", String(256), nullable=False),
    Column("note", String, nullable=False),
    Column("until_ms", BigInteger),
    Column("to", String(256), nullable=False),
    Index("decisions_case", "case_id"),
    Index("decisions_flag", "flag_id"),
)  # fmt: skip

accounts = Table(
    "accounts", metadata,
    Column("subject_type", String(10), primary_key=True),
    Column("subject_id", String(600), primary_key=True),
    Column("record", LargeBinary, nullable=False),
)  # fmt: skip

evidence = Table(
    "evidence", metadata,
    Column("case_id", String(64), primary_key=True),
    Column("flags", Integer, nullable=False),
    Column("made_ms", BigInteger, nullable=False),
    Column("body", LargeBinary, nullable=False),
)  # fmt: skip
