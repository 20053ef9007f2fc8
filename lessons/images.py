"""The images that a lesson learns from: `--data` names them. And how to show many at once."""

from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from lesson import Lesson

from minigen import data

DATA = ("--data", {
    "default": "digits",
    "choices": ["digits", "mnist", "fashion", "shapes"],
    "help": "what to learn from: drawn digits, drawn shapes, or the real MNIST or Fashion-MNIST, "
            "downloaded when first asked for",
})


class Images(NamedTuple):
    """Two separate sets: to learn from, and to judge by. A label counts in `names`."""

    train: np.ndarray          # (n, channels, side, side), float32 in [0, 1]
    train_labels: np.ndarray   # (n,), int64
    test: np.ndarray
    test_labels: np.ndarray
    names: list[str]


def load(lesson: Lesson, train: int, test: int) -> Images:
    """So many images of what the lesson's --data names; the lesson's seed draws the drawn ones."""
    source = lesson.args.data
    if source in ("mnist", "fashion"):
        return _real(lesson, train, test)
    if source == "shapes":
        images, attributes, _ = data.shapes(train + test, lesson.seed)
        labels, names = attributes["kind"], list(data.KINDS)
    else:
        images, labels = data.digits(train + test, lesson.seed)
        names = [str(digit) for digit in range(10)]
    return Images(images[:train], labels[:train], images[train:], labels[train:], names)


def _real(lesson: Lesson, train: int, test: int) -> Images:
    mnist = lesson.args.data == "mnist"
    names = [str(digit) for digit in range(10)] if mnist else data.FASHION_CLASSES
    read = data.mnist if mnist else data.fashion_mnist
    try:
        (images, labels), (other, other_labels) = read("train"), read("test")
    except data.DownloadError as error:
        lesson.refuse(error)
    return Images(images[:train], labels[:train], other[:test], other_labels[:test], names)


def sheet(images: np.ndarray, columns: int, gap: int = 1) -> np.ndarray:
    """Images (n, channels, h, w), row by row in one picture with white gaps, as `imshow` takes it.

    One channel: ink is dark, 0 is white paper. Three: (red, green, blue). Values are cut to [0, 1].
    """
    n, channels, h, w = images.shape
    rows = -(-n // columns)
    picture = np.ones((rows * (h + gap) - gap, columns * (w + gap) - gap, channels))
    for i, image in enumerate(images):
        top, left = i // columns * (h + gap), i % columns * (w + gap)
        ink = np.clip(image, 0.0, 1.0).transpose(1, 2, 0)
        picture[top:top + h, left:left + w] = 1.0 - ink if channels == 1 else ink
    return picture.repeat(3, axis=2) if channels == 1 else picture


def show(ax: plt.Axes, images: Any, columns: int, title: str = "") -> None:
    """Draw a sheet of images on the axes, with a title and no ticks."""
    ax.imshow(sheet(np.asarray(images), columns), interpolation="nearest")
    ax.set_axis_off()
    ax.set_title(title)
