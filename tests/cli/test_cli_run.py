from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from synthgen.core.failpoint import arm
from synthgen.core.plan import RunPlan

Synthgen = Callable[..., Any]
FAKE = ("--simulator", "fake", "--tasks", "fake", "--formats", "tiny", "--cameras", "none", "--workers", 0)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYNTHGEN_FAKE", "success=0.7")


def test_a_run_says_where_everything_is_and_status_agrees(synthgen: Synthgen, tmp_path: Path) -> None:
    end = synthgen("run", *FAKE, "--n", 7, "--out", tmp_path / "run")
    assert end.code == 0, end.err
    for name, count in (("franka", 3), ("gr1", 2), ("g1", 2)):
        assert (tmp_path / "run" / "tiny" / name / "index.jsonl").is_file()
        assert f"tiny/{name}  ({count} episodes" in end.out
    assert "report.html" in end.out and (tmp_path / "run" / "report.html").is_file()
    state = json.loads(synthgen("status", tmp_path / "run", "--json").out)
    assert state["complete"] and state["committed"] == state["requested"] == 7 and state["missing"] == 0
    cell = state["cells"][0]
    assert {
        "task",
        "embodiment",
        "requested",
        "committed",
        "attempts",
        "success_rate",
        "failures",
        "replay_passed",
        "seconds",
    } <= cell.keys()
    assert cell["replay_passed"] == cell["committed"] == 3
    table = synthgen("status", tmp_path / "run")
    assert "3 of 3 shards committed" in table.out or "shards committed; complete" in table.out


def test_the_card_holds_the_command_that_makes_it_again(
    synthgen: Synthgen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from synthgen.testing.exporter_tests import digests

    (tmp_path / "again").mkdir()
    options = ("--embodiments", "franka", "--shard-size", 2, "--episodes-per-dataset", 2, "--formats", "gr00t")
    end = synthgen("run", *FAKE, *options, "--n", 4, "--out", tmp_path / "run")
    assert end.code == 0, end.err
    card = (tmp_path / "run/gr00t/franka-001/README.md").read_text()
    command = next(line for line in card.splitlines() if line.startswith("synthgen run "))
    monkeypatch.chdir(tmp_path / "again")
    end = synthgen(*command.split()[1:], "--workers", 0)
    assert end.code == 0, end.err
    for part in ("franka-000", "franka-001"):
        assert digests(tmp_path / "again/run/gr00t" / part) == digests(tmp_path / "run/gr00t" / part)


def test_progress_is_json_lines_without_a_terminal(synthgen: Synthgen, tmp_path: Path) -> None:
    end = synthgen("run", *FAKE, "--n", 3, "--out", tmp_path / "run", "--json")
    lines = [json.loads(line) for line in end.err.splitlines()]
    assert {line["event"] for line in lines} == {"progress"}
    assert lines[-1]["done"] == 3 and lines[-1]["cells"][0]["requested"] == 1
    done = json.loads(end.out)
    assert done["committed"] == 3 and len(done["datasets"]) == 3


def test_the_same_command_resumes_and_a_changed_one_is_refused(
    synthgen: Synthgen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = ("run", *FAKE, "--n", 8, "--embodiments", "g1", "--shard-size", 2, "--out", tmp_path / "run")
    monkeypatch.setenv("SYNTHGEN_FAULTS", str(tmp_path / "faults"))
    arm(tmp_path / "faults", "shard.add", "enospc", detail="fake.g1.000002.4")
    first = synthgen(*run)
    assert first.code == 3
    assert "No space left" in first.err and "resume with: synthgen run --tasks fake --n 8" in first.err
    kept = {p.name: p.read_bytes() for p in (tmp_path / "run" / "commits").iterdir()}
    assert len(kept) == 2
    changed = synthgen(*run, "--seed", 9)
    assert changed.code == 2
    assert "seed: 0 there, 9 asked for" in changed.err
    again = synthgen(*run)
    assert again.code == 0, again.err
    assert {k: (tmp_path / "run" / "commits" / k).read_bytes() for k in kept} == kept
    assert "8 episodes" in again.out


def test_quarantined_slots_end_with_four(synthgen: Synthgen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYNTHGEN_FAKE", "success=0")
    end = synthgen("run", *FAKE, "--n", 3, "--max-attempts", 2, "--out", tmp_path / "run")
    assert end.code == 4
    assert "complete but for 3 quarantined slots: fake.franka slot 0" in end.err
    state = json.loads(synthgen("status", tmp_path / "run", "--json").out)
    again = synthgen("replay", tmp_path / "run", "--embodiment", "gr1", "--slot", 0)
    assert again.code == 4 and again.out.count("attempt") == 2 and "did not succeed in 2 attempts" in again.err
    assert synthgen("replay", tmp_path / "run", "--embodiment", "gr2", "--slot", 0).code == 2
    assert state["quarantined"] == 3 and state["missing"] == 0 and state["cells"][0]["success_rate"] == 0


BAD = [
    (("--tasks", "pickplace"), "unknown task 'pickplace'", "did you mean 'pick_place'"),
    (("--tasks", ""), "--tasks is empty", "tasks list"),
    (("--n", 0), "--n 0", "1 or more"),
    (("--n", -3), "--n -3", "1 or more"),
    (("--embodiments", "frank"), "unknown embodiment 'frank'", "did you mean 'franka'"),
    (("--cameras", "egoview"), "unknown camera 'egoview'", "ego_view"),
    (("--cameras", "wrist", "--embodiments", "franka,g1"), "g1 has none of the cameras wrist", "ego_view"),
    (("--formats", "lerobt"), "unknown format 'lerobt'", "lerobot"),
    (("--simulator", "mujoco", "--isaac-assets"), "does not go with --isaac-assets", "--simulator ovphysx"),
    (("--simulator", "isaacsim", "--renderer", "ovrtx"), "does not go with --renderer ovrtx", "ovphysx or newton"),
    (("--simulator", "mujco"), "unknown simulator 'mujco'", "did you mean 'mujoco'"),
    (("--resolution", "big"), "--resolution big", "256 or 320x240"),
    (("--resolution", "255"), "must be even", "256"),
    (("--workers", -1), "--workers -1", "0 runs in this process"),
    (("--fps", 0), "--fps 0", ""),
    (("--seed", -1), "--seed -1", ""),
    (("--shard-size", 0), "--shard-size 0", ""),
    (("--num-envs", 0), "--num-envs 0", ""),
    (("--deadline", "step=abc"), "not PHASE=SECONDS", ""),
    (("--deadline", "nap=3"), "not a phase", "phases: cold, boot"),
    (("--project", "/nowhere"), "no such folder", "tasks/"),
]


@pytest.mark.parametrize(("options", "message", "remedy"), BAD)
def test_bad_options_are_one_clear_error_and_leave_nothing(
    synthgen: Synthgen, tmp_path: Path, options: tuple[object, ...], message: str, remedy: str
) -> None:
    end = synthgen("run", *FAKE, "--n", 4, "--out", tmp_path / "run", *options)
    assert end.code == 2
    assert end.err.startswith("error: ") and "Traceback" not in end.err
    assert message in end.err and remedy in end.err
    assert not (tmp_path / "run").exists()


def test_real_names_are_checked_before_anything_starts(synthgen: Synthgen, tmp_path: Path) -> None:
    run = ("run", "--tasks", "pick_place", "--n", 2, "--cameras", "none", "--out", tmp_path / "run")
    for options, message in (
        (("--scene", "tabltop"), "did you mean 'tabletop'"),
        (("--embodiments", "gr2"), "did you mean 'gr1'"),
        (("--cameras", "agentvew"), "did you mean 'agentview'"),
    ):
        end = synthgen(*run, *options)
        assert end.code == 2 and message in end.err, end.err
    assert not (tmp_path / "run").exists()


OTHER = '"GeomModelAPI"'
REGION = "double3 xformOp:translate = (0.2, -0.23, 0.9)"
SPOILED = {
    "no spawn region": ("tiny.usda", '"SynthgenSpawnRegionAPI"', OTHER, "SpawnRegionAPI"),
    "no receptacle": ("props/bin.usda", ', "SynthgenReceptacleAPI"]', "]", "SynthgenReceptacleAPI"),
    "no mount": ("tiny.usda", '"SynthgenMountAPI"', OTHER, "SynthgenMountAPI"),
    "no slots": ("tiny.usda", '"SynthgenSlotAPI"', OTHER, "SynthgenSlotAPI"),
    "cannot reach": ("tiny.usda", REGION, REGION.replace("0.2,", "3.2,"), "/World/right"),
    "cannot be read as USD": ("tiny.usda", "def Xform", "def def Xform", "tiny.usda"),
}


@pytest.mark.parametrize("what", SPOILED)
def test_a_scene_that_cannot_work_is_refused(synthgen: Synthgen, tmp_path: Path, what: str) -> None:
    from synthgen.core.project import builtin_root

    file, old, new, told = SPOILED[what]
    shutil.copytree(builtin_root() / "scenes", tmp_path / "scenes")
    path = tmp_path / "scenes" / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    scene = tmp_path / "scenes" / "tiny.usda"
    options = ("--tasks", "pick_place", "--n", 2, "--embodiments", "franka", "--cameras", "none", "--scene", scene)
    end = synthgen("run", *options, "--out", tmp_path / "run")
    assert end.code == 2, end.err
    assert told in end.err and "remedy" in end.err and "Traceback" not in end.err
    assert not (tmp_path / "run").exists()


def test_no_way_to_draw_is_said_before_anything_starts(
    synthgen: Synthgen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MUJOCO_GL", "glfw")
    monkeypatch.delenv("DISPLAY", raising=False)
    end = synthgen("run", "--tasks", "pick_place", "--scene", "tiny", "--n", 2, "--out", tmp_path / "run")
    assert end.code == 2
    assert "cannot draw" in end.err and "--cameras none" in end.err
    assert not (tmp_path / "run" / "plan.json").exists()


def test_a_full_or_unwritable_disk_is_said_before_anything_starts(
    synthgen: Synthgen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    end = synthgen("run", *FAKE, "--n", 3, "--out", tmp_path / "file" / "run")
    assert end.code == 3 and "file" in end.err
    usage = shutil._ntuple_diskusage(total=1 << 40, used=(1 << 40) - 4096, free=4096)  # type: ignore[attr-defined]
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    end = synthgen("run", *FAKE, "--n", 3, "--out", tmp_path / "run")
    assert end.code == 3 and "0 MiB free" in end.err


def test_an_address_where_nobody_listens_is_an_error_at_once(synthgen: Synthgen, tmp_path: Path) -> None:
    end = synthgen("run", *FAKE, "--n", 3, "--workers", 1, "--address", "127.0.0.1:1", "--out", tmp_path / "run")
    assert end.code == 2
    assert "no Ray cluster at 127.0.0.1:1" in end.err and "ray status" in end.err


def test_n_is_shared_evenly_and_cells_without_a_share_are_left_out(synthgen: Synthgen, tmp_path: Path) -> None:
    assert synthgen("run", *FAKE, "--tasks", "fake,pick_place", "--n", 5, "--out", tmp_path / "run").code == 0
    plan = RunPlan.from_json(json.loads((tmp_path / "run" / "plan.json").read_text()))
    assert [(c.name, c.n) for c in plan.cells] == [
        ("fake.franka", 1),
        ("fake.gr1", 1),
        ("fake.g1", 1),
        ("pick_place.franka", 1),
        ("pick_place.gr1", 1),
    ]


def test_help_is_quick_and_every_command_shows_examples(synthgen: Synthgen) -> None:
    loaded = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys; sys.argv = ['synthgen', '--help']\n"
            "from synthgen.cli.main import main\n"
            "try: main()\n"
            "except SystemExit: pass\n"
            "heavy = {'numpy', 'ray', 'mujoco', 'pxr', 'pyarrow', 'av'} & sys.modules.keys()\n"
            "assert not heavy, heavy",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert loaded.returncode == 0, loaded.stderr
    assert "  run " in loaded.stdout
    for command in ("run", "status", "gc", "replay", "doctor"):
        end = synthgen(command, "--help")
        assert end.code == 0 and "Examples:" in end.out, command
    unknown = synthgen("rnu")
    assert unknown.code == 2 and "did you mean 'run'" in unknown.err


def test_a_bug_is_a_message_and_a_traceback_only_when_asked(
    synthgen: Synthgen, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import synthgen.cli.run as module

    def broken(request: object) -> None:
        raise KeyError("oops")

    monkeypatch.setattr(module, "make_plan", broken)
    end = synthgen("run", *FAKE, "--n", 3, "--out", tmp_path / "run")
    assert end.code == 70 and "synthgen has a bug: KeyError" in end.err and "Traceback" not in end.err
    monkeypatch.setenv("SYNTHGEN_DEBUG", "1")
    assert "Traceback" in synthgen("run", *FAKE, "--n", 3, "--out", tmp_path / "run").err
    assert os.environ["SYNTHGEN_DEBUG"] == "1"
