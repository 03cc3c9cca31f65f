"""How a run is supervised: nothing here changes what it produces."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from synthgen.core.errors import UsageError
from synthgen.core.plan import RunPlan
from synthgen.core.project import Project
from synthgen.store.remote import RemoteRunStore
from synthgen.store.run import RunStore
from synthgen.store.url import S3Url, working_folder

# Longest silence in seconds, by phase. "cold" is a boot on a node whose caches are empty.
_CPU = {
    "cold": 900.0,
    "boot": 300.0,
    "reset": 60.0,
    "plan": 180.0,
    "step": 60.0,
    "check": 60.0,
    "render": 120.0,
    "write": 300.0,
    "close": 10.0,
}
# Kit's update() may stand still for 20 to 270 s and go on (reported of Isaac Sim): no shorter than that.
_KIT = _CPU | {"cold": 3600.0, "boot": 900.0, "reset": 330.0, "step": 330.0, "render": 330.0, "close": 60.0}
DEADLINES: Mapping[str, Mapping[str, float]] = {"mujoco": _CPU, "fake": _CPU, "isaacsim": _KIT, "newton": _KIT}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How workers are watched.

    Attributes:
        deadlines: longest silence by phase, seconds; a phase not listed has 120 s.
        attempt_limit: seconds after which one attempt is taken for an endless loop, even if it gives signs of life.
        memory: bytes of one simulator with its helpers: above it, it is replaced after its episode; above 1.5 times
            that, at once.
        episodes_per_child: age at which a simulator is replaced.
        strikes: simulators a slot may kill before it is quarantined.
        deaths: deaths without a finished episode in between after which a worker is given up.
        num_envs: environments per simulator.
        cpus, gpus: what a worker reserves on the cluster.
        environment: extra environment variables of the simulator process.
    """

    deadlines: Mapping[str, float] = field(default_factory=lambda: dict(_CPU))
    attempt_limit: float = 1800.0
    memory: int = 12 << 30
    episodes_per_child: int = 5000
    strikes: int = 2
    deaths: int = 3
    num_envs: int = 1
    cpus: float = 1.0
    gpus: float = 0.0
    environment: Mapping[str, str] = field(default_factory=dict[str, str])

    def deadline(self, phase: str) -> float:
        """Longest silence in a phase, seconds."""
        return self.deadlines.get(phase, 120.0)

    @staticmethod
    def for_simulator(simulator: str, deadlines: Mapping[str, float] | None = None, **rest: Any) -> Settings:
        """Defaults of a simulator with some deadlines changed.

        Raises:
            UsageError: no such phase, or a deadline that is not positive.
        """
        known = dict(DEADLINES.get(simulator, _CPU))
        for phase, seconds in (deadlines or {}).items():
            if phase not in known or not seconds > 0:
                raise UsageError(
                    f"--deadline {phase}={seconds:g}: not a phase, or not positive",
                    remedy=f"phases: {', '.join(known)}",
                )
            known[phase] = seconds
        return Settings(deadlines=known, **rest)


@dataclass(frozen=True, kw_only=True)
class Job:
    """What a worker must know of the run; travels as JSON.

    Attributes:
        root: the run folder on this machine; plan: its plan.
        url: where the run is, when that is an object store: ``root`` is then this machine's working folder for it.
        work: where working folders lie on every machine; None = each machine's default.
        project: project folders, searched in order.
        asset_root: the user's own asset folder, or None.
        settings: see ``Settings``.
    """

    root: Path
    plan: RunPlan
    project: Project
    asset_root: Path | None
    settings: Settings
    url: S3Url | None = None
    work: Path | None = None

    def store(self) -> RunStore:
        """The run, without looking whether it is there."""
        if self.url is None:
            return RunStore(self.root, self.plan)
        return RemoteRunStore(self.url, self.plan, work=self.work)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON-able mapping."""
        return {
            "root": str(self.root),
            "plan": self.plan.to_json(),
            "project": [str(p) for p in self.project.roots],
            "asset_root": None if self.asset_root is None else str(self.asset_root),
            "settings": asdict(self.settings),
            "url": None if self.url is None else str(self.url),
            "work": None if self.work is None else str(self.work),
        }

    @staticmethod
    def from_json(d: Mapping[str, Any]) -> Job:
        """The inverse of ``to_json``."""
        url = None if d["url"] is None else S3Url.parse(d["url"])
        work = None if d["work"] is None else Path(d["work"])
        return Job(
            root=Path(d["root"]) if url is None else working_folder(url, work),
            plan=RunPlan.from_json(d["plan"]),
            project=Project(roots=tuple(Path(p) for p in d["project"])),
            asset_root=None if d["asset_root"] is None else Path(d["asset_root"]),
            settings=Settings(**d["settings"]),
            url=url,
            work=work,
        )
