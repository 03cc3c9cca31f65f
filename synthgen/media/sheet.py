"""Contact sheets: many small pictures in one, to look at."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

GAP = 4
LABEL_HEIGHT = 14
BACKGROUND = (24, 24, 24)
INK = (235, 235, 235)


def contact_sheet(images: Sequence[NDArray[np.uint8]], columns: int, labels: Sequence[str] = ()) -> bytes:
    """A PNG with the images (H, W, 3) uint8, which may differ in size, in rows of ``columns``.

    ``labels``: one line under each image; fewer than images is fine.

    Raises:
        ValueError: no images, or columns < 1.
    """
    if not images or columns < 1:
        raise ValueError("a contact sheet needs at least one image and one column")
    width = max(i.shape[1] for i in images)
    height = max(i.shape[0] for i in images) + (LABEL_HEIGHT if labels else 0)
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    sheet = Image.new("RGB", (columns * (width + GAP) + GAP, rows * (height + GAP) + GAP), BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    for i, image in enumerate(images):
        x, y = GAP + i % columns * (width + GAP), GAP + i // columns * (height + GAP)
        sheet.paste(Image.fromarray(image), (x, y))
        if i < len(labels):
            # The built-in bitmap font knows Latin-1 only; a label must never break a report.
            text = labels[i].encode("latin-1", "replace").decode("latin-1")
            draw.text((x + 2, y + height - LABEL_HEIGHT), text, fill=INK)
    out = io.BytesIO()
    sheet.save(out, "PNG")
    return out.getvalue()
