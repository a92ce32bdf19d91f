"""What goes wrong between us and an Alertmanager, in words that hold no secret."""

from __future__ import annotations

from pathlib import Path

import pytest

from detector.core.case_alerts import CaseAlert
from detector.edges.alertmanager import Alertmanager, AlertmanagerError, Links, to_alert

NOBODY = "http://127.0.0.1:9"


def why_not(token_file: Path | str = "") -> str:
    with pytest.raises(AlertmanagerError) as caught:
        Alertmanager(NOBODY, str(token_file)).bring_up_to_date([], lambda _: False, 0)
    assert caught.value.__cause__ is None or "hunter2" not in str(caught.value.__cause__)
    return str(caught.value)


def test_one_that_does_not_answer_is_named() -> None:
    assert why_not().startswith(f"GET {NOBODY}/api/v2/alerts: <urlopen error [Errno 111]")


def test_a_token_that_cannot_be_sent_is_not_shown(tmp_path: Path) -> None:
    file = tmp_path / "token"
    assert "No such file" in why_not(file)
    for token in ("two\nlines hunter2", "密码hunter2"):
        file.write_text(token, "utf-8")
        assert why_not(file).endswith(f"one line of ASCII in alertmanager.token_file = {file}")


def test_what_speaks_against_a_case_comes_last_and_says_so() -> None:
    texts = [("benign_steady", "steady", "平稳"), ("above_own_history", "much", "很多")]
    flag = {
        "kind": "binge", "severity": "high", "action": "confirm",
        "subject": {"type": "tipper", "id": "nobodys-business"},
        "reasons": [{"code": code, "text": {"en": en, "zh": zh}} for code, en, zh in texts],
    }  # fmt: skip
    alert = to_alert(
        "c_../1", CaseAlert(flag, 1_000, 2_000), Links("http://console/cases/{}".format)
    )
    assert alert["annotations"]["description"] == "- much\n- against: steady"
    assert alert["annotations"]["description_zh"] == "- 很多\n- 反证：平稳"
    assert alert["generatorURL"] == "http://console/cases/c_..%2F1"
    assert "nobodys-business" not in str(alert)
