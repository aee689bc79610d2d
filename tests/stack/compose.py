"""Read docker-compose.yml and the Dockerfile as `docker compose` reads them.

Nothing is started here. A key that this module neither reads nor lists in MEANS_NOTHING is an
error, so that whoever adds one to the compose file decides what it means for the native run.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import Any

import yaml

MEANS_NOTHING = {  # keys of a service without a counterpart among processes, and why
    "image": "the virtual environment is the image; PostgreSQL is Debian's",
    "build": "the same; what the Dockerfile copies and sets is read by `read_image`",
    "user": "processes run as the tests' user, and PostgreSQL as one that is not root",
    "init": "reaps orphans of process 1; this machine has one",
    "restart": "a process that ends early is what the tests want to see",
    "stop_grace_period": "tests say how long they wait",
    "cap_drop": "a limit of containers",
    "security_opt": "a limit of containers",
    "shm_size": "a limit of containers",
}
READ = {"command", "environment", "volumes", "ports", "depends_on", "healthcheck"}
TOP_LEVEL = {"name", "services", "volumes"}
CONDITIONS = {"service_healthy", "service_completed_successfully"}
HEALTH = {"test", "interval", "timeout", "retries", "start_period", "disable"}

VARIABLE = re.compile(
    r"\$(?:(?P<dollar>\$)|\{(?P<name>\w+)(?P<operator>:?[-?])?(?P<rest>[^{}]*)\}|(?P<other>))"
)
DURATION = re.compile(r"(\d+)(ms|s|m|h)")
SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


class ComposeError(Exception):
    """The files say something that the native run would pass over."""


@dataclass(frozen=True)
class Mount:
    """A folder or file of a container: a named volume, or a file of the project."""

    origin: str
    target: str
    is_volume: bool


@dataclass(frozen=True)
class Health:
    """A health check: its command, and how long it may fail; times in seconds."""

    command: tuple[str, ...]
    interval: float
    timeout: float
    retries: int
    start_period: float

    @property
    def patience(self) -> float:
        """After how many seconds without a success the engine calls the service unhealthy."""
        return self.start_period + self.retries * (self.interval + self.timeout)


@dataclass(frozen=True)
class Service:
    """A service as the engine would start it; paths and addresses are still the container's."""

    name: str
    image: str
    is_ours: bool
    command: tuple[str, ...]
    environment: Mapping[str, str]
    mounts: tuple[Mount, ...]
    published: Mapping[int, int]  # port of the container: port of this machine's loopback
    after: Mapping[str, str]  # service: condition
    health: Health | None


@dataclass(frozen=True)
class Image:
    """Describe what the Dockerfile puts into every container."""

    environment: Mapping[str, str]
    workdir: str
    copies: tuple[tuple[str, str, int | None], ...]  # (of the project, in the image, mode)


def read_compose(content: Mapping[str, Any], variables: Mapping[str, str]) -> dict[str, Service]:
    """Return the services, each after those it waits for; `variables` are those of .env.

    `content` is the file as YAML makes it. Raises ComposeError for what it does not know.
    """
    unknown = {key for key in content if not key.startswith("x-")} - TOP_LEVEL
    _refuse(unknown, "docker-compose.yml")
    volumes = content.get("volumes") or {}
    _refuse({name for name, options in volumes.items() if options}, "options of volumes")
    services = {
        name: _service(name, substituted(declared, variables), set(volumes))
        for name, declared in content["services"].items()
    }
    order = TopologicalSorter({name: service.after for name, service in services.items()})
    return {name: services[name] for name in order.static_order()}


def load_compose(text: str) -> dict[str, Any]:
    """Return the compose file with its anchors and merge keys resolved."""
    loaded: dict[str, Any] = yaml.safe_load(text)
    return loaded


def substituted(value: Any, variables: Mapping[str, str]) -> Any:
    """Return `value` with `${NAME}` and its forms with defaults replaced in every text.

    Raises ComposeError with the file's own message for `${NAME:?message}` without a value.
    """
    if isinstance(value, str):
        return VARIABLE.sub(lambda match: _replacement(match, variables), value)
    if isinstance(value, Mapping):
        return {key: substituted(item, variables) for key, item in value.items()}
    if isinstance(value, list):
        return [substituted(item, variables) for item in value]
    return value


def _replacement(match: re.Match[str], variables: Mapping[str, str]) -> str:
    if match["dollar"]:
        return "$"
    if match["name"] is None:
        raise ComposeError(f"only ${{NAME}} and its forms are read: {match.string}")
    name, operator, rest = match["name"], match["operator"] or "", match["rest"]
    given = variables.get(name)
    if not operator and rest:
        raise ComposeError(f"no known form of a variable: {match[0]}")
    if given is not None and (given or not operator.startswith(":")):
        return given
    if operator.endswith("?"):
        raise ComposeError(f"{name}: {rest}")
    return rest


def _service(name: str, declared: Mapping[str, Any], volumes: set[str]) -> Service:
    _refuse(set(declared) - READ - set(MEANS_NOTHING), name)
    command = declared.get("command", [])
    return Service(
        name=name,
        image=declared["image"],
        is_ours="build" in declared,
        command=tuple(shlex.split(command) if isinstance(command, str) else command),
        environment=_environment(name, declared.get("environment", {})),
        mounts=tuple(_mount(name, volume, volumes) for volume in declared.get("volumes", [])),
        published=dict(_port(name, port) for port in declared.get("ports", [])),
        after=_after(name, declared.get("depends_on", {})),
        health=_health(name, declared.get("healthcheck")),
    )


def _environment(service: str, declared: Mapping[str, Any]) -> dict[str, str]:
    for name, value in declared.items():
        if not isinstance(value, str):  # a number or a truth value, whose text YAML has lost
            raise ComposeError(f"{service}: write {name} in quotes")
    return dict(declared)


def _mount(service: str, declared: str, volumes: set[str]) -> Mount:
    origin, separator, rest = declared.partition(":")
    target, _, mode = rest.partition(":")
    is_volume = origin in volumes
    if not separator or mode not in ("", "ro") or not (is_volume or origin.startswith("./")):
        raise ComposeError(f"{service}: no known form of a volume: {declared}")
    return Mount(origin, target, is_volume)


def _port(service: str, declared: str) -> tuple[int, int]:
    match = re.fullmatch(r"127\.0\.0\.1:(\d+):(\d+)", declared)
    if not match:
        raise ComposeError(f"{service}: not a port of this machine alone: {declared}")
    return int(match[2]), int(match[1])


def _after(service: str, declared: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    for options in declared.values():
        if set(options) != {"condition"} or options["condition"] not in CONDITIONS:
            raise ComposeError(f"{service}: no known condition: {options}")
    return {name: options["condition"] for name, options in declared.items()}


def _health(service: str, declared: Mapping[str, Any] | None) -> Health | None:
    if declared is None or declared.get("disable"):
        return None
    _refuse(set(declared) - HEALTH, f"{service}: healthcheck")
    kind, *command = declared["test"]
    if kind != "CMD":
        raise ComposeError(f"{service}: write the health check as CMD, not {kind}")
    return Health(
        command=tuple(command),
        interval=seconds(declared["interval"]),
        timeout=seconds(declared["timeout"]),
        retries=declared["retries"],
        start_period=seconds(declared["start_period"]),
    )


def seconds(duration: str) -> float:
    """Return `90s` or `1m30s` as seconds."""
    if not re.fullmatch(f"(?:{DURATION.pattern})+", duration):
        raise ComposeError(f"no duration: {duration}")
    return sum(int(number) * SECONDS[unit] for number, unit in DURATION.findall(duration))


def read_image(dockerfile: str) -> Image:
    """Return the environment, the working folder and the copied files of the image.

    RUN lines are not read: what they install, the virtual environment has from the same lock.
    """
    environment: dict[str, str] = {}
    copies: list[tuple[str, str, int | None]] = []
    workdir = "/"
    for line in dockerfile.replace("\\\n", " ").splitlines():
        instruction, _, rest = line.partition(" ")
        if instruction == "ENV":
            environment |= dict(assignment.split("=", 1) for assignment in shlex.split(rest))
        elif instruction == "WORKDIR":
            workdir = rest.strip()
        elif instruction == "COPY":
            copies += _copies(rest, workdir)
        elif instruction not in ("", "#", "FROM", "RUN", "USER", "CMD"):
            raise ComposeError(f"Dockerfile: nobody reads {instruction}")
    return Image(environment, workdir, tuple(copies))


def _copies(arguments: str, workdir: str) -> list[tuple[str, str, int | None]]:
    words = shlex.split(arguments)
    options = dict(word.removeprefix("--").split("=", 1) for word in words if word.startswith("--"))
    _refuse(set(options) - {"chown", "chmod"}, "Dockerfile: COPY")
    mode = int(options["chmod"], 8) if "chmod" in options else None
    *origins, target = [word for word in words if not word.startswith("--")]
    place = target if target.startswith("/") else f"{workdir}/{target}".replace("/./", "/")
    if not place.endswith("/"):
        return [(origins[0], place, mode)]
    return [(origin, place + origin.rsplit("/", 1)[-1], mode) for origin in origins]


def _refuse(unknown: set[str], where: str) -> None:
    if unknown:
        raise ComposeError(
            f"{where}: the native run knows nothing of {', '.join(sorted(unknown))}; "
            "say what it means in tests/stack/compose.py"
        )
