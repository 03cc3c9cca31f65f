"""How Kit is started: everything up to the call that needs it. Isaac Lab's own launcher works the arguments out."""

from __future__ import annotations

import contextlib
import gc
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from synthgen.core.errors import MachineError, SimulatorError
from synthgen.engine.settings import Settings
from synthgen.sim.isaac import gates, kit
from synthgen.sim.isaac.engines import ENGINES


@pytest.fixture
def roots(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("SYNTHGEN_KIT_ROOT", str(tmp_path))
    return tmp_path


def resolved(monkeypatch, roots, **environment):
    """What Isaac Lab's launcher makes of our arguments: (arguments for Kit, configuration of the app, experience)."""
    pytest.importorskip("isaaclab", reason="runs in .venv-isaac: make test-isaac")
    from isaaclab.app.sim_launcher import _normalize_launcher_args
    from isaaclab_physx.app.kit_launcher import KitLauncher

    monkeypatch.setattr(sys, "argv", ["synthgen", "7", "8"])
    monkeypatch.setenv("EXP_PATH", "/nowhere")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    kit.prepare_process()
    arguments = {"device": "cuda:0"} | kit.launch_args()
    _normalize_launcher_args(arguments)
    launcher = object.__new__(KitLauncher)  # its constructor goes on to start Kit
    launcher._config_resolution(arguments)
    return sys.argv[1:], launcher._sim_app_config, launcher._sim_experience_file


def test_isaac_labs_launcher_makes_of_it_what_we_mean(monkeypatch, roots):
    for name in (*kit.USUAL_ENVIRONMENT, "HEADLESS"):
        monkeypatch.delenv(name, raising=False)
    said, app, experience = resolved(monkeypatch, roots)
    assert said[said.index("--portable-root") + 1] == str(roots / "0")
    assert "--/renderer/multiGpu/activeCudaGpus=0," in said, "graphics on the GPU that computes"
    assert app["physics_gpu"] == 0 and app["multi_gpu"] is False and app["headless"] is True
    assert {"--/app/python/interceptSysStdOutput=false", "--/app/python/interceptSysExit=false"} <= set(said)
    assert not [a for a in said if "livestream" in a]
    assert Path(experience).name == "isaaclab.python.headless.rendering.kit"
    assert "7" not in said, "Kit is handed every argument it can see"


def test_a_live_stream_asked_for_by_the_environment_stays_off(monkeypatch, roots):
    said, _, _ = resolved(monkeypatch, roots, LIVESTREAM="2")
    assert not [a for a in said if "livestream" in a]


def test_nobody_accepts_the_licence_for_the_user(monkeypatch):
    for name in (*gates.EULA, *kit.USUAL_ENVIRONMENT):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "argv", ["synthgen"])
    kit.prepare_process()
    assert not [name for name in gates.EULA if name in os.environ]
    assert os.environ["PRIVACY_CONSENT"] == "N"
    monkeypatch.setenv("PRIVACY_CONSENT", "Y")
    kit.prepare_process()
    assert os.environ["PRIVACY_CONSENT"] == "Y", "the user's word counts"


def test_running_processes_never_share_a_root_and_the_next_one_finds_the_shaders(roots):
    code = "from synthgen.sim.isaac import kit; import sys; print(kit.own_root(), flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", code]
    running = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    taken = [Path(p.stdout.readline().strip()) for p in running]
    assert {p.name for p in taken} == {"0", "1", "2"} and all(p.parent == roots for p in taken)
    (taken[1] / "shaders").write_text("compiled")
    running[1].kill()
    running[1].communicate()
    again = subprocess.run(command, input="", capture_output=True, text=True, check=True)
    assert (Path(again.stdout.strip()) / "shaders").read_text() == "compiled"
    for process in (running[0], running[2]):
        process.communicate()


def test_a_root_that_cannot_be_used_is_one_clear_error(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SYNTHGEN_KIT_ROOT", str(tmp_path / "file"))
    with pytest.raises(MachineError, match=r"Kit's folder .* cannot be used") as caught:
        kit.launch_args()
    assert "SYNTHGEN_KIT_ROOT" in caught.value.remedy and caught.value.exit_code == 2
    with pytest.raises(MachineError, match="has a space in its path"):
        kit.launch_args(portable_root=tmp_path / "my kit")


def test_kit_once_started_is_never_closed(monkeypatch, roots):
    """Not when the simulation in it ends, and not when nobody holds on to it."""
    app = pytest.importorskip("isaaclab.app", reason="runs in .venv-isaac: make test-isaac")
    done: list[str] = []

    @contextlib.contextmanager
    def launcher(config, arguments):
        done.append("started")
        try:
            yield
        finally:
            done.append("closed")

    monkeypatch.setattr(app, "launch_simulation", launcher)
    monkeypatch.setattr(sys, "argv", ["synthgen"])
    kept = len(kit._KEPT)
    kit.launch(None, {})
    gc.collect()
    assert done == ["started"]
    del kit._KEPT[kept:]


def test_kit_is_only_started_on_the_main_thread():
    caught: list[BaseException] = []

    def start() -> None:
        try:
            kit.launch(None, {})
        except SimulatorError as error:
            caught.append(error)

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    assert "main thread" in str(caught[0])


def test_the_simulator_process_loads_on_its_main_thread():
    """``child.main`` is what that process runs, and nothing in it hands ``open_source`` to a thread."""
    import ast
    import inspect

    from synthgen.engine import child

    tree = ast.parse(inspect.getsource(child))
    functions = {n.name: n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)}
    calls = {n: {ast.unparse(c.func) for c in ast.walk(f) if isinstance(c, ast.Call)} for n, f in functions.items()}
    assert "open_source" in calls["_serve"] and "_serve" in calls["main"]
    targets = [
        ast.unparse(k.value) for n in ast.walk(tree) if isinstance(n, ast.Call) for k in n.keywords if k.arg == "target"
    ]
    assert targets == ["self._read"]


def test_deadlines_outlast_kits_known_pauses():
    """Boots of minutes, and an ``update()`` that stands still for up to 270 s and goes on."""
    settings = Settings.for_simulator("isaacsim")
    assert settings.deadline("cold") >= 900 and settings.deadline("boot") >= 240
    assert min(settings.deadline(p) for p in ("reset", "step", "render")) > 300


def test_rtx_does_not_draw_from_the_cpu():
    with pytest.raises(MachineError, match="SYNTHGEN_DEVICE=cpu: pictures by RTX"):
        gates.check_device(ENGINES["isaacsim"], "cpu")
    gates.check_device(ENGINES["isaacsim"], "cuda:0")
    gates.check_device(ENGINES["ovphysx"], "cpu")
