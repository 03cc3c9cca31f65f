"""A sample survives JSON bit by bit."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from synthgen.core.pose import Pose
from synthgen.core.sample import BodySample, LightSample, SceneSample
from synthgen.episode.sample_json import sample_from_json, sample_to_json


def sample(rng: np.random.Generator) -> SceneSample:
    def pose() -> Pose:
        return Pose.of(rng.normal(size=3), rng.normal(size=4))

    def rgb() -> tuple[float, float, float]:
        r, g, b = rng.random(3).tolist()
        return (r, g, b)

    return SceneSample(
        slots={"target": "can", "container": "bin"},
        bodies={
            "/World/Can": BodySample(active=True, pose=pose(), mass=0.3, friction_scale=rng.random(), color=rgb()),
            "/World/Box": BodySample(active=False, pose=pose()),
        },
        lights={"/World/Sun": LightSample(pose=pose(), color=rgb(), intensity=rng.random(), texture="./sky.hdr")},
        cameras={"agentview": pose()},
        material_colors={"/World/Looks/Wood": rgb()},
        material_textures={"/World/Looks/Wood": "../oak.png"},
        draws={"target": "can", "target.x": rng.random()},
    )


@pytest.mark.parametrize("seed", range(5))
def test_round_trip_is_exact(seed: int) -> None:
    first = sample_to_json(sample(np.random.default_rng(seed)))
    again = sample_to_json(sample_from_json(json.loads(json.dumps(first))))
    assert again == first
    assert json.loads(json.dumps(first)) == first


def test_without_textures_the_record_is_that_of_older_data_sets() -> None:
    """Files of runs that were made before there were textures to draw are read, and such runs write the same."""
    full = sample(np.random.default_rng(0))
    sun = full.lights["/World/Sun"]
    older = sample_to_json(replace(full, material_textures={}, lights={"/World/Sun": replace(sun, texture=None)}))
    assert "material_textures" not in older and set(older["lights"]["/World/Sun"]) == {"pose", "color", "intensity"}
    read = sample_from_json(older)
    assert read.material_textures == {} and read.lights["/World/Sun"].texture is None
