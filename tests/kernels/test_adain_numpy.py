"""adain.py against its naive twin, against PyTorch, and where a division could go wrong."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigen.kernels.adain import adain, adain_backward, adain_backward_naive, adain_naive

from .test_conv_numpy import DTYPES, LAYOUTS

EPS = 1e-5


def arguments(shape, dtype=np.float64, seed=0):
    """x, g, scale, shift."""
    rng = np.random.default_rng(seed)
    return tuple(rng.standard_normal(sizes).astype(dtype)
                 for sizes in (shape, shape, shape[:2], shape[:2]))


def forward_and_backward(x, g, scale, shift, forward=adain, backward=adain_backward):
    """y, mean, rstd, gx, gscale, gshift."""
    y, mean, rstd = forward(x, scale, shift, EPS)
    return y, mean, rstd, *backward(g, x, scale, mean, rstd)


@pytest.mark.parametrize("dtype", DTYPES)
@given(shape=st.tuples(*[st.integers(1, 3)] * 2, *[st.integers(1, 6)] * 2),
       layouts=st.tuples(*[st.sampled_from(sorted(LAYOUTS))] * 2))
def test_forward_and_backward_are_the_naive_ones_in_any_layout(dtype, shape, layouts):
    x, g, scale, shift = arguments(shape, dtype)
    want = forward_and_backward(x.astype(float), g.astype(float), scale, shift,
                                adain_naive, adain_backward_naive)
    x, g = LAYOUTS[layouts[0]](x), LAYOUTS[layouts[1]](g)
    for got, expected in zip(forward_and_backward(x, g, np.asfortranarray(scale), shift), want):
        assert got.dtype == dtype
        tolerance = 2e3 * np.finfo(dtype).eps           # rstd can reach 1/√eps = 316
        np.testing.assert_allclose(got, expected, rtol=tolerance, atol=tolerance)


def test_a_batch_too_large_for_one_piece_is_its_images_side_by_side():
    x, g, scale, shift = arguments((5, 16, 64, 64), np.float32)
    together = forward_and_backward(x, g, scale, shift)
    for n in range(5):
        alone = forward_and_backward(*(a[n:n + 1] for a in (x, g, scale, shift)))
        for all_images, one in zip(together, alone):
            np.testing.assert_array_equal(all_images[n:n + 1], one)


def test_results_keep_the_memory_layout_of_x():
    x, g, scale, shift = arguments((2, 3, 4, 5))
    x = LAYOUTS["channels last"](x)
    y, _, _, gx, _, _ = forward_and_backward(x, g, scale, shift)
    assert y.strides == gx.strides == x.strides


@pytest.mark.parametrize("dtype", DTYPES)
def test_constant_planes_become_the_shift(dtype):
    x, g, scale, shift = arguments((2, 2, 5, 5), dtype)
    x[...] = dtype(0.1)
    y, _, rstd, gx, gscale, _ = forward_and_backward(x, g, scale, shift)
    np.testing.assert_allclose(rstd, EPS ** -0.5, rtol=1e-6)
    np.testing.assert_allclose(y, np.broadcast_to(shift[:, :, None, None], y.shape), atol=1e-4)
    assert np.isfinite(gx).all()
    np.testing.assert_allclose(gscale, 0, atol=1e-3)


def test_single_pixels_become_the_shift_and_have_no_gradient():
    x, g, scale, shift = arguments((3, 2, 1, 1), np.float32)
    y, _, _, gx, gscale, gshift = forward_and_backward(x, g, scale, shift)
    np.testing.assert_array_equal(y[:, :, 0, 0], shift)
    np.testing.assert_array_equal(gx, np.zeros_like(x))
    np.testing.assert_array_equal(gscale, np.zeros_like(scale))
    np.testing.assert_array_equal(gshift, g[:, :, 0, 0])


def test_a_scale_of_zero_gives_the_shift_and_can_leave_zero_again():
    x, g, scale, shift = arguments((1, 2, 5, 5))
    y, _, _, gx, gscale, _ = forward_and_backward(x, x, 0 * scale, shift)
    np.testing.assert_array_equal(y, np.broadcast_to(shift[:, :, None, None], y.shape))
    np.testing.assert_array_equal(gx, np.zeros_like(x))
    assert (gscale > 1).all()


def test_a_large_mean_costs_no_digits_of_the_deviation():
    """E[x²] - E[x]² in float32 would have no correct digit here."""
    x, g, scale, shift = arguments((1, 3, 32, 32), np.float32)
    x += 5000
    _, _, rstd = adain(x, scale, shift, EPS)
    np.testing.assert_allclose(rstd, 1 / x.astype(float).std(axis=(2, 3)), rtol=1e-4)


def test_an_empty_batch_gives_empty_results():
    x, g, scale, shift = arguments((0, 3, 4, 4), np.float32)
    shapes = [result.shape for result in forward_and_backward(x, g, scale, shift)]
    assert shapes == [(0, 3, 4, 4), (0, 3), (0, 3)] * 2


def test_results_share_no_memory_with_arguments_and_leave_them_alone():
    given_arrays = arguments((2, 3, 4, 4))
    before = [array.copy() for array in given_arrays]
    for result in forward_and_backward(*given_arrays):
        assert not any(np.shares_memory(result, array) for array in given_arrays)
    for array, copy in zip(given_arrays, before):
        np.testing.assert_array_equal(array, copy)


def test_the_same_bits_every_time():
    given_arrays = arguments((4, 8, 16, 16), np.float32)
    first = forward_and_backward(*given_arrays)
    for once, again in zip(first, forward_and_backward(*given_arrays)):
        np.testing.assert_array_equal(once, again)


def test_forward_and_backward_agree_with_pytorch():
    torch = pytest.importorskip("torch")
    given_arrays = arguments((2, 3, 5, 4))
    x, g, scale, shift = (torch.tensor(array, requires_grad=True) for array in given_arrays)
    normalised = torch.nn.functional.instance_norm(x, eps=EPS)
    y = scale[:, :, None, None] * normalised + shift[:, :, None, None]
    want = y, *torch.autograd.grad(y, (x, scale, shift), g)
    y, _, _, *gradients = forward_and_backward(*given_arrays)
    for got, expected in zip((y, *gradients), want):
        np.testing.assert_allclose(got, expected.detach(), rtol=0, atol=1e-12)
