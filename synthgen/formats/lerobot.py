"""What LeRobot's two layouts (v3.0, and v2.1 as Isaac-GR00T reads it) have in common."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from synthgen.core.episode import EncodedVideo
from synthgen.core.exporter import DatasetSpec
from synthgen.formats.features import Feature, frame_features
from synthgen.formats.statistics import of_counts
from synthgen.formats.tables import read_table, write_table

GLOBAL = tuple(Feature(name=n, dtype="int64", width=1) for n in ("episode_index", "index", "task_index"))


def image_key(camera: str) -> str:
    """The feature name of a camera."""
    return f"observation.images.{camera}"


def data_features(dataset: DatasetSpec) -> tuple[Feature, ...]:
    """The columns of the data files: the per-frame ones, then the data set's numbering."""
    return (*frame_features(dataset), *GLOBAL)


def data_schema(
    features: Iterable[Feature],
    extra: Sequence[pa.Field] = (),
    hf_extra: Mapping[str, Any] | None = None,
    *,
    list_type: str = "List",
) -> pa.Schema:
    """Arrow schema of a data file, with the Hugging Face feature description that readers expect in its metadata.

    ``list_type``: what a list is called in it: "List" since datasets 4, "Sequence" as datasets 2 to 4 understand.
    """
    fields, hf = [], {}
    for f in features:
        plain = {"dtype": f.dtype, "_type": "Value"}
        kind = {"float32": pa.float32(), "int64": pa.int64(), "bool": pa.bool_()}[f.dtype]
        if f.width == 1:
            fields.append(pa.field(f.name, kind))
            hf[f.name] = plain
        else:
            fields.append(pa.field(f.name, pa.list_(pa.field("element", kind), f.width)))
            hf[f.name] = {"feature": plain, "length": f.width, "_type": list_type}
    hf.update(hf_extra or {})
    metadata = {"huggingface": json.dumps({"info": {"features": hf}})}
    return pa.schema([*fields, *extra], metadata=metadata)


def dictionary_columns(schema: pa.Schema) -> Any:
    """Columns worth a parquet dictionary: numbers and texts that repeat; for lists of floats it only costs.

    A list of names, which pyarrow takes for ``use_dictionary`` though its stubs know only a bool.
    """
    out: list[str] = []
    for field in schema:
        if pa.types.is_list(field.type):
            out += [f"{field.name}.list.element.{part.name}" for part in field.type.value_type]
        elif not pa.types.is_fixed_size_list(field.type):
            out.append(field.name)
    return out


def data_array(values: NDArray, field: pa.Field) -> pa.Array:
    """A column (T,) or (T, D) as an Arrow array of the field's type."""
    if values.ndim == 1:
        return pa.array(values, type=field.type)
    flat = pa.array(np.ascontiguousarray(values).ravel(), type=field.type.value_type)
    return pa.FixedSizeListArray.from_arrays(flat, type=field.type)


def column_values(table: pa.Table, name: str) -> NDArray:
    """The inverse of ``data_array``: (T,) or (T, D)."""
    column = table.column(name).combine_chunks()
    if isinstance(column, pa.ChunkedArray):  # an empty or many-chunked column
        column = pa.concat_arrays(column.chunks)
    if pa.types.is_fixed_size_list(column.type):
        return column.flatten().to_numpy(zero_copy_only=False).reshape(len(column), column.type.list_size)
    return column.to_numpy(zero_copy_only=False)


def info_features(
    dataset: DatasetSpec, features: Iterable[Feature], videos: Mapping[str, EncodedVideo]
) -> dict[str, Any]:
    """The ``features`` entry of info.json; ``videos``: any episode's, for how they are encoded."""
    out: dict[str, Any] = {}
    for camera in dataset.cameras:
        out[image_key(camera.name)] = {
            "dtype": "video",
            "shape": [camera.height, camera.width, 3],
            "names": ["height", "width", "channels"],
            "info": video_info(videos[camera.name]),
        }
    for f in features:
        out[f.name] = {"dtype": f.dtype, "shape": [f.width], "names": list(f.names) if f.names else None}
    return out


def video_info(video: EncodedVideo) -> dict[str, Any]:
    """How a camera's videos are encoded, under LeRobot's names."""
    return {
        "video.height": video.height,
        "video.width": video.width,
        "video.codec": video.codec,
        "video.pix_fmt": video.pix_fmt,
        "video.is_depth_map": False,
        "video.fps": video.fps,
        "video.channels": 3,
        "has_audio": False,
        "is_depth_map": False,
        "video.g": int(video.options["gop"]),
        "video.crf": int(video.options["crf"]),
        "video.preset": video.options["preset"],
    }


def numbering_statistics(lengths: NDArray, tasks: NDArray) -> dict[str, dict[str, NDArray]]:
    """Exact statistics of ``episode_index``, ``index`` and ``task_index``, from each episode's length and task (E,)."""
    total = int(lengths.sum())
    by_task = np.bincount(tasks, weights=lengths)
    return {
        "episode_index": of_counts(np.arange(len(lengths)), lengths),
        "index": of_range(total),
        "task_index": of_counts(np.arange(len(by_task)), by_task),
    }


def of_range(n: int, start: int = 0) -> dict[str, NDArray]:
    """Exact statistics of start, start + 1, ..., start + n - 1."""
    last = n - 1
    out = {"min": 0.0, "max": last, "mean": last / 2, "std": np.sqrt((n * n - 1) / 12)}
    out |= {"q01": 0.01 * last, "q10": 0.1 * last, "q50": 0.5 * last, "q90": 0.9 * last, "q99": 0.99 * last}
    moved = {k: np.array([v + (0 if k == "std" else start)]) for k, v in out.items()}
    return moved | {"count": np.array([n])}


def constant(value: float, n: int) -> dict[str, NDArray]:
    """Statistics of n equal values."""
    keys = ("min", "max", "mean", "q01", "q10", "q50", "q90", "q99")
    return {k: np.array([float(value)]) for k in keys} | {"std": np.zeros(1), "count": np.array([n])}


def plain_statistics(statistics: Mapping[str, Mapping[str, NDArray]]) -> dict[str, dict[str, Any]]:
    """Statistics as nested lists, for JSON."""
    return {f: {k: np.asarray(v).tolist() for k, v in s.items()} for f, s in statistics.items()}


def write_names(path: Path, index_name: str, column: str, names: Sequence[str]) -> None:
    """A parquet file that pandas reads as a frame with index ``index_name`` and the integer column ``column``."""
    table = pa.table({column: pa.array(range(len(names)), pa.int64()), index_name: pa.array(names, pa.string())})

    def described(name: str, kind: str, numpy_type: str) -> dict[str, Any]:
        return {"name": name, "field_name": name, "pandas_type": kind, "numpy_type": numpy_type, "metadata": None}

    pandas = {
        "index_columns": [index_name],
        "column_indexes": [
            {
                "name": None,
                "field_name": None,
                "pandas_type": "unicode",
                "numpy_type": "object",
                "metadata": {"encoding": "UTF-8"},
            }
        ],
        "columns": [described(column, "int64", "int64"), described(index_name, "unicode", "object")],
        "attributes": {},
        "creator": {"library": "pyarrow", "version": pa.__version__},
        "pandas_version": "2.2.0",
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    write_table(table.replace_schema_metadata({"pandas": json.dumps(pandas)}), path)


def read_names(path: Path, index_name: str) -> list[str]:
    """The names of a file of ``write_names``, in file order."""
    return read_table(path).column(index_name).to_pylist()


def renumber(values: NDArray, names: Sequence[str], book: Names) -> NDArray:
    """Numbers into ``names`` -> numbers into ``book``, which takes in those names that occur."""
    used, inverse = np.unique(values, return_inverse=True)
    return np.array([book.number(names[int(u)]) for u in used])[inverse]


class Names:
    """Numbers names in the order they first appear."""

    def __init__(self) -> None:
        self._index: dict[str, int] = {}

    def number(self, name: str) -> int:
        """The name's number, a new one if it is new."""
        return self._index.setdefault(name, len(self._index))

    def all(self) -> list[str]:
        """The names by number."""
        return list(self._index)
