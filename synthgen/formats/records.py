"""Episodes without loss: one parquet row for all of an episode that the data set's own columns and videos do not hold.

A row has the episode's identity as plain columns, everything small as JSON (``record``), and the arrays as named
little-endian buffers whose bytes are grouped by significance, which lets zstd halve smooth signals.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from synthgen.core.episode import CameraTrack, EncodedVideo, Episode, ImageStats
from synthgen.core.errors import DamagedShardError
from synthgen.core.simulator import SimState
from synthgen.core.spec import EpisodeSpec
from synthgen.formats.tables import open_parquet, parquet_writer

SCHEMA = pa.schema(
    [
        ("task", pa.string()),
        ("embodiment", pa.string()),
        ("slot", pa.int64()),
        ("attempt", pa.int64()),
        ("entropy", pa.string()),
        ("seed", pa.int64()),
        ("frames", pa.int64()),
        ("instruction", pa.string()),
        ("record", pa.string()),
        (
            "arrays",
            pa.list_(
                pa.struct(
                    [
                        ("name", pa.string()),
                        ("dtype", pa.string()),
                        ("shape", pa.list_(pa.int64())),
                        ("data", pa.binary()),
                    ]
                )
            ),
        ),
    ]
)
ARRAYS = ("state", "action", "velocity", "base_pose", "subtask", "reward", "done")
POSES = ("eef_pose", "eef_target", "object_pose", "receptacle_pose")


@dataclass(frozen=True, kw_only=True, eq=False)
class EpisodeRecord:
    """A row as read: its identity, what was JSON, and its arrays by name."""

    identity: Mapping[str, Any]
    record: Mapping[str, Any]
    arrays: Mapping[str, NDArray]

    def episode(self, videos: Mapping[str, bytes], arrays: Mapping[str, NDArray] | None = None) -> Episode:
        """The episode again.

        Args:
            videos: mp4 bytes by camera name.
            arrays: those that were left out of the row because the data set holds them.

        Raises:
            DamagedShardError: an array or a video is missing.
        """
        found = {**self.arrays, **(arrays or {})}
        r, who = self.record, self.identity
        videos = {**{n[4:]: a.tobytes() for n, a in found.items() if n.startswith("mp4/")}, **videos}
        missing = [n for n in r["arrays"] if n not in found] + [c for c in r["videos"] if c not in videos]
        if missing:
            raise DamagedShardError(f"episode of slot {who['slot']}: {', '.join(missing)} missing")
        spec = EpisodeSpec(
            **{k: who[k] for k in ("task", "embodiment", "slot", "attempt")}, entropy=int(who["entropy"])
        )
        fields: dict[str, Any] = {n: found[n] for n in ARRAYS}
        fields |= {kind: {n: found[f"{kind}/{n}"] for n in r[kind]} for kind in POSES}
        return Episode(
            spec=spec,
            fps=r["fps"],
            **fields,
            subtasks=tuple(r["subtasks"]),
            instruction=who["instruction"],
            paraphrases=tuple(r["paraphrases"]),
            videos={c: _video(v, videos[c], found[f"pixels/{c}"]) for c, v in r["videos"].items()},
            cameras={
                c: CameraTrack(intrinsics=found[f"intrinsics/{c}"], extrinsics=found[f"extrinsics/{c}"])
                for c in r["cameras"]
            },
            draws=r["draws"],
            sample=r["sample"],
            sim_states=SimState(**{f: found[f"sim_states/{f}"] for f in SimState.FIELDS}) if r["sim_states"] else None,
            state_bodies=tuple(r["state_bodies"]),
            state_scene_joints=tuple(r["state_scene_joints"]),
            replay_error=found.get("replay_error"),
            fingerprint=r["fingerprint"],
            scene=r["scene"],
        )


class RecordWriter:
    """Writes one row per episode; a row group each, so that memory holds one episode."""

    def __init__(self, path: Path, *, without: frozenset[str] = frozenset(), videos: bool = False) -> None:
        """Open the file.

        Args:
            path: to be written.
            without: names of arrays that the data set's own columns hold without loss.
            videos: keep the mp4 files too, for a format that holds decoded pictures only.
        """
        # Nothing repeats within a row group of one row: dictionaries and statistics would be the values once more.
        self._writer = parquet_writer(path, SCHEMA, compression="zstd", use_dictionary=False, write_statistics=False)
        self._without, self._videos = without, videos

    def add(self, episode: Episode) -> None:
        """Append an episode."""
        self._writer.write_table(pa.Table.from_pylist([_row(episode, self._without, self._videos)], schema=SCHEMA))

    def close(self) -> None:
        """Complete the file."""
        self._writer.close()


def read_records(path: Path, rows: Sequence[int] | None = None) -> Iterator[EpisodeRecord]:
    """The rows of a file (all, or those of the given numbers), one in memory at a time.

    Raises:
        DamagedShardError: the file cannot be read.
    """
    try:
        with open_parquet(path) as file:
            for row in range(file.metadata.num_row_groups) if rows is None else rows:
                yield _record(file.read_row_group(row, use_threads=False).to_pylist()[0])
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        raise DamagedShardError(f"{path}: cannot be read: {error}") from error


def count_records(path: Path) -> list[int]:
    """Frames of each row, without reading the rest.

    Raises:
        DamagedShardError: the file cannot be read.
    """
    try:
        with open_parquet(path) as file:
            return file.read(columns=["frames"]).column("frames").to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise DamagedShardError(f"{path}: cannot be read: {error}") from error


def _row(e: Episode, without: frozenset[str], videos: bool) -> dict[str, Any]:
    arrays: dict[str, NDArray] = {n: getattr(e, n) for n in ARRAYS}
    for kind in POSES:
        arrays.update({f"{kind}/{n}": v for n, v in getattr(e, kind).items()})
    for name, camera in e.cameras.items():
        arrays[f"intrinsics/{name}"], arrays[f"extrinsics/{name}"] = camera.intrinsics, camera.extrinsics
    arrays.update({f"pixels/{name}": v.stats.counts for name, v in e.videos.items()})
    if videos:
        arrays.update({f"mp4/{name}": np.frombuffer(v.data, np.uint8) for name, v in e.videos.items()})
    if e.sim_states is not None:
        arrays.update({f"sim_states/{f}": getattr(e.sim_states, f) for f in SimState.FIELDS})
    if e.replay_error is not None:
        arrays["replay_error"] = e.replay_error
    record = {
        "fps": e.fps,
        "arrays": [n for n in arrays if not n.startswith("mp4/")],
        **{kind: list(getattr(e, kind)) for kind in POSES},
        "subtasks": e.subtasks,
        "paraphrases": e.paraphrases,
        "videos": {
            name: {
                "frames": v.frames,
                "width": v.width,
                "height": v.height,
                "fps": v.fps,
                "codec": v.codec,
                "pix_fmt": v.pix_fmt,
                "options": dict(v.options),
                "counted": v.stats.frames,
            }
            for name, v in e.videos.items()
        },
        "cameras": list(e.cameras),
        "draws": dict(e.draws),
        "sample": e.sample,
        "sim_states": e.sim_states is not None,
        "state_bodies": e.state_bodies,
        "state_scene_joints": e.state_scene_joints,
        "fingerprint": e.fingerprint,
        "scene": e.scene,
    }
    return {
        "task": e.spec.task,
        "embodiment": e.spec.embodiment,
        "slot": e.spec.slot,
        "attempt": e.spec.attempt,
        "entropy": str(e.spec.entropy),  # may exceed 64 bits
        "seed": e.spec.seed(),
        "frames": len(e),
        "instruction": e.instruction,
        "record": json.dumps(record, default=_plain),
        "arrays": [_pack(n, a) for n, a in arrays.items() if n not in without],
    }


def _record(row: dict[str, Any]) -> EpisodeRecord:
    identity = {k: row[k] for k in SCHEMA.names[:8]}
    return EpisodeRecord(
        identity=identity, record=json.loads(row["record"]), arrays={a["name"]: _unpack(a) for a in row["arrays"]}
    )


def _pack(name: str, array: NDArray) -> dict[str, Any]:
    array = np.asarray(array)
    array = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    grouped = array.reshape(-1, 1).view(np.uint8).T  # (itemsize, n): all first bytes, all second bytes, ...
    return {"name": name, "dtype": array.dtype.str, "shape": list(array.shape), "data": grouped.tobytes()}


def _unpack(packed: Mapping[str, Any]) -> NDArray:
    dtype = np.dtype(packed["dtype"])
    grouped = np.frombuffer(packed["data"], np.uint8).reshape(dtype.itemsize, -1)
    native = np.ascontiguousarray(grouped.T).view(dtype).reshape(packed["shape"])
    return native.astype(dtype.newbyteorder("="), copy=False)


def _video(v: Mapping[str, Any], data: bytes, counts: NDArray) -> EncodedVideo:
    plain = {k: v[k] for k in ("frames", "width", "height", "fps", "codec", "pix_fmt", "options")}
    return EncodedVideo(data=data, **plain, stats=ImageStats(counts=counts, frames=v["counted"]))


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} in an episode's record is not plain data")
