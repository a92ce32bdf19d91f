"""The HTTP port: who may read it, over TLS or not, and that nobody keeps the others out."""

from __future__ import annotations

import base64
import json
import logging
import os
import shutil
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from detector.edges import http
from detector.edges.http import HttpServer, Probe
from detector.edges.metrics import Metrics
from detector.runtime.status import Status
from detector.setting_sections import HttpSettings
from detector.settings import ConfigError
from tests.certificates import Authority
from tests.conftest import program

PASSWORD = "correct-horse-battery"
TOKEN = "a-token-of-some-length"


@contextmanager
def serving(**settings: Any) -> Iterator[HttpServer]:
    defaults = {
        "host": "127.0.0.1", "port": 0, "tls_certificate_file": "", "tls_key_file": "",
        "username": "", "password_file": "", "token_file": "",
    }  # fmt: skip
    metrics = Metrics({"policy": "cn 1", "policy_hash": "abc", "mapping": "canonical"})
    status = Status("running", "", time.monotonic(), 1, 0, 0.0)
    server = HttpServer(
        HttpSettings.model_validate(defaults | settings), metrics, Probe(status, 60, 60)
    )
    try:
        yield server
    finally:
        server.close()


def get(
    url: str, authorization: str = "", trusting: Path | None = None
) -> tuple[int, dict[str, str]]:
    """(status, headers) of an address."""
    request = urllib.request.Request(url)
    if authorization:
        request.add_header("Authorization", authorization)
    context = None if trusting is None else ssl.create_default_context(cafile=str(trusting))
    try:
        with urllib.request.urlopen(request, timeout=5, context=context) as answer:
            return answer.status, dict(answer.headers)
    except urllib.error.HTTPError as error:
        return error.code, dict(error.headers)


def basic(name: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


def until(condition: Callable[[], bool], timeout_s: float = 10) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s, "it did not come about in time"
        time.sleep(0.05)


@pytest.fixture
def secrets(tmp_path: Path) -> dict[str, str]:
    """Settings with both ways in."""
    (tmp_path / "password").write_text(PASSWORD + "\n")
    (tmp_path / "token").write_text(TOKEN + "\n")
    return {
        "username": "prometheus", "password_file": str(tmp_path / "password"),
        "token_file": str(tmp_path / "token"),
    }  # fmt: skip


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    program("openssl")
    return Authority.make(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def tls(authority: Authority, tmp_path: Path) -> dict[str, str]:
    """Settings with a certificate for localhost, in files of this test alone."""
    for signed, name in zip(authority.sign("server"), ("tls.crt", "tls.key"), strict=True):
        shutil.copy(signed, tmp_path / name)
    return {
        "tls_certificate_file": str(tmp_path / "tls.crt"), "tls_key_file": str(tmp_path / "tls.key")
    }  # fmt: skip


def test_without_secrets_everybody_reads() -> None:
    with serving() as server:
        assert server.url.startswith("http://127.0.0.1:")
        assert [get(f"{server.url}{path}")[0] for path in ("/metrics", "/healthz", "/x")] == [
            200, 200, 404,
        ]  # fmt: skip


def test_metrics_are_for_those_who_know_a_secret(secrets: dict[str, str]) -> None:
    right = basic("prometheus", PASSWORD)
    with serving(**secrets) as server:
        for authorization in (right, right.replace("Basic", "basic"), f"Bearer {TOKEN}"):
            assert get(f"{server.url}/metrics", authorization)[0] == 200, authorization
        for authorization in (
            "", basic("prometheus", PASSWORD + "x"), basic("someone", PASSWORD),
            basic("prometheus", ""), f"Bearer {TOKEN[:-1]}", f"Bearer {PASSWORD}",
            f"Basic {TOKEN}", "Bearer", "Basic \xff\xfe",
        ):  # fmt: skip
            assert get(f"{server.url}/metrics", authorization)[0] == 401, authorization


def test_who_is_refused_is_told_how_to_ask_and_the_probes_are_open(secrets: dict[str, str]) -> None:
    with serving(**secrets) as server:
        _, headers = get(f"{server.url}/metrics")
        assert headers["WWW-Authenticate"] == (
            'Basic realm="tip-detector", Bearer realm="tip-detector"'
        )
        assert [get(f"{server.url}{path}")[0] for path in ("/healthz", "/readyz")] == [200, 200]


def test_a_changed_secret_holds_at_once_and_one_that_is_gone_does_not_open_the_door(
    secrets: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    file = Path(secrets["token_file"])
    with serving(**secrets) as server:
        file.write_text("another-token-altogether")
        assert get(f"{server.url}/metrics", f"Bearer {TOKEN}")[0] == 401
        assert get(f"{server.url}/metrics", "Bearer another-token-altogether")[0] == 200
        file.write_text("")
        assert get(f"{server.url}/metrics", "Bearer ")[0] == 401
        assert get(f"{server.url}/metrics", "Bearer another-token-altogether")[0] == 200
        file.unlink()
        assert get(f"{server.url}/metrics")[0] == 401
    assert "0 characters: expected at least 8; the former one stays in force" in caplog.text
    assert TOKEN not in caplog.text
    assert "another-token" not in caplog.text


def test_files_that_cannot_be_used_are_refused_at_the_start(
    secrets: dict[str, str], tmp_path: Path
) -> None:
    absent = str(tmp_path / "absent")
    for changed, said in (
        ({"password_file": absent}, f"http.password_file: {absent}: No such file or directory"),
        ({"tls_certificate_file": absent, "tls_key_file": absent}, "No such file or directory"),
    ):
        with pytest.raises(ConfigError, match=said), serving(**{**secrets, **changed}):
            pass
    (tmp_path / "token").write_text("short")
    with pytest.raises(ConfigError, match="5 characters: expected at least 8") as caught:
        serving(**secrets).__enter__()
    assert "short" not in str(caught.value)


def test_a_port_that_others_reach_without_a_secret_is_warned_of(
    secrets: dict[str, str], tls: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    for settings, said in (
        ({}, "can be read by whoever reaches it"), (secrets, "secrets travel in clear"),
    ):  # fmt: skip
        with serving(host="0.0.0.0", **settings):
            assert said in caplog.text
        caplog.clear()
    with serving(host="0.0.0.0", **secrets, **tls), serving(), serving(host="localhost"):
        assert caplog.text == ""


def test_over_tls_only_those_read_who_speak_it_and_trust_the_authority(
    authority: Authority, tls: dict[str, str]
) -> None:
    with serving(**tls) as server:
        url = server.url.replace("127.0.0.1", "localhost") + "/metrics"
        assert url.startswith("https://")
        assert get(url, trusting=authority.certificate)[0] == 200
        with pytest.raises(urllib.error.URLError, match="certificate verify failed"):
            get(url)
        with pytest.raises((urllib.error.URLError, OSError)):
            get(url.replace("https", "http"))
        assert get(url, trusting=authority.certificate)[0] == 200


def test_a_renewed_certificate_is_served_and_half_of_a_pair_is_not(
    authority: Authority, tls: dict[str, str], tmp_path: Path
) -> None:
    certificate, key = authority.sign("renewed")

    def served(port: int) -> bytes:
        context = ssl.create_default_context(cafile=str(authority.certificate))
        with socket.create_connection(("localhost", port), 5) as connection:
            connection.settimeout(5)
            with context.wrap_socket(connection, server_hostname="localhost") as wrapped:
                return wrapped.getpeercert(binary_form=True) or b""

    with serving(**tls) as server:
        port = int(server.url.rpartition(":")[2])
        first = served(port)
        shutil.copy(certificate, tls["tls_certificate_file"])
        assert served(port) == first, "the key does not fit yet"
        shutil.copy(key, tls["tls_key_file"])
        assert served(port) == ssl.PEM_cert_to_DER_cert(certificate.read_text()) != first


@pytest.mark.parametrize("over_tls", [False, True])
def test_clients_that_hold_connections_open_keep_nobody_out_and_are_let_go(
    over_tls: bool, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "PATIENCE_S", 1.0)
    settings = request.getfixturevalue("tls") if over_tls else {}
    trusting = request.getfixturevalue("authority").certificate if over_tls else None
    with serving(**settings) as server:
        port = int(server.url.rpartition(":")[2])
        held = [
            socket.create_connection(("127.0.0.1", port), 5)
            for _ in range(http.MOST_CONNECTIONS + 8)
        ]
        for each in held:
            with suppress(OSError):  # those there was no room for are hung up on
                each.sendall(b"GET /met")
        url = server.url.replace("127.0.0.1", "localhost") + "/healthz"
        assert get(url, trusting=trusting)[0] == 200
        assert len(server._server._since_s) <= http.MOST_CONNECTIONS

        def drip() -> bool:
            for each in held:
                with suppress(OSError):
                    each.send(b"r")
            return not server._server._since_s

        until(drip)
        for each in held:
            each.close()


def test_a_real_prometheus_scrapes_it_with_tls_and_a_password(
    authority: Authority, tls: dict[str, str], secrets: dict[str, str], tmp_path: Path
) -> None:
    from tests.kafka_node import keep_port  # only here: kafka-python warns when first imported

    prometheus = program("prometheus")
    with serving(**tls, **secrets) as server:
        port = keep_port(server, None)
        target = server.url.removeprefix("https://").replace("127.0.0.1", "localhost")
        config = tmp_path / "prometheus.yml"
        config.write_text(f"""
scrape_configs:
  - job_name: tip-detector
    scrape_interval: 200ms
    scrape_timeout: 200ms
    scheme: https
    basic_auth: {{username: prometheus, password_file: {secrets["password_file"]}}}
    tls_config: {{ca_file: {authority.certificate}}}
    static_configs: [{{targets: ["{target}"]}}]
""")
        process = subprocess.Popen(
            [prometheus, f"--config.file={config}", f"--storage.tsdb.path={tmp_path}/data",
             f"--web.listen-address=127.0.0.1:{port}"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env={"PATH": os.environ["PATH"]},
        )  # fmt: skip
        try:

            def is_up() -> bool:
                query = f"http://127.0.0.1:{port}/api/v1/query?query=tip_detector_ready"
                with suppress(OSError), urllib.request.urlopen(query, timeout=2) as answer:
                    return bool(json.load(answer)["data"]["result"])
                return False

            until(is_up, 20)
        finally:
            process.kill()
            process.wait()
