"""What a picture shows of a scene: visual geoms, materials, textures, lights, cameras, background.

MuJoCo's renderer knows no units of light and works on display values. So colours are converted from linear RGB to sRGB
here, and a light's brightness is relative: the brightest light of a kind, as authored, gets that kind's usual
brightness below; other lights, and samples that change an intensity, scale from there.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import mujoco
import numpy as np
from numpy.typing import ArrayLike

from synthgen.core.errors import SceneError
from synthgen.core.pose import Array, Pose, quat_rotate
from synthgen.core.scene import Geom, Light, Material, SceneSpec
from synthgen.sim.mujoco.scene_spec import SceneBuilder, local_name, mount_pose, shape_arguments

# Display brightness of the brightest light of each kind.
KEY_BRIGHTNESS = {"distant": 0.65, "point": 0.5, "spot": 0.6, "rect": 0.5}
DOME_AMBIENT, DOME_HEADLIGHT = 0.38, 0.12
SHADOW_MAP = 1024
SUN_DISTANCE = 3.0  # metres
NEAR, FAR = 0.01, 60.0  # metres
FIRST_PIXELS = 256  # of the off-screen buffer at first, each way
SKY_TOP, SKY_HORIZON = (0.55, 0.62, 0.70), (0.86, 0.87, 0.88)


def srgb(linear: ArrayLike) -> Array:
    """Linear RGB in [0, 1] -> sRGB display values (IEC 61966-2-1), any shape."""
    x = np.clip(np.asarray(linear, float), 0.0, 1.0)
    return np.where(x <= 0.0031308, 12.92 * x, 1.055 * np.power(x, 1 / 2.4) - 0.055)


def display_rgba(linear: ArrayLike, opacity: float = 1.0) -> Array:
    """(4,) what to write into ``geom_rgba`` for a linear colour (3,).

    MuJoCo reads exactly 0.5 0.5 0.5 1 as "not given", so that value is avoided by less than one display step.
    """
    rgb = srgb(linear)
    return np.array([*np.where(rgb == 0.5, 0.5005, rgb), opacity])


def add_visual(builder: SceneBuilder, body: mujoco.MjsBody, geom: Geom) -> None:
    """What a gprim is to a picture: nothing, or one geom named by its prim path."""
    if not geom.visible:
        return
    arguments = shape_arguments(geom) | {"contype": 0, "conaffinity": 0, "group": 2, "density": 0.0}
    material = builder.scene.materials.get(geom.material) if geom.material is not None else None
    if material is None:
        arguments["rgba"] = display_rgba(geom.color, geom.opacity)
    else:
        arguments["rgba"] = display_rgba(material.color, material.opacity)
        arguments["material"] = _material(builder.spec, material)
        for look in builder.scene.looks:
            if look.path == material.path:
                for name, file in look.textures.items():
                    _material(builder.spec, replace(material, path=variant(material.path, name), texture=file))
    if geom.kind == "mesh":
        if geom.mesh is None:
            raise SceneError(f"{geom.path}: a visible mesh without vertices")
        arguments["meshname"] = builder.mesh(geom.mesh, collision=False)
    body.add_geom(name=local_name(geom.path), **arguments)


def variant(material: str, texture: str) -> str:
    """Name of a material that wears one of the textures its episodes draw. A sample chooses by changing materials.

    MuJoCo's renderer keeps a copy of which texture a material has, but reads anew which material a geom has.
    """
    return f"{material}#{texture}"


def _material(spec: mujoco.MjSpec, material: Material) -> str:
    name = local_name(material.path)
    if spec.material(name) is not None:
        return name
    added = spec.add_material(name=name)
    added.rgba = [1.0, 1.0, 1.0, 1.0]  # the colour is the geom's, so that samples can change it
    added.shininess = (1.0 - material.roughness) ** 2
    added.specular = 0.04 + 0.5 * (1.0 - material.roughness) * (0.5 + 0.5 * material.metallic)
    added.emission = material.emission
    if material.texture is not None:
        added.textures[int(mujoco.mjtTextureRole.mjTEXROLE_RGB)] = _texture(spec, material.texture)
    return name


def _texture(spec: mujoco.MjSpec, file: Path) -> str:
    from PIL import Image

    name = str(file)
    if spec.texture(name) is not None:
        return name
    try:
        with Image.open(file) as image:
            pixels = np.asarray(image.convert("RGB"))
    except (OSError, ValueError) as error:
        raise SceneError(f"texture {file}: {error}", remedy="use a PNG or JPEG file") from error
    added = spec.add_texture(name=name, type=mujoco.mjtTexture.mjTEXTURE_2D)
    added.height, added.width, added.nchannel = pixels.shape
    added.data = pixels.tobytes()
    return name


def add_looks(spec: mujoco.MjSpec, scene: SceneSpec, *, shadows: bool, coarse: bool = True) -> None:
    """Lights, cameras, background and clipping planes, added to the spec that already holds robot and scene.

    ``coarse``: few triangles for boxes and cylinders.
    """
    visual = spec.visual
    visual.quality.offsamples = 0
    if coarse:
        # MuJoCo cuts boxes into 16 patches a side and cylinders into 900 triangles for its per-vertex lighting; a
        # software renderer pays for every vertex, and with distant lights the pictures look the same.
        visual.quality.numquads, visual.quality.numstacks, visual.quality.numslices = 1, 2, 20
    visual.quality.shadowsize = SHADOW_MAP if shadows else 0
    visual.map.znear, visual.map.zfar = NEAR, FAR
    visual.map.shadowclip = 1.5
    visual.global_.offwidth = visual.global_.offheight = FIRST_PIXELS
    spec.stat.extent = 1.0  # the clipping planes above are multiples of it
    spec.stat.center = mount_pose(scene).position
    spec.stat.meansize = 0.1
    spec.add_texture(
        name="#sky",
        type=mujoco.mjtTexture.mjTEXTURE_SKYBOX,
        builtin=mujoco.mjtBuiltin.mjBUILTIN_GRADIENT,
        rgb1=SKY_HORIZON,
        rgb2=SKY_TOP,
        width=64,
        height=384,
    )
    shaded = False
    for light in scene.lights:
        if light.kind == "dome":
            continue
        added = spec.worldbody.add_light(name=light.path)
        added.pos = light_position(scene, light, light.pose)
        added.dir = light_direction(light.pose)
        added.type = {
            "distant": mujoco.mjtLightType.mjLIGHT_DIRECTIONAL,
            "point": mujoco.mjtLightType.mjLIGHT_POINT,
        }.get(light.kind, mujoco.mjtLightType.mjLIGHT_SPOT)
        added.cutoff = 70.0
        added.exponent = 2.0
        added.castshadow = shadows and not shaded and light.kind == "distant"
        shaded = shaded or bool(added.castshadow)
        diffuse = light_brightness(scene, light, light.color, light.intensity)
        added.diffuse = diffuse
        added.specular = 0.4 * diffuse
        added.ambient = np.zeros(3)
    ambient, diffuse = headlight(scene, {})
    visual.headlight.ambient, visual.headlight.diffuse = ambient, diffuse
    visual.headlight.specular = np.zeros(3)
    for camera in scene.cameras:
        body = spec.worldbody if camera.parent is None else spec.body(camera.parent)
        body.add_camera(
            name=camera.name,
            pos=camera.pose.position,
            quat=camera.pose.orientation,
            fovy=math.degrees(camera.fovy),
        )


def light_direction(pose: Pose) -> Array:
    """(3,) where a light with this pose shines: its local -z."""
    return quat_rotate(pose.orientation, np.array([0.0, 0.0, -1.0]))


def light_position(scene: SceneSpec, light: Light, pose: Pose) -> Array:
    """(3,) where MuJoCo should put a light with this pose.

    A distant light has no place of its own, but MuJoCo's shadow map starts at one: above the work surface.
    """
    if light.kind != "distant":
        return pose.position
    return mount_pose(scene).apply([0.4, 0.0, 0.0]) - SUN_DISTANCE * light_direction(pose)


def light_brightness(scene: SceneSpec, light: Light, color: ArrayLike, intensity: float) -> Array:
    """(3,) display brightness of a light whose colour (linear RGB) and intensity are as given."""
    strongest = max(x.intensity * 2.0**x.exposure for x in scene.lights if x.kind == light.kind)
    relative = intensity * 2.0**light.exposure / strongest if strongest > 0 else 0.0
    # Colours of light are ratios: keep the luminance in the intensity. Halving the light does not halve the display.
    return KEY_BRIGHTNESS[light.kind] * relative ** (1 / 2.2) * _tint(color)


def headlight(scene: SceneSpec, dome: dict[str, tuple[ArrayLike, float]]) -> tuple[Array, Array]:
    """(3,) ambient and (3,) head-on diffuse brightness: the dome lights, or a plain fill where there are none.

    ``dome``: colour and intensity by path of dome lights that a sample changed.
    """
    domes = [x for x in scene.lights if x.kind == "dome"]
    if not domes:
        level = 0.35 if scene.lights else 0.5
        return np.full(3, level), np.full(3, 0.15 if scene.lights else 0.5)
    total = np.zeros(3)
    for light in domes:
        color, intensity = dome.get(light.path, (light.color, light.intensity))
        relative = intensity / light.intensity if light.intensity > 0 else 0.0
        total += relative ** (1 / 2.2) * _tint(color) / len(domes)
    return DOME_AMBIENT * total, DOME_HEADLIGHT * total


def _tint(color: ArrayLike) -> Array:
    """A light's colour as display ratios with its largest channel at 1."""
    rgb = np.asarray(color, float)
    top = float(rgb.max())
    return srgb(rgb / top) if top > 0 else np.zeros(3)
