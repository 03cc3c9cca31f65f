"""One attempt at one slot, as a generator of joint targets: settle, program, hold, trim, replay.

It advances one control tick per ``yield``, so that any number of attempts run in lockstep on one simulator. Nothing in
it depends on the environment it runs in, or on what that environment did before.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from math import ceil, isfinite

import numpy as np
from numpy.typing import NDArray

from synthgen.core.errors import EpisodeFailure
from synthgen.core.pose import Array
from synthgen.core.sample import SceneSample
from synthgen.core.simulator import SimState
from synthgen.core.spec import EpisodeSpec
from synthgen.core.world import World
from synthgen.episode.recorder import Recorder, impossible
from synthgen.episode.rig import Program, Rig
from synthgen.episode.stopwatch import Account
from synthgen.episode.trim import idle_frames, idle_trim

# Dropped objects find their rest before the episode begins; one that has not after this long is rolling away.
SETTLE_SECONDS = 2.0
SETTLE_LINEAR, SETTLE_ANGULAR = 0.005, 0.05  # m/s, rad/s
# The world may take this long after the program to reach success (an object rocks, a hand opens).
PATIENCE_SECONDS = 2.0
BEAT_TICKS = 10

Ticks = Generator[Array, None, None]


class Attempt:
    """Runs one attempt in environment ``env``; read the attributes once ``advance`` has returned None.

    Attributes:
        sample: what the scene was drawn as.
        world: at the start of the program.
        states: (T + 1, ...) recorded states, row 0 the exact start, row T after the last action.
        action: (T, D) float32; subtask: (T,) int64.
        start_targets: (Jd,) where the commands stood before the first action.
        replay_error: (Jd,) largest absolute joint difference between rollout and replay.
        failure: why it did not succeed, or None.
        steps: control steps simulated.
    """

    sample: SceneSample
    world: World
    states: SimState
    action: NDArray[np.float32]
    subtask: NDArray[np.int64]
    start_targets: Array
    replay_error: Array

    def __init__(
        self, rig: Rig, recorder: Recorder, spec: EpisodeSpec, env: int, beat: Callable[[str, int, int], None]
    ) -> None:
        self.spec, self.env = spec, env
        self.failure: EpisodeFailure | None = None
        self.steps = 0
        self.account = Account()
        self._rig, self._recorder, self._beat = rig, recorder, beat
        self._targets, self._time = np.zeros(0), 0.0
        self._ticks = self._run()

    def advance(self) -> Array | None:
        """The joint targets (Jd,) of the next control tick, or None when the attempt has ended."""
        try:
            row = next(self._ticks, None)
        except EpisodeFailure as failure:
            self.failure, row = failure, None
        if row is not None:
            self.steps += 1
            if self.steps % BEAT_TICKS == 0:
                self.beat("step")
        return row

    def beat(self, phase: str) -> None:
        """Tell the supervisor what is going on."""
        self._beat(phase, self.spec.slot, self.spec.attempt)

    def enter(self, phase: str) -> None:
        """From now on its time counts for ``phase``."""
        self._rig.watch.enter(self.account, phase)

    def _run(self) -> Ticks:
        rig = self._rig
        self.beat("reset")
        self.sample = rig.draw(self.spec)
        rig.simulator.reset({self.env: self.sample})
        rig.refresh()
        self.enter("physics")
        yield from self._settle()
        yield from self._program()
        yield from self._hold(record=True)
        self._trim()
        self.beat("check")
        self.enter("check")
        yield from self._replay()

    # -- settle ------------------------------------------------------------------------------------------------------

    def _settle(self) -> Ticks:
        """Let the objects come to rest; the state then is set anew, so that a replay can start from the very same."""
        rig = self._rig
        _, home = rig.quantized(rig.embodiment.home_targets())
        active = rig.observer.active_bodies(self.sample)
        for _ in range(ceil(SETTLE_SECONDS * rig.fps)):
            yield home
            v = np.abs(rig.state.body_velocity[self.env, active])
            if not np.isfinite(v).all():
                raise EpisodeFailure("unstable", "non-finite state while settling")
            if v[:, :3].max(initial=0.0) < SETTLE_LINEAR and v[:, 3:].max(initial=0.0) < SETTLE_ANGULAR:
                break
        else:
            names = [
                rig.observer.layout.bodies[i] for i, x in zip(active, v, strict=True) if x[:3].max() >= SETTLE_LINEAR
            ]
            raise EpisodeFailure("placement", f"not at rest after {SETTLE_SECONDS} s: {', '.join(names) or 'spinning'}")
        start = rig.state.env(self.env)
        rig.simulator.set_state(start, previous_targets=home[None], envs=[self.env])
        self.start_targets = self._targets = home
        self._recorder.start(start, 0)

    # -- program -----------------------------------------------------------------------------------------------------

    def _program(self) -> Ticks:
        """Execute the expert's segments, showing it the world before each."""
        rig, recorder, env = self._rig, self._recorder, self.env
        limit = ceil(rig.task.time_limit * rig.fps)
        self._enter_plan()
        self.world = world = self._look(recorder.states(0, 1), 0)
        program: Program = rig.program(world, self.spec.rng("expert"))
        segment = next(program, None)
        while segment is not None:
            vectors, rows = rig.quantized(segment.targets)
            subtask = segment.subtask
            self.enter("physics")
            self.beat("step")
            for vector, row in zip(vectors, rows, strict=True):
                if recorder.length == 0 and np.array_equal(row, self._targets):
                    continue  # everything is at rest and nothing is asked to move: not a frame yet
                if recorder.length >= limit:
                    raise EpisodeFailure("timeout", f"in {segment.label or rig.task.subtasks[subtask]}")
                yield row
                recorder.add(vector, subtask, rig.state, env)
                self._targets = row
            self._enter_plan()
            why = impossible(rig.state.env(env))
            if why:
                raise EpisodeFailure("unstable", why)
            try:
                segment = program.send(self._look(rig.state, env))
            except StopIteration:
                segment = None
        self.enter("physics")

    def _enter_plan(self) -> None:
        self.enter("plan")
        self.beat("plan")

    def _look(self, state: SimState, env: int) -> World:
        # What is not finite in a position came there by a velocity; the sum of their squares finds it.
        turning, moving = state.joint_velocity[env], state.body_velocity[env].ravel()
        if not isfinite(float(turning @ turning) + float(moving @ moving)):
            raise EpisodeFailure("unstable", "non-finite state")
        time = self._recorder.length / self._rig.fps
        return self._rig.observer.snapshot(state, env, self.sample, time=time, targets=self._targets)

    # -- hold --------------------------------------------------------------------------------------------------------

    def _hold(self, *, record: bool) -> Ticks:
        """Hold the last targets until success has held for the task's dwell time.

        Raises:
            EpisodeFailure: it has not within the patience; the reason is the task's.
        """
        rig, recorder, env = self._rig, self._recorder, self.env
        if recorder.length == 0:
            raise EpisodeFailure("not_successful", "the program commanded no motion")
        dwell = max(1, ceil(rig.task.dwell * rig.fps))
        patience = ceil(PATIENCE_SECONDS * rig.fps) + dwell
        vector, subtask = recorder.action[recorder.length - 1].copy(), int(recorder.subtask[recorder.length - 1])
        row = rig.targets(vector)
        held, ticks = 0, 0
        while True:
            world = self._look(rig.state, env)
            held = held + 1 if rig.task.success(world) else 0
            if held > dwell:
                return
            if ticks >= patience and held == 0:
                raise EpisodeFailure(rig.task.failure_reason(world), "after the program")
            yield row
            ticks += 1
            if record:
                recorder.add(vector, subtask, rig.state, env)

    # -- trim --------------------------------------------------------------------------------------------------------

    def _trim(self) -> None:
        """Keep the frames between the first and the last in which something happens."""
        rig, recorder = self._rig, self._recorder
        states = recorder.states()
        why = impossible(states)
        if why:
            raise EpisodeFailure("unstable", why)
        action = recorder.action[: recorder.length]
        first, _ = rig.quantized(self.start_targets)
        start, stop = idle_trim(idle_frames(action, first, states, bodies=rig.observer.active_bodies(self.sample)))
        if start > 0:
            self.start_targets = rig.targets(action[start - 1])
        self.states = recorder.states(start, stop + 1)
        self.action = action[start:stop].copy()
        self.subtask = recorder.subtask[start:stop].copy()

    # -- replay ------------------------------------------------------------------------------------------------------

    def _replay(self) -> Ticks:
        """Apply the recorded data set actions from the recorded start: success again, or the episode is no episode."""
        rig, env = self._rig, self.env
        driven = len(rig.embodiment.driven)
        rig.simulator.set_state(self.states.env(0), previous_targets=self.start_targets[None], envs=[env])
        rows = rig.targets(self.action)
        reached = np.empty((len(rows), driven))
        for t, row in enumerate(rows):
            yield row
            reached[t] = rig.state.joint_position[env, :driven]
        self.replay_error = np.abs(reached - self.states.joint_position[1:, :driven]).max(0)
        self._targets = rows[-1]
        try:
            yield from self._hold(record=False)
        except EpisodeFailure as failure:
            raise EpisodeFailure("replay_failed", str(failure)) from failure
