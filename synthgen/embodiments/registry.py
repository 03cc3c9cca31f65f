"""Embodiments by name: the built-in ones, and those of installed packages (entry points ``synthgen.embodiments``)."""

from __future__ import annotations

from importlib.metadata import entry_points

from synthgen.core.embodiment import Embodiment
from synthgen.core.errors import UsageError
from synthgen.core.project import pick
from synthgen.embodiments.franka import FRANKA
from synthgen.embodiments.g1 import G1
from synthgen.embodiments.gr1 import GR1

BUILTIN = (FRANKA, GR1, G1)


def embodiments() -> dict[str, Embodiment]:
    """Every known embodiment by name, built-in ones first. An entry point names an ``Embodiment``.

    Raises:
        UsageError: an entry point cannot be loaded, is not an Embodiment, or takes a name that is in use.
    """
    known = {e.name: e for e in BUILTIN}
    for point in sorted(entry_points(group="synthgen.embodiments"), key=lambda p: p.name):
        try:
            found = point.load()
        except Exception as error:
            raise UsageError(
                f"entry point synthgen.embodiments {point.name} = {point.value}: {type(error).__name__}: {error}",
                remedy="mend or uninstall the package that provides it",
            ) from error
        if not isinstance(found, Embodiment):
            raise UsageError(
                f"entry point synthgen.embodiments {point.name} = {point.value} is not an Embodiment",
                remedy="let it name an instance of synthgen.core.embodiment.Embodiment",
            )
        if found.name in known:
            raise UsageError(
                f"entry point synthgen.embodiments {point.name} = {point.value}: the name {found.name!r} is taken",
                remedy="give the embodiment another name",
            )
        known[found.name] = found
    return known


def load(name: str) -> Embodiment:
    """The embodiment of that name.

    Raises:
        UsageError: unknown; suggests the nearest name.
    """
    return pick("embodiment", name, embodiments())
