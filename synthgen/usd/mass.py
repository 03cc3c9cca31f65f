"""Mass properties from wherever USD may put them.

The rules are those of UsdPhysics' MassAPI: a mass wins over a density; a parent's mass wins over its children's; a
child's density wins over its parents'; the density of a physics material is the weakest; 1000 kg/m3 if nothing is said.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pxr import Usd, UsdPhysics

from synthgen.core.pose import Array, matrix_from_quat, quat_from_matrix
from synthgen.core.scene import Geom
from synthgen.usd import mesh
from synthgen.usd.problems import Notes
from synthgen.usd.space import Placement, Space

WATER = 1000.0
"""kg/m3: UsdPhysics' density when none is authored."""


@dataclass(frozen=True, kw_only=True, eq=False)
class MassProperties:
    """Mass (kg), centre of mass (3,) and inertia (3, 3) about it (kg m2), in one frame."""

    mass: float
    center: Array
    inertia: Array

    def scaled(self, factor: float) -> MassProperties:
        """The same shape, ``factor`` times as heavy."""
        return MassProperties(mass=self.mass * factor, center=self.center, inertia=self.inertia * factor)


@dataclass(frozen=True, kw_only=True, eq=False)
class Authored:
    """What one prim's MassAPI says, in SI, in the frame given to ``authored``; None where it says nothing."""

    mass: float | None = None
    density: float | None = None
    center: Array | None = None
    inertia: Array | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Collider:
    """A collider of a body: its prim, its geom, and its mass properties at 1 kg/m3, geom frame (mass = volume)."""

    prim: Usd.Prim
    geom: Geom
    unit: MassProperties


def authored(prim: Usd.Prim, space: Space, frame: Placement) -> Authored:
    """Read MassAPI. ``frame``: the prim's placement in whose frame the centre and the inertia are wanted.

    Without a mass of its own a prim's inertia cannot be scaled; it is taken as it stands.
    """
    if not prim.HasAPI(UsdPhysics.MassAPI):
        return Authored()
    api = UsdPhysics.MassAPI(prim)
    mass = float(api.GetMassAttr().Get() or 0.0) * space.kilograms
    density = float(api.GetDensityAttr().Get() or 0.0) * space.density
    center = np.array(api.GetCenterOfMassAttr().Get(), float)
    diagonal = np.array(api.GetDiagonalInertiaAttr().Get(), float) * space.kilograms * space.meters**2
    axes = api.GetPrincipalAxesAttr().Get()
    quat = np.array([axes.GetReal(), *axes.GetImaginary()], float)
    turn = _turn_of(space, frame)
    rotation = turn @ matrix_from_quat(quat / np.linalg.norm(quat)) if np.linalg.norm(quat) > 0 else turn
    return Authored(
        mass=mass if mass > 0 else None,
        density=density if density > 0 else None,
        center=frame.linear @ center if np.isfinite(center).all() else None,
        inertia=rotation @ np.diag(diagonal) @ rotation.T if (diagonal > 0).all() else None,
    )


def unit_properties(geom: Geom) -> MassProperties | None:
    """Mass properties of a collider at 1 kg/m3, in the geom's frame; None for what has no volume (a plane)."""
    z = np.zeros(3)
    if geom.kind == "mesh":
        return _sum([solid(h.vertices, h.triangles) for h in geom.hulls]) if geom.hulls else None
    if geom.kind == "box":
        volume = 8.0 * float(np.prod(geom.size))
        return MassProperties(mass=volume, center=z, inertia=_diagonal(volume / 3.0, np.square(geom.size)))
    if geom.kind in ("sphere", "ellipsoid"):
        axes = np.array(geom.size if geom.kind == "ellipsoid" else geom.size * 3)
        volume = 4.0 / 3.0 * np.pi * float(np.prod(axes))
        return MassProperties(mass=volume, center=z, inertia=_diagonal(volume / 5.0, axes**2))
    if geom.kind == "cylinder":
        r, h = geom.size
        volume = 2.0 * np.pi * r * r * h
        return MassProperties(
            mass=volume, center=z, inertia=_diagonal(volume, np.array([r * r / 4, r * r / 4, h * h / 3]))
        )
    if geom.kind == "capsule":
        r, h = geom.size
        tube, caps = 2.0 * np.pi * r * r * h, 4.0 / 3.0 * np.pi * r**3
        along = r * r * (tube / 2 + caps * 2 / 5)
        across = tube * (r * r / 4 + h * h / 3) + caps * (2 * r * r / 5 + h * h + 3 * h * r / 4)
        return MassProperties(mass=tube + caps, center=z, inertia=np.diag([across, across, along]))
    return None


def solid(vertices: Array, triangles: mesh.Ints) -> MassProperties:
    """Mass properties of a closed mesh at 1 kg/m3."""
    middle = vertices.mean(0)  # better conditioned than the origin
    volume, first, second = mesh.integrals(vertices - middle, triangles)
    offset = first / volume
    second = second - volume * np.outer(offset, offset)
    return MassProperties(mass=volume, center=middle + offset, inertia=np.trace(second) * np.eye(3) - second)


def of_body(
    body: Usd.Prim, frame: Placement, colliders: Sequence[Collider], space: Space, notes: Notes
) -> MassProperties:
    """Mass properties of a rigid body in its frame.

    Args:
        body: prim with RigidBodyAPI.
        frame: its placement, as the scene's Body has it.
        colliders: its colliders; their geoms' poses are in the body's frame.
        space: units.
        notes: gets ``mass-default`` when nothing says how heavy the body is.
    """
    own = authored(body, space, frame)
    groups: dict[str, list[MassProperties]] = {}
    heavy: dict[str, float] = {}
    for c in colliders:
        parts = _of_collider(c, body, frame, space)
        holder = _mass_above(c.prim, body)
        name = str(holder.GetPath()) if holder else str(c.prim.GetPath())
        groups.setdefault(name, []).append(parts)
        if holder:
            heavy[name] = float(UsdPhysics.MassAPI(holder).GetMassAttr().Get()) * space.kilograms
    parts = [_sum(g).scaled(heavy[n] / sum(p.mass for p in g)) if n in heavy else _sum(g) for n, g in groups.items()]
    above = _mass_over(body, space, notes) if own.mass is None else None
    mass = own.mass or above
    if not parts:
        if mass is None:
            notes.add(
                "mass-default",
                body.GetPath(),
                "the body has neither a mass nor a collider; it weighs 1 kg",
                "apply PhysicsMassAPI and author physics:mass, or give it a collider",
            )
        mass = mass or 1.0
        total = MassProperties(mass=mass, center=np.zeros(3), inertia=0.4 * mass * 0.1**2 * np.eye(3))
    else:
        total = _sum(parts)
        total = total.scaled(mass / total.mass) if mass else total
    center = total.center if own.center is None else own.center
    moved = total.inertia
    if own.center is not None:
        moved = moved + total.mass * _parallel(own.center - total.center)
    return MassProperties(mass=total.mass, center=center, inertia=moved if own.inertia is None else own.inertia)


def principal(inertia: Array) -> tuple[Array, Array]:
    """Principal moments (3,) and the orientation (w, x, y, z) of their axes, of an inertia (3, 3).

    An inertia that is diagonal already keeps its axes; otherwise moments come in ascending order.
    """
    off = np.abs(inertia - np.diag(np.diag(inertia))).max()
    if off <= 1e-9 * np.abs(inertia).max():
        return np.diag(inertia).copy(), np.array([1.0, 0.0, 0.0, 0.0])
    moments, axes = np.linalg.eigh(inertia)
    if np.linalg.det(axes) < 0:
        axes[:, 2] *= -1
    return moments, quat_from_matrix(axes)


def density_of(prim: Usd.Prim, space: Space) -> float | None:
    """kg/m3 that MassAPI gives the prim: its own density or its nearest ancestor's; None when none does."""
    while prim and not prim.IsPseudoRoot():
        if prim.HasAPI(UsdPhysics.MassAPI) and (found := UsdPhysics.MassAPI(prim).GetDensityAttr().Get()):
            return float(found) * space.density if found > 0 else None
        prim = prim.GetParent()
    return None


def _of_collider(c: Collider, body: Usd.Prim, frame: Placement, space: Space) -> MassProperties:
    local_frame = space.of(c.prim)
    own = authored(c.prim, space, local_frame) if c.prim != body else Authored()
    density = density_of(c.prim, space) or c.geom.density or WATER
    mass = own.mass or c.unit.mass * density
    local = c.unit.scaled(mass / c.unit.mass)
    turn = matrix_from_quat(c.geom.pose.orientation)
    center, inertia = c.geom.pose.apply(local.center), turn @ local.inertia @ turn.T
    if own.center is not None or own.inertia is not None:
        # Authored in the collider prim's own frame, which the geom's frame differs from by its axis only.
        to_body = frame.pose.inverse() @ local_frame.pose
        raise_turn = matrix_from_quat(to_body.orientation)
        if own.center is not None:
            center = to_body.apply(own.center)
        if own.inertia is not None:
            inertia = raise_turn @ own.inertia @ raise_turn.T
    return MassProperties(mass=mass, center=center, inertia=inertia)


def _mass_above(prim: Usd.Prim, body: Usd.Prim) -> Usd.Prim | None:
    """The topmost prim strictly between a collider and its body that authors a mass."""
    found = None
    at = prim.GetParent()
    while prim != body and at and at != body:
        if at.HasAPI(UsdPhysics.MassAPI) and (UsdPhysics.MassAPI(at).GetMassAttr().Get() or 0) > 0:
            found = at
        at = at.GetParent()
    return found


def _mass_over(body: Usd.Prim, space: Space, notes: Notes) -> float | None:
    """Mass authored on an ancestor of the body, if it is the only body below that ancestor."""
    at, found = body.GetParent(), None
    while at and not at.IsPseudoRoot():
        if at.HasAPI(UsdPhysics.MassAPI) and (mass := UsdPhysics.MassAPI(at).GetMassAttr().Get() or 0) > 0:
            found = (at, float(mass) * space.kilograms)
        at = at.GetParent()
    if found is None:
        return None
    holder, mass = found
    below = Usd.PrimRange(holder, Usd.TraverseInstanceProxies())
    if sum(p.HasAPI(UsdPhysics.RigidBodyAPI) for p in below) > 1:
        notes.add(
            "mass-ambiguous",
            holder.GetPath(),
            "a mass is authored above several bodies; it is not used",
            "author the mass on each body",
        )
        return None
    return mass


def _turn_of(space: Space, frame: Placement) -> Array:
    """Rotation (3, 3) from a prim's own axes to those of ``frame`` (see Placement.standing)."""
    turned = frame.linear / np.linalg.norm(frame.linear, axis=0)
    return turned if np.allclose(turned.T @ turned, np.eye(3), atol=1e-6) else np.eye(3)


def _sum(parts: Sequence[MassProperties]) -> MassProperties:
    mass = sum(p.mass for p in parts)
    center = sum((p.mass * p.center for p in parts), np.zeros(3)) / mass
    inertia = sum((p.inertia + p.mass * _parallel(p.center - center) for p in parts), np.zeros((3, 3)))
    return MassProperties(mass=mass, center=center, inertia=inertia)


def _parallel(offset: Array) -> Array:
    """Steiner's term per unit of mass, (3, 3)."""
    return float(offset @ offset) * np.eye(3) - np.outer(offset, offset)


def _diagonal(factor: float, squares: Array) -> Array:
    """diag(factor (b + c), factor (a + c), factor (a + b)) of squared half lengths (3,)."""
    a, b, c = squares
    return np.diag([factor * (b + c), factor * (a + c), factor * (a + b)])
