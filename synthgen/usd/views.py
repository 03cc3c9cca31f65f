"""Lights and cameras."""

from __future__ import annotations

import numpy as np
from pxr import Usd, UsdGeom, UsdLux

from synthgen.core.scene import Camera, Light, LightKind
from synthgen.usd import blackbody, hulls, schemas, stage
from synthgen.usd.problems import Notes
from synthgen.usd.space import Placement, Space, tidy

_KINDS: dict[str, LightKind] = {
    "DistantLight": "distant",
    "SphereLight": "point",
    "DiskLight": "rect",
    "RectLight": "rect",
    "DomeLight": "dome",
    "DomeLight_1": "dome",
}


def is_light(prim: Usd.Prim) -> bool:
    """Whether the prim is a light of any kind."""
    return prim.HasAPI(UsdLux.LightAPI)


def light(prim: Usd.Prim, space: Space, notes: Notes) -> Light | None:
    """Read a visible light; its pose is in the world. None for one that is invisible or of another kind."""
    path, time = prim.GetPath(), Usd.TimeCode.EarliestTime()
    if UsdGeom.Imageable(prim).ComputeVisibility(time) == UsdGeom.Tokens.invisible:
        return None
    kind = _KINDS.get(str(prim.GetTypeName()))
    if kind is None:
        notes.add(
            "light-unsupported", path, f"a {prim.GetTypeName()} does not shine", "use a sphere, rect or dome light"
        )
        return None
    api = UsdLux.LightAPI(prim)
    if (
        kind == "point"
        and (cone := UsdLux.ShapingAPI(prim).GetShapingConeAngleAttr().Get(time)) is not None
        and cone < 90
    ):
        kind = "spot"
    authored = prim.GetAttribute("inputs:texture:file")
    texture = authored.Get(time) if authored and authored.HasAuthoredValue() else None
    if texture is not None:
        notes.add(
            "light-texture-ignored",
            path,
            "only Isaac Sim shows its texture; elsewhere it shines in one colour",
            "author inputs:color too",
        )
    color = np.array(api.GetColorAttr().Get(time), float)
    if api.GetEnableColorTemperatureAttr().Get(time):
        color = color * blackbody.rgb(float(api.GetColorTemperatureAttr().Get(time)))
    return Light(
        path=str(path),
        kind=kind,
        pose=tidy(space.of(prim).pose),
        color=(float(color[0]), float(color[1]), float(color[2])),
        intensity=float(api.GetIntensityAttr().Get(time)),
        exposure=float(api.GetExposureAttr().Get(time)),
        texture=stage.unpacked(texture.resolvedPath, hulls.cache_root()) if texture and texture.resolvedPath else None,
    )


def camera(prim: Usd.Prim, owner: str | None, frame: Placement | None, space: Space, notes: Notes) -> Camera:
    """Read a camera. ``owner`` and ``frame``: the body it is mounted on, or None."""
    path, time = prim.GetPath(), Usd.TimeCode.EarliestTime()
    schema = UsdGeom.Camera(prim)
    name = str(schemas.value(prim, schemas.CAMERA, "synthgen:camera:name")).strip()
    if not schemas.applied(prim, schemas.CAMERA):
        notes.add(
            "camera-unnamed",
            path,
            f"the camera has no data set name; it is called {prim.GetName()!r} after its prim",
            "apply SynthgenCameraAPI and author synthgen:camera:name",
        )
    if schema.GetProjectionAttr().Get(time) == "orthographic":
        notes.add("camera-orthographic", path, "it is drawn in perspective", 'set projection = "perspective"')
    if schema.GetHorizontalApertureOffsetAttr().Get(time) or schema.GetVerticalApertureOffsetAttr().Get(time):
        notes.add("camera-offset", path, "the aperture's offset is left out", "set the aperture offsets to 0")
    aperture = float(schema.GetVerticalApertureAttr().Get(time))
    focal = float(schema.GetFocalLengthAttr().Get(time))
    pose = space.of(prim).pose
    return Camera(
        name=name or prim.GetName(),
        path=str(path),
        parent=owner,
        pose=tidy(pose if frame is None else frame.pose.inverse() @ pose),
        fovy=float(2.0 * np.arctan2(aperture, 2.0 * focal)),
    )
