"""The looks of a sample, written into a visual model: colours, lights, cameras, which bodies are drawn."""

from __future__ import annotations

import mujoco
import numpy as np

from synthgen.core.sample import SceneSample
from synthgen.core.scene import Geom, SceneSpec
from synthgen.sim.mujoco.dynamics import subtree
from synthgen.sim.mujoco.looks import (
    display_rgba,
    headlight,
    light_brightness,
    light_direction,
    light_position,
    variant,
)
from synthgen.sim.mujoco.robot import HIDDEN_GROUP

NEVER_DRAWN = HIDDEN_GROUP + 1


class SampleLooks:
    """Writes samples into one visual model, always starting from the values it was compiled with."""

    _ARRAYS = ("geom_rgba", "geom_matid", "geom_group", "light_pos", "light_dir", "light_diffuse", "light_specular")
    _CAMERA_ARRAYS = ("cam_pos", "cam_quat")

    def __init__(self, model: mujoco.MjModel, scene: SceneSpec) -> None:
        self._scene = scene
        names = (*self._ARRAYS, *self._CAMERA_ARRAYS)
        self._compiled = {name: getattr(model, name).copy() for name in names}
        light = model.vis.headlight
        self._headlight = light.ambient.copy(), light.diffuse.copy()
        self._by_material: dict[str, list[tuple[int, Geom]]] = {}
        self._by_body: dict[str, list[tuple[int, Geom]]] = {}
        owners = [(None, scene.static_geoms), *((path, body.geoms) for path, body in scene.bodies.items())]
        for path, geoms in owners:
            for geom in geoms:
                if not geom.visible:
                    continue
                entry = (int(model.geom(geom.path).id), geom)
                if path is not None:
                    self._by_body.setdefault(path, []).append(entry)
                if geom.material is not None:
                    self._by_material.setdefault(geom.material, []).append(entry)

    def apply(self, model: mujoco.MjModel, sample: SceneSample) -> None:
        """Material colours and textures, then body colours over them; lights; camera poses; absent bodies hidden."""
        for name, values in self._compiled.items():
            getattr(model, name)[:] = values
        for material, color in sample.material_colors.items():
            for i, geom in self._by_material.get(material, ()):
                model.geom_rgba[i] = display_rgba(color, self._opacity(geom))
        for material, texture in sample.material_textures.items():
            for i, _ in self._by_material.get(material, ()):
                model.geom_matid[i] = model.material(variant(material, texture)).id
        for path, body in sample.bodies.items():
            if body.color is not None:
                for i, geom in self._by_body.get(path, ()):
                    model.geom_rgba[i] = display_rgba(body.color, self._opacity(geom))
            if not body.active:
                for part in subtree(model, model.body(path).id):
                    model.geom_group[model.geom_bodyid == part] = NEVER_DRAWN
        self._apply_lights(model, sample)
        for name, pose in sample.cameras.items():
            camera = model.camera(name).id
            model.cam_pos[camera] = pose.position
            model.cam_quat[camera] = pose.orientation

    def _opacity(self, geom: Geom) -> float:
        material = self._scene.materials.get(geom.material) if geom.material is not None else None
        return geom.opacity if material is None else material.opacity

    def _apply_lights(self, model: mujoco.MjModel, sample: SceneSample) -> None:
        lights = {light.path: light for light in self._scene.lights}
        domes = {}
        for path, drawn in sample.lights.items():
            light = lights[path]
            if light.kind == "dome":
                domes[path] = (drawn.color, drawn.intensity)
                continue
            i = model.light(path).id
            model.light_pos[i] = light_position(self._scene, light, drawn.pose)
            model.light_dir[i] = light_direction(drawn.pose)
            brightness = light_brightness(self._scene, light, drawn.color, drawn.intensity)
            ratio = np.divide(
                model.light_specular[i], model.light_diffuse[i], where=model.light_diffuse[i] > 0, out=np.zeros(3)
            )
            model.light_diffuse[i] = brightness
            model.light_specular[i] = ratio * brightness
        ambient, diffuse = headlight(self._scene, domes) if domes else self._headlight
        model.vis.headlight.ambient, model.vis.headlight.diffuse = ambient, diffuse
