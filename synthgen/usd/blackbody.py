"""The colour of a glowing body by its temperature."""

from __future__ import annotations

import numpy as np

_XYZ_TO_RGB = np.array(
    [[3.2404542, -1.5371385, -0.4985314], [-0.9692660, 1.8760108, 0.0415560], [0.0556434, -0.2040259, 1.0572252]]
)
_LUMA = np.array([0.2126, 0.7152, 0.0722])


def rgb(temperature: float) -> tuple[float, float, float]:
    """Linear RGB (Rec. 709), luminance 1, of a black body of ``temperature`` kelvin, clamped to [1500, 10000].

    Planckian locus by the cubic approximation of Kim et al. (US patent 7024034, 2006), good from 1667 K and within a
    few percent at 1500 K; the normalisation is UsdLux's.
    """
    t = float(np.clip(temperature, 1500.0, 10000.0))
    u = 1e3 / t
    if t <= 4000.0:
        x = -0.2661239 * u**3 - 0.2343589 * u**2 + 0.8776956 * u + 0.179910
    else:
        x = -3.0258469 * u**3 + 2.1070379 * u**2 + 0.2226347 * u + 0.240390
    if t <= 2222.0:
        y = -1.1063814 * x**3 - 1.34811020 * x**2 + 2.18555832 * x - 0.20219683
    elif t <= 4000.0:
        y = -0.9549476 * x**3 - 1.37418593 * x**2 + 2.09137015 * x - 0.16748867
    else:
        y = 3.0817580 * x**3 - 5.87338670 * x**2 + 3.75112997 * x - 0.37001483
    color = np.maximum(_XYZ_TO_RGB @ np.array([x / y, 1.0, (1.0 - x - y) / y]), 0.0)
    color = color / (_LUMA @ color)
    return (float(color[0]), float(color[1]), float(color[2]))
