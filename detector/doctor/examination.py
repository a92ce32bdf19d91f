"""All checks in order: what needs a broker only after one has let us in. Nothing is changed."""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from http.client import HTTPException
from urllib.parse import urlsplit

from kafka.errors import KafkaError

from detector.assembly import Assembly
from detector.doctor.finding import Finding
from detector.doctor.rights import check_group_rights, check_topic_rights, check_transactions
from detector.doctor.stream_checks import check_clock, check_lag, check_mapping
from detector.doctor.topic_checks import check_topics
from detector.edges.inspection import inspect
from detector.edges.kafka_facts import Cluster, TopicFacts
from detector.edges.kafka_sample import take_sample
from detector.edges.topics import topic_configs
from detector.runtime.ports import Retry, Stop
from detector.setting_sections import is_loopback
from detector.settings import Settings

_NEEDED_APIS = {"TxnOffsetCommit": 3}
"""API → the oldest version that will do: with the group's generation (KIP-447)."""

_ANSWER_S = 3.0


def examine(assembly: Assembly, records: int) -> Iterator[Finding]:
    """Everything there is to say about these settings and what they point at.

    Args:
        assembly: made from the settings.
        records: how many of the newest tips the mapping is tried on, at most.
    """
    settings = assembly.settings
    yield from _check_config(assembly)
    yield from _check_links(settings)
    try:
        cluster = Cluster(settings.kafka)
    except (KafkaError, OSError) as error:
        yield Finding(
            "fail", "broker", f"{settings.kafka.bootstrap_servers}: {error}",
            "without a broker nothing else can be looked at", "mend what the reason names",
        )  # fmt: skip
        return
    with cluster:
        yield from _guarded("broker", lambda: _check_broker(settings, cluster))
        topics: dict[str, TopicFacts] = {}
        yield from _guarded("topics", lambda: _look_at_topics(settings, cluster, topics))
        if topics:
            yield from _guarded("group", lambda: _check_stream(
                assembly, cluster, topics[settings.topics.tips], records
            ))  # fmt: skip
            if settings.delivery == "exactly_once":
                yield from _guarded("rights", lambda: iter(
                    [check_transactions(settings, cluster.why_no_transaction())]
                ))  # fmt: skip
            if topics[settings.topics.tips].partitions:
                yield from _guarded("state", lambda: _check_state(assembly))


def _guarded(check: str, look: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """What a look finds; if Kafka does not let it finish, a finding of that."""
    try:
        yield from look()
    except (KafkaError, Stop, Retry) as error:
        yield Finding(
            "fail", check, f"could not be looked at: {error}",
            "a run would meet the same", "see what is denied above, then run this again",
        )  # fmt: skip


def _check_config(assembly: Assembly) -> Iterator[Finding]:
    settings = assembly.settings
    failed = assembly.check_policy()
    for line in failed:
        yield Finding("fail", "config", line, "the pack does not do what its examples say",
                      "`tip-detector check-config` shows all of them")  # fmt: skip
    if not failed:
        build = assembly.build()
        yield Finding(
            "ok", "config", f"policy {build['policy']}, all examples hold; mapping "
            f"{build['mapping']}",
        )  # fmt: skip
    yield from _check_wire(settings)


def _check_wire(settings: Settings) -> Iterator[Finding]:
    """What others on the network could read or change."""
    kafka, http = settings.kafka, settings.http
    hosts = [each.strip().rpartition(":")[0] for each in kafka.bootstrap_servers.split(",")]
    if not kafka.security_protocol.endswith("SSL") and not all(map(is_loopback, hosts)):
        yield Finding(
            "warn", "config", f"kafka.security_protocol = {kafka.security_protocol}",
            "tips and user ids travel in clear; so would a PLAIN password",
            "use SSL or SASL_SSL",
        )  # fmt: skip
    if kafka.security_protocol.endswith("SSL") and not kafka.ssl_check_hostname:
        yield Finding(
            "warn", "config", "kafka.ssl_check_hostname = false",
            "any holder of a certificate of that authority can pass for the broker",
            "use the names that the brokers' certificates have",
        )  # fmt: skip
    if not http.is_local and not (http.is_guarded and http.tls_certificate_file):
        yield Finding(
            "warn", "config", f"http.host = {http.host}: without "
            f"{'TLS' if http.is_guarded else 'a password or a token'}",
            "whoever reaches the port reads /metrics, or the secret for it",
            "set http.tls_certificate_file, http.username or http.token_file; or close the port "
            "to all but Prometheus",
        )  # fmt: skip


def _check_links(settings: Settings) -> Iterator[Finding]:
    """Whether the addresses that the settings name answer at all."""
    for url in filter(None, [settings.console.url]):
        yield _check_link("console.url", url, "links of flags and alerts lead nowhere")
    for url in settings.alertmanager.urls:
        yield _check_link("alertmanager.url", url, "alerts wait until it answers")


def _check_link(setting: str, url: str, why: str) -> Finding:
    shown = urlsplit(url)._replace(query="").geturl().rpartition("@")[2]
    try:
        with urllib.request.urlopen(url, timeout=_ANSWER_S):
            pass
    except urllib.error.HTTPError:
        pass  # it answers; what it says to a stranger is another matter
    except (OSError, ValueError, HTTPException) as error:
        return Finding(
            "warn", "links", f"{setting}: {shown}: {getattr(error, 'reason', error)}", why,
            f"mend {setting}, or start what should answer there",
        )  # fmt: skip
    return Finding("ok", "links", f"{setting}: {shown} answers")


def _check_broker(settings: Settings, cluster: Cluster) -> Iterator[Finding]:
    lacking = [
        f"{api} version {least}" for api, least in _NEEDED_APIS.items()
        if cluster.newest_version(api) < least
    ]  # fmt: skip
    if lacking:
        yield Finding(
            "fail", "broker", f"does not speak {', '.join(lacking)}",
            "transactions that carry a group's offsets need it", "use Apache Kafka 2.5 or newer",
        )  # fmt: skip
    else:
        yield Finding(
            "ok", "broker", f"{settings.kafka.bootstrap_servers}: {cluster.brokers} brokers, "
            f"{settings.kafka.security_protocol}, speak all that is needed",
        )  # fmt: skip


def _look_at_topics(
    settings: Settings, cluster: Cluster, topics: dict[str, TopicFacts]
) -> Iterator[Finding]:
    """Fills `topics`, and says what is to be said of them."""
    topics |= cluster.topics(list(topic_configs(settings)))
    yield from check_topic_rights(settings, topics)
    yield from check_topics(settings, topics, cluster.brokers, "CREATE" in cluster.rights)


def _check_stream(
    assembly: Assembly, cluster: Cluster, tips: TopicFacts, records: int
) -> Iterator[Finding]:
    settings = assembly.settings
    group = cluster.group(tips.name)
    yield check_group_rights(settings, group)
    if "READ" not in tips.rights:
        return
    sample = take_sample(settings.kafka, tips.name, tips.partitions, records)
    yield check_mapping(settings, assembly.decoder, sample)
    yield check_clock(settings, sample, time.time_ns() // 1_000_000)
    if group.rights:
        yield from check_lag(settings, group, sample)


def _check_state(assembly: Assembly) -> Iterator[Finding]:
    saved, failed = 0, False
    for record in inspect(assembly.settings, None, assembly.make_lane):
        saved += bool(record["saved"])
        if "error" in record:
            failed = True
            yield Finding(
                "fail", "state", f"{record['topic']}[{record['partition']}]: {record['error']}",
                "a run stops at it", "start under another kafka.group_id, or with the version "
                "that saved it",
            )  # fmt: skip
    if not failed:
        yield Finding("ok", "state", f"{saved} partitions have saved state, and it loads")
