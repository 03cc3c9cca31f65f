"""``synthgen verify | inspect | merge | split | export``: what can be done with finished data sets."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from synthgen.cli.place import RunPlace
from synthgen.core.errors import UsageError
from synthgen.core.project import Project, pick
from synthgen.store.place import Place, open_run

if TYPE_CHECKING:
    from synthgen.core.exporter import DatasetSummary, Exporter
    from synthgen.formats.base import PieceFormat
    from synthgen.formats.manifest import ShardManifest

FOLDER = click.Path(path_type=Path)
PROJECT = click.option("--project", "project", type=FOLDER, help="A folder with exporters/ of your own.")
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
SHOWN = 20


@click.command()
@click.argument("path", type=RunPlace())
@click.option("--fast", is_flag=True, help="Count video packets without decoding them.")
@click.option("--repair", is_flag=True, help="Take back the commits of damaged shards of a run.")
@PROJECT
@JSON
def verify(path: Place, fast: bool, repair: bool, project: Path | None, as_json: bool) -> None:
    """Re-read a data set, or a run (its commits and data sets), and say what is wrong, where, and what to do.

    Checks what readers accept without a word: totals, numbering, timestamps, file order, finiteness, statistics, and
    that every video frame decodes. Exit code 3 when something is damaged.

    \b
    Examples:
      synthgen verify data/demo/lerobot/franka
      synthgen verify data/demo --fast
      synthgen verify data/demo --repair
      synthgen verify s3://bucket/run1
    """
    from synthgen.cli.repair import check_commits

    found = check_commits(path, project=project, deep=not fast, repair=repair)
    checked: list[dict[str, Any]] = []
    for shown, folder in () if found else _copies(path):
        with folder as root:
            exporter, manifest = _open(root, project)
            problems = [
                {"dataset": shown, "file": p.file, "where": p.where, "what": p.what, "remedy": p.remedy}
                for p in exporter.check(root, decode=not fast)
            ]
        found += problems
        counts = {"episodes": manifest.episodes, "frames": manifest.frames, "problems": len(problems)}
        checked.append({"dataset": shown, "format": manifest.format, **counts})
    if as_json:
        click.echo(json.dumps({"datasets": checked, "problems": found}))
    else:
        _print_problems(checked, found)
    if found:
        raise click.exceptions.Exit(3)


@click.command()
@click.argument("path", type=FOLDER)
@PROJECT
@JSON
def inspect(path: Path, project: Path | None, as_json: bool) -> None:
    """Show what a data set, or each data set of a run, holds.

    \b
    Examples:
      synthgen inspect data/demo/lerobot/franka
      synthgen inspect data/demo --json
    """
    shown = [(root, *_open(root, project)) for root in datasets_of(path)]
    if as_json:
        click.echo(json.dumps([_summary(root, manifest) for root, _, manifest in shown]))
        return
    for root, exporter, manifest in shown:
        _print_dataset(root, exporter, manifest)


@click.command()
@click.argument("parts", nargs=-1, required=True, type=FOLDER)
@click.option("--out", required=True, type=FOLDER, help="The new data set's folder.")
@PROJECT
@JSON
def merge(parts: tuple[Path, ...], out: Path, project: Path | None, as_json: bool) -> None:
    """Join data sets of the same features into one; videos are linked, not copied.

    \b
    Examples:
      synthgen merge run1/lerobot/franka run2/lerobot/franka --out data/franka
    """
    from synthgen.formats.transfer import new_folder

    if len(parts) < 2:
        raise UsageError("merge needs at least two data sets", remedy="name two folders or more")
    new_folder(out)
    exporter, _ = _open(parts[0], project)
    for root in parts[1:]:
        _open(root, project)
    _print_made([exporter.merge(list(parts), out)], exporter, as_json=as_json)


@click.command()
@click.argument("path", type=FOLDER)
@click.option("--out", required=True, type=FOLDER, help="A folder for the two data sets.")
@click.option("--fraction", type=float, help="Share of the episodes that goes into the first.")
@click.option("--seed", type=int, help="Draw them at random instead of taking the first ones.")
@click.option("--episodes", metavar="A:B,C", help="Episodes that go into the first: numbers and ranges.")
@click.option("--names", default="train,test", show_default=True, metavar="A,B", help="Names of the two.")
@PROJECT
@JSON
def split(
    *,
    path: Path,
    out: Path,
    fraction: float | None,
    seed: int | None,
    episodes: str | None,
    names: str,
    project: Path | None,
    as_json: bool,
) -> None:
    """Divide a data set in two, by share or by episode numbers. Videos are copied packet by packet, not re-encoded.

    \b
    Examples:
      synthgen split data/franka --fraction 0.9 --seed 1 --out data/franka-split
      synthgen split data/franka --episodes 0:100,250 --names few,rest --out data/franka-few
    """
    from synthgen.formats.transfer import choose, parse_episodes
    from synthgen.formats.transfer import split as divide

    two = tuple(n.strip() for n in names.split(","))
    if len(two) != 2 or two[0] == two[1] or any(n in ("", ".", "..") or "/" in n for n in two):
        raise UsageError(f"--names {names!r}: needs two different folder names", remedy="such as --names train,test")
    if (fraction is None) == (episodes is None):
        raise UsageError("split needs either --fraction or --episodes", remedy="give one of them")
    if seed is not None and fraction is None:
        raise UsageError("--seed draws a --fraction; --episodes says which", remedy="leave --seed out")
    exporter, manifest = _open(path, project)
    total = manifest.episodes
    first = choose(total, fraction, seed) if fraction is not None else parse_episodes(episodes or "", total)
    _print_made(divide(exporter, path, first, (out / two[0], out / two[1])), exporter, as_json=as_json)


@click.command()
@click.argument("path", type=FOLDER)
@click.option("--format", "name", required=True, help="The new format (see `synthgen run --formats`).")
@click.option("--out", required=True, type=FOLDER, help="The new data set's folder; for a run, one folder each in it.")
@PROJECT
@JSON
def export(path: Path, name: str, out: Path, project: Path | None, as_json: bool) -> None:
    """Write a data set, or every data set of a run, in another format: nothing is simulated or encoded again.

    \b
    Examples:
      synthgen export data/demo --format gr00t --out data/demo-gr00t
      synthgen export data/demo/lerobot/franka --format robomimic --out data/franka-robomimic
    """
    from synthgen.formats.transfer import new_folder, write_dataset

    exporter = pick("format", name, _exporters(project))
    sources = list(datasets_of(path))
    whole_run = (path / "plan.json").is_file()
    # A run may hold the same episodes in several formats: take each once, from the one that reads fastest.
    chosen: dict[str, Path] = {}
    for root in sorted(sources, key=lambda r: (not r.parent.name.startswith("lerobot"), r)):
        chosen.setdefault(root.name, root)
    targets = {root: out / folder if whole_run else out for folder, root in chosen.items()}
    for target in targets.values():  # before the first is written
        new_folder(target)
    made: list[DatasetSummary] = []
    for root, target in targets.items():
        source, manifest = _open(root, project)
        made.append(write_dataset(exporter, manifest.dataset, source.read(root), target))
    _print_made(made, exporter, as_json=as_json)


def datasets_of(path: Path) -> Iterator[Path]:
    """The data set at ``path``, or every data set of the run there.

    Raises:
        UsageError: a run without a finished data set.
    """
    from synthgen.formats.folder import MANIFEST

    if not (path / "plan.json").is_file():
        yield path
        return
    found = sorted(p.parent.parent for p in path.glob(f"*/*/{MANIFEST}"))
    if not found:
        raise UsageError(f"{path}: the run has no finished data set yet", remedy="let `synthgen run` finish it")
    yield from found


def _copies(path: Place) -> Iterator[tuple[str, AbstractContextManager[Path]]]:
    """What to call the data set at ``path``, or each of the run there, and the folder with it."""
    if isinstance(path, Path):
        yield from ((str(root), nullcontext(root)) for root in datasets_of(path))
        return
    store = open_run(path)
    found = store.datasets()
    if not found:
        raise UsageError(f"{path}: the run has no finished data set yet", remedy="let `synthgen run` finish it")
    yield from ((f"{path}/{relative}", store.dataset(relative)) for relative in found)


def _exporters(project: Path | None) -> dict[str, Any]:
    return Project.of(project).load("exporters", "exporter")


def _open(root: Path, project: Path | None) -> tuple[PieceFormat, ShardManifest]:
    from synthgen.formats.transfer import open_dataset

    return open_dataset(root, _exporters(project))


def _summary(root: Path, m: ShardManifest) -> dict[str, Any]:
    files = [p for p in root.rglob("*") if p.is_file()]
    return {
        "dataset": str(root),
        "format": m.format,
        "embodiment": m.dataset.embodiment,
        "episodes": m.episodes,
        "frames": m.frames,
        "fps": m.dataset.fps,
        "seconds": m.frames / m.dataset.fps,
        "tasks": m.tasks,
        "instructions": len(m.instructions),
        "shortest_and_longest": m.lengths,
        "cameras": {c.name: [c.width, c.height] for c in m.dataset.cameras},
        "groups": {g.name: len(g.joints) for g in m.dataset.groups},
        "end_effectors": m.dataset.end_effectors,
        "objects": m.dataset.objects,
        "seeds": m.seeds,
        "files": len(files),
        "bytes": sum(p.stat().st_size for p in files),
        "command": m.dataset.command,
    }


def _print_dataset(root: Path, exporter: PieceFormat, manifest: ShardManifest) -> None:
    from rich.console import Console
    from rich.table import Table

    s = _summary(root, manifest)
    console = Console(width=max(80, shutil.get_terminal_size().columns))
    console.print(f"[bold]{root}[/bold]   {exporter.summary}", highlight=False)
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold")
    table.add_column()
    low, high = s["shortest_and_longest"] or (0, 0)
    table.add_row("episodes", f"{s['episodes']:,} of {low} to {high} frames; {s['frames']:,} frames in all")
    table.add_row("duration", f"{s['seconds'] / 60:.1f} min at {s['fps']} Hz")
    table.add_row("tasks", ", ".join(f"{t} ({n:,})" for t, n in s["tasks"].items()))
    table.add_row("instructions", f"{s['instructions']:,}, such as: {', '.join(manifest.instructions[:2])}")
    table.add_row("cameras", ", ".join(f"{c} {w}x{h}" for c, (w, h) in s["cameras"].items()) or "none")
    table.add_row("state, action", ", ".join(f"{g} {n}" for g, n in s["groups"].items()))
    table.add_row("end effectors", ", ".join(s["end_effectors"]))
    table.add_row("seeds", ", ".join(s["seeds"]))
    table.add_row("size", f"{s['bytes'] / 1e6:,.1f} MB in {s['files']:,} files")
    table.add_row("made by", s["command"])
    console.print(table)


def _print_made(made: Sequence[DatasetSummary], exporter: Exporter, *, as_json: bool) -> None:
    if as_json:
        rows = [
            {"dataset": str(m.root), "format": exporter.name, "episodes": m.episodes, "frames": m.frames} for m in made
        ]
        click.echo(json.dumps(rows))
        return
    for m in made:
        click.echo(f"data set  {m.root}  ({m.episodes} episodes, {m.frames} frames)")


def _print_problems(checked: list[dict[str, Any]], found: list[dict[str, str]]) -> None:
    for problem in found[:SHOWN]:
        where = f" ({problem['where']})" if problem["where"] else ""
        click.echo(f"{problem['dataset']}/{problem['file']}{where}: {problem['what']}")
        click.echo(f"  remedy: {problem['remedy']}")
    if len(found) > SHOWN:
        click.echo(f"... and {len(found) - SHOWN} more (--json lists them all)")
    for c in checked:
        state = f"{c['problems']} problems" if c["problems"] else "good"
        click.echo(f"{c['dataset']}  {c['format']}  {c['episodes']} episodes, {c['frames']} frames: {state}")
