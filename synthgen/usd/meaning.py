"""What the stage means to synthgen: objects, regions, receptacles, slots, mounts and randomization."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from pxr import Usd, UsdGeom, UsdShade

from synthgen.core.errors import SceneError
from synthgen.core.pose import Pose, quat_rotate
from synthgen.core.scene import (
    Body,
    LookRange,
    Mount,
    ObjectProp,
    ObjectSlot,
    Range,
    Receptacle,
    SpawnRegion,
)
from synthgen.usd import bounds, hulls, schemas, stage, views
from synthgen.usd.grasp_shape import ObjectShape, shape_of
from synthgen.usd.joints import owner_of
from synthgen.usd.problems import Notes
from synthgen.usd.space import Placement, Space, tidy
from synthgen.usd.values import Values


@dataclass(frozen=True, kw_only=True, eq=False)
class Meaning:
    """Everything the ``synthgen:`` schemas of a stage say."""

    objects: Mapping[str, ObjectProp]
    regions: Mapping[str, SpawnRegion]
    receptacles: Mapping[str, Receptacle]
    slots: tuple[ObjectSlot, ...]
    mounts: tuple[Mount, ...]
    looks: tuple[LookRange, ...]


def up_axis(prim: Usd.Prim, space: Space) -> str:
    """The local axis ("X", "Y" or "Z") that points up when a body stands as it should."""
    if schemas.applied(prim, schemas.OBJECT):
        chosen = str(schemas.value(prim, schemas.OBJECT, "synthgen:object:upAxis"))
        return chosen if chosen in ("X", "Y", "Z") else space.up
    if schemas.applied(prim, schemas.RECEPTACLE):
        return space.of(prim).upward()
    return space.up


def read(prims: list[Usd.Prim], bodies: Mapping[str, Body], space: Space, notes: Notes) -> Meaning:
    """Read every prim that has a synthgen schema. ``prims``: all prims of the stage, in order.

    Raises:
        SceneError: two objects, receptacles, regions or slots have the same name.
    """
    reader = _Reader(bodies, space, notes)
    objects = reader.named(prims, schemas.OBJECT, reader.object)
    regions = reader.named(prims, schemas.SPAWN_REGION, reader.region)
    receptacles = reader.named(prims, schemas.RECEPTACLE, reader.receptacle)
    reader.objects, reader.regions, reader.receptacles = objects, regions, receptacles
    slots = reader.named(prims, schemas.SLOT, reader.slot)
    mounts = reader.named(prims, schemas.MOUNT, reader.mount)
    looks = [reader.look(p) for p in prims if schemas.applied(p, schemas.RANDOMIZE)]
    return Meaning(
        objects={k: v for k, (_, v) in objects.items()},
        regions={k: v for k, (_, v) in regions.items()},
        receptacles={k: v for k, (_, v) in receptacles.items()},
        slots=tuple(v for _, v in slots.values()),
        mounts=tuple(v for _, v in mounts.values()),
        looks=tuple(x for x in looks if x is not None),
    )


class _Reader:
    objects: dict[str, tuple[Usd.Prim, ObjectProp]]
    regions: dict[str, tuple[Usd.Prim, SpawnRegion]]
    receptacles: dict[str, tuple[Usd.Prim, Receptacle]]

    def __init__(self, bodies: Mapping[str, Body], space: Space, notes: Notes) -> None:
        self._bodies = bodies
        self._space = space
        self._notes = notes

    def named(self, prims: list[Usd.Prim], schema: str, read: Any) -> dict[str, tuple[Usd.Prim, Any]]:
        """Name -> (prim, what ``read`` makes of it) for every prim with the schema.

        Raises:
            SceneError: a name comes twice.
        """
        found: dict[str, tuple[Usd.Prim, Any]] = {}
        for prim in prims:
            if not schemas.applied(prim, schema):
                continue
            name = prim.GetName()
            if name in found:
                raise SceneError(
                    f"{prim.GetPath()} and {found[name][0].GetPath()}: two prims with {schema} are called {name!r}",
                    remedy="rename one: synthgen calls them by the last element of the path",
                )
            thing = read(prim)
            if thing is not None:
                found[name] = (prim, thing)
        return found

    def object(self, prim: Usd.Prim) -> ObjectProp | None:
        path, get = str(prim.GetPath()), Values(prim, schemas.OBJECT, "synthgen:object", self._notes)
        body = self._bodies.get(path)
        if body is None:
            self._notes.add(
                "object-not-body",
                path,
                "SynthgenObjectAPI on a prim that is no enabled rigid body",
                "apply PhysicsRigidBodyAPI to the prim",
            )
            return None
        found = bounds.box(body.geoms)
        if found is None:
            self._notes.add(
                "object-without-collider",
                path,
                "the object has no collider: a hand could not hold it",
                "apply PhysicsCollisionAPI to a gprim below it",
            )
            return None
        extents, center = found[1] - found[0], (found[0] + found[1]) / 2
        self._lies(body)
        noun = get.text("noun")
        shape = cast(ObjectShape, get.token("shape"))
        jitter = get.number("colorJitter", 0.0, 1.0)
        drawn = {g.material or g.color for g in body.geoms if g.visible}
        if jitter > 0 and len(drawn) > 1:
            self._notes.add(
                "object-color-flattened",
                path,
                "colorJitter gives all its visible geoms one colour, but they have several",
                "leave colorJitter at 0, or apply SynthgenRandomizeAPI to its materials",
            )
        return ObjectProp(
            name=prim.GetName(),
            body=path,
            shape=shape_of(body.geoms, extents) if shape not in ("box", "cylinder", "sphere", "other") else shape,
            extents=extents,
            center=center,
            noun=noun,
            attributes=schemas.words(prim, "synthgen:object"),
            mass_scale=get.range("massScale", 1e-6, np.inf),
            friction_scale=get.range("frictionScale", 0.0, np.inf),
            color_jitter=jitter,
        )

    def _lies(self, body: Body) -> None:
        if quat_rotate(body.pose.orientation, [0.0, 0.0, 1.0])[2] < 0.9:
            self._notes.add(
                "object-lies",
                body.path,
                "the object's up axis does not point up where it stands in the stage; it will be placed upright",
                "set synthgen:object:upAxis to the local axis that points up, or stand it up",
            )

    def region(self, prim: Usd.Prim) -> SpawnRegion | None:
        path, get = str(prim.GetPath()), Values(prim, schemas.SPAWN_REGION, "synthgen:spawnRegion", self._notes)
        frame = self._standing(prim)
        if not self._level(frame, path, "region-tilted", "the region"):
            return None
        size = get.pair("size")
        yaw = get.range("yaw", -360.0, 360.0)
        if not self._positive(size, path, "synthgen:spawnRegion:size"):
            return None
        return SpawnRegion(
            name=prim.GetName(),
            path=path,
            pose=tidy(frame.pose),
            half_extents=self._flat(frame, size),
            yaw=Range(low=float(np.radians(yaw.low)), high=float(np.radians(yaw.high))),
            clearance=get.number("clearance", 0.0, np.inf) * float(frame.own_scale[:2].mean()),
        )

    def receptacle(self, prim: Usd.Prim) -> Receptacle | None:
        path, get = str(prim.GetPath()), Values(prim, schemas.RECEPTACLE, "synthgen:receptacle", self._notes)
        frame, size = self._standing(prim), get.pair("size")
        if not self._positive(size, path, "synthgen:receptacle:size"):
            return None
        if not self._level(frame, path, "receptacle-tilted", "the receptacle"):
            return None
        owner = owner_of(prim.GetPath(), self._bodies)
        floor = Pose(position=frame.point(get.raw("center")), orientation=frame.pose.orientation)
        if owner is not None:
            floor = self._bodies[owner].pose.inverse() @ floor
        return Receptacle(
            name=prim.GetName(),
            path=path,
            body=owner,
            pose=tidy(floor),
            half_extents=self._flat(frame, size),
            height=get.number("height", 0.0, np.inf) * float(frame.own_scale[2]),
            round=bool(get.raw("round")),
            noun=get.text("noun"),
            attributes=schemas.words(prim, "synthgen:receptacle"),
            preposition=get.token("preposition"),
        )

    def slot(self, prim: Usd.Prim) -> ObjectSlot | None:
        path, get = str(prim.GetPath()), Values(prim, schemas.SLOT, "synthgen:slot", self._notes)
        role = get.token("role")
        wanted, schema = (
            (self.receptacles, schemas.RECEPTACLE) if role == "receptacle" else (self.objects, schemas.OBJECT)
        )
        candidates = self._names(path, prim, "candidates", wanted, schema)
        regions = self._names(path, prim, "regions", self.regions, schemas.SPAWN_REGION)
        if not candidates:
            self._notes.add("slot-invalid", path, "the slot has no usable candidate", "author synthgen:slot:candidates")
        return ObjectSlot(
            name=prim.GetName(),
            role=cast(Any, role),
            candidates=candidates,
            regions=regions,
            probability=get.number("probability", 0.0, 1.0),
        )

    def mount(self, prim: Usd.Prim) -> Mount | None:
        frame = self._standing(prim)
        if not self._level(frame, str(prim.GetPath()), "mount-tilted", "the mount"):
            return None
        return Mount(name=prim.GetName(), path=str(prim.GetPath()), pose=tidy(frame.pose))

    def look(self, prim: Usd.Prim) -> LookRange | None:
        path, get = str(prim.GetPath()), Values(prim, schemas.RANDOMIZE, "synthgen:randomize", self._notes)
        lit, seen = views.is_light(prim), prim.IsA(UsdGeom.Camera)
        if not lit and not seen and not prim.IsA(UsdShade.Material):
            self._notes.add(
                "randomize-nothing",
                path,
                "SynthgenRandomizeAPI on a prim that is neither light, camera nor material does nothing",
                "apply it to a light, a camera or a material",
            )
            return None
        temperature = get.range("temperature", 0.0, 10000.0)
        yaw = get.range("yaw", -360.0, 360.0) if lit else Range(low=0.0, high=0.0)
        above = prim.GetParent()
        unit = float(self._space.of(above).scale.mean()) if above and not above.IsPseudoRoot() else self._space.meters
        return LookRange(
            path=path,
            intensity_scale=get.range("intensityScale", 0.0, np.inf) if lit else Range(low=1.0, high=1.0),
            temperature=temperature if lit and temperature.high > 0 else None,
            direction_jitter=float(np.radians(get.number("directionJitter", 0.0, 180.0))) if lit or seen else 0.0,
            position_jitter=get.number("positionJitter", 0.0, np.inf) * unit if lit or seen else 0.0,
            color_jitter=0.0 if seen else get.number("colorJitter", 0.0, 1.0),
            yaw=Range(low=float(np.radians(yaw.low)), high=float(np.radians(yaw.high))),
            textures={}
            if seen
            else self._textures(prim, path, dome="Dome" in str(prim.GetTypeName()) if lit else None),
        )

    def _textures(self, prim: Usd.Prim, path: str, *, dome: bool | None) -> Mapping[str, Path]:
        """Images to draw from, by authored name. ``dome``: None for a material."""
        name = "synthgen:randomize:textures"
        found: dict[str, Path] = {}
        for asset in schemas.value(prim, schemas.RANDOMIZE, name) or ():
            if dome is False:
                self._notes.add(
                    "randomize-nothing", path, f"{name} on a light that is no dome does nothing", "take it away"
                )
                break
            if not asset.resolvedPath:
                self._notes.add(
                    "missing-texture",
                    path,
                    f"texture {asset.path} of {name} is not there",
                    "put the file where the path points, or mend the path",
                )
                continue
            found[str(asset.path)] = stage.unpacked(str(asset.resolvedPath), hulls.cache_root())
        return found

    def _names(self, path: str, prim: Usd.Prim, kind: str, known: Mapping[str, Any], schema: str) -> tuple[str, ...]:
        by_path = {p.GetPath(): name for name, (p, _) in known.items()}
        names: list[str] = []
        for target in schemas.targets(prim, f"synthgen:slot:{kind}"):
            if target in by_path:
                names.append(by_path[target])
                continue
            there = prim.GetStage().GetPrimAtPath(target)
            why = f"which has no usable {schema}" if there else "which does not exist"
            self._notes.add(
                "slot-invalid",
                f"{path}.synthgen:slot:{kind}[{target}]",
                f"{path}: synthgen:slot:{kind} names {target}, {why}",
                f"apply {schema} to {target}, or take it out of the slot" if there else "mend the path",
            )
        return tuple(names)

    def _standing(self, prim: Usd.Prim) -> Placement:
        """The prim's frame with z along the local axis that points up: the other one in a Y-up prop, for example."""
        placement = self._space.of(prim)
        return placement.standing(placement.upward())

    def _level(self, frame: Placement, path: str, code: str, what: str) -> bool:
        if quat_rotate(frame.pose.orientation, [0.0, 0.0, 1.0])[2] > 0.999:
            return True
        self._notes.add(
            code, path, f"{what} is not level: its local up axis does not point up", "turn the prim upright"
        )
        return False

    def _positive(self, size: tuple[float, float], path: str, name: str) -> bool:
        if min(size) > 0:
            return True
        self._notes.add("value-invalid", path, f"{name} is {size}; both must be positive", f"author {name}")
        return False

    def _flat(self, frame: Placement, size: tuple[float, float]) -> tuple[float, float]:
        half = 0.5 * np.array(size) * frame.own_scale[:2]
        return (float(half[0]), float(half[1]))
