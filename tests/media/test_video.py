"""Laws of encoding: nothing is lost but a little quality, and equal frames give equal bytes."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthgen.core.errors import DamagedShardError, UsageError
from synthgen.media.video import VideoEncoder, VideoOptions, count_frames, decode, encode_video


def frames(count: int, height: int = 64, width: int = 96, seed: int = 0) -> np.ndarray:
    """A moving disc on a smooth background with a little sensor noise, (count, height, width, 3) uint8."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    out = np.empty((count, height, width, 3), np.uint8)
    for t in range(count):
        image = np.stack(
            [128 + 60 * np.sin(x / 30 + seed), 128 + 50 * np.cos(y / 25 - seed), 100 + 40 * np.sin((x + y) / 40)], -1
        )
        cx, cy = width / 2 + width / 4 * np.cos(t / 7), height / 2 + height / 4 * np.sin(t / 7)
        image[(x - cx) ** 2 + (y - cy) ** 2 < (height / 8) ** 2] = (180, 80, 60)
        out[t] = (image + rng.normal(0, 1.5, image.shape)).clip(0, 255)
    return out


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """Peak signal-to-noise ratio of uint8 pictures, dB."""
    return float(10 * np.log10(255.0**2 / np.mean((a.astype(float) - b.astype(float)) ** 2)))


@pytest.mark.parametrize("codec", ["h264", "av1"])
def test_every_frame_comes_back_in_order(codec: str) -> None:
    source = frames(45, 128, 128)
    video = encode_video(source, 20, VideoOptions(codec=codec))
    back = decode(video.data)
    assert back.shape == source.shape
    assert (video.frames, video.width, video.height, video.fps, video.codec) == (45, 128, 128, 20, codec)
    for t in range(45):
        assert psnr(back[t], source[t]) >= 35.0
        # The disc moves: a frame shifted by three ticks would look more like another one.
        assert psnr(back[t], source[t]) > psnr(back[t], source[(t + 3) % 45])


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 50), st.integers(1, 30), st.sampled_from([5, 20, 30, 50]))
def test_frame_counts_and_timestamps(count: int, gop: int, fps: int) -> None:
    import av

    video = encode_video(frames(count, 32, 48), fps, VideoOptions(gop=gop))
    assert count_frames(video.data) == video.frames == count
    with av.open(io.BytesIO(video.data)) as container:
        stream = container.streams.video[0]
        packets = [p for p in container.demux(stream) if p.pts is not None]
        assert stream.average_rate == fps
        assert [p.pts * stream.time_base * fps for p in packets] == list(range(count))
        assert [p.dts for p in packets] == [p.pts for p in packets]
        assert [i for i, p in enumerate(packets) if p.is_keyframe] == list(range(0, count, gop))


def test_equal_frames_give_equal_bytes() -> None:
    source = frames(30)
    assert encode_video(source, 20).data == encode_video(iter(source), 20).data
    encoder = VideoEncoder(20)
    for start in range(0, 30, 7):
        encoder.add(source[start : start + 7])
    assert encoder.finish().data == encode_video(source, 20).data


def test_encoding_does_not_depend_on_what_memory_held_before() -> None:
    """Sizes that are no multiple of 64 once did, in a few of a hundred encodings."""
    source = frames(85, 48, 48)
    found = set()
    for i in range(40):
        clutter = np.full(1000 + i * 77_777 % 500_000, i, np.uint8)
        found.add(encode_video(source, 20).data)
        del clutter
    assert len(found) == 1


def test_source_frames_may_be_reused_by_the_caller() -> None:
    """The renderer hands out views of a buffer that it draws over."""
    source = frames(12)
    buffer = np.empty_like(source[0])

    def reusing():
        for frame in source:
            buffer[:] = frame
            yield buffer

    assert encode_video(reusing(), 20).data == encode_video(source, 20).data


def test_no_edit_list() -> None:
    data = encode_video(frames(5), 20).data
    assert b"elst" not in data


@pytest.mark.parametrize(
    "bad", [np.zeros((3, 33, 32, 3), np.uint8), [np.zeros((32, 32, 3), np.uint8), np.zeros((34, 32, 3), np.uint8)], []]
)
def test_bad_frames_are_refused(bad) -> None:
    with pytest.raises(UsageError):
        encode_video(bad, 20)


def test_unknown_codec_names_the_known_ones() -> None:
    with pytest.raises(UsageError, match="h264"):
        VideoEncoder(20, VideoOptions(codec="h265"))


def test_damaged_video_is_named() -> None:
    with pytest.raises(DamagedShardError, match="bytes"):
        count_frames(b"not a video")
    data = encode_video(frames(30), 20).data
    with pytest.raises(DamagedShardError):
        count_frames(data[: len(data) // 2])
