from __future__ import annotations

import random
from dataclasses import fields, is_dataclass
from pathlib import Path

import numpy as np
import pytest

from synthgen.core.episode import Episode
from synthgen.core.errors import DamagedShardError
from synthgen.core.outcome import Outcome
from synthgen.store.binary import decode, encode
from synthgen.store.spool import Spool, Tally
from synthgen.testing.fake_source import FakeOptions, FakeSource, fake_plan

PLAN = fake_plan(4, embodiments=("franka",), cameras=True)
SHARD = next(PLAN.shards())


def episodes() -> list[Episode]:
    source = FakeSource(PLAN, "fake", "franka", FakeOptions(success=1.0))
    return [e for _, e in source.run(range(3), beat=lambda *_: None) if e is not None]


def same(a: object, b: object) -> bool:
    if isinstance(a, np.ndarray):
        return isinstance(b, np.ndarray) and a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if is_dataclass(a):
        return type(a) is type(b) and all(same(getattr(a, f.name), getattr(b, f.name)) for f in fields(a))
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    return a == b


def test_every_field_of_an_episode_survives_bit_for_bit() -> None:
    for episode in episodes():
        back, extra = decode(encode(episode, {"attempts": 3}), Path("x"))
        assert extra == {"attempts": 3}
        for f in fields(Episode):
            assert same(getattr(episode, f.name), getattr(back, f.name)), f.name
        assert episode.videos["agentview"].data[4:8] == b"ftyp"


def test_any_flipped_byte_and_any_truncation_is_noticed() -> None:
    data = encode(episodes()[0], {})
    chance = random.Random(7)
    for _ in range(200):
        at = chance.randrange(len(data))
        bad = bytearray(data)
        bad[at] ^= 1 << chance.randrange(8)
        with pytest.raises(DamagedShardError):
            decode(bytes(bad), Path("x"))
    for length in (0, 8, 40, len(data) // 2, len(data) - 1):
        with pytest.raises(DamagedShardError):
            decode(data[:length], Path("x"))


def test_a_damaged_file_is_dropped_so_that_the_slot_is_made_again(tmp_path: Path) -> None:
    spool = Spool(tmp_path, SHARD)
    episode = episodes()[1]
    assert spool.add(episode, [Outcome(slot=1, attempt=0, success=True, seconds={"physics": 0.5}, steps=9)])
    assert not spool.add(episode, [Outcome(slot=1, attempt=0, success=True)]), "one slot is kept once"
    assert spool.spooled() == {1}
    _, record = spool.read(1)
    assert (record.attempts, record.steps, record.seconds, record.replayed) == (1, 9, {"physics": 0.5}, True)
    path = spool.path(1)
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(DamagedShardError, match="damaged"):
        spool.read(1)
    assert spool.done() == set()


def test_an_episode_under_another_slots_name_is_refused(tmp_path: Path) -> None:
    spool = Spool(tmp_path, SHARD)
    spool.add(episodes()[1], [Outcome(slot=1, attempt=0, success=True)])
    spool.path(1).rename(spool.path(2))
    with pytest.raises(DamagedShardError, match="another slot"):
        spool.read(2)


def test_given_up_slots_keep_what_their_attempts_came_to(tmp_path: Path) -> None:
    spool = Spool(tmp_path, SHARD)
    tried = [
        Outcome(slot=2, attempt=0, success=False, reason="dropped", seconds={"physics": 1.0}),
        Outcome(slot=2, attempt=1, success=False, reason="dropped", detail="at 3 s", seconds={"physics": 2.0}),
    ]
    spool.give_up(2, tried)
    found = spool.given_up()[2]
    assert (found.attempts, found.failures, found.seconds) == (2, {"dropped": 2}, {"physics": 3.0})
    assert found.detail == "dropped: at 3 s"
    assert Tally.of(tried).attempts == 2


def test_pickled_objects_cannot_get_in_or_out() -> None:
    episode = episodes()[0]
    broken = Episode(
        **{**{f.name: getattr(episode, f.name) for f in fields(Episode)}, "base_pose": np.array([object()])}
    )
    with pytest.raises(TypeError, match="object"):
        encode(broken, {})
