"""A learner's own points, from a file of numbers: text, CSV or .npy."""

from pathlib import Path
from typing import Any

import numpy as np


class PointsError(ValueError):
    """A file that holds no usable points; the message says which file, where, and what to do."""


def load_points(path: str | Path, columns: int = 1) -> np.ndarray:
    """The points in a file, float64: shape (n,) for one column, else (n, columns).

    A .npy file holds an array of that shape. Any other file is text: a point a line, its numbers
    separated by commas or blanks; empty lines and lines that start with # are skipped. With one
    column, a line may hold several points.

    Raises PointsError for a file that is missing or empty, a word that is not a number (with its
    line), NaN or infinity (with its place), and another shape.
    """
    path = Path(path)
    if not path.is_file():
        raise PointsError(f"{path}: no such file")
    points = _read_npy(path) if path.suffix == ".npy" else _read_text(path, columns)
    if points.size == 0:
        raise PointsError(f"{path}: holds no numbers")
    if columns == 1 and points.ndim == 2 and 1 in points.shape:
        points = points.ravel()
    if points.shape[1:] != (() if columns == 1 else (columns,)):
        raise PointsError(f"{path}: has shape {points.shape}, expected "
                          f"{'(n,)' if columns == 1 else f'(n, {columns})'}")
    return points


def _read_npy(path: Path) -> np.ndarray:
    try:
        array = np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise PointsError(f"{path}: not a readable .npy file ({error})") from error
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "iuf" or array.ndim == 0:
        raise PointsError(f"{path}: expected an array of numbers, got "
                          f"{getattr(array, 'dtype', type(array).__name__)}")
    bad = np.argwhere(~np.isfinite(array))
    if len(bad):
        where = tuple(int(i) for i in bad[0])
        raise PointsError(f"{path}: element {where} is {array[where]}; remove it or fill it in")
    return array.astype(np.float64)


def _read_text(path: Path, columns: int) -> np.ndarray:
    rows: list[Any] = []  # numbers, or with several columns lists of them
    try:
        lines = path.read_text().splitlines()
    except (UnicodeDecodeError, OSError) as error:
        raise PointsError(f"{path}: not a readable text file ({error})") from error
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        row = [_number(word, path, number) for word in line.replace(",", " ").split()]
        if columns == 1:
            rows.extend(row)
        elif len(row) == columns:
            rows.append(row)
        else:
            raise PointsError(f"{path}, line {number}: has {len(row)} numbers, expected {columns}")
    return np.array(rows, dtype=np.float64)


def _number(word: str, path: Path, line: int) -> float:
    try:
        number = float(word)
    except ValueError:
        hint = " (a header? put # before it)" if line == 1 else ""
        raise PointsError(f"{path}, line {line}: {word!r} is not a number{hint}") from None
    if not np.isfinite(number):
        raise PointsError(f"{path}, line {line}: {word} is not finite; remove it or fill it in")
    return number
