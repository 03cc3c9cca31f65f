"""Makes the textures of the built-in scenes: `python scenes/textures/make.py`. Needs numpy and Pillow."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

HERE = Path(__file__).parent


def smooth(rng: np.random.Generator, height: int, width: int, cells: tuple[int, int]) -> np.ndarray:
    """Tileable noise in [0, 1], `cells` random values down and across, stretched to the image."""
    coarse = rng.random(cells)
    wrapped = np.pad(coarse, ((0, 1), (0, 1)), mode="wrap")
    y, x = np.linspace(0, cells[0], height, endpoint=False), np.linspace(0, cells[1], width, endpoint=False)
    i, j = y.astype(int), x.astype(int)
    v, u = (y - i)[:, None], (x - j)[None, :]
    u, v = u * u * (3 - 2 * u), v * v * (3 - 2 * v)
    rows = wrapped[i][:, j] * (1 - u) + wrapped[i][:, j + 1] * u
    below = wrapped[i + 1][:, j] * (1 - u) + wrapped[i + 1][:, j + 1] * u
    return rows * (1 - v) + below * v


def planks(name: str, light: tuple, dark: tuple, boards: int, seed: int) -> None:
    """Boards with grain along u."""
    rng, size = np.random.default_rng(seed), 512
    grain = sum(smooth(rng, size, size, (32 * k, 2 * k)) / k for k in (1, 2, 4)) / 1.75
    warp = smooth(rng, size, size, (8, 4))
    rings = 0.5 + 0.5 * np.sin(2 * np.pi * (6 * warp + 3 * grain))
    board = np.arange(size) * boards // size
    tone = (grain * 0.6 + rings * 0.25 + rng.random(boards)[board][:, None] * 0.35)[..., None]
    image = np.array(light) * (1 - tone) + np.array(dark) * tone
    seam = np.minimum(np.arange(size) % (size // boards), 3) / 3
    image *= (0.72 + 0.28 * seam)[:, None, None]
    save(Image.fromarray(np.clip(image, 0, 255).astype(np.uint8)), name)


def label(name: str, ground: tuple, band: tuple, text: str) -> None:
    """A can's label: a band with a disc and a word, twice around."""
    width, height = 512, 160
    image = Image.new("RGB", (width, height), ground)
    pen = ImageDraw.Draw(image)
    pen.rectangle([0, 52, width, 108], fill=band)
    pen.rectangle([0, 6, width, 12], fill=band)
    pen.rectangle([0, height - 13, width, height - 7], fill=band)
    for x in (128, 384):
        pen.ellipse([x - 62, 18, x + 62, 142], fill=(250, 246, 232), outline=ground, width=4)
        pen.text((x, 80), text, fill=ground, anchor="mm", font_size=34)
    save(image, name)


def save(image: Image.Image, name: str) -> None:
    """Write with a palette: small, and the same bytes each time."""
    image.quantize(64, dither=Image.Dither.NONE).convert("RGB").save(HERE / name, optimize=True)


if __name__ == "__main__":
    planks("table_wood.png", light=(214, 170, 116), dark=(132, 84, 44), boards=4, seed=3)
    planks("floor_wood.png", light=(150, 128, 108), dark=(96, 76, 60), boards=8, seed=8)
    label("label_tomato.png", ground=(178, 26, 22), band=(232, 190, 70), text="SOUP")
    label("label_peas.png", ground=(28, 112, 44), band=(226, 222, 130), text="PEAS")
