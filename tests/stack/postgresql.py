"""PostgreSQL as its official image starts it, from Debian's package.

The image's entrypoint makes the data folder once: a superuser and a database by POSTGRES_USER and
POSTGRES_DB, passwords (SCRAM) for whoever comes over TCP, then the scripts that lie in
/docker-entrypoint-initdb.d, while only the socket listens. So does `prepare`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

KNOWN = {"POSTGRES_USER", "POSTGRES_DB", "POSTGRES_PASSWORD"}
DATA = "/var/lib/postgresql/data"
SCRIPTS = "/docker-entrypoint-initdb.d"
USER = "postgres"  # the package's; PostgreSQL refuses to run as root
MISSING = (
    "POSTGRESQL IS NOT INSTALLED: Airflow was not tested on it; "
    "run `make test-stack`, which installs Debian's package"
)


def programs() -> Path | None:
    """Return the folder of initdb and postgres: Debian's newest, else PATH's; None without."""
    versions = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3])
    )
    on_path = shutil.which("initdb")
    if versions:
        return versions[-1].parent
    return Path(on_path).resolve().parent if on_path else None


def as_user(command: list[str]) -> list[str]:
    """Return the command as a user that PostgreSQL accepts."""
    if os.geteuid() != 0:
        return command
    return ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--init-groups", "--", *command]


def give_to_user(folder: Path) -> None:
    """Give a folder and what lies in it to the user that PostgreSQL runs as."""
    if os.geteuid() == 0:
        for path in (folder, *folder.rglob("*")):
            shutil.chown(path, USER, USER)


def server(root: Path, port: int) -> list[str]:
    """Return the command of the server whose container's root folder is `root`."""
    data = (root / DATA.lstrip("/")).resolve()
    return as_user(
        ["postgres", "-D", str(data), "-k", str(root), "-h", "127.0.0.1", "-p", str(port)]
    )


def prepare(root: Path, environment: Mapping[str, str], port: int) -> None:
    """Make the data folder and its databases, unless they are there.

    `environment` is the service's, with PATH, PGHOST (the socket's folder) and PGPORT.
    """
    data = (root / DATA.lstrip("/")).resolve()
    if (data / "PG_VERSION").exists():
        return
    unknown = {name for name in environment if name.startswith("POSTGRES_")} - KNOWN
    if unknown:
        raise ValueError(f"the native PostgreSQL does not know {', '.join(sorted(unknown))}")
    give_to_user(data)
    give_to_user(root)
    password = root / "password"
    password.write_text(environment["POSTGRES_PASSWORD"], encoding="utf-8")
    password.chmod(0o600)
    give_to_user(password)
    user = environment.get("POSTGRES_USER", USER)
    database = environment.get("POSTGRES_DB", user)

    def run(*command: str) -> None:
        subprocess.run(
            as_user([*command]),
            env=dict(environment),
            cwd=root,
            check=True,
            timeout=120,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )

    run(
        "initdb",
        f"--pgdata={data}",
        f"--username={user}",
        f"--pwfile={password}",
        "--encoding=UTF8",
        "--locale=C.UTF-8",
        "--auth-local=trust",
        "--auth-host=scram-sha-256",
    )
    password.unlink()
    by_socket = f"-c listen_addresses='' -k {root} -p {port}"
    log = root / "prepare.log"
    run("pg_ctl", "start", "-w", "-D", str(data), "-o", by_socket, "-l", str(log))
    try:
        if database != USER:
            run("createdb", f"--username={user}", "--maintenance-db=postgres", database)
        for script in sorted((root / SCRIPTS.lstrip("/")).iterdir()):
            if script.suffix != ".sh" or not os.access(script, os.X_OK):
                raise ValueError(f"the native PostgreSQL runs programs only, not {script.name}")
            run(str(script))
    finally:
        run("pg_ctl", "stop", "-w", "-m", "fast", "-D", str(data))
