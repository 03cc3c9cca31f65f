"""One thing wrong with a shard or a data set: where, what, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from synthgen.core.errors import DamagedShardError

RESTORE = "restore the file from a copy, or make the data set again from the run (`synthgen export`)"


@dataclass(frozen=True, kw_only=True)
class Problem:
    """A fault.

    Attributes:
        file: relative to the folder that was checked.
        where: row, episode or field; "" for the whole file.
        what: what is wrong.
        remedy: what to do.
    """

    file: str
    where: str
    what: str
    remedy: str = RESTORE

    def __str__(self) -> str:
        return f"{self.file}{f' ({self.where})' if self.where else ''}: {self.what}"


def of_error(folder: Path, error: DamagedShardError) -> Problem:
    """What an error says, its file named as problems name theirs."""
    file, colon, what = error.message.removeprefix("file://").partition(": ")
    if colon and file.startswith(f"{folder}/"):
        return Problem(file=file.removeprefix(f"{folder}/"), where="", what=what, remedy=error.remedy or RESTORE)
    return Problem(file=".", where="", what=error.message, remedy=error.remedy or RESTORE)


def raise_first(folder: Path, problems: Iterable[Problem]) -> None:
    """Turn the first problem into an error.

    Raises:
        DamagedShardError: there is one.
    """
    for problem in problems:
        raise DamagedShardError(
            f"{folder / problem.file}: {problem.where or 'file'}: {problem.what}", remedy=problem.remedy
        )
