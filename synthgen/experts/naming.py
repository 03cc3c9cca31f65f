"""Words that single a thing out among those present."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from synthgen.core.pose import Array
from synthgen.core.world import World

# Where English puts adjectives; kinds not listed come last, by name.
ADJECTIVE_ORDER = ("size", "shape", "color", "material")
SIDES = ("leftmost", "rightmost", "nearest", "farthest")
ORDINALS = ("first", "second", "third", "fourth", "fifth")


@dataclass(frozen=True, kw_only=True, eq=False)
class Thing:
    """What can be said of an object or a receptacle: noun, attributes by kind, where it is (world, metres)."""

    name: str
    noun: str
    attributes: Mapping[str, str]
    position: Array

    def phrase(self, kinds: tuple[str, ...]) -> str:
        """The noun with the attributes of those kinds before it, in English order."""
        order = {k: i for i, k in enumerate(ADJECTIVE_ORDER)}
        chosen = sorted(kinds, key=lambda k: (order.get(k, len(order)), k))
        return " ".join([*(self.attributes[k] for k in chosen), self.noun])

    def is_called(self, noun: str, attributes: Mapping[str, str]) -> bool:
        """Whether these words fit it."""
        return self.noun == noun and all(self.attributes.get(k) == v for k, v in attributes.items())


def things(world: World) -> list[Thing]:
    """Every active object and receptacle."""
    found = [
        Thing(name=name, noun=o.prop.noun, attributes=o.prop.attributes, position=o.center)
        for name, o in world.objects.items()
    ]
    found += [
        Thing(name=name, noun=r.receptacle.noun, attributes=r.receptacle.attributes, position=r.frame.position)
        for name, r in world.receptacles.items()
        if name not in world.objects
    ]
    return found


def describe(world: World, name: str) -> str:
    """The shortest noun phrase that fits one thing only, without article: "can", "red can", "leftmost red can".

    Fewest attributes first; where all attributes together leave a choice, a side as seen from the robot.

    Raises:
        KeyError: no active thing of that name.
    """
    present = things(world)
    mine = next((t for t in present if t.name == name), None)
    if mine is None:
        raise KeyError(name)
    kinds = sorted(mine.attributes)
    for count in range(len(kinds) + 1):
        for chosen in combinations(kinds, count):
            if len(_alike(present, mine, chosen)) == 1:
                return mine.phrase(chosen)
    return _placed(world, mine, _alike(present, mine, tuple(kinds)))


def _alike(present: list[Thing], mine: Thing, kinds: tuple[str, ...]) -> list[Thing]:
    words = {k: mine.attributes[k] for k in kinds}
    return [t for t in present if t.is_called(mine.noun, words)]


def _placed(world: World, mine: Thing, alike: list[Thing]) -> str:
    """Name a thing among others alike by where it stands, as the robot sees it."""
    frame = world.scene.mounts[0].pose.inverse() if world.scene.mounts else None
    at = {t.name: t.position if frame is None else frame.apply(t.position) for t in alike}
    others = np.array([p for name, p in at.items() if name != mine.name])
    x, y = at[mine.name][:2]
    lead = {
        "leftmost": y - others[:, 1].max(),
        "rightmost": others[:, 1].min() - y,
        "nearest": others[:, 0].min() - x,
        "farthest": x - others[:, 0].max(),
    }
    words = mine.phrase(tuple(mine.attributes))
    side = max(SIDES, key=lambda s: lead[s])
    if lead[side] > 0:
        return f"{side} {words}"
    rank = int((others[:, 1] > y).sum())
    ordinal = ORDINALS[rank] if rank < len(ORDINALS) else f"{rank + 1}th"
    return f"{ordinal} {words} from the left"
