"""Inverse kinematics of one arm: weighted damped least squares with limits and a preferred posture."""

from __future__ import annotations

import math
from dataclasses import dataclass

import mujoco
import numpy as np

from synthgen.core.pose import Array
from synthgen.experts.arm import Arm

# Rotation counts this many metres per radian against position.
ROTATION_WEIGHT = 0.3
DAMPING = 2e-4
LONGEST_STEP = 0.35
# Every so many steps the error must have shrunk by a third, or the solve ends.
PATIENCE = 7


@dataclass(frozen=True, kw_only=True, eq=False)
class Solution:
    """Result of a solve: arm configuration (n,), what is left of position (m) and rotation (rad) error."""

    q: Array
    position_error: float
    rotation_error: float
    iterations: int

    def within(self, position: float, rotation: float) -> bool:
        """Whether both errors are at most the given ones, m and rad."""
        return self.position_error <= position and self.rotation_error <= rotation


class ArmIK:
    """Solves for one arm on a shared ``MjData``, whose other joints stay as they are set.

    A step is dq = X e + (1 - X J) g with X = W J' (J W J' + damping)^-1: the weighted damped least-squares inverse
    (Nakamura and Hanafusa, 1986), with the pull g to the rest posture in its null space.
    """

    def __init__(self, model: mujoco.MjModel, data: mujoco.MjData, arm: Arm) -> None:
        self._model, self._data, self._arm = model, data, arm
        self._weights = np.array(arm.effector.weights, float)[:, None]  # (n, 1)
        self.rest = np.clip(np.array(arm.effector.rest, float), arm.lower, arm.upper)
        # Views of the data stay valid; looking them up anew costs more than what they are used for.
        self._qpos, self._xpos = data.qpos, data.site_xpos[arm.site]
        self._xmat = data.site_xmat[arm.site].reshape(3, 3)
        self._jac = np.zeros((6, model.nv))
        self._quat, self._error, self._scaled = np.zeros(4), np.zeros(6), np.zeros(6)
        self._square = np.zeros((6, 6))
        self._damping = DAMPING * np.eye(6)
        self._rows = np.array([1.0, 1.0, 1.0, *[ROTATION_WEIGHT] * 3])
        self._rows_free = np.array([1.0, 1.0, 1.0, ROTATION_WEIGHT, ROTATION_WEIGHT, 0.0])

    def solve(
        self,
        seed: Array,
        point: Array,
        rotation: Array,
        *,
        tool: Array | None = None,
        free_yaw: bool = False,
        posture: float = 0.0,
        iterations: int = 40,
        position_tolerance: float = 5e-4,
        rotation_tolerance: float = 5e-3,
    ) -> Solution:
        """Bring the tool point to ``point`` with the grasp frame turned as ``rotation``.

        Args:
            seed: (n,) arm configuration to start from, rad (m).
            point: (3,) where the tool point shall be, world frame, metres.
            rotation: (3, 3) grasp frame -> world.
            tool: (3,) tool point in the grasp frame, metres; None = its origin.
            free_yaw: leave the rotation about the world's z axis through the tool point free.
            posture: pull to the rest posture per step, 0 to 1.
            iterations: most steps.
            position_tolerance, rotation_tolerance: when to stop, m and rad.

        Returns:
            The best configuration reached; the caller judges its errors.
        """
        arm, model, data = self._arm, self._model, self._data
        current, error, jac = self._xmat, self._error, self._jac
        q = np.minimum(np.maximum(seed, arm.lower), arm.upper)
        target, rows = rotation, self._rows_free if free_yaw else self._rows
        # The pull must have had time to act, and must end before the solution is judged.
        settle = min(5, iterations // 2) if posture else 0
        checkpoint = np.inf
        for used in range(iterations + 1):
            self._qpos[arm.qpos] = q
            mujoco.mj_kinematics(model, data)
            at = self._xpos if tool is None else self._xpos + current @ tool
            if free_yaw:
                target = turned_to(rotation, current)
            self._rotation_error(target @ current.T)
            error[:3] = point - at
            x, y, z, u, v, w = error.tolist()
            left, turn = math.sqrt(x * x + y * y + z * z), math.sqrt(u * u + v * v + w * w)
            done = (left < position_tolerance and turn < rotation_tolerance and used >= settle) or used == iterations
            if not done and used % PATIENCE == 0 and used > settle:
                # Out of reach: it does not get nearer any more.
                badness = left + ROTATION_WEIGHT * turn
                done = badness > 0.7 * checkpoint
                checkpoint = badness
            if done:
                return Solution(q=q, position_error=left, rotation_error=turn, iterations=used)
            mujoco.mj_comPos(model, data)
            mujoco.mj_jac(model, data, jac[:3], jac[3:], at, arm.body)
            j = rows[:, None] * jac[:, arm.dofs]  # (6, n)
            wj = self._weights * j.T  # (n, 6)
            e = rows * error
            pull = posture * (self.rest - q) if posture and used < iterations - 12 else None
            if pull is not None:
                e -= j @ pull
            np.add(j @ wj, self._damping, out=self._square)
            mujoco.mju_cholFactor(self._square, 0.0)
            mujoco.mju_cholSolve(self._scaled, self._square, e)
            step = wj @ self._scaled
            if pull is not None:
                step += pull
            longest = float(np.abs(step).max())
            if longest > LONGEST_STEP:
                step *= LONGEST_STEP / longest
            q = np.minimum(np.maximum(q + step, arm.lower), arm.upper)
        raise AssertionError("unreachable")

    def _rotation_error(self, difference: Array) -> None:
        """Write the rotation vector of a rotation matrix (3, 3) to ``_error[3:]``."""
        mujoco.mju_mat2Quat(self._quat, np.ascontiguousarray(difference).ravel())
        mujoco.mju_quat2Vel(self._error[3:], self._quat, 1.0)


def turned_to(rotation: Array, current: Array) -> Array:
    """``rotation`` (3, 3) turned about the world's z axis to be as near to ``current`` (3, 3) as it can."""
    (a0, a1, _), (b0, b1, _) = (current[:2] @ rotation.T).tolist()
    angle = math.atan2(b0 - a1, a0 + b1)
    c, s = math.cos(angle), math.sin(angle)
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]]) @ rotation
