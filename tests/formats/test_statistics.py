"""Laws of the running statistics: exact moments, quantiles within the promised rank, merging in any division."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthgen.formats.lerobot import constant, of_range
from synthgen.formats.statistics import CENTROIDS, QUANTILES, RunningStatistics, exact, of_counts


def counted(rows: np.ndarray, portions: int) -> RunningStatistics:
    out = RunningStatistics(rows.shape[1])
    for part in np.array_split(rows, portions):
        out.add(part)
    return out


@pytest.mark.parametrize("draw", ["normal", "lognormal", "two_values", "ramp"])
def test_large_tables(draw):
    rng = np.random.default_rng(3)
    n = 40_000
    rows = {
        "normal": rng.normal(3, 2, (n, 2)),
        "lognormal": rng.lognormal(0, 2, (n, 2)),
        "two_values": rng.integers(0, 2, (n, 2)).astype(float),
        "ramp": np.stack([np.arange(n), -np.arange(n)], 1).astype(float),
    }[draw].astype(np.float32)
    found = counted(rows, 173).summary()
    for name, want in (("min", rows.min(0)), ("max", rows.max(0))):
        assert np.array_equal(found[name], want)
    assert np.allclose(found["mean"], rows.mean(0, dtype=float), rtol=1e-10)
    assert np.allclose(found["std"], rows.std(0, dtype=float), rtol=1e-10)
    assert found["count"] == [n]
    for name, share in QUANTILES.items():
        slack = 1e-6 * (1 + np.abs(found[name]))
        assert ((rows <= found[name] + slack).mean(0) >= share - 0.007).all()
        assert ((rows < found[name] - slack).mean(0) <= share + 0.007).all()


@settings(max_examples=40, deadline=None)
@given(st.integers(1, CENTROIDS), st.integers(1, 7), st.integers(0, 2**32 - 1))
def test_small_tables_are_exact(n, portions, seed):
    rows = np.random.default_rng(seed).normal(size=(n, 3)).astype(np.float32)
    found, want = counted(rows, portions).summary(), exact(rows)
    for name in want:
        assert np.allclose(found[name], want[name], atol=1e-6), name


def test_merging_is_counting_both():
    rng = np.random.default_rng(0)
    a, b = rng.normal(0, 1, (9000, 2)).astype(np.float32), rng.normal(5, 3, (700, 2)).astype(np.float32)
    merged = counted(a, 3)
    merged.merge(counted(b, 2))
    merged.merge(RunningStatistics(2))
    whole = np.concatenate([a, b])
    found = merged.summary()
    assert np.allclose(found["mean"], whole.mean(0, dtype=float))
    assert np.allclose(found["std"], whole.std(0, dtype=float))
    for name, share in QUANTILES.items():
        assert np.abs((whole <= found[name]).mean(0) - share).max() < 0.01


def test_stored_and_read_again():
    before = counted(np.random.default_rng(1).normal(size=(5000, 2)).astype(np.float32), 4)
    after = RunningStatistics.from_arrays(before.arrays())
    for name, want in before.summary().items():
        assert np.allclose(after.summary()[name], want, rtol=1e-6)


def test_nothing_counted():
    assert not any(v.any() for v in RunningStatistics(2).summary().values())


@pytest.mark.parametrize("n", [1, 2, 7, 300])
def test_numbering_without_the_numbers(n):
    rows = np.arange(5, 5 + n, dtype=float)[:, None]
    for name, want in exact(rows).items():
        assert np.allclose(of_range(n, 5)[name], want), name
        assert np.allclose(of_counts(np.arange(5, 5 + n), np.ones(n))[name], want), name
    for name, want in exact(np.full((n, 1), 4.0)).items():
        assert np.allclose(constant(4, n)[name], want), name


def test_counts_equal_the_rows_they_stand_for():
    values, counts = np.array([0, 1, 2, 5]), np.array([3, 0, 40, 1])
    want = exact(np.repeat(values, counts)[:, None].astype(float))
    for name, value in of_counts(values, counts).items():
        assert np.allclose(value, want[name]), name
