"""Pick an object up and put it into a receptacle.

Task:
    Take the object that fills the slot ``target`` and put it into the receptacle that fills the slot ``container``.

Randomizations (the scene's):
    Which object and receptacle, where they stand and how they are turned, distractors, masses, frictions, looks.

Success conditions:
    The object's centre is inside the receptacle, no hand touches the object, it is at rest, the receptacle stands
    upright, and nothing has fallen off the work surface. Held for ``dwell`` seconds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from synthgen.core.pose import quat_rotate
from synthgen.core.task import Needs
from synthgen.core.world import World
from synthgen.experts.naming import describe
from synthgen.experts.skills import Pick, Place, Skill

PHRASES = (
    "pick up the {thing} and place it {into} the {container}",
    "put the {thing} {into} the {container}",
    "place the {thing} {in_} the {container}",
    "move the {thing} {into} the {container}",
    "take the {thing} and put it {in_} the {container}",
    "grab the {thing} and set it down {in_} the {container}",
    "lift the {thing} and lower it {into} the {container}",
    "transfer the {thing} {into} the {container}",
    "please put the {thing} {in_} the {container}",
    "could you place the {thing} {in_} the {container}?",
    "the {thing} goes {in_} the {container}",
    "find the {thing} and put it {into} the {container}",
)
WITHIN = {"into": "in", "onto": "on"}


class PickPlace:
    """See the module."""

    name = "pick_place"
    summary = "Pick an object up and put it into a receptacle."
    needs = Needs(slots=("target", "container"))
    subtasks = ("reach", "grasp", "lift", "move", "release", "retreat")
    time_limit = 20.0
    dwell = 0.5

    def instructions(self, world: World) -> Sequence[str]:
        """Paraphrases that name object and receptacle by as few words as single them out."""
        container = world.filled("container")
        into = world.receptacles[container].receptacle.preposition
        words = {
            "thing": describe(world, world.filled("target")),
            "container": describe(world, container),
            "into": into,
            "in_": WITHIN.get(into, into),
        }
        return [phrase.format(**words) for phrase in PHRASES]

    def program(self, world: World) -> Iterator[Skill]:
        """Pick, then place."""
        target, container = world.filled("target"), world.filled("container")
        yield Pick(target)
        yield Place(target, into=container)

    def success(self, world: World) -> bool:
        """Whether the object lies in the receptacle, let go and at rest, with everything else still on the table."""
        return self._wrong(world) == ""

    def failure_reason(self, world: World) -> str:
        """The first condition of success that does not hold."""
        return self._wrong(world) or "not_successful"

    def _wrong(self, world: World) -> str:
        target = world.filled("target")
        container = world.receptacles[world.filled("container")]
        if not world.on_surface(target):
            return "dropped"
        if not all(world.on_surface(name) for name in world.objects):
            return "knocked_off"
        upright = quat_rotate(container.frame.orientation, [0.0, 0.0, 1.0])[2] > 0.9
        if not (upright and container.contains(world.objects[target].center)):
            return "not_in_receptacle"
        if world.is_touched(target):
            return "not_released"
        if not world.objects[target].at_rest():
            return "not_at_rest"
        return ""


task = PickPlace()
