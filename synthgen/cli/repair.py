"""What ``synthgen verify RUN`` does beyond the data sets: the commits and the files they name, and their repair."""

from __future__ import annotations

from pathlib import Path

from synthgen.core.errors import UsageError
from synthgen.core.project import Project
from synthgen.store.place import Place, open_run, plans_of


def check_commits(root: Place, *, project: Path | None, deep: bool, repair: bool) -> list[dict[str, str]]:
    """Re-read every committed shard of a run; empty when ``root`` is no run folder.

    With ``repair``, the commits of damaged shards are taken back, so that the next ``synthgen run`` makes just those.

    Raises:
        UsageError: ``repair`` of what is no run folder.
        StorageError.
    """
    from synthgen.engine.sources import exporters_of
    from synthgen.store.verify import requeue, verify_run

    if not plans_of(root):
        if repair:
            raise UsageError(f"{root}: --repair needs a run folder", remedy="give the --out folder of a run")
        return []
    store = open_run(root)
    damage = list(verify_run(store, exporters_of(store.plan, Project.of(project)), deep=deep))
    if repair:
        requeue(store, (d.shard for d in damage))
    remedy = (
        "run the same `synthgen run` command again: it makes just these shards"
        if repair
        else f"synthgen verify {root} --repair"
    )
    return [
        {"dataset": str(root), "file": d.file, "where": f"shard {d.shard}", "what": d.what, "remedy": remedy}
        for d in damage
    ]
