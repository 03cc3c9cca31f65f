"""SceneSpec -> MjSpec: bodies, joints and the geoms that collide.

Choices that decide how the physics feels (measured for grasps that hold by friction alone):

- Contacts: condim 4, friction 1 / 0.02 / 1e-4 unless the scene says otherwise, solref 0.008 1, solimp .95 .99 .001.
- MuJoCo takes the larger of two geoms' friction. The geoms of movable bodies have priority 1, so their own friction
  prevails over the table's and the hand's: what the scene authors and the sample scales is what acts.
- Of static and dynamic friction MuJoCo keeps one: the static one where it is authored. Restitution has no equivalent.
- Contact bits: the scene is contype 1, conaffinity 3; robots are contype 2, conaffinity 1 (see ``robot``).
"""

from __future__ import annotations

from collections.abc import Callable

import mujoco
import numpy as np

from synthgen.core.errors import SceneError
from synthgen.core.pose import Pose, quat_rotate
from synthgen.core.scene import Body, Geom, Joint, Mesh, SceneSpec

CONDIM = 4
FRICTION = (1.0, 0.02, 1e-4)
SOLREF = (0.008, 1.0)
SOLIMP = (0.95, 0.99, 0.001, 0.5, 2.0)
SCENE_CONTYPE, SCENE_CONAFFINITY = 1, 3

_TYPES = {
    "box": mujoco.mjtGeom.mjGEOM_BOX,
    "sphere": mujoco.mjtGeom.mjGEOM_SPHERE,
    "capsule": mujoco.mjtGeom.mjGEOM_CAPSULE,
    "cylinder": mujoco.mjtGeom.mjGEOM_CYLINDER,
    "ellipsoid": mujoco.mjtGeom.mjGEOM_ELLIPSOID,
    "plane": mujoco.mjtGeom.mjGEOM_PLANE,
    "mesh": mujoco.mjtGeom.mjGEOM_MESH,
}
AddGeom = Callable[["SceneBuilder", mujoco.MjsBody, Geom], None]


class SceneBuilder:
    """Makes an ``MjSpec`` of a scene. ``add_geom(builder, body, geom)`` decides what a gprim becomes.

    Everything is named by its prim path without the leading slash (see ``local_name``), which the attachment to the
    robot's spec puts back. A body that no joint moves and that hangs on the world is a mocap body, so
    that a sample can place it; a free body's joint is called ``<path>#free``.
    """

    def __init__(self, scene: SceneSpec, add_geom: AddGeom) -> None:
        self.spec = mujoco.MjSpec()
        self.spec.compiler.degree = False
        self.scene = scene
        self._add_geom = add_geom
        self._meshes: set[str] = set()

    def build(self) -> mujoco.MjSpec:
        """Add everything.

        Raises:
            SceneError: joints that do not form a tree.
        """
        bodies: dict[str, mujoco.MjsBody] = {}
        joint_of = self._joints_by_child()
        for path in self._parents_first(joint_of):
            bodies[path] = self._add_body(self.scene.bodies[path], joint_of.get(path), bodies)
        # What stands around is drawn in this order, and a software renderer pays for every pixel that something nearer
        # covers later: small things usually stand before large ones (a table before the walls).
        for geom in sorted(self.scene.static_geoms, key=_extent):
            self._add_geom(self, self.spec.worldbody, geom)
        return self.spec

    def mesh(self, mesh: Mesh, *, collision: bool) -> str:
        """Name of the MuJoCo mesh asset for ``mesh``, added on first use. Collision meshes count as convex."""
        name = f"{local_name(mesh.key)}#{'hull' if collision else 'visual'}"
        if name not in self._meshes:
            self._meshes.add(name)
            add_mesh(self.spec, name, mesh, collision=collision)
        return name

    def _joints_by_child(self) -> dict[str, Joint]:
        joint_of: dict[str, Joint] = {}
        for joint in self.scene.joints:
            other = joint_of.get(joint.child)
            if other is not None or self.scene.bodies[joint.child].kinematic:
                why = f"already moved by {other.path}" if other else "kinematic"
                raise SceneError(
                    f"{self.scene.source}: joint {joint.path}: its body {joint.child} is {why}; "
                    "bodies and joints must form a tree",
                    remedy="remove one of the joints or make the body dynamic",
                )
            joint_of[joint.child] = joint
        return joint_of

    def _parents_first(self, joint_of: dict[str, Joint]) -> list[str]:
        """Body paths in stage order, each after the body that carries it."""
        order: list[str] = []

        def visit(path: str, trail: tuple[str, ...]) -> None:
            if path in trail:
                raise SceneError(
                    f"{self.scene.source}: joints form a loop: {' -> '.join((*trail, path))}",
                    remedy="let every body have one parent",
                )
            if path in order:
                return
            joint = joint_of.get(path)
            if joint is not None and joint.parent is not None:
                visit(joint.parent, (*trail, path))
            order.append(path)

        for path in self.scene.bodies:
            visit(path, ())
        return order

    def _add_body(self, body: Body, joint: Joint | None, bodies: dict[str, mujoco.MjsBody]) -> mujoco.MjsBody:
        parent = self.spec.worldbody if joint is None or joint.parent is None else bodies[joint.parent]
        # With a joint, the body's own frame is where it stands at joint coordinate 0.
        pose = body.pose if joint is None else joint.frame_in_parent @ joint.frame_in_child.inverse()
        added = parent.add_body(name=local_name(body.path), pos=pose.position, quat=pose.orientation)
        if joint is None and not body.kinematic:
            added.add_joint(name=f"{local_name(body.path)}#free", type=mujoco.mjtJoint.mjJNT_FREE)
        elif parent is self.spec.worldbody and (joint is None or joint.kind == "fixed"):
            added.mocap = True
        if joint is not None:
            self._add_joint(added, joint)
        if body.mass > 0:
            added.explicitinertial = True
            added.mass = body.mass
            added.ipos = body.center_of_mass
            added.iquat = body.inertia_frame
            added.inertia = body.inertia
        for geom in body.geoms:
            self._add_geom(self, added, geom)
        return added

    def _add_joint(self, body: mujoco.MjsBody, joint: Joint) -> None:
        # UsdPhysics: bodies connected by a joint do not collide with each other.
        if joint.parent is not None:
            pair = {"bodyname1": local_name(joint.parent), "bodyname2": local_name(joint.child)}
            self.spec.add_exclude(name=f"{local_name(joint.path)}#exclude", **pair)
        if joint.kind == "fixed":
            return
        added = body.add_joint(name=local_name(joint.path), pos=joint.frame_in_child.position)
        if joint.kind == "spherical":
            added.type = mujoco.mjtJoint.mjJNT_BALL
        else:
            hinge = joint.kind == "revolute"
            added.type = mujoco.mjtJoint.mjJNT_HINGE if hinge else mujoco.mjtJoint.mjJNT_SLIDE
            added.axis = quat_rotate(joint.frame_in_child.orientation, joint.axis)
            if joint.lower is not None or joint.upper is not None:
                added.limited = mujoco.mjtLimited.mjLIMITED_TRUE
                far = 1e3  # one-sided limits: the other side is out of reach
                added.range = [
                    -far if joint.lower is None else joint.lower,
                    far if joint.upper is None else joint.upper,
                ]
        added.frictionloss = joint.friction
        drive = joint.drive
        if drive is None or joint.kind == "spherical":
            return
        if drive.max_force is None or not np.isfinite(drive.max_force):
            added.stiffness[0] = drive.stiffness
            added.damping[0] = drive.damping
            added.springref = drive.target
            return
        # A limited force needs an actuator; its control stands at the drive's target.
        name = local_name(joint.path)
        actuator = self.spec.add_actuator(name=name, target=name, trntype=mujoco.mjtTrn.mjTRN_JOINT)
        actuator.gaintype = mujoco.mjtGain.mjGAIN_FIXED
        actuator.biastype = mujoco.mjtBias.mjBIAS_AFFINE
        actuator.gainprm[0] = drive.stiffness
        actuator.biasprm[:3] = [0.0, -drive.stiffness, -drive.damping]
        actuator.forcelimited = mujoco.mjtLimited.mjLIMITED_TRUE
        actuator.forcerange = [-drive.max_force, drive.max_force]


def local_name(path: str) -> str:
    """A prim path without its leading slash."""
    return path.removeprefix("/")


def add_mesh(spec: mujoco.MjSpec, name: str, mesh: Mesh, *, collision: bool) -> None:
    """Add a mesh asset with the vertices as they are (texture coordinates flipped to MuJoCo's v down)."""
    vertices = np.asarray(mesh.vertices, np.float64)
    if len(vertices) < 4:  # MuJoCo refuses fewer
        vertices = np.concatenate([vertices, np.repeat(vertices[-1:], 4 - len(vertices), axis=0)])
    added = spec.add_mesh(name=name)
    added.uservert = vertices.ravel()
    added.userface = np.asarray(mesh.triangles, np.int32).ravel()
    # A hull's volume may be thin and a visual mesh open: never let the inertia of a mesh decide whether it compiles.
    kind = mujoco.mjtMeshInertia
    added.inertia = kind.mjMESH_INERTIA_CONVEX if collision else kind.mjMESH_INERTIA_SHELL
    if not collision and mesh.texcoords is not None and mesh.texcoord_triangles is not None:
        uv = np.asarray(mesh.texcoords, np.float64) * [1.0, -1.0] + [0.0, 1.0]
        added.usertexcoord = uv.ravel()
        added.userfacetexcoord = np.asarray(mesh.texcoord_triangles, np.int32).ravel()


def shape_arguments(geom: Geom) -> dict[str, object]:
    """Type, size and pose of a geom, as keyword arguments of ``MjsBody.add_geom`` (mesh name left out)."""
    size = np.zeros(3)
    size[: len(geom.size)] = geom.size
    if geom.kind == "plane":
        size[2] = 0.05  # spacing of the grid, must be positive
    return {
        "type": _TYPES[geom.kind],
        "size": size,
        "pos": geom.pose.position,
        "quat": geom.pose.orientation,
    }


def _extent(geom: Geom) -> float:
    """How large a geom is, in metres, for sorting; infinite for planes."""
    if geom.kind == "plane":
        return np.inf
    if geom.mesh is not None:
        return float(np.ptp(geom.mesh.vertices, axis=0).max())
    return 2 * float(max(geom.size))


def sliding_friction(geom: Geom) -> float:
    """Coefficient of sliding friction: static, else dynamic, else the default."""
    for value in (geom.surface.static_friction, geom.surface.dynamic_friction):
        if value is not None:
            return value
    return FRICTION[0]


def add_collider(builder: SceneBuilder, body: mujoco.MjsBody, geom: Geom) -> None:
    """What a gprim is to the physics: nothing, one geom, or one per convex piece (``<path>``, ``<path>#1`` ...)."""
    if not geom.collides:
        return
    arguments = shape_arguments(geom) | {
        "contype": SCENE_CONTYPE,
        "conaffinity": SCENE_CONAFFINITY,
        "condim": CONDIM,
        "friction": [sliding_friction(geom), *FRICTION[1:]],
        "solref": SOLREF,
        "solimp": SOLIMP,
        "group": 3,
        "priority": 0 if body.name == "world" or body.mocap else 1,
        "density": 0.0,  # the body's inertia is explicit
    }
    if geom.kind != "mesh":
        body.add_geom(name=local_name(geom.path), **arguments)
        return
    if not geom.hulls:
        raise SceneError(
            f"{geom.path}: a mesh collider without convex pieces", remedy="give it a collision approximation"
        )
    for i, hull in enumerate(geom.hulls):
        name = local_name(geom.path) + (f"#{i}" if i else "")
        body.add_geom(name=name, meshname=builder.mesh(hull, collision=True), **arguments)


def mount_pose(scene: SceneSpec) -> Pose:
    """The pose of the scene's (first) mount.

    Raises:
        SceneError: the scene has none.
    """
    if not scene.mounts:
        raise SceneError(
            f"{scene.source}: no mount, so a robot has nowhere to stand",
            remedy="apply SynthgenMountAPI to an Xform at the near edge of the work surface",
        )
    return scene.mounts[0].pose
