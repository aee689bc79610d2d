"""docker-compose.yml and the image: pinned, healthy, not root, secrets from the environment.

No engine is here to start them, so what can be read of them is.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

PROJECT = Path(__file__).resolve().parents[2]
TEXT = (PROJECT / "docker-compose.yml").read_text(encoding="utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILE = (PROJECT / "docker" / "Dockerfile").read_text(encoding="utf-8")
AIRFLOW = {"airflow-init", "api-server", "scheduler", "dag-processor", "triggerer"}
SECRETS = {
    "POSTGRES_PASSWORD", "CITYBRAIN_OPS_PASSWORD", "CITYBRAIN_ADMIN_PASSWORD",
    "AIRFLOW_FERNET_KEY", "AIRFLOW_API_SECRET_KEY", "AIRFLOW_JWT_SECRET",
}  # fmt: skip


def test_the_services_are_airflows_parts_and_postgresql() -> None:
    assert set(SERVICES) == AIRFLOW | {"postgres"}
    for name in ("api-server", "scheduler", "dag-processor", "triggerer"):
        assert SERVICES[name]["command"] == f"airflow {name}"
        waits_for = SERVICES[name]["depends_on"]
        assert waits_for["airflow-init"]["condition"] == "service_completed_successfully"
        assert waits_for["postgres"]["condition"] == "service_healthy"
    environment = SERVICES["scheduler"]["environment"]
    assert environment["AIRFLOW__CORE__EXECUTOR"] == "LocalExecutor"
    assert "@postgres/airflow" in environment["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"]
    assert "@postgres/citybrain" in environment["CITYBRAIN_OPS_URL"]
    assert len({str(SERVICES[name]["image"]) for name in AIRFLOW}) == 1


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_pinned_healthy_restarted_and_not_root(name: str) -> None:
    service = SERVICES[name]
    assert re.fullmatch(r"[a-z-]+:\d[\w.-]*\d[\w-]*", service["image"])
    assert service["user"] in ("50000:50000", "postgres")
    assert service["cap_drop"] == ["ALL"]
    assert "stop_grace_period" in service
    if name == "airflow-init":
        assert service["restart"] == "no"  # it ends, and the others wait for that
    else:
        assert service["restart"] == "unless-stopped"
        assert {"test", "interval", "timeout", "retries"} <= set(service["healthcheck"])


def test_nothing_is_latest_and_no_registry_is_named() -> None:
    for text in (TEXT, DOCKERFILE):
        assert "latest" not in text
        for image in re.findall(r"(?:image:|FROM)\s+(\S+)", text):
            assert "/" not in image
    assert re.search(r"^FROM python:3\.11\.\d+-slim-bookworm$", DOCKERFILE, re.MULTILINE)


def test_ports_are_this_machines_alone_and_files_are_the_projects() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)
    named = set(COMPOSE["volumes"])
    for service in SERVICES.values():
        for volume in service["volumes"]:
            origin = volume.split(":")[0]
            assert origin in named or (PROJECT / origin).resolve().is_relative_to(PROJECT)
            assert origin in named or (PROJECT / origin).is_file()
    assert all("data:/opt/citybrain/data" in SERVICES[name]["volumes"] for name in AIRFLOW)


def test_every_secret_must_be_given_and_the_example_lists_it_without_a_value() -> None:
    demanded = set(re.findall(r"\$\{(\w+):\?", TEXT))
    assert demanded == SECRETS
    example = (PROJECT / ".env.example").read_text(encoding="utf-8")
    given = dict(re.findall(r"^(\w+)=(.*)$", example, re.MULTILINE))
    assert given == dict.fromkeys(SECRETS, "")
    optional = set(re.findall(r"\$\{(\w+):?-", TEXT))
    assert optional <= set(re.findall(r"^#(\w+)=", example, re.MULTILINE))
    for line in TEXT.splitlines():
        if re.search(r"(PASSWORD|SECRET|KEY|_CONN|_URL): ", line) and "passwords.json" not in line:
            assert "${" in line or "http://api-server" in line, line


def test_the_image_is_installed_from_the_hashed_lock_by_a_user_of_its_own() -> None:
    steps = DOCKERFILE.replace("\\\n", " ")
    assert "--require-hashes -r requirements.txt" in steps
    assert steps.index("compileall") < steps.index("USER 50000:50000")
    assert steps.rstrip().splitlines()[-2] == "USER 50000:50000"
    assert "--uid 50000" in steps
    sent = (PROJECT / ".dockerignore").read_text(encoding="utf-8").split()
    for origin in re.findall(r"^COPY (?:--\S+ )*(\S+)", steps, re.MULTILINE):
        assert f"!{origin.split('/')[0]}" in sent
        assert (PROJECT / origin).exists()


@pytest.mark.parametrize("script", ["initialise.sh", "create-databases.sh"])
def test_the_scripts_are_sound_shell(script: str) -> None:
    place = PROJECT / "docker" / script
    subprocess.run(["bash", "-n", str(place)], check=True)
    assert os.access(place, os.X_OK)
    assert "set -euo pipefail" in place.read_text(encoding="utf-8")
