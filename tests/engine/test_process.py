from __future__ import annotations

import pytest

from synthgen.engine.process import THREADS, child_environment


def test_a_simulator_has_one_thread_whatever_ray_and_the_shell_say(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in THREADS:
        monkeypatch.setenv(name, "16")
    found = child_environment({})
    assert {k: found[k] for k in THREADS} == {**dict.fromkeys(THREADS, "1"), "LP_NUM_THREADS": "0"}
    assert child_environment({"LP_NUM_THREADS": "3"})["LP_NUM_THREADS"] == "3", "a job's own settings count"
