"""A wheel, built and installed elsewhere, finds the built-in tasks, exporters and scenes."""

import json
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

PROBE = """
import json, synthgen
from pathlib import Path
from synthgen.core.project import Project, builtin_root
p = Project.of(None)
print(json.dumps({
    "package": str(Path(synthgen.__file__).parent),
    "root": str(builtin_root()),
    "tasks": sorted(p.load("tasks", "task")),
    "exporters": sorted(p.load("exporters", "exporter")),
    "scene": str(p.scene("tabletop")),
    "schema": (Path(synthgen.__file__).parent / "usd" / "schema" / "plugInfo.json").is_file(),
}))
"""


@pytest.mark.slow
def test_a_wheel_installed_elsewhere_finds_what_is_built_in(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path / "dist"), str(ROOT)],
        check=True,
        capture_output=True,
    )
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--no-deps", str(wheel)], check=True)
    # The dependencies are this environment's; synthgen itself must come from the wheel, not the checkout.
    site = next(Path(p) for p in sys.path if p.endswith("site-packages"))
    code = f"import sys; sys.path.append({str(site)!r})\n" + PROBE
    out = subprocess.run([python, "-I", "-c", code], check=True, capture_output=True, text=True, cwd=tmp_path).stdout
    found = json.loads(out.splitlines()[-1])
    assert found["package"].startswith(str(tmp_path))
    assert found["root"].startswith(str(tmp_path))
    assert found["scene"].startswith(str(tmp_path))
    assert "pick_place" in found["tasks"]
    assert "lerobot" in found["exporters"]
    assert found["schema"]
