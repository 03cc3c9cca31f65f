"""A scene sample as JSON and back, exactly: the record from which an episode can be rendered again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from synthgen.core.pose import Pose
from synthgen.core.sample import BodySample, LightSample, SceneSample


def sample_to_json(sample: SceneSample) -> dict[str, Any]:
    """JSON-able mapping; poses as seven numbers x y z w x y z. Floats keep all their bits through ``json``.

    What came later than the first data sets (textures) is left out where there is none, so that their records stay.
    """
    textures = {"material_textures": dict(sample.material_textures)} if sample.material_textures else {}
    return {
        "slots": dict(sample.slots),
        "bodies": {
            path: {
                "active": b.active,
                "pose": _pose(b.pose),
                "mass": b.mass,
                "friction_scale": b.friction_scale,
                "color": None if b.color is None else list(b.color),
            }
            for path, b in sample.bodies.items()
        },
        "lights": {
            path: {"pose": _pose(x.pose), "color": list(x.color), "intensity": x.intensity}
            | ({"texture": x.texture} if x.texture is not None else {})
            for path, x in sample.lights.items()
        },
        "cameras": {name: _pose(p) for name, p in sample.cameras.items()},
        "material_colors": {path: list(c) for path, c in sample.material_colors.items()},
        **textures,
        "draws": dict(sample.draws),
    }


def sample_from_json(data: Mapping[str, Any]) -> SceneSample:
    """The inverse of ``sample_to_json``.

    Raises:
        KeyError, TypeError: a field is missing or unknown.
    """
    return SceneSample(
        slots=dict(data["slots"]),
        bodies={
            path: BodySample(**{**b, "pose": _unpose(b["pose"]), "color": b["color"] and _rgb(b["color"])})
            for path, b in data["bodies"].items()
        },
        lights={
            path: LightSample(
                pose=_unpose(x["pose"]), color=_rgb(x["color"]), intensity=x["intensity"], texture=x.get("texture")
            )
            for path, x in data["lights"].items()
        },
        cameras={name: _unpose(p) for name, p in data["cameras"].items()},
        material_colors={path: _rgb(c) for path, c in data["material_colors"].items()},
        material_textures=dict(data.get("material_textures", {})),
        draws=dict(data["draws"]),
    )


def _pose(pose: Pose) -> list[float]:
    return [float(x) for x in pose.vector()]


def _unpose(vector: list[float]) -> Pose:
    # Not Pose.from_vector: normalising again would change the last bits.
    from numpy import array

    return Pose(position=array(vector[:3]), orientation=array(vector[3:]))


def _rgb(color: list[float]) -> tuple[float, float, float]:
    r, g, b = color
    return (float(r), float(g), float(b))
