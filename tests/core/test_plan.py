"""A plan is JSON with a digest; its shards cover every slot once."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthgen.core.errors import UsageError
from synthgen.core.plan import Cell, RunPlan

PLAN = RunPlan(
    cells=(Cell(task="pick_place", embodiment="franka", n=5), Cell(task="pick_place", embodiment="g1", n=4)),
    seed=0,
    scene="tabletop",
    scene_digest="ab",
    simulator="mujoco",
    fps=20,
    cameras={"franka": ("agentview", "wrist"), "g1": ("ego_view",)},
    width=256,
    height=256,
    formats=("lerobot",),
    shard_size=2,
    max_attempts=20,
    task_digests={"pick_place": "cd"},
    version="0",
)


@given(st.lists(st.integers(1, 300), min_size=1, max_size=4), st.integers(1, 70))
def test_shards_cover_every_slot_once(counts: list[int], size: int) -> None:
    cells = tuple(Cell(task="t", embodiment=f"e{i}", n=n) for i, n in enumerate(counts))
    seen = [
        (s.embodiment, k) for s in replace(PLAN, cells=cells, shard_size=size).shards() for k in range(s.start, s.stop)
    ]
    assert len(seen) == len(set(seen)) == sum(counts)
    assert set(seen) == {(c.embodiment, k) for c in cells for k in range(c.n)}


def test_cells_take_turns() -> None:
    assert [s.name for s in PLAN.shards()][:3] == [
        "pick_place.franka.000000",
        "pick_place.g1.000000",
        "pick_place.franka.000001",
    ]


def test_json_round_trip_keeps_the_digest() -> None:
    again = RunPlan.from_json(PLAN.to_json())
    assert again == PLAN
    assert again.digest() == PLAN.digest()


def test_differences_name_the_fields() -> None:
    other = replace(PLAN, seed=1, cameras={})
    assert set(PLAN.differences(other)) == {"seed", "cameras"}
    assert PLAN.digest() != other.digest()


def test_choices_are_part_of_the_plan_only_where_one_was_made() -> None:
    """A plan of before there were choices keeps its digest, and its run can be gone on with."""
    before = PLAN.to_json()
    assert "choices" not in before
    assert PLAN.digest() == "234d0a1382b9180ce5f2b20cba41cc9a829aba7b30dd553b5f444040da23f1f2"
    chosen = replace(PLAN, choices={"assets": "nvidia"})
    assert RunPlan.from_json(chosen.to_json()) == chosen and chosen.digest() != PLAN.digest()
    assert chosen.differences(PLAN) == {"choices": ({"assets": "nvidia"}, None)}
    assert set(PLAN.differences(chosen)) == {"choices"} and chosen.grow(PLAN) is None


def test_unknown_fields_are_refused() -> None:
    with pytest.raises(UsageError, match="colour"):
        RunPlan.from_json({**PLAN.to_json(), "colour": 1})


@given(st.lists(st.integers(1, 50), min_size=1, max_size=5), st.integers(1, 9))
def test_a_grown_plan_keeps_every_shard_it_had(sizes: list[int], size: int) -> None:
    sizes = sorted(sizes)
    plan = replace(PLAN, cells=(Cell(task="t", embodiment="e", n=sizes[0]),), shard_size=size)
    for n in sizes[1:]:
        grown = plan.grow(replace(plan, cells=(Cell(task="t", embodiment="e", n=n),)))
        assert grown is not None
        before, after = list(plan.shards()), list(grown.shards())
        assert after[: len(before)] == before
        assert [k for s in after for k in range(s.start, s.stop)] == list(range(n))
        assert [s.index for s in after] == list(range(len(after)))
        assert RunPlan.from_json(grown.to_json()) == grown
        plan = grown


def test_only_more_of_the_same_is_growth() -> None:
    assert PLAN.grow(replace(PLAN, seed=1)) is None
    assert PLAN.grow(replace(PLAN, cells=PLAN.cells[:1])) is None
    fewer = replace(PLAN, cells=(replace(PLAN.cells[0], n=4), PLAN.cells[1]))
    assert PLAN.grow(fewer) is None
    assert PLAN.grow(PLAN) == PLAN
