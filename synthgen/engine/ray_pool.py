"""Workers on a Ray cluster: one thin actor each, around a ``Supervisor``. The only file that imports Ray."""

from __future__ import annotations

import importlib
import logging
import os
import platform
import threading
import time
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

from synthgen.core.errors import IncompleteRunError, MachineError
from synthgen.core.plan import Shard
from synthgen.engine.headwatch import Abandoned, HeadWatch, answers
from synthgen.engine.pool import PoolEvent
from synthgen.engine.settings import Job
from synthgen.engine.supervisor import Supervisor

# Local clusters stay on this machine and say nothing to anyone.
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    "RAY_SCHEDULER_EVENTS": "0",
    "RAY_LOG_TO_STDERR": "0",
}
# Seconds that a ray:// cluster waits for a driver that is gone, instead of 30, before it ends its actors.
CLIENT = {"RAY_CLIENT_RECONNECT_GRACE_PERIOD": "8"}
# Makes Ray take 127.0.0.1 for this node's address; it must be set before Ray is imported.
LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
OBJECT_STORE = 80 << 20  # bytes; only kilobytes ever go through it
TOKEN = Path.home() / ".ray" / "auth_token"  # Ray's; made by the first cluster that is started on a machine
POLL_EVERY = 1.0
POLLS_PER_SECOND = 600  # above so many workers, each is asked less often; still before it misses the driver
NODES_EVERY = 5.0
NODES_GONE = 20.0
DRIVER_SILENT = 180.0


class WorkerActor:
    """Runs in a Ray worker process: hands calls to a ``Supervisor``."""

    def __init__(self, job: dict[str, Any], worker: str) -> None:
        self._supervisor = Supervisor(Job.from_json(job), worker)
        self._node = os.getppid()
        ray: Any = importlib.import_module("ray")
        self._abandoned = Abandoned(str(ray.get_runtime_context().gcs_address))
        self._heard = time.monotonic()
        threading.Thread(target=self._leave, daemon=True, name="leave").start()

    def ready(self) -> dict[str, Any]:
        """Where it runs."""
        return {"node": platform.node(), "pid": os.getpid()}

    def run_shard(self, shard: dict[str, Any], alone: bool) -> dict[str, Any]:
        """See ``Supervisor.run_shard``; with a snapshot, so that the last word of a worker is never missed."""
        result = self._supervisor.run_shard(Shard(**shard), alone=alone)
        return result | {"snapshot": self._supervisor.snapshot()}

    def snapshot(self) -> dict[str, Any]:
        """See ``Supervisor.snapshot``. Its coming every second tells that the driver is alive."""
        self._heard = time.monotonic()
        return self._supervisor.snapshot()

    def drain(self) -> None:
        """See ``Supervisor.drain``."""
        self._supervisor.drain()

    def stop(self) -> None:
        """See ``Supervisor.stop``."""
        self._supervisor.stop()

    def close(self) -> None:
        """See ``Supervisor.close``."""
        self._supervisor.close()

    def _leave(self) -> None:
        """End this process soon after its node's Ray or the head, which an actor outlives otherwise."""
        while True:
            time.sleep(1.0)
            silent = time.monotonic() - self._heard
            if os.getppid() != self._node or silent > DRIVER_SILENT or self._abandoned.look(silent):
                os._exit(1)


class RayPool:
    """Workers on a cluster: a local one started here, or the one at ``address``."""

    def __init__(self, job: Job, *, address: str | None = None) -> None:
        self._job = job
        self._address = address
        self._ray: Any = None
        self._mine = False
        self._actors: dict[str, Any] = {}
        self._calls: dict[Any, tuple[str, str]] = {}  # pending reference -> (worker, what for)
        self._asked: dict[str, Any] = {}  # worker -> pending snapshot
        self._seen: dict[str, dict[str, Any]] = {}
        self._told: list[PoolEvent] = []
        self._polled = self._looked = 0.0
        self._last_alive = time.monotonic()
        self._head = HeadWatch("", remedy="")
        self._gone = False

    def start(self, workers: int) -> None:
        """Connect and ask for the workers.

        Raises:
            MachineError: the cluster cannot be reached or started.
        """
        self._connect()
        for index in range(workers):
            self._ask_for(f"w{index:04d}")

    def wait(self, timeout: float) -> list[PoolEvent]:
        """See the protocol.

        Raises:
            IncompleteRunError: no node of the cluster is left.
        """
        self._check_nodes()
        self._poll()
        if not self._calls:
            time.sleep(timeout)
            return self._take_told()
        done, _ = self._ray.wait(list(self._calls), num_returns=len(self._calls), timeout=0)
        if not done:
            done, _ = self._ray.wait(list(self._calls), num_returns=1, timeout=timeout)
        events: list[PoolEvent] = []
        for reference in done:
            worker, what = self._calls.pop(reference)
            try:
                result = self._ray.get(reference)
            except self._ray.exceptions.RayActorError as error:
                for known in (self._seen, self._asked, self._actors):
                    known.pop(worker, None)
                events.append(PoolEvent(kind="lost", worker=worker, result={"message": _first_line(error)}))
                continue
            if what == "shard":
                self._see(worker, result.pop("snapshot"))
            events.append(PoolEvent(kind="ready" if what == "ready" else "ended", worker=worker, result=result))
        return events + self._take_told()

    def submit(self, worker: str, shard: Shard, *, alone: bool) -> None:
        """See the protocol."""
        reference = self._actors[worker].run_shard.remote(dict(vars(shard)), alone)
        self._calls[reference] = (worker, "shard")

    def restart(self, worker: str) -> None:
        """See the protocol."""
        self._ask_for(worker)

    def snapshots(self) -> dict[str, dict[str, Any]]:
        """See the protocol."""
        return dict(self._seen)

    def drain(self) -> None:
        """See the protocol."""
        for actor in self._actors.values():
            actor.drain.remote()

    def stop(self) -> None:
        """Kill the actors: their guards kill the simulators. Without a head, actors can only be told to stop."""
        for actor in self._actors.values():
            if self._gone:
                actor.stop.remote()
            else:
                self._ray.kill(actor)

    def close(self) -> None:
        """Let the simulators end, then leave the cluster (and end it, if it was started here)."""
        self._head.close()
        if self._ray is None or self._gone:
            return
        waiting = {w for w, what in self._calls.values() if what == "ready"}
        pending = [a.close.remote() for w, a in self._actors.items() if w not in waiting]
        if pending:
            self._ray.wait(pending, num_returns=len(pending), timeout=self._job.settings.deadline("close") + 2)
        self.stop()
        if self._mine:
            self._ray.shutdown()

    def capacity(self) -> int:
        """How many workers the cluster has room for now, busy places included."""
        total = self._ray.cluster_resources()
        room = [total.get("CPU", 0) / self._job.settings.cpus if self._job.settings.cpus else float("inf")]
        if self._job.settings.gpus:
            room.append(total.get("GPU", 0) / self._job.settings.gpus)
        return int(min(*room, 1 << 30))

    def _connect(self) -> None:
        here = self._address is None or self._address.startswith(("127.", "localhost:"))
        for name, value in (QUIET | CLIENT | LOOPBACK if here else QUIET | CLIENT).items():
            os.environ.setdefault(name, value)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ray: Any = importlib.import_module("ray")
            self._ray = ray
            if not ray.is_initialized():
                self._init(ray)
                with suppress(OSError):  # Ray writes it for everybody to read
                    TOKEN.chmod(0o600)
            if not (self._address or "").startswith("ray://"):
                head = str(ray.get_runtime_context().gcs_address)
                again = "start the cluster again, then " if self._address else ""
                self._head = HeadWatch(head, remedy=f"{again}run the same command again: it resumes")

    def _init(self, ray: Any) -> None:
        self._mine = True
        if self._address:
            check_address(self._address)
        local = {"object_store_memory": OBJECT_STORE, "include_dashboard": False}
        try:
            ray.init(
                address=self._address or "local",
                namespace=f"synthgen-{self._job.plan.digest()[:12]}-{os.getpid()}",
                configure_logging=True,
                logging_level=logging.ERROR,
                log_to_driver=False,
                **({} if self._address else local),
            )
        except (ConnectionError, OSError, RuntimeError, ValueError, TimeoutError) as error:
            where = f"at {self._address}" if self._address else "on this machine"
            remedy = "check --address with `ray status`, or leave it out to start a cluster here"
            if self._address and "RAY_AUTH_MODE" not in os.environ and TOKEN.exists():
                # `ray start` asks for the token where there is one; ray.init does not show it by itself.
                remedy = f"if the cluster asks for a token, as {TOKEN} suggests: RAY_AUTH_MODE=token; or {remedy}"
            raise MachineError(f"no Ray cluster {where}: {_first_line(error)}", remedy=remedy) from error

    def _ask_for(self, worker: str) -> None:
        remote: Any = self._ray.remote(WorkerActor)
        settings = self._job.settings
        actor = remote.options(
            num_cpus=settings.cpus,
            num_gpus=settings.gpus,
            max_restarts=0,
            max_task_retries=0,
            max_concurrency=4,
        ).remote(self._job.to_json(), worker)
        self._actors[worker] = actor
        self._calls[actor.ready.remote()] = (worker, "ready")

    def _check_nodes(self) -> None:
        """Notice the end of the cluster, which Ray itself takes for a wait for better days."""
        now = time.monotonic()
        if self._head.gone():
            self._gone = True
        elif now - self._looked > NODES_EVERY:
            self._looked = now
            if any(node["Alive"] for node in self._ray.nodes()):
                self._last_alive = now
            self._gone = now - self._last_alive > NODES_GONE
        if self._gone:
            self._head.close()
            again = "start it again" if self._address else ""
            raise IncompleteRunError("the Ray cluster is gone", remedy=again)

    def _take_told(self) -> list[PoolEvent]:
        told, self._told = self._told, []
        return told

    def _see(self, worker: str, snapshot: dict[str, Any]) -> None:
        """Take in a snapshot; they may arrive out of order."""
        for event in snapshot["events"]:
            self._told.append(PoolEvent(kind="told", worker=worker, result=event))
        if snapshot["number"] > self._seen.get(worker, {"number": 0})["number"]:
            self._seen[worker] = snapshot

    def _poll(self) -> None:
        """Collect answers to the last round of snapshot calls; start another at most once a second."""
        if self._asked:
            done, _ = self._ray.wait(list(self._asked.values()), num_returns=len(self._asked), timeout=0)
            arrived = set(done)
            for worker, reference in list(self._asked.items()):
                if reference in arrived:
                    del self._asked[worker]
                    try:
                        self._see(worker, self._ray.get(reference))
                    except self._ray.exceptions.RayError:
                        continue
        if time.monotonic() - self._polled >= max(POLL_EVERY, len(self._actors) / POLLS_PER_SECOND):
            self._polled = time.monotonic()
            waiting = {w for w, what in self._calls.values() if what == "ready"}
            for worker, actor in self._actors.items():
                if worker not in self._asked and worker not in waiting:
                    self._asked[worker] = actor.snapshot.remote()


def check_address(address: str) -> None:
    """Refuse a HOST:PORT where nobody listens, at once instead of after Ray's minutes.

    Raises:
        MachineError.
    """
    plain = address.removeprefix("ray://")
    if ":" in plain and not answers(plain):
        raise MachineError(
            f"no Ray cluster at {address}: nobody listens there",
            remedy="check --address with `ray status`, or leave it out to start a cluster here",
        )


def _first_line(error: BaseException) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
