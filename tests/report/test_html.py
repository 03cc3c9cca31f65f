"""The report says what the run did, in one file that loads nothing."""

import re
from pathlib import Path

import pytest
from PIL import Image

from synthgen.core.outcome import PHASES
from synthgen.report.html import PHASE_COLORS, CellReport, RunReport, render_report


def cell(tmp_path: Path, **changes: object) -> CellReport:
    picture = tmp_path / "frames.png"
    Image.new("RGB", (8, 4), (200, 30, 30)).save(picture)
    values: dict[str, object] = {
        "task": "pick_place",
        "embodiment": "gr1",
        "requested": 10,
        "committed": 8,
        "attempts": 10,
        "failures": {"unreachable": 1, "dropped": 2},
        "replay_passed": 8,
        "frames": 800,
        "fps": 20,
        "seconds": {"plan": 0.8, "physics": 2.4, "render": 4.0},
        "pictures": [(picture, "slot 0")],
    }
    return CellReport(**{**values, **changes})  # type: ignore[arg-type]


def report(*cells: CellReport) -> RunReport:
    return RunReport(
        title="demo",
        command="synthgen run --tasks pick_place",
        facts={"seed": "0"},
        datasets={"lerobot, gr1": "lerobot/gr1"},
        cells=cells,
    )


def test_every_phase_has_a_colour() -> None:
    assert set(PHASE_COLORS) == set(PHASES)


def test_the_figures_are_on_the_page(tmp_path: Path) -> None:
    page = render_report(report(cell(tmp_path)))
    for text in (
        "8 / 10",
        "80.0 %",
        "2 × dropped",
        "4000</b><span>trajectories per worker-hour",
        "physics 0.300 s",
        "render 0.500 s",
        "lerobot/gr1",
    ):
        assert text in page, text
    assert "0.90 s" in page  # whole cost of a trajectory
    assert page.index("2 × dropped") < page.index("1 × unreachable")


def test_nothing_is_loaded_from_elsewhere_and_text_is_escaped(tmp_path: Path) -> None:
    page = render_report(report(cell(tmp_path, task="<script>alert(1)</script>")))
    assert "<script" not in page
    assert not re.search(r"(src|href)=\"https?:", page)
    assert "data:image/png;base64," in page


@pytest.mark.parametrize("attempts", [0, 5])
def test_a_run_without_successes_still_has_a_page(tmp_path: Path, attempts: int) -> None:
    page = render_report(
        report(cell(tmp_path, committed=0, attempts=attempts, seconds={}, frames=0, replay_passed=0, pictures=[]))
    )
    assert "0 / 10" in page
