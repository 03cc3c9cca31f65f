"""What is wrong with a scene, before anything is simulated."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from synthgen.core.errors import SceneError
from synthgen.core.scene import ObjectProp, ObjectSlot, Receptacle, SceneSpec
from synthgen.core.task import Needs
from synthgen.usd import layout, stage
from synthgen.usd.load import load_scene
from synthgen.usd.problems import ERROR, Problem, make, problem


@dataclass(frozen=True, kw_only=True, eq=False)
class Examination:
    """A scene, if it could be read, and everything wrong with it, errors first."""

    scene: SceneSpec | None
    problems: tuple[Problem, ...]

    @property
    def usable(self) -> bool:
        """Whether there is no error."""
        return self.scene is not None and all(p.severity != ERROR for p in self.problems)


def examine(path: str | Path) -> Examination:
    """Read and check a stage. Never raises for what is in the file: that becomes a problem."""
    file = Path(path)
    try:
        _, broken = stage.open_stage(file)
        if broken:
            return Examination(scene=None, problems=tuple(broken))
        scene = load_scene(file)
    except SceneError as error:
        return Examination(scene=None, problems=(make("unreadable", "", error.message, error.remedy),))
    return Examination(scene=scene, problems=problems_of(scene))


def problems_of(scene: SceneSpec) -> tuple[Problem, ...]:
    """Everything wrong with a scene that has been read, errors first."""
    found = [problem(w) for w in scene.warnings] + _checks(scene)
    return tuple(sorted(found, key=lambda p: p.severity != ERROR))


def check_scene(path: str | Path) -> list[Problem]:
    """Every problem of a stage, errors first; empty if there is none."""
    return list(examine(path).problems)


def ensure_usable(scene: SceneSpec) -> None:
    """Refuse a scene with errors.

    Raises:
        SceneError: naming the first error, and how many there are.
    """
    errors = [p for p in problems_of(scene) if p.severity == ERROR]
    if errors:
        first, more = errors[0], len(errors) - 1
        place = f"{first.path}: " if first.path else ""
        raise SceneError(
            f"{scene.source}: {place}{first.message}"
            + (f" (and {more} more; see `synthgen scene check {scene.source}`)" if more else ""),
            remedy=first.remedy,
        )


def require(scene: SceneSpec, needs: Needs) -> None:
    """Make sure that a scene has what a task needs.

    Raises:
        SceneError: a slot the task names is missing, may stay empty, or has no candidate or no region; or no mount.
    """
    if not scene.mounts:
        raise SceneError(
            f"{scene.source}: no mount, so a robot has nowhere to stand", remedy="apply SynthgenMountAPI to an Xform"
        )
    slots = {s.name: s for s in scene.slots}
    for name in needs.slots:
        slot = slots.get(name)
        if slot is None:
            known = ", ".join(slots) or "none"
            raise SceneError(
                f"{scene.source}: the task needs a slot {name!r}; the scene has {known}",
                remedy=f"add a prim called {name!r} with SynthgenSlotAPI, or choose another scene",
            )
        if not slot.candidates:
            raise SceneError(
                f"{scene.source}: slot {name!r} has no candidates", remedy="author synthgen:slot:candidates on it"
            )
        if not slot.regions and _placed(scene, slot):
            raise SceneError(
                f"{scene.source}: slot {name!r} has no regions", remedy="author synthgen:slot:regions on it"
            )
        if slot.probability < 1.0:
            raise SceneError(
                f"{scene.source}: slot {name!r} is filled with probability {slot.probability:g}, but the task needs it",
                remedy="set synthgen:slot:probability to 1",
            )


def _checks(scene: SceneSpec) -> list[Problem]:
    found = _absences(scene)
    for slot in scene.slots:
        found += _slot(scene, slot)
    found += _receptacles(scene)
    return found


def _absences(scene: SceneSpec) -> list[Problem]:
    found: list[Problem] = []
    if not scene.mounts:
        found.append(make("no-mount", "", "a robot has nowhere to stand", "apply SynthgenMountAPI to an Xform"))
    if len(scene.mounts) > 1:
        found.append(
            make("several-mounts", scene.mounts[1].path, f"only {scene.mounts[0].path} is used", "keep one mount")
        )
    for things, code, what, schema in (
        (scene.objects, "no-object", "nothing to handle", "SynthgenObjectAPI to a rigid body"),
        (scene.receptacles, "no-receptacle", "nowhere to put things", "SynthgenReceptacleAPI to a body or prim"),
        (scene.regions, "no-spawn-region", "nowhere to place things", "SynthgenSpawnRegionAPI to an Xform"),
        (scene.slots, "no-slot", "nothing says what an episode contains", "SynthgenSlotAPI to a Scope"),
    ):
        if not things:
            found.append(make(code, "", what, f"apply {schema}"))
    if not scene.cameras:
        found.append(make("no-camera", "", "only the robot's cameras can be recorded", "add a Camera"))
    if not scene.lights:
        found.append(make("no-light", "", "the stage has no light; a plain one is used", "add a DomeLight"))
    return found


def _slot(scene: SceneSpec, slot: ObjectSlot) -> list[Problem]:
    placed = _placed(scene, slot)
    if placed and not slot.regions:
        return [
            make("slot-invalid", slot.name, f"slot {slot.name!r} has no region", "author synthgen:slot:regions on it")
        ]
    found: list[Problem] = []
    for region in (scene.regions[r] for r in slot.regions):
        big = [n for n in placed if not _has_room(scene, n, region.half_extents)]
        if big:
            size = " x ".join(f"{2000 * h:.0f}" for h in region.half_extents)
            found.append(
                make(
                    "region-too-small",
                    region.path,
                    f"{', '.join(big)} of slot {slot.name!r} does not fit its {size} mm",
                    "make the region larger, or take it out of the slot",
                )
            )
    things = [layout.thing(scene, n) for n in slot.candidates]
    same = [(a.name, b.name) for i, a in enumerate(things) for b in things[:i] if _alike(a, b)]
    if same and slot.role != "distractor":
        pairs = ", ".join(f"{a} and {b}" for b, a in same)
        found.append(
            make(
                "slot-indistinct",
                slot.name,
                f"nothing tells {pairs} apart, so they are never in one episode together",
                "give them another noun or another word",
            )
        )
    return found


def _receptacles(scene: SceneSpec) -> list[Problem]:
    targets = {n for s in scene.slots if s.role == "target" for n in s.candidates} or set(scene.objects)
    props = [scene.objects[n] for n in sorted(targets)]
    found: list[Problem] = []
    for receptacle in scene.receptacles.values():
        if props and not any(layout.fits(p, receptacle) for p in props):
            floor = " x ".join(f"{2000 * h:.0f}" for h in receptacle.half_extents)
            found.append(
                make(
                    "receptacle-too-small",
                    receptacle.path,
                    f"its inner floor of {floor} mm takes none of the objects",
                    "mend synthgen:receptacle:size, or use smaller objects",
                )
            )
    return found


def _placed(scene: SceneSpec, slot: ObjectSlot) -> list[str]:
    """Candidates that a draw has to place."""
    return [n for n in slot.candidates if layout.body_of(scene, n) in layout.candidates(scene)]


def _has_room(scene: SceneSpec, name: str, half: tuple[float, float]) -> bool:
    own = layout.outline(scene, layout.thing(scene, name)).footprint
    least = np.array([own.half.min(), own.half.min()]) if not own.disc else own.half
    return bool((least <= np.array(half)).all())


def _alike(a: ObjectProp | Receptacle, b: ObjectProp | Receptacle) -> bool:
    return layout.ambiguous(a, b) and layout.ambiguous(b, a)
