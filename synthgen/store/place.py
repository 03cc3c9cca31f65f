"""Where a run is: a folder, or a URL of an object store. The only file that tells them apart for the rest."""

from __future__ import annotations

from pathlib import Path

from synthgen.core.plan import RunPlan
from synthgen.store.remote import RemoteRunStore, plans_at
from synthgen.store.run import RunStore, plans
from synthgen.store.url import S3Url

Place = Path | S3Url


def place_of(text: str) -> Place:
    """What the user typed: ``s3://bucket/prefix``, or a folder.

    Raises:
        UsageError: another scheme, or not a place in a bucket.
    """
    return S3Url.parse(text) if "://" in text else Path(text)


def open_run(place: Place, *, work: Path | None = None) -> RunStore:
    """See ``RunStore.open``; ``work``: where working folders lie, for object stores."""
    return RemoteRunStore.join(place, work=work) if isinstance(place, S3Url) else RunStore.open(place)


def create_run(place: Place, plan: RunPlan, *, work: Path | None = None) -> RunStore:
    """See ``RunStore.create``."""
    return RemoteRunStore.start(place, plan, work=work) if isinstance(place, S3Url) else RunStore.create(place, plan)


def plans_of(place: Place) -> list[RunPlan]:
    """See ``chain``."""
    return plans_at(place) if isinstance(place, S3Url) else plans(place)
