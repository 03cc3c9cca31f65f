"""Forward kinematics in arrays equals MuJoCo's, for chains of every kind of joint we allow."""

from __future__ import annotations

import numpy as np
import pytest

from synthgen.core.errors import SceneError
from synthgen.core.pose import Pose
from synthgen.episode.kinematics import SiteKinematics, continuous

XML = """
<mujoco><compiler angle="radian"/>
  <worldbody><frame pos="0.3 -0.2 0.9" euler="0.1 0.2 0.3">
    <body pos="0.1 0 0.2" quat="0.9 0.1 -0.3 0.2">
      <joint name="a" type="hinge" axis="0.3 1 0.2" pos="0.05 0.02 -0.01" ref="0.4"/><geom size="0.01"/>
      <joint name="b" type="slide" axis="0 0.6 0.8"/>
      <body pos="0 0.2 0.1" euler="1 0.4 -0.2"><geom size="0.01"/>
        <body pos="0.02 0.1 0.1"><joint name="c" type="hinge" axis="0 0 1" pos="0 0.1 0"/>
          <joint name="d" type="hinge" axis="1 0 0"/><geom size="0.01"/>
          <body pos="0 0 0.3"><joint name="other" type="hinge" axis="0 1 0" ref="0.2"/><geom size="0.01"/>
            <site name="tool" pos="0.01 0.02 0.03" euler="0.5 0.1 0.7"/></body></body></body>
    </body></frame>
    <body name="loose"><freejoint/><geom size="0.01"/><site name="loose"/></body>
  </worldbody>
</mujoco>
"""


def test_equals_mj_kinematics() -> None:
    import mujoco

    model = mujoco.MjModel.from_xml_string(XML)
    data = mujoco.MjData(model)
    base = Pose.of((0.1, 0.2, 0.3), (0.7, -0.1, 0.5, 0.2))
    names = ["c", "a", "d", "b"]
    site = model.site("tool").id
    fk = SiteKinematics(model, site, {n: i for i, n in enumerate(names)}, base=base)
    joints = np.random.default_rng(0).uniform(-2, 2, (50, 4))
    got = fk(joints)
    for row, pose in zip(joints, got, strict=True):
        for name, q in zip(names, row, strict=True):
            data.qpos[model.joint(name).qposadr[0]] = q
        mujoco.mj_kinematics(model, data)
        quat = np.zeros(4)
        mujoco.mju_mat2Quat(quat, data.site_xmat[site])
        want = base.inverse() @ Pose.of(data.site_xpos[site], quat)
        assert pose[:3] == pytest.approx(want.position, abs=1e-12)
        assert abs(float(pose[3:] @ want.orientation)) == pytest.approx(1.0, abs=1e-12)


def test_a_free_joint_below_the_site_is_refused() -> None:
    import mujoco

    model = mujoco.MjModel.from_xml_string(XML)
    with pytest.raises(SceneError, match="neither a hinge nor a slide"):
        SiteKinematics(model, model.site("loose").id, {}, base=Pose())


def test_signs_are_continuous() -> None:
    angle = np.linspace(0, 4 * np.pi, 60)
    quats = np.stack([np.cos(angle / 2), np.sin(angle / 2), 0 * angle, 0 * angle], -1)
    flipped = quats * np.random.default_rng(1).choice([-1.0, 1.0], 60)[:, None]
    assert continuous(flipped) == pytest.approx(quats * np.sign(quats[0, 0]))
