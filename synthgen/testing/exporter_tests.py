"""Conformance suite of data set formats.

Subclass it in your tests and say which exporter is meant::

    class TestMine(ExporterTests):
        exporter = mine.exporter

The tests use pytest's ``tmp_path``. Exporters that can give episodes back (``read_shard``, ``read``) are held to giving
them back without loss; those that cannot skip these tests.
"""

from __future__ import annotations

import hashlib
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from synthgen.core.episode import Episode
from synthgen.core.errors import SynthgenError
from synthgen.core.exporter import DatasetSpec, DatasetSummary, ShardFiles
from synthgen.testing.episodes import dataset_spec, made_episode

_MADE: dict[int, Episode] = {}  # encoding is the slow part, and episodes never change


class ExporterTests:
    """See the module's text."""

    exporter: ClassVar[Any]
    shard_size = 3
    episodes = 7

    def dataset(self) -> DatasetSpec:
        """What the episodes are of; override for a format with narrower needs."""
        return dataset_spec()

    def episode(self, slot: int) -> Episode:
        """The episode of a slot."""
        if slot not in _MADE:
            _MADE[slot] = made_episode(slot, dataset_spec())
        return _MADE[slot]

    # -- helpers -----------------------------------------------------------------------------------------------------

    def shard(self, folder: Path, slots: range) -> ShardFiles:
        """Write, close and verify a shard."""
        folder.mkdir(parents=True)
        writer = self.exporter.open_shard(folder, self.dataset())
        for slot in slots:
            writer.add(self.episode(slot))
        listed = writer.close()
        assert {Path(f) for f in listed} == {p.relative_to(folder) for p in folder.rglob("*") if p.is_file()}
        count, frames = self.exporter.verify(folder, self.dataset())
        files = {p.as_posix(): (0, "") for p in listed}
        return ShardFiles(folder=folder, files=files, episodes=count, frames=frames)

    def shards(self, folder: Path) -> list[ShardFiles]:
        """All episodes in shards of ``shard_size``."""
        starts = range(0, self.episodes, self.shard_size)
        return [self.shard(folder / f"{s}", range(s, min(s + self.shard_size, self.episodes))) for s in starts]

    def _damaged(self, folder: Path) -> bool:
        try:
            self.exporter.verify(folder, self.dataset())
        except SynthgenError:
            return True
        return False

    def made(self, folder: Path) -> DatasetSummary:
        """A finished data set of all episodes."""
        return self.exporter.finalize(self.shards(folder / "shards"), folder / "set", self.dataset())

    # -- tests -------------------------------------------------------------------------------------------------------

    def test_has_a_name_and_a_summary(self) -> None:
        """The command line shows both."""
        assert self.exporter.name
        assert self.exporter.summary

    def test_counts(self, tmp_path: Path) -> None:
        """Shards and data set count episodes and frames rightly."""
        frames = sum(len(self.episode(s)) for s in range(self.episodes))
        shards = self.shards(tmp_path / "shards")
        assert sum(s.episodes for s in shards) == self.episodes
        assert sum(s.frames for s in shards) == frames
        summary = self.exporter.finalize(shards, tmp_path / "set", self.dataset())
        assert (summary.episodes, summary.frames) == (self.episodes, frames)

    def test_equal_episodes_give_equal_shards(self, tmp_path: Path) -> None:
        """No time of day, no randomness, no order of a dict in the files."""
        self.shard(tmp_path / "a", range(3))
        self.shard(tmp_path / "b", range(3))
        assert digests(tmp_path / "a") == digests(tmp_path / "b")

    def test_finalize_twice_gives_the_same(self, tmp_path: Path) -> None:
        """Finalize is idempotent and leaves nothing beside the data set."""
        shards = self.shards(tmp_path / "shards")
        root = tmp_path / "set"
        self.exporter.finalize(shards, root, self.dataset())
        before = digests(root)
        self.exporter.finalize(shards, root, self.dataset())
        assert digests(root) == before
        assert [p.name for p in tmp_path.iterdir() if p.name not in ("shards", "set")] == []

    def test_finalize_leaves_shards_alone(self, tmp_path: Path) -> None:
        """Committed files never change."""
        shards = self.shards(tmp_path / "shards")
        before = digests(tmp_path / "shards")
        self.exporter.finalize(shards, tmp_path / "set", self.dataset())
        assert digests(tmp_path / "shards") == before

    def test_a_shard_without_episodes_is_allowed(self, tmp_path: Path) -> None:
        """All slots of a shard may have been given up."""
        empty = self.shard(tmp_path / "empty", range(0))
        assert empty.episodes == 0
        full = self.shard(tmp_path / "full", range(2))
        assert self.exporter.finalize([empty, full], tmp_path / "set", self.dataset()).episodes == 2

    def test_abort_closes(self, tmp_path: Path) -> None:
        """Aborting a half-written shard raises nothing."""
        (tmp_path / "shard").mkdir()
        writer = self.exporter.open_shard(tmp_path / "shard", self.dataset())
        writer.add(self.episode(0))
        writer.abort()

    def test_an_episode_that_does_not_fit_is_refused(self, tmp_path: Path) -> None:
        """Wrong shapes, rates and values that are not finite never reach a file."""
        for i, (field, value) in enumerate(unfit(self.episode(0))):
            (tmp_path / str(i)).mkdir()
            writer = self.exporter.open_shard(tmp_path / str(i), self.dataset())
            with pytest.raises(SynthgenError, match=field.removesuffix("s")):
                writer.add(replace(self.episode(0), **{field: value}))
            writer.abort()

    def test_a_damaged_file_does_not_verify(self, tmp_path: Path) -> None:
        """Any of the larger files cut short, or missing, must be noticed."""
        shard = self.shard(tmp_path / "shard", range(2))
        files = [shard.folder / f for f in shard.files if (shard.folder / f).stat().st_size > 1000]
        for path in files:
            data = path.read_bytes()
            path.write_bytes(data[: len(data) // 2])
            assert self._damaged(shard.folder), f"{path} cut short"
            path.unlink()
            assert self._damaged(shard.folder), f"{path} missing"
            path.write_bytes(data)
        assert self.exporter.verify(shard.folder, self.dataset())[0] == 2

    def test_a_crash_while_finalizing_leaves_the_old_data_set(self, tmp_path: Path) -> None:
        """A missing shard file is named; the data set that was there stays; mended, it goes on."""
        shards = self.shards(tmp_path / "shards")
        root = tmp_path / "set"
        self.exporter.finalize(shards[:1], root, self.dataset())
        before = digests(root)
        victim = max((p for p in shards[-1].folder.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
        data = victim.read_bytes()
        victim.unlink()
        with pytest.raises(SynthgenError, match=victim.name):
            self.exporter.finalize(shards, root, self.dataset())
        assert digests(root) == before
        victim.write_bytes(data)
        assert self.exporter.finalize(shards, root, self.dataset()).episodes == self.episodes

    def test_reads_back_a_shard_without_loss(self, tmp_path: Path) -> None:
        """Every field of an episode survives, videos packet by packet."""
        if not hasattr(self.exporter, "read_shard"):
            pytest.skip("this format does not give episodes back")
        shard = self.shard(tmp_path / "shard", range(4))
        read = list(self.exporter.read_shard(shard.folder, self.dataset()))
        assert len(read) == 4
        for slot, episode in enumerate(read):
            assert_same(episode, self.episode(slot))

    def test_reads_back_a_data_set_without_loss(self, tmp_path: Path) -> None:
        """The same from a finished data set, and for chosen episodes."""
        if not hasattr(self.exporter, "read"):
            pytest.skip("this format does not give episodes back")
        root = self.made(tmp_path).root
        for slot, episode in enumerate(self.exporter.read(root)):
            assert_same(episode, self.episode(slot))
        assert [e.spec.slot for e in self.exporter.read(root, [0, 2, 5])] == [0, 2, 5]

    def test_a_good_data_set_has_no_problems(self, tmp_path: Path) -> None:
        """The format's own checks accept what it wrote."""
        if not hasattr(self.exporter, "check"):
            pytest.skip("this format does not check data sets")
        assert list(self.exporter.check(self.made(tmp_path).root)) == []

    def test_merges(self, tmp_path: Path) -> None:
        """Two data sets joined are a good data set with the episodes of both."""
        if not hasattr(self.exporter, "merge"):
            pytest.skip("this format does not merge data sets")
        shards = self.shards(tmp_path / "shards")
        self.exporter.finalize(shards[:1], tmp_path / "a", self.dataset())
        self.exporter.finalize(shards[1:], tmp_path / "b", self.dataset())
        merged = self.exporter.merge([tmp_path / "a", tmp_path / "b"], tmp_path / "merged")
        assert merged.episodes == self.episodes
        assert list(self.exporter.check(merged.root)) == []
        assert [e.spec.slot for e in self.exporter.read(merged.root)] == list(range(self.episodes))


def unfit(e: Episode) -> list[tuple[str, Any]]:
    """Fields with values that no data set of ``e``'s kind may take."""
    broken = e.state.copy()
    broken[1, 0] = np.nan
    out: list[tuple[str, Any]] = [("state", broken), ("action", e.action[:-1]), ("velocity", e.velocity[:, 1:])]
    out += [("fps", e.fps + 1), ("subtask", e.subtask + len(e.subtasks))]
    short = {name: replace(video, frames=1) for name, video in e.videos.items()}
    return [*out, ("videos", short)] if short else out


def digests(folder: Path) -> dict[str, str]:
    """sha256 of every file of a folder by relative name."""
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def assert_same(a: Any, b: Any, where: str = "episode") -> None:
    """Compare episodes (or parts of them) in every field; videos by their packets."""
    if isinstance(b, np.ndarray):
        assert isinstance(a, np.ndarray), where
        assert a.dtype == b.dtype, where
        assert np.array_equal(a, b), where
    elif is_dataclass(b):
        assert type(a) is type(b), where
        for f in fields(b):
            if f.name == "data":
                assert_same_packets(getattr(a, f.name), getattr(b, f.name), where)
            else:
                assert_same(getattr(a, f.name), getattr(b, f.name), f"{where}.{f.name}")
    elif isinstance(b, dict):
        assert list(a) == list(b), where
        for key in b:
            assert_same(a[key], b[key], f"{where}[{key!r}]")
    else:
        assert a == b, where


def assert_same_packets(a: bytes, b: bytes, where: str) -> None:
    """Two mp4 files hold the same packets at the same frames."""
    from synthgen.media.packets import packets

    assert list(packets(a)) == list(packets(b)), where
