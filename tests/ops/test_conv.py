"""The convolution family: one trilinear form, any geometry, any order, and PyTorch as oracle."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigen as mg
from minigen import ops


@st.composite
def geometries(draw):
    """Shapes of x, w, y and the stride, padding and output padding between them."""
    n, c, k = (draw(st.integers(1, 3)) for _ in range(3))
    kernel, stride, padding, slack, output = [], [], [], [], []
    for _ in range(2):
        r = draw(st.integers(1, 4))
        s = draw(st.integers(1, 3))
        p = draw(st.integers(0, 2))
        least = max(1, -(-(2 * p + 1 - r) // s) + 1)  # an image of no rows is no image
        out = draw(st.integers(least, least + 2))
        kernel.append(r)
        stride.append(s)
        padding.append(p)
        slack.append(draw(st.integers(0, s - 1)))
        output.append(out)
    image = [(o - 1) * s - 2 * p + r + e
             for o, s, p, r, e in zip(output, stride, padding, kernel, slack)]
    seed = draw(st.integers(0, 2**32 - 1))
    return dict(x=(n, c, *image), w=(k, c, *kernel), y=(n, k, *output), stride=tuple(stride),
                padding=tuple(padding), output_padding=tuple(slack), seed=seed)


def tensors(case, *names, dtype="float64"):
    rng = np.random.default_rng(case["seed"])
    return [mg.Tensor(rng.standard_normal(case[name]), requires_grad=True, dtype=dtype)
            for name in names]


def inner(a, b):
    return (a * b).sum().item()


@given(geometries())
def test_the_three_ops_are_one_trilinear_form(case):
    """<F(x, w), g> = <x, T(g, w)> = <w, G(x, g)>, to rounding."""
    x, w, g = tensors(case, "x", "w", "y")
    how = dict(stride=case["stride"], padding=case["padding"])
    form = inner(ops.conv2d(x, w, **how), g)
    transposed = ops.conv_transpose2d(g, w, output_padding=case["output_padding"], **how)
    weight_grad = ops.conv2d_weight_grad(x, g, w.shape[2:], **how)
    scale = 1e-12 * np.sqrt(x.size * w.size * g.size)
    assert inner(x, transposed) == pytest.approx(form, abs=scale)
    assert inner(w, weight_grad) == pytest.approx(form, abs=scale)


@given(geometries())
def test_gradcheck_of_first_and_second_order(case):
    x, w, y = tensors(case, "x", "w", "y")
    how = dict(stride=case["stride"], padding=case["padding"])
    b = mg.Tensor(np.arange(1.0, 1 + w.shape[0]))
    c = mg.Tensor(np.arange(1.0, 1 + w.shape[1]))
    mg.gradcheck(lambda x, w, b: ops.conv2d(x, w, b, **how), [x, w, b], order=2)
    mg.gradcheck(lambda y, w, c: ops.conv_transpose2d(
        y, w, c, output_padding=case["output_padding"], **how), [y, w, c], order=2)
    mg.gradcheck(lambda x, y: ops.conv2d_weight_grad(x, y, w.shape[2:], **how), [x, y], order=2)


@given(geometries())
def test_float32_stays_float32_in_value_and_both_gradients(case):
    x, w = tensors(case, "x", "w", dtype="float32")
    y = ops.conv2d(x, w, stride=case["stride"], padding=case["padding"])
    first = mg.grad((y * y).sum(), [x, w], create_graph=True)
    second = mg.grad(sum((g * g).sum() for g in first), [x, w])
    assert {str(t.dtype) for t in (y, *first, *second)} == {"float32"}


@pytest.mark.parametrize("seed", range(120))
def test_a_random_configuration_agrees_with_pytorch_to_second_order(seed):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(seed)
    n, c, k = rng.integers(1, 5, 3)
    r, s = rng.integers(1, 6, 2)
    stride = [int(v) for v in rng.integers(1, 4, 2)]
    padding = [int(v) for v in rng.integers(0, 3, 2)]
    h, w = (int(rng.integers(max(1, side - 2 * p), 12)) for side, p in zip((r, s), padding))
    transpose = bool(rng.integers(2))
    shape = (k, c, r, s)
    x0 = rng.standard_normal((n, k if transpose else c, h, w))
    w0 = rng.standard_normal(shape)
    b0 = rng.standard_normal(c if transpose else k)
    extra = {"output_padding": [int(rng.integers(0, v)) for v in stride]} if transpose else {}
    name = "conv_transpose2d" if transpose else "conv2d"
    if transpose and any((i - 1) * t - 2 * p + f < 1 for i, t, p, f in
                         zip((h, w), stride, padding, (r, s))):
        padding = [0, 0]
    how = dict(stride=stride, padding=padding, **extra)

    def results(function, grad, leaves):
        y = function(*leaves, **how)
        first = grad((y * y * y).sum(), leaves, create_graph=True)
        second = grad(sum((g * g).sum() for g in first), leaves)
        return [y, *first, *second]

    ours = results(getattr(ops, name), mg.grad,
                   [mg.Tensor(a, requires_grad=True) for a in (x0, w0, b0)])
    theirs = results(getattr(torch.nn.functional, name), torch.autograd.grad,
                     [torch.tensor(a, requires_grad=True) for a in (x0, w0, b0)])
    for a, b in zip(ours, theirs):
        b = b.detach().numpy()
        np.testing.assert_allclose(a.numpy(), b, rtol=1e-7, atol=1e-7 * max(1, np.abs(b).max()))


def test_layers_have_pytorchs_shapes_and_bounds():
    torch = pytest.importorskip("torch")
    for ours, theirs in [
        (mg.nn.Conv2d(3, 8, 5, stride=2, padding=1), torch.nn.Conv2d(3, 8, 5, 2, 1)),
        (mg.nn.ConvTranspose2d(3, 8, (4, 2), stride=2, padding=1),
         torch.nn.ConvTranspose2d(3, 8, (4, 2), 2, 1)),
    ]:
        assert {k: v.shape for k, v in ours.state_dict().items()} == {
            k: tuple(v.shape) for k, v in theirs.state_dict().items()}
        for layer in (ours, theirs):  # uniform in +-bound, and the filters nearly fill it
            fan_in = np.prod(layer.weight.shape[1:])
            largest = abs(layer.weight.detach().numpy()).max() * np.sqrt(fan_in)
            assert 0.9 < largest <= 1.0
        x = np.random.default_rng(0).standard_normal((2, 3, 9, 9)).astype(np.float32)
        theirs.load_state_dict({k: torch.tensor(v) for k, v in ours.state_dict().items()})
        np.testing.assert_allclose(ours(mg.Tensor(x)).numpy(),
                                   theirs(torch.tensor(x)).detach().numpy(), atol=1e-5)


@pytest.mark.parametrize("call, message", [
    (lambda x, w: ops.conv2d(x, mg.Tensor(np.zeros((4, 3, 9, 2)))), "larger than an image"),
    (lambda x, w: ops.conv2d(x, mg.Tensor(np.zeros((4, 2, 3, 3)))), "x has 3 channels"),
    (lambda x, w: ops.conv2d(x, w, stride=0), "stride"),
    (lambda x, w: ops.conv2d(x, w, padding=(1, 2, 3)), "padding: expected an int or a pair"),
    (lambda x, w: ops.conv2d(x[0], w), "expected four axes"),
    (lambda x, w: ops.conv_transpose2d(x, mg.Tensor(np.zeros((2, 3, 3, 3)))), "do not fit"),
    (lambda x, w: ops.conv_transpose2d(x, w.transpose(1, 0, 2, 3), stride=2, output_padding=2),
     "output_padding .2, 2. must be less than stride"),
    (lambda x, w: ops.conv2d_weight_grad(x, mg.Tensor(np.zeros((2, 4, 9, 9))), 3),
     "no convolution"),
])
def test_a_wrong_shape_is_named(call, message):
    x, w = mg.Tensor(np.zeros((2, 3, 6, 5))), mg.Tensor(np.zeros((4, 3, 3, 3)))
    with pytest.raises(ValueError, match=message):
        call(x, w)
