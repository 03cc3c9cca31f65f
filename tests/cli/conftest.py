"""Running the command line inside the test process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from synthgen.cli.errors import guarded
from synthgen.cli.main import cli


@dataclass(frozen=True, kw_only=True)
class Ended:
    """Exit code and what was printed."""

    code: int
    out: str
    err: str


@pytest.fixture
def synthgen(capsys: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    """``synthgen("run", "--n", 3)``."""

    def call(*arguments: object) -> Ended:
        capsys.readouterr()
        code = guarded(lambda: cli.main([str(a) for a in arguments], prog_name="synthgen", standalone_mode=False))
        out, err = capsys.readouterr()
        return Ended(code=code, out=out, err=err)

    return call
