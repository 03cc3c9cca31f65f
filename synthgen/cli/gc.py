"""``synthgen gc``."""

from __future__ import annotations

import json
from pathlib import Path

import click

from synthgen.store.gc import orphans, remove
from synthgen.store.run import RunStore


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--dry-run", is_flag=True, help="Only list what would be removed.")
@click.option("--older-than", type=float, metavar="SECONDS", help="Age of a try.  [default: 3600; 0 when complete]")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def gc(run: Path, dry_run: bool, older_than: float | None, as_json: bool) -> None:
    """Remove files that no commit names, and nothing else.

    \b
    Examples:
      synthgen gc data/demo --dry-run
      synthgen gc data/demo
    """
    store = RunStore.open(run)
    found = list(orphans(store, older_than=older_than))
    size = sum(o.bytes for o in found) if dry_run else remove(store, found)
    if as_json:
        listed = [{"path": str(o.path), "why": o.why, "bytes": o.bytes} for o in found]
        click.echo(json.dumps({"removed": not dry_run, "bytes": size, "orphans": listed}))
        return
    for o in found:
        click.echo(f"{o.bytes:>12,}  {o.path.relative_to(store.root)}  ({o.why})")
    click.echo(f"{len(found)} orphans, {size:,} bytes {'would be' if dry_run else 'were'} removed")
