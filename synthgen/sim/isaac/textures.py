"""Which prims wear a material whose texture episodes draw, and what a sample lets them wear. Neither USD nor Kit."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from synthgen.core.sample import Rgb, SceneSample
from synthgen.core.scene import Geom, SceneSpec


@dataclass(frozen=True, kw_only=True)
class Wearers:
    """Gprims (or face sets) that wear one material and find their texture coordinates in the same way.

    Attributes:
        material: path in the user's stage.
        prims: their paths in the user's stage.
        projected: they have no texture coordinates of their own, so the image is projected along the axes.
    """

    material: str
    prims: tuple[str, ...]
    projected: bool


def drawn(scene: SceneSpec) -> tuple[str, ...]:
    """Paths of the materials in use whose texture is drawn, in stage order."""
    return tuple(x.path for x in scene.looks if x.textures and x.path in scene.materials)


def wearers(scene: SceneSpec) -> tuple[Wearers, ...]:
    """Who wears them."""
    geoms = (*scene.static_geoms, *(g for b in scene.bodies.values() for g in b.geoms))
    groups: dict[tuple[str, bool], list[str]] = {}
    for material in drawn(scene):
        for geom in geoms:
            if geom.visible and geom.material == material:
                groups.setdefault((material, _plain(geom)), []).append(geom.path)
    return tuple(Wearers(material=m, prims=tuple(p), projected=plain) for (m, plain), p in groups.items())


def worn(scene: SceneSpec, sample: SceneSample, material: str) -> tuple[Path | None, Rgb]:
    """The image file a material shows in an episode (None: its colour alone) and the linear RGB it is multiplied with.

    Raises:
        SceneError: the sample names a texture that the scene does not have.
    """
    authored = scene.materials[material]
    name = sample.material_textures.get(material)
    file = authored.texture if name is None else scene.texture(material, name)
    return file, sample.material_colors.get(material, authored.color)


def _plain(geom: Geom) -> bool:
    return geom.mesh is None or geom.mesh.texcoords is None
