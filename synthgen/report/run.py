"""From a run folder to its ``report.html``."""

from __future__ import annotations

from pathlib import Path

from synthgen.report.html import CellReport, RunReport, facts_of, render_report
from synthgen.store.run import RunStore
from synthgen.store.status import status


def write_report(run: Path | RunStore, *, command: str = "") -> Path:
    """Write ``report.html`` of a run, finished or not, from storage alone; returns its path in the run.

    ``command``: the command line that makes the run again.

    Raises:
        StorageError: a record is damaged, or the page cannot be written.
    """
    store = run if isinstance(run, RunStore) else RunStore.open(run)
    state = status(store)
    names = sorted(store.committed())
    versions = store.record(names[0]).versions if names else {}
    cells = [
        CellReport(
            task=c.task,
            embodiment=c.embodiment,
            requested=c.requested,
            committed=c.committed,
            attempts=c.attempts,
            failures=dict(c.failures),
            replay_passed=c.replay_passed,
            frames=c.frames,
            fps=store.plan.fps,
            seconds=dict(c.seconds),
            pictures=_pictures(store, f"{c.task}.{c.embodiment}"),
        )
        for c in state.cells
    ]
    page = render_report(
        RunReport(
            title=store.name,
            command=command,
            facts=facts_of(store.plan.to_json(), versions),
            datasets={d.replace("/", ", ", 1): d for d in store.datasets()},
            cells=cells,
        )
    )
    store.write("report.html", page.encode())
    return store.root / "report.html"


def _pictures(store: RunStore, cell: str) -> list[tuple[Path, str]]:
    names = [n for n in store.names("previews") if n.startswith(f"{cell}.") and n.endswith(".png")]
    return [(store.here(f"previews/{n}"), f"slot {int(n.removesuffix('.png').rsplit('.', 1)[1])}") for n in names]
