"""From a run folder to its ``report.html``."""

from __future__ import annotations

from pathlib import Path

from synthgen.report.html import CellReport, RunReport, facts_of, render_report
from synthgen.store.files import replace
from synthgen.store.run import RunStore
from synthgen.store.status import status


def write_report(root: Path, *, command: str = "") -> Path:
    """Write ``report.html`` of a run, finished or not, from storage alone; returns its path.

    ``command``: the command line that makes the run again.

    Raises:
        StorageError: a record is damaged, or the page cannot be written.
    """
    store = RunStore.open(root)
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
            pictures=_pictures(root, f"{c.task}.{c.embodiment}"),
        )
        for c in state.cells
    ]
    page = render_report(
        RunReport(
            title=root.resolve().name,
            command=command,
            facts=facts_of(store.plan.to_json(), versions),
            datasets=_datasets(root, store.plan.formats),
            cells=cells,
        )
    )
    path = root / "report.html"
    replace(path, page.encode())
    return path


def _pictures(root: Path, cell: str) -> list[tuple[Path, str]]:
    found = sorted((root / "previews").glob(f"{cell}.*.png"))
    return [(p, f"slot {int(p.stem.rsplit('.', 1)[1])}") for p in found]


def _datasets(root: Path, formats: tuple[str, ...]) -> dict[str, str]:
    """Label -> path relative to the run folder, of the data sets that are there."""
    folders = [(name, folder) for name in formats for folder in sorted((root / name).glob("*")) if folder.is_dir()]
    return {f"{name}, {folder.name}": f"{name}/{folder.name}" for name, folder in folders}
