"""A source of small, real, deterministic episodes without physics: for tests of everything around a simulator.

It looks like a simulator from outside: it takes time, fails attempts by reason, and can be made to hang, crash or leak
at any phase of any slot (failpoints ``fake.boot``, ``fake.reset``, ``fake.step``, ``fake.render``, ``fake.close``; the
detail is ``<embodiment>.<slot>.<attempt>``). ``SYNTHGEN_FAKE="seconds=0.1,success=0.8,frames=12"`` sets wall seconds
and frames per episode and the chance that an attempt succeeds; ``log=PATH`` names a file that gets a line for every
attempt as it begins, whatever becomes of it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from synthgen.core.embodiment import JointGroup
from synthgen.core.episode import CameraTrack, EncodedVideo, Episode, ImageStats
from synthgen.core.errors import SimulatorError, UsageError
from synthgen.core.exporter import CameraSpec, DatasetSpec
from synthgen.core.failpoint import failpoint
from synthgen.core.outcome import Outcome
from synthgen.core.plan import Cell, RunPlan
from synthgen.core.simulator import SimState
from synthgen.core.source import Beat
from synthgen.core.spec import EpisodeSpec

VARIABLE = "SYNTHGEN_FAKE"
REASONS = ("missed_grasp", "dropped", "not_in_receptacle")
GROUPS: dict[str, tuple[tuple[str, int], ...]] = {
    "franka": (("arm", 7), ("gripper", 1)),
    "gr1": (("left_arm", 7), ("right_arm", 7)),
    "g1": (("left_arm", 7), ("right_arm", 7)),
}
CAMERAS: dict[str, tuple[str, ...]] = {"franka": ("agentview", "wrist"), "gr1": ("ego_view",), "g1": ("ego_view",)}


@dataclass(frozen=True, kw_only=True)
class FakeOptions:
    """How the fake behaves: wall seconds and frames per episode, chance of success per attempt, log of attempts."""

    seconds: float = 0.0
    success: float = 0.8
    frames: int = 12
    log: str = ""

    @staticmethod
    def from_environment() -> FakeOptions:
        """Read ``SYNTHGEN_FAKE``.

        Raises:
            UsageError: it is not a list of known ``name=value``.
        """
        kinds = {"seconds": float, "success": float, "frames": int, "log": str}
        values: dict[str, Any] = {}
        for part in filter(None, os.environ.get(VARIABLE, "").split(",")):
            name, _, value = part.partition("=")
            name = name.strip()
            if name not in kinds:
                raise UsageError(f"{VARIABLE}: unknown {name!r}", remedy=f"known names: {', '.join(kinds)}")
            try:
                values[name] = kinds[name](value)
            except ValueError:
                raise UsageError(f"{VARIABLE}: {part!r}: {name} must be a number") from None
        return FakeOptions(**values)


def fake_plan(
    n: int = 8,
    *,
    embodiments: tuple[str, ...] = ("franka",),
    shard_size: int = 4,
    max_attempts: int = 20,
    cameras: bool = False,
    formats: tuple[str, ...] = ("tiny",),
    seed: int = 0,
) -> RunPlan:
    """A plan of ``n`` successes per embodiment on the fake simulator."""
    return RunPlan(
        cells=tuple(Cell(task="fake", embodiment=e, n=n) for e in embodiments),
        seed=seed,
        scene="tabletop",
        scene_digest="none",
        simulator="fake",
        fps=20,
        cameras={e: CAMERAS[e] if cameras else () for e in embodiments},
        width=64,
        height=48,
        formats=formats,
        shard_size=shard_size,
        max_attempts=max_attempts,
        task_digests={"fake": ""},
        version="test",
    )


class FakeSource:
    """An ``EpisodeSource`` for one cell of a plan."""

    def __init__(self, plan: RunPlan, task: str, embodiment: str, options: FakeOptions | None = None) -> None:
        self._plan = plan
        self._task = task
        self._embodiment = embodiment
        self._options = options or FakeOptions.from_environment()
        failpoint("fake.boot", embodiment)

    def dataset(self) -> DatasetSpec:
        """What holds for every episode."""
        return DatasetSpec(
            name=self._embodiment,
            embodiment=self._embodiment,
            robot_type=self._embodiment,
            gr00t_tag="new_embodiment",
            fps=self._plan.fps,
            groups=self._groups(),
            end_effectors=("arm",),
            cameras=tuple(
                CameraSpec(name=c, width=self._plan.width, height=self._plan.height)
                for c in self._plan.cameras.get(self._embodiment, ())
            ),
            tasks=tuple(dict.fromkeys(c.task for c in self._plan.cells if c.embodiment == self._embodiment)),
            scene=self._plan.scene,
            command="",
            licence="CC0-1.0",
        )

    def run(self, slots: Iterable[int], *, beat: Beat) -> Iterator[tuple[Outcome, Episode | None]]:
        """Attempt each slot until it succeeds or its attempts are used up."""
        for slot in slots:
            for attempt in range(self._plan.max_attempts):
                outcome, episode = self._attempt(slot, attempt, beat)
                yield outcome, episode
                if episode is not None:
                    break

    def close(self) -> None:
        """Nothing to give back, but it may be told to hang."""
        failpoint("fake.close", self._embodiment)

    def _groups(self) -> tuple[JointGroup, ...]:
        layout = GROUPS.get(self._embodiment, (("arm", 6),))
        return tuple(JointGroup(name=name, joints=tuple(f"{name}_{i}" for i in range(size))) for name, size in layout)

    def _attempt(self, slot: int, attempt: int, beat: Beat) -> tuple[Outcome, Episode | None]:
        detail = f"{self._embodiment}.{slot}.{attempt}"
        started = time.perf_counter()
        self._log(detail)
        spec = EpisodeSpec(
            task=self._task, embodiment=self._embodiment, slot=slot, attempt=attempt, entropy=self._plan.seed
        )
        for phase in ("reset", "step", "render"):
            beat(phase, slot, attempt)
            try:
                failpoint(f"fake.{phase}", detail)
            except RuntimeError as error:
                raise SimulatorError(f"the fake simulator failed in {phase}: {error}") from error
            if phase == "step":
                self._sleep(slot, attempt, beat)
        seconds = {"physics": time.perf_counter() - started}
        luck = spec.rng("physics").random()
        if luck >= self._options.success:
            reason = REASONS[int(spec.rng("expert").integers(len(REASONS)))]
            return Outcome(slot=slot, attempt=attempt, success=False, reason=reason, seconds=seconds, steps=3), None
        episode = self._episode(spec)
        return Outcome(slot=slot, attempt=attempt, success=True, seconds=seconds, steps=len(episode)), episode

    def _log(self, detail: str) -> None:
        if self._options.log:  # one appending write per line: whole lines from any number of processes
            descriptor = os.open(self._options.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                os.write(descriptor, f"{detail}\n".encode())
            finally:
                os.close(descriptor)

    def _sleep(self, slot: int, attempt: int, beat: Beat) -> None:
        left = self._options.seconds
        while left > 0:
            time.sleep(min(left, 0.5))
            left -= 0.5
            if left > 0:
                beat("step", slot, attempt)

    def _episode(self, spec: EpisodeSpec) -> Episode:
        joints = sum(len(g.joints) for g in self._groups())
        frames = self._options.frames + spec.slot % 3
        action = np.cumsum(spec.rng("expert").normal(0, 0.02, (frames, joints)), axis=0).astype(np.float32)
        state = np.vstack([np.zeros((1, joints), np.float32), action[:-1]])
        pose = np.tile(np.array([0.4, 0.0, 0.1, 1, 0, 0, 0], np.float32), (frames, 1))
        pose[:, :3] += spec.rng("layout").uniform(-0.1, 0.1, 3).astype(np.float32)
        done = np.zeros(frames, bool)
        done[-1] = True
        cameras = self._plan.cameras.get(self._embodiment, ())
        return Episode(
            spec=spec,
            fps=self._plan.fps,
            state=state,
            action=action,
            velocity=np.gradient(state, 1 / self._plan.fps, axis=0).astype(np.float32),
            eef_pose={"arm": pose},
            eef_target={"arm": pose},
            object_pose={"can": pose},
            receptacle_pose={"bowl": pose},
            base_pose=np.array([0, 0, 0, 1, 0, 0, 0.0]),
            subtask=(np.arange(frames) * 2 // frames).astype(np.int64),
            subtasks=("pick", "place"),
            instruction="put the can into the bowl",
            paraphrases=("place the can in the bowl",),
            reward=done.astype(np.float32),
            done=done,
            videos={c: self._video(spec, frames) for c in cameras},
            cameras={
                c: CameraTrack(intrinsics=np.eye(3), extrinsics=np.tile(np.eye(4), (frames, 1, 1))) for c in cameras
            },
            draws={"can.x": float(pose[0, 0])},
            sample={"slots": {"target": "can"}},
            sim_states=SimState(
                joint_position=state.astype(float),
                joint_velocity=np.zeros((frames, joints)),
                body_pose=pose[:, None].astype(float),
                body_velocity=np.zeros((frames, 1, 6)),
                scene_joint_position=np.zeros((frames, 0)),
                scene_joint_velocity=np.zeros((frames, 0)),
            ),
            state_bodies=("/World/can",),
            replay_error=np.zeros(joints),
            fingerprint={"simulator": "fake"},
            scene={"file": self._plan.scene, "digest": self._plan.scene_digest},
        )

    def _video(self, spec: EpisodeSpec, frames: int) -> EncodedVideo:
        """A real mp4 of a moving gradient."""
        import io
        from fractions import Fraction

        import av

        width, height, fps = self._plan.width, self._plan.height, self._plan.fps
        shade = int(spec.rng("visual").integers(256))
        counts = np.zeros((3, 256), np.int64)
        out = io.BytesIO()
        options = {"bf": "0", "crf": "30", "preset": "ultrafast", "x264-params": "scenecut=0:threads=1"}
        with av.open(out, "w", format="mp4") as container:
            stream = container.add_stream("libx264", rate=fps, options=options)
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            stream.codec_context.gop_size = 20
            stream.time_base = stream.codec_context.time_base = Fraction(1, fps)
            ramp = np.add.outer(np.arange(height), np.arange(width))
            for t in range(frames):
                image = np.repeat(((ramp + shade + 3 * t) % 256).astype(np.uint8)[..., None], 3, -1)
                counts += np.stack([np.bincount(image[..., c].ravel(), minlength=256) for c in range(3)])
                frame = av.VideoFrame.from_ndarray(image, format="rgb24")
                frame.pts, frame.time_base = t, Fraction(1, fps)
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
        return EncodedVideo(
            data=out.getvalue(),
            frames=frames,
            width=width,
            height=height,
            fps=fps,
            codec="h264",
            pix_fmt="yuv420p",
            options={"g": "20", "crf": "30", "preset": "ultrafast"},
            stats=ImageStats(counts=counts, frames=frames),
        )
