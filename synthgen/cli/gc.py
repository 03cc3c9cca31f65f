"""``synthgen gc``."""

from __future__ import annotations

import json

import click

from synthgen.cli.place import RunPlace, place_in
from synthgen.store.gc import orphans, remove
from synthgen.store.place import Place, open_run


@click.command()
@click.argument("run", type=RunPlace())
@click.option("--dry-run", is_flag=True, help="Only list what would be removed.")
@click.option("--older-than", type=float, metavar="SECONDS", help="Age of a try.  [default: 10800; 0 when complete]")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def gc(run: Place, dry_run: bool, older_than: float | None, as_json: bool) -> None:
    """Remove files that no commit names, and nothing else.

    \b
    Examples:
      synthgen gc data/demo --dry-run
      synthgen gc data/demo
    """
    store = open_run(run)
    found = list(orphans(store, older_than=older_than))
    size = sum(o.bytes for o in found) if dry_run else remove(store, found)
    if as_json:
        listed = [{"path": place_in(store, o.path), "why": o.why, "bytes": o.bytes} for o in found]
        click.echo(json.dumps({"removed": not dry_run, "bytes": size, "orphans": listed}))
        return
    for o in found:
        click.echo(f"{o.bytes:>12,}  {o.path.relative_to(store.root)}  ({o.why})")
    click.echo(f"{len(found)} orphans, {size:,} bytes {'would be' if dry_run else 'were'} removed")
