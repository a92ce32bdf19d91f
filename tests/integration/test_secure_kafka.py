"""A broker that trusts nobody: TLS, SCRAM users and ACLs, seen by `run` and by `doctor`."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import orjson
import pytest

from detector.assembly import Assembly
from detector.doctor.examination import examine
from detector.doctor.finding import Finding, to_text
from detector.settings import load_settings
from tests.certificates import Authority
from tests.conftest import program
from tests.integration.process import ROOT, Detector
from tests.integration.test_run import keyed, tips, until
from tests.secure_kafka import SecureKafkaNode

pytestmark = pytest.mark.kafka

PASSWORD = "s3cret-horse-battery"
WRONG = "wrong-horse-battery"
USER = "detector"
PREFIX = "secure"
TIPS = tips(400)
CHILD = next(each for each in TIPS if each.get("tipper_id") and each.get("amount"))
EVENTS = keyed([*TIPS, {**CHILD, "event_id": "of-a-child", "tipper_age": 9}])

TOPICS = {
    f"{PREFIX}-tips": ["read"], "tip-verdicts": ["read"], f"{PREFIX}-flags": ["write"],
    f"{PREFIX}-dead": ["write"], "tip-accounts": ["write"],
    f"{PREFIX}-rekeyed": ["read", "write"], f"{PREFIX}-checkpoints": ["read", "write"],
}  # fmt: skip
"""All that a run does to topics; nothing else is granted."""


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureKafkaNode]:
    """A node with one user, who may do what a run needs, and the topics made by its owner."""
    program("openssl")
    folder = tmp_path_factory.mktemp("secure-kafka")
    with SecureKafkaNode(folder, {USER: PASSWORD}) as node:
        node.committed(PREFIX, f"{PREFIX}-tips")  # returns once there is a coordinator
        made = command(folder, {"KAFKA__BOOTSTRAP_SERVERS": node.bootstrap}, "topics", "create")
        assert made.returncode == 0, made.stderr
        for topic, operations in TOPICS.items():
            node.grant(USER, "topic", topic, [*operations, "describe_configs"])
        node.grant(USER, "group", PREFIX, ["read"])
        node.grant(USER, "transactional_id", f"{PREFIX}-", ["write", "describe"], prefixed=True)
        node.produce(f"{PREFIX}-tips", EVENTS)
        yield node


def detector(folder: Path, node: SecureKafkaNode, **changes: str) -> Detector:
    settings = node.client_settings(USER, **changes)
    return Detector(folder, settings.pop("KAFKA__BOOTSTRAP_SERVERS"), PREFIX, **settings)


def command(
    folder: Path, settings: dict[str, str], *arguments: str
) -> subprocess.CompletedProcess[str]:
    """A command with these settings, and the topics' names of `Detector`."""
    bootstrap = settings.pop("KAFKA__BOOTSTRAP_SERVERS")
    environment = Detector(folder, bootstrap, PREFIX, **settings).environment
    return subprocess.run(
        [sys.executable, "-m", "detector", *arguments], env=environment, cwd=ROOT,
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


def examined(node: SecureKafkaNode, **changes: str) -> tuple[list[Finding], str]:
    """(findings of a doctor that are not ok, the text of all)."""
    environment = Detector(node.directory, "", PREFIX, **node.client_settings(USER, **changes))
    settings = load_settings(None, ROOT / "config" / "detector.toml", environment.environment)
    findings = list(examine(Assembly(settings), 1000))
    text = to_text(findings)
    assert PASSWORD not in text
    return [each for each in findings if each.level != "ok"], text


def test_a_doctor_has_nothing_to_say_where_all_is_well_and_leaves_no_trace(
    secure: SecureKafkaNode, tmp_path: Path
) -> None:
    ends = {topic: secure.end(topic, "read_uncommitted") for topic in TOPICS}
    assert ends[f"{PREFIX}-tips"] == len(EVENTS)
    done = command(tmp_path, secure.client_settings(USER), "doctor", "--json")
    report = orjson.loads(done.stdout)
    assert [each for each in report["findings"] if each["level"] != "ok"] == []
    assert {each["check"] for each in report["findings"]} == {
        "config", "broker", "rights", "topics", "mapping", "clock", "group", "state",
    }  # fmt: skip
    assert (done.returncode, report["ok"], done.stderr) == (0, True, "")
    assert f"of the newest {len(EVENTS)} records {len(EVENTS)} are events" in done.stdout
    assert PASSWORD not in done.stdout
    assert ends == {topic: secure.end(topic, "read_uncommitted") for topic in TOPICS}
    with secure._admin() as admin:
        assert PREFIX not in {each["group_id"] for each in admin.list_groups()}


def test_a_run_over_tls_with_a_password_and_no_other_rights_writes_its_flags(
    secure: SecureKafkaNode, tmp_path: Path
) -> None:
    with detector(tmp_path, secure) as running:
        running.wait_ready()
        until(lambda: sum(secure.committed(PREFIX, f"{PREFIX}-tips").values()) >= len(EVENTS))
        assert running.terminate()[0] == 0
        said = running.log.read_text()
    flags = [orjson.loads(each.value) for each in secure.read_all(f"{PREFIX}-flags", 10)]
    assert "of-a-child" in {each["event_id"] for each in flags}
    assert PASSWORD not in said
    findings, text = examined(secure)
    assert findings == [], "with saved state and committed offsets too"
    assert re.search(r"state: \d+ partitions have saved state, and it loads", text)


def test_who_is_not_let_in_is_told_why_and_the_password_is_not_told(
    secure: SecureKafkaNode, tmp_path: Path
) -> None:
    stranger = Authority.make(tmp_path / "stranger")
    expected = {
        "see kafka.sasl_username and the password|with SASL kafka.sasl_username and the password":
            {"KAFKA__SASL_PASSWORD": WRONG},
        "kafka.ssl_cafile lacks the authority that signed the broker's certificate":
            {"KAFKA__SSL_CAFILE": str(stranger.certificate)},
        "the certificate names another host: use that name in kafka.bootstrap_servers":
            {"KAFKA__BOOTSTRAP_SERVERS": secure.mismatched_bootstrap},
        "the broker hung up: see kafka.security_protocol":
            {"KAFKA__SECURITY_PROTOCOL": "PLAINTEXT", "KAFKA__SASL_MECHANISM": ""},
    }  # fmt: skip

    def refused(entry: tuple[str, dict[str, str]]) -> None:
        """Either it waits and says why, or it ends with exit code 1 and says why."""
        said, changes = entry
        with detector(tmp_path / changes.copy().popitem()[0], secure, **changes) as running:
            until(lambda: any(each in running.log.read_text() for each in said.split("|")))
            if "Kafka refuses" in running.log.read_text():
                assert running.process.wait(20) == 1
            else:
                assert "no broker answers yet" in running.log.read_text()
                assert running.terminate()[0] == 0
            log = running.log.read_text()
        assert not {PASSWORD, WRONG} & set(log.replace('"', " ").split())
        assert PASSWORD not in log
        assert WRONG not in log

    for changes in expected.values():
        (tmp_path / changes.copy().popitem()[0]).mkdir()
    with ThreadPoolExecutor(len(expected)) as pool:
        list(pool.map(refused, expected.items()))


def test_a_file_that_is_not_there_is_unusable_config(
    secure: SecureKafkaNode, tmp_path: Path
) -> None:
    settings = secure.client_settings(USER, KAFKA__SSL_CAFILE="/absent/ca.pem")
    done = command(tmp_path, settings, "doctor")
    assert (done.returncode, done.stderr.strip().splitlines()[-1]) == (
        2, "kafka.ssl_cafile: /absent/ca.pem: No such file or directory"
    )  # fmt: skip


def test_a_mapping_of_another_platform_is_told_with_reasons_and_without_ids(
    secure: SecureKafkaNode,
) -> None:
    findings, said = examined(secure, INPUT__MAPPING="bilibili")
    assert [(each.level, each.check) for each in findings] == [("fail", "mapping")]
    assert f"0 are events, {len(EVENTS)} are not: unknown_shape {len(EVENTS)}" in said
    assert not [key for key, _ in EVENTS if key and key.decode() in said]


def test_a_right_that_is_denied_is_named_with_its_topic_and_with_what_grants_it(
    secure: SecureKafkaNode,
) -> None:
    flags, tips_topic = f"{PREFIX}-flags", f"{PREFIX}-tips"
    secure.grant(USER, "topic", flags, ["write"], deny=True)
    secure.grant(USER, "topic", tips_topic, ["describe"], deny=True)
    secure.grant(USER, "group", PREFIX, ["read"], deny=True)
    time.sleep(0.5)
    findings, _ = examined(secure)
    assert [(each.level, each.check, each.what) for each in findings] == [
        ("fail", "rights", f"topic {tips_topic}: READ is denied to User:{USER}; "
                           "not even DESCRIBE is allowed, so it may also be missing"),
        ("fail", "rights", f"topic {flags}: WRITE is denied to User:{USER}"),
        ("fail", "rights", f"group {PREFIX}: READ is denied to User:{USER}"),
    ]  # fmt: skip
    assert findings[1].why == "flags are written to it"
    assert findings[1].do.endswith(
        f"--add --allow-principal User:{USER} --operation Write --topic {flags}"
    )
