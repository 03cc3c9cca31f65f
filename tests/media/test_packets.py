"""Packets survive joining and taking apart unchanged, at exact times."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthgen.core.errors import DamagedShardError, UsageError
from synthgen.media.packets import VideoWriter, concat, extract, packets
from synthgen.media.video import VideoOptions, count_frames, decode, encode_video


def video(count: int, seed: int, fps: int = 20, codec: str = "h264", size: int = 32):
    rng = np.random.default_rng(seed)
    base = rng.integers(0, 255, (size, size, 3))
    source = np.stack([np.roll(base, t, 1) for t in range(count)]).astype(np.uint8)
    return encode_video(source, fps, VideoOptions(codec=codec, gop=8))


@settings(max_examples=12, deadline=None)
@given(st.lists(st.integers(1, 30), min_size=1, max_size=6), st.sampled_from([7, 20, 30]), st.randoms())
def test_join_and_take_apart(tmp_path_factory, counts: list[int], fps: int, random) -> None:
    path = tmp_path_factory.mktemp("join") / "file.mp4"
    videos = [video(n, i, fps) for i, n in enumerate(counts)]
    import av

    spans = concat(videos, path)
    assert spans == [(sum(counts[:i]), n) for i, n in enumerate(counts)]
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        found = [p for p in container.demux(stream) if p.pts is not None]
        # lerobot looks frame k up at (from_frame + k) / fps seconds, within 1e-4 s.
        assert [float(p.pts * stream.time_base) for p in found] == pytest.approx([k / fps for k in range(sum(counts))])
    order = list(range(len(counts)))
    random.shuffle(order)
    for i in order:
        part = extract(path, *spans[i])
        assert list(packets(part)) == list(packets(videos[i]))
        assert count_frames(part) == counts[i]


@pytest.mark.parametrize("codec", ["h264", "av1"])
def test_joined_file_decodes_to_the_same_frames(tmp_path: Path, codec: str) -> None:
    videos = [video(n, n, codec=codec, size=64) for n in (9, 17, 4)]
    concat(videos, tmp_path / "file.mp4")
    joined = decode(tmp_path / "file.mp4")
    assert np.array_equal(joined, np.concatenate([decode(v.data) for v in videos]))
    assert b"elst" not in (tmp_path / "file.mp4").read_bytes()


def test_joining_is_deterministic(tmp_path: Path) -> None:
    videos = [video(5, 0), video(6, 1)]
    concat(videos, tmp_path / "a.mp4")
    concat(videos, tmp_path / "b.mp4")
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


@pytest.mark.parametrize("other", [{"fps": 30}, {"size": 48}, {"codec": "av1"}])
def test_unlike_videos_are_refused(tmp_path: Path, other) -> None:
    writer = VideoWriter(tmp_path / "file.mp4")
    writer.append(video(4, 0, size=64) if "codec" in other else video(4, 0))
    with pytest.raises(UsageError, match="same settings"):
        writer.append(video(4, 1, **({"size": 64} | other)) if "codec" in other else video(4, 1, **other))
    writer.close()


def test_a_span_beyond_the_end_is_damage(tmp_path: Path) -> None:
    concat([video(5, 0), video(6, 1)], tmp_path / "file.mp4")
    with pytest.raises(DamagedShardError, match="ends after"):
        extract(tmp_path / "file.mp4", 5, 9)
    with pytest.raises(DamagedShardError, match="keyframe"):
        extract(tmp_path / "file.mp4", 3, 2)
