"""Joints as trees: each body moved by at most one joint, parents before children."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from synthgen.core.scene import Body, Joint
from synthgen.usd.problems import Notes
from synthgen.usd.space import tidy


def ordered(joints: list[Joint], bodies: Mapping[str, Body], notes: Notes) -> tuple[Joint, ...]:
    """Grow trees from the world and the kinematic bodies, then from bodies that hang on nothing, in stage order.

    ``joints`` have their frames in the world; those of the result are in the frames of the bodies they connect. A
    joint whose tree grows from its body 1 is turned round. Joints that close a loop are left out, and noted.
    """
    placed: set[str | None] = {None, *(p for p, b in bodies.items() if b.kinematic)}
    left, done = list(joints), list[Joint]()
    while left:
        grown = True
        while grown:
            grown = False
            for joint in list(left):
                if joint.parent in placed and joint.child in placed:
                    left.remove(joint)
                    _loop(joint, notes)
                elif joint.parent in placed or joint.child in placed:
                    down = joint if joint.parent in placed else turned(joint)
                    done.append(_in_bodies(down, bodies))
                    placed.add(down.child)
                    left.remove(joint)
                    grown = True
        if left:
            ends = {p for j in left for p in (j.parent, j.child)}
            roots = [p for p in bodies if p in ends]
            children = {j.child for j in left}
            placed.add(next((p for p in roots if p not in children), roots[0]))
    return tuple(done)


def turned(joint: Joint) -> Joint:
    """The same joint with parent and child exchanged; the coordinate keeps its sign because the axis turns round."""
    return replace(
        joint,
        parent=joint.child or None,
        child=joint.parent or "",
        frame_in_parent=joint.frame_in_child,
        frame_in_child=joint.frame_in_parent,
        axis=-joint.axis,
    )


def _loop(joint: Joint, notes: Notes) -> None:
    if joint.kind == "fixed" and joint.parent is None:
        return  # ties a kinematic body to the world: says nothing new
    notes.add(
        "joint-loop",
        joint.path,
        "the joint closes a loop of joints, or ties two kinematic bodies; it is left out",
        "open the loop, or leave one joint out",
    )


def _in_bodies(joint: Joint, bodies: Mapping[str, Body]) -> Joint:
    parent, child = joint.frame_in_parent, joint.frame_in_child
    if joint.parent is not None:
        parent = bodies[joint.parent].pose.inverse() @ parent
    return replace(joint, frame_in_parent=tidy(parent), frame_in_child=tidy(bodies[joint.child].pose.inverse() @ child))
