"""Conformance suite of a simulator. Subclass it, say what to simulate, and pytest does the rest::

class TestMySimulator(SimulatorTests):
    def simulator(self):
        return MySimulator()

    def scene(self):
        return load_scene("scenes/tiny.usda")

    def embodiment(self):
        return registry.load("franka")

    def samples(self):
        return [sample_scene(self.scene(), spec) for spec in ...]
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest

from synthgen.core.embodiment import Embodiment
from synthgen.core.errors import SynthgenError
from synthgen.core.pose import Array, Pose, quat_from_axis_angle, quat_mul
from synthgen.core.sample import SceneSample
from synthgen.core.scene import SceneSpec
from synthgen.core.simulator import CameraImages, RenderRequest, SimState, Simulator

ROBOT, FIRST_BODY = 2, 3  # values of a segmentation, see CameraImages


class SimulatorTests:
    """What must be true of every simulator.

    Attributes:
        fps: control rate, Hz.
        arrival: rad (m), how near its target a joint must be when a slow motion ends.
        still: m/s, a resting body moves slower than this half a second after reset.
        settling: metres, how far a body may move while it comes to rest after reset.
        near_ratio: relative tolerance of numbers where the simulator does not promise bitwise equality.
    """

    fps: int = 20
    arrival: float = 0.02
    still: float = 0.02
    settling: float = 0.005
    near_ratio: float = 1e-4

    def simulator(self) -> Simulator:
        """A new simulator, not loaded."""
        raise NotImplementedError

    def scene(self) -> SceneSpec:
        """A scene with a mount, a world camera that sees the robot, and objects."""
        raise NotImplementedError

    def embodiment(self) -> Embodiment:
        """The robot."""
        raise NotImplementedError

    def samples(self) -> Sequence[SceneSample]:
        """At least two different samples of the scene."""
        raise NotImplementedError

    # ---- what the tests share --------------------------------------------------------------------------------------

    @pytest.fixture(scope="class")
    def the_scene(self) -> SceneSpec:
        """The scene, once per class."""
        return self.scene()

    @pytest.fixture(scope="class")
    def robot(self) -> Embodiment:
        """The embodiment, once per class."""
        return self.embodiment()

    @pytest.fixture(scope="class")
    def draws(self) -> Sequence[SceneSample]:
        """The samples, once per class."""
        return self.samples()

    @pytest.fixture(scope="class")
    def loaded(self, the_scene: SceneSpec, robot: Embodiment) -> Iterator[Simulator]:
        """One environment, shared by the tests of the class: every test resets it first."""
        sim = self.simulator()
        sim.load(the_scene, robot, fps=self.fps)
        yield sim
        sim.close()

    @pytest.fixture(scope="class")
    def pair(self, the_scene: SceneSpec, robot: Embodiment) -> Iterator[Simulator]:
        """Two environments, shared by the tests of the class."""
        sim = self.simulator()
        sim.load(the_scene, robot, fps=self.fps, num_envs=2)
        yield sim
        sim.close()

    def same(self, sim: Simulator, a: SimState, b: SimState) -> bool:
        """Equal bit for bit where the simulator promises that, nearly equal otherwise."""
        pairs = [(getattr(a, f), getattr(b, f)) for f in SimState.FIELDS]
        if sim.info().deterministic:
            return all(x.tobytes() == y.tobytes() for x, y in pairs)
        return all(np.allclose(x, y, rtol=self.near_ratio, atol=self.near_ratio) for x, y in pairs)

    def motion(self, robot: Embodiment, *, seconds: float, seed: int = 0) -> Array:
        """(T, Jd) smooth arm motion that starts at home and ends 0.05 rad from it, either way."""
        home = robot.home_targets()
        goal = home.copy()
        signs = np.random.default_rng(seed).choice([-1.0, 1.0], size=len(home))
        arms = {j for e in robot.end_effectors for j in e.arm_joints}
        for i, joint in enumerate(robot.driven):
            goal[i] += 0.05 * signs[i] * (joint in arms)
        t = np.linspace(0.0, 1.0, round(seconds * self.fps) + 1)[1:, None]
        return home + (goal - home) * t**2 * (3 - 2 * t)

    def play(self, sim: Simulator, targets: Array) -> SimState:
        """Step through targets (T, E, Jd); returns the states before and after: leading axis (T + 1) * E."""
        states = [sim.state()]
        for row in targets:
            sim.step(row)
            states.append(sim.state())
        return SimState.stack(states)

    def shoot(
        self,
        sim: Simulator,
        states: SimState,
        samples: Mapping[int, SceneSample],
        *,
        modes: tuple[str, ...] = ("rgb", "depth", "segmentation"),
    ) -> dict[str, CameraImages]:
        """Pictures of every camera of scene and robot, 160 x 120 pixels."""
        names = tuple(c.name for c in (*self.scene().cameras, *self.embodiment().cameras))
        return sim.render(RenderRequest(cameras=names, width=160, height=120, modes=modes), states, samples)

    # ---- the tests -------------------------------------------------------------------------------------------------

    def test_state_shapes(self, loaded: Simulator, robot: Embodiment, draws: Sequence[SceneSample]) -> None:
        """A state has the shapes that layout and embodiment say, and is finite."""
        loaded.reset({0: draws[0]})
        state, layout = loaded.state(), loaded.layout()
        joints, bodies, hinges = len(robot.joints), len(layout.bodies), len(layout.scene_joints)
        shapes = ((1, joints), (1, joints), (1, bodies, 7), (1, bodies, 6), (1, hinges), (1, hinges))
        assert tuple(getattr(state, f).shape for f in SimState.FIELDS) == shapes
        assert state.finite()
        assert loaded.num_envs == 1

    def test_control_period(self, loaded: Simulator) -> None:
        """One control period is a whole number of physics steps."""
        steps = 1.0 / (self.fps * loaded.info().timestep)
        assert steps == pytest.approx(round(steps), rel=1e-9)

    def test_reset(self, loaded: Simulator, robot: Embodiment, draws: Sequence[SceneSample]) -> None:
        """Robot at home, bodies where the sample says, everything at rest."""
        for sample in draws[:2]:
            loaded.reset({0: sample})
            state = loaded.state()
            np.testing.assert_allclose(state.joint_position[0], robot.expand(robot.home_targets()), atol=1e-6)
            assert not state.joint_velocity.any()
            assert not state.body_velocity.any()
            for row, path in enumerate(loaded.layout().bodies):
                body = sample.bodies.get(path)
                if body is not None and body.active:
                    np.testing.assert_allclose(state.body_pose[0, row], body.pose.vector(), atol=1e-6)

    def test_slow_motion(self, loaded: Simulator, robot: Embodiment, draws: Sequence[SceneSample]) -> None:
        """A slow motion ends at its target, followers included."""
        loaded.reset({0: draws[0]})
        path = self.motion(robot, seconds=1.5)
        state = self.play(loaded, path[:, None])
        reached = state.joint_position[-1]
        np.testing.assert_allclose(reached, robot.expand(path[-1]), atol=self.arrival)

    def test_holding(self, loaded: Simulator, robot: Embodiment, draws: Sequence[SceneSample]) -> None:
        """The home pose is held against gravity."""
        loaded.reset({0: draws[0]})
        home = robot.home_targets()
        state = self.play(loaded, np.tile(home, (self.fps, 1, 1)))
        np.testing.assert_allclose(state.joint_position[-1], robot.expand(home), atol=self.arrival)

    def test_resting(self, loaded: Simulator, robot: Embodiment, draws: Sequence[SceneSample]) -> None:
        """Bodies lie still after reset: nothing pops, falls or creeps."""
        for sample in draws[:2]:
            loaded.reset({0: sample})
            start = loaded.state()
            end = self.play(loaded, np.tile(robot.home_targets(), (self.fps // 2, 1, 1))).env(-1 % (self.fps // 2 + 1))
            for row, path in enumerate(loaded.layout().bodies):
                if path in sample.bodies and sample.bodies[path].active:
                    moved = np.linalg.norm(end.body_pose[0, row, :3] - start.body_pose[0, row, :3])
                    speed = np.linalg.norm(end.body_velocity[0, row, :3])
                    assert speed < self.still and moved < self.settling, f"{path}: {speed:.4f} m/s, {moved:.4f} m"

    def test_absent_bodies_stay(self, loaded: Simulator, robot: Embodiment, draws: Sequence[SceneSample]) -> None:
        """Absent bodies stay where they are parked."""
        absent, sample = self._absent(loaded, draws)
        loaded.reset({0: sample})
        start = loaded.state()
        targets = np.tile(robot.home_targets(), (self.fps, 1, 1))
        end = self.play(loaded, targets)
        for row in absent:
            np.testing.assert_allclose(end.body_pose[-1, row], start.body_pose[0, row], atol=1e-3)

    def test_replay(self, loaded: Simulator, robot: Embodiment, draws: Sequence[SceneSample]) -> None:
        """The same actions from the same start give the same states: after reset, and with bodies that fall."""
        loaded.reset({0: draws[0]})
        targets = self.motion(robot, seconds=1.0)[:, None]
        first = self.play(loaded, targets)
        loaded.set_state(first.env(0), previous_targets=robot.home_targets()[None])
        assert self.same(loaded, self.play(loaded, targets), first)
        falling = self._lifted(first.env(0), loaded, draws[0])
        loaded.set_state(falling, previous_targets=robot.home_targets()[None])
        first = self.play(loaded, targets)
        assert not np.array_equal(first.body_pose[0], first.body_pose[-1])
        loaded.set_state(falling, previous_targets=robot.home_targets()[None])
        assert self.same(loaded, self.play(loaded, targets), first)

    def test_set_state(self, loaded: Simulator, robot: Embodiment, draws: Sequence[SceneSample]) -> None:
        """A state that was set reads back, and what follows does not depend on what was before."""
        loaded.reset({0: draws[0]})
        targets = self.motion(robot, seconds=1.0)[:, None]
        loaded.set_state(self._lifted(loaded.state(), loaded, draws[0]))
        # Just as things land: contacts, speeds, and solvers that would like to remember.
        middle = self.play(loaded, targets[: self.fps // 10]).env(self.fps // 10)
        loaded.set_state(middle)
        for name in SimState.FIELDS:
            np.testing.assert_allclose(getattr(loaded.state(), name), getattr(middle, name), atol=1e-9)
        first = self.play(loaded, targets[:10])
        self.play(loaded, targets[::-1])
        loaded.set_state(middle)
        assert self.same(loaded, self.play(loaded, targets[:10]), first)

    def test_independence(
        self, loaded: Simulator, pair: Simulator, robot: Embodiment, draws: Sequence[SceneSample]
    ) -> None:
        """Two environments do what each of them does alone."""
        paths = [self.motion(robot, seconds=0.5, seed=s) for s in (1, 2)]
        alone: list[SimState] = []
        for sample, path in zip(draws, paths, strict=False):
            loaded.reset({0: sample})
            alone.append(self.play(loaded, path[:, None]))
        pair.reset({0: draws[0], 1: draws[1]})
        both = self.play(pair, np.stack(paths, axis=1))
        for env in (0, 1):
            rows = range(env, len(both.joint_position), 2)
            mine = SimState.stack([both.env(r) for r in rows])
            assert self.same(pair, mine, alone[env])

    def test_one_of_two(self, pair: Simulator, robot: Embodiment, draws: Sequence[SceneSample]) -> None:
        """Resetting or setting one environment leaves the other alone."""
        path = np.repeat(self.motion(robot, seconds=0.5)[:, None], 2, axis=1)
        pair.reset({0: draws[0], 1: draws[1]})
        start = pair.state()
        self.play(pair, path)
        before = pair.state()
        pair.reset({1: draws[1]})
        assert self.same(pair, pair.state().env(0), before.env(0))
        assert self.same(pair, pair.state().env(1), start.env(1))
        pair.set_state(before.env(1), envs=[1])
        assert self.same(pair, pair.state().env(0), before.env(0))
        np.testing.assert_allclose(pair.state().joint_position[1], before.joint_position[1], atol=1e-9)

    def test_picture_shapes(self, loaded: Simulator, draws: Sequence[SceneSample]) -> None:
        """Pictures have their shapes and types, and show something."""
        loaded.reset({0: draws[0]})
        pictures = self.shoot(loaded, loaded.state(), {0: draws[0]})
        assert set(pictures) == {c.name for c in (*self.scene().cameras, *self.embodiment().cameras)}
        for name, images in pictures.items():
            assert images.rgb is not None and images.depth is not None and images.segmentation is not None
            assert (images.rgb.shape, images.rgb.dtype) == ((1, 120, 160, 3), np.uint8)
            assert (images.depth.shape, images.depth.dtype) == ((1, 120, 160), np.float32)
            assert (images.segmentation.shape, images.segmentation.dtype) == ((1, 120, 160), np.int32)
            assert images.intrinsics.shape == (3, 3) and images.extrinsics.shape == (1, 4, 4)
            assert images.rgb.std() > 4.0, f"{name} is of one colour"
            assert 10 < images.rgb.mean() < 245, f"{name} is too dark or too bright"

    def test_robot_visible(self, loaded: Simulator, draws: Sequence[SceneSample]) -> None:
        """A world camera sees the robot."""
        loaded.reset({0: draws[0]})
        pictures = self.shoot(loaded, loaded.state(), {0: draws[0]}, modes=("segmentation",))
        world = [c.name for c in self.scene().cameras]
        assert any((self._segments(pictures[name]) == ROBOT).mean() > 0.01 for name in world)

    def test_pictures_repeat(self, loaded: Simulator, robot: Embodiment, draws: Sequence[SceneSample]) -> None:
        """Pictures repeat, and drawing does not disturb the simulation."""
        loaded.reset({0: draws[0]})
        states = self.play(loaded, self.motion(robot, seconds=0.5)[:, None])
        now = loaded.state()
        first = self.shoot(loaded, states, {0: draws[0]}, modes=("rgb",))
        second = self.shoot(loaded, states, {0: draws[0]}, modes=("rgb",))
        assert self.same(loaded, loaded.state(), now)
        if loaded.info().deterministic:
            for name, images in first.items():
                np.testing.assert_array_equal(images.rgb, second[name].rgb)

    def test_absent_bodies_invisible(self, loaded: Simulator, draws: Sequence[SceneSample]) -> None:
        """Absent bodies are in no picture."""
        absent, sample = self._absent(loaded, draws)
        loaded.reset({0: sample})
        for images in self.shoot(loaded, loaded.state(), {0: sample}, modes=("segmentation",)).values():
            assert not np.isin(self._segments(images), [FIRST_BODY + row for row in absent]).any()

    def test_rows_without_sample(self, loaded: Simulator, draws: Sequence[SceneSample]) -> None:
        """A row without a sample uses the one before."""
        states: list[SimState] = []
        for sample in (draws[0], draws[0], draws[1]):
            loaded.reset({0: sample})
            states.append(loaded.state())
        together = self.shoot(loaded, SimState.stack(states), {0: draws[0], 2: draws[1]}, modes=("rgb",))
        for row, sample in enumerate((draws[0], draws[0], draws[1])):
            apart = self.shoot(loaded, states[row], {0: sample}, modes=("rgb",))
            for name, images in together.items():
                assert images.rgb is not None
                np.testing.assert_array_equal(images.rgb[row : row + 1], apart[name].rgb)

    def test_calibration(self, loaded: Simulator, the_scene: SceneSpec, draws: Sequence[SceneSample]) -> None:
        """Intrinsics and extrinsics lead from an object to its pixels and their depth."""
        checked = 0
        for sample in draws[:2]:
            loaded.reset({0: sample})
            state = loaded.state()
            pictures = self.shoot(loaded, state, {0: sample})
            for prop in the_scene.objects.values():
                row = loaded.layout().bodies.index(prop.body)
                if prop.body in sample.bodies and not sample.bodies[prop.body].active:
                    continue
                center = Pose.from_vector(state.body_pose[0, row]).apply(prop.center)
                for camera in the_scene.cameras:
                    checked += self._projects(pictures[camera.name], center, FIRST_BODY + row, prop.extents)
        assert checked > 0, "no world camera shows any object"

    def _projects(self, images: CameraImages, center: Array, value: int, extents: Array) -> bool:
        """Check one object in one picture; False where too little of it is seen."""
        assert images.depth is not None
        seen = self._segments(images)[0] == value
        if seen.sum() < 20:
            return False
        local = np.linalg.inv(images.extrinsics[0]) @ [*center, 1.0]
        u, v, w = images.intrinsics @ local[:3]
        rows, columns = np.nonzero(seen)
        size = float(np.linalg.norm(extents))
        reach = images.intrinsics[0, 0] * size / w / 2 + 1.5  # pixels from its centre to its farthest corner
        assert np.hypot(columns + 0.5 - u / w, rows + 0.5 - v / w).max() < reach
        # Its pixels are no nearer and no farther than the object reaches.
        assert np.abs(images.depth[0][seen] - local[2]).max() < size / 2 + 0.01
        return True

    def test_unknown_camera(self, loaded: Simulator, draws: Sequence[SceneSample]) -> None:
        """An unknown camera is refused by name."""
        loaded.reset({0: draws[0]})
        with pytest.raises(SynthgenError, match="no_such_camera"):
            loaded.render(RenderRequest(cameras=("no_such_camera",)), loaded.state(), {0: draws[0]})

    def test_wrong_targets(self, loaded: Simulator, robot: Embodiment) -> None:
        """Targets of the wrong shape are refused."""
        with pytest.raises(SynthgenError):
            loaded.step(np.zeros((1, len(robot.driven) + 1)))

    def test_health(self, loaded: Simulator) -> None:
        """Memory is reported."""
        assert loaded.health()["rss_bytes"] > 1e6

    def test_close(self, the_scene: SceneSpec, robot: Embodiment) -> None:
        """Closing twice does no harm."""
        sim = self.simulator()
        sim.load(the_scene, robot, fps=self.fps)
        sim.close()
        sim.close()

    @staticmethod
    def _segments(images: CameraImages) -> np.ndarray:
        assert images.segmentation is not None
        return images.segmentation

    @staticmethod
    def _lifted(state: SimState, sim: Simulator, sample: SceneSample) -> SimState:
        """The state with every present body of the sample 5 cm higher and tilted, so that it will tumble."""
        poses = state.body_pose.copy()
        tilt = quat_from_axis_angle([1.0, 0.5, 0.0], 0.5)
        for row, path in enumerate(sim.layout().bodies):
            if path in sample.bodies and sample.bodies[path].active:
                poses[:, row, 2] += 0.05
                poses[:, row, 3:] = quat_mul(tilt, poses[:, row, 3:])
        return replace(state, body_pose=poses)

    @staticmethod
    def _absent(sim: Simulator, draws: Sequence[SceneSample]) -> tuple[list[int], SceneSample]:
        """Rows of the absent bodies of the first sample, with one body more taken away, and that sample."""
        sample = draws[0]
        present = [path for path, body in sample.bodies.items() if body.active]
        gone = replace(sample.bodies[present[-1]], active=False)
        sample = replace(sample, bodies={**sample.bodies, present[-1]: gone})
        bodies = enumerate(sim.layout().bodies)
        return [row for row, path in bodies if path in sample.bodies and not sample.bodies[path].active], sample
