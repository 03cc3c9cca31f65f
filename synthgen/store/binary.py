"""An Episode as one checksummed file: JSON header, then raw arrays and videos. No pickle.

Layout: magic (8 bytes), header length (8 bytes, little endian), header (JSON), payload, sha256 of everything before
(32 bytes). Arrays lie in the payload in C order; the header's ``blobs`` say where.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from synthgen.core.episode import CameraTrack, EncodedVideo, Episode, ImageStats
from synthgen.core.errors import DamagedShardError
from synthgen.core.simulator import SimState
from synthgen.core.spec import EpisodeSpec

MAGIC = b"SGEPIS01"
DTYPES = ("<f4", "<f8", "<i8", "|b1")
_PLAIN = ("state", "action", "velocity", "base_pose", "subtask", "reward", "done")
_MAPS = ("eef_pose", "eef_target", "object_pose", "receptacle_pose")
_JSON = ("fps", "instruction", "draws", "sample", "fingerprint", "scene")
_TUPLES = ("subtasks", "paraphrases", "state_bodies", "state_scene_joints")


class _Payload:
    """Collects blobs; ``put`` returns what goes into the header in their place."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.size = 0

    def put(self, data: bytes) -> list[int]:
        self.parts.append(data)
        self.size += len(data)
        return [self.size - len(data), len(data)]

    def array(self, array: NDArray[Any]) -> dict[str, Any]:
        array = np.asarray(array)
        if array.dtype.str not in DTYPES:
            raise TypeError(f"an episode holds an array of {array.dtype}; allowed: {', '.join(DTYPES)}")
        return {"dtype": array.dtype.str, "shape": list(array.shape), "at": self.put(array.tobytes())}


def encode(episode: Episode, extra: Mapping[str, Any]) -> bytes:
    """The file's bytes; ``extra`` is any JSON-able mapping to keep with it."""
    pay = _Payload()
    head: dict[str, Any] = {"extra": extra, "spec": asdict(episode.spec)}
    head |= {k: getattr(episode, k) for k in _JSON}
    head |= {k: list(getattr(episode, k)) for k in _TUPLES}
    head |= {k: pay.array(getattr(episode, k)) for k in _PLAIN}
    for k in _MAPS:
        mapping = cast("Mapping[str, NDArray[Any]]", getattr(episode, k))
        head[k] = {name: pay.array(array) for name, array in mapping.items()}
    head["replay_error"] = None if episode.replay_error is None else pay.array(episode.replay_error)
    states = episode.sim_states
    head["sim_states"] = None if states is None else {f: pay.array(getattr(states, f)) for f in SimState.FIELDS}
    head["cameras"] = {
        name: {"intrinsics": pay.array(t.intrinsics), "extrinsics": pay.array(t.extrinsics)}
        for name, t in episode.cameras.items()
    }
    head["videos"] = {
        name: {
            "data": pay.put(v.data),
            "counts": pay.array(v.stats.counts),
            "counted_frames": v.stats.frames,
            "options": dict(v.options),
            **{k: getattr(v, k) for k in ("frames", "width", "height", "fps", "codec", "pix_fmt")},
        }
        for name, v in episode.videos.items()
    }
    header = json.dumps(head, allow_nan=False, default=_scalar).encode()
    body = b"".join([MAGIC, struct.pack("<Q", len(header)), header, *pay.parts])
    return body + hashlib.sha256(body).digest()


def _scalar(value: Any) -> Any:
    if isinstance(value, np.generic):
        return cast("Any", value).item()
    raise TypeError(f"an episode holds a {type(value).__name__} where only JSON values may be")


def read_extra(path: Path) -> dict[str, Any]:
    """Only the ``extra`` mapping, without reading the payload or checking the checksum."""
    with path.open("rb") as f:
        start = f.read(16)
        if len(start) < 16 or start[:8] != MAGIC:
            raise DamagedShardError(f"{path}: not an episode file")
        (length,) = struct.unpack("<Q", start[8:])
        try:
            extra: dict[str, Any] = json.loads(f.read(min(length, 1 << 28)))["extra"]
            return extra
        except (ValueError, KeyError) as error:
            raise DamagedShardError(f"{path}: damaged header") from error


def decode(data: bytes, where: Path) -> tuple[Episode, dict[str, Any]]:
    """(episode, extra).

    Raises:
        DamagedShardError: truncated or altered; ``where`` names the file.
    """
    body, checksum = data[:-32], data[-32:]
    if len(body) < 16 or body[:8] != MAGIC or hashlib.sha256(body).digest() != checksum:
        raise DamagedShardError(f"{where}: damaged episode file", remedy="it is made again on the next run")
    (length,) = struct.unpack("<Q", body[8:16])
    head = json.loads(body[16 : 16 + length])
    payload = memoryview(body)[16 + length :]

    def blob(at: list[int]) -> bytes:
        return bytes(payload[at[0] : at[0] + at[1]])

    def array(d: Mapping[str, Any]) -> NDArray[Any]:
        if d["dtype"] not in DTYPES:
            raise DamagedShardError(f"{where}: array of {d['dtype']}")
        return np.frombuffer(blob(d["at"]), dtype=d["dtype"]).reshape(d["shape"]).copy()

    values: dict[str, Any] = {k: head[k] for k in _JSON}
    values |= {k: tuple(head[k]) for k in _TUPLES}
    values |= {k: array(head[k]) for k in _PLAIN}
    values |= {k: {name: array(a) for name, a in head[k].items()} for k in _MAPS}
    states = head["sim_states"]
    values["sim_states"] = None if states is None else SimState(**{f: array(states[f]) for f in SimState.FIELDS})
    values["replay_error"] = None if head["replay_error"] is None else array(head["replay_error"])
    values["cameras"] = {
        name: CameraTrack(intrinsics=array(c["intrinsics"]), extrinsics=array(c["extrinsics"]))
        for name, c in head["cameras"].items()
    }
    values["videos"] = {
        name: EncodedVideo(
            data=blob(v["data"]),
            stats=ImageStats(counts=array(v["counts"]), frames=v["counted_frames"]),
            options=v["options"],
            **{k: v[k] for k in ("frames", "width", "height", "fps", "codec", "pix_fmt")},
        )
        for name, v in head["videos"].items()
    }
    return Episode(spec=EpisodeSpec(**head["spec"]), **values), head["extra"]
