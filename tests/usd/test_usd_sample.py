"""Draws of a scene: deterministic, complete, inside their regions, not touching, told apart by words."""

from __future__ import annotations

import json
import math
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pxr import UsdLux
from scipy.spatial.distance import cdist
from scipy.spatial.transform import Rotation

from synthgen.core.errors import EpisodeFailure, SceneError
from synthgen.core.pose import Pose, quat_rotate
from synthgen.core.sample import SceneSample
from synthgen.core.scene import Geom, LookRange, ObjectProp, Range, SceneSpec, SpawnRegion
from synthgen.core.spec import EpisodeSpec
from synthgen.episode.sample_json import sample_to_json
from synthgen.usd import layout, load_scene, sample_scene
from synthgen.usd.footprint import Footprint, gap

SCENES = Path(__file__).parents[2] / "scenes"
TABLETOP = load_scene(SCENES / "tabletop.usda")


def spec(slot: int = 0, attempt: int = 0, entropy: int = 7) -> EpisodeSpec:
    return EpisodeSpec(task="pick_place", embodiment="franka", slot=slot, attempt=attempt, entropy=entropy)


SAMPLES = [sample_scene(TABLETOP, spec(i)) for i in range(150)]


def plain(sample: SceneSample) -> dict:
    """Everything in a sample as comparable values."""
    return {
        "slots": dict(sample.slots),
        "bodies": {
            p: (b.active, b.pose.vector().tolist(), b.mass, b.friction_scale, b.color) for p, b in sample.bodies.items()
        },
        "lights": {p: (x.pose.vector().tolist(), x.color, x.intensity) for p, x in sample.lights.items()},
        "cameras": {n: p.vector().tolist() for n, p in sample.cameras.items()},
        "materials": dict(sample.material_colors),
        "draws": list(sample.draws.items()),
    }


def outline_points(geoms: tuple[Geom, ...], pose: Pose) -> np.ndarray:
    """(N, 3) world points on the surfaces of boxes and upright cylinders; nothing of the importer's own bounds."""
    points = []
    for g in geoms:
        if not g.collides:
            continue
        if g.kind == "box":
            local = np.array(np.meshgrid(*[np.linspace(-s, s, 9) for s in g.size])).reshape(3, -1).T
        else:
            a = np.linspace(0, 2 * np.pi, 48, endpoint=False)
            local = np.array([(g.size[0] * math.cos(t), g.size[0] * math.sin(t), z) for t in a for z in (-1, 1)])
            local[:, 2] *= g.size[1]
        points.append(pose.apply(g.pose.apply(local)))
    return np.concatenate(points)


def seen_from_above(geoms: tuple[Geom, ...], pose: Pose) -> np.ndarray:
    """(N, 2) points of the outline, each once."""
    return np.unique(np.round(outline_points(geoms, pose)[:, :2], 9), axis=0)


def placed(sample: SceneSample) -> dict[str, tuple[str, SpawnRegion]]:
    """Body path -> (name, region) of everything that a slot placed."""
    regions = {s: TABLETOP.regions[str(sample.draws[f"{s}.region"])] for s in sample.slots}
    bodies = {s: layout.body_of(TABLETOP, n) for s, n in sample.slots.items()}
    return {str(bodies[s]): (n, regions[s]) for s, n in sample.slots.items()}


def test_the_same_episode_is_the_same_scene() -> None:
    again = load_scene(SCENES / "tabletop.usda")
    for i in (0, 1, 2):
        assert plain(sample_scene(again, spec(i))) == plain(SAMPLES[i])


def test_other_episodes_are_other_scenes() -> None:
    one = plain(SAMPLES[0])
    for other in (spec(1), spec(0, attempt=1), spec(0, entropy=8)):
        assert plain(sample_scene(TABLETOP, other))["bodies"] != one["bodies"]


def test_slots_are_filled_with_different_things_of_the_right_kind() -> None:
    for sample in SAMPLES:
        assert {"target", "container"} <= set(sample.slots)
        assert len(set(sample.slots.values())) == len(sample.slots)
        for slot in TABLETOP.slots:
            assert slot.name not in sample.slots or sample.slots[slot.name] in slot.candidates


def test_every_candidate_and_region_turns_up_and_probabilities_hold() -> None:
    for slot in TABLETOP.slots:
        drawn = Counter(s.slots[slot.name] for s in SAMPLES if slot.name in s.slots)
        assert set(drawn) == set(slot.candidates)
        share = sum(drawn.values()) / len(SAMPLES)
        assert abs(share - slot.probability) <= 4 * math.sqrt(0.25 / len(SAMPLES)) or share == slot.probability == 1.0
    targets = Counter(str(s.draws["target.region"]) for s in SAMPLES)
    assert min(targets.values()) > len(SAMPLES) / 4


def test_everything_is_present_and_the_rest_is_parked_apart() -> None:
    movable = {o.body for o in TABLETOP.objects.values()} | {r.body for r in TABLETOP.receptacles.values()}
    for sample in SAMPLES:
        assert set(sample.bodies) == movable
        active = {p for p, b in sample.bodies.items() if b.active}
        assert active == set(placed(sample))
        parked = [b.pose.position for b in sample.bodies.values() if not b.active]
        gaps = [np.linalg.norm(a - b) for i, a in enumerate(parked) for b in parked[:i]]
        assert min(gaps) > 0.5 and max(p[2] for p in parked) < -5


def test_things_stand_upright_on_the_surface_inside_their_region() -> None:
    for sample in SAMPLES:
        for path, (_, region) in placed(sample).items():
            pose = sample.bodies[path].pose
            np.testing.assert_allclose(quat_rotate(pose.orientation, [0, 0, 1]), [0, 0, 1], atol=1e-9)
            points = region.pose.inverse().apply(outline_points(TABLETOP.bodies[path].geoms, pose))
            assert points[:, 2].min() == pytest.approx(0.0, abs=1e-7)
            assert (np.abs(points[:, :2]) <= np.array(region.half_extents) + 1e-9).all()


def test_nothing_touches_and_clearances_are_kept() -> None:
    for sample in SAMPLES:
        things = placed(sample)
        points = {p: seen_from_above(TABLETOP.bodies[p].geoms, sample.bodies[p].pose) for p in things}
        paths = list(things)
        for i, a in enumerate(paths):
            for b in paths[:i]:
                least = min(things[a][1].clearance, things[b][1].clearance)
                between = cdist(points[a], points[b]).min()
                assert between >= least - 1e-6, (a, b, between)


def test_targets_can_be_named_and_fit() -> None:
    for sample in SAMPLES:
        present = [layout.thing(TABLETOP, n) for n in sample.slots.values()]
        target = TABLETOP.objects[sample.slots["target"]]
        container = TABLETOP.receptacles[sample.slots["container"]]
        for chosen in (target, container):
            described = [
                x for x in present if x.noun == chosen.noun and chosen.attributes.items() <= x.attributes.items()
            ]
            assert described == [chosen]
        assert max(target.extents[:2]) < 2 * min(container.half_extents)


def test_draws_tell_the_poses() -> None:
    """What is recorded is enough to place everything again."""
    for sample in SAMPLES[:40]:
        for slot, name in sample.slots.items():
            assert sample.draws[f"{slot}.thing"] == name
            region = TABLETOP.regions[str(sample.draws[f"{slot}.region"])]
            x, y, yaw = (float(sample.draws[f"{slot}.{k}"]) for k in ("x", "y", "yaw"))
            path = str(layout.body_of(TABLETOP, name))
            pose = sample.bodies[path].pose
            turned = (pose.yaw() - region.pose.yaw() - yaw + math.pi) % (2 * math.pi) - math.pi
            assert turned == pytest.approx(0.0, abs=1e-9)
            assert region.yaw.low <= yaw <= region.yaw.high
            points = outline_points(TABLETOP.bodies[path].geoms, pose)
            middle = (points.min(0) + points.max(0)) / 2
            np.testing.assert_allclose(region.pose.inverse().apply(middle)[:2], [x, y], atol=1e-6)


def test_values_stay_in_their_ranges_and_are_recorded() -> None:
    lamps = {x.path: x for x in TABLETOP.lights}
    looks = {x.path: x for x in TABLETOP.looks}
    cameras = {c.name: c for c in TABLETOP.cameras}
    for sample in SAMPLES:
        for prop in TABLETOP.objects.values():
            drawn, authored = sample.bodies[prop.body], TABLETOP.bodies[prop.body].mass
            assert drawn.mass is not None
            assert drawn.mass == pytest.approx(authored * float(sample.draws[f"{prop.name}.mass_scale"]))
            assert prop.mass_scale.low <= drawn.mass / authored <= prop.mass_scale.high
            assert prop.friction_scale.low <= drawn.friction_scale <= prop.friction_scale.high
            assert drawn.friction_scale == sample.draws[f"{prop.name}.friction_scale"]
            assert (drawn.color is None) == (prop.color_jitter == 0)
        assert set(sample.lights) == set(lamps) and set(sample.cameras) == set(cameras)
        for path, light in sample.lights.items():
            look, lamp = looks[path], lamps[path]
            assert look.intensity_scale.low <= light.intensity / lamp.intensity <= look.intensity_scale.high
            moved = np.abs(light.pose.position - lamp.pose.position)
            assert moved.max() <= look.position_jitter + 1e-12
            assert _angle(light.pose, lamp.pose) <= look.direction_jitter + 1e-6
            if look.temperature is not None:
                kelvin = float(sample.draws[f"{path}.temperature"])
                assert look.temperature.low <= kelvin <= look.temperature.high
        for name, pose in sample.cameras.items():
            look = looks[cameras[name].path]
            assert np.abs(pose.position - cameras[name].pose.position).max() <= look.position_jitter
            assert _angle(pose, cameras[name].pose) <= look.direction_jitter + 1e-6
        for path, color in sample.material_colors.items():
            change = np.abs(np.array(color) - TABLETOP.materials[path].color)
            assert change.max() <= looks[path].color_jitter + 1e-12
        assert all(isinstance(v, (float, str)) for v in sample.draws.values())


def test_every_value_follows_from_what_is_recorded() -> None:
    """A sample can be made again from its draws alone, with formulas of the test's own."""
    for sample in SAMPLES[:40]:
        draws = {k: v for k, v in sample.draws.items() if isinstance(v, float)}

        def shaken(pose: Pose, name: str, draws: dict[str, float] = draws) -> Pose:
            step = [draws.get(f"{name}.d{a}", 0.0) for a in "xyz"]
            axis = [draws.get(f"{name}.axis_{a}", 0.0) for a in "xyz"]
            turn = Rotation.from_rotvec(np.array(axis) * draws.get(f"{name}.angle", 0.0))
            w, *v = pose.orientation
            q = (turn * Rotation.from_quat([*v, w])).as_quat()
            return Pose.of(pose.position + step, [q[3], *q[:3]])

        for light in TABLETOP.lights:
            drawn = sample.lights[light.path]
            same_pose(drawn.pose, shaken(light.pose, light.path))
            assert drawn.intensity == pytest.approx(light.intensity * draws[f"{light.path}.intensity_scale"])
            kelvin = draws.get(f"{light.path}.temperature")
            if kelvin is not None:
                np.testing.assert_allclose(drawn.color, UsdLux.BlackbodyTemperatureAsRgb(kelvin), rtol=0.01, atol=0.005)
        for camera in TABLETOP.cameras:
            same_pose(sample.cameras[camera.name], shaken(camera.pose, camera.name))
        for path, color in sample.material_colors.items():
            changes = [draws[f"{path}.color.{c}"] for c in "rgb"]
            np.testing.assert_allclose(color, np.clip(np.add(TABLETOP.materials[path].color, changes), 0, 1))
        for prop in TABLETOP.objects.values():
            if prop.color_jitter:
                changes = [draws[f"{prop.name}.color.{c}"] for c in "rgb"]
                (material,) = {g.material for g in TABLETOP.bodies[prop.body].geoms if g.visible}
                expected = np.clip(np.add(TABLETOP.materials[str(material)].color, changes), 0, 1)
                np.testing.assert_allclose(sample.bodies[prop.body].color, expected)


def same_pose(a: Pose, b: Pose) -> None:
    np.testing.assert_allclose(a.matrix(), b.matrix(), atol=1e-9)


def _angle(a: Pose, b: Pose) -> float:
    return 2 * math.acos(min(1.0, abs(float(a.orientation @ b.orientation))))


def test_streams_are_independent() -> None:
    """Other looks or masses leave the layout as it is, and the other way round."""
    heavier = {n: replace(o, mass_scale=Range(low=3, high=4)) for n, o in TABLETOP.objects.items()}
    looks = (*TABLETOP.looks, LookRange(path="/World/Table/Looks/Legs", color_jitter=0.1))
    other = replace(TABLETOP, objects=heavier, looks=looks)
    fewer = replace(TABLETOP, slots=TABLETOP.slots[:2])
    for i in range(20):
        base, changed = SAMPLES[i], sample_scene(other, spec(i))
        assert changed.slots == base.slots
        for path in base.bodies:
            assert (changed.bodies[path].pose.vector() == base.bodies[path].pose.vector()).all()
        slim = sample_scene(fewer, spec(i))
        assert plain(slim)["lights"] == plain(base)["lights"]
        assert [slim.bodies[p].mass for p in slim.bodies] == [base.bodies[p].mass for p in base.bodies]


def test_samples_are_those_of_the_first_data_sets() -> None:
    """What is drawn today from a scene without newer ranges equals what was recorded before there were any."""
    recorded = json.loads((Path(__file__).parent / "recorded_sample.json").read_text())
    now = sample_to_json(SAMPLES[0])
    assert now.keys() == recorded.keys() and list(now["draws"]) == list(recorded["draws"])
    for name, value in recorded["draws"].items():
        assert now["draws"][name] == (pytest.approx(value, rel=1e-12) if isinstance(value, float) else value)
    same(now, recorded)


def same(a, b) -> None:
    if isinstance(b, dict):
        assert a.keys() == b.keys()
        for key in b:
            same(a[key], b[key])
    else:
        assert a == (pytest.approx(b, rel=1e-9, abs=1e-9) if not isinstance(b, str) and b is not None else b)


def ranged(**changes) -> SceneSpec:
    """The tabletop with more to draw, by path."""
    looks = {x.path: x for x in TABLETOP.looks}
    for path, change in changes.items():
        looks[path] = replace(looks[path], **change)
    return replace(TABLETOP, looks=tuple(looks.values()))


WOOD, PAINT = "/World/Table/Looks/Wood", "/World/Room/Looks/Paint"
IMAGES = {f"./{n}.png": Path(f"/{n}.png") for n in "abc"}


def test_textures_yaw_and_tint_are_drawn_and_leave_every_other_number_alone() -> None:
    dome = next(x for x in TABLETOP.lights if x.kind == "dome")
    turn = {"textures": {"./sky.hdr": Path("/sky.hdr")}, "yaw": Range(low=0.5, high=2.0), "color_jitter": 0.1}
    scene = ranged(**{WOOD: {"textures": IMAGES}, dome.path: turn})
    seen = Counter[str]()
    for i in range(60):
        base, drawn = SAMPLES[i], sample_scene(scene, spec(i))
        light, before = drawn.lights[dome.path], base.lights[dome.path]
        seen[drawn.material_textures[WOOD]] += 1
        assert drawn.draws[f"{WOOD}.texture"] == drawn.material_textures[WOOD]
        assert light.texture == drawn.draws[f"{dome.path}.texture"] == "./sky.hdr"
        yaw = float(drawn.draws[f"{dome.path}.yaw"])
        assert 0.5 <= yaw <= 2.0
        np.testing.assert_allclose(
            quat_rotate(light.pose.orientation, [1.0, 0.0, 0.0]),
            Rotation.from_euler("z", yaw).apply(quat_rotate(before.pose.orientation, [1.0, 0.0, 0.0])),
            atol=1e-9,
        )
        tint = [float(drawn.draws[f"{dome.path}.color.{c}"]) for c in "rgb"]
        assert max(map(abs, tint)) <= 0.1
        np.testing.assert_allclose(light.color, np.maximum(np.add(before.color, tint), 0.0))
        restored = replace(
            drawn,
            lights={**drawn.lights, dome.path: before},
            material_textures={},
            draws={k: v for k, v in drawn.draws.items() if k in base.draws},
        )
        assert plain(restored) == plain(base)
    assert set(seen) == set(IMAGES) and min(seen.values()) > 8


def test_a_prims_textures_do_not_depend_on_what_others_draw() -> None:
    alone = ranged(**{WOOD: {"textures": IMAGES}})
    both = ranged(**{WOOD: {"textures": IMAGES}, PAINT: {"textures": IMAGES}})
    for i in range(20):
        one, two = (sample_scene(s, spec(i)).material_textures for s in (alone, both))
        assert one[WOOD] == two[WOOD] and set(two) == {WOOD, PAINT}


def test_a_texture_that_the_scene_does_not_have_is_named() -> None:
    scene = ranged(**{WOOD: {"textures": IMAGES}})
    assert scene.texture(WOOD, "./b.png") == Path("/b.png")
    with pytest.raises(SceneError, match=r"Wood has no texture './z\.png' to draw"):
        scene.texture(WOOD, "./z.png")


def with_prop(scene: SceneSpec, name: str, **changes) -> SceneSpec:
    return replace(scene, objects={**scene.objects, name: replace(scene.objects[name], **changes)})


def test_what_cannot_be_placed_is_named() -> None:
    region = replace(TABLETOP.regions["right"], half_extents=(0.02, 0.02))
    tight = replace(TABLETOP, regions={**TABLETOP.regions, "right": region, "left": region})
    with pytest.raises(EpisodeFailure, match=r"slot 'target': no room for '\w+' in region '(right|left)'") as failure:
        sample_scene(tight, spec())
    assert failure.value.reason == "placement"


def test_too_much_clearance_is_a_placement_failure() -> None:
    far = {n: replace(r, clearance=3.0) for n, r in TABLETOP.regions.items()}
    with pytest.raises(EpisodeFailure, match="no room"):
        sample_scene(replace(TABLETOP, regions=far), spec())


def test_things_without_words_never_meet() -> None:
    """All cans are just "can": a can as target never has another can beside it."""
    bare = TABLETOP
    for name, prop in TABLETOP.objects.items():
        if prop.noun == "can":
            bare = with_prop(bare, name, attributes={})
    for i in range(60):
        sample = sample_scene(bare, spec(i))
        cans = [n for n in sample.slots.values() if n in bare.objects and bare.objects[n].noun == "can"]
        assert len(cans) <= 1


def test_a_target_that_is_described_by_less_is_not_drawn_beside_one_with_more() -> None:
    """ "the can" would also mean the green can."""
    bare = with_prop(TABLETOP, "red_can", attributes={})
    seen = 0
    for i in range(150):
        slots = sample_scene(bare, spec(i)).slots
        seen += slots["target"] == "red_can"
        assert not (slots["target"] == "red_can" and "green_can" in slots.values())
    assert seen > 3


def test_a_target_that_fits_nowhere_fails_by_name() -> None:
    huge = TABLETOP
    for name in TABLETOP.objects:
        huge = with_prop(huge, name, extents=np.array([0.3, 0.3, 0.1]), shape="box")
    with pytest.raises(EpisodeFailure, match="slot 'target': none of its candidates goes with"):
        sample_scene(huge, spec())


def test_what_no_slot_names_stays_and_is_avoided() -> None:
    """A can in the middle of a region is always there; nothing is put on it."""
    slots = tuple(replace(s, candidates=tuple(c for c in s.candidates if c != "red_can")) for s in TABLETOP.slots)
    can = TABLETOP.objects["red_can"].body
    at = Pose.of(TABLETOP.regions["right"].pose.position)
    bodies = {**TABLETOP.bodies, can: replace(TABLETOP.bodies[can], pose=at)}
    wide = replace(TABLETOP.regions["right"], half_extents=(0.2, 0.2), clearance=0.03)
    scene = replace(TABLETOP, slots=slots, bodies=bodies, regions={**TABLETOP.regions, "right": wide})
    reach = []
    for i in range(60):
        sample = sample_scene(scene, spec(i))
        assert sample.bodies[can].active and (sample.bodies[can].pose.vector() == at.vector()).all()
        if sample.draws["target.region"] == "right":
            prop = scene.objects[sample.slots["target"]]
            gap_xy = np.linalg.norm(sample.bodies[prop.body].pose.position[:2] - at.position[:2])
            reach.append(gap_xy - 0.033 - layout.flat_radius(prop) - scene.regions["right"].clearance)
    assert reach and min(reach) >= -1e-9


def test_shelves_one_above_the_other_do_not_block_each_other() -> None:
    right = TABLETOP.regions["right"]
    upper = replace(
        right, pose=Pose.of(right.pose.position + np.array([0, 0, 0.4])), name="upper", half_extents=(0.04, 0.04)
    )
    lower = replace(right, half_extents=(0.04, 0.04))
    slots = tuple(
        replace(s, regions={"target": ("right",), "distractor_0": ("upper",)}.get(s.name, s.regions), probability=1.0)
        for s in TABLETOP.slots
    )
    scene = replace(TABLETOP, regions={**TABLETOP.regions, "right": lower, "upper": upper}, slots=slots)
    for i in range(20):
        sample = sample_scene(scene, spec(i))
        high = sample.bodies[scene.objects[sample.slots["distractor_0"]].body].pose.position
        low = sample.bodies[scene.objects[sample.slots["target"]].body].pose.position
        assert high[2] - low[2] == pytest.approx(0.4)


angles = st.floats(-math.pi, math.pi)
lengths = st.floats(0.01, 0.5)
places = st.tuples(st.floats(-1, 1), st.floats(-1, 1))


@given(a=places, b=places, half=st.tuples(lengths, lengths), yaw=angles, radius=lengths)
def test_gap_of_disc_and_rectangle_against_dense_points(a, b, half, yaw, radius) -> None:
    box = Footprint(center=np.array(a), half=np.array(half), yaw=yaw)
    disc = Footprint(center=np.array(b), half=np.array([radius, radius]), disc=True)
    edge = np.concatenate(
        [np.linspace(p, q, 200) for p, q in zip(box.corners(), np.roll(box.corners(), 1, axis=0), strict=True)]
    )
    nearest = np.linalg.norm(edge - disc.center, axis=1).min() - radius
    inside = (np.abs(box.axes() @ (disc.center - box.center)) <= box.half).all()
    found = gap(box, disc)
    assert found == gap(disc, box)
    if inside:
        assert found <= 0
    else:
        assert found == pytest.approx(nearest, abs=0.006)


@given(a=places, b=places, one=st.tuples(lengths, lengths), two=st.tuples(lengths, lengths), yaw=angles, turn=angles)
def test_gap_of_rectangles_never_overstates(a, b, one, two, yaw, turn) -> None:
    first = Footprint(center=np.array(a), half=np.array(one), yaw=yaw)
    second = Footprint(center=np.array(b), half=np.array(two), yaw=turn)
    grid = np.array(np.meshgrid(np.linspace(-1, 1, 12), np.linspace(-1, 1, 12))).reshape(2, -1).T
    p = first.center + (grid * first.half) @ first.axes()
    q = second.center + (grid * second.half) @ second.axes()
    true = np.linalg.norm(p[:, None] - q[None], axis=-1).min()
    assert gap(first, second) <= true + 1e-9
    overlapping = (np.abs((p - second.center) @ second.axes().T) <= second.half + 1e-12).all(axis=1).any()
    if overlapping:
        assert gap(first, second) <= 1e-9


@pytest.mark.parametrize("name", ["red_can", "red_cube", "blue_bottle"])
def test_flat_radius_bounds_the_colliders(name: str) -> None:
    prop: ObjectProp = TABLETOP.objects[name]
    points = outline_points(TABLETOP.bodies[prop.body].geoms, Pose.of())
    reach = np.linalg.norm(points[:, :2] - prop.center[:2], axis=1).max()
    assert layout.flat_radius(prop) == pytest.approx(reach, rel=1e-6)
