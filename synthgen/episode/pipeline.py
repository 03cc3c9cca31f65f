"""The pipeline: slots in, checked and rendered episodes out. N environments advance in lockstep, and none waits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import ceil

import numpy as np

from synthgen.core.episode import Episode
from synthgen.core.exporter import DatasetSpec
from synthgen.core.outcome import FAILURE_REASONS, Outcome
from synthgen.core.source import Beat
from synthgen.core.spec import EpisodeSpec
from synthgen.episode.assemble import assemble
from synthgen.episode.attempt import PATIENCE_SECONDS, Attempt
from synthgen.episode.fingerprint import fingerprint
from synthgen.episode.recorder import Recorder
from synthgen.episode.render import RenderPlan, render_states, rows
from synthgen.episode.rig import Rig


class Pipeline:
    """An ``EpisodeSource`` on a real simulator.

    Args:
        rig: the loaded simulator and what belongs to it.
        render: what is drawn of a successful attempt.
        dataset: what ``dataset()`` answers.
        entropy: the plan's seed.
        max_attempts: attempts at a slot before the caller must decide.

    Attributes:
        simulator, embodiment: the rig's.
    """

    def __init__(self, rig: Rig, *, render: RenderPlan, dataset: DatasetSpec, entropy: int, max_attempts: int) -> None:
        self._rig, self._render, self._dataset = rig, render, dataset
        self.simulator, self.embodiment = rig.simulator, rig.embodiment
        self._entropy, self._max_attempts = entropy, max_attempts
        self._fingerprint = fingerprint(rig.simulator.info())
        held = ceil(PATIENCE_SECONDS * rig.fps) + 2 * max(1, ceil(rig.task.dwell * rig.fps)) + 2
        capacity = ceil(rig.task.time_limit * rig.fps) + held
        width = len(rig.embodiment.dataset_joints)
        self._recorders = [Recorder(capacity, width) for _ in range(rig.simulator.num_envs)]

    def dataset(self) -> DatasetSpec:
        """What holds for every episode of this source."""
        return self._dataset

    def run(self, slots: Iterable[int], *, beat: Beat) -> Iterator[tuple[Outcome, Episode | None]]:
        """Attempt each slot until it succeeds or its attempts are used up; see ``EpisodeSource.run``."""
        rig = self._rig
        queue = iter(slots)
        rig.watch.skip()
        lanes = [self._first(queue, env, beat) for env in range(rig.simulator.num_envs)]
        home = rig.embodiment.home_targets()
        targets = np.tile(home, (len(lanes), 1))
        while True:
            for env in range(len(lanes)):
                while (lane := lanes[env]) is not None:
                    row = lane.advance()
                    if row is not None:
                        targets[env] = row
                        break
                    outcome, episode = self._finish(lane)
                    yield outcome, episode
                    rig.watch.skip()
                    lanes[env] = self._next(lane, outcome, queue, beat)
            running = [lane for lane in lanes if lane is not None]
            if not running:
                return
            rig.simulator.step(targets)
            rig.refresh()
            rig.watch.share([lane.account for lane in running])

    def close(self) -> None:
        """Give back the simulator; may be called twice."""
        self._rig.simulator.close()

    def _first(self, queue: Iterator[int], env: int, beat: Beat) -> Attempt | None:
        slot = next(queue, None)
        return None if slot is None else self._attempt(slot, 0, env, beat)

    def _next(self, lane: Attempt, outcome: Outcome, queue: Iterator[int], beat: Beat) -> Attempt | None:
        attempt = lane.spec.attempt + 1
        if outcome.success or attempt >= self._max_attempts:
            return self._first(queue, lane.env, beat)
        return self._attempt(lane.spec.slot, attempt, lane.env, beat)

    def _attempt(self, slot: int, attempt: int, env: int, beat: Beat) -> Attempt:
        rig = self._rig
        spec = EpisodeSpec(
            task=rig.task.name,
            embodiment=rig.embodiment.name,
            slot=slot,
            attempt=attempt,
            entropy=self._entropy,
        )
        return Attempt(rig, self._recorders[env], spec, env, beat)

    def _finish(self, lane: Attempt) -> tuple[Outcome, Episode | None]:
        """The outcome of an attempt that has ended and, when it succeeded, its episode with pictures."""
        failure, episode = lane.failure, None
        if failure is None:

            def enter(phase: str) -> None:
                lane.enter(phase)
                lane.beat("render")

            enter("render")
            rendered = render_states(
                self._rig.simulator,
                self._render,
                rows(lane.states, 0, len(lane.action)),
                lane.sample,
                fps=self._rig.fps,
                enter=enter,
            )
            lane.enter("encode")
            episode = assemble(lane, self._rig, rendered, self._fingerprint)
        lane.enter("idle")
        known = failure is None or failure.reason in FAILURE_REASONS
        outcome = Outcome(
            slot=lane.spec.slot,
            attempt=lane.spec.attempt,
            success=failure is None,
            reason="" if failure is None else failure.reason if known else "not_successful",
            detail="" if failure is None else failure.detail if known else str(failure),
            seconds={phase: s for phase, s in lane.account.seconds.items() if s > 0.0},
            steps=lane.steps,
        )
        return outcome, episode
