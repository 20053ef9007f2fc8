"""Drawn shapes: every image shows what its attributes and its caption say."""

import numpy as np
import pytest

from minigen.data import shapes
from minigen.data.shapes import COLOURS, KINDS, PLACES, RGB, SIZES, caption


@pytest.fixture(scope="module")
def drawn():
    return shapes(2000, seed=1)


def cover(images):
    """How much of each pixel belongs to the shape, (n, 32, 32): the background is grey."""
    spread = images.max(axis=1) - images.min(axis=1)
    return spread / spread.max(axis=(1, 2), keepdims=True)


def test_images_are_float32_from_0_to_1_with_attributes_and_a_caption_each(drawn):
    images, attributes, captions = drawn
    assert images.shape == (2000, 3, 32, 32) and images.dtype == np.float32
    assert images.min() >= 0 and images.max() <= 1
    assert attributes.shape == (2000,)
    assert attributes.dtype.names == ("kind", "colour", "size", "place")
    assert all(attributes[name].dtype == np.int64 for name in attributes.dtype.names)
    assert len(captions) == 2000 and all(type(line) is str for line in captions)


def test_one_seed_gives_one_result_and_a_larger_n_continues_it(drawn):
    for n in [2000, 7, 1, 0]:
        images, attributes, captions = shapes(n, seed=1)
        np.testing.assert_array_equal(images, drawn[0][:n])
        np.testing.assert_array_equal(attributes, drawn[1][:n])
        assert captions == drawn[2][:n]
    assert shapes(20, seed=2)[2] != drawn[2][:20]


def test_a_caption_says_all_four_attributes_in_one_line(drawn):
    _, attributes, captions = drawn
    for row, line in zip(attributes, captions):
        assert line == (f"a {SIZES[row['size']]} {COLOURS[row['colour']]} {KINDS[row['kind']]} "
                        f"{PLACES[row['place']]}")
    assert caption(np.zeros_like(attributes)[0]) == "a small red circle at the top left"


def test_all_attributes_are_drawn_evenly_and_independently(drawn):
    _, attributes, _ = drawn
    sizes = {"kind": 6, "colour": 6, "size": 3, "place": 9}
    for name, size in sizes.items():
        counts = np.bincount(attributes[name], minlength=size)
        assert len(counts) == size
        p = 1 / size
        assert (np.abs(counts - 2000 * p) < 5 * np.sqrt(2000 * p * (1 - p))).all()
    correlation = np.corrcoef([attributes[name] for name in sizes]) - np.eye(4)
    assert np.abs(correlation).max() < 5 / np.sqrt(2000)


def test_the_colour_in_the_middle_of_the_ink_is_the_one_in_the_caption(drawn):
    images, attributes, _ = drawn
    most = cover(images).reshape(2000, -1).argmax(axis=1)
    seen = images.reshape(2000, 3, -1)[np.arange(2000), :, most]
    nearest = ((seen[:, None] - RGB)**2).sum(axis=-1).argmin(axis=1)
    np.testing.assert_array_equal(nearest, attributes["colour"])


def test_the_centre_of_the_ink_is_where_the_caption_says(drawn):
    images, attributes, _ = drawn
    weight = cover(images)
    total = weight.sum(axis=(1, 2))
    row = weight.sum(axis=2) @ (np.arange(32) + .5) / total
    column = weight.sum(axis=1) @ (np.arange(32) + .5) / total
    got = 3 * np.clip(np.round((row - 16) / 6) + 1, 0, 2) + np.round((column - 16) / 6) + 1
    np.testing.assert_array_equal(got, attributes["place"])


def test_within_a_kind_every_larger_size_has_more_ink(drawn):
    images, attributes, _ = drawn
    area = cover(images).sum(axis=(1, 2))
    for kind in range(len(KINDS)):
        areas = [area[(attributes["kind"] == kind) & (attributes["size"] == size)]
                 for size in range(len(SIZES))]
        assert areas[0].max() < areas[1].min() and areas[1].max() < areas[2].min()


def test_each_kind_has_the_area_of_its_formula(drawn):
    images, attributes, _ = drawn
    area = cover(images).sum(axis=(1, 2))
    want = {"circle": np.pi, "square": 4 * .88**2, "triangle": 3 * np.sqrt(3) * .55**2,
            "diamond": 2 * .75 * 1.1, "cross": 8 * .32 - 4 * .32**2,
            "ring": np.pi * (1.05**2 - .45**2)}
    for kind, factor in want.items():
        mine = area[(attributes["kind"] == KINDS.index(kind)) & (attributes["size"] == 2)]
        assert mine.mean() == pytest.approx(factor * 7.4**2, rel=.05), kind


def test_no_shape_leaves_the_picture(drawn):
    weight = cover(drawn[0])
    border = np.ones((32, 32), dtype=bool)
    border[1:-1, 1:-1] = False
    assert (weight[:, border] > .9).any(axis=1).mean() < .01


@pytest.mark.parametrize("n", [-1, 2.5, "10", None])
def test_a_number_of_images_that_is_none_is_refused(n):
    with pytest.raises(ValueError, match="shapes: n is .*, expected a whole number >= 0"):
        shapes(n)
