"""Embodiments by name, and those that other packages provide."""

import sys
from dataclasses import replace

import pytest

from synthgen.core.errors import UsageError
from synthgen.embodiments.franka import FRANKA
from synthgen.embodiments.registry import embodiments, load


def install(tmp_path, monkeypatch, body, value="their_robots:ROBOT"):
    """A package on the path with an entry point, as pip would have installed it."""
    (tmp_path / "their_robots.py").write_text(body)
    info = tmp_path / "their_robots-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: their-robots\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[synthgen.embodiments]\ntheirs = {value}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "their_robots", raising=False)


def test_the_built_in_ones():
    assert list(embodiments())[:3] == ["franka", "gr1", "g1"]
    assert load("gr1").title.startswith("Fourier GR-1")


@pytest.mark.parametrize(("typo", "meant"), [("frnka", "franka"), ("gr2", "gr1"), ("G1", "g1")])
def test_nearest_name(typo, meant):
    with pytest.raises(UsageError, match="unknown embodiment") as caught:
        load(typo)
    assert repr(meant) in caught.value.remedy


ROBOT = "from dataclasses import replace\nfrom synthgen.embodiments.franka import FRANKA\n"


def test_a_package_adds_one(tmp_path, monkeypatch):
    install(tmp_path, monkeypatch, ROBOT + "ROBOT = replace(FRANKA, name='theirs')\n")
    assert load("theirs").groups == FRANKA.groups


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (ROBOT + "ROBOT = FRANKA\n", "'franka' is taken"),
        ("ROBOT = 3\n", "is not an Embodiment"),
        ("import no_such_module\n", "ModuleNotFoundError"),
    ],
)
def test_a_bad_package_is_named(tmp_path, monkeypatch, body, message):
    install(tmp_path, monkeypatch, body)
    with pytest.raises(UsageError, match=message) as caught:
        embodiments()
    assert "their_robots:ROBOT" in str(caught.value)


def test_descriptions_can_be_varied():
    assert replace(FRANKA, name="other").dataset_joints == FRANKA.dataset_joints
