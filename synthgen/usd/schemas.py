"""The synthgen: applied API schemas: registering them with USD, and reading them from prims.

The schemas are codeless (``schema/plugInfo.json`` and ``schema/generatedSchema.usda``). Reading does not depend on
their being registered: in a process that has already built USD's schema registry, such as Isaac Sim, late plug-ins are
not taken up, and the stage reads the same all the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from pxr import Plug, Sdf, Usd

SCHEMA_DIR = Path(__file__).resolve().parent / "schema"
OBJECT = "SynthgenObjectAPI"
SPAWN_REGION = "SynthgenSpawnRegionAPI"
RECEPTACLE = "SynthgenReceptacleAPI"
SLOT = "SynthgenSlotAPI"
MOUNT = "SynthgenMountAPI"
CAMERA = "SynthgenCameraAPI"
RANDOMIZE = "SynthgenRandomizeAPI"


@dataclass(frozen=True, kw_only=True)
class Property:
    """One declared property: USD type name ("rel" for a relationship), default, allowed tokens, documentation."""

    name: str
    type: str
    default: Any
    allowed: tuple[str, ...]
    doc: str


def register() -> None:
    """Tell USD where the schemas are. Cheap, idempotent."""
    Plug.Registry().RegisterPlugins(str(SCHEMA_DIR))


@cache
def declared() -> Mapping[str, Mapping[str, Property]]:
    """Every schema with its properties, read from ``generatedSchema.usda``."""
    layer = Sdf.Layer.FindOrOpen(str(SCHEMA_DIR / "generatedSchema.usda"))
    found: dict[str, Mapping[str, Property]] = {}
    for prim in layer.rootPrims:
        properties: dict[str, Property] = {}
        for spec in prim.properties:
            relation = isinstance(spec, Sdf.RelationshipSpec)
            properties[spec.name] = Property(
                name=spec.name,
                type="rel" if relation else str(spec.typeName),
                default=None if relation else spec.default,
                allowed=() if relation else tuple(spec.allowedTokens or ()),
                doc=" ".join(spec.documentation.split()),
            )
        found[prim.name] = properties
    return found


def applied(prim: Usd.Prim, schema: str) -> bool:
    """Whether ``schema`` is among the prim's authored ``apiSchemas``."""
    return schema in prim.GetPrimTypeInfo().GetAppliedAPISchemas()


def value(prim: Usd.Prim, schema: str, name: str) -> Any:
    """A property's authored value, or the schema's default."""
    attribute = prim.GetAttribute(name)
    got = attribute.Get(Usd.TimeCode.EarliestTime()) if attribute and attribute.HasAuthoredValue() else None
    return declared()[schema][name].default if got is None else got


def targets(prim: Usd.Prim, name: str) -> list[Sdf.Path]:
    """What a relationship points at, in authored order."""
    relation = prim.GetRelationship(name)
    return list(relation.GetForwardedTargets()) if relation else []


def words(prim: Usd.Prim, prefix: str) -> dict[str, str]:
    """Attribute words by kind: the authored, non-empty strings ``<prefix>:word:<kind>``, sorted by kind."""
    start = f"{prefix}:word:"
    found: dict[str, str] = {}
    for attribute in prim.GetAuthoredAttributes():
        name = attribute.GetName()
        if name.startswith(start) and (text := str(attribute.Get(Usd.TimeCode.EarliestTime()) or "").strip()):
            found[name.removeprefix(start)] = text
    return dict(sorted(found.items()))
