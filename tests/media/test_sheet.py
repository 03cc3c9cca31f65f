"""Contact sheets hold every picture where it belongs."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from synthgen.media.sheet import GAP, LABEL_HEIGHT, contact_sheet


def test_every_picture_is_on_the_sheet() -> None:
    images = [np.full((20, 30, 3), 40 * i, np.uint8) for i in range(1, 6)]
    sheet = np.asarray(Image.open(io.BytesIO(contact_sheet(images, 3))))
    assert sheet.shape == (2 * (20 + GAP) + GAP, 3 * (30 + GAP) + GAP, 3)
    for i, image in enumerate(images):
        y, x = GAP + i // 3 * (20 + GAP), GAP + i % 3 * (30 + GAP)
        assert np.array_equal(sheet[y : y + 20, x : x + 30], image)


def test_labels_are_drawn_below_and_odd_letters_do_no_harm() -> None:
    image = np.zeros((20, 60, 3), np.uint8)
    sheet = np.asarray(Image.open(io.BytesIO(contact_sheet([image, image], 5, ["ok", "→ 机器人"]))))
    assert sheet.shape == (20 + LABEL_HEIGHT + 2 * GAP, 2 * (60 + GAP) + GAP, 3)
    assert not sheet[GAP : GAP + 20, GAP : GAP + 60].any()
    assert (sheet[GAP + 20 :, GAP : GAP + 60] > 150).any()


@pytest.mark.parametrize(("images", "columns"), [([], 3), ([np.zeros((2, 2, 3), np.uint8)], 0)])
def test_nothing_to_show_is_an_error(images, columns) -> None:
    with pytest.raises(ValueError, match="at least one"):
        contact_sheet(images, columns)
