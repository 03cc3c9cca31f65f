"""Joining encoded videos into one file, and taking one out again, by copying packets: nothing is decoded.

It works because every video starts with a keyframe, has no B-frames and shares its parameter sets with the others.
"""

from __future__ import annotations

import io
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from fractions import Fraction
from pathlib import Path

import av
from av.container import InputContainer, OutputContainer

from synthgen.core.episode import EncodedVideo
from synthgen.core.errors import DamagedShardError, UsageError
from synthgen.media.video import Source, container_options, open_source


def packets(video: EncodedVideo | Source) -> Iterator[tuple[int, bool, bytes]]:
    """(frame index, is keyframe, payload) of every packet, in order. Payloads are as stored in the mp4.

    Raises:
        DamagedShardError: the file cannot be read, or its timestamps are not those of a constant rate.
    """
    with open_source(_source(video)) as container:
        for index, packet in enumerate(_demux(container)):
            yield index, packet.is_keyframe, bytes(packet)


class VideoWriter:
    """Appends encoded videos to one mp4 file by packet copy; frame k of the file is shown at k/fps seconds.

    All videos must agree in size, rate and codec parameter sets. Close it, or the file is not complete.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._container: OutputContainer | None = None
        self._first: tuple[object, ...] = ()
        self._frames = 0

    def append(self, video: EncodedVideo) -> tuple[int, int]:
        """Copy a video's packets to the end; returns (from_frame, frames).

        Raises:
            UsageError: it differs from the first video in size, rate, codec or parameter sets.
            DamagedShardError: its packets are not ``video.frames`` in number.
        """
        start = self._frames
        with open_source(video.data) as source:
            stream = source.streams.video[0]
            like = (video.width, video.height, video.fps, video.codec, stream.codec_context.extradata)
            if self._container is None:
                self._first = like
                options = {**container_options(), "movflags": "+faststart"}
                container = av.open(str(self._path), "w", format="mp4", options=options)
                self._out = container.add_stream_from_template(stream, opaque=True)
                self._out.time_base = Fraction(1, video.fps)
                self._container = container
            if like != self._first:
                raise UsageError(
                    f"{self._path}: cannot append a video of {like[:4]} to one of {self._first[:4]}, or the encoder's"
                    " settings differ",
                    remedy="encode every video of a data set with the same settings",
                )
            assert self._container is not None
            tick = Fraction(1, video.fps)
            for packet in _demux(source):
                packet.stream = self._out
                packet.time_base = tick
                packet.pts = packet.dts = self._frames
                packet.duration = 1
                self._container.mux(packet)
                self._frames += 1
        if self._frames - start != video.frames:
            raise DamagedShardError(
                f"{self._path}: a video of {video.frames} frames holds {self._frames - start} packets"
            )
        return start, video.frames

    def close(self) -> None:
        """Complete the file; may be called twice. Without any video no file appears."""
        if self._container is not None:
            self._container.close()
            self._container = None


def concat(videos: Iterable[EncodedVideo], path: Path) -> list[tuple[int, int]]:
    """Join videos into one mp4 at ``path`` by packet copy; returns (from_frame, frames) of each.

    Raises:
        UsageError, DamagedShardError: as ``VideoWriter.append``.
    """
    writer = VideoWriter(path)
    try:
        return [writer.append(v) for v in videos]
    finally:
        writer.close()


def extract(path: Path, from_frame: int, frames: int) -> bytes:
    """Copy ``frames`` packets starting at ``from_frame`` out of a joined mp4 into an mp4 of their own.

    Raises:
        DamagedShardError: the file ends before, or ``from_frame`` is not a keyframe.
    """
    with closing(cut(path, [(from_frame, frames)])) as found:
        return next(found)


def cut(path: Path, ranges: Iterable[tuple[int, int]]) -> Generator[bytes]:
    """Copy ranges (first frame, frames), in ascending order, out of a joined mp4, each into an mp4 of its own.

    The file is opened once and read forward; it is searched only where ranges do not follow each other.

    Raises:
        DamagedShardError: the file ends before, or a range does not start at a keyframe.
    """
    with open_source(path) as source:
        stream = source.streams.video[0]
        rate = stream.average_rate or stream.guessed_rate
        base = stream.time_base
        if rate is None or base is None or rate.denominator != 1:
            raise DamagedShardError(f"{path}: frame rate {rate} is not a whole number")
        tick = Fraction(1, rate.numerator)
        per_frame = float(tick / base)  # not in fractions: they would be the slow part of the loop
        packets = source.demux(stream)
        at = 0
        for first, frames in ranges:
            if first != at:
                # All timestamps are exact, so seeking lands on the keyframe at or before the wanted frame.
                source.seek(round(first * per_frame), stream=stream, backward=True, any_frame=False)
                packets = source.demux(stream)
            buffer = io.BytesIO()
            found = 0
            with av.open(buffer, "w", format="mp4", options=container_options()) as sink:
                out = sink.add_stream_from_template(stream, opaque=True)
                out.time_base = tick
                for packet in packets if frames else ():
                    if packet.pts is None:
                        continue
                    index = round(packet.pts / per_frame)
                    if index < first:
                        continue
                    if index != first + found or (found == 0 and not packet.is_keyframe):
                        raise DamagedShardError(f"{path}: frame {first + found} is missing or no keyframe")
                    packet.stream = out
                    packet.time_base = tick
                    packet.pts = packet.dts = found
                    packet.duration = 1
                    sink.mux(packet)
                    found += 1
                    if found == frames:
                        break
            if found != frames:
                raise DamagedShardError(f"{path}: ends after {found} of {frames} frames from frame {first}")
            at = first + frames
            yield buffer.getvalue()


def _source(video: EncodedVideo | Source) -> Source:
    return video.data if isinstance(video, EncodedVideo) else video


def _demux(container: InputContainer) -> Iterator[av.Packet]:
    stream = container.streams.video[0]
    for packet in container.demux(stream):
        if packet.pts is not None:  # the last, empty packet flushes a decoder we do not have
            yield packet
