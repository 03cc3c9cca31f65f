"""From a request to a plan: what is decided when the user does not say."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest

from synthgen.core.project import Project
from synthgen.engine.planning import LARGEST_SHARD, ROUNDS, Request, make_plan, shard_size


@pytest.mark.parametrize(("smallest", "size"), [(1, 1), (7, 1), (16, 2), (100, 12), (100_000, LARGEST_SHARD)])
def test_a_small_run_too_spreads_over_workers(smallest, size):
    assert shard_size(smallest, 1) == size


def test_every_environment_of_a_simulator_has_work():
    for smallest, envs in product((1, 2, 6, 40, 1000, 100_000), (2, 4, 16, 64, 1024)):
        size = shard_size(smallest, envs)
        assert 1 <= size <= smallest
        assert size >= min(smallest, ROUNDS * envs)
        assert size >= shard_size(smallest, 1)


def test_the_number_of_environments_decides_the_shards_and_nothing_else():
    asked = Request(tasks=("fake",), simulator="fake", n=60, project=Project.of(None))
    one, many = make_plan(asked), make_plan(replace(asked, num_envs=8))
    assert (one.shard_size, many.shard_size) == (2, 20)
    ours = {k: v for k, v in vars(one).items() if k != "shard_size"}
    assert ours == {k: v for k, v in vars(many).items() if k != "shard_size"}
