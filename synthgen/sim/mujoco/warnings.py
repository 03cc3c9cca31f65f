"""MuJoCo's engine warnings go to Python's logging and to no MUJOCO_LOG.TXT in the working folder."""

from __future__ import annotations

import logging

import mujoco

log = logging.getLogger("synthgen.sim.mujoco")


def install() -> None:
    """Install the handler, for the whole process; calling it again changes nothing."""
    mujoco.set_mju_user_warning(_warn)


def _warn(message: str) -> None:
    log.warning("MuJoCo: %s", message)
