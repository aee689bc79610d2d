"""docker-compose.yml and the image: what they promise, and that the native run does just that.

Nothing is started here but programs that end at once. `test_airflow.py` runs it all.
"""

from __future__ import annotations

import http.server
import importlib.util
import json
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from stack import deployment as native
from stack import postgresql
from stack.compose import ComposeError, read_compose, read_image, seconds, substituted
from stack.deployment import PROJECT, Deployment, StackError, compose_file, filled_in

from pipelines.settings import Settings

TEXT = native.COMPOSE.read_text(encoding="utf-8")
COMPOSE = compose_file()
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILE = native.DOCKERFILE.read_text(encoding="utf-8")
EXAMPLE = (PROJECT / ".env.example").read_text(encoding="utf-8")
AIRFLOW = ["airflow-init", "api-server", "scheduler", "dag-processor", "triggerer"]
SECRETS = {
    "POSTGRES_PASSWORD",
    "CITYBRAIN_OPS_PASSWORD",
    "CITYBRAIN_ADMIN_PASSWORD",
    "AIRFLOW_FERNET_KEY",
    "AIRFLOW_API_SECRET_KEY",
    "AIRFLOW_JWT_SECRET",
}
BESIDES_SETTINGS = {  # who reads a CITYBRAIN_ variable that is no field of Settings
    "CITYBRAIN_ADMIN_PASSWORD": "docker/initialise.sh",
    "CITYBRAIN_AS_OF": "dags/nightly.py",
    "CITYBRAIN_DAG_RETRIES": "dags/conventions.py",
    "CITYBRAIN_OPS_PASSWORD": "docker/create-databases.sh",
    "CITYBRAIN_SAMPLE_UNTIL": "docker/initialise.sh",
}
PAGE = ("api-server", 8080)
ENTRY_POINT = {"POSTGRES_PASSWORD"}  # PostgreSQL's image reads it
ADDED = {"HOME", "PATH", "TZ", "PGHOST", "PGPORT", "AIRFLOW__API__HOST", "AIRFLOW__API__PORT"}


@pytest.fixture(scope="module", params=sorted(native.VARIANTS))
def prepared(request: pytest.FixtureRequest) -> Iterator[Deployment]:
    """Yield a deployment of each variant that is not started."""
    if request.param == "postgresql" and postgresql.programs() is None:
        pytest.skip(postgresql.MISSING)
    made = native.deployment(request.param)
    yield made
    made.close()


def changed(change: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Return the compose file with a change."""
    content: dict[str, Any] = yaml.safe_load(yaml.safe_dump(COMPOSE))
    change(content)
    return content


# --- what the files promise -------------------------------------------------------------------


def test_the_services_are_airflows_parts_and_postgresql() -> None:
    assert {*SERVICES} == {*AIRFLOW, "postgres"}
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


def test_every_secret_must_be_given_and_the_example_lists_it_without_a_value() -> None:
    assert set(re.findall(r"\$\{(\w+):\?", TEXT)) == SECRETS
    assert dict(re.findall(r"^(\w+)=(.*)$", EXAMPLE, re.MULTILINE)) == dict.fromkeys(SECRETS, "")
    for missing in SECRETS:
        given = {name: text for name, text in filled_in().items() if name != missing}
        with pytest.raises(ComposeError, match=rf"{missing}: set it in \.env, see \.env\.example"):
            read_compose(COMPOSE, given)
    for line in TEXT.splitlines():
        if re.search(r"(PASSWORD|SECRET|KEY|_CONN|_URL): ", line) and "passwords.json" not in line:
            assert "${" in line or "http://api-server" in line, line


def test_the_example_and_the_compose_file_know_the_same_variables_and_defaults() -> None:
    defaults = dict(re.findall(r"\$\{(\w+):?-([^}]*)\}", TEXT))
    assert dict(re.findall(r"^#(\w+)=(.*)$", EXAMPLE, re.MULTILINE)) == defaults
    assert set(filled_in()) <= SECRETS | set(defaults)
    services = read_compose(COMPOSE, dict.fromkeys(SECRETS, "secret"))
    ((inside, outside),) = services["api-server"].published.items()
    url = services["api-server"].environment["AIRFLOW__API__BASE_URL"]
    assert url == f"http://127.0.0.1:{outside}"
    assert ("api-server", inside) in native.LISTENERS


def test_the_examples_recipes_make_what_is_asked_for() -> None:
    if shutil.which("openssl") is None:
        pytest.skip("OPENSSL IS NOT INSTALLED: the recipes of .env.example were not tried")
    from cryptography.fernet import Fernet

    recipes = re.findall(r"^#.*?: +(openssl .*)\n(?:#.*\n)*(\w+)=$", EXAMPLE, re.MULTILINE)
    assert {name for _, name in recipes} == SECRETS - {"CITYBRAIN_ADMIN_PASSWORD"}
    for recipe, name in recipes:
        made = subprocess.run(
            ["bash", "-c", recipe], check=True, capture_output=True, text=True, timeout=10
        ).stdout.strip()
        assert re.fullmatch(r"\w+" if "FERNET" not in name else r"[\w=-]+", made)
        if "FERNET" in name:
            Fernet(made)


def test_the_image_is_installed_from_the_hashed_lock_by_a_user_of_its_own() -> None:
    steps = DOCKERFILE.replace("\\\n", " ")
    assert "--require-hashes -r requirements.txt" in steps
    assert steps.index("compileall") < steps.index("USER 50000:50000")
    assert steps.rstrip().splitlines()[-2] == "USER 50000:50000"
    assert "--uid 50000" in steps
    sent = (PROJECT / ".dockerignore").read_text(encoding="utf-8").split()
    for origin, _, _ in read_image(DOCKERFILE).copies:
        assert f"!{origin.split('/')[0]}" in sent
        assert (PROJECT / origin).exists()


@pytest.mark.parametrize("script", ["initialise.sh", "create-databases.sh"])
def test_the_scripts_are_sound_shell(script: str) -> None:
    place = PROJECT / "docker" / script
    subprocess.run(["bash", "-n", str(place)], check=True)
    assert os.access(place, os.X_OK)
    assert "set -euo pipefail" in place.read_text(encoding="utf-8")


def test_make_airflow_sets_what_the_compose_file_sets() -> None:
    makefile = (PROJECT / "Makefile").read_text(encoding="utf-8")
    exported = dict(re.findall(r"^airflow: export (AIRFLOW\w+) := (.*)$", makefile, re.MULTILINE))
    fixed = {name: text for name, text in exported.items() if "$" not in text}
    environment = SERVICES["scheduler"]["environment"]
    same = {name for name in fixed.keys() & environment if "$" not in environment[name]}
    assert {"AIRFLOW__CORE__EXECUTOR", "AIRFLOW__CORE__DEFAULT_TIMEZONE"} <= same
    assert {name: exported[name] for name in same} == {name: environment[name] for name in same}


# --- that each variable is somebody's ------------------------------------------------------------


def declared_variables() -> set[str]:
    """Return every variable of every service, of the image, and of the tests."""
    ours = {name for service in SERVICES.values() for name in service["environment"]}
    return ours | set(read_image(DOCKERFILE).environment) | set(native.OVERRIDES)


def test_every_variable_of_ours_is_read() -> None:
    fields = {f"CITYBRAIN_{name.upper()}" for name in Settings.model_fields}
    ours = {name for name in declared_variables() if name.startswith("CITYBRAIN_")}
    assert ours <= fields | set(BESIDES_SETTINGS)
    for name, reader in BESIDES_SETTINGS.items():
        assert name in (PROJECT / reader).read_text(encoding="utf-8")


def test_every_variable_of_airflows_is_a_key_of_its_configuration() -> None:
    package = importlib.util.find_spec("airflow")
    if package is None or package.origin is None:
        pytest.skip(
            "AIRFLOW IS NOT INSTALLED: its variables were not checked; run `make test-stack`"
        )
    reference = Path(package.origin).parent / "config_templates" / "config.yml"
    sections = yaml.safe_load(reference.read_text(encoding="utf-8"))
    known = {
        f"AIRFLOW__{section}__{key}".upper()
        for section, content in sections.items()
        for key in content["options"]
    }
    listeners = {name for names in native.LISTENERS.values() for name in names or ()}
    airflows = {name for name in declared_variables() | listeners if name.startswith("AIRFLOW")}
    assert airflows - known == {"AIRFLOW_HOME"}


def test_no_service_has_a_variable_of_another_program() -> None:
    for name, service in SERVICES.items():
        strange = {
            variable
            for variable in service["environment"]
            if not variable.startswith(("AIRFLOW_", "CITYBRAIN_"))
        }
        assert strange == (ENTRY_POINT if name == "postgres" else set())
    assert ENTRY_POINT <= postgresql.KNOWN


# --- that the native run is the compose file -----------------------------------------------------


def test_services_start_in_an_order_that_waits(prepared: Deployment) -> None:
    wanted = [name for name in ("postgres", *AIRFLOW) if name in prepared.services]
    order = list(prepared.services)
    assert order[: len(wanted) - 3] == wanted[: len(wanted) - 3]
    assert {*order[-3:]} == {*wanted[-3:]}
    for name, service in prepared.services.items():
        declared = SERVICES[name].get("depends_on", {})
        assert service.after == {
            other: options["condition"]
            for other, options in declared.items()
            if other in prepared.services
        }
        assert all(order.index(other) < order.index(name) for other in service.after)


def test_every_service_runs_its_command(prepared: Deployment) -> None:
    for name in prepared.services:
        program, *arguments = prepared.command(name)
        assert os.access(program if "/" in program else shutil.which(program) or "", os.X_OK)
        if name == "postgres":
            continue
        declared = SERVICES[name]["command"].split()
        added = native.ARGUMENTS.get(name, ())
        assert [Path(program).name, *arguments] == [*declared, *added]
    assert set(native.ARGUMENTS) <= set(SERVICES)


def test_our_commands_are_the_files_that_the_image_copies(prepared: Deployment) -> None:
    used = {
        "initialise.sh": prepared.command("airflow-init")[0],
        "healthy.py": prepared.health_command("scheduler")[0],
    }
    for origin, program in used.items():
        assert Path(program).parent.parts[-3:] == ("usr", "local", "bin")
        assert Path(program).read_bytes() == (PROJECT / "docker" / origin).read_bytes()
        assert os.access(program, os.X_OK)


def test_every_variable_reaches_its_process_and_nothing_else_does(
    prepared: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    for stranger in ("AIRFLOW__CORE__EXECUTOR_", "CITYBRAIN_X", "PYTEST_X", "PGDATA", "LANG"):
        monkeypatch.setenv(stranger, "inherited")
    image = read_image(DOCKERFILE).environment
    for name in prepared.services:
        declared = {} if name == "postgres" else dict(image)
        declared |= substituted(
            prepared.content["services"][name]["environment"], prepared.variables
        )
        given = prepared.environment(name)
        others = set() if name == "postgres" else set(native.OVERRIDES)
        assert set(declared) <= set(given)
        assert set(given) - set(declared) <= ADDED | others
        for variable in set(declared) - others:
            assert_same(prepared, name, given[variable], declared[variable])
        assert {variable: given[variable] for variable in others} == {
            variable: native.OVERRIDES[variable] for variable in others
        }


def assert_same(prepared: Deployment, service: str, given: str, declared: str) -> None:
    """Check that a value is the declared one, or its path or address on this machine."""
    if declared.startswith("/"):
        assert given == f"{prepared.container(service)}{declared}"
    elif match := re.fullmatch(r"(.*[@/])(postgres|api-server:8080)(/.*)", declared):
        before, host, rest = match.groups()
        port = prepared.port("postgres", 5432) if host == "postgres" else prepared.port(*PAGE)
        assert given == f"{before}127.0.0.1:{port}{rest}"
    else:
        assert given == declared
        assert "/opt/" not in declared


def test_every_mount_is_there_and_a_volume_is_shared(prepared: Deployment) -> None:
    named = set()
    for name in prepared.services:
        for volume in prepared.content["services"][name]["volumes"]:
            origin, target = volume.split(":")[:2]
            place = prepared.container(name) / target.lstrip("/")
            if origin in prepared.content["volumes"]:
                named.add(origin)
                assert place.resolve() == prepared.volume(origin)
            else:
                assert place.read_bytes() == (PROJECT / origin).read_bytes()
                assert os.access(place, os.X_OK) == os.access(PROJECT / origin, os.X_OK)
    assert named >= set(COMPOSE["volumes"]) - {"postgres"}
    assert all("data:/opt/citybrain/data" in SERVICES[name]["volumes"] for name in AIRFLOW)


def test_what_the_image_copies_lies_where_the_image_has_it(prepared: Deployment) -> None:
    for name in [name for name in prepared.services if name != "postgres"]:
        inside = prepared.container(name) / "opt" / "citybrain"
        for folder in ("pipelines", "expectations", "warehouse", "dags"):
            assert (inside / folder).resolve() == PROJECT / folder
        assert (inside / "data").resolve() == prepared.volume("data")


def test_the_page_listens_on_the_loopback_and_unknown_ports_are_refused(
    prepared: Deployment,
) -> None:
    page = int(prepared.variables["AIRFLOW_PORT"])
    assert prepared.port(*PAGE) == page
    given = prepared.environment("api-server")
    assert (given["AIRFLOW__API__HOST"], given["AIRFLOW__API__PORT"]) == ("127.0.0.1", str(page))
    with pytest.raises(StackError, match="nothing is known to listen at api-server:8081"):
        prepared.native("scheduler", "http://api-server:8081/")


def test_every_health_check_is_a_program_with_the_addresses_of_this_machine(
    prepared: Deployment,
) -> None:
    page = f"http://127.0.0.1:{prepared.variables['AIRFLOW_PORT']}/"
    for name, service in prepared.services.items():
        if service.health is None:
            assert SERVICES[name]["healthcheck"] == {"disable": True}
            continue
        program, *arguments = prepared.health_command(name)
        declared = SERVICES[name]["healthcheck"]["test"]
        assert os.access(program, os.X_OK)
        assert Path(program).name == declared[1]
        local = re.compile("http://(127.0.0.1|api-server):8080/")
        assert arguments == [local.sub(page, word) for word in declared[2:]]


def test_the_embedded_variant_lacks_postgresql_alone() -> None:
    less = native.embedded(COMPOSE)
    assert set(COMPOSE["services"]) - set(less["services"]) == {"postgres"}
    for name, service in less["services"].items():
        declared = SERVICES[name]
        assert {**declared["environment"]}.keys() - service["environment"].keys() == {
            *native.ON_SQLITE
        }
        assert {*declared["volumes"]} ^ {*service["volumes"]} == {"home:/opt/airflow"}
        assert declared["depends_on"].keys() - service["depends_on"].keys() == {"postgres"}
        same = {*declared} - {"environment", "volumes", "depends_on"}
        assert {key: service[key] for key in same} == {key: declared[key] for key in same}


@pytest.mark.parametrize(
    ("health", "part", "code"),
    [
        ({"scheduler": {"status": "healthy"}}, "scheduler", 0),
        ({"scheduler": {"status": "unhealthy"}}, "scheduler", 1),
        ({"triggerer": {"status": None}}, "triggerer", 1),
        ({}, "scheduler", 1),
        ({}, None, 0),
        (None, None, 1),
    ],
)
def test_a_health_check_fails_unless_the_part_is_well(
    prepared: Deployment, health: Any, part: str | None, code: int
) -> None:
    class Monitor(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if health is not None else 503)
            self.end_headers()
            self.wfile.write(json.dumps(health).encode())

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Monitor) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        program = prepared.health_command("scheduler")[0]
        url = f"http://127.0.0.1:{server.server_port}/"
        done = subprocess.run(
            [program, url, *([part] if part else [])],
            check=False,
            capture_output=True,
            env=prepared.environment("scheduler"),
            timeout=30,
        )
        server.shutdown()
    assert done.returncode == code


# --- that the interpreter passes nothing over ----------------------------------------------------


@pytest.mark.parametrize(
    ("place", "key", "value", "message"),
    [
        ((), "networks", {}, "networks"),
        (("volumes",), "data", {"driver": "local"}, "data"),
        (("services", "scheduler"), "env_file", ".env", "env_file"),
        (("services", "scheduler"), "entrypoint", "sh", "entrypoint"),
        (("services", "scheduler"), "ports", ["8793:8793"], "not a port of this machine alone"),
        (("services", "scheduler"), "volumes", ["/etc:/etc"], "no known form of a volume"),
        (("services", "scheduler"), "volumes", ["data:/x:z"], "no known form of a volume"),
        (("services", "scheduler", "environment"), "CITYBRAIN_THREADS", 2, "write .* in quotes"),
        (("services", "scheduler", "depends_on"), "triggerer", {}, "no known condition"),
        (("services", "scheduler", "healthcheck"), "start_interval", "1s", "start_interval"),
        (("services", "scheduler", "healthcheck"), "test", ["CMD-SHELL", "x"], "as CMD"),
        (("services", "scheduler", "healthcheck"), "timeout", "soon", "no duration"),
    ],
)
def test_unknown_keys_of_the_compose_file_are_refused(
    place: tuple[str, ...], key: str, value: Any, message: str
) -> None:
    def change(content: dict[str, Any]) -> None:
        for step in place:
            content = content[step]
        content[key] = value

    with pytest.raises(ComposeError, match=message):
        read_compose(changed(change), filled_in())


@pytest.mark.parametrize("line", ["ADD x y", "ARG x", "COPY --from=other x y", "ENTRYPOINT x"])
def test_an_unknown_step_of_the_image_is_refused(line: str) -> None:
    with pytest.raises(ComposeError):
        read_image(f"{DOCKERFILE}\n{line}\n")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${A}", "a"),
        ("${A:-b}${A-b}", "aa"),
        ("${EMPTY:-b}", "b"),
        ("${EMPTY-b}", ""),
        ("${NONE-http://x:1}/", "http://x:1/"),
        ("${NONE:-}", ""),
        ("${NONE}", ""),
        ("${EMPTY?said}", ""),
        ("$${A}", "${A}"),
    ],
)
def test_variables_are_substituted_as_compose_does(text: str, value: str) -> None:
    assert substituted([{"key": text}], {"A": "a", "EMPTY": ""}) == [{"key": value}]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("${EMPTY:?said}", "EMPTY: said"),
        ("${NONE?said}", "NONE: said"),
        ("$A", "only"),
        ("${A+b}", "no known form"),
    ],
)
def test_a_variable_that_is_missing_or_strange_is_an_error(text: str, message: str) -> None:
    with pytest.raises(ComposeError, match=message):
        substituted(text, {"A": "a", "EMPTY": ""})


def test_durations_are_read_as_seconds() -> None:
    assert [seconds(text) for text in ("90s", "1m30s", "500ms", "1h")] == [90, 90, 0.5, 3600]


def test_the_engine_reads_it_as_the_native_run_does(tmp_path: Path) -> None:
    engine = shutil.which("docker")
    if (
        engine is None
        or subprocess.run([engine, "compose", "version"], capture_output=True).returncode
    ):
        pytest.skip("no `docker compose` here: the compose file was read by tests/stack alone")
    variables = filled_in()
    env_file = tmp_path / ".env"
    env_file.write_text("".join(f"{name}={text}\n" for name, text in variables.items()))
    answer = subprocess.run(
        [engine, "compose", "--env-file", str(env_file), "config", "--format", "json"],
        cwd=PROJECT,
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
        env={name: text for name, text in os.environ.items() if name not in SECRETS},
    ).stdout
    read = json.loads(answer)["services"]
    for name, service in read_compose(COMPOSE, variables).items():
        assert read[name].get("environment", {}) == service.environment
        assert tuple(read[name].get("command") or ()) == service.command
        assert {volume["target"] for volume in read[name]["volumes"]} == {
            mount.target for mount in service.mounts
        }
