"""Forward kinematics of sites for many joint positions at once: a whole episode in a few dozen array operations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from synthgen.core.errors import SceneError
from synthgen.core.pose import Array, Pose, quat_mul, quat_rotate


@dataclass(frozen=True, kw_only=True, eq=False)
class _Joint:
    """One joint of a chain.

    Attributes:
        before: from the frame that the previous joint moves to this joint's frame at its zero.
        column: which of the joint positions moves it; zero: the position at which the model's frames are given.
        slides: along ``axis`` (3,) rather than turning about it.
    """

    before: Pose
    column: int
    zero: float
    axis: Array
    slides: bool


class SiteKinematics:
    """Poses of one site of a MuJoCo model whose chain has hinges and slides only (what ``mj_kinematics`` computes).

    Args:
        model: the model; constants are copied out of it.
        site: id of the site.
        columns: by joint name, its column in the joint positions given later; others stay at their model's zero.
        base: poses are given in this frame of the world.

    Raises:
        SceneError: a ball or free joint carries the site.
    """

    def __init__(self, model: Any, site: int, columns: dict[str, int], *, base: Pose) -> None:
        chain = [int(model.site_bodyid[site])]
        while chain[-1] != 0:
            chain.append(int(model.body_parentid[chain[-1]]))
        self._joints: list[_Joint] = []
        fixed = base.inverse()
        for body in reversed(chain[:-1]):
            fixed = fixed @ Pose.of(model.body_pos[body], model.body_quat[body])
            first = int(model.body_jntadr[body])
            for j in range(first, first + int(model.body_jntnum[body])):
                if int(model.jnt_type[j]) not in (2, 3):  # mjJNT_SLIDE, mjJNT_HINGE
                    raise SceneError(f"joint {model.joint(j).name!r} of the robot is neither a hinge nor a slide")
                if model.joint(j).name not in columns:
                    continue
                anchor = Pose.of(model.jnt_pos[j])
                self._joints.append(
                    _Joint(
                        before=fixed @ anchor,
                        column=columns[model.joint(j).name],
                        zero=float(model.qpos0[model.jnt_qposadr[j]]),
                        axis=model.jnt_axis[j].copy(),
                        slides=int(model.jnt_type[j]) == 2,
                    )
                )
                fixed = anchor.inverse()
        self._last = fixed @ Pose.of(model.site_pos[site], model.site_quat[site])

    def __call__(self, joints: Array) -> Array:
        """Joint positions (T, J), rad (m) -> poses (T, 7) x y z w x y z, unit quaternions."""
        steps = len(joints)
        at, turn = np.zeros((steps, 3)), np.tile([1.0, 0.0, 0.0, 0.0], (steps, 1))
        for j in self._joints:
            at = at + quat_rotate(turn, j.before.position)
            turn = quat_mul(turn, j.before.orientation)
            q = joints[:, j.column] - j.zero
            if j.slides:
                at = at + quat_rotate(turn, j.axis) * q[:, None]
            else:
                half = np.concatenate([np.cos(q / 2)[:, None], np.sin(q / 2)[:, None] * j.axis], -1)
                turn = quat_mul(turn, half)
        at = at + quat_rotate(turn, self._last.position)
        turn = quat_mul(turn, self._last.orientation)
        return np.concatenate([at, turn / np.linalg.norm(turn, axis=-1, keepdims=True)], -1)


def continuous(quats: Array) -> Array:
    """Choose the signs of quaternions (T, 4) so that neighbours are close and the first has w >= 0."""
    signs = np.where((quats[1:] * quats[:-1]).sum(-1) < 0, -1.0, 1.0)
    first = -1.0 if quats[0, 0] < 0 else 1.0
    return quats * np.cumprod(np.concatenate([[first], signs]))[:, None]
