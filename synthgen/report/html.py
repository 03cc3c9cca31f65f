"""``report.html`` of a run: one file, no scripts, nothing loaded from elsewhere."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synthgen.core.outcome import FAILURE_REASONS, PHASES

# One colour per phase, from light to dark along a trajectory's life; idle is grey.
PHASE_COLORS: Mapping[str, str] = {
    "sample": "#a8d5ba",
    "plan": "#5aa9a3",
    "physics": "#2b6f9e",
    "check": "#7fa7d1",
    "render": "#e0884d",
    "encode": "#eab464",
    "write": "#8c6bb1",
    "idle": "#c9ccd1",
}


@dataclass(frozen=True, kw_only=True)
class CellReport:
    """One row of the report: a task on an embodiment.

    Attributes:
        requested, committed, attempts: counts.
        failures: attempts by failure reason.
        replay_passed: exported episodes whose recorded actions reached success again.
        frames: exported frames; fps: their rate.
        seconds: worker seconds by phase over all attempts.
        pictures: PNG files of frames, with captions.
    """

    task: str
    embodiment: str
    requested: int
    committed: int
    attempts: int
    failures: Mapping[str, int]
    replay_passed: int
    frames: int
    fps: int
    seconds: Mapping[str, float]
    pictures: Sequence[tuple[Path, str]] = ()

    @property
    def success_rate(self) -> float | None:
        """Successes per attempt, or None before the first attempt."""
        return self.committed / self.attempts if self.attempts else None

    @property
    def cost(self) -> list[tuple[str, float, str]]:
        """(phase, worker seconds per exported trajectory, colour), phases that cost anything."""
        done = max(self.committed, 1)
        return [(p, self.seconds[p] / done, PHASE_COLORS[p]) for p in PHASES if self.seconds.get(p, 0.0) > 0]


@dataclass(frozen=True, kw_only=True)
class RunReport:
    """Everything ``report.html`` shows.

    Attributes:
        title: name of the run folder.
        command: the command that makes the run again.
        facts: label -> value, shown as a list (scene, seed, simulator, versions, digest).
        datasets: label -> path relative to the run folder.
        cells: the rows.
    """

    title: str
    command: str
    facts: Mapping[str, str]
    datasets: Mapping[str, str]
    cells: Sequence[CellReport]


def render_report(report: RunReport) -> str:
    """The page as text.

    Raises:
        OSError: a picture cannot be read.
    """
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("synthgen.report", "templates"), autoescape=True, undefined=jinja2.StrictUndefined
    )
    environment.filters["data_uri"] = _data_uri
    committed = sum(c.committed for c in report.cells)
    hours = sum(c.frames / c.fps for c in report.cells) / 3600
    worked = sum(sum(c.seconds.values()) for c in report.cells)
    return environment.get_template("report.html.j2").render(
        report=report,
        committed=committed,
        requested=sum(c.requested for c in report.cells),
        attempts=sum(c.attempts for c in report.cells),
        hours=hours,
        per_worker_hour=3600 * committed / worked if worked else None,
        real_time=3600 * hours / worked if worked else None,
        longest=max((sum(s for _, s, _ in c.cost) for c in report.cells), default=0.0),
        reasons=FAILURE_REASONS,
        phases=[(p, PHASE_COLORS[p]) for p in PHASES],
    )


def _data_uri(path: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()


def facts_of(plan: Mapping[str, Any], fingerprint: Mapping[str, Any]) -> dict[str, str]:
    """Label -> value from a plan's JSON and the fingerprint of its first commit."""
    facts = {
        "scene": f"{plan['scene']} ({plan['scene_digest'][:12]})",
        "simulator": str(plan["simulator"]),
        "seed": str(plan["seed"]),
        "rate": f"{plan['fps']} Hz",
        "pictures": f"{plan['width']} x {plan['height']}",
        "formats": ", ".join(plan["formats"]),
    }
    return facts | {k: str(v) for k, v in fingerprint.items()}
