"""Normalisation: statistics, derivatives to second order, and PyTorch as oracle."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigen as mg
from minigen import nn, ops


def draw(seed, *shapes):
    rng = np.random.default_rng(seed)
    return [mg.Tensor(rng.standard_normal(shape), requires_grad=True) for shape in shapes]


@given(st.tuples(*[st.integers(1, 4)] * 4), st.integers(0, 2**32 - 1))
def test_fused_adain_equals_its_reference_in_value_and_both_derivatives(shape, seed):
    leaves = draw(seed, shape, shape[:2], shape[:2])
    u, = draw(seed + 1, shape)
    results = []
    for adain in (ops.adain, ops.adain_of_ops):
        y = adain(*leaves)
        fused = mg.grad((y * u).sum(), leaves, retain_graph=True)  # without a graph: the kernel
        first = mg.grad((y * u).sum(), leaves, create_graph=True)
        second = mg.grad(sum((g * g).sum() for g in first), leaves[:2])  # the shift is linear
        results.append([y, *fused, *first, *second])
    for ours, reference in zip(*results):
        np.testing.assert_allclose(ours.numpy(), reference.numpy(), rtol=1e-8, atol=1e-8)


@given(st.tuples(*[st.integers(1, 3)] * 4), st.integers(0, 2**32 - 1))
def test_gradcheck_of_every_normalisation_to_second_order(shape, seed):
    x, s, h = draw(seed, shape, shape[:2], shape[:2])
    mg.gradcheck(lambda x, s, h: ops.adain(x, s, h, 0.1), [x, s, h], order=2)
    per_channel = draw(seed, shape[1], shape[1])
    for norm in (ops.batch_norm, ops.instance_norm):
        mg.gradcheck(lambda x, s, h: norm(x, s, h, 0.1), [x, *per_channel], order=2)
    last = draw(seed, shape[2:], shape[2:])
    mg.gradcheck(lambda x, s, h: ops.layer_norm(x, s, h, 0.1), [x, *last], order=2)


@pytest.mark.parametrize("x", [np.full((1, 2, 3, 3), 7.0), np.full((2, 2, 1, 1), 3.0)])
def test_adain_of_constant_planes_gives_the_shift_and_finite_gradients(x):
    x = mg.Tensor(x, requires_grad=True)
    scale = mg.Tensor(np.zeros(x.shape[:2]), requires_grad=True)
    shift = mg.Tensor(np.full(x.shape[:2], 5.0), requires_grad=True)
    y = ops.adain(x, scale, shift)
    np.testing.assert_array_equal(y.numpy(), 5.0)
    first = mg.grad((y * y).sum(), [x, scale, shift], create_graph=True)
    second = mg.grad(sum((g * g).sum() for g in first), [x, scale, shift])  # through y * y
    assert all(np.isfinite(g.numpy()).all() for g in (*first, *second))


def test_adain_gives_every_plane_the_asked_mean_and_deviation():
    x, scale, shift = draw(0, (2, 3, 8, 8), (2, 3), (2, 3))
    y = ops.adain(x, scale, shift, eps=0.0).numpy()
    np.testing.assert_allclose(y.mean((2, 3)), shift.numpy(), atol=1e-12)
    np.testing.assert_allclose(y.std((2, 3)), np.abs(scale.numpy()), atol=1e-12)


@pytest.mark.parametrize("call, message", [
    (lambda x, s: ops.adain(x, s[:, :2], s), "do not fit together"),
    (lambda x, s: ops.adain(x[0], s, s), "do not fit together"),
    (lambda x, s: ops.standardize(x, 7), "out of range|out of bounds"),
])
def test_a_wrong_shape_is_named(call, message):
    with pytest.raises((ValueError, IndexError), match=message):
        call(*draw(0, (2, 3, 4, 4), (2, 3)))


@pytest.mark.parametrize("ours, theirs, shape", [
    (nn.BatchNorm2d(3), "BatchNorm2d(3)", (4, 3, 5, 5)),
    (nn.InstanceNorm2d(3), "InstanceNorm2d(3, affine=True)", (4, 3, 5, 5)),
    (nn.LayerNorm(6), "LayerNorm(6)", (4, 3, 6)),
    (nn.LayerNorm((3, 6)), "LayerNorm((3, 6))", (4, 3, 6)),
])
def test_a_layer_agrees_with_pytorchs_in_training_and_evaluation(ours, theirs, shape):
    torch = pytest.importorskip("torch")
    theirs = eval(f"torch.nn.{theirs}", {"torch": torch})
    rng = np.random.default_rng(0)
    state = {name: rng.random(value.shape, dtype=np.float32) + 0.5
             for name, value in ours.state_dict().items()}
    ours.load_state_dict(state)
    theirs.load_state_dict({k: torch.tensor(v) for k, v in state.items()}, strict=False)
    for training in (True, True, False):
        x = rng.standard_normal(shape).astype(np.float32)
        a = ours.train(training)(mg.Tensor(x))
        b = theirs.train(training)(torch.tensor(x))
        np.testing.assert_allclose(a.numpy(), b.detach().numpy(), atol=2e-5)
    for name, value in ours.state_dict().items():
        np.testing.assert_allclose(value, theirs.state_dict()[name].numpy(), atol=1e-5)


def test_in_evaluation_batch_norm_treats_each_point_alone():
    layer = nn.BatchNorm2d(3)
    x = mg.randn(4, 3, 5, 5)
    layer(x)
    layer.eval()
    np.testing.assert_allclose(layer(x[:1]).numpy(), layer(x)[:1].numpy(), atol=1e-6)


def test_the_adain_layer_starts_near_the_identity_style():
    layer = nn.AdaIN(4, 8, generator=np.random.default_rng(0))
    x = mg.randn(2, 4, 6, 6)
    y = layer(x, mg.zeros(2, 8)).numpy()
    np.testing.assert_allclose(y.mean((2, 3)), 0.0, atol=1e-5)
    np.testing.assert_allclose(y.std((2, 3)), 1.0, atol=1e-3)
