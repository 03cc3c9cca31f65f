"""USD stages in: ``load_scene``, ``sample_scene``, and what may be wrong with a scene."""

from synthgen.usd.check import check_scene, ensure_usable, examine, require
from synthgen.usd.load import load_scene
from synthgen.usd.problems import Problem
from synthgen.usd.sample import sample_scene

__all__ = ["Problem", "check_scene", "ensure_usable", "examine", "load_scene", "require", "sample_scene"]
