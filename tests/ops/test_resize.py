"""Pooling and upsampling: by hand, by gradcheck, and against PyTorch."""

import numpy as np
import pytest

import minigen as mg
from minigen import nn, ops


def image(*shape, seed=0):
    return mg.Tensor(np.random.default_rng(seed).standard_normal(shape), requires_grad=True)


@pytest.mark.parametrize("call", [
    lambda x: ops.avg_pool2d(x, 2), lambda x: ops.max_pool2d(x, 2),
    lambda x: ops.upsample_nearest(x, 3), lambda x: ops.upsample_bilinear(x, 2),
    lambda x: ops.upsample_bilinear(x, 3),
])
@pytest.mark.parametrize("shape", [(2, 3, 4, 6), (1, 1, 2, 2)])
def test_gradcheck_to_second_order(call, shape):
    mg.gradcheck(call, [image(*shape)], order=2)


def test_average_pooling_undoes_nearest_upsampling_exactly():
    x = mg.Tensor(np.arange(12.0).reshape(1, 2, 2, 3))
    np.testing.assert_array_equal(ops.avg_pool2d(ops.upsample_nearest(x, 2), 2).numpy(), x.numpy())


def test_bilinear_upsampling_keeps_constants_and_interpolates_between():
    np.testing.assert_allclose(ops.upsample_bilinear(mg.ones(1, 1, 3, 2), 4).numpy(), 1, atol=1e-6)
    row = ops.upsample_bilinear(mg.Tensor([[[[0.0, 4.0]]]]), 2).numpy()[0, 0, 0]
    np.testing.assert_allclose(row, [0, 1, 3, 4])


@pytest.mark.parametrize("factor", [1, 2, 3])
@pytest.mark.parametrize("shape", [(2, 3, 4, 6), (1, 1, 1, 5)])
def test_resizing_agrees_with_pytorch(factor, shape):
    torch = pytest.importorskip("torch")
    x = image(*shape)
    t = torch.tensor(x.numpy())
    F = torch.nn.functional
    pairs = [(ops.upsample_nearest(x, factor), F.interpolate(t, scale_factor=factor)),
             (ops.upsample_bilinear(x, factor),
              F.interpolate(t, scale_factor=factor, mode="bilinear", align_corners=False))]
    if shape[2] % factor == shape[3] % factor == 0:
        pairs += [(ops.avg_pool2d(x, factor), F.avg_pool2d(t, factor)),
                  (ops.max_pool2d(x, factor), F.max_pool2d(t, factor))]
    for ours, theirs in pairs:
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), atol=1e-12)


def test_layers_do_what_their_ops_do():
    x = image(2, 3, 4, 4)
    for layer, want in [
        (nn.AvgPool2d(2), ops.avg_pool2d(x, 2)), (nn.MaxPool2d(2), ops.max_pool2d(x, 2)),
        (nn.Upsample(2), ops.upsample_nearest(x, 2)),
        (nn.Upsample(2, "bilinear"), ops.upsample_bilinear(x, 2)), (nn.Flatten(), x.reshape(2, 48)),
    ]:
        np.testing.assert_array_equal(layer(x).numpy(), want.numpy())


def test_a_size_that_does_not_divide_and_an_unknown_mode_are_refused():
    with pytest.raises(ValueError, match="max_pool2d: .* multiples of size 3"):
        ops.max_pool2d(image(1, 1, 4, 6), 3)
    with pytest.raises(ValueError, match="mode must be 'nearest' or 'bilinear', got 'cubic'"):
        nn.Upsample(2, "cubic")
