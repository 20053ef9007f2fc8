"""Data: to learn from, and to compare with.

    digits(n, seed)           handwriting drawn with a pen, 28 x 28, with labels
    shapes(n, seed)           coloured shapes, 32 x 32, with attributes and captions
    mnist(split)              real handwriting            } downloaded once
    fashion_mnist(split)      real articles of clothing   }
    moons(n), spiral(n), checkerboard(n)    sets of points in the plane
    load_points(path)         your own numbers
"""

from .digits import digits
from .download import DownloadError
from .plane import checkerboard, moons, spiral
from .points import load_points
from .real import FASHION_CLASSES, fashion_mnist, mnist
from .shapes import COLOURS, KINDS, SIZES, shapes

__all__ = ["COLOURS", "DownloadError", "FASHION_CLASSES", "KINDS", "SIZES", "checkerboard",
           "digits", "fashion_mnist", "load_points", "mnist", "moons", "shapes", "spiral"]
