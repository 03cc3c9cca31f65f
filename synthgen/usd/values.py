"""Values of the synthgen: schemas, checked against what they may be."""

from __future__ import annotations

from typing import Any

import numpy as np
from pxr import Usd

from synthgen.core.scene import Range
from synthgen.usd import schemas
from synthgen.usd.problems import Notes


class Values:
    """Reads checked values of one schema from one prim."""

    def __init__(self, prim: Usd.Prim, schema: str, prefix: str, notes: Notes) -> None:
        self._prim, self._schema, self._prefix, self._notes = prim, schema, prefix, notes

    def raw(self, name: str) -> Any:
        """The authored value, or the default."""
        return schemas.value(self._prim, self._schema, f"{self._prefix}:{name}")

    def text(self, name: str) -> str:
        """A required text; the prim's name (and an error) when it is missing."""
        found = str(self.raw(name)).strip()
        if not found:
            self._wrong(name, "is missing")
        return found or self._prim.GetName().lower()

    def token(self, name: str) -> str:
        """One of the allowed tokens; the default (and an error) for any other."""
        known = schemas.declared()[self._schema][f"{self._prefix}:{name}"]
        found = str(self.raw(name))
        if found in known.allowed:
            return found
        self._wrong(name, f"is {found!r}; allowed: {', '.join(known.allowed)}")
        return str(known.default)

    def number(self, name: str, low: float, high: float) -> float:
        """A number within [low, high]; clipped (and an error) outside."""
        found = float(self.raw(name))
        if not low <= found <= high:
            self._wrong(name, f"is {found:g}; it must be from {low:g} to {high:g}")
        return float(np.clip(found, low, high)) if np.isfinite(found) else low

    def pair(self, name: str) -> tuple[float, float]:
        """Two numbers."""
        found = self.raw(name)
        return (float(found[0]), float(found[1]))

    def range(self, name: str, low: float, high: float) -> Range:
        """A range within [low, high]; sorted and clipped (and an error) when it is not."""
        first, last = self.pair(name)
        if not low <= first <= last <= high:
            self._wrong(name, f"is ({first:g}, {last:g}); it must be a range (low, high) within [{low:g}, {high:g}]")
        first, last = sorted(np.clip((first, last), low, high))
        return Range(low=float(first), high=float(last))

    def _wrong(self, name: str, what: str) -> None:
        full = f"{self._prefix}:{name}"
        self._notes.add("value-invalid", f"{self._prim.GetPath()}.{full}", f"{full} {what}", f"author {full}")
