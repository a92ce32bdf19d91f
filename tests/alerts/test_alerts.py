"""Every alert fires, ends and stays silent when it should, and says what to do; all files load."""

from __future__ import annotations

import re
import subprocess
import time
import urllib.request
from collections import defaultdict
from pathlib import Path

import orjson
import pytest

from detector.console.metrics import CONSOLE_METRICS
from detector.core.reasons import KINDS
from detector.edges.metrics import METRICS, PREFIX
from tests.alerts.shipped import (
    ALERTMANAGER,
    PROMETHEUS,
    RULE_TESTS,
    RULES,
    RUNBOOKS,
    alert_checks,
    alerts,
    load,
    rules,
)
from tests.alerts.stack import Alertmanager
from tests.conftest import program

RECORDED = r"[a-z_]+:tip_detector_[a-z_]+:[a-z0-9_]+"
ANNOTATIONS = {"summary", "summary_zh", "description", "description_zh", "runbook_url"}
HEADINGS = ["Meaning", "Impact", "Diagnosis", "Mitigation"]


def run(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def amtool(*arguments: str | Path) -> str:
    program("prometheus-alertmanager")  # the package that brings amtool
    return run("amtool", *arguments)


# -- the files ------------------------------------------------------------------------------------


def test_promtool_and_amtool_accept_what_is_shipped(promtool: str) -> None:
    run(promtool, "check", "rules", "--lint-fatal", *RULES)
    run(promtool, "check", "config", "--lint-fatal", PROMETHEUS / "prometheus.yml")
    assert "1 templates" in amtool("check-config", ALERTMANAGER / "alertmanager.yml")


@pytest.mark.parametrize("path", RULE_TESTS, ids=lambda path: path.stem)
def test_the_tests_of_the_rules_pass(path: Path, promtool: str) -> None:
    run(promtool, "test", "rules", path)


# -- each alert -----------------------------------------------------------------------------------


def test_each_alert_is_shown_to_fire_to_end_and_to_stay_silent() -> None:
    fires, ends, silent = set(), set(), set()
    by_test: dict[tuple[str, str], list[bool]] = defaultdict(list)
    for test, alert, is_firing in alert_checks():
        by_test[test, alert].append(is_firing)
    for (_, alert), checks in by_test.items():
        fires |= {alert} if any(checks) else set()
        ends |= {alert} if any(checks) and not checks[-1] else set()
        silent |= {alert} if not any(checks) else set()
    assert fires == ends == silent == set(alerts())


def test_each_alert_says_who_is_called_and_what_for_in_both_languages() -> None:
    for name, rule in alerts().items():
        assert rule["labels"]["severity"] in ("critical", "warning", "info"), name
        assert rule["labels"]["team"] in ("reviewers", "platform"), name
        assert set(rule["annotations"]) >= ANNOTATIONS, name
        for key, text in rule["annotations"].items():
            assert bool(re.search("[一-鿿]", text)) == key.endswith("_zh"), (name, key)
        if rule["labels"]["team"] == "reviewers":
            assert rule["annotations"]["console_url"].startswith("{{ $externalLabels.console }}/")


def test_no_alert_flaps_where_it_waits_neither_before_nor_after_it_fires() -> None:
    assert [
        name for name, rule in alerts().items() if not {"for", "keep_firing_for"} & {*rule}
    ] == []


def test_each_alert_links_to_a_runbook_that_is_there_and_each_runbook_has_its_alert() -> None:
    linked = {
        name: rule["annotations"]["runbook_url"].removeprefix("{{ $externalLabels.runbooks }}/")
        for name, rule in alerts().items()
    }
    assert linked == {name: f"{name}.md" for name in alerts()}
    assert {path.stem for path in RUNBOOKS.glob("*.md")} == {*alerts(), "TipCase"}


@pytest.mark.parametrize("path", sorted(RUNBOOKS.glob("*.md")), ids=lambda path: path.stem)
def test_a_runbook_says_meaning_impact_diagnosis_and_mitigation(path: Path) -> None:
    text = path.read_text("utf-8")
    title, *bodies = re.split(r"^#+ .+$", text, flags=re.M)[1:]
    assert re.findall(r"^#+ (.+)$", text, re.M) == [path.stem, *HEADINGS]
    assert not title.strip()
    assert all(body.strip() for body in bodies)


# -- what they are made of ------------------------------------------------------------------------


def known_metrics() -> set[str]:
    known = set()
    for spec in (*METRICS, *CONSOLE_METRICS):
        known.add(PREFIX + spec.name)
        if spec.kind == "histogram":
            known |= {f"{PREFIX}{spec.name}_{part}" for part in ("bucket", "count", "sum")}
    return known | {rule["record"] for rule in rules() if "record" in rule}


def test_rules_runbooks_and_tests_name_only_metrics_that_there_are() -> None:
    known = known_metrics()
    texts = {
        path: path.read_text("utf-8") for path in [*RULES, *RULE_TESTS, *RUNBOOKS.glob("*.md")]
    }
    named = {
        (path.name, name)
        for path, text in texts.items()
        for name in re.findall(rf"{RECORDED}|\b{PREFIX}[a-z0-9_]+", text)
    }
    assert len(named) > 100
    assert [one for one in sorted(named) if one[1] not in known] == []


def test_the_queries_in_the_runbooks_are_promql(promtool: str, tmp_path: Path) -> None:
    queries = [
        line.split("  #")[0]
        for path in RUNBOOKS.glob("*.md")
        for block in re.findall(r"^```\n(.*?)^```", path.read_text("utf-8"), re.M | re.S)
        for line in block.splitlines()
        if re.search(r"tip_detector_|\bup\{", line)
    ]
    assert len(queries) > 60
    groups = [{"name": "runbooks", "rules": [
        {"record": f"runbook:query:{number}", "expr": query}
        for number, query in enumerate(queries)
    ]}]  # fmt: skip
    path = tmp_path / "queries.yml"
    path.write_bytes(orjson.dumps({"groups": groups}))
    run(promtool, "check", "rules", path)


# -- who is told ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("labels", "receiver"),
    [
        ("alertname=TipCase team=reviewers kind=minor severity=high case_id=c", "reviewers-pages"),
        ("alertname=TipDetectorRing team=reviewers kind=ring severity=critical", "reviewers-pages"),
        ("alertname=TipDetectorScoreDrift team=reviewers severity=info", "reviewers-tickets"),
        ("alertname=TipDetectorDown team=platform severity=critical", "platform-pages"),
        ("alertname=TipDetectorEvictions team=platform severity=warning", "platform-tickets"),
        ("alertname=SomebodyElses severity=critical", "platform-tickets"),
    ],
)
def test_an_alert_goes_to_its_team_by_its_severity(labels: str, receiver: str) -> None:
    config = f"--config.file={ALERTMANAGER / 'alertmanager.yml'}"
    found = amtool("config", "routes", "test", config, f"--verify.receivers={receiver}",
                   *labels.split())  # fmt: skip
    assert receiver in found


def test_whatever_holds_an_alert_back_is_an_alert_that_there_is() -> None:
    names = {*alerts(), "TipCase"}
    for rule in load(ALERTMANAGER / "alertmanager.yml")["inhibit_rules"]:
        for matcher in rule["source_matchers"] + rule["target_matchers"]:
            named = re.findall(r"TipDetector\(.+\)|Tip\w+", matcher)
            for each in named:
                within = re.fullmatch(r"TipDetector\((.+)\)", each)
                ours = [f"TipDetector{n}" for n in within[1].split("|")] if within else [each]
                assert set(ours) <= names, matcher
        assert rule["equal"]


ALERTS = (
    "alertname=TipDetectorDown team=platform severity=critical job=a",
    "alertname=TipDetectorLagBudgetBurn team=platform severity=critical job=a",
    "alertname=TipDetectorCommitsStalled team=platform severity=critical job=b",
    "alertname=TipDetectorFlagSurge team=reviewers severity=warning job=a kind=minor",
    "alertname=TipCase team=reviewers severity=high kind=minor case_id=c",
    "alertname=TipDetectorDeclaredMinor team=reviewers severity=critical job=a kind=minor",
    "alertname=TipDetectorRing team=reviewers severity=critical job=a kind=ring",
)


def test_what_is_down_is_not_late_too_and_a_case_that_is_told_of_is_not_counted_too(
    tmp_path: Path,
) -> None:
    labels = [dict(pair.split("=") for pair in each.split()) for each in ALERTS]
    with Alertmanager(tmp_path / "alertmanager") as alertmanager:
        api = alertmanager.url + "/api/v2/alerts"
        body = orjson.dumps([{"labels": each} for each in labels])
        kind = {"Content-Type": "application/json"}
        urllib.request.urlopen(urllib.request.Request(api, body, kind), timeout=5).close()
        silenced: set[str] = set()
        deadline_s = time.monotonic() + 10
        while len(silenced) < 2 and time.monotonic() < deadline_s:
            with urllib.request.urlopen(api + "?active=false", timeout=5) as answer:
                silenced = {each["labels"]["alertname"] for each in orjson.loads(answer.read())}
            time.sleep(0.1)
    assert silenced == {"TipDetectorLagBudgetBurn", "TipDetectorDeclaredMinor"}


# -- how it reads ---------------------------------------------------------------------------------


def case(number: int, started: str, status: str = "firing") -> dict[str, object]:
    return {
        "status": status,
        "labels": {"alertname": "TipCase", "team": "reviewers", "kind": "minor",
                   "severity": "high", "case_id": f"c_{number}", "subject_type": "tipper"},
        "annotations": {
            "summary": f"case {number}", "summary_zh": f"案件{number}",
            "description": f"- reason {number}", "description_zh": f"- 理由{number}",
            "console_url": f"https://console/cases/c_{number}",
            "runbook_url": "https://runbooks/TipCase.md",
        },
        "startsAt": started, "endsAt": "0001-01-01T00:00:00Z",
    }  # fmt: skip


def rendered(name: str, folder: Path, *cases: dict[str, object]) -> str:
    common = cases[0] if len(cases) == 1 else {"annotations": {}}
    path = folder / "data.json"
    path.write_bytes(orjson.dumps({
        "receiver": "reviewers-pages", "status": "firing", "alerts": cases,
        "groupLabels": {"kind": "minor"}, "commonLabels": {"kind": "minor"},
        "commonAnnotations": common["annotations"], "externalURL": "http://alertmanager",
    }))  # fmt: skip
    return amtool(
        "template", "render", f"--template.glob={ALERTMANAGER}/templates/*.tmpl",
        f'--template.text={{{{ template "tip_detector.{name}" . }}}}', f"--template.data={path}",
    )  # fmt: skip


def test_a_page_of_one_case_says_kind_since_when_why_and_where_to_look(tmp_path: Path) -> None:
    one = case(1, "2026-03-02T12:00:00Z")
    assert (
        rendered("subject", tmp_path, one) == "[FIRING 告警] Tips by a minor 未成年人打赏: case 1"
    )
    assert rendered("page", tmp_path, one) == (
        "Tips by a minor 未成年人打赏\n"
        "1 open 条未恢复, since 始于 2026-03-02 12:00 UTC\n\n"
        "case 1\n案件1\n- reason 1\n- 理由1\n"
        "Look 查看: https://console/cases/c_1\n"
        "What to do 处置: https://runbooks/TipCase.md\n"
    )


def test_a_page_of_several_shows_the_one_that_waits_longest_and_lists_the_others(
    tmp_path: Path,
) -> None:
    cases = [case(n, f"2026-03-02T{12 - n % 3}:{n}0:00Z") for n in (1, 2, 3)]
    page = rendered("page", tmp_path, *cases, case(4, "2026-03-02T09:00:00Z", "resolved"))
    assert rendered("subject", tmp_path, *cases).startswith("[FIRING 告警 ×3] Tips by a minor")
    assert "3 open 条未恢复, since 始于 2026-03-02 10:20 UTC\n\nThe worst 最严重:\ncase 2\n" in page
    assert "- case 3 / 案件3 https://console/cases/c_3\n" in page
    assert "Resolved 已恢复: 1\n- case 4 / 案件4\n" in page


def test_a_page_lists_ten_cases_at_most(tmp_path: Path) -> None:
    page = rendered("page", tmp_path, *(case(n, "2026-03-02T12:00:00Z") for n in range(30)))
    assert len(re.findall(r"^- case", page, re.M)) == 10
    assert "the rest is in the console" in page


def test_every_kind_has_its_name_in_both_languages() -> None:
    template = (ALERTMANAGER / "templates" / "tip-detector.tmpl").read_text("utf-8")
    for kind in KINDS:
        assert re.search(rf'eq \. "{kind}" }}}}\w[\w ]+ [一-鿿]+', template), kind
