"""One draw of a scene's randomization as explicit values. Pure numpy: no USD is open here.

Every number comes from one of the episode's streams: "layout" (slots and poses), "physics" (mass, friction), "visual"
(colours, lights, cameras), "appearance" (textures, a light's yaw and tint). What is drawn is noted by name, in the
order drawn.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from synthgen.core.pose import Array, Pose, quat_from_axis_angle, quat_mul
from synthgen.core.sample import BodySample, LightSample, Rgb, SceneSample
from synthgen.core.scene import Light, LookRange, ObjectProp, Range, SceneSpec
from synthgen.core.spec import EpisodeSpec
from synthgen.usd import blackbody, layout

PARKING = 10.0
"""Metres below the world's origin where absent bodies wait, one metre apart."""

Draws = dict[str, float | str]


@dataclass(frozen=True, kw_only=True)
class _Extra:
    """What "appearance" adds to a look: names a texture, turns a light (radians), tints it (per channel)."""

    texture: str | None = None
    yaw: float = 0.0
    tint: Rgb = (0.0, 0.0, 0.0)


def sample_scene(scene: SceneSpec, spec: EpisodeSpec) -> SceneSample:
    """Draw one episode's scene.

    Slots are filled with different things, placed in their regions without touching each other or what always stands
    there, resting on the surface. What is a candidate of a slot but fills none is inactive. The thing in a target or
    receptacle slot differs from everything else present in noun or in a word.

    Raises:
        EpisodeFailure: "placement", naming what could not be placed.
    """
    draws: Draws = {}
    laid = layout.draw(scene, spec.rng("layout"), draws)
    physics = _physics(scene, spec.rng("physics"), draws)
    visual = spec.rng("visual")
    colors = {
        o.body: _jittered(_color(scene, o), o.color_jitter, f"{o.name}.color", visual, draws) for o in _by_name(scene)
    }
    bodies: dict[str, BodySample] = {}
    for index, path in enumerate(_movable(scene)):
        mass, friction = physics.get(path, (None, 1.0))
        active = path not in laid.absent
        bodies[path] = BodySample(
            active=active,
            pose=laid.poses.get(path, scene.bodies[path].pose) if active else parked(index),
            mass=mass,
            friction_scale=friction,
            color=colors.get(path),
        )
    looks = {x.path: x for x in scene.looks}
    lights = {x.path: _light(x, looks.get(x.path), visual, draws) for x in scene.lights}
    cameras = {x.name: _camera(x.name, x.pose, looks.get(x.path), visual, draws) for x in scene.cameras}
    material_colors = {
        path: color
        for path, look in looks.items()
        if path in scene.materials
        and (color := _jittered(scene.materials[path].color, look.color_jitter, f"{path}.color", visual, draws))
    }
    extras = _extras(scene, spec.rng("appearance"), draws)
    return SceneSample(
        slots=laid.slots,
        bodies=bodies,
        lights={path: _dressed(light, extras[path]) if path in extras else light for path, light in lights.items()},
        cameras=cameras,
        material_colors=material_colors,
        material_textures={p: e.texture for p, e in extras.items() if p in scene.materials and e.texture is not None},
        draws=draws,
    )


def parked(index: int) -> Pose:
    """Where the ``index``-th absent body waits, in the world."""
    return Pose.of((float(index % 16), float(index // 16), -PARKING))


def _movable(scene: SceneSpec) -> list[str]:
    """Paths of every body that is an object or a receptacle, in stage order."""
    named = {o.body for o in scene.objects.values()} | {r.body for r in scene.receptacles.values()}
    return [p for p in scene.bodies if p in named]


def _by_name(scene: SceneSpec) -> list[ObjectProp]:
    return [scene.objects[name] for name in sorted(scene.objects)]


def _physics(scene: SceneSpec, rng: np.random.Generator, draws: Draws) -> Mapping[str, tuple[float | None, float]]:
    """Mass (kg, None as authored) and friction factor by body path, of every object."""
    found: dict[str, tuple[float | None, float]] = {}
    for prop in _by_name(scene):
        scale = _uniform(prop.mass_scale, f"{prop.name}.mass_scale", rng, draws)
        friction = _uniform(prop.friction_scale, f"{prop.name}.friction_scale", rng, draws)
        mass = scene.bodies[prop.body].mass * scale if prop.mass_scale != Range(low=1.0, high=1.0) else None
        found[prop.body] = (mass, friction)
    return found


def _color(scene: SceneSpec, prop: ObjectProp) -> Rgb:
    """The colour (linear RGB) an object is drawn in: that of its first visible geom."""
    for geom in scene.bodies[prop.body].geoms:
        if geom.visible:
            return scene.materials[geom.material].color if geom.material is not None else geom.color
    return (0.5, 0.5, 0.5)


def _jittered(color: Rgb, jitter: float, name: str, rng: np.random.Generator, draws: Draws) -> Rgb | None:
    if jitter == 0.0:
        return None
    found: list[float] = []
    for channel, value in zip("rgb", color, strict=True):
        change = float(rng.uniform(-jitter, jitter))
        draws[f"{name}.{channel}"] = change
        found.append(float(np.clip(value + change, 0.0, 1.0)))
    return (found[0], found[1], found[2])


def _light(light: Light, look: LookRange | None, rng: np.random.Generator, draws: Draws) -> LightSample:
    if look is None:
        return LightSample(pose=light.pose, color=light.color, intensity=light.intensity)
    name = light.path
    scale = _uniform(look.intensity_scale, f"{name}.intensity_scale", rng, draws)
    color = light.color
    if look.temperature is not None:
        color = blackbody.rgb(_uniform(look.temperature, f"{name}.temperature", rng, draws))
    pose = _shaken(light.pose, look, name, rng, draws)
    return LightSample(pose=pose, color=color, intensity=light.intensity * scale)


def _extras(scene: SceneSpec, rng: np.random.Generator, draws: Draws) -> Mapping[str, _Extra]:
    """By path, what "appearance" adds to each look.

    Every look takes the same five numbers, whatever it uses of them, so that giving one prim a texture to draw leaves
    the textures of the others alone.
    """
    lit = {x.path for x in scene.lights}
    found: dict[str, _Extra] = {}
    for look in scene.looks:
        share = rng.random(5)
        texture, yaw, tint = None, 0.0, (0.0, 0.0, 0.0)
        if look.textures and (look.path in lit or look.path in scene.materials):
            texture = list(look.textures)[int(share[0] * len(look.textures))]
            draws[f"{look.path}.texture"] = texture
        if look.path in lit and look.yaw.low != look.yaw.high:
            yaw = float(look.yaw.low + share[1] * (look.yaw.high - look.yaw.low))
            draws[f"{look.path}.yaw"] = yaw
        elif look.path in lit:
            yaw = look.yaw.low
        if look.path in lit and look.color_jitter > 0:
            r, g, b = (float(x) for x in (2.0 * share[2:] - 1.0) * look.color_jitter)
            tint = (r, g, b)
            draws.update({f"{look.path}.color.{c}": v for c, v in zip("rgb", tint, strict=True)})
        found[look.path] = _Extra(texture=texture, yaw=yaw, tint=tint)
    return found


def _dressed(light: LightSample, extra: _Extra) -> LightSample:
    """A light turned about the world's z where it stands, tinted (no channel below 0), and with its texture."""
    if extra == _Extra():
        return light
    turn = quat_from_axis_angle([0.0, 0.0, 1.0], extra.yaw)
    r, g, b = (max(0.0, c + t) for c, t in zip(light.color, extra.tint, strict=True))
    pose = Pose.of(light.pose.position, quat_mul(turn, light.pose.orientation)) if extra.yaw else light.pose
    return replace(light, pose=pose, color=(r, g, b), texture=extra.texture)


def _camera(name: str, pose: Pose, look: LookRange | None, rng: np.random.Generator, draws: Draws) -> Pose:
    return pose if look is None else _shaken(pose, look, name, rng, draws)


def _shaken(pose: Pose, look: LookRange, name: str, rng: np.random.Generator, draws: Draws) -> Pose:
    """A pose moved within its box and turned about an axis drawn evenly from the sphere, by an angle drawn evenly."""
    position, orientation = pose.position, pose.orientation
    if look.position_jitter > 0:
        step = rng.uniform(-look.position_jitter, look.position_jitter, 3)
        draws.update({f"{name}.d{a}": float(s) for a, s in zip("xyz", step, strict=True)})
        position = position + step
    if look.direction_jitter > 0:
        axis = _direction(rng)
        angle = float(rng.uniform(0.0, look.direction_jitter))
        draws.update({f"{name}.axis_{a}": float(s) for a, s in zip("xyz", axis, strict=True)})
        draws[f"{name}.angle"] = angle
        orientation = quat_mul(quat_from_axis_angle(axis, angle), orientation)
    return Pose.of(position, orientation)


def _direction(rng: np.random.Generator) -> Array:
    """A unit vector (3,) drawn evenly from the sphere."""
    z, around = float(rng.uniform(-1.0, 1.0)), float(rng.uniform(0.0, 2.0 * np.pi))
    flat = np.sqrt(1.0 - z * z)
    return np.array([flat * np.cos(around), flat * np.sin(around), z])


def _uniform(span: Range, name: str, rng: np.random.Generator, draws: Draws) -> float:
    """A uniform draw, noted; a fixed range draws nothing."""
    if span.low == span.high:
        return span.low
    draws[name] = float(rng.uniform(span.low, span.high))
    return float(draws[name])
