"""From spooled episodes to a committed shard: write, fsync, re-open and verify, publish the record."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from synthgen.core.errors import DamagedShardError
from synthgen.core.exporter import DatasetSpec, Exporter, ShardWriter, blame
from synthgen.core.failpoint import failpoint
from synthgen.core.plan import Shard
from synthgen.store.files import digest_file, dump, inside, storage_errors, sync_tree
from synthgen.store.record import CommitRecord, FormatRecord, QuarantinedSlot, SlotRecord
from synthgen.store.run import RunStore, quarantine_file
from synthgen.store.spool import Spool
from synthgen.store.strikes import Strikes

PACKAGES = ("synthgen", "mujoco", "numpy", "pyarrow", "av")


def commit_shard(
    store: RunStore,
    shard: Shard,
    *,
    dataset: DatasetSpec,
    exporters: Mapping[str, Exporter],
    quarantined: Mapping[int, QuarantinedSlot],
    worker: str,
    beat: Callable[[int], None],
    seconds: Mapping[str, float] = {},
) -> bool:
    """Write the shard in every format and publish it. Every slot must be spooled, given up or in ``quarantined``.

    ``beat(slot)`` is called as work goes on. ``seconds`` ("write", "idle") of the worker go into the record, with the
    time of this call added to "write". Returns False when another worker had committed the shard already.

    Raises:
        DamagedShardError: a spooled file is damaged (it is gone then: make the slot again and call once more), or the
            files just written do not verify.
        StorageError: disk full and the like.
    """
    began = time.perf_counter()
    spool = Spool(store.root, shard)
    out = dict(spool.given_up()) | dict(quarantined)
    slots = sorted(spool.spooled() - out.keys())
    absent = set(range(shard.start, shard.stop)) - set(slots) - out.keys()
    if absent:
        raise DamagedShardError(f"{spool.folder}: slots {sorted(absent)} are missing")
    name, folder = store.new_folder(shard)
    try:
        records, formats = _make(spool, slots, folder, dataset=dataset, exporters=exporters, beat=beat)
        store.upload(name, formats)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    failpoint("shard.uploaded", shard.name)
    # From here on the folder stays, whatever happens: the record may be published even when an error is raised.
    record = CommitRecord(
        shard=shard.name,
        cell=shard.cell,
        start=shard.start,
        stop=shard.stop,
        plan=store.digest,
        folder=name,
        slots=tuple(records),
        quarantined=tuple(out[s] for s in sorted(out)),
        formats=formats,
        dataset=dataset if slots else None,
        worker=worker,
        finished=time.time(),
        versions=versions(),
        seconds={**seconds, "write": round(seconds.get("write", 0.0) + time.perf_counter() - began, 6)},
    )
    _keep_what_is_known(store, shard, record)
    won = store.commit(record)
    failpoint("shard.committed", shard.name)
    store.settle(record, won=won)
    spool.drop()
    return won


def _keep_what_is_known(store: RunStore, shard: Shard, record: CommitRecord) -> None:
    """Write what a quarantined slot did to where ``synthgen replay`` and people find it."""
    if not record.quarantined:
        return
    strikes = Strikes(store, shard).by_slot()
    for slot in record.quarantined:
        command = f"synthgen replay {store.name} --task {shard.task} --embodiment {shard.embodiment}"
        store.write(
            quarantine_file(shard.cell, slot.slot),
            dump(
                {
                    "task": shard.task,
                    "embodiment": shard.embodiment,
                    "slot": slot.slot,
                    "reason": slot.reason,
                    "detail": slot.detail,
                    "attempts": slot.attempts,
                    "failures": dict(slot.failures),
                    "strikes": [s.to_json() for s in strikes.get(slot.slot, [])],
                    "plan": store.digest,
                    "versions": dict(record.versions),
                    "command": f"{command} --slot {slot.slot}",
                }
            ),
        )


def versions() -> dict[str, str]:
    """Installed versions of the packages a data set depends on."""
    found: dict[str, str] = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _make(
    spool: Spool,
    slots: list[int],
    folder: Path,
    *,
    dataset: DatasetSpec,
    exporters: Mapping[str, Exporter],
    beat: Callable[[int], None],
) -> tuple[list[SlotRecord], dict[str, FormatRecord]]:
    if not slots:
        return [], {}
    name = spool.shard.name
    with storage_errors(folder):
        records = _write(spool, slots, folder, dataset=dataset, exporters=exporters, beat=beat)
        failpoint("shard.written", name)
        sync_tree(folder)
        failpoint("shard.synced", name)
    frames = sum(r.frames for r in records)
    formats: dict[str, FormatRecord] = {}
    for key, exporter in exporters.items():
        beat(slots[-1])
        formats[key] = _verify(folder / key, key, exporter, dataset, (len(records), frames))
    failpoint("shard.verified", name)
    return records, formats


def _write(
    spool: Spool,
    slots: list[int],
    folder: Path,
    *,
    dataset: DatasetSpec,
    exporters: Mapping[str, Exporter],
    beat: Callable[[int], None],
) -> list[SlotRecord]:
    records: list[SlotRecord] = []
    writers: dict[str, ShardWriter] = {}
    for key, exporter in exporters.items():
        (folder / key).mkdir()
        with blame(key, f"opening {spool.shard.name}"):
            writers[key] = exporter.open_shard(folder / key, dataset)
    try:
        for slot in slots:
            beat(slot)
            episode, record = spool.read(slot)
            records.append(record)
            for key, writer in writers.items():
                with blame(key, f"writing slot {slot} of {spool.shard.name}"):
                    writer.add(episode)
            failpoint("shard.add", f"{spool.shard.name}.{slot}")
        listed: dict[str, Sequence[Path]] = {}
        for key, writer in writers.items():
            with blame(key, f"closing {spool.shard.name}"):
                listed[key] = writer.close()
    except BaseException:
        for writer in writers.values():
            writer.abort()
        raise
    for key, files in listed.items():
        there = {p.relative_to(folder / key) for p in (folder / key).rglob("*") if p.is_file()}
        odd = there ^ set(files)
        if odd:
            raise DamagedShardError(
                f"exporter {key!r}: files listed and files written differ: {', '.join(sorted(map(str, odd)))}",
                remedy="mend the exporter: close() returns every file relative to the shard's folder",
            )
    return records


def _verify(
    folder: Path, key: str, exporter: Exporter, dataset: DatasetSpec, expected: tuple[int, int]
) -> FormatRecord:
    with blame(key, f"re-reading {folder.parent.name}"):
        found = exporter.verify(folder, dataset)
    if tuple(found) != expected:
        raise DamagedShardError(
            f"{folder}: {key} re-read as {found[0]} episodes, {found[1]} frames; "
            f"written were {expected[0]} episodes, {expected[1]} frames"
        )
    files = {p.relative_to(folder).as_posix(): digest_file(p) for p in sorted(folder.rglob("*")) if p.is_file()}
    for relative in files:
        inside(relative, folder)
    return FormatRecord(files=files, episodes=found[0], frames=found[1])
