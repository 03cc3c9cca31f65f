# pyright: reportMissingImports=false, reportAttributeAccessIssue=false
"""Friction of single bodies in single environments. Isaac Lab has no common call for it: one function per engine."""

from __future__ import annotations

from typing import Any

from synthgen.sim.isaac.lab import Handles


def scale_friction(handles: Handles, body: Any, env: int, factor: float) -> None:
    """Set the friction of all colliders of a ``RigidObject`` in one environment to ``factor`` times the authored."""
    manager = handles.sim.physics_manager.__name__.lower()
    if "newton" in manager:
        _newton(handles, body, env, factor)
    elif "ov" in manager:
        _ovphysx(body, env, factor)
    else:
        _physx(body, env, factor)


def _authored(body: Any, read: Any) -> Any:
    """The values as loaded, read once and kept on the body."""
    if not hasattr(body, "_synthgen_friction"):
        body._synthgen_friction = read().clone()
    return body._synthgen_friction


def _newton(handles: Handles, body: Any, env: int, factor: float) -> None:
    import warp as wp
    from newton import ModelFlags

    manager = handles.sim.physics_manager
    values = wp.to_torch(body._root_view.get_attribute("shape_material_mu", manager.get_model())[:, 0])
    values[env] = _authored(body, lambda: values)[env] * factor
    manager.add_model_change(ModelFlags.SHAPE_PROPERTIES)


def _ovphysx(body: Any, env: int, factor: float) -> None:
    import torch
    import warp as wp
    from isaaclab_ov import tensor_types

    kind = tensor_types.RIGID_BODY_SHAPE_FRICTION_AND_RESTITUTION
    values = wp.to_torch(body.root_view.get_attribute(kind))
    authored = _authored(body, lambda: values)
    values[env] = authored[env]
    values[env, :, :2] *= factor
    index = wp.from_torch(torch.tensor([env], dtype=torch.int32, device=values.device))
    body.root_view.set_attribute(kind, wp.from_torch(values.contiguous(), dtype=wp.float32), indices=index)


def _physx(body: Any, env: int, factor: float) -> None:
    import torch
    import warp as wp

    values = wp.to_torch(body.root_view.get_material_properties())
    authored = _authored(body, lambda: values)
    values[env] = authored[env]
    values[env, :, :2] *= factor
    index = wp.from_torch(torch.tensor([env], dtype=torch.int32))
    body.root_view.set_material_properties(wp.from_torch(values, dtype=wp.float32), index)
