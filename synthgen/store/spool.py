"""Finished episodes of a shard that is not committed yet: one file per slot, so a crash costs at most one episode."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from synthgen.core.episode import Episode
from synthgen.core.errors import DamagedShardError
from synthgen.core.failpoint import failpoint
from synthgen.core.outcome import Outcome
from synthgen.core.plan import Shard
from synthgen.store.binary import decode, encode, read_extra
from synthgen.store.files import dump, load, publish, storage_errors
from synthgen.store.record import QuarantinedSlot, SlotRecord


@dataclass(frozen=True, kw_only=True)
class Tally:
    """What the attempts at one slot came to; see ``SlotRecord``."""

    attempts: int
    failures: Mapping[str, int]
    seconds: Mapping[str, float]
    steps: int

    @staticmethod
    def of(outcomes: Sequence[Outcome]) -> Tally:
        """Add up the outcomes of one slot."""
        failures = Counter(o.reason for o in outcomes if not o.success)
        seconds: dict[str, float] = {}
        for o in outcomes:
            for phase, s in o.seconds.items():
                seconds[phase] = round(seconds.get(phase, 0.0) + s, 6)
        return Tally(
            attempts=len(outcomes), failures=dict(failures), seconds=seconds, steps=sum(o.steps for o in outcomes)
        )

    @staticmethod
    def from_json(d: Mapping[str, Any]) -> Tally:
        """The inverse of ``asdict``."""
        return Tally(attempts=d["attempts"], failures=d["failures"], seconds=d["seconds"], steps=d["steps"])


class Spool:
    """The spooled slots of one shard."""

    def __init__(self, root: Path, shard: Shard) -> None:
        self.shard = shard
        self.folder = root / "spool" / shard.name

    def path(self, slot: int) -> Path:
        """Where the slot's episode lies."""
        return self.folder / f"{slot:09d}.episode"

    def given_up_path(self, slot: int) -> Path:
        """Where it is noted that the slot's attempts are used up."""
        return self.folder / f"{slot:09d}.json"

    def done(self) -> set[int]:
        """Slots that are spooled or given up."""
        return self.spooled() | set(self.given_up())

    def spooled(self) -> set[int]:
        """Slots with an episode."""
        return {int(p.stem) for p in self._files(".episode")}

    def given_up(self) -> dict[int, QuarantinedSlot]:
        """Slots whose attempts are used up."""
        found: dict[int, QuarantinedSlot] = {}
        for path in self._files(".json"):
            d = load(path)
            found[int(path.stem)] = QuarantinedSlot(
                slot=int(path.stem), reason="attempts", detail=str(d["detail"]), **asdict(Tally.from_json(d))
            )
        return found

    def add(self, episode: Episode, outcomes: Sequence[Outcome]) -> bool:
        """Keep a finished episode; False when the slot was there already.

        Not fsynced (that costs as much as all the rest): it has a checksum, and what a power cut takes is made again.
        """
        slot = episode.spec.slot
        data = encode(episode, asdict(Tally.of(outcomes)))
        failpoint("spool.before", f"{self.shard.name}.{slot}")
        fresh = publish(self.path(slot), data, durable=False)
        failpoint("spool.after", f"{self.shard.name}.{slot}")
        return fresh

    def give_up(self, slot: int, outcomes: Sequence[Outcome]) -> bool:
        """Note that the slot's attempts are used up."""
        last = outcomes[-1]
        detail = f"{last.reason}: {last.detail}" if last.detail else last.reason
        return publish(self.given_up_path(slot), dump({"detail": detail, **asdict(Tally.of(outcomes))}))

    def read(self, slot: int) -> tuple[Episode, SlotRecord]:
        """The slot's episode and its record.

        Raises:
            DamagedShardError: the file is damaged; it has been removed, so the slot is made again.
        """
        path = self.path(slot)
        with storage_errors(path):
            data = path.read_bytes()
        try:
            episode, extra = decode(data, path)
            if (episode.spec.slot, episode.spec.task, episode.spec.embodiment) != (
                slot,
                self.shard.task,
                self.shard.embodiment,
            ):
                raise DamagedShardError(f"{path}: holds another slot's episode")
        except DamagedShardError:
            path.unlink(missing_ok=True)
            raise
        record = SlotRecord(
            slot=slot,
            frames=len(episode),
            replayed=episode.replay_error is not None,
            **asdict(Tally.from_json(extra)),
        )
        return episode, record

    def tallies(self) -> list[Tally]:
        """Attempts of the spooled slots; cheap, for progress. Skips files that vanish or are damaged."""
        found: list[Tally] = []
        for path in self._files(".episode"):
            try:
                found.append(Tally.from_json(read_extra(path)))
            except (OSError, DamagedShardError, KeyError):
                continue
        return found

    def drop(self) -> None:
        """Remove it: the shard is committed."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _files(self, suffix: str) -> Iterable[Path]:
        try:
            return sorted(p for p in self.folder.iterdir() if p.suffix == suffix and p.stem.isdecimal())
        except FileNotFoundError:
            return ()
