"""docs/security.md names tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "security.md").read_text()


def test_every_claim_has_a_test_that_exists() -> None:
    named = re.findall(r"`(tests/\S+\.py)::(test_\w+)`", TEXT)
    assert len(named) > 10
    for file, function in named:
        assert re.search(rf"^def {function}\(", (ROOT / file).read_text(), re.M), f"{file}::{function}"
    claims = TEXT.split("## Claims and their tests")[1].split("## Limits")[0]
    for paragraph in re.findall(r"^\*\*.+?(?=^\*\*|\Z)", claims, re.M | re.S):
        assert "::test_" in paragraph, paragraph
