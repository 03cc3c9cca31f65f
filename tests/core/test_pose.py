"""Laws of rigid transforms: inverse, associativity, agreement with matrices."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from synthgen.core.pose import Pose, matrix_from_quat, quat_from_axis_angle, quat_from_matrix, quat_mul, quat_rotate

numbers = st.floats(-3, 3, allow_nan=False, width=32)
vectors = arrays(np.float64, 3, elements=numbers)
quats = arrays(np.float64, 4, elements=numbers).filter(lambda q: np.linalg.norm(q) > 0.1)
poses = st.builds(Pose.of, vectors, quats)


@given(poses)
def test_inverse_composes_to_identity(a: Pose) -> None:
    np.testing.assert_allclose((a @ a.inverse()).matrix(), np.eye(4), atol=1e-9)


@given(poses, poses, poses)
def test_composition_is_associative_and_agrees_with_matrices(a: Pose, b: Pose, c: Pose) -> None:
    np.testing.assert_allclose(((a @ b) @ c).matrix(), (a @ (b @ c)).matrix(), atol=1e-9)
    np.testing.assert_allclose((a @ b).matrix(), a.matrix() @ b.matrix(), atol=1e-9)


@given(poses, vectors)
def test_apply_is_the_homogeneous_product(a: Pose, p: np.ndarray) -> None:
    np.testing.assert_allclose(a.apply(p), (a.matrix() @ np.append(p, 1))[:3], atol=1e-9)


@given(poses)
def test_vector_round_trip(a: Pose) -> None:
    np.testing.assert_allclose(Pose.from_vector(a.vector()).matrix(), a.matrix(), atol=1e-12)


@given(quats)
def test_quaternion_and_matrix_round_trip(q: np.ndarray) -> None:
    q = q / np.linalg.norm(q)
    r = matrix_from_quat(q)
    np.testing.assert_allclose(r @ r.T, np.eye(3), atol=1e-9)
    assert np.linalg.det(r) > 0
    back = quat_from_matrix(r)
    assert min(np.abs(back - q).max(), np.abs(back + q).max()) < 1e-7


def test_rotations_broadcast_over_leading_axes() -> None:
    q = np.stack([quat_from_axis_angle([0, 0, 1], a) for a in (0.0, np.pi / 2, np.pi)])
    np.testing.assert_allclose(quat_rotate(q, [1.0, 0, 0]), [[1, 0, 0], [0, 1, 0], [-1, 0, 0]], atol=1e-12)
    assert quat_mul(q, q).shape == (3, 4)


def test_yaw_is_the_heading_of_the_x_axis() -> None:
    assert np.isclose(Pose.of((0, 0, 0), quat_from_axis_angle([0, 0, 1], 0.7)).yaw(), 0.7)
