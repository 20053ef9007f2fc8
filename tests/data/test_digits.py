"""Drawn digits: one seed, one result; balanced, on the paper, neither too easy nor too hard."""

import numpy as np
import pytest

from minigen.data import digits


def test_images_are_float32_from_0_to_1_and_labels_int64():
    images, labels = digits(300, seed=1)
    assert images.shape == (300, 1, 28, 28) and images.dtype == np.float32
    assert labels.shape == (300,) and labels.dtype == np.int64
    assert images.min() == 0
    assert (images.max(axis=(1, 2, 3)) > .9).all() and images.max() <= 1


def test_one_seed_gives_one_result_and_a_larger_n_continues_it():
    images, labels = digits(600, seed=5)  # more than two chunks
    for n in [600, 257, 13, 1, 0]:
        fewer_images, fewer_labels = digits(n, seed=5)
        np.testing.assert_array_equal(fewer_images, images[:n])
        np.testing.assert_array_equal(fewer_labels, labels[:n])


def test_another_seed_gives_other_digits_in_another_order():
    (images, labels), (other_images, other_labels) = digits(50, seed=1), digits(50, seed=2)
    assert (labels != other_labels).any()
    assert not (images == other_images).all(axis=(1, 2, 3)).any()


def test_of_each_ten_in_a_row_every_digit_is_drawn_once():
    _, labels = digits(105, seed=3)
    assert (np.sort(labels[:100].reshape(10, 10), axis=1) == np.arange(10)).all()
    assert len(set(labels[100:])) == 5
    assert len({tuple(row) for row in labels[:100].reshape(10, 10)}) == 10  # in random order


def test_the_ink_stays_on_the_paper_and_has_soft_edges():
    images, _ = digits(1000, seed=4)
    border = np.ones((28, 28), dtype=bool)
    border[1:-1, 1:-1] = False
    assert (images[:, 0, border] > .5).any(axis=1).mean() < .02
    ink = images[images > 0]
    assert .3 < (ink < 1).mean() < .8  # an aliased image has 0, a blurred one has 1
    assert .1 < images.mean() < .2  # MNIST has 0.13


def test_no_two_images_of_a_digit_are_alike():
    images, labels = digits(1000, seed=6)
    for digit in range(10):
        mine = images[labels == digit].reshape(100, -1)
        squares = (mine**2).sum(axis=1)
        distances = squares[:, None] + squares - 2 * mine @ mine.T + 1e9 * np.eye(100)
        assert distances.min() > 1


def accuracy(images, labels, test_images, test_labels, steps):
    """Of logistic regression on pixels, trained by full-batch steps of Adam."""
    x, x_test = (np.concatenate([z.reshape(len(z), -1), np.ones((len(z), 1))], axis=1)
                 for z in (images, test_images))
    w = m = v = np.zeros((x.shape[1], 10))
    for t in range(1, steps + 1):
        logits = x @ w
        p = np.exp(logits - logits.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        gradient = x.T @ (p - np.eye(10)[labels]) / len(x)
        m, v = .9 * m + .1 * gradient, .999 * v + .001 * gradient**2
        w = w - .005 * m / (1 - .9**t) / (np.sqrt(v / (1 - .999**t)) + 1e-8)
    return ((x_test @ w).argmax(axis=1) == test_labels).mean()


def test_a_linear_probe_learns_them_but_stays_clearly_below_99_percent():
    images, labels = digits(3000, seed=7)
    got = accuracy(images[:2000], labels[:2000], images[2000:], labels[2000:], steps=100)
    assert .8 < got < .95


@pytest.mark.parametrize("n", [-1, 2.5, "10", None])
def test_a_number_of_images_that_is_none_is_refused(n):
    with pytest.raises(ValueError, match="digits: n is .*, expected a whole number >= 0"):
        digits(n)
