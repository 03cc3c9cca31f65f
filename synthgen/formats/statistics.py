"""Running statistics of columns: exact minimum, maximum, mean and deviation; quantiles from a mergeable sketch."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
QUANTILES = {"q01": 0.01, "q10": 0.10, "q50": 0.50, "q90": 0.90, "q99": 0.99}
CENTROIDS = 256
BUFFER = 4096


class RunningStatistics:
    """Statistics of D columns over any number of rows, added in any portions; two can be merged.

    Mean and variance are merged after Chan, Golub, LeVeque (1979). The quantile sketch is a t-digest (Dunning 2019)
    with fixed bins in the scale function asin: exact up to ``CENTROIDS`` rows; beyond, the error in rank is below
    0.7 % in the middle and falls towards the tails. Equal portions in equal order give equal numbers.
    """

    def __init__(self, width: int) -> None:
        self.count = 0
        self.mean = np.zeros(width)
        self.m2 = np.zeros(width)
        self.low = np.full(width, np.inf)
        self.high = np.full(width, -np.inf)
        self._values = np.zeros((width, 0))
        self._weights = np.zeros((width, 0))
        self._pending: list[NDArray[np.float32]] = []
        self._pending_rows = 0

    def add(self, rows: NDArray) -> None:
        """Count rows (N, D)."""
        rows = np.asarray(rows, float)
        if not len(rows):
            return
        mean = rows.mean(0)
        self._moments(len(rows), mean, ((rows - mean) ** 2).sum(0), rows.min(0), rows.max(0))
        self._pending.append(rows.astype(np.float32))  # for the sketch only; columns are float32 anyway
        self._pending_rows += len(rows)
        if self._pending_rows >= BUFFER:
            self._flush()

    def merge(self, other: RunningStatistics) -> None:
        """Count everything ``other`` counted."""
        if not other.count:
            return
        self._flush()
        other._flush()
        self._moments(other.count, other.mean, other.m2, other.low, other.high)
        self._take(other._values, other._weights)

    def summary(self) -> dict[str, NDArray]:
        """min, max, mean, std, q01, q10, q50, q90, q99: each (D,); count: (1,). All zero when nothing was counted."""
        if not self.count:
            return {k: np.zeros_like(self.mean) for k in ("min", "max", "mean", "std", *QUANTILES)} | {
                "count": np.zeros(1, np.int64)
            }
        self._flush()
        quantiles = np.clip(self._quantiles(), self.low, self.high)
        return {
            "min": self.low,
            "max": self.high,
            "mean": self.mean,
            "std": np.sqrt(self.m2 / self.count),
            **dict(zip(QUANTILES, quantiles, strict=True)),
            "count": np.array([self.count]),
        }

    def arrays(self) -> dict[str, NDArray]:
        """Everything, to store; the sketch in single precision, which is far finer than its own error."""
        self._flush()
        return {
            "count": np.array([self.count]),
            "mean": self.mean,
            "m2": self.m2,
            "low": self.low,
            "high": self.high,
            "values": self._values.astype(np.float32),
            "weights": self._weights.astype(np.float32),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray]) -> RunningStatistics:
        """The inverse of ``arrays``."""
        out = cls(len(arrays["mean"]))
        out.count = int(arrays["count"][0])
        out.mean, out.m2, out.low, out.high = (arrays[k].astype(float) for k in ("mean", "m2", "low", "high"))
        out._values, out._weights = arrays["values"].astype(float), arrays["weights"].astype(float)
        return out

    def _moments(self, count: int, mean: Array, m2: Array, low: Array, high: Array) -> None:
        total = self.count + count
        delta = mean - self.mean
        self.mean = self.mean + delta * (count / total)
        self.m2 = self.m2 + m2 + delta**2 * (self.count * count / total)
        self.low, self.high = np.minimum(self.low, low), np.maximum(self.high, high)
        self.count = total

    def _flush(self) -> None:
        if not self._pending:
            return
        rows = np.concatenate(self._pending)
        self._pending, self._pending_rows = [], 0
        # All weights are one, so sorting alone will do (much faster than finding an order), and the bins are the same
        # for every column.
        values = np.sort(np.ascontiguousarray(rows.T), axis=1).astype(float)  # contiguous: twice as fast
        if values.shape[1] > CENTROIDS:
            self._take(*_compress_sorted(values))
        else:
            self._take(values, np.ones_like(values))

    def _take(self, values: Array, weights: Array) -> None:
        if not self._values.shape[1]:
            self._values, self._weights = values, weights
            return
        values = np.concatenate([self._values, values], 1)  # (D, n)
        weights = np.concatenate([self._weights, weights], 1)
        order = np.argsort(values, axis=1, kind="stable")
        values, weights = np.take_along_axis(values, order, 1), np.take_along_axis(weights, order, 1)
        if values.shape[1] > CENTROIDS:
            values, weights = _compress(values, weights)
        self._values, self._weights = values, weights

    def _quantiles(self) -> Array:
        """(Q, D): linear interpolation between centroids; numpy's default definition while all weights are one."""
        out = np.empty((len(QUANTILES), len(self.mean)))
        shares = np.array(list(QUANTILES.values()))
        for d, (values, weights) in enumerate(zip(self._values, self._weights, strict=True)):
            some = weights > 0
            weight = weights[some]
            rank = np.cumsum(weight) - weight / 2 - 0.5
            out[:, d] = np.interp(shares * (self.count - 1), rank, values[some])
        return out


def _compress_sorted(values: Array) -> tuple[Array, Array]:
    """Sorted (D, n) of weight one each -> at most (D, CENTROIDS) weighted means."""
    n = values.shape[1]
    bins = _bins((np.arange(n) + 0.5) / n)
    starts = np.flatnonzero(np.diff(bins, prepend=-1))
    counts = np.diff(starts, append=n)
    return np.add.reduceat(values, starts, axis=1) / counts, np.tile(counts.astype(float), (len(values), 1))


def _compress(values: Array, weights: Array) -> tuple[Array, Array]:
    """Sorted (D, n) -> (D, CENTROIDS) weighted means; a bin without a point has weight 0."""
    width = len(values)
    total = weights.sum(1, keepdims=True)
    bins = _bins((np.cumsum(weights, 1) - weights / 2) / total)
    flat = (bins + CENTROIDS * np.arange(width)[:, None]).ravel()
    size = width * CENTROIDS
    weight = np.bincount(flat, weights.ravel(), size).reshape(width, CENTROIDS)
    weight = weight.astype(float)
    moment = np.bincount(flat, (weights * values).ravel(), size).reshape(width, CENTROIDS)
    mean = np.divide(moment, weight, out=np.zeros_like(moment), where=weight > 0)
    return mean, weight


def _bins(share: Array) -> NDArray[np.int64]:
    """Ranks in (0, 1) -> bins, finer towards both ends."""
    bins = (CENTROIDS * (np.arcsin(np.clip(2 * share - 1, -1, 1)) / np.pi + 0.5)).astype(np.int64)
    return np.minimum(bins, CENTROIDS - 1)


def exact(rows: NDArray) -> dict[str, NDArray]:
    """Exact statistics of rows (N, D), N >= 1, in the form of ``RunningStatistics.summary``."""
    rows = np.asarray(rows, float)
    quantiles = np.quantile(rows, list(QUANTILES.values()), axis=0)
    return {
        "min": rows.min(0),
        "max": rows.max(0),
        "mean": rows.mean(0),
        "std": rows.std(0),
        **dict(zip(QUANTILES, quantiles, strict=True)),
        "count": np.array([len(rows)]),
    }


def of_counts(values: NDArray, counts: NDArray) -> dict[str, NDArray]:
    """Exact statistics of one column given as distinct ascending values (n,) and how often each occurs (n,)."""
    values, counts = np.asarray(values, float), np.asarray(counts, float)
    total = counts.sum()
    mean = (values * counts).sum() / total
    upto = np.cumsum(counts)
    present = values[counts > 0]
    out = {"min": present[0], "max": present[-1], "mean": mean}
    out["std"] = np.sqrt((counts * (values - mean) ** 2).sum() / total)
    for name, share in QUANTILES.items():
        rank = share * (total - 1)
        below = values[np.searchsorted(upto, np.floor(rank), side="right")]
        above = values[min(np.searchsorted(upto, np.ceil(rank), side="right"), len(values) - 1)]
        out[name] = below + (above - below) * (rank - np.floor(rank))
    return {k: np.array([v]) for k, v in out.items()} | {"count": np.array([int(total)])}
