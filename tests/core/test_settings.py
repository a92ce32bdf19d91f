"""Settings come from three places in order; what is wrong is told at once; a secret stays one."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from detector.settings import ConfigError, Settings, load_settings, read_password
from detector.shadow_settings import Trial, load_shadow
from tests.engines import ROOT

DEFAULTS = ROOT / "config" / "detector.toml"
SECRET = "hunter2-correct-horse"

WRONG = """
[kafka]
group_id = ""
sasl_mechanism = "PLAIN"
sasl_password = 123456789
session_timeout = 1

[topics]
tips = "tips and more"
tips_key = "tiper"

[input]
max_amount = 0

[currencies]
XYZ = { rate = "-1", decimals = 9 }

[engine]
zone = "Asia/Beijing"
tipper_idle_days = "ninety"

[thresholds]
cap = { low = 0.1, medium = 0.2, high = 0.3 }

[http]
port = 99999

[nonsense]
a = 1
"""

WRONG_MESSAGE = """\
{path}: kafka.group_id = "": expected at least 1 characters
{path}: kafka.sasl_password = …: expected text
{path}: kafka.session_timeout: is not a known key
{path}: topics.tips = "tips and more": expected text that matches ^[a-zA-Z0-9._-]{{1,249}}$
{path}: topics.tips_key = "tiper": expected one of 'tipper', 'streamer' or 'other'; \
did you mean "tipper"?
{path}: input.max_amount = 0: expected a number >= 1
{path}: currencies.XYZ.rate = "-1": expected a number > 0
{path}: currencies.XYZ.decimals = 9: expected a number <= 4
{path}: engine.zone: "Asia/Beijing": expected an IANA time zone, such as Asia/Shanghai
{path}: engine.tipper_idle_days = "ninety": expected a whole number
{path}: thresholds.cap: unknown key: expected one of 'minor', 'outsized', 'binge', 'gambling', \
'ring' or 'refund_abuse'
{path}: http.port = 99999: expected a number <= 65535
{path}: nonsense: is not a known key"""

CONTRADICTORY = """
[kafka]
sasl_mechanism = "PLAIN"
session_timeout_ms = 400000

[topics]
flags = "tips"
min_insync_replicas = 2

[http]
username = "prometheus"
tls_key_file = "tls.key"

[money]
base_currency = "XYZ"

[thresholds]
binge = { low = 0.9, medium = 0.5, high = 0.6 }

[credit]
tier_b = 60
"""

CONTRADICTORY_MESSAGE = """\
{path}: money.base_currency = "XYZ": expected a currency with a rate under [currencies]
{path}: kafka: security_protocol = "PLAINTEXT" and sasl_mechanism = "PLAIN": \
expected both or neither to be SASL
{path}: kafka: session_timeout_ms = 400000: expected at most max_poll_interval_ms = 300000
{path}: http: tls_certificate_file = "" and tls_key_file = "tls.key": expected both or neither
{path}: http: username = "prometheus" and password_file = "": expected both or neither
{path}: thresholds.binge: low = 0.9, medium = 0.5, high = 0.6: expected low <= medium <= high
{path}: credit: tier_a = 100, tier_b = 60, tier_c = 60: expected tier_a > tier_b > tier_c
{path}: topics: min_insync_replicas = 2: expected at most replication_factor = 1
{path}: topics: "tips" stands for two topics: expected different names"""


def write(where: Path, text: str) -> Path:
    path = where / "detector.toml"
    path.write_text(text, "utf-8")
    return path


def load(path: Path | None = None, **environment: str) -> Settings:
    return load_settings(path, DEFAULTS, environment)


def why_refused(path: Path | None = None, **environment: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load(path, **environment)
    return str(caught.value)


def test_the_shipped_defaults_are_complete_and_valid() -> None:
    settings = load()
    assert settings.kafka.bootstrap_servers == "127.0.0.1:9092"
    assert settings.make_currencies().base == "CNY"
    assert settings.make_event_limits().max_value_minor == 1_000_000_000
    assert settings.make_engine_config().tipper_idle_ms == 90 * 86_400_000


@pytest.mark.parametrize(
    ("text", "message"),
    [(WRONG, WRONG_MESSAGE), (CONTRADICTORY, CONTRADICTORY_MESSAGE)],
    ids=["wrong keys and values", "values that contradict each other"],
)
def test_every_problem_is_told_at_once(tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path, text)
    assert why_refused(path) == message.format(path=path)


def shadow(path: Path, written: str, live: str = "", **environment: str) -> Trial | None:
    """The shadow of an operator's file `live.toml` that names it, both in one directory."""
    (path / "live.toml").write_text(f'{live}\n[shadow]\nconfig = "trial.toml"\n')
    (path / "trial.toml").write_text(written)
    settings = load_settings(path / "live.toml", DEFAULTS, environment)
    return load_shadow(settings, path / "live.toml", DEFAULTS)


def test_without_a_name_there_is_no_shadow() -> None:
    assert load_shadow(load_settings(None, DEFAULTS, {}), None, DEFAULTS) is None


def test_what_a_shadow_leaves_out_is_as_in_force(tmp_path: Path) -> None:
    live = '[policy]\npack = "kr"\n[thresholds]\nring = { low = 0.7 }\n'
    trial = shadow(tmp_path, "[thresholds.binge]\nmedium = 0.7\n", live)
    assert trial is not None
    in_force = load_settings(tmp_path / "live.toml", DEFAULTS, {})
    assert trial.settings.policy == in_force.policy
    assert trial.settings.thresholds["binge"].medium == 0.7
    others = {kind: each for kind, each in in_force.thresholds.items() if kind != "binge"}
    assert {kind: trial.settings.thresholds[kind] for kind in others} == others


def test_a_pack_is_looked_for_beside_the_file_that_names_it(tmp_path: Path) -> None:
    beside = [shadow(tmp_path, written) for written in ("", '[policy]\npack = "b.toml"\n')]
    assert [each and each.beside for each in beside] == [
        tmp_path / "live.toml", tmp_path / "trial.toml"
    ]  # fmt: skip


def test_a_copy_of_the_operators_file_will_do_as_a_shadow_whatever_the_environment_overrides(
    tmp_path: Path,
) -> None:
    live = '[kafka]\ngroup_id = "mine"\n[currencies]\nEUR = { rate = "7.8", decimals = 2 }\n'
    copy = live + '[shadow]\nconfig = "trial.toml"\n'
    trial = shadow(tmp_path, copy, live, TIP_DETECTOR__KAFKA__GROUP_ID="other")
    assert trial is not None and trial.settings.kafka.group_id == "other"


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ('[kafka]\ngroup_id = "b"\n', "{path}: kafka.group_id: differs from {rest}"),
        ('delivery = "at_least_once"\n', "{path}: delivery: differs from {rest}"),
        ("[nonsense]\na = 1\n", "{path}: nonsense: differs from {rest}"),
        (
            '[http]\nport = 1\n[shadow]\nconfig = "another.toml"\n',
            "{path}: http.port: differs from {rest}\n{path}: shadow.config: differs from {rest}",
        ),
        (
            "[thresholds.binge]\nlow = 2\n",
            "{path}: thresholds.binge.low = 2: expected a number <= 1.0",
        ),
        (
            "[thresholds.binge]\nlow = 0.8\n",
            "{path}: thresholds.binge: low = 0.8, medium = 0.75, high = 0.9: "
            "expected low <= medium <= high",
        ),
        ("[policy]\npak = 1\n", "{path}: policy.pak: is not a known key"),
    ],
)
def test_what_a_shadow_may_not_change_is_refused_by_its_key(
    tmp_path: Path, written: str, message: str
) -> None:
    rest = "the settings in force: expected only [policy] and [thresholds] to"
    with pytest.raises(ConfigError) as refused:
        shadow(tmp_path, written)
    path = tmp_path / "trial.toml"
    assert str(refused.value) == message.format(path=path, rest=rest)


def test_a_shadow_that_is_missing_is_named(tmp_path: Path) -> None:
    live = tmp_path / "live.toml"
    live.write_text('[shadow]\nconfig = "nowhere.toml"\n')
    with pytest.raises(ConfigError, match=r"nowhere\.toml: No such file"):
        load_shadow(load_settings(live, DEFAULTS, {}), live, DEFAULTS)


def test_a_file_that_is_missing_or_no_toml_is_named(tmp_path: Path) -> None:
    missing = tmp_path / "none.toml"
    assert why_refused(missing) == f"{missing}: No such file or directory"
    path = write(tmp_path, "[http\n")
    assert why_refused(path).startswith(f"{path}: not TOML: ")
    path.write_bytes(b"\xff")
    assert why_refused(path).startswith(f"{path}: not TOML: ")


def test_a_file_changes_what_it_names_and_leaves_the_rest(tmp_path: Path) -> None:
    settings = load(write(tmp_path, "[http]\nport = 8000\n"))
    assert settings.http.port == 8000
    assert settings.http.host == load().http.host


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, '[http]\nport = 8000\n[kafka]\ngroup_id = "file"\n')
    settings = load(path, TIP_DETECTOR__HTTP__PORT="9000", tip_detector__http__port="1")
    assert settings.http.port == 9000
    assert settings.kafka.group_id == "file"


def test_the_environment_is_read_as_the_setting_s_own_type() -> None:
    settings = load(
        TIP_DETECTOR__KAFKA__GROUP_ID="007",
        TIP_DETECTOR__TOPICS__WRITE_SCORES="true",
        TIP_DETECTOR__CURRENCIES__JPY__RATE="0.05",
        TIP_DETECTOR__THRESHOLDS__BINGE__LOW="0.5",
        OTHER__HTTP__PORT="1",
    )
    assert settings.kafka.group_id == "007"
    assert settings.topics.write_scores is True
    assert str(settings.currencies["JPY"].rate) == "0.05"
    assert settings.thresholds["binge"].low == 0.5
    assert settings.http.port == load().http.port


def test_a_wrong_variable_is_refused() -> None:
    assert 'http.port = "x": expected a whole number' in why_refused(TIP_DETECTOR__HTTP__PORT="x")
    assert "http.prot: is not a known key" in why_refused(TIP_DETECTOR__HTTP__PROT="1")
    assert why_refused(TIP_DETECTOR__HTTP__PORT__A="1") == (
        "environment: TIP_DETECTOR__HTTP__PORT__A: port is not a section"
    )


def test_the_password_comes_from_the_environment_or_its_file(tmp_path: Path) -> None:
    assert read_password(load(TIP_DETECTOR__KAFKA__SASL_PASSWORD=SECRET).kafka) == SECRET
    file = tmp_path / "password"
    file.write_text(f"{SECRET}\n", "utf-8")
    settings = load(TIP_DETECTOR__KAFKA__SASL_PASSWORD_FILE=str(file))
    assert read_password(settings.kafka) == SECRET
    file.unlink()
    with pytest.raises(ConfigError, match=r"sasl_password_file: .*No such file"):
        read_password(settings.kafka)


def test_the_password_is_in_no_form_of_the_settings() -> None:
    settings = load(TIP_DETECTOR__KAFKA__SASL_PASSWORD=SECRET)
    forms = [repr(settings), str(settings), str(settings.model_dump()), settings.model_dump_json()]
    assert [form for form in forms if SECRET in form] == []


@pytest.mark.parametrize(
    "variables",
    [
        {"TIP_DETECTOR__KAFKA__SASL_PASSWORD": SECRET, "TIP_DETECTOR__HTTP__PORT": "x"},
        {"TIP_DETECTOR__KAFKA__SASL_PASSWORD": SECRET, "TIP_DETECTOR__KAFKA__GROUP_ID": ""},
        {"TIP_DETECTOR__KAFKA__SASL_PASSWORD__X": SECRET},
        {"TIP_DETECTOR__KAFKA__SASL_PASWORD": SECRET},
        {"TIP_DETECTOR__SASL_PASSWORD": SECRET},
    ],
)
def test_the_password_is_in_no_message_nor_in_what_the_error_came_from(
    variables: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with pytest.raises(ConfigError) as caught:
        load(**variables)
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__  # a traceback does not show pydantic's input
    assert SECRET not in caplog.text


@pytest.mark.parametrize("written", ["[1, 2, 3]", "{ a = 123456789 }", "123456789"])
def test_a_password_of_the_wrong_type_in_a_file_is_not_shown(tmp_path: Path, written: str) -> None:
    path = write(tmp_path, f"[kafka]\nsasl_password = {written}\n")
    assert why_refused(path) == f"{path}: kafka.sasl_password = …: expected text"


@pytest.mark.parametrize("url", [f"https://u:{SECRET}@h:9093", "http://a:9093,h:9093", "h"])
def test_an_alertmanagers_address_that_is_none_or_holds_a_password_is_refused_and_not_shown(
    tmp_path: Path, url: str
) -> None:
    path = write(tmp_path, f'[alertmanager]\nurl = "{url}"\n')
    assert why_refused(path) == (
        f"{path}: alertmanager.url: expected an address such as http://host:9093/path, "
        "without a user"
    )


def test_all_members_of_a_cluster_of_alertmanagers_can_be_named() -> None:
    settings = load(TIP_DETECTOR__ALERTMANAGER__URL="http://a:9093/am/, https://b")
    assert settings.alertmanager.urls == ["http://a:9093/am/", "https://b"]
    assert load().alertmanager.urls == []
