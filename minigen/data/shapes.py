"""Coloured shapes with captions: images whose every attribute is known, and no download.

Each shape is given by its signed distance: how far a point lies outside its edge (negative inside).
A pixel's colour goes from the shape's to the background's while that distance goes from -1/2 to 1/2
pixel: that is anti-aliasing.

Source of the idea: Quilez, 2D distance functions,
https://iquilezles.org/articles/distfunctions2d
"""

from collections.abc import Callable

import numpy as np

SIDE = 32  # pixels
CHUNK = 256  # images drawn at a time: few enough for the processor's cache

# The vocabulary. An attribute is a place in one of these lists.
KINDS = ["circle", "square", "triangle", "diamond", "cross", "ring"]
COLOURS = ["red", "orange", "yellow", "green", "blue", "purple"]
SIZES = ["small", "medium", "large"]
PLACES = ["at the top left", "at the top", "at the top right",
          "on the left", "in the centre", "on the right",
          "at the bottom left", "at the bottom", "at the bottom right"]

RGB = np.array([[.90, .15, .15], [.98, .55, .10], [.95, .88, .20],
                [.20, .70, .25], [.20, .40, .95], [.60, .25, .80]])  # as COLOURS
RADIUS = np.array([3.4, 5.2, 7.4])  # pixels, as SIZES
STEP = 6.0  # pixels between two places

ATTRIBUTES = {"kind": KINDS, "colour": COLOURS, "size": SIZES, "place": PLACES}


def shapes(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """n drawn shapes: images (n, 3, 32, 32), float32 in [0, 1], attributes (n,) and n captions.

    The attributes are a structured array: `attributes["colour"]` has shape (n,), int64, and counts
    in COLOURS; so do "kind", "size" and "place" in KINDS, SIZES and PLACES. All four are drawn
    evenly and independently. A caption says them all: "a small red circle at the top left".

    What no caption says varies too: a few degrees of turn, a pixel of place, a twelfth of size,
    a shade of colour, and how dark the background is. One seed gives one sequence: a larger n
    continues it. ValueError unless n is a whole number >= 0.
    """
    if not isinstance(n, (int, np.integer)) or n < 0:
        raise ValueError(f"shapes: n is {n!r}, expected a whole number >= 0")
    attribute_rng, hand_rng = np.random.default_rng(seed).spawn(2)
    attributes = np.empty(n, dtype=[(name, np.int64) for name in ATTRIBUTES])
    for (name, values), u in zip(ATTRIBUTES.items(), attribute_rng.random((n, 4)).T):
        attributes[name] = u * len(values)
    hand = hand_rng.uniform(-1, 1, (n, 8))
    images = np.empty((n, 3, SIDE, SIDE), dtype=np.float32)
    for start in range(0, n, CHUNK):
        here = slice(start, start + CHUNK)
        images[here] = _draw(attributes[here], hand[here])
    return images, attributes, [caption(row) for row in attributes]


def caption(row: np.void) -> str:
    """What an image shows, in one line; `row` is one element of the attributes."""
    return (f"a {SIZES[row['size']]} {COLOURS[row['colour']]} {KINDS[row['kind']]} "
            f"{PLACES[row['place']]}")


def _draw(attributes: np.ndarray, hand: np.ndarray) -> np.ndarray:
    """Images (n, 3, 32, 32), float64; hand (n, 8), in [-1, 1], is what no caption says."""
    right, down, grow, turn, dark = hand[:, :5].T
    row, column = np.divmod(attributes["place"], 3)
    radius = RADIUS[attributes["size"]] * (1 + .08 * grow)
    x, y = _pixels(SIDE / 2 + STEP * (column - 1) + right, SIDE / 2 + STEP * (row - 1) + down,
                   np.radians(12) * turn)
    distance = np.empty((len(hand), SIDE, SIDE), dtype=np.float32)
    for index, kind in enumerate(KINDS):
        mine = attributes["kind"] == index
        distance[mine] = DISTANCES[kind](x[mine], y[mine], radius[mine, None, None])
    cover = np.clip(.5 - distance, 0, 1)[:, None]
    colour = np.clip(RGB[attributes["colour"]] + .06 * hand[:, 5:], 0, 1)[:, :, None, None]
    background = (.1 + .08 * dark)[:, None, None, None]
    return background + cover * (colour - background)


def _pixels(x: np.ndarray, y: np.ndarray, turn: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where the pixels are as seen from n shapes at (x, y), turned so many radians: (n, 32, 32)."""
    centres = np.arange(SIDE) + .5
    right = (centres - x[:, None])[:, None, :]
    down = (centres - y[:, None])[:, :, None]
    cos, sin = np.cos(turn)[:, None, None], np.sin(turn)[:, None, None]
    x, y = cos * right + sin * down, cos * down - sin * right
    return x.astype(np.float32), y.astype(np.float32)


# Signed distances at (x, y), y downwards, of a shape around 0. Each is sized by r such that all
# kinds look equally large, and none leaves the picture.


def _circle(x: np.ndarray, y: np.ndarray, r: np.ndarray) -> np.ndarray:
    return np.hypot(x, y) - r


def _ring(x: np.ndarray, y: np.ndarray, r: np.ndarray) -> np.ndarray:
    return np.abs(np.hypot(x, y) - .75 * r) - .3 * r


def _box(x: np.ndarray, y: np.ndarray, width: np.ndarray, height: np.ndarray) -> np.ndarray:
    """Half as wide and high as named; beyond a corner a little less than the true distance."""
    return np.maximum(np.abs(x) - width, np.abs(y) - height)


def _square(x: np.ndarray, y: np.ndarray, r: np.ndarray) -> np.ndarray:
    return _box(x, y, .88 * r, .88 * r)


def _diamond(x: np.ndarray, y: np.ndarray, r: np.ndarray) -> np.ndarray:
    return (np.abs(x) / .75 + np.abs(y) / 1.1 - r) / np.hypot(1 / .75, 1 / 1.1)


def _cross(x: np.ndarray, y: np.ndarray, r: np.ndarray) -> np.ndarray:
    return np.minimum(_box(x, y, r, .32 * r), _box(x, y, .32 * r, r))


def _triangle(x: np.ndarray, y: np.ndarray, r: np.ndarray) -> np.ndarray:
    # Three straight edges, equally far from its middle, which lies a little below ours.
    y = y - .1 * r
    slope = np.abs(x) * np.cos(np.pi / 6) - y * np.sin(np.pi / 6)
    return np.maximum(y, slope) - .55 * r


DISTANCES: dict[str, Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]] = {
    "circle": _circle, "square": _square, "triangle": _triangle, "diamond": _diamond,
    "cross": _cross, "ring": _ring,
}
