"""The images of a lesson: separate sets, one seed one set, and a picture with each in its place."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest

from minigen import data

LESSONS = Path(__file__).parents[2] / "lessons"


@pytest.fixture
def images(monkeypatch):
    monkeypatch.syspath_prepend(str(LESSONS))
    return importlib.import_module("images")


@pytest.fixture
def lesson_on(monkeypatch, images, tmp_path):
    """Make a lesson with the given arguments."""
    from lesson import Lesson

    def make(*arguments):
        monkeypatch.setattr(sys, "argv", ["x.py", "--out", str(tmp_path), *arguments])
        return Lesson("99_test", "99. A test\n", [images.DATA])
    return make


@pytest.mark.parametrize("source, shape", [("digits", (1, 28, 28)), ("shapes", (3, 32, 32))])
def test_the_drawn_sets_are_separate_and_follow_the_seed(images, lesson_on, source, shape):
    first, again, other = (images.load(lesson_on("--data", source, "--seed", seed), 30, 10)
                           for seed in "112")
    assert first.train.shape == (30, *shape) and first.test.shape == (10, *shape)
    assert first.train.dtype == np.float32 and 0 <= first.train.min() <= first.train.max() <= 1
    assert set(first.train_labels) | set(first.test_labels) <= set(range(len(first.names)))
    np.testing.assert_array_equal(first.train, again.train)
    np.testing.assert_array_equal(first.test_labels, again.test_labels)
    assert (first.train != other.train).any()
    distances = np.abs(first.train[:, None] - first.test[None]).max((2, 3, 4))
    assert distances.min() > 0.1, "an image of the test set was learned from"


def test_the_real_sets_keep_their_own_splits(images, lesson_on, monkeypatch):
    def read(split):
        value = {"train": 0.25, "test": 0.75}[split]
        return np.full((9, 1, 28, 28), value, np.float32), np.arange(9)
    monkeypatch.setattr(data, "fashion_mnist", read)
    got = images.load(lesson_on("--data", "fashion"), 6, 2)
    assert got.train.shape[0] == 6 and got.test.shape[0] == 2
    assert got.train.max() == 0.25 and got.test.min() == 0.75
    assert got.names == data.FASHION_CLASSES


def test_a_failed_download_ends_the_lesson_with_its_message(images, lesson_on, monkeypatch, capsys):
    def read(split):
        raise data.DownloadError("train-images: no mirror answers")
    monkeypatch.setattr(data, "mnist", read)
    with pytest.raises(SystemExit, match="2"):
        images.load(lesson_on("--data", "mnist"), 6, 2)
    assert "no mirror answers" in capsys.readouterr().err


def test_on_a_sheet_each_image_stands_in_its_place_between_white_gaps(images):
    ink = np.arange(1, 6).reshape(5, 1, 1, 1) / 10 * np.ones((5, 1, 2, 3))
    sheet = images.sheet(ink, columns=3)
    assert sheet.shape == (5, 11, 3)
    np.testing.assert_allclose(sheet[0, [0, 4, 8], 0], [0.9, 0.8, 0.7])  # the first row
    np.testing.assert_allclose(sheet[3, [0, 4, 8], 0], [0.6, 0.5, 1.0])  # the second, one short
    assert (sheet[2] == 1).all() and (sheet[:, [3, 7]] == 1).all()


def test_a_sheet_of_colours_keeps_them_and_cuts_what_is_out_of_range(images):
    red = np.zeros((1, 3, 2, 2))
    red[0, 0], red[0, 1] = 1.5, -0.5
    np.testing.assert_array_equal(images.sheet(red, 1)[0, 0], [1.0, 0.0, 0.0])
