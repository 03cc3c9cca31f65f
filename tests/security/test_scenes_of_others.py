"""A USD stage may come from anybody: it is parsed, and what it names is neither executed nor fetched."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from synthgen.cli.main import cli
from synthgen.usd.check import examine

STAGE = """#usda 1.0
(
    defaultPrim = "World"
    metersPerUnit = 1
    upAxis = "Z"
    {layer}
)
def Xform "World" (
    {world}
)
{{
    {inside}
}}
"""


def stage(folder: Path, *, layer: str = "", world: str = "", inside: str = "") -> Path:
    path = folder / "scene.usda"
    path.write_text(STAGE.format(layer=layer, world=world, inside=inside))
    return path


@pytest.fixture
def listener() -> Iterator[tuple[int, list[bytes]]]:
    """A port of this machine, and what came in on it."""
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        stop = threading.Event()

        def listen() -> None:
            while not stop.is_set():
                try:
                    connection, _ = server.accept()
                except TimeoutError:
                    continue
                with connection:
                    heard.append(b"connected")

        thread = threading.Thread(target=listen)
        thread.start()
        yield server.getsockname()[1], heard
        stop.set()
        thread.join()


def test_code_in_a_stage_is_text(tmp_path: Path) -> None:
    mark = tmp_path / "executed"
    evil = tmp_path / "evil.py"
    evil.write_text(f"open({str(mark)!r}, 'w')")
    path = stage(
        tmp_path,
        layer=f"customLayerData = {{ string script = \"__import__('os').mknod('{mark}')\" }}",
        inside=f"""
        uniform asset[] omni:scripting:scripts = [@{evil}@]
        string synthgen:object:noun = "$(touch {mark})"
        def OmniGraphNode "Node" {{
            token node:type = "omni.graph.scriptnode.ScriptNode"
            custom string inputs:script = "open('{mark}', 'w')"
            custom asset inputs:scriptPath = @{evil}@
        }}
        def Shader "Look" {{ uniform asset info:mdl:sourceAsset = @{evil}@ }}""",
    )
    assert examine(path).problems  # nothing to handle in it: that is what it has to say
    assert CliRunner().invoke(cli, ["scene", "check", str(path)]).exit_code in (2, 0)
    assert not mark.exists()


@pytest.mark.parametrize("arc", ["references", "payload", "subLayers"])
def test_nothing_is_fetched(tmp_path: Path, listener: tuple[int, list[bytes]], arc: str) -> None:
    port, heard = listener
    url = f"@http://127.0.0.1:{port}/evil.usda@"
    path = (
        stage(tmp_path, layer=f"subLayers = [{url}]") if arc == "subLayers" else stage(tmp_path, world=f"{arc} = {url}")
    )
    found = examine(path)
    assert {p.code for p in found.problems} == {"missing-reference"}
    assert not heard


def test_textures_are_not_fetched(tmp_path: Path, listener: tuple[int, list[bytes]]) -> None:
    port, heard = listener
    path = stage(
        tmp_path, inside=f'def DomeLight "Sky" {{ asset inputs:texture:file = @http://127.0.0.1:{port}/x.png@ }}'
    )
    examine(path)
    assert not heard


def test_a_plugin_beside_a_stage_is_not_loaded(tmp_path: Path) -> None:
    mark = tmp_path / "executed"
    (tmp_path / "evil.py").write_text(f"open({str(mark)!r}, 'w')")
    plugin = {"Plugins": [{"Type": "python", "Name": "evil", "Root": ".", "ResourcePath": ".", "Info": {}}]}
    (tmp_path / "plugInfo.json").write_text(json.dumps(plugin))
    path = stage(tmp_path)
    command = [sys.executable, "-m", "synthgen.cli.main", "scene", "check", str(path)]
    subprocess.run(command, cwd=tmp_path, capture_output=True, check=False, timeout=120)
    assert not mark.exists()


@pytest.mark.parametrize(
    "content", [b"", b"\x80\x04\x95", b"PXR-USDC" + b"\xff" * 200, b"#usda 1.0\n((((", b"PK\x03\x04"]
)
@pytest.mark.parametrize("suffix", [".usd", ".usda", ".usdc", ".usdz"])
def test_rubbish_is_an_error(tmp_path: Path, content: bytes, suffix: str) -> None:
    path = tmp_path / f"scene{suffix}"
    path.write_bytes(content)
    found = examine(path)
    assert found.problems and not found.usable
