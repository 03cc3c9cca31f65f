"""``synthgen assets``: robot assets, fetched once and kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from synthgen.embodiments.assets import AssetStore
from synthgen.embodiments.packs import PACKS, AssetPack
from synthgen.embodiments.registry import embodiments

_root = click.option(
    "--asset-root",
    type=click.Path(path_type=Path, file_okay=False),
    help="A folder of your own with one folder per pack.  [default: $SYNTHGEN_ASSET_ROOT, then the cache]",
)
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group()
def assets() -> None:
    """Robot models and meshes, from pinned wheels of the package index.

    They are fetched once with your own pip configuration, checked by their sha256 and cached in $SYNTHGEN_CACHE
    (default ~/.cache/synthgen); afterwards nothing needs the network.

    \b
    Examples:
      synthgen assets list
      synthgen assets fetch
      synthgen assets path robosuite
    """


@assets.command("fetch")
@click.argument("names", nargs=-1)
@_root
@_json
def fetch(names: tuple[str, ...], asset_root: Path | None, as_json: bool) -> None:
    """Fetch the packs NAMES (all by default), or check every file of those already cached.

    \b
    Examples:
      synthgen assets fetch
      synthgen assets fetch robosuite-models
    """
    store = AssetStore(asset_root=asset_root)
    fetched: dict[str, str] = {}
    for name in names or tuple(PACKS):
        fetched[name] = str(store.fetch(name))
        if not as_json:
            click.echo(f"{name}  {fetched[name]}")
    if as_json:
        click.echo(json.dumps(fetched, indent=2))


@assets.command("list")
@_root
@_json
def list_packs(asset_root: Path | None, as_json: bool) -> None:
    """List the packs: source, licence, who needs them, and whether they are here.

    \b
    Example:
      synthgen assets list --json
    """
    store = AssetStore(asset_root=asset_root)
    users = embodiments().values()
    rows = [_row(store, pack, [e.name for e in users if name in e.packs]) for name, pack in PACKS.items()]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    for row in rows:
        click.echo(f"{row['name']}  {row['project']} {row['version']}  for {', '.join(row['embodiments'])}")
        click.echo(f"  licence  {row['licence']}")
        click.echo(f"  sha256   {row['sha256']}")
        click.echo(f"  folder   {row['path'] or 'not fetched: synthgen assets fetch ' + row['name']}")


@assets.command("path")
@click.argument("name")
@_root
def path(name: str, asset_root: Path | None) -> None:
    """Print the folder of the pack NAME, fetching it if need be.

    \b
    Example:
      ls $(synthgen assets path robosuite)/robots
    """
    click.echo(str(AssetStore(asset_root=asset_root).root(name)))


def _row(store: AssetStore, pack: AssetPack, users: list[str]) -> dict[str, Any]:
    folder = store.path(pack.name)
    return {
        "name": pack.name,
        "project": pack.project,
        "version": pack.version,
        "sha256": pack.sha256,
        "licence": pack.licence,
        "embodiments": users,
        "path": str(folder) if folder else None,
    }
