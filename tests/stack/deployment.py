"""The services of docker-compose.yml as processes of this machine.

The compose file and the Dockerfile are read (`compose.py`), not repeated. Every service gets a
folder in place of its container's root, in which volumes are links and what the image copies lies
where the image has it; container paths in variables and commands become paths below it, names and
ports of services become free ports of 127.0.0.1. Nothing of the tests' environment is inherited.

What the tests want otherwise than a deployment does is in OVERRIDES, ARGUMENTS and `embedded`.
"""

from __future__ import annotations

import base64
import copy
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stack import postgresql
from stack.compose import Health, Service, load_compose, read_compose, read_image

PROJECT = Path(__file__).resolve().parents[2]
COMPOSE = PROJECT / "docker-compose.yml"
DOCKERFILE = PROJECT / "docker" / "Dockerfile"

OVERRIDES = {
    "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "true",  # a test says what runs, not the clock
    "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "10",  # a changed contract shows soon
    "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.5",
    "CITYBRAIN_DAG_RETRIES": "0",
}
ARGUMENTS = {  # these two would serve logs on every interface; the page reads them from the volume
    "scheduler": ("--skip-serve-logs",),
    "triggerer": ("--skip-serve-logs",),
}
# Which service listens where in its container, and which variables move it to a port of ours.
LISTENERS = {
    ("api-server", 8080): ("AIRFLOW__API__HOST", "AIRFLOW__API__PORT"),
    ("postgres", 5432): None,
}
DEFAULT_PORTS = {"postgresql+psycopg2": 5432}
ON_SQLITE = ("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "CITYBRAIN_OPS_URL")  # not set: SQLite

ADDRESS = re.compile(
    r"(?P<scheme>[\w+]+)://(?P<login>[^/@\s]*@)?(?P<host>[\w.-]+)(?::(?P<port>\d+))?"
)
CONTAINER_PATH = re.compile(r"(?<![\w.:/])/[\w./-]*")


class StackError(Exception):
    """A service did not do what the others wait for; the message ends with its log."""


@dataclass
class Started:
    """A service's process, and how its health checks went."""

    process: subprocess.Popen[bytes]
    checks: int = 0
    is_healthy: bool = False
    is_asked: bool = False  # to end


@dataclass
class Deployment:
    """A deployment in a folder of its own, which `close` deletes.

    `variables` are those of .env. `extra` is added to the environment of Airflow's services.
    """

    content: dict[str, Any]
    variables: Mapping[str, str]
    extra: Mapping[str, str] = field(default_factory=dict)
    started: dict[str, Started] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.services: dict[str, Service] = read_compose(self.content, self.variables)
        self.image = read_image(DOCKERFILE.read_text(encoding="utf-8"))
        self.root = Path(tempfile.mkdtemp(prefix="citybrain-stack-"))
        self.root.chmod(0o711)  # PostgreSQL's user comes through
        self._ports: dict[tuple[str, int], int] = {}
        for service in self.services.values():
            for port, published in service.published.items():
                self._ports[service.name, port] = published
        for service in self.services.values():
            self._furnish(service)

    # --- where things are -----------------------------------------------------------------------

    def volume(self, name: str) -> Path:
        """Return the folder of a named volume."""
        return self.root / "volumes" / name

    def container(self, service: str) -> Path:
        """Return the folder in place of a container's root."""
        return self.root / "containers" / service

    def log(self, service: str) -> Path:
        """Return the file of a service's output."""
        return self.root / "logs" / f"{service}.log"

    def tails(self, lines: int = 25) -> str:
        """Return the last lines that each service wrote, for the report of a failed test."""
        return "\n".join(f"--- {name}\n{self._tail(name, lines)}" for name in self.started)

    def port(self, service: str, port: int) -> int:
        """Return this machine's port for a container's; StackError when nothing listens there."""
        if (service, port) not in LISTENERS:
            raise StackError(f"nothing is known to listen at {service}:{port}")
        if (service, port) not in self._ports:
            self._ports[service, port] = free_port()
        return self._ports[service, port]

    # --- what a process is given ----------------------------------------------------------------

    def environment(self, name: str) -> dict[str, str]:
        """Return a service's environment: the image's, the compose file's, the tests' own."""
        service, root = self.services[name], self.container(name)
        declared = {**(self.image.environment if service.is_ours else {}), **service.environment}
        given = {variable: self.native(name, value) for variable, value in declared.items()}
        if service.is_ours:
            programs = f"{root / 'usr/local/bin'}:{Path(sys.executable).parent}"
            given |= {**OVERRIDES, **self.extra}
        else:
            programs = str(postgresql.programs())
            given |= {"PGHOST": str(root), "PGPORT": str(self.port(name, 5432))}
        for (listener, port), variables in LISTENERS.items():
            if listener == name and variables:
                host, number = variables
                given |= {host: "127.0.0.1", number: str(self.port(name, port))}
        return given | {"HOME": str(root), "PATH": f"{programs}:/usr/bin:/bin", "TZ": "UTC"}

    def command(self, name: str) -> list[str]:
        """Return a service's command, with the path of its program."""
        service = self.services[name]
        if not service.is_ours:
            return postgresql.server(self.container(name), self.port(name, 5432))
        words = [self.native(name, word) for word in service.command]
        return [*self._resolved(name, words), *ARGUMENTS.get(name, ())]

    def health_command(self, name: str) -> list[str]:
        """Return a service's health check, with the path of its program."""
        health = self._health(name)
        words = [self.native(name, word, own_host="127.0.0.1") for word in health.command]
        return self._resolved(name, words)

    def native(self, name: str, text: str, own_host: str | None = None) -> str:
        """Return a text of a service's configuration with this machine's addresses and paths.

        `own` is the host name by which the text means the service itself.
        """

        def moved(match: re.Match[str]) -> str:
            host = name if match["host"] == own_host else match["host"]
            if host not in self.services:
                return match[0]
            port = self.port(host, int(match["port"] or DEFAULT_PORTS[match["scheme"]]))
            return f"{match['scheme']}://{match['login'] or ''}127.0.0.1:{port}"

        if "://" in text:
            if "/opt/" in text:
                raise StackError(f"{name}: nobody maps a path in an address: {text}")
            return ADDRESS.sub(moved, text)
        return CONTAINER_PATH.sub(lambda match: f"{self.container(name)}{match[0]}", text)

    # --- running ----------------------------------------------------------------------------------

    def up(self) -> None:
        """Start every service as soon as what it waits for is there; return when all are well."""
        for name in self.services:
            self.start(name)
        for name, service in self.services.items():
            if service.health:
                self.await_health(name)

    def start(self, name: str) -> None:
        """Start one service, after what it waits for."""
        for other, condition in self.services[name].after.items():
            if condition == "service_healthy":
                self.await_health(other)
            else:
                self.await_end(other)
        environment = self.environment(name)
        if not self.services[name].is_ours:
            postgresql.prepare(self.container(name), environment, self.port(name, 5432))
        self.log(name).parent.mkdir(exist_ok=True)
        with self.log(name).open("ab") as log:
            process = subprocess.Popen(
                self.command(name),
                env=environment,
                cwd=self._workdir(name),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.started[name] = Started(process)

    def await_end(self, name: str, patience: float = 180) -> None:
        """Wait until a service has ended well."""
        try:
            code = self.started[name].process.wait(patience)
        except subprocess.TimeoutExpired:
            raise StackError(f"{name} does not end\n{self._tail(name)}") from None
        if code:
            raise StackError(f"{name} ended with {code}\n{self._tail(name)}")

    def await_health(self, name: str) -> None:
        """Wait until a service's own check succeeds, for as long as the engine would."""
        health, started = self._health(name), self.started[name]
        deadline = time.monotonic() + health.patience
        while not started.is_healthy:
            self.still_runs(name)
            if time.monotonic() > deadline:
                raise StackError(f"{name} is not healthy\n{self._tail(name)}")
            started.is_healthy = self.check(name)
            time.sleep(0 if started.is_healthy else 0.5)

    def still_runs(self, *names: str) -> None:
        """Raise StackError if a service, of these or of all that should run on, has ended."""
        for name in names or [name for name in self.started if self.services[name].health]:
            code = self.started[name].process.poll()
            if code is not None:
                raise StackError(f"{name} ended with {code} unasked\n{self._tail(name)}")

    def check(self, name: str) -> bool:
        """Run a service's health check once: whether it is well."""
        self.started[name].checks += 1
        try:
            done = subprocess.run(
                self.health_command(name),
                env=self.environment(name),
                cwd=self._workdir(name),
                timeout=self._health(name).timeout,
                capture_output=True,
            )
        except subprocess.TimeoutExpired:
            return False
        return done.returncode == 0

    def kill(self, name: str) -> None:
        """End a service and all its processes at once, as a crash of its container does."""
        started = self.started.pop(name)
        for process in members(started.process.pid):
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        started.process.wait()

    def ask_to_end(self, name: str) -> None:
        """Send a service's first process what the engine sends it, once."""
        started = self.started[name]
        if not started.is_asked:  # SIGINT: PostgreSQL's image asks for its fast shutdown
            started.process.send_signal(
                signal.SIGTERM if self.services[name].is_ours else signal.SIGINT
            )
            started.is_asked = True

    def stop(self, name: str, patience: float = 20) -> int | None:
        """End a service; its exit code, or None when it had to be killed.

        As in a container, what is left when the first process has ended is killed.
        """
        self.ask_to_end(name)
        try:
            code: int | None = self.started[name].process.wait(patience)
        except subprocess.TimeoutExpired:
            code = None
        self.kill(name)
        return code

    def close(self) -> None:
        """End everything, in the reverse order of the start, and delete the folder."""
        waited_for = {other for service in self.services.values() for other in service.after}
        for name in set(self.started) - waited_for:  # these at once
            self.ask_to_end(name)
        for name in [name for name in reversed(self.services) if name in self.started]:
            self.stop(name)
        shutil.rmtree(self.root, ignore_errors=True)

    # --- the rest ---------------------------------------------------------------------------------

    def _furnish(self, service: Service) -> None:
        """Make the folder in place of a container's root."""
        root = self.container(service.name)
        root.mkdir(parents=True)
        mounts = {mount.target: mount for mount in service.mounts}
        for target in sorted(mounts):  # an outer one before what is mounted in it
            place = root / target.lstrip("/")
            place.parent.mkdir(parents=True, exist_ok=True)
            if mounts[target].is_volume:
                self.volume(mounts[target].origin).mkdir(parents=True, exist_ok=True)
                if not place.is_symlink():
                    place.symlink_to(self.volume(mounts[target].origin))
            else:
                shutil.copy2(PROJECT / mounts[target].origin, place)
        for origin, target, mode in self.image.copies if service.is_ours else ():
            place = root / target.lstrip("/")
            place.parent.mkdir(parents=True, exist_ok=True)
            if mode is None:
                place.symlink_to(PROJECT / origin)
            else:
                shutil.copy(PROJECT / origin, place)
                place.chmod(mode)

    def _resolved(self, name: str, words: list[str]) -> list[str]:
        program = shutil.which(words[0], path=self.environment(name)["PATH"])
        if program is None:
            raise StackError(f"{name}: no program is called {words[0]}")
        return [program, *words[1:]]

    def _workdir(self, name: str) -> Path:
        root = self.container(name)
        return root / self.image.workdir.lstrip("/") if self.services[name].is_ours else root

    def _health(self, name: str) -> Health:
        health = self.services[name].health
        if health is None:
            raise StackError(f"{name} has no health check")
        return health

    def _tail(self, name: str, lines: int = 40) -> str:
        text = self.log(name).read_text(encoding="utf-8", errors="replace")
        return "\n".join(line[:400] for line in text.splitlines()[-lines:])


def members(session: int) -> Iterator[int]:
    """Yield the processes of a session: what a service has started, directly or not."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if os.getsid(int(entry.name)) == session:
                    yield int(entry.name)
            except ProcessLookupError:
                continue


def free_port() -> int:
    """Return a port of the loopback on which nobody listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    return port


def filled_in() -> dict[str, str]:
    """Return .env as a deployer fills it in, for a city without the sample in October 2021."""
    port = free_port()
    return {
        "POSTGRES_PASSWORD": secrets.token_hex(24),
        "CITYBRAIN_OPS_PASSWORD": secrets.token_hex(24),
        "CITYBRAIN_ADMIN_PASSWORD": secrets.token_hex(12),
        "AIRFLOW_FERNET_KEY": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        "AIRFLOW_API_SECRET_KEY": secrets.token_hex(64),
        "AIRFLOW_JWT_SECRET": secrets.token_hex(64),
        "AIRFLOW_PORT": str(port),
        "AIRFLOW_BASE_URL": f"http://127.0.0.1:{port}",
        "CITYBRAIN_AS_OF": "2021-10-08",
        "CITYBRAIN_SAMPLE_UNTIL": "",
    }


def compose_file() -> dict[str, Any]:
    """Return the compose file as YAML makes it."""
    return load_compose(COMPOSE.read_text(encoding="utf-8"))


def embedded(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the compose file without PostgreSQL, as for `make airflow`: both databases are SQLite.

    Airflow's lies in AIRFLOW_HOME, which therefore becomes a volume that the services share.
    """
    changed = copy.deepcopy(dict(content))
    del changed["services"]["postgres"]
    changed["volumes"]["home"] = None
    for service in changed["services"].values():
        service["environment"] = {
            name: value for name, value in service["environment"].items() if name not in ON_SQLITE
        }
        service["depends_on"] = {
            name: condition
            for name, condition in service["depends_on"].items()
            if name != "postgres"
        }
        service["volumes"] = ["home:/opt/airflow", *service["volumes"]]
    return changed


VARIANTS = {"postgresql": lambda content: content, "embedded": embedded}


def deployment(variant: str, **extra: str) -> Deployment:
    """Build a deployment without starting it; `extra` goes into every service's environment."""
    return Deployment(VARIANTS[variant](compose_file()), filled_in(), extra)
