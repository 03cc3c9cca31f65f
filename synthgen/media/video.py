"""Encoding and decoding of one camera's pictures of one episode.

Settings follow what readers of robot data sets need: no B-frames and no edit list, so that frame k lies at exactly
k/fps seconds; a keyframe first, so that videos can be joined without re-encoding; short groups of pictures, so that a
random frame costs at most ``gop`` decoded frames. One thread and no time of day in the file: equal frames give equal
bytes.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer, OutputContainer
from av.error import FFmpegError
from av.video.frame import PictureType
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter
from numpy.typing import NDArray

from synthgen.core.episode import EncodedVideo
from synthgen.core.errors import DamagedShardError, UsageError
from synthgen.media.stats import PixelHistogram

Source = bytes | bytearray | memoryview | str | Path
PIX_FMT = "yuv420p"


@dataclass(frozen=True, kw_only=True)
class VideoOptions:
    """How to encode.

    Attributes:
        codec: a key of ``CODECS``: "h264" (readable everywhere) or "av1" (a fifth of the speed).
        gop: largest distance of keyframes, frames.
        crf: constant rate factor of the codec; None = the codec's default here.
        preset: the encoder's speed preset; None = the codec's default here.
        stats_stride: every how many frames one frame's pixels enter the image statistics.
    """

    codec: str = "h264"
    gop: int = 20
    crf: int | None = None
    preset: str | None = None
    stats_stride: int = 8


@dataclass(frozen=True, kw_only=True)
class _Codec:
    encoder: str
    crf: int
    preset: str
    fixed: dict[str, str]


# no-mbtree: x264's macroblock tree reads memory it has not written at sizes that are no multiple of 64: three in a
# hundred encodings then differed (48 and 96 pixels, PyAV 18). force-cfr: rate control must not look at timestamps.
# repeat-headers stays off: parameter sets live in the mp4 header and must be equal for all videos of a data set
# (``packets.VideoWriter`` checks it).
CODECS = {
    "h264": _Codec(
        encoder="libx264",
        crf=21,  # every frame above 35 dB on the built-in scene's cameras; 23 saves a fifth and falls to 34.5 dB
        preset="veryfast",
        fixed={"bf": "0", "x264-params": "scenecut=0:force-cfr=1:threads=1:no-mbtree=1"},
    ),
    # pred-struct=1: low delay, every packet is one shown frame in order.
    "av1": _Codec(
        encoder="libsvtav1", crf=30, preset="10", fixed={"svtav1-params": "pred-struct=1:lp=1:scd=0:fast-decode=1"}
    ),
}


class VideoEncoder:
    """Encodes frames as they come; memory holds the compressed bytes and the encoder's look-ahead only."""

    def __init__(self, fps: int, options: VideoOptions | None = None) -> None:
        self._fps = fps
        self._options = options or VideoOptions()
        if self._options.codec not in CODECS:
            raise UsageError(
                f"video codec {self._options.codec!r} is unknown", remedy=f"use one of: {', '.join(sorted(CODECS))}"
            )
        codec = CODECS[self._options.codec]
        self._encoder = codec.encoder
        self._settings = {
            "gop": str(self._options.gop),
            "crf": str(codec.crf if self._options.crf is None else self._options.crf),
            "preset": self._options.preset or codec.preset,
        }
        self._fixed = codec.fixed
        self._buffer = io.BytesIO()
        self._container: OutputContainer | None = None
        self._reformatter = VideoReformatter()
        self._histogram = PixelHistogram()
        self._frames = 0
        self._size = (0, 0)

    def add(self, frames: Iterable[NDArray[np.uint8]]) -> None:
        """Append frames, each (H, W, 3) uint8 RGB with even H and W (a (T, H, W, 3) array is such an iterable).

        Raises:
            UsageError: H or W is odd, or differs from the frames before.
        """
        for frame in frames:
            if self._container is None:
                self._open(frame)
            if frame.shape[:2] != self._size:
                raise UsageError(f"video frame {self._frames} is {frame.shape[:2]}, the frames before are {self._size}")
            if self._frames % self._options.stats_stride == 0:
                self._histogram.add(frame)
            picture = av.VideoFrame.from_numpy_buffer(np.ascontiguousarray(frame), format="rgb24")
            # Area averaging keeps chroma best (38.8 dB after decoding, 38.6 bilinear) and is the fastest.
            picture = self._reformatter.reformat(
                picture,
                format=PIX_FMT,
                dst_colorspace=Colorspace.ITU601,
                interpolation=Interpolation.AREA,
                threads=1,
            )
            picture.pts, picture.time_base = self._frames, Fraction(1, self._fps)
            picture.pict_type = PictureType.I if self._frames == 0 else PictureType.NONE
            self._mux(self._stream.encode(picture))
            self._frames += 1

    def finish(self) -> EncodedVideo:
        """Close the file and return it.

        Raises:
            UsageError: no frame was added.
        """
        if self._container is None:
            raise UsageError("a video needs at least one frame")
        self._mux(self._stream.encode(None))
        self._container.close()
        self._container = None
        return EncodedVideo(
            data=self._buffer.getvalue(),
            frames=self._frames,
            width=self._size[1],
            height=self._size[0],
            fps=self._fps,
            codec=self._options.codec,
            pix_fmt=PIX_FMT,
            options=self._settings,
            stats=self._histogram.result(),
        )

    def _open(self, frame: NDArray[np.uint8]) -> None:
        height, width, _ = frame.shape
        if height % 2 or width % 2:
            raise UsageError(
                f"video of {width}x{height} pixels: {PIX_FMT} needs even numbers", remedy="choose an even resolution"
            )
        self._size = (height, width)
        os.environ.setdefault("SVT_LOG", "1")  # errors only; the library writes its settings to stderr otherwise
        container = av.open(self._buffer, "w", format="mp4", options=container_options())
        stream = container.add_stream(
            self._encoder,
            rate=self._fps,
            options={
                "g": self._settings["gop"],
                "crf": self._settings["crf"],
                "preset": self._settings["preset"],
                **self._fixed,
            },
        )
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = width, height, PIX_FMT
        stream.codec_context.thread_count = 1
        stream.codec_context.time_base = Fraction(1, self._fps)
        # Said, not guessed: players assume another matrix for large pictures.
        stream.codec_context.colorspace = Colorspace.ITU601
        stream.codec_context.color_range = ColorRange.MPEG
        self._container, self._stream = container, stream

    def _mux(self, packets: Iterable[av.Packet]) -> None:
        assert self._container is not None
        for packet in packets:
            packet.duration = 1
            self._container.mux(packet)


def container_options() -> dict[str, str]:
    """Options of the mp4 writer: no edit list, nothing of the library's version.

    The time scale is the muxer's own choice for the rate, fps times a power of two, and so that of everybody's
    files: what joins ours with those of lerobot takes the first file's scale for all.
    """
    return {"use_editlist": "0", "fflags": "+bitexact"}


def encode_video(frames: Iterable[NDArray[np.uint8]], fps: int, options: VideoOptions | None = None) -> EncodedVideo:
    """Encode frames (T, H, W, 3) uint8 RGB into a complete mp4 in memory.

    Raises:
        UsageError: no frames, odd or changing sizes, unknown codec.
    """
    encoder = VideoEncoder(fps, options)
    encoder.add(frames)
    return encoder.finish()


def open_source(source: Source) -> InputContainer:
    """Open an mp4 given as bytes or as a path, for reading.

    Raises:
        DamagedShardError: it is not a readable video file.
    """
    name = f"{len(source)} bytes" if isinstance(source, bytes | bytearray | memoryview) else str(source)
    try:
        return av.open(io.BytesIO(source) if isinstance(source, bytes | bytearray | memoryview) else str(source), "r")
    except (FFmpegError, OSError) as error:
        raise DamagedShardError(f"video {name}: cannot be opened: {error}") from error


def iterate(source: Source) -> Iterator[NDArray[np.uint8]]:
    """Decode frame after frame, each (H, W, 3) uint8 RGB.

    Raises:
        DamagedShardError: the file cannot be opened or decoded.
    """
    with open_source(source) as container:
        for frame in _decoded(container, source):
            yield np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)


def decode(source: Source) -> NDArray[np.uint8]:
    """All frames, (T, H, W, 3) uint8 RGB.

    Raises:
        DamagedShardError: the file cannot be opened or decoded, or has no frames.
    """
    frames = list(iterate(source))
    if not frames:
        raise DamagedShardError("video holds no frames")
    return np.stack(frames)


def count_frames(source: Source) -> int:
    """Number of frames that really decode (the file's own count is not trusted).

    Raises:
        DamagedShardError: the file cannot be opened or decoded.
    """
    with open_source(source) as container:
        return sum(1 for _ in _decoded(container, source))


def _decoded(container: InputContainer, source: Source) -> Iterator[av.VideoFrame]:
    name = source if isinstance(source, str | Path) else "in memory"
    if not container.streams.video:
        raise DamagedShardError(f"video {name}: holds no video stream")
    container.streams.video[0].codec_context.thread_count = 1
    try:
        yield from container.decode(video=0)
    except FFmpegError as error:
        raise DamagedShardError(f"video {name}: cannot be decoded: {error}") from error
