"""What a task's program is made of. A skill says what shall be; how is the business of its motion module."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Pick:
    """Take an object in a hand and lift it. Subtasks: reach, grasp, lift.

    Attributes:
        object: name of the object.
    """

    object: str


@dataclass(frozen=True)
class Place:
    """Put the object that is in the hand into a receptacle and draw back. Subtasks: move, release, retreat.

    Attributes:
        object: name of the held object.
        into: name of the receptacle.
    """

    object: str
    into: str


@dataclass(frozen=True)
class Home:
    """Bring every arm to the embodiment's home pose, hands open. Subtask: retreat."""


Skill = Pick | Place | Home
