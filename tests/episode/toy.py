"""A small exact world for tests of the loop: two joints that lag behind their targets, a ball that joint 0 carries.

The hand holds the ball while joint 1 is closed (> 0.5) and joint 0 is where the ball is; an open hand leaves it. It is
a real simulator of its little world (state, set_state, step, render) with a leading environment axis.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from synthgen.core.embodiment import Embodiment, EndEffector, Gains, JointGroup, JointLimits
from synthgen.core.errors import EpisodeFailure
from synthgen.core.exporter import CameraSpec, DatasetSpec
from synthgen.core.pose import Array, Pose
from synthgen.core.sample import BodySample, SceneSample
from synthgen.core.scene import Body, Mount, ObjectProp, Receptacle, SceneSpec
from synthgen.core.simulator import CameraImages, RenderRequest, SimState, SimulatorInfo, StateLayout
from synthgen.core.spec import EpisodeSpec
from synthgen.core.task import Needs
from synthgen.core.trajectory import Segment
from synthgen.core.world import World
from synthgen.episode.observer import Observer
from synthgen.episode.pipeline import Pipeline
from synthgen.episode.render import RenderPlan
from synthgen.episode.rig import Rig

BALL = "/World/Ball"
LAG = 0.35  # share of the way to the target that a joint goes in one tick
XML = """
<mujoco>
  <worldbody>
    <body name="cart"><joint name="slide" type="slide" axis="1 0 0"/><geom size="0.01" mass="1"/>
      <body name="hand"><joint name="grip" type="hinge" axis="0 0 1"/><geom size="0.02" mass="1"/>
        <site name="grasp"/></body></body>
    <body name="/World/Ball"><freejoint name="ball"/><geom size="0.03" mass="1"/></body>
  </worldbody>
</mujoco>
"""

ROBOT = Embodiment(
    name="toy",
    title="Toy",
    gr00t_tag="new_embodiment",
    groups=(JointGroup(name="arm", joints=("slide", "waist")), JointGroup(name="hand", joints=("grip",))),
    constants={"waist": 0.25},
    end_effectors=(
        EndEffector(
            name="arm",
            kind="parallel_jaw",
            site="grasp",
            arm_joints=("slide",),
            hand_joints=("grip",),
            hand_bodies=("hand",),
            rest=(0.0,),
            weights=(1.0,),
            open=(0.0,),
            close=(1.0,),
        ),
    ),
    home={"slide": 0.1, "grip": 0.0},
    gains={j: Gains(kp=1.0, kv=1.0) for j in ("slide", "grip")},
    limits={j: JointLimits(velocity=1.0, acceleration=1.0) for j in ("slide", "grip")},
    base=Pose.of((0.0, 0.5, 0.0)),
    build=lambda root: None,
    packs=(),
    licence="none",
)

SCENE = SceneSpec(
    source=Path("toy.usda"),
    digest="0" * 64,
    gravity=np.zeros(3),
    bodies={
        BALL: Body(
            path=BALL,
            pose=Pose(),
            mass=1.0,
            center_of_mass=np.zeros(3),
            inertia=np.ones(3),
            inertia_frame=np.array([1.0, 0.0, 0.0, 0.0]),
        )
    },
    objects={
        "ball": ObjectProp(
            name="ball", body=BALL, shape="sphere", extents=np.full(3, 0.06), center=np.zeros(3), noun="ball"
        )
    },
    receptacles={
        "spot": Receptacle(
            name="spot",
            path="/World/Spot",
            body=None,
            pose=Pose.of((1.0, 0.0, 0.0)),
            half_extents=(0.1, 0.1),
            height=0.0,
            noun="spot",
            preposition="onto",
        )
    },
    mounts=(Mount(name="mount", path="/World/Mount", pose=Pose()),),
)


class ToySimulator:
    """See the module. ``drift`` adds an error that set_state does not undo: replays then differ from rollouts."""

    def __init__(self, num_envs: int, *, drift: float = 0.0, explode_at: int | None = None) -> None:
        self.num_envs, self.drift, self.explode_at = num_envs, drift, explode_at
        self.q = np.zeros((num_envs, 2))
        self.v = np.zeros((num_envs, 2))
        self.ball = np.zeros((num_envs, 2))  # x, settling height
        self.fall = np.zeros((num_envs, 2))
        self.age = np.zeros(num_envs, int)
        self.rendered = 0
        self.replays = 0
        self.closed = 0

    def layout(self) -> StateLayout:
        return StateLayout(bodies=(BALL,), scene_joints=())

    def info(self) -> SimulatorInfo:
        return SimulatorInfo(name="toy", version="1", device="cpu", timestep=0.05, deterministic=True)

    def reset(self, samples: Mapping[int, SceneSample]) -> None:
        for env, sample in samples.items():
            self.q[env], self.v[env] = ROBOT.home_targets(), 0.0
            x = sample.bodies[BALL].pose.position[0]
            self.ball[env], self.fall[env], self.age[env] = (x, 0.01), 0.0, 0

    def step(self, joint_targets: Array) -> None:
        before, ball = self.q.copy(), self.ball.copy()
        held = (self.q[:, 1] > 0.5) & (np.abs(self.q[:, 0] - self.ball[:, 0]) < 0.02)
        self.q += LAG * (joint_targets - self.q)
        self.v = (self.q - before) * 20.0
        self.ball[held, 0] += (self.q - before)[held, 0]
        self.ball[:, 1] *= 0.5  # objects sink in when they are put down
        self.fall = (self.ball - ball) * 20.0
        self.age += 1
        if self.explode_at is not None:
            self.ball[self.age == self.explode_at, 0] = np.nan
            self.fall[self.age == self.explode_at, 0] = np.nan

    def state(self) -> SimState:
        pose, velocity = np.zeros((self.num_envs, 1, 7)), np.zeros((self.num_envs, 1, 6))
        pose[:, 0, 0], pose[:, 0, 2], pose[:, 0, 3] = self.ball[:, 0], self.ball[:, 1], 1.0
        velocity[:, 0, 0], velocity[:, 0, 2] = self.fall[:, 0], self.fall[:, 1]
        none = np.zeros((self.num_envs, 0))
        return SimState(
            joint_position=self.q.copy(),
            joint_velocity=self.v.copy(),
            body_pose=pose,
            body_velocity=velocity,
            scene_joint_position=none,
            scene_joint_velocity=none.copy(),
        )

    def set_state(
        self, state: SimState, *, previous_targets: Array | None = None, envs: Sequence[int] | None = None
    ) -> None:
        for k, env in enumerate(range(self.num_envs) if envs is None else envs):
            self.replays += 1
            # The second setting of an episode is its replay.
            off = self.drift if self.age[env] > 10 else 0.0
            self.q[env], self.v[env] = state.joint_position[k], state.joint_velocity[k]
            self.ball[env] = (state.body_pose[k, 0, 0] + off, state.body_pose[k, 0, 2])
            self.fall[env] = state.body_velocity[k, 0, [0, 2]]

    def render(
        self, request: RenderRequest, states: SimState, samples: Mapping[int, SceneSample]
    ) -> dict[str, CameraImages]:
        count = len(states.joint_position)
        self.rendered += count
        rgb = np.full((count, request.height, request.width, 3), 40, np.uint8)
        for t in range(count):
            rgb[t, :, : column(states.joint_position[t, 0], request.width), 0] = 220
        return {
            name: CameraImages(rgb=rgb, intrinsics=np.eye(3), extrinsics=np.tile(np.eye(4), (count, 1, 1)))
            for name in request.cameras
        }

    def close(self) -> None:
        self.closed += 1

    def load(self, scene: SceneSpec, embodiment: Embodiment, *, fps: int, num_envs: int = 1) -> None:
        raise NotImplementedError

    def health(self) -> Mapping[str, float]:
        return {}


def column(x: float, width: int) -> int:
    """Where the picture's bar ends when the slide is at ``x``."""
    return int(np.clip(x / 1.2, 0.0, 1.0) * width)


class ToyTask:
    """Carry the ball to the spot."""

    name, summary = "carry", "carry the ball to the spot"
    needs = Needs()
    subtasks = ("reach", "carry", "leave")
    time_limit, dwell = 10.0, 0.5

    def instructions(self, world: World) -> Sequence[str]:
        return [f"carry the {world.objects['ball'].prop.noun} {w}" for w in ("over", "there", "away", "to the spot")]

    def program(self, world: World) -> Any:
        return iter(())

    def success(self, world: World) -> bool:
        ball = world.objects["ball"]
        return world.receptacles["spot"].contains(ball.center) and not world.is_touched("ball") and ball.at_rest()

    def failure_reason(self, world: World) -> str:
        return "not_released" if world.is_touched("ball") else "not_in_receptacle"


def draw(spec: EpisodeSpec) -> SceneSample:
    """Ball at a random x; every fifth draw cannot be placed."""
    rng = spec.rng("layout")
    x = float(rng.uniform(0.3, 0.7))
    if rng.random() < 0.1:
        raise EpisodeFailure("placement", "no room")
    return SceneSample(slots={}, bodies={BALL: BodySample(active=True, pose=Pose.of((x, 0, 0)))}, draws={"ball.x": x})


def line(start: Array, end: Array, steps: int) -> Array:
    """(steps, 2) targets on a straight way."""
    return start + (end - start) * (np.arange(1, steps + 1) / steps)[:, None]


def stops_short(world: World, rng: np.random.Generator) -> Generator[Segment, World, None]:
    """Never reaches the spot."""
    return carry(world, 0.8)


def expert(world: World, rng: np.random.Generator) -> Generator[Segment, World, None]:
    """Carries the ball to the spot; sometimes stops short of it."""
    return carry(world, 1.0 if rng.random() < 0.7 else 0.8)


def carry(world: World, x: float) -> Generator[Segment, World, None]:
    """Goes to the ball, closes, goes to ``x``, opens, goes away."""
    at = world.targets
    ball = world.objects["ball"].center[0]
    wait = line(at, at, 3)  # idle rows at the start must not become frames
    there = np.array([ball, 0.0])
    world = yield Segment(targets=np.concatenate([wait, line(at, there, 12), line(there, there, 8)]), subtask=0)
    grip = np.array([ball, 1.0])
    world = yield Segment(targets=np.concatenate([line(there, grip, 4), line(grip, grip, 6)]), subtask=1)
    goal = np.array([x, 1.0])
    world = yield Segment(targets=np.concatenate([line(grip, goal, 15), line(goal, goal, 10)]), subtask=1)
    free = np.array([goal[0], 0.0])
    world = yield Segment(targets=np.concatenate([line(goal, free, 4), line(free, free, 6)]), subtask=2)
    away = np.array([goal[0] - 0.3, 0.0])
    world = yield Segment(targets=np.concatenate([line(free, away, 8), line(away, away, 12)]), subtask=2)


def pipeline(num_envs: int = 1, *, program=expert, cameras=("front",), attempts: int = 4, task=None, **sim) -> Pipeline:
    """A pipeline on the toy world."""
    import mujoco

    task = task or ToyTask()
    simulator = ToySimulator(num_envs, **sim)
    observer = Observer(SCENE, ROBOT, simulator.layout(), mujoco.MjModel.from_xml_string(XML), base=ROBOT.base)
    rig = Rig(
        task=task,
        embodiment=ROBOT,
        scene=SCENE,
        simulator=simulator,
        observer=observer,
        draw=draw,
        program=program,
        fps=20,
    )
    dataset = DatasetSpec(
        name="toy",
        embodiment="toy",
        robot_type="toy",
        gr00t_tag="new_embodiment",
        fps=20,
        groups=ROBOT.groups,
        end_effectors=("arm",),
        cameras=tuple(CameraSpec(name=c, width=32, height=32) for c in cameras),
        tasks=("carry",),
        scene="toy.usda",
        command="",
        licence="",
    )
    plan = RenderPlan(cameras=cameras, width=32, height=32)
    return Pipeline(rig, render=plan, dataset=dataset, entropy=7, max_attempts=attempts)
