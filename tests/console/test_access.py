"""Who is let in, as whom, and what a forged form meets."""

from __future__ import annotations

import base64
import tomllib
from pathlib import Path
from typing import Any

import pytest

from detector.console.access import Access, TooMany, user_entry
from detector.console.model import User
from detector.settings import ConfigError, load_settings
from tests.conftest import ROOT

DEFAULTS = ROOT / "config" / "detector.toml"


def console(**settings: str) -> Any:
    environment = {f"TIP_DETECTOR__CONSOLE__{name}": value for name, value in settings.items()}
    return load_settings(None, DEFAULTS, environment).console


def basic(login: str) -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(login.encode()).decode()}


@pytest.fixture(scope="module")
def users(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A users' file with one user, and the user's token."""
    file = tmp_path_factory.mktemp("users") / "users.toml"
    entry, token = user_entry("lin", "reviewer", "correct horse")
    file.write_text(entry)
    return file, token


@pytest.fixture
def access(users: tuple[Path, str]) -> Access:
    return Access(console(ACCESS="users", USERS_FILE=str(users[0])), b"secret")


def test_a_password_or_a_token_lets_in_and_nothing_else_does(
    access: Access, users: tuple[Path, str]
) -> None:
    lin = User("lin", "reviewer")
    assert access.user(basic("lin:correct horse"), "a") == lin
    assert access.user(basic("lin:correct horse"), "a") == lin  # from what is remembered
    assert access.user({"authorization": f"Bearer {users[1]}"}, "a") == lin
    wrong = [{}, basic("lin:wrong"), basic("wu:correct horse"), basic("lin"), basic("lin:"),
             {"authorization": "Basic ???"}, {"authorization": "Bearer x"},
             {"authorization": "Digest x"}, {"x-forwarded-user": "lin"}]  # fmt: skip
    for number, headers in enumerate(wrong):
        assert access.user(headers, str(number)) is None


def test_who_guesses_has_to_wait_and_others_need_not(access: Access) -> None:
    for _ in range(10):
        assert access.user(basic("lin:guess"), "bad") is None
    with pytest.raises(TooMany):
        access.user(basic("lin:correct horse"), "bad")
    assert access.user(basic("lin:correct horse"), "good") is not None


def test_neither_passwords_nor_tokens_stand_in_the_users_file(users: tuple[Path, str]) -> None:
    file, token = users
    text = file.read_text()
    assert "correct horse" not in text
    assert token not in text
    assert tomllib.loads(text)["user"][0]["role"] == "reviewer"


def test_a_proxys_word_counts_only_from_its_address_and_makes_readers_unless_it_says_more() -> None:
    settings = console(ACCESS="proxy", PROXY_ADDRESSES='["10.0.0.0/8"]')
    access = Access(settings, b"secret")
    said = {"x-forwarded-user": "wu"}
    assert access.user(said, "10.1.2.3") == User("wu", "reader")
    assert access.user({**said, "x-forwarded-role": "reviewer"}, "10.1.2.3") == User(
        "wu", "reviewer"
    )
    assert access.user({**said, "x-forwarded-role": "admin"}, "10.1.2.3") == User("wu", "reader")
    assert access.user(said, "127.0.0.1") is access.user(said, "nobody") is None
    assert access.user({"x-forwarded-user": " "}, "10.1.2.3") is None


def test_a_form_counts_only_with_the_users_own_token_and_from_no_other_site(
    access: Access, users: tuple[Path, str]
) -> None:
    lin = User("lin", "reviewer")
    token = access.csrf(lin)
    assert access.is_genuine(lin, token, {})
    assert access.is_genuine(lin, token, {"sec-fetch-site": "same-origin"})
    assert not access.is_genuine(lin, token, {"sec-fetch-site": "cross-site"})
    assert not access.is_genuine(lin, token, {"sec-fetch-site": "same-site"})
    assert not access.is_genuine(lin, access.csrf(User("wu", "reviewer")), {})
    assert not access.is_genuine(lin, "", {})
    assert not access.is_genuine(lin, "é", {})
    assert access.is_genuine(lin, "", {"authorization": f"Bearer {users[1]}"})
    everybody = Access(console(), b"secret")
    assert not everybody.is_genuine(lin, "", {"authorization": "Bearer x"})


@pytest.mark.parametrize(("settings", "told"), [
    ({"HOST": "0.0.0.0"}, 'access = "open" and host = "0.0.0.0": expected a loopback address'),
    ({"ACCESS": "users"}, 'console.users_file = "": expected a file of users'),
    ({"EXPIRE_DAYS": "100"}, "keep_days = 90: expected at least expire_days = 100"),
    ({"URL": "ftp://x"}, "console.url"),
])  # fmt: skip
def test_settings_that_would_leave_the_door_open_are_refused(
    settings: dict[str, str], told: str
) -> None:
    with pytest.raises(ConfigError) as error:
        console(**settings)
    assert told in str(error.value)


@pytest.mark.parametrize(("text", "told"), [
    ('[[user]]\nname = "lin"\nrole = "boss"', "user[0].role"),
    ('[[user]]\nname = "lin"\nrole = "reader"\npassword = "hunter2"', "user[0].password"),
    ("", "user"),
    ("[[user", "not TOML"),
    ('[[user]]\nname = "a"\nrole = "reader"\n' * 2, 'user "a" stands there twice'),
])  # fmt: skip
def test_a_users_file_that_cannot_be_used_is_refused_without_its_secrets(
    tmp_path: Path, text: str, told: str
) -> None:
    file = tmp_path / "users.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as error:
        Access(console(ACCESS="users", USERS_FILE=str(file)), b"secret")
    assert told in str(error.value)
    assert "hunter2" not in str(error.value)
