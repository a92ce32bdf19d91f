"""Whether the topics are there and kept as they must be. Knows no broker."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from detector.doctor.finding import Finding
from detector.doctor.rights import needed_rights
from detector.edges.kafka_facts import TopicFacts
from detector.edges.topics import own_configs, topic_configs
from detector.settings import Settings

_DAY_MS = 86_400_000
_LEAST_TIPS_MS = _DAY_MS
_CREATE = "`tip-detector topics create` makes it"


def check_topics(
    settings: Settings, topics: Mapping[str, TopicFacts], brokers: int, may_create: bool
) -> Iterator[Finding]:
    """Findings about each topic that a run uses; topics that are hidden are a matter of rights.

    Args:
        settings: all settings.
        topics: as the broker shows them.
        brokers: how many there are.
        may_create: whether we may make topics.
    """
    used = dict.fromkeys(right.topic for right in needed_rights(settings))
    for name in used:
        facts = topics[name]
        if facts.is_hidden:
            continue
        if facts.is_missing:
            yield _missing(settings, name, may_create)
            continue
        wrong = [*_check_config(settings, facts), *_check_copies(facts, brokers)]
        wrong += _check_width(settings, facts, topics)
        yield from wrong or [Finding("ok", "topics", f"{name}: {_describe(facts)}")]


def _missing(settings: Settings, name: str, may_create: bool) -> Finding:
    if name in own_configs(settings):
        if may_create:
            return Finding("ok", "topics", f"{name}: missing; the first run makes it")
        return Finding(
            "warn", "topics", f"{name}: missing",
            "a run makes it, and this client is not known to be allowed to create topics",
            f"have somebody who may run `tip-detector topics create`, or grant Create on {name}",
        )  # fmt: skip
    if name == settings.topics.verdicts:
        return Finding(
            "warn", "topics", f"{name}: missing", "nothing is learned without it", _CREATE
        )
    return Finding("fail", "topics", f"{name}: missing", "a run needs it", _CREATE)


def _check_config(settings: Settings, facts: TopicFacts) -> Iterator[Finding]:
    name, config = facts.name, facts.config
    if not config:
        yield Finding(
            "warn", "topics", f"{name}: its settings are hidden from this client",
            "retention and compaction cannot be checked", f"grant DescribeConfigs on {name}",
        )  # fmt: skip
        return
    wanted = topic_configs(settings)[name]
    policy = wanted.get("cleanup.policy", "delete")
    if config.get("cleanup.policy") != policy:
        yield _wrong_policy(name, config.get("cleanup.policy", ""), policy)
        return
    if name == settings.topics.tips:
        yield from _check_tips(name, config)
    yield from _check_retention(name, config, wanted)
    least = int(wanted.get("max.message.bytes", 0))
    if int(config.get("max.message.bytes", least)) < least:
        yield Finding(
            "warn", "topics", f"{name}: max.message.bytes = {config['max.message.bytes']}",
            "records that are too large are cut", _alter(name, "max.message.bytes", least),
        )  # fmt: skip


def _wrong_policy(name: str, found: str, wanted: str) -> Finding:
    why = (
        "old records are deleted, and with them what is still needed" if wanted == "compact"
        else "of several records with one key only the last is kept"
    )  # fmt: skip
    return Finding(
        "fail", "topics", f'{name}: cleanup.policy = "{found}", expected "{wanted}"', why,
        _alter(name, "cleanup.policy", wanted),
    )  # fmt: skip


def _check_tips(name: str, config: Mapping[str, str]) -> Iterator[Finding]:
    kept_ms = int(config.get("retention.ms", -1))
    if 0 <= kept_ms < _LEAST_TIPS_MS:
        yield Finding(
            "warn", "topics", f"{name}: records are kept for {_days(kept_ms)}",
            "what is deleted before it is read, or read again after a crash, is lost",
            "keep them for longer than the detector may stand still",
        )  # fmt: skip


def _check_retention(
    name: str, config: Mapping[str, str], wanted: Mapping[str, str]
) -> Iterator[Finding]:
    if "retention.ms" not in wanted:
        return
    kept_ms, wanted_ms = int(config.get("retention.ms", -1)), int(wanted["retention.ms"])
    if kept_ms != wanted_ms:
        is_shorter = 0 <= kept_ms < wanted_ms
        yield Finding(
            "warn", "topics",
            f"{name}: records are kept for {_days(kept_ms)}, [retention] says {_days(wanted_ms)}",
            "they are gone sooner than said" if is_shorter
            else "personal data is kept longer than said",
            _alter(name, "retention.ms", wanted_ms),
        )  # fmt: skip


def _check_copies(facts: TopicFacts, brokers: int) -> Iterator[Finding]:
    if facts.replicas < min(brokers, 3):
        yield Finding(
            "warn", "topics", f"{facts.name}: {facts.replicas} replicas on {brokers} brokers",
            "a broker that is lost takes records with it", "reassign it with 3 replicas",
        )  # fmt: skip
    insync = int(facts.config.get("min.insync.replicas", 1))
    if facts.replicas >= 3 and insync < 2:
        yield Finding(
            "warn", "topics", f"{facts.name}: min.insync.replicas = {insync}",
            "a record may be acknowledged that only one broker has",
            _alter(facts.name, "min.insync.replicas", 2),
        )  # fmt: skip
    if insync > facts.replicas:
        yield Finding(
            "fail", "topics",
            f"{facts.name}: min.insync.replicas = {insync} with {facts.replicas} replicas",
            "nothing can be written to it", _alter(facts.name, "min.insync.replicas", 1),
        )  # fmt: skip


def _check_width(
    settings: Settings, facts: TopicFacts, topics: Mapping[str, TopicFacts]
) -> Iterator[Finding]:
    widest = max(topics[each].partitions for each in (settings.topics.tips, settings.rekeyed_topic))
    if facts.name == settings.checkpoints_topic and facts.partitions < widest:
        yield Finding(
            "warn", "topics", f"{facts.name}: {facts.partitions} partitions, expected {widest}",
            "state is saved under its partition's number; the next start widens it, if it may",
            f"grant Alter on {facts.name}, or add partitions",
        )  # fmt: skip


def _describe(facts: TopicFacts) -> str:
    kept_ms = int(facts.config.get("retention.ms", -1))
    kept = "compacted" if facts.config.get("cleanup.policy") == "compact" else _days(kept_ms)
    return f"{facts.partitions} partitions, {facts.replicas} replicas, {kept}"


def _days(time_ms: int) -> str:
    """
    >>> _days(7 * 86_400_000), _days(-1), _days(3_600_000)
    ('7 days', 'ever', '0.0417 days')
    """
    return "ever" if time_ms < 0 else f"{time_ms / _DAY_MS:.3g} days"


def _alter(name: str, key: str, value: object) -> str:
    return f"kafka-configs.sh --alter --topic {name} --add-config {key}={value}"
