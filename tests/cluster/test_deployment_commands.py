"""Every command that a file of cluster/ or a page of docs/ about it gives, exists with those options."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest
from deployment import CLUSTER, ROOT, isaac

from synthgen.cli.main import cli

WHERE = sorted(p for p in [*CLUSTER.rglob("*"), ROOT / "docs/cluster.md", ROOT / "docs/security.md"] if p.is_file())
ELLIPSIS = {"...", "…"}


def commands(text: str, program: str) -> list[list[str]]:
    """Invocations of ``program``, as words: where a shell would start one, in comments and in Markdown, too.

    In a comment, prose has one space after the #, commands have more.
    """
    text = re.sub(r"\\\n[ \t#]*", " ", text)
    text = re.sub(
        r"^[ \t]*# (?! )(.*)$", lambda m: " ".join(f"\n{c}" for c in re.findall(r"`([^`]+)`", m[1])), text, flags=re.M
    )
    text = re.sub(r"^[ \t]*#", "", text, flags=re.M)
    start = r"(?:^\s*|[`'\"]|&& |-- |: |-t \S+ |isaac )"
    found = re.findall(rf"{start}(?:\S*/bin/)?({program} [^`'\"|>&;\n]*)", text, re.M)
    return [shlex.split(c) for c in found]


def complaint(words: list[str]) -> str:
    """What is wrong with an invocation of synthgen; empty if its subcommand and options exist."""
    group: click.Command = cli
    arguments = words[1:]
    context = click.Context(cli)
    while isinstance(group, click.Group) and arguments and not arguments[0].startswith("-"):
        found = group.get_command(context, arguments[0])
        if found is None:
            return f"no command {arguments[0]}"
        group, arguments = found, arguments[1:]
    known = {o for p in group.params for o in p.opts} | {"--help", "--version"}
    unknown = [a for a in arguments if a.startswith("--") and a.split("=")[0] not in known]
    return f"{words[:3]} has no {unknown}" if unknown else ""


@pytest.mark.parametrize("path", WHERE, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_synthgen_command_exists(path: Path) -> None:
    if path.suffix == ".json":
        return
    for words in commands(path.read_text(), "synthgen"):
        if len(words) > 1 and re.fullmatch(r"[a-z]+|--[a-z-]+", words[1]):
            assert not complaint(words), f"{path}: {' '.join(words)}"


def test_the_search_sees_the_commands() -> None:
    seen = {p.name for p in WHERE if p.suffix != ".json" and commands(p.read_text(), "synthgen")}
    assert {"rayjob.yaml", "raycluster.yaml", "synthgen.sbatch", "synthgen.yml", "cloud.yaml", "check.sh"} <= seen
    assert complaint(["synthgen", "run", "--tasks", "x", "--workrs", "3"])
    assert complaint(["synthgen", "runn"])


def test_the_isaac_job_asks_for_a_gpu_per_worker() -> None:
    words = shlex.split(isaac("RayJob")["spec"]["entrypoint"])
    assert not complaint(words)
    assert words[words.index("--gpus") + 1] == "1"
    assert words[words.index("--simulator") + 1] == "isaacsim"


def test_slurm_uses_options_of_symmetric_run_and_start() -> None:
    from ray.scripts.scripts import start
    from ray.scripts.symmetric_run import symmetric_run

    text = (CLUSTER / "slurm" / "synthgen.sbatch").read_text()
    match = re.search(r"ray symmetric-run(.*?) -- \\", text, re.S)
    assert match is not None
    used = re.findall(r"--[a-z-]+", match[1])
    known = {o for c in (symmetric_run, start) for p in c.params for o in p.opts}
    assert used and set(used) <= known
    assert not set(used) & {"--head", "--block", "--port", "--node-ip-address"}  # symmetric-run refuses these
