"""Simulators by name: the built-in ones, and those of installed packages (entry points ``synthgen.simulators``).

A simulator is registered as a *factory*, a callable ``factory(options: SimulatorOptions) -> Simulator``. A built-in one
is imported only when it is made, so that listing them costs nothing and a missing engine breaks only its own backend.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from synthgen.core.errors import MachineError, UsageError
from synthgen.core.project import pick
from synthgen.core.simulator import Simulator
from synthgen.embodiments.assets import AssetStore

GROUP = "synthgen.simulators"


@dataclass(frozen=True, kw_only=True)
class SimulatorOptions:
    """What a factory is given.

    Attributes:
        root_of: folder of an asset pack by name; default: the asset cache, fetching what is missing.
        rendering: whether pictures will be asked for. A simulator that cannot draw says so in ``load``.
        pixels: width and height of those pictures, for backends that must know before they start.
        device: where to simulate ("cpu", "cuda:0"), for backends that have a choice.
        shadows: draw shadows.
        faces: triangles that a robot's visual meshes are reduced to, all together; None = as they come.
        choices: what else the run chose of the simulator, see ``CHOICES``.
        robots: names of the embodiments that will be loaded, for backends that can refuse one early.
    """

    root_of: Callable[[str], Path] = field(default_factory=lambda: AssetStore().root)
    rendering: bool = True
    pixels: tuple[int, int] = (256, 256)
    device: str = "cpu"
    shadows: bool = False
    faces: int | None = 4000
    choices: Mapping[str, str] = field(default_factory=dict[str, str])
    robots: tuple[str, ...] = ()


Factory = Callable[[SimulatorOptions], Simulator]

BUILTIN = {
    "mujoco": "synthgen.sim.mujoco.factory:make",
    "ovphysx": "synthgen.sim.isaac.factory:ovphysx",
    "newton": "synthgen.sim.isaac.factory:newton",
    "isaacsim": "synthgen.sim.isaac.factory:isaacsim",
}

CHOICES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "assets": {"ovphysx": ("ours", "nvidia"), "isaacsim": ("ours", "nvidia")},
    "renderer": {"ovphysx": ("newton", "ovrtx"), "newton": ("newton", "ovrtx"), "isaacsim": ("rtx",)},
}
"""What may be chosen of a simulator, by what it is about: simulator -> values, the usual one first."""


def check_choices(simulator: str, choices: Mapping[str, str]) -> dict[str, str]:
    """The choices that are not the usual ones: those belong into the plan, because they change results.

    Raises:
        UsageError: the simulator does not have the choice.
    """
    unusual: dict[str, str] = {}
    for about, value in choices.items():
        can = CHOICES[about]
        if value not in can.get(simulator, ()):
            having = [name for name, values in can.items() if value in values]
            raise UsageError(
                f"--simulator {simulator} does not go with {OPTIONS[about].format(value)}",
                remedy=f"leave it out, or choose --simulator {' or '.join(having)}",
            )
        if value != can[simulator][0]:
            unusual[about] = value
    return unusual


OPTIONS = {"assets": "--isaac-assets", "renderer": "--renderer {}"}
"""How the command line says a choice."""


def values(about: str) -> list[str]:
    """Everything that may be chosen about something, of any simulator."""
    return list(dict.fromkeys(v for allowed in CHOICES[about].values() for v in allowed))


def options_of(choices: Mapping[str, str]) -> list[str]:
    """The options that make these choices."""
    return [OPTIONS[about].format(value) for about, value in choices.items()]


def simulators() -> dict[str, Callable[[], Factory]]:
    """Every known simulator by name -> a function that imports and returns its factory. Built-in ones come first.

    Raises:
        UsageError: an entry point takes a name that is in use.
    """
    known: dict[str, Callable[[], Factory]] = {name: _importer(name, target) for name, target in BUILTIN.items()}
    for point in sorted(entry_points(group=GROUP), key=lambda p: p.name):
        if point.name in known:
            raise UsageError(
                f"entry point {GROUP} {point.name} = {point.value}: the name is taken",
                remedy="give the simulator another name, or uninstall one of the packages",
            )
        known[point.name] = _importer(point.name, point.value)
    return known


def make(name: str, options: SimulatorOptions | None = None) -> Simulator:
    """A new simulator, not loaded yet.

    Raises:
        UsageError: unknown name; suggests the nearest.
        MachineError: its engine is not installed.
    """
    load: Callable[[], Factory] = pick("simulator", name, simulators())
    return load()(options or SimulatorOptions())


def _importer(name: str, target: str) -> Callable[[], Factory]:
    def load() -> Factory:
        module, _, attribute = target.partition(":")
        try:
            found: Any = importlib.import_module(module)
        except Exception as error:  # an engine's own imports may fail in any way, such as MuJoCo's without its GL
            raise MachineError(
                f"simulator {name!r} ({target}) cannot be imported: {type(error).__name__}: {error}",
                remedy="install what it needs; 'synthgen doctor' shows what this machine can run",
            ) from error
        try:
            for part in attribute.split("."):
                found = getattr(found, part)
        except AttributeError as error:
            raise UsageError(
                f"simulator {name!r}: {target} does not exist", remedy="mend the package that provides it"
            ) from error
        return found

    return load
