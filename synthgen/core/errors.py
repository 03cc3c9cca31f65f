"""Every error synthgen raises on purpose, with what the user should do about it."""

from __future__ import annotations


class SynthgenError(Exception):
    """An error whose message is meant for the user.

    Args:
        message: what is wrong, naming the file, prim path or field.
        remedy: what the user can do about it, as one imperative sentence.
    """

    exit_code = 2

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message}\n  remedy: {self.remedy}" if self.remedy else self.message


class UsageError(SynthgenError):
    """An option or a name the user gave does not make sense."""


class SceneError(SynthgenError):
    """The scene cannot be read, or lacks what the task needs."""


class AssetError(SynthgenError):
    """An asset pack is missing, cannot be fetched, or does not match its checksum."""


class MachineError(SynthgenError):
    """The machine lacks something (EGL, a GPU, a package) that the chosen options need."""


class PlanMismatchError(SynthgenError):
    """The output folder belongs to a run with another plan."""


class StorageError(SynthgenError):
    """Reading or writing the run folder failed (full disk, permission, I/O error). The run can be resumed."""

    exit_code = 3


class DamagedShardError(StorageError):
    """A shard's files do not verify. Names the file, and the row or field."""


class ExporterError(SynthgenError):
    """A data set format raised an error that is not one of these. The run can be resumed once the format is mended."""

    exit_code = 3


class SimulatorError(SynthgenError):
    """The simulator failed in a way a restart may cure."""

    exit_code = 3


class IncompleteRunError(SynthgenError):
    """The run stopped before every slot was committed; running the same command resumes it."""

    exit_code = 3


class QuarantinedError(SynthgenError):
    """Everything else is committed, but some slots were quarantined."""

    exit_code = 4


class EpisodeFailure(Exception):  # noqa: N818 - not an error of the program: an attempt that did not succeed
    """An attempt cannot go on; the slot is tried again with the next attempt.

    Args:
        reason: one of ``synthgen.core.outcome.FAILURE_REASONS``; failures are counted by it.
        detail: free text for the log.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail
