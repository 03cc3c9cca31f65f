"""What several of the store's tests use."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

from synthgen.core.plan import Shard
from synthgen.engine.runner import ShardRunner
from synthgen.store.run import RunStore
from synthgen.testing.fake_source import FakeSource
from synthgen.testing.tiny_exporter import exporter

Fill = Callable[..., None]

POINTS = (
    "spool.before",
    "publish.before_link",
    "publish.after_link",
    "spool.after",
    "tiny.add",
    "shard.add",
    "shard.written",
    "shard.synced",
    "tiny.verify",
    "shard.verified",
    "shard.committed",
    "write.before_fsync",
)


def runner_of(store: RunStore, shard: Shard, worker: str = "test") -> ShardRunner:
    return ShardRunner(
        store=store,
        source=FakeSource(store.plan, shard.task, shard.embodiment),
        exporters={"tiny": exporter},
        worker=worker,
        strikes=2,
        beat=lambda phase, slot, attempt: None,
        ended=lambda outcome, fresh: None,
    )


def in_a_process(work: Callable[[], object]) -> int:
    """Do something in a forked process, which may be killed by a failpoint; its exit code, or minus its signal."""
    return in_processes(work, 1)[0]


def in_processes(work: Callable[[], object], count: int) -> list[int]:
    """The same in several forked processes at once; see ``in_a_process``.

    All are forked from this one thread: a fork while another thread holds some library's lock leaves the child waiting
    for it. Should that happen all the same, the child ends itself after a minute.
    """
    children: list[int] = []
    for _ in range(count):
        pid = os.fork()
        if pid == 0:
            try:
                signal.signal(signal.SIGALRM, signal.SIG_DFL)
                signal.alarm(60)
                work()
                os._exit(0)
            finally:
                os._exit(1)
        children.append(pid)
    return [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]
