"""conv.py against its naive twin, against PyTorch, and against itself.

Most arrays here hold small whole numbers: sums of their products are exact in float32 too, in any
order, and the comparisons need no tolerance.
"""

from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minigen.kernels import conv, conv_naive

SIZE, CHANNELS, SEED = st.integers(1, 9), st.integers(1, 4), st.integers(0, 2**32 - 1)
DTYPES = [np.float32, np.float64]

LAYOUTS = {
    "C order": lambda a: a,
    "channels last": lambda a: a.transpose(0, 2, 3, 1).copy().transpose(0, 3, 1, 2),
    "Fortran order": np.asfortranarray,
    "every second number": lambda a: np.repeat(a, 2, axis=3)[..., ::2],
    "backwards": lambda a: a[::-1, :, ::-1, ::-1].copy()[::-1, :, ::-1, ::-1],
}


class Case(NamedTuple):
    x: np.ndarray
    w: np.ndarray
    g: np.ndarray
    stride: tuple[int, int]
    padding: tuple[int, int]

    @property
    def input_hw(self):
        return self.x.shape[2:]

    @property
    def kernel_hw(self):
        return self.w.shape[2:]

    def results(self, module, suffix=""):
        """y, gx and gw as `module` computes them."""
        conv2d, input_grad, weight_grad = (
            getattr(module, name + suffix)
            for name in ("conv2d", "conv2d_input_grad", "conv2d_weight_grad"))
        return (conv2d(self.x, self.w, self.stride, self.padding),
                input_grad(self.g, self.w, self.stride, self.padding, self.input_hw),
                weight_grad(self.x, self.g, self.stride, self.padding, self.kernel_hw))


def whole_numbers(rng, shape):
    return rng.integers(-4, 5, shape).astype(float)


def make_case(seed, images, channels, input_hw, kernel_hw, stride, padding,
              dtype=np.float64, numbers=whole_numbers):
    rng = np.random.default_rng(seed)
    C, K = channels
    output_hw = ((n + 2 * p - k) // s + 1
                 for n, k, s, p in zip(input_hw, kernel_hw, stride, padding))
    shapes = (images, C, *input_hw), (K, C, *kernel_hw), (images, K, *output_hw)
    return Case(*(numbers(rng, shape).astype(dtype) for shape in shapes), stride, padding)


@st.composite
def cases(draw, **options):
    """Rectangles of all sorts.  Where the stride does not divide, some pixels meet no window."""
    input_hw, padding, stride, kernel_hw = [], [], [], []
    for _ in "hw":
        input_hw.append(draw(SIZE))
        padding.append(draw(st.integers(0, 3)))
        stride.append(draw(st.integers(1, 3)))
        kernel_hw.append(draw(st.integers(1, min(5, input_hw[-1] + 2 * padding[-1]))))
    return make_case(draw(SEED), draw(st.integers(1, 3)), (draw(CHANNELS), draw(CHANNELS)),
                     tuple(input_hw), tuple(kernel_hw), tuple(stride), tuple(padding), **options)


@settings(max_examples=100)
@given(cases(), st.sampled_from(DTYPES), st.tuples(*[st.sampled_from(sorted(LAYOUTS))] * 3))
def test_all_three_are_the_loops_in_any_layout_and_keep_the_dtype(case, dtype, layouts):
    want = case.results(conv_naive, "_naive")
    x, w, g = (LAYOUTS[layout](array.astype(dtype))
               for layout, array in zip(layouts, (case.x, case.w, case.g)))
    for got, expected in zip(case._replace(x=x, w=w, g=g).results(conv), want):
        assert got.dtype == dtype
        np.testing.assert_array_equal(got, expected)


@settings(max_examples=100)
@given(cases())
def test_the_gradients_are_exact_adjoints(case):
    y, gx, gw = case.results(conv)
    assert (y * case.g).sum() == (case.x * gx).sum() == (case.w * gw).sum()


def test_a_batch_too_large_for_one_piece_is_the_sum_of_its_images():
    case = make_case(0, 40, (16, 16), (16, 16), (3, 3), (1, 1), (1, 1), np.float32)
    assert 40 * (16 * 16) * (3 * 3 * 16) * 4 > 1.4 * conv.WINDOW_BYTES
    y, gx, gw = case.results(conv)
    alone = [case._replace(x=case.x[n:n + 1], g=case.g[n:n + 1]).results(conv) for n in range(40)]
    np.testing.assert_array_equal(y, np.concatenate([one[0] for one in alone]))
    np.testing.assert_array_equal(gx, np.concatenate([one[1] for one in alone]))
    np.testing.assert_array_equal(gw, sum(one[2] for one in alone))


@given(st.integers(0, 300), st.integers(0, 5000), st.integers(1, 5000))
def test_images_are_cut_into_even_groups_of_bounded_size(count, bytes_each, together):
    groups = conv.batches(count, bytes_each, together)
    assert [i for some in groups for i in range(some.start, some.stop)] == list(range(count))
    sizes = [some.stop - some.start for some in groups]
    assert max(sizes, default=0) - min(sizes, default=0) <= 1
    assert all(size == 1 or size * bytes_each <= together + bytes_each for size in sizes)
    assert len(groups) in (0, 1, count) or len(groups) % 2 == 0


def test_pixels_that_no_window_touched_get_zero():
    g, w = np.ones((1, 1, 2, 2)), np.ones((1, 1, 1, 1))
    gx = conv.conv2d_input_grad(g, w, (3, 3), (0, 0), (6, 5))
    want = np.zeros((6, 5))
    want[::3, ::3] = 1
    np.testing.assert_array_equal(gx[0, 0], want)


def test_windows_that_see_only_padding_are_zero():
    case = make_case(0, 1, (2, 3), (5, 5), (1, 1), (9, 9), (2, 2))
    for result in case.results(conv):
        np.testing.assert_array_equal(result, np.zeros_like(result))


def test_results_lie_channels_last_in_memory():
    y, gx, _ = make_case(0, 2, (3, 4), (6, 6), (3, 3), (2, 2), (1, 1)).results(conv)
    assert y.transpose(0, 2, 3, 1).flags.c_contiguous
    assert gx.transpose(0, 2, 3, 1).flags.c_contiguous


@pytest.mark.parametrize("kernel", [1, 3])
def test_results_share_no_memory_with_arguments_and_leave_them_alone(kernel):
    case = make_case(0, 2, (1, 1), (5, 5), (kernel, kernel), (1, 1), (kernel // 2, kernel // 2))
    before = [array.copy() for array in case[:3]]
    for result in case.results(conv):
        assert not any(np.shares_memory(result, array) for array in case[:3])
        result[...] = np.nan
    for array, copy in zip(case[:3], before):
        np.testing.assert_array_equal(array, copy)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_same_bits_every_time(dtype):
    case = make_case(0, 32, (16, 32), (14, 14), (4, 4), (2, 2), (1, 1), dtype,
                     lambda rng, shape: rng.standard_normal(shape))
    first = case.results(conv)
    for _ in range(5):
        for once, again in zip(first, case.results(conv)):
            np.testing.assert_array_equal(once, again)


def test_an_empty_batch_gives_empty_outputs_and_zero_weight_gradients():
    case = make_case(0, 0, (2, 3), (5, 6), (3, 2), (2, 1), (1, 0), np.float32)
    y, gx, gw = case.results(conv)
    assert y.shape == (0, 3, 3, 5) and gx.shape == (0, 2, 5, 6)
    np.testing.assert_array_equal(gw, np.zeros((3, 2, 3, 2), np.float32))


@settings(max_examples=100)
@given(cases(numbers=lambda rng, shape: rng.standard_normal(shape)))
def test_all_three_agree_with_pytorch(case):
    torch = pytest.importorskip("torch")
    x, w, g = (torch.tensor(array, requires_grad=True) for array in case[:3])
    y = torch.conv2d(x, w, None, case.stride, case.padding)
    want = y, *torch.autograd.grad(y, (x, w), g)
    for got, expected in zip(case.results(conv), want):
        np.testing.assert_allclose(got, expected.detach(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("slack", [0, 1])
def test_the_input_gradient_is_pytorchs_transposed_convolution(slack):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    z, w = rng.standard_normal((2, 3, 7, 5)), rng.standard_normal((3, 4, 4, 3))
    want = torch.conv_transpose2d(torch.tensor(z), torch.tensor(w), None, 2, 1, slack)
    got = conv.conv2d_input_grad(z, w, (2, 2), (1, 1), tuple(want.shape[2:]))
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-12)
