# pyright: reportMissingImports=false
"""What is broken in the versions of Isaac Lab and Warp that we pin, and what we do about it. All of it is here.

Each defect names the package and version it was seen in. With another version nothing is touched, and a test fails
that says so, until someone has looked whether the defect is gone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version


@dataclass(frozen=True, kw_only=True)
class Defect:
    """One upstream defect.

    Attributes:
        name: short and stable.
        package, version: where it was seen.
        description: what goes wrong, and what the remedy does.
        mend: applies the remedy, or None where we only keep clear of it.
    """

    name: str
    package: str
    version: str
    description: str
    mend: Callable[[], None] | None = None

    def present(self) -> bool:
        """Whether the installed version is the one with the defect."""
        try:
            return version(self.package) == self.version
        except PackageNotFoundError:
            return False


def _plain_host_memory() -> None:
    import warp as wp
    from warp._src import context

    wp.init()
    if wp.is_cuda_available():
        return
    core = context.runtime.core
    context.CpuPinnedAllocator.allocate = lambda self, size: core.wp_alloc_host(size, None)
    context.CpuPinnedAllocator.deallocate = lambda self, pointer, size: core.wp_free_host(pointer)


DEFECTS = (
    Defect(
        name="pinned-memory-without-cuda",
        package="isaaclab",
        version="3.0.0",
        description=(
            "The OvPhysX backend asks Warp for pinned host memory even on device 'cpu'. Without a CUDA driver Warp "
            "cannot pin, and the process dies. The remedy gives it plain host memory when there is no CUDA."
        ),
        mend=_plain_host_memory,
    ),
    Defect(
        name="replicate-physics-off-without-kit",
        package="isaaclab",
        version="3.0.0",
        description=(
            "InteractiveSceneCfg(replicate_physics=False) leaves only the first environment without Kit. We never "
            "set it there, and count the environments after loading."
        ),
    ),
)


def mend_all() -> None:
    """Apply every remedy that fits the installed versions. Call before the first simulation; idempotent."""
    for defect in DEFECTS:
        if defect.mend is not None and defect.present():
            defect.mend()
