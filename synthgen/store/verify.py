"""Re-reading a run's committed shards: what is damaged, and putting it back on the list of what is missing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from synthgen.core.errors import StorageError, SynthgenError
from synthgen.core.exporter import Exporter
from synthgen.store.files import digest_file
from synthgen.store.record import CommitRecord, FormatRecord
from synthgen.store.run import RunStore


@dataclass(frozen=True, kw_only=True)
class Damage:
    """One thing that is wrong: the shard it belongs to, the file relative to the run folder, and what."""

    shard: str
    file: str
    what: str


def verify_run(store: RunStore, exporters: Mapping[str, Exporter], *, deep: bool = True) -> Iterator[Damage]:
    """Check every commit record of the plan, and every file it names: size, sha256, and (``deep``) its content.

    Ends early within a shard: the first damage of each format is enough to make it again.
    """
    done = store.committed()
    store.gather(done)
    for shard in store.plan.shards():
        if shard.name not in done:
            continue
        path = store.commit_path(shard.name)
        try:
            record = store.record(shard.name)
        except SynthgenError as error:
            yield Damage(shard=shard.name, file=str(path.relative_to(store.root)), what=error.message)
            continue
        if (record.cell, record.start, record.stop) != (shard.cell, shard.start, shard.stop):
            yield Damage(shard=shard.name, file=f"commits/{path.name}", what="is of other slots than the plan says")
            continue
        for key, form in record.formats.items():
            with store.fetched([(record.folder, key, form)], check=False) as (folder,):
                yield from _format(folder, record, key, form, exporters.get(key) if deep else None)


def requeue(store: RunStore, shards: Iterable[str]) -> None:
    """Take commits back: their shards are missing again. Records are kept under ``damaged/``; ``gc`` frees the files.

    Raises:
        StorageError.
    """
    for name in dict.fromkeys(shards):
        store.take_back(name)


def _format(
    folder: Path, record: CommitRecord, key: str, form: FormatRecord, exporter: Exporter | None
) -> Iterator[Damage]:
    for name, (size, sha256) in form.files.items():
        path = folder / name
        try:
            found = digest_file(path)
        except OSError as error:
            yield Damage(shard=record.shard, file=f"{record.folder}/{key}/{name}", what=error.strerror or str(error))
            return
        if found != (size, sha256):
            what = f"{found[0]} bytes instead of {size}" if found[0] != size else "its sha256 differs"
            yield Damage(shard=record.shard, file=f"{record.folder}/{key}/{name}", what=what)
            return
    if exporter is None or record.dataset is None:
        return
    try:
        counts = tuple(exporter.verify(folder, record.dataset))
    except StorageError as error:
        yield Damage(shard=record.shard, file=f"{record.folder}/{key}", what=error.message)
        return
    if counts != (form.episodes, form.frames):
        yield Damage(
            shard=record.shard,
            file=f"{record.folder}/{key}",
            what=f"{counts[0]} episodes, {counts[1]} frames; committed were {form.episodes}, {form.frames}",
        )
