"""A person at Airflow's REST API: logs in, triggers runs, and follows them to their end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

import httpx

Answer = dict[str, Any]
Found = TypeVar("Found")
ENDED = ("success", "failed")


class Refused(Exception):  # noqa: N818 - what a person would call it
    """Airflow did not accept a request: its status, and what it said."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status, self.message = status, message


def client(url: str) -> httpx.Client:
    """Return a client of a server that goes past whatever proxy the machine has."""
    return httpx.Client(base_url=url, timeout=30, trust_env=False)


class Airflow:
    """One login at one server; `still_well` raises when waiting for it makes no sense any more."""

    def __init__(
        self, url: str, user: str, password: str, still_well: Callable[[], None] = lambda: None
    ) -> None:
        self._still_well = still_well
        self._client = client(url)
        answer = self._client.post("/auth/token", json={"username": user, "password": password})
        if answer.status_code != httpx.codes.CREATED:
            raise Refused(answer.status_code, answer.text)
        self._client.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"

    def ask(self, method: str, path: str, **options: Any) -> Answer:
        """Send a request below /api/v2; raise Refused unless it succeeds."""
        answer = self._client.request(method, f"/api/v2{path}", **options)
        if not answer.is_success:
            raise Refused(answer.status_code, answer.text)
        decoded: Answer = answer.json()
        return decoded

    def get(self, path: str, **query: Any) -> Answer:
        """Send a GET with a query."""
        return self.ask("GET", path, params=query)

    def until(self, look: Callable[[], Found | None], what: str, patience: float = 180) -> Found:
        """Return what `look` finds, as soon as it does; AssertionError after `patience` seconds."""
        deadline = time.monotonic() + patience
        while (result := look()) is None:
            self._still_well()
            assert time.monotonic() < deadline, f"{what}: not within {patience} s"
            time.sleep(0.5)
        return result

    # --- DAGs -------------------------------------------------------------------------------------

    def dags(self) -> dict[str, Answer]:
        """Return all DAGs by their ids."""
        return {dag["dag_id"]: dag for dag in self.get("/dags", limit=100)["dags"]}

    def import_errors(self) -> dict[str, str]:
        """Map the DAG files that cannot be imported to their stack traces."""
        errors = self.get("/importErrors")["import_errors"]
        return {error["filename"].rsplit("/", 1)[-1]: error["stack_trace"] for error in errors}

    def pause(self, dag: str, is_paused: bool) -> None:
        """Pause a DAG or let it run."""
        self.ask("PATCH", f"/dags/{dag}", json={"is_paused": is_paused})

    def let_run(self, *dags: str) -> None:
        """Unpause DAGs, and wait for the runs that their schedules already owe."""
        due = {dag: self.get(f"/dags/{dag}")["next_dagrun_run_after"] for dag in dags}
        for dag in dags:
            self.pause(dag, False)
        for dag in dags:
            if due[dag] and datetime.fromisoformat(due[dag]) < datetime.now(UTC):
                self.follow(
                    dag, self.until(partial(self._overdue, dag), f"the overdue run of {dag}")
                )

    def _overdue(self, dag: str) -> str | None:
        scheduled = self.runs(dag, run_type="scheduled")
        return scheduled[0]["dag_run_id"] if scheduled else None

    # --- runs -------------------------------------------------------------------------------------

    def trigger(self, dag: str, **conf: str) -> str:
        """Trigger a run with parameters; return its id."""
        body = {"logical_date": None, "conf": conf}
        run: str = self.ask("POST", f"/dags/{dag}/dagRuns", json=body)["dag_run_id"]
        return run

    def announce(self, uri: str) -> None:
        """Tell Airflow that an asset has changed."""
        (asset,) = self.get("/assets", uri_pattern=uri)["assets"]
        self.ask("POST", "/assets/events", json={"asset_id": asset["id"]})

    def runs(self, dag: str, **query: Any) -> list[Answer]:
        """Return a DAG's runs, newest first."""
        listed: list[Answer] = self.get(f"/dags/{dag}/dagRuns", order_by="-id", limit=100, **query)[
            "dag_runs"
        ]
        return listed

    def follow(self, dag: str, run: str, patience: float = 300) -> Answer:
        """Return a run when it has ended."""

        def ended() -> Answer | None:
            answer = self.get(f"/dags/{dag}/dagRuns/{run}")
            return answer if answer["state"] in ENDED else None

        return self.until(ended, f"the end of {dag} {run}", patience)

    def states(self, dag: str, run: str) -> dict[str, str]:
        """State by task of a run; of mapped ones `task[index]`."""
        instances = self.get(f"/dags/{dag}/dagRuns/{run}/taskInstances", limit=100)[
            "task_instances"
        ]
        return {
            instance["task_id"]
            + (f"[{instance['map_index']}]" if instance["map_index"] >= 0 else ""): instance[
                "state"
            ]
            for instance in instances
        }

    def run_of_asset(self, dag: str, sources: Iterable[str], since: datetime) -> Answer:
        """Return a DAG's ended run made by asset events, one of them by a DAG of `sources`.

        `since` excludes earlier events; an event from the API has no DAG: its source is ''.
        """
        wanted = set(sources)

        def made() -> str | None:
            for run in self.runs(dag, run_type="asset_triggered"):
                if run["start_date"] is None:  # Airflow 3.3 cannot tell of one that is queued
                    continue
                place = f"/dags/{dag}/dagRuns/{run['dag_run_id']}/upstreamAssetEvents"
                for event in self.get(place)["asset_events"]:
                    is_new = datetime.fromisoformat(event["timestamp"]) >= since
                    if is_new and (event["source_dag_id"] or "") in wanted:
                        run_id: str = run["dag_run_id"]
                        return run_id
            return None

        return self.follow(dag, self.until(made, f"a run of {dag} after {wanted}"))

    def is_idle(self, dag: str) -> bool:
        """Return whether nothing of a DAG runs, and nothing has happened that will make it run."""
        if self.runs(dag, state=["queued", "running"]):
            return False
        try:
            return not self.get(f"/dags/{dag}/assets/queuedEvents")["queued_events"]
        except Refused as refused:
            if refused.status == httpx.codes.NOT_FOUND:
                return True
            raise

    def await_idle(self, dag: str, patience: float = 300) -> None:
        """Wait until a DAG has caught up with what happened."""
        self.until(lambda: self.is_idle(dag) or None, f"{dag} at rest", patience)

    def log(self, dag: str, run: str, task: str, attempt: int = 1) -> str:
        """Return the log of a task of a run, as the page shows it."""
        place = f"/dags/{dag}/dagRuns/{run}/taskInstances/{task}/logs/{attempt}"
        content = self.ask(
            "GET", place, params={"full_content": True}, headers={"Accept": "application/json"}
        )["content"]
        return "\n".join(str(line) for line in content)

    def troubles(self) -> str:
        """Return the logs of the tasks that failed, for the report of a failed test."""
        instances = self.get(
            "/dags/~/dagRuns/~/taskInstances", state="failed", order_by="-start_date", limit=5
        )["task_instances"]
        return "\n".join(
            f"--- {instance['dag_id']} {instance['dag_run_id']} {instance['task_id']}\n"
            + self.log(
                instance["dag_id"],
                instance["dag_run_id"],
                instance["task_id"],
                instance["try_number"],
            )[-3000:]
            for instance in instances
            if instance["map_index"] < 0
        )
