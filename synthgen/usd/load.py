"""A USD stage as a SceneSpec."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pxr import Usd, UsdGeom, UsdPhysics

from synthgen.core.errors import SceneError
from synthgen.core.pose import Array
from synthgen.core.scene import Body, Camera, Geom, SceneSpec
from synthgen.usd import joints, looks, mass, meaning, shapes, stage, views
from synthgen.usd.problems import Notes
from synthgen.usd.space import Placement, Space, tidy

EARTH = 9.81
"""m/s2: UsdPhysics' gravity when none is authored."""


def load_scene(path: str | Path) -> SceneSpec:
    """Read a stage.

    The frame of a body is that of its prim, without scale, turned so that z is the prim's local up axis (the stage's
    upAxis, or synthgen:object:upAxis). In a Z-up stage it is the prim's own frame.

    Raises:
        SceneError: no such file, not USD, damaged, a reference that does not resolve, or two things of one name.
    """
    file = Path(path).resolve()
    opened, problems = stage.open_stage(file)
    if problems:
        first, more = problems[0], len(problems) - 1
        raise SceneError(
            f"{file}: {first.path}: {first.message}" + (f" (and {more} more)" if more else ""), remedy=first.remedy
        )
    return _Loader(opened, file).spec()


@dataclass(kw_only=True, eq=False)
class _OpenBody:
    """A rigid body while its parts are gathered."""

    prim: Usd.Prim
    frame: Placement
    geoms: list[Geom]
    colliders: list[mass.Collider]


class _Loader:
    def __init__(self, opened: Usd.Stage, file: Path) -> None:
        self._stage = opened
        self._file = file
        self._notes = Notes()
        self._space = Space(opened)
        self._looks = looks.Looks(self._space, self._notes)
        self._shapes = shapes.Shapes(self._space, self._looks, self._notes)
        everything = Usd.PrimRange(opened.GetPseudoRoot(), Usd.TraverseInstanceProxies())
        self._prims = [p for p in everything if not p.IsPseudoRoot()]

    def spec(self) -> SceneSpec:
        """Gather everything, in stage order."""
        if not self._stage.GetDefaultPrim():
            self._notes.add(
                "no-default-prim",
                "",
                "the stage has no defaultPrim, so it cannot be referenced as a whole (Isaac Lab does)",
                "set defaultPrim in the root layer to the prim that holds the scene",
            )
        open_bodies = self._open_bodies()
        static, lights, cameras = [], [], []
        for prim in self._prims:
            owner = joints.owner_of(prim.GetPath(), open_bodies)
            body = open_bodies[owner] if owner is not None else None
            if prim.IsA(UsdGeom.Gprim):
                self._gprim(prim, body, static)
            elif prim.IsA(UsdGeom.PointInstancer):
                self._notes.add(
                    "instancer-skipped", prim.GetPath(), "a PointInstancer is not read", "use instanced references"
                )
            elif prim.HasAPI(UsdPhysics.CollisionAPI):
                self._notes.add(
                    "collider-not-gprim",
                    prim.GetPath(),
                    f"CollisionAPI on a {prim.GetTypeName() or 'typeless prim'} does nothing",
                    "apply it to the gprims below",
                )
            if views.is_light(prim) and (light := views.light(prim, self._space, self._notes)) is not None:
                lights.append(light)
            if prim.IsA(UsdGeom.Camera):
                frame = body.frame if body is not None else None
                cameras.append(views.camera(prim, owner, frame, self._space, self._notes))
        self._filtering()
        self._cameras(cameras)
        bodies = {p: self._body(p, b) for p, b in open_bodies.items()}
        joint_prims = [p for p in self._prims if p.IsA(UsdPhysics.Joint)]
        joint_specs = joints.read(joint_prims, bodies, self._space, self._notes)
        meant = meaning.read(self._prims, bodies, self._space, self._notes)
        drawn = [file for look in meant.looks for file in look.textures.values()]
        return SceneSpec(
            source=self._file,
            digest=stage.digest(self._file, [*self._looks.textures, *drawn]),
            gravity=self._gravity(),
            bodies=bodies,
            joints=joint_specs,
            static_geoms=tuple(static),
            materials=self._looks.materials(),
            lights=tuple(lights),
            cameras=tuple(cameras),
            objects=meant.objects,
            regions=meant.regions,
            receptacles=meant.receptacles,
            slots=meant.slots,
            mounts=meant.mounts,
            looks=meant.looks,
            warnings=self._notes.all(),
        )

    def _open_bodies(self) -> dict[str, _OpenBody]:
        found: dict[str, _OpenBody] = {}
        for prim in self._prims:
            if not prim.HasAPI(UsdPhysics.RigidBodyAPI):
                continue
            api = UsdPhysics.RigidBodyAPI(prim)
            if api.GetRigidBodyEnabledAttr().Get() is False:
                continue
            above = joints.owner_of(prim.GetPath().GetParentPath(), found)
            if above is not None and not UsdGeom.Xformable(prim).GetResetXformStack():
                self._notes.add(
                    "nested-body",
                    prim.GetPath(),
                    f"a rigid body below the rigid body {above}; they move independently",
                    "put it beside the other body, or leave out one RigidBodyAPI",
                )
            for attribute in (api.GetVelocityAttr(), api.GetAngularVelocityAttr()):
                if np.any(np.array(attribute.Get(), float)):
                    self._notes.add(
                        "velocity-ignored", prim.GetPath(), "episodes start at rest", "set the velocity to 0"
                    )
            frame = self._space.of(prim).standing(meaning.up_axis(prim, self._space))
            found[str(prim.GetPath())] = _OpenBody(prim=prim, frame=frame, geoms=[], colliders=[])
        return found

    def _gprim(self, prim: Usd.Prim, body: _OpenBody | None, static: list[Geom]) -> None:
        dynamic = body is not None and not _kinematic(body.prim)
        for geom in self._shapes.read(prim, body.frame if body is not None else None, dynamic):
            if body is None:
                static.append(geom)
                continue
            body.geoms.append(geom)
            unit = mass.unit_properties(geom) if geom.collides else None
            if unit is not None:
                body.colliders.append(mass.Collider(prim=prim, geom=geom, unit=unit))

    def _body(self, path: str, body: _OpenBody) -> Body:
        found = mass.of_body(body.prim, body.frame, body.colliders, self._space, self._notes)
        moments, axes = mass.principal(found.inertia)
        low, middle, high = np.sort(moments)
        if low <= 0 or low + middle < high * (1 - 1e-4):
            self._notes.add(
                "inertia-impossible",
                path,
                f"no solid has the principal moments {low:.3g}, {middle:.3g}, {high:.3g} kg m2",
                "mend physics:diagonalInertia, or leave it out to have it worked out from the colliders",
            )
        return Body(
            path=path,
            pose=tidy(body.frame.pose),
            mass=found.mass,
            center_of_mass=_clean(found.center),
            inertia=moments,
            inertia_frame=axes,
            kinematic=_kinematic(body.prim),
            geoms=tuple(body.geoms),
        )

    def _gravity(self) -> Array:
        scenes = [p for p in self._prims if p.IsA(UsdPhysics.Scene)]
        if len(scenes) > 1:
            self._notes.add(
                "several-physics-scenes",
                scenes[1].GetPath(),
                f"{scenes[0].GetPath()} is used, further physics scenes are not",
                "keep one PhysicsScene",
            )
        direction, size = np.zeros(3), EARTH
        if scenes:
            api = UsdPhysics.Scene(scenes[0])
            direction = np.array(api.GetGravityDirectionAttr().Get(), float)
            authored = float(api.GetGravityMagnitudeAttr().Get())
            size = authored * self._space.meters if np.isfinite(authored) and authored >= 0 else EARTH
        if not direction.any():
            return np.array([0.0, 0.0, -size])
        return _clean(self._space.direction(direction / np.linalg.norm(direction)) * size)

    def _cameras(self, cameras: list[Camera]) -> None:
        for name, count in Counter(c.name for c in cameras).items():
            if count > 1:
                paths = [c.path for c in cameras if c.name == name]
                self._notes.add(
                    "camera-duplicate",
                    paths[1],
                    f"{' and '.join(paths)} are all called {name!r}",
                    "give each camera its own synthgen:camera:name",
                )

    def _filtering(self) -> None:
        for prim in self._prims:
            if prim.IsA(UsdPhysics.CollisionGroup) and _filters(prim):
                self._notes.add(
                    "collision-group-ignored",
                    prim.GetPath(),
                    "the groups it filters do collide",
                    "switch off collisionEnabled where nothing may touch",
                )
            if prim.HasAPI(UsdPhysics.FilteredPairsAPI) and _filters_pairs(prim):
                self._notes.add(
                    "filtered-pairs-ignored",
                    prim.GetPath(),
                    "the pairs it filters do collide",
                    "switch off collisionEnabled where nothing may touch",
                )


def _filters(prim: Usd.Prim) -> bool:
    return bool(UsdPhysics.CollisionGroup(prim).GetFilteredGroupsRel().GetForwardedTargets())


def _filters_pairs(prim: Usd.Prim) -> bool:
    return bool(UsdPhysics.FilteredPairsAPI(prim).GetFilteredPairsRel().GetForwardedTargets())


def _kinematic(prim: Usd.Prim) -> bool:
    return bool(UsdPhysics.RigidBodyAPI(prim).GetKinematicEnabledAttr().Get())


def _clean(v: Array) -> Array:
    return np.where(np.abs(v) < 1e-12, 0.0, v)
