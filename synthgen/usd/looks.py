"""How surfaces look and feel: UsdPreviewSurface (and OmniPBR's constants), display colour, physics material."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from pxr import Sdf, Usd, UsdGeom, UsdPhysics, UsdShade

from synthgen.core.scene import Material, Surface
from synthgen.usd import hulls, schemas, stage
from synthgen.usd.problems import Notes
from synthgen.usd.space import Space

Rgb = tuple[float, float, float]
TEXTURES = "synthgen:randomize:textures"
OMNI_PBR = {
    "color": "diffuse_color_constant",
    "texture": "diffuse_texture",
    "roughness": "reflection_roughness_constant",
    "metallic": "metallic_constant",
    "opacity": "opacity_constant",
    "emission": "emissive_color",
}


@dataclass(frozen=True, kw_only=True)
class Look:
    """A material as read, with what a mesh needs to know to be textured by it.

    Attributes:
        material: for the scene.
        primvar: name of the texture coordinates.
        uv_scale, uv_rotation, uv_translation: UsdTransform2d before the lookup; rotation in radians.
        drawn: episodes draw its texture.
    """

    material: Material
    drawn: bool = False
    primvar: str = "st"
    uv_scale: tuple[float, float] = (1.0, 1.0)
    uv_rotation: float = 0.0
    uv_translation: tuple[float, float] = (0.0, 0.0)

    def coordinates(self, uv: Any) -> Any:
        """Texture coordinates (K, 2) as the texture sees them."""
        c, s = np.cos(self.uv_rotation), np.sin(self.uv_rotation)
        return (np.asarray(uv) * self.uv_scale) @ np.array([[c, s], [-s, c]]) + self.uv_translation


class Looks:
    """The materials of a stage, read once each.

    Attributes:
        textures: every image file in use.
    """

    def __init__(self, space: Space, notes: Notes) -> None:
        self._space = space
        self._notes = notes
        self._found: dict[str, Look | None] = {}
        self.textures: list[Path] = []

    def of(self, prim: Usd.Prim) -> Look | None:
        """The look bound to a prim (or inherited), or None."""
        bound = UsdShade.MaterialBindingAPI(prim).ComputeBoundMaterial()[0]
        if not bound:
            return None
        path = str(bound.GetPath())
        if path not in self._found:
            look, prim = self._read(bound), bound.GetPrim()
            drawn = schemas.applied(prim, schemas.RANDOMIZE) and schemas.value(prim, schemas.RANDOMIZE, TEXTURES)
            self._found[path] = replace(look, drawn=bool(drawn)) if look is not None else None
        return self._found[path]

    def materials(self) -> dict[str, Material]:
        """Every material in use, by path."""
        return {p: look.material for p, look in self._found.items() if look is not None}

    def surface(self, prim: Usd.Prim) -> tuple[Surface, float | None]:
        """Friction and restitution of a collider, and the density (kg/m3) its physics material gives it."""
        bound = UsdShade.MaterialBindingAPI(prim).ComputeBoundMaterial("physics")[0]
        if not bound or not bound.GetPrim().HasAPI(UsdPhysics.MaterialAPI):
            return Surface(), None
        api = UsdPhysics.MaterialAPI(bound.GetPrim())
        density = float(api.GetDensityAttr().Get() or 0.0) * self._space.density
        surface = Surface(
            static_friction=_authored(api.GetStaticFrictionAttr()),
            dynamic_friction=_authored(api.GetDynamicFrictionAttr()),
            restitution=_authored(api.GetRestitutionAttr()),
        )
        return surface, density if density > 0 else None

    def _read(self, material: UsdShade.Material) -> Look | None:
        path = str(material.GetPath())
        shader = material.ComputeSurfaceSource()[0]
        if shader and shader.GetIdAttr().Get() == "UsdPreviewSurface":
            return self._preview(path, shader)
        for context in ("mdl", UsdShade.Tokens.universalRenderContext):
            shader = material.ComputeSurfaceSource(context)[0]
            if shader and str(shader.GetSourceAssetSubIdentifier("mdl") or "").startswith("OmniPBR"):
                return self._omni_pbr(path, shader)
        self._notes.add(
            "material-unsupported",
            path,
            "the material has no UsdPreviewSurface; the display colour is used",
            "add a UsdPreviewSurface to the material's universal render context",
        )
        return None

    def _preview(self, path: str, shader: UsdShade.Shader) -> Look:
        emission = _constant(shader, "emissiveColor", (0.0, 0.0, 0.0))
        source = _source(shader, "diffuseColor")
        for name in ("roughness", "metallic", "opacity", "emissiveColor", "normal"):
            if _source(shader, name):
                self._notes.add(
                    "texture-channel-ignored",
                    path,
                    f"the texture of {name} is not kept; only diffuseColor's is",
                    f"author a constant {name} for engines without it",
                )
        color = _rgb(_constant(shader, "diffuseColor", (0.18, 0.18, 0.18)))
        texture, extra = None, {}
        if source and source.GetIdAttr().Get() == "UsdUVTexture":
            texture = self._file(path, source)
            scale = source.GetInput("scale")
            color = _rgb((scale.Get() if scale else None) or (1.0, 1.0, 1.0))
            extra = _coordinates(source)
            if texture is None:
                color = _rgb(_constant(source, "fallback", (0.5, 0.5, 0.5)))
        return Look(
            material=Material(
                path=path,
                color=color,
                opacity=float(_constant(shader, "opacity", 1.0)),
                roughness=float(_constant(shader, "roughness", 0.5)),
                metallic=float(_constant(shader, "metallic", 0.0)),
                emission=float(max(emission)),
                texture=texture,
            ),
            **extra,
        )

    def _omni_pbr(self, path: str, shader: UsdShade.Shader) -> Look:
        glow = _constant(shader, "enable_emission", False)
        texture = self._file(path, shader, OMNI_PBR["texture"]) if shader.GetInput(OMNI_PBR["texture"]) else None
        tint = _rgb(_constant(shader, "diffuse_tint", (1.0, 1.0, 1.0)))
        color = tint if texture else _rgb(_constant(shader, OMNI_PBR["color"], (0.2, 0.2, 0.2)))
        return Look(
            material=Material(
                path=path,
                color=color,
                opacity=float(_constant(shader, OMNI_PBR["opacity"], 1.0)),
                roughness=float(_constant(shader, OMNI_PBR["roughness"], 0.5)),
                metallic=float(_constant(shader, OMNI_PBR["metallic"], 0.0)),
                emission=float(max(_constant(shader, OMNI_PBR["emission"], (1.0, 0.1, 0.1)))) if glow else 0.0,
                texture=texture,
            )
        )

    def _file(self, path: str, shader: UsdShade.Shader, name: str = "file") -> Path | None:
        asset = _constant(shader, name, None)
        if not isinstance(asset, Sdf.AssetPath) or not asset.path:
            return None
        if not asset.resolvedPath:
            self._notes.add(
                "missing-texture",
                shader.GetPath(),
                f"texture {asset.path} of material {path} is not there",
                "put the file where the path points, or mend the path",
            )
            return None
        file = stage.unpacked(asset.resolvedPath, hulls.cache_root())
        self.textures.append(file)
        return file


def display(prim: Usd.Prim) -> tuple[Rgb, float]:
    """Display colour (linear RGB, the first if there are several) and opacity of a gprim; grey if none."""
    time = Usd.TimeCode.EarliestTime()
    primvars = UsdGeom.PrimvarsAPI(prim)
    color = primvars.FindPrimvarWithInheritance("displayColor")
    opacity = primvars.FindPrimvarWithInheritance("displayOpacity")
    colors = color.Get(time) if color and color.HasValue() else None
    opacities = opacity.Get(time) if opacity and opacity.HasValue() else None
    return (_rgb(colors[0]) if colors else (0.5, 0.5, 0.5)), (float(opacities[0]) if opacities else 1.0)


def _source(shader: UsdShade.Shader, name: str) -> UsdShade.Shader | None:
    """The shader whose output feeds an input, through any node graph; None for a constant."""
    found = shader.GetInput(name)
    if not found:
        return None
    for attribute in found.GetValueProducingAttributes():
        if UsdShade.Utils.GetType(attribute.GetName()) == UsdShade.AttributeType.Output:
            return UsdShade.Shader(attribute.GetPrim())
    return None


def _constant(shader: UsdShade.Shader, name: str, default: Any) -> Any:
    """An input's value, also when it comes from the material's interface."""
    found = shader.GetInput(name)
    if not found:
        return default
    for attribute in found.GetValueProducingAttributes():
        if UsdShade.Utils.GetType(attribute.GetName()) == UsdShade.AttributeType.Input:
            value = attribute.Get(Usd.TimeCode.EarliestTime())
            return default if value is None else value
    return default


def _coordinates(texture: UsdShade.Shader) -> dict[str, Any]:
    reader = _source(texture, "st")
    extra: dict[str, Any] = {}
    if reader and reader.GetIdAttr().Get() == "UsdTransform2d":
        extra["uv_scale"] = tuple(float(x) for x in _constant(reader, "scale", (1.0, 1.0)))
        extra["uv_rotation"] = float(np.radians(_constant(reader, "rotation", 0.0)))
        extra["uv_translation"] = tuple(float(x) for x in _constant(reader, "translation", (0.0, 0.0)))
        reader = _source(reader, "in")
    if reader and (name := str(_constant(reader, "varname", "") or "")):
        extra["primvar"] = name
    return extra


def _authored(attribute: Usd.Attribute) -> float | None:
    return float(attribute.Get()) if attribute.HasAuthoredValue() else None


def _rgb(value: Any) -> Rgb:
    return (float(value[0]), float(value[1]), float(value[2]))
