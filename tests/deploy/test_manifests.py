"""What deploys the detector: valid by its readers' schemas, and true of this project."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from detector.settings import load_settings
from tests.deploy.write_prometheusrule import ALERTS, prometheus_rule
from tests.kafka_node import VERSION as KAFKA_VERSION

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
KUBERNETES = DEPLOY / "kubernetes"
KUBERNETES_VERSION = "1.33"
SHIPPED = ROOT / "config" / "detector.toml"

CUSTOM = {"PodMonitor", "PrometheusRule", "ScaledObject"}
"""Kinds of operators, of which Kubernetes has no schema."""

PATCHES = {"sidecar.yaml"}
"""Parts of objects, which are whole only together with another."""


def manifests() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every object of Kubernetes, by file."""
    for path in sorted(KUBERNETES.rglob("*.yaml")):
        for found in yaml.safe_load_all(path.read_text("utf-8")):
            yield str(path.relative_to(KUBERNETES)), found


def environment_names(text: str) -> list[str]:
    return re.findall(r"TIP_DETECTOR__\w+", text)


def test_there_are_manifests() -> None:
    kinds = {found["kind"] for _, found in manifests()}
    assert kinds >= {"StatefulSet", "Deployment", "NetworkPolicy", "PodDisruptionBudget", *CUSTOM}


@pytest.mark.parametrize(
    ("where", "found"),
    [
        pytest.param(where, found, id=where)
        for where, found in manifests()
        if found["kind"] not in {*CUSTOM, "Kustomization"} and Path(where).name not in PATCHES
    ],
)
def test_an_object_is_valid_by_the_schema_of_kubernetes(where: str, found: dict[str, Any]) -> None:
    kubernetes_validate.validate(found, KUBERNETES_VERSION, strict=True)


def test_what_a_kustomization_names_is_there() -> None:
    for path in KUBERNETES.rglob("kustomization.yaml"):
        found = yaml.safe_load(path.read_text("utf-8"))
        named = [*found.get("resources", []), *(each["path"] for each in found.get("patches", []))]
        for generator in found.get("configMapGenerator", []):
            named += generator["files"]
        assert named
        assert [each for each in named if not (path.parent / each).exists()] == [], path


def test_selectors_choose_the_pods_and_nothing_else() -> None:
    """An empty selector would choose every pod of the namespace."""
    label = {"app.kubernetes.io/name": "tip-detector"}
    chosen = []
    for where, found in manifests():
        spec = found.get("spec", {})
        selector = spec.get("selector", spec.get("podSelector"))
        if selector is not None and found["metadata"]["name"] == "tip-detector":
            assert selector.get("matchLabels", selector) == label, where
            chosen.append(found["kind"])
    assert len(chosen) == 5


@pytest.mark.parametrize(
    "pod",
    [
        pytest.param(found["spec"]["template"]["spec"], id=where)
        for where, found in manifests()
        if where in ("standalone/statefulset.yaml", "sidecar/sidecar.yaml")
    ],
)
def test_the_container_is_confined(pod: dict[str, Any]) -> None:
    (container,) = pod["containers"]
    security = pod.get("securityContext", {}) | container["securityContext"]
    assert security["runAsNonRoot"] is security["readOnlyRootFilesystem"] is True
    assert security["allowPrivilegeEscalation"] is False
    assert security["capabilities"] == {"drop": ["ALL"]}
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["resources"]["limits"]["memory"]
    assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"


def test_its_settings_are_settings() -> None:
    loaded = load_settings(KUBERNETES / "base" / "detector.toml", SHIPPED, environment={})
    assert loaded.kafka.security_protocol == "SASL_SSL"


@pytest.mark.parametrize(
    "path",
    [
        "compose.yaml", "systemd/tip-detector.service", "kubernetes/standalone/statefulset.yaml",
        "kubernetes/sidecar/sidecar.yaml", "Dockerfile",
    ],
)  # fmt: skip
def test_environment_variables_name_settings(path: str) -> None:
    names = environment_names((DEPLOY / path).read_text("utf-8"))
    assert names
    tables = load_settings(None, SHIPPED, environment={}).model_dump()
    for name in names:
        section, key = name.lower().split("__")[1:]
        assert key in tables[section], name


def test_the_compose_file_is_valid_and_what_it_mounts_is_there() -> None:
    path = DEPLOY / "compose.yaml"
    done = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", path],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    compose = yaml.safe_load(path.read_text("utf-8"))
    for service in compose["services"].values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert source in compose["volumes"] or (DEPLOY / source).is_dir(), source
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:")
    assert compose["services"]["kafka"]["image"] == f"apache/kafka:{KAFKA_VERSION}"


def test_hadolint_has_nothing_to_say_of_the_dockerfile() -> None:
    program = Path(sys.executable).with_name("hadolint")
    done = subprocess.run(
        [program, DEPLOY / "Dockerfile"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_image_is_made_of_files_that_are_there() -> None:
    """`.dockerignore` lets in what the wheel is made of, and nothing that is not there."""
    lines = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    let_in = [line[1:] for line in lines if line.startswith("!")]
    assert {"pyproject.toml", "detector", "config"} <= set(let_in)
    assert [each for each in let_in if not (ROOT / each).exists()] == []


def test_the_operator_s_rules_are_those_of_prometheus() -> None:
    assert yaml.safe_load(ALERTS.read_text("utf-8")) == prometheus_rule()
