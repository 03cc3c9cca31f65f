"""An OpenGL context without a display: EGL, or OSMesa where there is no EGL."""

from __future__ import annotations

import atexit
import importlib
import os
import sys
import weakref
from typing import Any

from synthgen.core.errors import MachineError

_contexts: weakref.WeakSet[Any] = weakref.WeakSet()
_PACKAGES = {"egl": "libegl1 libgl1-mesa-dri", "osmesa": "libosmesa6"}


def open_context(width: int, height: int) -> Any:
    """A current off-screen context for pictures up to ``width`` x ``height`` pixels (``make_current``, ``free``).

    ``MUJOCO_GL`` chooses ``egl`` or ``osmesa``; unset, EGL is tried first.

    Raises:
        MachineError: neither works.
    """
    chosen = os.environ.get("MUJOCO_GL", "").lower()
    if chosen and chosen not in _PACKAGES:
        raise MachineError(
            f"MUJOCO_GL={chosen}: pictures are drawn off screen, with egl or osmesa",
            remedy="unset MUJOCO_GL or set it to egl or osmesa",
        )
    problems: list[str] = []
    for name in (chosen,) if chosen else tuple(_PACKAGES):
        try:
            return _open(name, width, height)
        except Exception as error:  # whatever a GL loader raises: ImportError, AttributeError, RuntimeError, GLError
            problems.append(f"{name}: {type(error).__name__}: {error}")
            _forget(name)
    wanted = " ".join(_PACKAGES[n] for n in ((chosen,) if chosen else _PACKAGES))
    raise MachineError(
        f"no OpenGL for cameras on this machine ({'; '.join(problems)})",
        remedy=f"install the Debian packages {wanted}, or run with --cameras none",
    )


def _open(name: str, width: int, height: int) -> Any:
    # MuJoCo's own loader reads this variable when the first picture is drawn.
    os.environ["MUJOCO_GL"] = name
    context = importlib.import_module(f"mujoco.{name}").GLContext(width, height)
    if not _contexts:
        # Registered after MuJoCo's own exit handler, so it runs before that one takes the display away.
        atexit.register(_free_all)
    _contexts.add(context)
    context.make_current()
    return context


def _free_all() -> None:
    for context in list(_contexts):
        context.free()


def _forget(name: str) -> None:
    """PyOpenGL settles on a platform at import; let the next one try."""
    os.environ.pop("MUJOCO_GL", None)
    os.environ.pop("PYOPENGL_PLATFORM", None)
    for module in [m for m in sys.modules if m.split(".")[0] == "OpenGL" or m.startswith(f"mujoco.{name}")]:
        del sys.modules[module]
