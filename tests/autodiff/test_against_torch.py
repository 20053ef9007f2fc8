"""Random programs agree with PyTorch: value, first and second derivatives, to 1e-9 in float64."""

import numpy as np
import pytest

from minigen import Tensor, grad, ops

torch = pytest.importorskip("torch")
F = torch.nn.functional

# Each step: a name, how many operands, ours, PyTorch's. Operands are (3, 4), and so is the result;
# what leaves that shape on the way comes back to it. Domains are kept by bounding first.
STEPS = [
    ("add", 2, lambda a, b: a + b, lambda a, b: a + b),
    ("sub", 2, lambda a, b: 1.5 - a - b, lambda a, b: 1.5 - a - b),
    ("mul", 2, lambda a, b: a * b.tanh(), lambda a, b: a * b.tanh()),
    ("div", 2, lambda a, b: a / (1.0 + ops.softplus(b)), lambda a, b: a / (1.0 + F.softplus(b))),
    ("pow", 2, lambda a, b: (0.5 + ops.sigmoid(a)) ** b.tanh(),
     lambda a, b: (0.5 + a.sigmoid()) ** b.tanh()),
    ("square", 1, lambda a: a.tanh() ** 2, lambda a: a.tanh() ** 2),
    ("exp", 1, lambda a: ops.exp(a.tanh()), lambda a: a.tanh().exp()),
    ("expm1", 1, lambda a: ops.expm1(a.tanh()), lambda a: a.tanh().expm1()),
    ("log", 1, lambda a: ops.log(0.1 + ops.sigmoid(a)), lambda a: (0.1 + a.sigmoid()).log()),
    ("log1p", 1, lambda a: ops.log1p(ops.sigmoid(a)), lambda a: a.sigmoid().log1p()),
    ("sqrt", 1, lambda a: ops.sqrt(0.1 + ops.sigmoid(a)), lambda a: (0.1 + a.sigmoid()).sqrt()),
    ("abs", 1, ops.abs, torch.abs),
    ("silu", 1, ops.silu, F.silu),
    ("gelu", 1, ops.gelu, lambda a: F.gelu(a, approximate="tanh")),
    ("relu", 1, ops.relu, F.relu),
    ("leaky_relu", 1, lambda a: ops.leaky_relu(a, 0.2), lambda a: F.leaky_relu(a, 0.2)),
    ("clip", 1, lambda a: ops.clip(a, -0.5, 0.5), lambda a: a.clamp(-0.5, 0.5)),
    ("maximum", 2, ops.maximum, torch.maximum),
    ("minimum", 2, ops.minimum, torch.minimum),
    ("where", 2, lambda a, b: ops.where(a > b, a, b * 2.0),
     lambda a, b: torch.where(a > b, a, b * 2.0)),
    ("softmax", 1, lambda a: ops.softmax(a, 1), lambda a: a.softmax(1)),
    ("log_softmax", 1, lambda a: ops.log_softmax(a, 0), lambda a: a.log_softmax(0)),
    ("logsumexp", 2, lambda a, b: a - ops.logsumexp(b, 1, keepdims=True),
     lambda a, b: a - b.logsumexp(1, keepdim=True)),
    ("sum", 2, lambda a, b: a + 0.3 * b.sum(0), lambda a, b: a + 0.3 * b.sum(0)),
    ("mean", 2, lambda a, b: a * b.mean(1, keepdims=True),
     lambda a, b: a * b.mean(1, keepdim=True)),
    ("var", 2, lambda a, b: a / (1.0 + b.var(0)), lambda a, b: a / (1.0 + b.var(0, correction=0))),
    ("var of a sample", 1, lambda a: a / (1.0 + a.var(correction=1)),
     lambda a: a / (1.0 + a.var())),
    ("max", 2, lambda a, b: a - b.max(0), lambda a, b: a - b.amax(0)),
    ("min", 2, lambda a, b: a - ops.min(b, 1, keepdims=True), lambda a, b: a - b.amin(1, True)),
    ("matmul", 2, lambda a, b: (a @ b.T).tanh() @ a, lambda a, b: (a @ b.T).tanh() @ a),
    ("batched matmul", 2,
     lambda a, b: (a.reshape(3, 2, 2) @ b.reshape(3, 2, 2)).tanh().reshape(3, 4),
     lambda a, b: (a.reshape(3, 2, 2) @ b.reshape(3, 2, 2)).tanh().reshape(3, 4)),
    ("matrix times vector", 2, lambda a, b: b + (a @ b[0]).reshape(3, 1) * 0.3,
     lambda a, b: b + (a @ b[0]).reshape(3, 1) * 0.3),
    ("transpose", 1, lambda a: a.transpose(1, 0).reshape(3, 4), lambda a: a.T.reshape(3, 4)),
    ("slices", 2, lambda a, b: ops.concatenate([a[1:], b[:1] * 2.0]),
     lambda a, b: torch.cat([a[1:], b[:1] * 2.0])),
    ("stack", 2, lambda a, b: ops.stack([a, b], 1)[:, 1, :] * a,
     lambda a, b: torch.stack([a, b], 1)[:, 1, :] * a),
    ("rows", 1, lambda a: a[[2, 0, 2]], lambda a: a[[2, 0, 2]]),
    ("pad", 1, lambda a: ops.pad(a, [(1, 0), (0, 2)])[:3, 2:],
     lambda a: F.pad(a, (0, 2, 1, 0))[:3, 2:]),
]


def program(seed):
    """A random graph: each step takes operands from all values before it, leaves included."""
    rng = np.random.default_rng(seed)
    steps = [STEPS[k] for k in rng.choice(len(STEPS), 10)]
    plan = [(step, rng.integers(0, 3 + i, step[1])) for i, step in enumerate(steps)]
    return plan, [rng.standard_normal(shape) for shape in ((3, 4), (1, 4), (3, 1))]


def run(plan, leaves, which):
    """The program's value: all its values, bounded and summed."""
    ones = leaves[0] * 0.0 + 1.0
    values = [leaf * ones for leaf in leaves]
    for step, operands in plan:
        values.append(step[2 + which](*(values[k] for k in operands)))
    total = values[0]
    for value in values[1:]:
        total = total + value.tanh()
    return (total * total).sum()


def close(got, want):
    assert got.shape == tuple(want.shape)
    np.testing.assert_allclose(got.numpy(), want.detach().numpy(), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("seed", range(40))
def test_a_random_program_agrees_to_the_second_order(seed):
    plan, arrays = program(seed)
    ours = [Tensor(x, requires_grad=True) for x in arrays]
    theirs = [torch.tensor(x, requires_grad=True) for x in arrays]
    z, w = run(plan, ours, 0), run(plan, theirs, 1)
    close(z, w)
    first = grad(z, ours, create_graph=True)
    first_ = torch.autograd.grad(w, theirs, create_graph=True)
    for got, want in zip(first, first_):
        close(got, want)
    weights = [np.cos(np.arange(x.size)).reshape(x.shape) for x in arrays]
    slope = sum((g * Tensor(u)).sum() for g, u in zip(first, weights))
    slope_ = sum((g * torch.tensor(u)).sum() for g, u in zip(first_, weights))
    for got, want in zip(grad(slope, ours), torch.autograd.grad(slope_, theirs)):
        close(got, want)


def test_the_programs_use_every_step():
    used = {step[0] for seed in range(40) for step, _ in program(seed)[0]}
    assert used == {step[0] for step in STEPS}


@pytest.mark.parametrize("ours, theirs", [
    (ops.softmax, torch.softmax), (ops.log_softmax, torch.log_softmax),
    (ops.logsumexp, torch.logsumexp),
], ids=["softmax", "log_softmax", "logsumexp"])
@pytest.mark.parametrize("axis", [0, -1, (0, 2)])
@pytest.mark.parametrize("scale", [1.0, 300.0])
def test_the_softmax_family_agrees_in_value_and_gradient(ours, theirs, axis, scale):
    x = scale * np.random.default_rng(0).standard_normal((3, 4, 2))
    u = np.cos(np.arange(24)).reshape(x.shape)
    if isinstance(axis, tuple):  # PyTorch's softmax takes one axis: put the two into one
        x_, u_ = (np.ascontiguousarray(v.transpose(0, 2, 1)).reshape(6, 4) for v in (x, u))
        where = 0
    else:
        x_, u_, where = x, u, axis
    a, b = Tensor(x, requires_grad=True), torch.tensor(x_, requires_grad=True)
    z, w = ours(a, axis), theirs(b, where)
    if z.shape != x.shape:
        u, u_ = np.ones(z.shape), np.ones(tuple(w.shape))
    found, = grad(z, a, Tensor(u))
    w.backward(torch.tensor(u_))
    back = b.grad.numpy()
    value = w.detach().numpy()
    if isinstance(axis, tuple):
        back = back.reshape(3, 2, 4).transpose(0, 2, 1)
        value = value.reshape(3, 2, 4).transpose(0, 2, 1) if value.size == x.size else value
    np.testing.assert_allclose(z.numpy(), value, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(found.numpy(), back, rtol=1e-11, atol=1e-12)


def test_the_slope_at_edges_agrees():
    """Ties, zero to the zero, masked terms: where the two make the same choice."""
    edges = [
        (ops.relu, F.relu, [0.0, 1.0]),
        (ops.abs, torch.abs, [0.0, -1.0]),
        (lambda x: ops.max(x), torch.amax, [2.0, 2.0, 1.0]),
        (lambda x: ops.maximum(x, 1.0), lambda x: torch.maximum(x, torch.tensor(1.0).double()),
         [1.0, 2.0]),
        (lambda x: ops.clip(x, 0.0, 1.0), lambda x: x.clamp(0, 1), [0.0, 1.0, 2.0]),
        (lambda x: x ** 0, lambda x: x ** 0, [0.0, 2.0]),
        (lambda x: x ** 2, lambda x: x ** 2, [0.0, -2.0]),
        (lambda x: 0.0 ** x, lambda x: 0.0 ** x, [1.0, 2.0]),
        (ops.logsumexp, lambda x: x.logsumexp(0), [-np.inf, 1.0]),
        (ops.softplus, F.softplus, [-800.0, 0.0, 800.0]),
    ]
    for ours, theirs, at in edges:
        a = Tensor(at, True, "float64")
        b = torch.tensor(at, dtype=torch.float64, requires_grad=True)
        theirs(b).sum().backward()
        np.testing.assert_allclose(grad(ours(a).sum(), a)[0].numpy(), b.grad.numpy(), rtol=1e-12)
