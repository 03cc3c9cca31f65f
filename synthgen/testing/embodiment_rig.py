"""An embodiment's own MuJoCo model on a test bench: alone, at a table, or with something in its hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from synthgen.core.embodiment import Embodiment, EndEffector, HandGrasp
from synthgen.core.pose import Array, Pose, matrix_from_quat, quat_from_axis_angle, quat_from_matrix, quat_mul

GRAVITY = 9.81
TABLE_THICKNESS = 0.5  # a block: a hand below the surface is as wrong as one in it
# Robot parts this many joints apart or fewer may overlap: shells of neighbouring links do.
NEIGHBOURS = 2


class Rig:
    """The compiled model of a robot without its visuals, and its state. Joint vectors (J,): ``Embodiment.joints``.

    Use ``Rig.build``.
    """

    def __init__(self, model: Any, robot: Embodiment) -> None:
        import mujoco

        self.model = model
        self.data = mujoco.MjData(model)
        self.target: Array = robot.home_targets()
        self._robot = robot
        self._qadr = np.array([model.joint(j).qposadr[0] for j in robot.joints])
        self._dadr = np.array([model.joint(j).dofadr[0] for j in robot.joints])
        self._act = np.array([model.actuator(j).id for j in robot.joints])

    @staticmethod
    def build(
        robot: Embodiment,
        asset_root_of: Callable[[str], Any],
        *,
        base: Pose | None = None,
        table: tuple[float, float] | None = None,
        held: tuple[str, tuple[float, ...], float] | None = None,
    ) -> Rig:
        """Compile the robot.

        Args:
            base: where it stands in the world; None = at the origin.
            table: extent in x and y, metres, of a table top whose near edge is at the world's origin, surface at z = 0.
            held: (shape, MuJoCo size, kg) of a free body called "held".
        """
        import mujoco

        spec = robot.build(asset_root_of)
        for geom in list(spec.geoms):
            if not (geom.contype or geom.conaffinity) and geom.group == 2:
                spec.delete(geom)
        used = {g.meshname for g in spec.geoms}
        for mesh in list(spec.meshes):
            if mesh.name not in used:
                spec.delete(mesh)
        world = mujoco.MjSpec()
        world.option.timestep = robot.timestep
        world.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
        world.option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
        world.option.impratio = 10.0
        base = base or Pose.of()
        box = mujoco.mjtGeom.mjGEOM_BOX
        touch: dict[str, Any] = {"contype": 1, "conaffinity": 3}
        if table is not None:
            x, y = table
            half = (x / 2, y / 2, TABLE_THICKNESS / 2)
            world.worldbody.add_geom(name="table", type=box, pos=(x / 2, 0, -half[2]), size=half, **touch)
        if held is not None:
            shape, size, mass = held
            kind = {"box": box, "cylinder": mujoco.mjtGeom.mjGEOM_CYLINDER, "sphere": mujoco.mjtGeom.mjGEOM_SPHERE}
            body = world.worldbody.add_body(name="held")
            body.add_freejoint(name="held")
            full = (*size, 0.0, 0.0)[:3]
            body.add_geom(type=kind[shape], size=full, mass=mass, condim=4, friction=(1.0, 0.02, 1e-4), **touch)
        frame = spec.worldbody.add_frame()
        spec.option = world.option
        for kind_ in (spec.worldbody.bodies, spec.worldbody.geoms):
            for element in kind_:
                (element.frame or element).set_frame(frame)
        frame.pos, frame.quat = base.position, base.orientation
        spec.attach(world, prefix="/", frame=spec.worldbody.add_frame())
        return Rig(spec.compile(), robot)

    # -- what is there -----------------------------------------------------------------------------------------------

    @property
    def joint_names(self) -> list[str]:
        """Names of the robot's joints in the model."""
        names = [self.model.joint(i).name for i in range(self.model.njnt)]
        return [n for n in names if not n.startswith("/")]

    @property
    def body_names(self) -> set[str]:
        """Names of the bodies in the model."""
        return {self.model.body(i).name for i in range(self.model.nbody)}

    @property
    def actuated(self) -> dict[str, str]:
        """Actuator name -> name of the joint it drives."""
        joint = [int(self.model.actuator(i).trnid[0]) for i in range(self.model.nu)]
        return {self.model.actuator(i).name: self.model.joint(j).name for i, j in enumerate(joint)}

    def has_site(self, name: str) -> bool:
        """Whether there is a site of that name."""
        return name in {self.model.site(i).name for i in range(self.model.nsite)}

    def range_of(self, joint: str) -> tuple[float, float]:
        """Limits of a joint, rad (m)."""
        low, high = self.model.joint(joint).range
        return float(low), float(high)

    def random_driven(self, rng: np.random.Generator) -> Array:
        """(Jd,) driven joints, uniform within their limits."""
        return np.array([rng.uniform(*self.range_of(j)) for j in self._robot.driven])

    # -- kinematics --------------------------------------------------------------------------------------------------

    def set(self, q: Array) -> None:
        """Put all joints (J,) somewhere, at rest, and work out where everything is."""
        import mujoco

        self.data.qpos[self._qadr] = q
        self.data.qvel[:] = 0.0
        mujoco.mj_forward(self.model, self.data)

    def site(self, name: str) -> tuple[Array, Array]:
        """Position (3,) and rotation (3, 3) of a site in the world."""
        s = self.data.site(name)
        return s.xpos.copy(), s.xmat.reshape(3, 3).copy()

    def body(self, name: str) -> tuple[Array, Array]:
        """Position (3,) and rotation (3, 3) of a body in the world."""
        b = self.data.body(name)
        return b.xpos.copy(), b.xmat.reshape(3, 3).copy()

    def mirror_signs(self, pairs: Mapping[str, str]) -> dict[str, float]:
        """For each right joint whether its left twin's mirrored value has the same (+1) or the opposite (-1) sign.

        Mirroring across the robot's x-z plane turns a rotation about axis a into one about -S a, S = diag(1, -1, 1).
        """
        self.set(np.zeros(len(self._robot.joints)))
        out = {}
        for right, left in pairs.items():
            mirrored = -self.data.joint(right).xaxis * np.array([1.0, -1.0, 1.0])
            dot = float(mirrored @ self.data.joint(left).xaxis)
            assert abs(dot) > 0.99, f"{left} is not the mirror image of {right}"
            out[right] = float(np.sign(dot))
        return out

    def overlaps(self, driven: Array) -> list[tuple[str, str, float]]:
        """Pairs of bodies that overlap at driven joints (Jd,), with the depth in metres; neighbours left out."""
        import mujoco

        solid = self.model.geom_contype != 0
        self.model.geom_contype[solid] = self.model.geom_conaffinity[solid] = 1
        # MuJoCo's broad phase has its own copy of the masks, by body.
        self.model.body_contype[:] = self.model.body_conaffinity[:] = 1
        self.set(self._robot.expand(driven))
        mujoco.mj_collision(self.model, self.data)
        found = []
        for i in range(self.data.ncon):
            c = self.data.contact[i]
            a, b = (int(self.model.geom_bodyid[g]) for g in c.geom)
            if c.dist < 0.0 and (0 in (a, b) or not self._near(a, b)):
                found.append((self.model.body(a).name, self.model.body(b).name, -float(c.dist)))
        return found

    def _near(self, a: int, b: int) -> bool:
        """Whether two bodies are of one hand, or few joints apart."""
        names = {self.model.body(a).name, self.model.body(b).name}
        if any(names <= set(e.hand_bodies) for e in self._robot.end_effectors):
            return True
        up_a, up_b = self._ancestors(a), self._ancestors(b)
        apart = set(up_a) ^ set(up_b)
        return sum(int(self.model.body_jntnum[x]) for x in apart) <= NEIGHBOURS

    def _ancestors(self, body: int) -> list[int]:
        out = [body]
        while out[-1]:
            out.append(int(self.model.body_parentid[out[-1]]))
        return out

    # -- physics -----------------------------------------------------------------------------------------------------

    @property
    def qpos(self) -> Array:
        """(J,) joint positions."""
        return self.data.qpos[self._qadr].copy()

    @property
    def qvel(self) -> Array:
        """(J,) joint velocities."""
        return self.data.qvel[self._dadr].copy()

    def start(self, q: Array) -> None:
        """Begin a simulation at rest at joints (J,), commanded to stay there."""
        import mujoco

        mujoco.mj_resetData(self.model, self.data)
        self.set(q)
        self.data.ctrl[self._act] = q
        self.target = q[: len(self._robot.driven)].copy()

    def follow(self, robot: Embodiment, begin: Array, end: Array, *, seconds: float) -> None:
        """Simulate while the driven targets (Jd,) move linearly from ``begin`` to ``end``."""
        import mujoco

        steps = max(1, round(seconds / self.model.opt.timestep))
        a, b = robot.expand(begin), robot.expand(end)
        for k in range(1, steps + 1):
            self.data.ctrl[self._act] = a + (b - a) * (k / steps)
            mujoco.mj_step(self.model, self.data)
        self.target = np.asarray(end, float).copy()

    def hold(self, robot: Embodiment, effector: EndEffector, grasp: HandGrasp) -> float:
        """Close the hand on the free body without gravity, then apply gravity and shake.

        Gravity points down as it does when the hand is held the way the grasp says (its pitch and roll).

        Returns:
            metres that the body moved in the hand while gravity and shaking acted on it.
        """
        home = robot.home_targets()
        opened, closed = home.copy(), home.copy()
        for joint, a, b in zip(effector.hand_joints, grasp.open, grasp.close, strict=True):
            opened[robot.driven.index(joint)] = a
            closed[robot.driven.index(joint)] = b
        self.model.opt.gravity[:] = 0.0
        self.start(robot.expand(opened))
        at, turn = self.site(effector.site)
        tilt = quat_mul(quat_from_axis_angle((0, 1, 0), grasp.pitch), quat_from_axis_angle((1, 0, 0), -grasp.roll))
        world = turn @ matrix_from_quat(tilt).T  # the "world" in which the hand is held as the grasp says
        if effector.kind == "parallel_jaw":
            world = turn @ np.diag([1.0, -1.0, -1.0])
        body = self.data.joint("/held")
        body.qpos[:3] = at + turn @ np.array(grasp.center)
        body.qpos[3:7] = quat_from_matrix(world)
        self.follow(robot, opened, closed, seconds=0.6)
        self.follow(robot, closed, closed, seconds=0.3)
        before = self._held_in_hand(effector)
        worst = 0.0
        for shake in ((0, 0, -1), (0.3, 0, -1), (-0.3, 0, -1), (0, 0.3, -1), (0, -0.3, -1), (0, 0, -1.3)):
            self.model.opt.gravity[:] = world @ (np.array(shake) * GRAVITY)
            self.follow(robot, closed, closed, seconds=0.25)
            worst = max(worst, float(np.linalg.norm(self._held_in_hand(effector) - before)))
        return worst

    def _held_in_hand(self, effector: EndEffector) -> Array:
        at, turn = self.site(effector.site)
        return turn.T @ (self.data.body("/held").xpos - at)
