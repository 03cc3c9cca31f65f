"""A run as an argument of a command: its folder, or its URL in an object store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from synthgen.store.place import Place, place_of
from synthgen.store.run import RunStore


class RunPlace(click.Path):
    """A run folder, or ``s3://bucket/prefix``."""

    name = "run"

    def __init__(self, **options: Any) -> None:
        super().__init__(path_type=Path, **options)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Place:
        """As click does."""
        if isinstance(value, str) and "://" in value:
            return place_of(value)
        return super().convert(value, param, ctx)  # type: ignore[return-value]


def shown(place: Path | str) -> str:
    """A path as the user would type it; a URL as it is."""
    if isinstance(place, str) and "://" in place:
        return place
    path = Path(place)
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def shown_in(store: RunStore, path: Path) -> str:
    """Something in a run, by where it is in the run folder."""
    return shown(place_in(store, path))


def place_in(store: RunStore, path: Path) -> str:
    """Where something of a run is: a path, or a URL."""
    return f"{store.place}/{path.relative_to(store.root).as_posix()}"
