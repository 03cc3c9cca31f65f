"""How a run shows itself: a live table on a terminal, JSON lines elsewhere."""

from __future__ import annotations

import json
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from synthgen.engine.progress import Progress

EVERY = 5.0  # seconds between JSON lines of progress
KEPT_EVERY = 30.0  # seconds between those kept in the run folder


def duration(seconds: float | None) -> str:
    """Seconds in words ("1 h 02 min")."""
    if seconds is None:
        return "–"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


class LinesView:
    """One JSON object per line: ``progress`` every few seconds, and every event."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._last = 0.0
        self._unsaid: Progress | None = None

    def progress(self, progress: Progress) -> None:
        """See ``View``."""
        self._unsaid = progress
        if time.monotonic() - self._last >= EVERY:
            self._last = time.monotonic()
            self._flush()

    def say(self, event: str, message: str, **fields: Any) -> None:
        """See ``View``."""
        self._write({"event": event, "message": message, **fields})

    def close(self) -> None:
        """Say the last progress, if it was held back."""
        self._flush()

    def _flush(self) -> None:
        progress, self._unsaid = self._unsaid, None
        if progress is not None:
            self._write({"event": "progress", **progress.to_json()})

    def _write(self, line: dict[str, Any]) -> None:
        print(json.dumps({"time": round(time.time(), 3), **line}), file=self._stream, flush=True)


class TableView:
    """A live table, and messages above it."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True)
        self._live = Live(console=self._console, refresh_per_second=4, transient=False)
        self._started = False

    def progress(self, progress: Progress) -> None:
        """See ``View``."""
        if not self._started:
            self._live.start()
            self._started = True
        self._live.update(render(progress))

    def say(self, event: str, message: str, **fields: Any) -> None:
        """See ``View``."""
        self._console.print(Text(message, style="yellow" if "lost" in event or "given" in event else ""))

    def close(self) -> None:
        """Leave the last table standing and give the terminal back."""
        if self._started:
            self._live.stop()
            self._started = False


class Journal:
    """Shows a run in another view, and keeps what happened as JSON lines in the run folder.

    Args:
        view: where it is shown.
        path: the file; lines are added.
        run: the plan's digest, in every line.
    """

    def __init__(self, view: LinesView | TableView, path: Path, *, run: str) -> None:
        self._view = view
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a", buffering=1)
        self._run = run[:16]
        self._last = 0.0
        self._unkept: Progress | None = None

    def progress(self, progress: Progress) -> None:
        """See ``View``; every half minute it is kept, and the last one."""
        self._view.progress(progress)
        self._unkept = progress
        if time.monotonic() - self._last >= KEPT_EVERY:
            self._last = time.monotonic()
            self._keep_progress()

    def say(self, event: str, message: str, **fields: Any) -> None:
        """See ``View``."""
        self._view.say(event, message, **fields)
        self._keep({"event": event, "message": message, **fields})

    def close(self) -> None:
        """Close the file and the view."""
        self._keep_progress()
        self._view.close()
        self._file.close()

    def _keep_progress(self) -> None:
        progress, self._unkept = self._unkept, None
        if progress is not None:
            self._keep({"event": "progress", **progress.to_json()})

    def _keep(self, line: dict[str, Any]) -> None:
        with suppress(OSError):  # a full disk is reported by whom it stops
            self._file.write(json.dumps({"time": round(time.time(), 3), "run": self._run, **line}) + "\n")


def render(progress: Progress) -> Group:
    """The table and the line under it."""
    table = Table(box=None, pad_edge=False)
    for heading, justify in (
        ("task", "left"),
        ("robot", "left"),
        ("done", "right"),
        ("%", "right"),
        ("success", "right"),
        ("failures", "left"),
    ):
        table.add_column(heading, justify=justify, header_style="bold")  # type: ignore[arg-type]
    for c in progress.cells:
        top = ", ".join(f"{reason} {count}" for reason, count in c.failures.most_common(3))
        table.add_row(
            c.task,
            c.embodiment,
            f"{c.done}/{c.requested}",
            f"{100 * c.done / c.requested:.0f}",
            "–" if c.success_rate is None else f"{100 * c.success_rate:.0f} %",
            top + (f"  ({c.quarantined} quarantined)" if c.quarantined else ""),
        )
    workers = ", ".join(f"{count} {state}" for state, count in sorted(progress.workers.items()))
    rate = "–" if progress.rate is None else f"{progress.rate:.2f}/s"
    line = (
        f"{progress.done}/{progress.requested} trajectories  {rate}  to go {duration(progress.eta)}  "
        f"running {duration(progress.seconds)}\nworkers: {workers or 'none yet'} (of {progress.wanted})"
    )
    if progress.restarts:
        line += "  restarts: " + ", ".join(f"{k} {v}" for k, v in progress.restarts.items())
    return Group(table, Text(line))
