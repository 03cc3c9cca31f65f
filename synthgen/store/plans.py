"""The plans of a run: the first, and one more each time its n has grown. The last is in force."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from synthgen.core.errors import PlanMismatchError
from synthgen.core.plan import RunPlan
from synthgen.store.files import dump, parse

Read = Callable[[str], bytes | None]  # a small file of the run by its name; None when there is none
Publish = Callable[[str, bytes], bool]  # create one; False when it is there already


def plan_name(growths: int) -> str:
    """File name of a run's plan after so many growths."""
    return f"plan.{growths:04d}.json" if growths else "plan.json"


def chain(place: str, read: Read) -> list[RunPlan]:
    """The plans of a run as it grew, the one in force last; empty when there is no run.

    Raises:
        StorageError, UsageError: one cannot be read.
    """
    found: list[RunPlan] = []
    while (data := read(plan_name(len(found)))) is not None:
        found.append(RunPlan.from_json(parse(f"{place}/{plan_name(len(found))}", data)))
    return found


def settle(place: str, plan: RunPlan, read: Read, publish: Publish) -> RunPlan:
    """Start a run with ``plan``, join it when it is there, or grow it; the plan that is in force then.

    Raises:
        PlanMismatchError: the run has another plan; names the fields that differ.
    """
    while True:
        there = chain(place, read)
        then = joined(place, there[-1], plan) if there else plan
        if (there and then == there[-1]) or publish(plan_name(len(there)), dump(then.to_json())):
            return then


def joined(place: str, there: RunPlan, wanted: RunPlan) -> RunPlan:
    """The plan of the run at ``place`` once ``wanted`` joins it: the same, or grown.

    Raises:
        PlanMismatchError: it is another; names the fields that differ.
    """
    grown = there.grow(wanted)
    if grown is not None:
        return grown
    differing = there.differences(wanted)
    listed = "\n".join(f"  {field}: {a!r} there, {b!r} asked for" for field, (a, b) in _named(differing))
    raise PlanMismatchError(
        f"{place} belongs to a run with another plan:\n{listed}",
        remedy="choose another --out, or repeat the options of the run that is there (--n may grow)",
    )


def _named(differing: dict[str, tuple[Any, Any]]) -> Iterator[tuple[str, tuple[Any, Any]]]:
    """Differences in the user's words: ``n`` per cell instead of the list of cells."""
    for field, (a, b) in differing.items():
        if field != "cells":
            yield field, (a, b)
            continue
        mine, theirs = _counts(a), _counts(b)
        for name in sorted(mine.keys() | theirs.keys()):
            if mine.get(name, 0) != theirs.get(name, 0):
                yield f"n of {name}", (mine.get(name, 0), theirs.get(name, 0))


def _counts(cells: list[dict[str, Any]]) -> dict[str, int]:
    return {f"{c['task']}.{c['embodiment']}": int(c["n"]) for c in cells}
