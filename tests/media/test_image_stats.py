"""Histogram statistics equal those of the pixels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthgen.media.stats import QUANTILES, PixelHistogram, merge, summarize
from synthgen.media.video import VideoOptions, encode_video


def histogram(frames: np.ndarray):
    h = PixelHistogram()
    for f in frames:
        h.add(f)
    return h.result()


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 6), st.integers(0, 255), st.integers(1, 256), st.integers(0, 1000))
def test_summary_equals_numpy(count: int, low: int, span: int, seed: int) -> None:
    frames = np.random.default_rng(seed).integers(low, min(low + span, 256), (count, 8, 10, 3)).astype(np.uint8)
    got = summarize(histogram(frames))
    pixels = frames.reshape(-1, 3) / 255.0
    assert all(got[k].shape == (3, 1, 1) for k in got if k != "count")
    assert got["count"].tolist() == [count]
    for name, want in {
        "min": pixels.min(0),
        "max": pixels.max(0),
        "mean": pixels.mean(0),
        "std": pixels.std(0),
    }.items():
        assert got[name].ravel() == pytest.approx(want, abs=1e-9)
    for name, q in QUANTILES.items():
        want = np.quantile(pixels, q, axis=0, method="inverted_cdf")
        assert got[name].ravel() == pytest.approx(want, abs=1e-9)


def test_merging_equals_counting_together() -> None:
    frames = np.random.default_rng(0).integers(0, 256, (7, 6, 6, 3)).astype(np.uint8)
    merged = merge([histogram(frames[:3]), histogram(frames[3:])])
    assert np.array_equal(merged.counts, histogram(frames).counts)
    assert merged.frames == 7


def test_video_carries_the_source_pixels_statistics() -> None:
    frames = np.random.default_rng(1).integers(0, 256, (17, 32, 32, 3)).astype(np.uint8)
    video = encode_video(frames, 20, VideoOptions(stats_stride=4))
    assert video.stats.frames == 5
    assert np.array_equal(video.stats.counts, histogram(frames[::4]).counts)


def test_nothing_counted_is_an_error() -> None:
    with pytest.raises(ValueError, match="no pixels"):
        summarize(PixelHistogram().result())
