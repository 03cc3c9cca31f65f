"""USD stages in: ``load_scene``, ``sample_scene``, ``check_scene`` and ``require``."""

from synthgen.usd.check import check_scene, examine, require
from synthgen.usd.load import load_scene
from synthgen.usd.problems import Problem
from synthgen.usd.sample import sample_scene

__all__ = ["Problem", "check_scene", "examine", "load_scene", "require", "sample_scene"]
