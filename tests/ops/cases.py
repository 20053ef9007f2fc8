"""One table with a case for every op: what to feed it, and what NumPy says it should give.

A new op needs one entry in CASES:

    case("silu", one(real), lambda x: x / (1 + np.exp(-x)))

that is: the function of `minigen.ops`; how to draw its operands and parameters (see "What to
draw"); a reference that takes the same operands and parameters as NumPy arrays. `op` names the
class in the registry if it is not the function's own; `call` the function itself, if it takes its
operands in another order or lives elsewhere; `kinks` says that its slope jumps at integers,
`scalars` that Python numbers may stand for an operand. The tests do the rest: values, gradients
and the gradients' gradients, dtypes, layouts, both backends.
"""

from dataclasses import dataclass, field
from typing import Any, Callable

import numpy as np
from hypothesis import strategies as st

from minigen import Tensor, backend, grad, ops
from minigen.kernels import conv_naive

# What to draw. A recipe takes a Draw and gives a Sample.


@dataclass
class Sample:
    """Operands as float64 arrays, and the op's other arguments by name."""

    arrays: tuple[np.ndarray, ...]
    params: dict[str, Any] = field(default_factory=dict)


class Draw:
    """Hypothesis draws the shapes and parameters; the numbers come from a seed that it draws."""

    def __init__(self, data):
        self.data = data
        self.rng = np.random.default_rng(self(st.integers(0, 2 ** 16)))

    def __call__(self, strategy):
        return self.data.draw(strategy)

    def pick(self, *options):
        return self(st.sampled_from(options))

    def shape(self, low=0, high=4, sizes=(2, 3, 1, 2, 4, 1, 0)):
        """Of `low` to `high` axes; sizes 0 and 1 among them."""
        return tuple(self(st.lists(st.sampled_from(sizes), min_size=low, max_size=high)))

    def broadcastable(self, shape):
        """A shape that broadcasts to the given one: leading axes dropped, others set to 1."""
        kept = shape[self(st.integers(0, len(shape))) if self.pick(0, 1) else 0:]
        return tuple(self.pick(n, n, 1) for n in kept)

    def axis(self, ndim):
        """None, one axis or several, counted from either end."""
        if ndim == 0 or self.pick(True, False, False):
            return self.pick(None, ())
        axes = self(st.lists(st.integers(0, ndim - 1), min_size=1, unique=True))
        axes = tuple(a - ndim if self.pick(0, 1) else a for a in axes)
        return axes[0] if len(axes) == 1 and self.pick(0, 1) else axes


def real(rng, shape):
    return 1.5 * rng.standard_normal(shape)


def positive(rng, shape):
    return rng.uniform(0.4, 2.5, shape)


def nonzero(rng, shape):
    return rng.choice([-1.0, 1.0], shape) * positive(rng, shape)


def one(domain, **params):
    """One operand of any shape."""
    return lambda draw: Sample((domain(draw.rng, draw.shape()),), params)


def two(left, right):
    """Two operands whose shapes broadcast."""
    def recipe(draw):
        shape = draw.shape()
        domains = (left, right)
        return Sample(tuple(domain(draw.rng, draw.broadcastable(shape)) for domain in domains))
    return recipe


def chosen(draw):
    """Two operands and a condition, all broadcasting."""
    shape = draw.shape()
    condition = np.asarray(draw.rng.random(draw.broadcastable(shape)) < 0.5)
    a, b = (real(draw.rng, draw.broadcastable(shape)) for _ in range(2))
    return Sample((a, b), {"condition": condition})


def reduced(empty=False, keepdims=True, correction=False):
    """An operand and an axis; with empty=False there is something along the axis."""
    def recipe(draw):
        shape = draw.shape()
        axis = draw.axis(len(shape))
        if not empty:
            along = np.ones(shape).sum(axis, keepdims=True).shape
            shape = tuple(n or 3 * (kept == 1) for n, kept in zip(shape, along))
        params = {"axis": axis, "keepdims": draw.pick(False, True)}
        if not keepdims:
            del params["keepdims"]
        if correction:
            shape = tuple(n + 1 for n in shape)
            params |= {"axis": None, "correction": int(np.prod(shape) > 1)}
        return Sample((real(draw.rng, shape),), params)
    return recipe


def matrices(draw):
    """(..., n, k) and (..., k, m), or a vector on either side."""
    n, k, m = (draw.pick(2, 3, 1, 0) for _ in range(3))
    batch = draw.shape(0, 2)
    a, b = draw.broadcastable(batch) + (n, k), draw.broadcastable(batch) + (k, m)
    a, b = draw.pick((a, b), (a, b), ((k,), b), (a, (k,)), ((k,), (k,)))
    return Sample((real(draw.rng, a), real(draw.rng, b)))


def reshaped(draw):
    shape = draw.shape()
    new = draw(st.permutations(shape)) + draw.pick([], [1])
    if 0 not in shape and new and draw.pick(0, 1):
        new[-1] = -1
    return Sample((real(draw.rng, shape),), {"shape": tuple(new)})


def transposed(draw):
    shape = draw.shape()
    axes = tuple(a - draw.pick(0, len(shape)) for a in draw(st.permutations(range(len(shape)))))
    return Sample((real(draw.rng, shape),), {"axes": draw.pick(None, axes)})


def stretched(draw):
    shape = draw.shape()
    return Sample((real(draw.rng, draw.broadcastable(shape)),), {"shape": shape})


def summed(draw):
    shape = draw.shape()
    return Sample((real(draw.rng, shape),), {"shape": draw.broadcastable(shape)})


def joined(equal):
    """One to three operands that differ along the axis, or with equal=True not at all."""
    def recipe(draw):
        shape = draw.shape(0 if equal else 1, 3)
        axis = draw(st.integers(-len(shape) - equal, len(shape) - 1 + equal))
        arrays = []
        for _ in range(draw.pick(1, 2, 3)):
            own = list(shape)
            if not equal:
                own[axis] = draw.pick(0, 1, 3)
            arrays.append(real(draw.rng, own))
        return Sample(tuple(arrays), {"axis": axis})
    return recipe


def cut(draw):
    shape = draw.shape(1, 3)
    axis = draw(st.integers(-len(shape), len(shape) - 1))
    middle = draw(st.integers(0, shape[axis]))
    return Sample((real(draw.rng, shape),), {"sizes": (middle, shape[axis] - middle), "axis": axis})


def bordered(draw):
    shape = draw.shape()
    width = [(draw.pick(0, 2), draw.pick(0, 1)) for _ in shape]
    return Sample((real(draw.rng, shape),), {"width": width})


def key_for(draw, shape):
    """Slices, integers, new axes, an ellipsis, and integer arrays that name an element twice."""
    together = draw.pick((), (1,), (3,), (2, 2))  # several arrays in one key broadcast
    key = []
    for n in shape:
        kinds = ["slice", "slice", "step", "back", "new"] + (["int", "array"] if n else [])
        kind = draw.pick(*kinds)
        if kind == "new":
            key.append(None)
        key.append({
            "slice": slice(None), "new": slice(None), "step": slice(1, None, 2),
            "back": slice(None, None, -1), "int": int(draw.rng.integers(-n, n or 1)),
            "array": draw.rng.integers(-n, n or 1, together),
        }[kind])
    if key and draw.pick(0, 1):
        key[-1] = Ellipsis
    return tuple(key)


def picked(draw):
    shape = draw.shape()
    return Sample((real(draw.rng, shape),), {"key": key_for(draw, shape)})


def scattered(draw):
    shape = draw.shape()
    key = key_for(draw, shape)
    x = real(draw.rng, np.zeros(shape)[key].shape)
    return Sample((x,), {"key": key, "shape": shape})


def taken(draw):
    shape = draw.shape(1, 3, sizes=(2, 3, 1))
    axis = draw(st.integers(-len(shape), len(shape) - 1))
    indices = draw.rng.integers(0, shape[axis], draw.shape(0, 2))
    return Sample((real(draw.rng, shape),), {"indices": indices, "axis": axis})


def embedded(draw):
    return Sample((real(draw.rng, (4, 2)),), {"indices": draw.rng.integers(0, 4, draw.shape(0, 2))})


def windows(draw):
    """Shapes of x, w and y = conv2d(x, w), and the stride, padding and output_padding."""
    n, c, k = draw.pick(1, 2), draw.pick(1, 2), draw.pick(1, 3)
    axes = []
    for _ in range(2):
        size, stride, out = draw.pick(1, 2, 3), draw.pick(1, 2), draw.pick(2, 3)
        padding = draw.pick(0, int(size > 1))
        extra = draw.pick(0, stride - 1)  # rows that no window reaches
        image = (out - 1) * stride - 2 * padding + size + extra
        axes.append((image, size, out, stride, padding, extra))
    image, size, out, *params = zip(*axes)
    return (n, c, *image), (k, c, *size), (n, k, *out), *params


def convolved(draw):
    x, w, _, stride, padding, _ = windows(draw)
    return Sample((real(draw.rng, x), real(draw.rng, w)), {"stride": stride, "padding": padding})


def convolved_back(draw):
    _, w, y, stride, padding, extra = windows(draw)
    return Sample((real(draw.rng, y), real(draw.rng, w)),
                  {"stride": stride, "padding": padding, "output_padding": extra})


def correlated(draw):
    x, w, y, stride, padding, _ = windows(draw)
    return Sample((real(draw.rng, x), real(draw.rng, y)),
                  {"kernel_size": w[2:], "stride": stride, "padding": padding})


def images(draw):
    """x (N, C, H, W), none of them empty but N."""
    return real(draw.rng, (draw.pick(1, 2, 0), *(draw.pick(1, 2, 3) for _ in range(3))))


def normalised(per):
    """Images with a scale and a shift per plane, per channel, or per element of the last axes."""
    def recipe(draw):
        x = images(draw)
        shape = {"plane": x.shape[:2], "channel": x.shape[1:2], "element": x.shape[2:]}[per]
        if per == "channel" and not len(x):
            x = real(draw.rng, (1, *x.shape[1:]))
        return Sample((x, real(draw.rng, shape), real(draw.rng, shape)), {"eps": 0.1})
    return recipe


def standardized(draw):
    sample = reduced(keepdims=False)(draw)
    sample.params["eps"] = 0.1
    return sample


def pooled(draw):
    size = draw.pick(1, 2)
    n, c, h, w = images(draw).shape
    return Sample((real(draw.rng, (n, c, h * size, w * size)),), {"size": size})


def enlarged(draw):
    return Sample((images(draw),), {"factor": draw.pick(2, 1, 3)})


# What NumPy says.


def image_of(x, w, stride, padding, output_padding):
    """The size of a transposed convolution's result."""
    each = zip(x.shape[2:], w.shape[2:], stride, padding, output_padding)
    return tuple((n - 1) * s - 2 * p + k + extra for n, k, s, p, extra in each)


def conv_transpose2d(x, w, stride, padding, output_padding):
    hw = image_of(x, w, stride, padding, output_padding)
    return conv_naive.conv2d_input_grad_naive(x, w, stride, padding, hw)


def standardize(x, axis, eps):
    return (x - x.mean(axis, keepdims=True)) / np.sqrt(x.var(axis, keepdims=True) + eps)


def adain(x, scale, shift, eps):
    return scale[..., None, None] * standardize(x, (2, 3), eps) + shift[..., None, None]


def instance_norm(x, scale, shift, eps):
    return scale[:, None, None] * standardize(x, (2, 3), eps) + shift[:, None, None]


def batch_norm(x, scale, shift, eps):
    return scale[:, None, None] * standardize(x, (0, 2, 3), eps) + shift[:, None, None]


def squares(x, size):
    n, c, h, w = x.shape
    return x.reshape(n, c, h // size, size, w // size, size)


def upsample_bilinear(x, factor):
    for axis in (2, 3):
        n = x.shape[axis]
        centre = np.clip((np.arange(n * factor) + 0.5) / factor - 0.5, 0, n - 1)
        below = centre.astype(int)
        above = np.minimum(below + 1, n - 1)
        weight = (centre - below).reshape((-1, 1) if axis == 2 else -1)
        x = x.take(below, axis) * (1 - weight) + x.take(above, axis) * weight
    return x


def logsumexp(x, axis=None, keepdims=False):
    return np.log(np.exp(x).sum(axis=axis, keepdims=keepdims))


def softmax(x, axis=-1):
    return np.exp(x) / np.exp(x).sum(axis=axis, keepdims=True)


def sum_to(x, shape):
    x = x.sum(axis=tuple(range(x.ndim - len(shape))))
    return x.sum(axis=tuple(a for a, n in enumerate(shape) if n == 1), keepdims=True)


def scatter(x, key, shape):
    z = np.zeros(shape, x.dtype)
    np.add.at(z, key, x)
    return z


def gelu(x):
    return x / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x ** 3)))


# The table.


@dataclass
class Case:
    label: str
    recipe: Callable[[Draw], Sample]
    reference: Callable[..., Any]
    op: str
    call: Callable[..., Any]
    kinks: bool = False
    scalars: bool = False

    def __repr__(self):
        return self.label

    def draw(self, data):
        return self.recipe(Draw(data))


CASES: list[Case] = []


def case(label, recipe, reference, op=None, call=None, **flags):
    function = call or getattr(ops, label)
    CASES.append(Case(label, recipe, reference, op or label, function, **flags))


case("add", two(real, real), np.add, scalars=True)
case("sub", two(real, real), np.subtract, scalars=True)
case("mul", two(real, real), np.multiply, scalars=True)
case("div", two(real, nonzero), np.divide, scalars=True)
case("neg", one(real), np.negative)
case("pow", two(positive, real), np.power, scalars=True)
case("pow of a negative base", one(nonzero, b=3), lambda x, b: x ** b, op="pow", call=ops.pow)
case("pow 0", one(real, b=0), lambda x, b: x ** b, op="pow", call=ops.pow)
case("abs", one(real), np.abs, kinks=True)
case("maximum", two(real, real), np.maximum, kinks=True, scalars=True)
case("minimum", two(real, real), np.minimum, op="maximum", kinks=True, scalars=True)
case("where", chosen, lambda a, b, condition: np.where(condition, a, b),
     call=lambda a, b, condition: ops.where(condition, a, b), scalars=True)
case("clip", one(real, low=-1.0, high=1.0), lambda x, low, high: np.clip(x, low, high), kinks=True)

case("exp", one(real), np.exp)
case("expm1", one(real), np.expm1)
case("log", one(positive), np.log)
case("log1p", one(positive), np.log1p)
case("sqrt", one(positive), np.sqrt)
case("safe_sqrt", one(positive), np.sqrt, op="sqrt")
case("tanh", one(real), np.tanh)
case("sigmoid", one(real), lambda x: 1 / (1 + np.exp(-x)))
case("softplus", one(real), lambda x: np.log(1 + np.exp(x)))
case("silu", one(real), lambda x: x / (1 + np.exp(-x)))
case("relu", one(real), lambda x: x * (x > 0), kinks=True)
case("leaky_relu", one(real, slope=0.2), lambda x, slope: np.maximum(x, slope * x), kinks=True)
case("gelu", one(real), gelu)

case("sum", reduced(empty=True), np.sum)
case("mean", reduced(), np.mean)
case("var", reduced(), np.var)
case("var with correction", reduced(correction=True), op="var", call=ops.var,
     reference=lambda x, correction, **params: np.var(x, ddof=correction, **params))
case("max", reduced(), np.max, kinks=True)
case("min", reduced(), np.min, op="max", kinks=True)
case("logsumexp", reduced(), logsumexp)
case("softmax", reduced(keepdims=False), softmax)
case("log_softmax", reduced(keepdims=False), lambda x, axis: np.log(softmax(x, axis)))

case("matmul", matrices, np.matmul)

case("reshape", reshaped, lambda x, shape: x.reshape(shape))
case("transpose", transposed, np.transpose)
case("broadcast_to", stretched, np.broadcast_to)
case("sum_to", summed, sum_to)
case("concatenate", joined(equal=False), lambda *xs, axis: np.concatenate(xs, axis),
     call=lambda *xs, axis: ops.concatenate(xs, axis))
case("stack", joined(equal=True), lambda *xs, axis: np.stack(xs, axis), op="concatenate",
     call=lambda *xs, axis: ops.stack(xs, axis))
case("split", cut, lambda x, sizes, axis: np.split(x, sizes[:1], axis)[1], op="getitem",
     call=lambda x, sizes, axis: ops.split(x, sizes, axis)[1])
case("pad", bordered, lambda x, width: np.pad(x, width) if width else x)
case("astype", one(real, dtype="float64"), lambda x, dtype: x)

case("conv2d", convolved, lambda x, w, stride, padding:
     conv_naive.conv2d_naive(x, w, stride, padding))
case("conv_transpose2d", convolved_back, conv_transpose2d)
case("conv2d_weight_grad", correlated, lambda x, g, kernel_size, stride, padding:
     conv_naive.conv2d_weight_grad_naive(x, g, stride, padding, kernel_size))
case("standardize", standardized, standardize, op="var")
case("adain", normalised("plane"), adain)
case("adain_of_ops", normalised("plane"), adain, op="var")
case("instance_norm", normalised("channel"), instance_norm, op="adain")
case("batch_norm", normalised("channel"), batch_norm, op="adain")
case("layer_norm", normalised("element"), op="adain", reference=lambda x, scale, shift, eps:
     scale * standardize(x, (2, 3), eps) + shift)

case("avg_pool2d", pooled, lambda x, size: squares(x, size).mean((3, 5)), op="mean")
case("max_pool2d", pooled, lambda x, size: squares(x, size).max((3, 5)), op="max", kinks=True)
case("upsample_nearest", enlarged, op="broadcast_to",
     reference=lambda x, factor: x.repeat(factor, 2).repeat(factor, 3))
case("upsample_bilinear", enlarged, upsample_bilinear, op="matmul")

case("getitem", picked, lambda x, key: x[key])
case("scatter", scattered, scatter)
case("take", taken, np.take, op="getitem")
case("embedding", embedded, lambda x, indices: x[indices], op="getitem")


# How the tests put a case to work.

LAYOUTS = {
    "contiguous": lambda x, array: array(x),
    "transposed": lambda x, array: array(x.T.copy()).T,
    "strided": lambda x, array: array(np.repeat(x, 2, axis=-1))[..., ::2],
    "reversed": lambda x, array: array(np.flip(x).copy())[(slice(None, None, -1),) * x.ndim],
}


def leaf(array, dtype="float64", layout="contiguous"):
    """A leaf on the current backend, in a certain memory layout."""
    xp = backend.module(backend.current())
    lay_out = LAYOUTS[layout if array.ndim else "contiguous"]
    tensor = Tensor.wrap(lay_out(array.astype(dtype), xp.asarray))
    tensor.requires_grad = True
    return tensor


def on_backend(param):
    """A parameter as a learner would pass it: arrays in it as Tensors on the current backend."""
    if isinstance(param, tuple):
        return tuple(on_backend(part) for part in param)
    return Tensor(param) if isinstance(param, np.ndarray) else param


def value_and_gradients(case, sample, dtype="float64", layout="contiguous"):
    """z, the gradients of <u, z>, the same made to be differentiated, the gradients of <w, those>.

    A list of Tensors (or None). u and w are fixed numbers; u is a leaf too, so that there is a
    second gradient even of a linear op.
    """
    leaves = [leaf(x, dtype, layout) for x in sample.arrays]
    params = {name: on_backend(param) for name, param in sample.params.items()}
    if case.op == "astype":
        params["dtype"] = dtype
    z = case.call(*leaves, **params)
    u = leaf(np.cos(np.arange(z.size)).reshape(z.shape), dtype)
    alone = grad(z, leaves, u, retain_graph=True)
    first = grad(z, leaves, u, create_graph=True)
    weighted = [(g * Tensor(np.sin(1.0 + np.arange(g.size)).reshape(g.shape), dtype=dtype)).sum()
                for g in first]
    second = grad(weighted, [*leaves, u], allow_unused=True)
    return [z, *alone, *first, *second]
