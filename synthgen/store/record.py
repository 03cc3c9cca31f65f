"""The commit record: the only thing that says a shard is done."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from synthgen.core.embodiment import JointGroup
from synthgen.core.errors import DamagedShardError
from synthgen.core.exporter import CameraSpec, DatasetSpec
from synthgen.store.files import inside

VERSION = 1
FOLDER = re.compile(r"shards/[A-Za-z0-9_.\-]+")


@dataclass(frozen=True, kw_only=True)
class SlotRecord:
    """One committed success.

    Attributes:
        slot: index within its cell; attempts: how many it took, the successful one included.
        failures: failed attempts by reason.
        seconds: wall seconds by phase, over all its attempts.
        frames: length of the episode; steps: control steps simulated over all attempts.
        replayed: the replay check was run and passed.
    """

    slot: int
    attempts: int
    failures: Mapping[str, int]
    seconds: Mapping[str, float]
    frames: int
    steps: int
    replayed: bool


@dataclass(frozen=True, kw_only=True)
class QuarantinedSlot:
    """A slot given up.

    Attributes:
        reason: "attempts" (all used up) or "strikes" (it killed several simulators).
        detail: what was seen last.
        attempts, failures, seconds, steps: as in ``SlotRecord``; what is known.
    """

    slot: int
    reason: str
    detail: str
    attempts: int = 0
    failures: Mapping[str, int] = field(default_factory=dict[str, int])
    seconds: Mapping[str, float] = field(default_factory=dict[str, float])
    steps: int = 0


@dataclass(frozen=True, kw_only=True)
class FormatRecord:
    """One format's files of the shard: path relative to its folder -> (bytes, sha256)."""

    files: Mapping[str, tuple[int, str]]
    episodes: int
    frames: int


@dataclass(frozen=True, kw_only=True)
class CommitRecord:
    """``commits/<shard>.json``.

    Attributes:
        shard: its name; cell: its cell's; start, stop: slots [start, stop).
        plan: digest of the plan it was made for.
        folder: where the files lie, relative to the run folder; one subfolder per format.
        slots: the successes in slot order; quarantined: the rest.
        formats: by exporter name.
        dataset: what holds for every episode; None when every slot is quarantined.
        worker: who made it; finished: UNIX seconds (for rates only).
        versions: packages that the files depend on.
        seconds: of the worker that committed it: "write" (spool, files, verification) and "idle" (between shards and
            whatever no attempt accounts for). What attempts cost is with their slots.
    """

    shard: str
    cell: str
    start: int
    stop: int
    plan: str
    folder: str
    slots: tuple[SlotRecord, ...]
    quarantined: tuple[QuarantinedSlot, ...]
    formats: Mapping[str, FormatRecord]
    dataset: DatasetSpec | None
    worker: str
    finished: float
    versions: Mapping[str, str]
    seconds: Mapping[str, float] = field(default_factory=dict[str, float])

    def to_json(self) -> dict[str, Any]:
        """Plain JSON-able mapping."""
        return {"version": VERSION, **asdict(self)}

    @classmethod
    def from_json(cls, d: Mapping[str, Any], where: Path | str) -> CommitRecord:
        """The inverse; ``where`` names the file in errors.

        Raises:
            DamagedShardError: not a commit record, or it names files outside the run folder.
        """
        remedy = "run `synthgen verify RUN --repair`"
        try:
            values = {k: v for k, v in d.items() if k != "version"}
            if d["version"] != VERSION:
                raise DamagedShardError(f"{where}: commit record version {d['version']}", remedy="use a newer synthgen")
            values["slots"] = tuple(SlotRecord(**s) for s in d["slots"])
            values["quarantined"] = tuple(QuarantinedSlot(**s) for s in d["quarantined"])
            values["formats"] = {
                str(name): FormatRecord(
                    files={str(k): (int(v[0]), str(v[1])) for k, v in f["files"].items()},
                    episodes=int(f["episodes"]),
                    frames=int(f["frames"]),
                )
                for name, f in d["formats"].items()
            }
            values["dataset"] = None if d["dataset"] is None else dataset_from_json(d["dataset"])
            record = cls(**values)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DamagedShardError(f"{where}: not a commit record ({error!r})", remedy=remedy) from error
        if not FOLDER.fullmatch(record.folder) or ".." in record.folder:
            raise DamagedShardError(f"{where}: folder {record.folder!r} leaves the run folder", remedy=remedy)
        for name, form in record.formats.items():
            for file in form.files:
                inside(f"{name}/{file}", Path(where), told=str(where))
        return record


def dataset_to_json(dataset: DatasetSpec) -> dict[str, Any]:
    """Plain JSON-able mapping."""
    return asdict(dataset)


def dataset_from_json(d: Mapping[str, Any]) -> DatasetSpec:
    """The inverse of ``dataset_to_json``."""
    values = dict(d)
    values["groups"] = tuple(JointGroup(name=g["name"], joints=tuple(g["joints"])) for g in d["groups"])
    values["cameras"] = tuple(CameraSpec(**c) for c in d["cameras"])
    values["end_effectors"] = tuple(d["end_effectors"])
    values["tasks"] = tuple(d["tasks"])
    values["objects"] = tuple(d["objects"])
    values["objects"] = tuple(d.get("objects", ()))
    return DatasetSpec(**values)
