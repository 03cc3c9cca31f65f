"""The render pass: recorded states -> encoded videos and camera calibration. Needs states and a sample only.

Used for fresh episodes, and again by whoever renders a recorded data set with other looks, cameras or resolution.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from synthgen.core.episode import CameraTrack, EncodedVideo
from synthgen.core.sample import SceneSample
from synthgen.core.simulator import RenderRequest, SimState, Simulator
from synthgen.media.video import VideoEncoder, VideoOptions

# Frames rendered at a time: bounds memory, and lets a supervisor see progress.
CHUNK = 32


@dataclass(frozen=True, kw_only=True)
class RenderPlan:
    """What to draw and how to encode it. ``cameras`` empty = nothing; width and height in pixels."""

    cameras: tuple[str, ...]
    width: int = 256
    height: int = 256
    video: VideoOptions = field(default_factory=VideoOptions)


@dataclass(frozen=True, kw_only=True, eq=False)
class Rendered:
    """Videos and calibration by camera name."""

    videos: Mapping[str, EncodedVideo]
    cameras: Mapping[str, CameraTrack]


def rows(states: SimState, start: int, stop: int) -> SimState:
    """States [start, stop) as views."""
    return SimState(**{f: getattr(states, f)[start:stop] for f in SimState.FIELDS})


def render_states(
    simulator: Simulator,
    plan: RenderPlan,
    states: SimState,
    sample: SceneSample,
    *,
    fps: int,
    enter: Callable[[str], None] = lambda phase: None,
) -> Rendered:
    """Draw T recorded states of one episode with every camera of the plan.

    Args:
        simulator: loaded with the episode's scene and embodiment; its own state is left as it is.
        states: (T, ...), one row per frame.
        sample: how the scene looked; another sample gives the same motion another look.
        enter: called with "render" and "encode" as the work changes, at least once every ``CHUNK`` frames.

    Raises:
        SimulatorError: the renderer failed. UsageError: unknown camera, odd resolution.
    """
    request = RenderRequest(cameras=plan.cameras, width=plan.width, height=plan.height)
    encoders = {name: VideoEncoder(fps, plan.video) for name in plan.cameras}
    extrinsics: dict[str, list[np.ndarray]] = {name: [] for name in plan.cameras}
    intrinsics: dict[str, np.ndarray] = {}
    total = len(states.joint_position)
    for start in range(0, total, CHUNK) if plan.cameras else ():
        enter("render")
        pictures = simulator.render(request, rows(states, start, min(start + CHUNK, total)), {0: sample})
        enter("encode")
        for name in plan.cameras:
            image = pictures[name]
            assert image.rgb is not None, "rgb was asked for"
            encoders[name].add(image.rgb)
            extrinsics[name].append(image.extrinsics)
            intrinsics[name] = image.intrinsics
    return Rendered(
        videos={name: encoder.finish() for name, encoder in encoders.items()},
        cameras={
            name: CameraTrack(intrinsics=intrinsics[name], extrinsics=np.concatenate(extrinsics[name]))
            for name in plan.cameras
        },
    )
