from __future__ import annotations

import numpy as np

from synthgen.core.pose import matrix_from_quat
from synthgen.formats.features import frame_columns, frame_features, pose_9d, pose_from_matrix, relative_pose
from synthgen.testing.episodes import dataset_spec, made_episode


def poses(n: int) -> np.ndarray:
    rng = np.random.default_rng(2)
    quat = rng.normal(size=(n, 4))
    return np.concatenate([rng.normal(size=(n, 3)), quat / np.linalg.norm(quat, axis=1, keepdims=True)], 1)


def matrices(pose: np.ndarray) -> np.ndarray:
    out = np.tile(np.eye(4), (len(pose), 1, 1))
    out[:, :3, :3], out[:, :3, 3] = matrix_from_quat(pose[:, 3:]), pose[:, :3]
    return out


def test_columns_are_those_announced():
    dataset = dataset_spec()
    for slot in range(3):
        episode = made_episode(slot, dataset)
        columns = frame_columns(episode, dataset)
        assert list(columns) == [f.name for f in frame_features(dataset)]
        for f in frame_features(dataset):
            want = (len(episode),) if f.width == 1 else (len(episode), f.width)
            assert columns[f.name].shape == want
            assert str(columns[f.name].dtype) == f.dtype


def test_an_object_that_is_absent_has_no_pose():
    dataset = dataset_spec()
    columns = frame_columns(made_episode(0, dataset), dataset)
    assert columns["object_pose.can"].any()
    assert not columns["object_pose.box"].any()


def test_nine_numbers_are_position_and_two_rows():
    pose = poses(20)
    whole = matrices(pose)
    found = pose_9d(pose)
    assert np.allclose(found[:, :3], pose[:, :3], atol=1e-6)
    assert np.allclose(found[:, 3:], whole[:, :2, :3].reshape(-1, 6), atol=1e-6)


def test_relative_pose_is_the_inverse_times_the_other():
    a, b = poses(20), poses(40)[20:]
    want = np.linalg.inv(matrices(a)) @ matrices(b)
    assert np.allclose(matrices(relative_pose(a, b)), want, atol=1e-9)


def test_pose_of_a_matrix_and_back():
    whole = matrices(poses(500))
    found = pose_from_matrix(whole)
    assert np.allclose(matrices(found.astype(float)), whole, atol=1e-5)
    assert ((found[1:, 3:] * found[:-1, 3:]).sum(1) >= 0).all()
    assert found[0, 3] >= 0
