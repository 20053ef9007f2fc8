"""planes.py against NumPy's own sums and broadcasting."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigen.kernels.planes import has_channels_last, spread, sum_over

SIZES = st.tuples(*[st.integers(0, 5)] * 4)

# (N, C, H, W) in memory: which of these have their channels last, and their pixels evenly spaced?
LAYOUTS = {
    "channels last": (True, lambda x: last(x)),
    "a slice of the channels": (True, lambda x: last(np.repeat(x, 3, axis=1))[:, :x.shape[1]]),
    "every second image": (True, lambda x: last(np.repeat(x, 2, axis=0))[::2]),
    "channels first": (False, lambda x: x.copy()),
    "every second channel": (False, lambda x: last(np.repeat(x, 2, axis=1))[:, ::2]),
    "a slice of the columns": (False, lambda x: last(np.repeat(x, 2, axis=3))[..., :x.shape[3]]),
    "backwards": (True, lambda x: last(x)[:, :, ::-1, ::-1]),
}
every_layout = pytest.mark.parametrize("name", LAYOUTS)


def last(x):
    return x.transpose(0, 2, 3, 1).copy().transpose(0, 3, 1, 2)


def images(shape, seed=0, dtype=np.float64):
    """Whole numbers: their sums are exact in any order."""
    return np.random.default_rng(seed).integers(-9, 10, shape).astype(dtype)


@every_layout
def test_layouts_are_recognised(name):
    expected, lay_out = LAYOUTS[name]
    assert has_channels_last(lay_out(images((2, 3, 4, 5)))) == expected


@every_layout
@given(SIZES, st.sampled_from([np.float32, np.float64]))
def test_sums_are_numpys_in_any_layout(name, shape, dtype):
    x = LAYOUTS[name][1](images(shape, dtype=dtype))
    for axes in [(2, 3), (0, 2, 3), (0,), (1, 2), (0, 1, 2, 3)]:
        got = sum_over(x, axes)
        assert got.dtype == dtype
        np.testing.assert_array_equal(got, x.sum(axis=axes, keepdims=True))


@every_layout
@given(SIZES, st.booleans())
def test_numbers_are_spread_over_every_pixel_of_their_plane(name, shape, alike):
    x = LAYOUTS[name][1](images(shape))
    numbers = images((1 if alike else len(x), x.shape[1]), seed=1)
    want = numbers[:, :, None, None]
    np.testing.assert_array_equal(x + spread(numbers, x), x + want)


def test_a_row_of_pixels_is_filled_where_that_makes_the_loops_longer():
    x, numbers = images((2, 3, 4, 5)), images((2, 3), seed=1)
    assert spread(numbers, x).shape == (2, 3, 1, 1)
    row = spread(numbers, last(x))
    assert row.shape == (2, 3, 1, 5)
    assert row.transpose(0, 2, 3, 1).flags.c_contiguous


def test_arrays_of_other_ranks_are_summed_as_numpy_does():
    x = images((3, 4))
    np.testing.assert_array_equal(sum_over(x, (0,)), x.sum(0, keepdims=True))
