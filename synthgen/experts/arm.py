"""An end effector and its arm as index arrays into the planning model."""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np
from numpy.typing import NDArray

from synthgen.core.embodiment import Embodiment, EndEffector
from synthgen.core.errors import UsageError
from synthgen.core.pose import Array

Indices = NDArray[np.int64]

# Targets stay this far inside the joint limits, so that a controller's overshoot does not meet the stop, rad (m).
LIMIT_MARGIN = 0.02


@dataclass(frozen=True, kw_only=True, eq=False)
class Arm:
    """Indices and limits of one end effector; n = number of arm joints, h = number of hand joints.

    Attributes:
        effector: what it was made from.
        site: id of the grasp frame's site; body: id of the site's body.
        columns, hand_columns: (n,) and (h,) indices into the vector of driven joints.
        qpos, dofs: (n,) addresses in the model.
        lower, upper: (n,) position limits less a margin, rad (m).
        velocity, acceleration: (n,) motion limits, rad/s and rad/s2 (m/s and m/s2).
        hand_velocity, hand_acceleration: (h,) likewise.
        reach: (n,) how far each joint can carry the hand, m/rad (1 for a slide): a metric on configurations.
    """

    effector: EndEffector
    site: int
    body: int
    columns: Indices
    hand_columns: Indices
    qpos: Indices
    dofs: Indices
    lower: Array
    upper: Array
    velocity: Array
    acceleration: Array
    hand_velocity: Array
    hand_acceleration: Array
    reach: Array

    @property
    def name(self) -> str:
        """The end effector's name."""
        return self.effector.name

    @staticmethod
    def of(model: mujoco.MjModel, data: mujoco.MjData, embodiment: Embodiment, effector: EndEffector) -> Arm:
        """Look everything up; ``data`` holds the home pose with kinematics done.

        Raises:
            UsageError: the model lacks a joint or the site that the embodiment names.
        """
        site = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_SITE, effector.site)
        if site < 0:
            raise UsageError(
                f"embodiment {embodiment.name!r}: the model has no site {effector.site!r}",
                remedy="name a site of the built model in EndEffector.site",
            )
        ids = [joint_id(model, embodiment, j) for j in effector.arm_joints]
        driven = {j: i for i, j in enumerate(embodiment.driven)}
        ranges = model.jnt_range[ids]
        limited = model.jnt_limited[ids].astype(bool)
        margin = np.minimum(LIMIT_MARGIN, 0.1 * (ranges[:, 1] - ranges[:, 0]))
        slide = model.jnt_type[ids] == mujoco.mjtJoint.mjJNT_SLIDE
        # The arm may fold out further than at home, hence the factor.
        reach = 1.2 * np.linalg.norm(data.xanchor[ids] - data.site_xpos[site], axis=1) + 0.05
        limits = [embodiment.limits[j] for j in effector.arm_joints]
        hand = [embodiment.limits[j] for j in effector.hand_joints]
        return Arm(
            effector=effector,
            site=site,
            body=int(model.site_bodyid[site]),
            columns=np.array([driven[j] for j in effector.arm_joints]),
            hand_columns=np.array([driven[j] for j in effector.hand_joints]),
            qpos=model.jnt_qposadr[ids].astype(np.int64),
            dofs=model.jnt_dofadr[ids].astype(np.int64),
            lower=np.where(limited, ranges[:, 0] + margin, -np.pi),
            upper=np.where(limited, ranges[:, 1] - margin, np.pi),
            velocity=np.array([x.velocity for x in limits]),
            acceleration=np.array([x.acceleration for x in limits]),
            hand_velocity=np.array([x.velocity for x in hand]),
            hand_acceleration=np.array([x.acceleration for x in hand]),
            reach=np.where(slide, 1.0, reach),
        )


def joint_id(model: mujoco.MjModel, embodiment: Embodiment, name: str) -> int:
    """Id of a robot joint.

    Raises:
        UsageError: the model has no such joint.
    """
    found = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_JOINT, name)
    if found < 0:
        raise UsageError(
            f"embodiment {embodiment.name!r}: the model has no joint {name!r}",
            remedy="name the joints as in the model that the embodiment builds",
        )
    return found
