"""The simulator process: owns the simulator on its main thread, is told shards, tells what it does.

    python -m synthgen.engine.child COMMANDS EVENTS

COMMANDS and EVENTS are file descriptors. The first command configures; then ``shard`` runs one, ``drain`` stops after
the current episode, ``close`` ends. When COMMANDS closes, the supervisor is gone and so is this process.
"""

from __future__ import annotations

import ctypes
import faulthandler
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from synthgen.core.errors import SimulatorError, StorageError, SynthgenError
from synthgen.core.failpoint import failpoint
from synthgen.core.outcome import Outcome
from synthgen.core.plan import Shard
from synthgen.engine.pipe import Message, PipeReader, PipeWriter
from synthgen.engine.runner import ShardRunner
from synthgen.engine.settings import Job, Settings
from synthgen.engine.sources import exporters_of, open_source
from synthgen.store.files import storage_errors

PR_SET_PDEATHSIG = 1
BEAT_EVERY = 0.5  # seconds between signs of life while nothing changes


def main(commands: int, events: int) -> None:
    """Serve one supervisor. Does not return."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() == 1:  # the guard died before the line above
        os._exit(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with suppress(OSError):  # when memory runs out, this process goes, not its supervisor
        Path("/proc/self/oom_score_adj").write_text("1000")
    faulthandler.enable()
    out = PipeWriter(events)
    inbox = Inbox(commands)
    code = 1
    try:
        _serve(inbox, out)
        code = 0
    except SynthgenError as error:
        out.send(_error(error))
    except OSError as error:
        try:
            with storage_errors(inbox.root):
                raise error
        except StorageError as told:
            out.send(_error(told))
    except BaseException as error:
        summary = f"{type(error).__name__}: {error}"
        out.send({"t": "error", "kind": "crash", "message": summary, "remedy": "", "trace": traceback.format_exc()})
    finally:
        traceback.print_exc() if code else None
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)  # never through interpreter shutdown, where engines hang


class Inbox:
    """Commands, read on a thread so that ``drain`` is heard and a dead supervisor noticed while a shard runs."""

    def __init__(self, descriptor: int) -> None:
        self.queue: SimpleQueue[Message] = SimpleQueue()
        self.drain = threading.Event()
        self.root: Any = "."
        self._reader = PipeReader(descriptor)
        threading.Thread(target=self._read, daemon=True, name="inbox").start()

    def _read(self) -> None:
        try:
            while True:
                for message in self._reader.read():
                    if message["op"] == "drain":
                        self.drain.set()
                    else:
                        self.queue.put(message)
        except (EOFError, OSError):
            with suppress(OSError):
                os.killpg(0, signal.SIGKILL)
            os._exit(1)


class Pulse:
    """Tells the supervisor every phase, and arms a C-level timer that ends a hung process even with the GIL held."""

    def __init__(self, out: PipeWriter, settings: Settings) -> None:
        self._out = out
        self._settings = settings
        self._last: tuple[str, int, int] | None = None
        self._sent = 0.0

    def beat(self, phase: str, slot: int, attempt: int) -> None:
        """A sign of life; see ``synthgen.core.source.Beat``."""
        now = time.monotonic()
        if (phase, slot, attempt) != self._last or now - self._sent > BEAT_EVERY:
            self._last, self._sent = (phase, slot, attempt), now
            faulthandler.dump_traceback_later(self._settings.deadline(phase), exit=True)
            self._out.send({"t": "beat", "phase": phase, "slot": slot, "attempt": attempt})

    def rest(self) -> None:
        """Nothing is expected now."""
        faulthandler.cancel_dump_traceback_later()
        self._last = None


def _serve(inbox: Inbox, out: PipeWriter) -> None:
    config = inbox.queue.get()
    job = Job.from_json(config["job"])
    inbox.root = job.root
    settings = job.settings
    pulse = Pulse(out, settings)
    out.send({"t": "hello", "pid": os.getpid()})
    faulthandler.dump_traceback_later(settings.deadline("cold" if config["cold"] else "boot"), exit=True)
    store = job.store()
    exporters = exporters_of(job.plan, job.project)
    source = open_source(
        job.plan,
        config["task"],
        config["embodiment"],
        project=job.project,
        asset_root=job.asset_root,
        num_envs=settings.num_envs,
    )

    def ended(outcome: Outcome, fresh: bool) -> None:
        out.send({"t": "outcome", "fresh": fresh, **_outcome(outcome)})

    runner = ShardRunner(
        store=store,
        source=source,
        exporters=exporters,
        worker=config["worker"],
        strikes=settings.strikes,
        beat=pulse.beat,
        ended=ended,
    )
    pulse.rest()
    out.send({"t": "ready"})
    while True:
        command = inbox.queue.get()
        if command["op"] == "close":
            pulse.beat("close", -1, 0)
            source.close()
            return
        shard = Shard(**command["shard"])
        end = runner.run(shard, defer=command["defer"], stop=inbox.drain.is_set)
        pulse.rest()
        failpoint("child.done", shard.name)
        out.send({"t": "done", "end": end, "commits": runner.commits, "conflicts": runner.conflicts})
        runner.commits = runner.conflicts = 0


def _outcome(outcome: Outcome) -> Mapping[str, Any]:
    return {
        "slot": outcome.slot,
        "attempt": outcome.attempt,
        "success": outcome.success,
        "reason": outcome.reason,
        "detail": outcome.detail,
        "seconds": dict(outcome.seconds),
    }


def _error(error: SynthgenError) -> Message:
    if isinstance(error, SimulatorError):
        kind = "simulator"
    elif isinstance(error, StorageError):
        kind = "storage"
    else:
        kind = "fatal"
    return {
        "t": "error",
        "kind": kind,
        "type": type(error).__name__,
        "message": error.message,
        "remedy": error.remedy,
        "trace": traceback.format_exc(),
    }


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
