"""A learner's own points, from a file of numbers and back: text, CSV or .npy."""

import math
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np


class PointsError(ValueError):
    """A file that holds no usable points; the message says which file, where, and what to do."""


class Points(NamedTuple):
    """points (n, 1) or (n, 2), float64; and how they stood in the file, for `write_points`.

    header: the line of names above a text's numbers, "" if there is none. flat: a .npy array (n,).
    """

    points: np.ndarray
    header: str = ""
    flat: bool = False


def load_points(path: str | Path, columns: int = 1) -> np.ndarray:
    """The points in a file, float64: shape (n,) for one column, (n, 2) for two.

    See `read_points`. Raises PointsError as it does, and for a file with no or other columns.
    """
    points = read_points(path).points
    if points.size == 0:
        raise PointsError(f"{path}: holds no numbers")
    if points.shape[1] != columns:
        raise PointsError(f"{path}: has {points.shape[1]} columns, expected {columns}")
    return points.ravel() if columns == 1 else points


def read_points(path: str | Path) -> Points:
    """The points in a file, of the line or of the plane.

    A .npy file holds an array (n,), (n, 1) or (n, 2). Any other file is text: a point a line, its
    one or two numbers separated by commas or blanks. Empty lines and lines that start with # are
    skipped, and a first line without numbers is a header.

    Raises PointsError for a file that is missing or unreadable, of another shape, or with anything
    but finite numbers in it, and says where.
    """
    path = Path(path)
    if not path.is_file():
        raise PointsError(f"{path}: no such file")
    return _read_npy(path) if path.suffix == ".npy" else _read_text(path)


def write_points(path: Path, points: np.ndarray, like: Points) -> None:
    """The points (n, columns) in the form of those read; the file appears whole or not at all."""
    part = path.with_name(path.name + ".part")
    with open(part, "wb") as file:
        if path.suffix == ".npy":
            np.save(file, points.ravel() if like.flat else points)
        else:
            np.savetxt(file, points, fmt="%.9g", delimiter="," if path.suffix == ".csv" else " ",
                       header=like.header, comments="", encoding="utf-8")
    os.replace(part, path)


def _read_npy(path: Path) -> Points:
    try:
        array = np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise PointsError(f"{path}: not a readable .npy file ({error})") from error
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "iuf":
        raise PointsError(f"{path}: expected an array of numbers, got "
                          f"{getattr(array, 'dtype', type(array).__name__)}")
    points = array[:, None] if array.ndim == 1 else array
    if points.ndim != 2 or points.shape[1] not in (1, 2):
        raise PointsError(f"{path}: has shape {array.shape}, expected (n,), (n, 1) or (n, 2)")
    for row, column in np.argwhere(~np.isfinite(points)):
        raise PointsError(f"{path}, row {row + 1}, column {column + 1}: is {points[row, column]}; "
                          "remove it or fill it in")
    return Points(points.astype(np.float64), flat=array.ndim == 1)


def _read_text(path: Path) -> Points:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (UnicodeDecodeError, OSError) as error:
        raise PointsError(f"{path}: not a readable text file ({error})") from error
    rows: list[list[float]] = []
    header = ""
    for number, line in enumerate(lines, 1):
        words = [word.strip() for word in line.split(",")] if "," in line else line.split()
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if not rows and not header and not any(map(_is_number, words)):
            header = line
            continue
        expected = [len(rows[0])] if rows else [1, 2]
        if len(words) not in expected:
            raise PointsError(f"{path}, line {number}: has {len(words)} columns, expected "
                              f"{' or '.join(map(str, expected))}")
        for column, word in enumerate(words, 1):
            if not _is_number(word) or not math.isfinite(float(word)):
                raise PointsError(f"{path}, line {number}, column {column}: {word!r} is not a "
                                  "finite number")
        rows.append([float(word) for word in words])
    return Points(np.array(rows).reshape(len(rows), -1 if rows else 1), header)


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
