"""gradcheck: does the gradient that the engine derives agree with differences of the function?

For a function F and unit vectors u (on its outputs) and v (on an input),

    analytic   <vjp(u), v>                             what the engine says
    numeric    <u, F(x + h v) - F(x - h v)> / 2h       what the function does; error O(h^2)

The u and v are random, and for small inputs and outputs also every axis, which makes the table the
whole Jacobian. float64 only: in float32 rounding alone is 1e-7 / h.

A difference quotient means nothing across a kink (relu, abs and max have them). Kinks are found
rather than excused: for a smooth F, halving h changes the central quotient by O(h^2) and halves
the difference between the one-sided quotients; a kink within h breaks at least one of the two.
Then the check moves to a point nearby and starts again.

order=2 checks the gradient's gradient: the same, of F2(x, u) = vjp_F(x; u).
"""

from typing import Any, Callable, Sequence

import numpy as np

from .graph import grad
from .tensor import Tensor

Function = Callable[..., Any]  # of Tensors, to a Tensor or several
Arrays = list[np.ndarray]

STEP = 1e-5
SMALL = 12  # up to this size, every axis is a direction
RANDOM = 2  # and so many random directions
POINTS = 20  # how many points to try before giving up on kinks


class GradcheckError(AssertionError):
    """The analytic and the numeric derivative differ; the message says where and by how much."""


class _Kink(Exception):
    """The function is not smooth within a step of this point."""


def gradcheck(
    f: Function,
    inputs: Sequence[Tensor] | Tensor,
    order: int = 1,
    rtol: float = 1e-6,
    atol: float = 1e-7,
    seed: int = 0,
) -> bool:
    """Check f's first (and with order=2 also second) derivative against differences.

    f: Tensors to a Tensor, or several. inputs: float64 Tensors of any shapes.
    rtol, atol: |analytic - numeric| <= atol + rtol |numeric|, for unit directions.

    Returns True. Raises GradcheckError naming op, input, index, both numbers and the step;
    TypeError for inputs that are not float64; ValueError for another order.
    """
    inputs = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
    for i, tensor in enumerate(inputs):
        if tensor.dtype != np.float64:
            raise TypeError(f"gradcheck: inputs[{i}] is {tensor.kind}; differences need float64")
    if order not in (1, 2):
        raise ValueError(f"gradcheck: order must be 1 or 2, got {order}")
    rng = np.random.default_rng(seed)
    points = [tensor.numpy() for tensor in inputs]
    _check_somewhere_smooth(f, points, rng, rtol, atol, "")
    if order == 2:
        shapes = [output.shape for output in _outputs(f, _leaves(points))]
        points += [rng.standard_normal(shape) for shape in shapes]
        gradient = _gradient_of(f, len(inputs))
        _check_somewhere_smooth(gradient, points, rng, rtol, atol, "gradient of ")
    return True


def _gradient_of(f: Function, n: int) -> Function:
    """F2(x_1 .. x_n, u_1 ..) = the gradients of sum_k <u_k, f_k(x)>, as a function to check."""

    def gradient(*args: Tensor) -> tuple[Tensor, ...]:
        xs, us = args[:n], args[n:]
        found = grad(_outputs(f, xs), xs, us, create_graph=True, allow_unused=True)
        return tuple(g for g in found if g is not None)

    return gradient


def _check_somewhere_smooth(
    f: Function, points: Arrays, rng: np.random.Generator, rtol: float, atol: float, what: str
) -> None:
    here = points
    for _ in range(POINTS):
        try:
            return _check_at(f, here, rng, rtol, atol, what)
        except _Kink as kink:
            last = kink
            here = [x + 0.01 * (1 + np.abs(x)) * rng.standard_normal(x.shape) for x in points]
    raise GradcheckError(f"gradcheck: no smooth point among {POINTS} near the one given ({last})")


def _check_at(
    f: Function, points: Arrays, rng: np.random.Generator, rtol: float, atol: float, what: str
) -> None:
    leaves = _leaves(points)
    outputs = _outputs(f, leaves)
    op = outputs[0].node.name if outputs[0].node else "none"
    size = sum(output.size for output in outputs)
    us = _directions(size, rng)
    rows = [_vjp(outputs, leaves, u) for u in us]
    for i, x in enumerate(points):
        for v in _directions(x.size, rng):
            numeric = us @ _slope(f, points, i, v.reshape(x.shape), rtol, atol)
            analytic = np.array([row[i] @ v for row in rows])
            wrong = ~(np.abs(analytic - numeric) <= atol + rtol * np.abs(numeric))  # NaN is wrong
            if wrong.any():
                k = int(wrong.argmax())
                raise GradcheckError(
                    f"gradcheck: {what}op '{op}', input {i} {x.shape}, {_axis(v, x.shape)}, "
                    f"{_axis(us[k], (size,), 'output')}: analytic {analytic[k]:.10g}, numeric "
                    f"{numeric[k]:.10g}, step {STEP:g}"
                )


def _slope(
    f: Function, points: Arrays, i: int, v: np.ndarray, rtol: float, atol: float
) -> np.ndarray:
    """The derivative of all outputs as input i moves along v, by differences; or _Kink."""

    def at(t: float) -> np.ndarray:
        moved = [x + t * v if k == i else x for k, x in enumerate(points)]
        return np.concatenate([o.numpy().ravel() for o in _outputs(f, _leaves(moved))])

    centre = at(0.0)
    wide, narrow = (_quotients(at(h), centre, at(-h), h) for h in (STEP, STEP / 2))
    tolerance = atol + rtol * np.abs(narrow[0])
    if (np.abs(wide[0] - narrow[0]) > tolerance).any():
        raise _Kink("the central quotient changes with the step")
    if (np.abs(wide[1] - 2 * narrow[1]) > 4 * tolerance).any():
        raise _Kink("the one-sided quotients stay apart")
    return narrow[0]


def _quotients(
    after: np.ndarray, centre: np.ndarray, before: np.ndarray, h: float
) -> tuple[np.ndarray, np.ndarray]:
    """The central quotient, and how far the two one-sided ones are apart."""
    return (after - before) / (2 * h), (after - 2 * centre + before) / h


def _vjp(outputs: Sequence[Tensor], leaves: Sequence[Tensor], u: np.ndarray) -> list[np.ndarray]:
    """The flat gradient of <u, all outputs> for each leaf; zeros for one that is not reached."""
    seeds = []
    start = 0
    for output in outputs:
        part = u[start:start + output.size].reshape(output.shape)
        seeds.append(Tensor(part, dtype=output.dtype).to(output.backend))
        start += output.size
    found = grad(outputs, leaves, seeds, allow_unused=True, retain_graph=True)
    return [np.zeros(x.size) if g is None else g.numpy().ravel() for g, x in zip(found, leaves)]


def _directions(size: int, rng: np.random.Generator) -> np.ndarray:
    """Unit vectors, (n, size): every axis if there are few, and random ones."""
    random = rng.standard_normal((RANDOM if size else 0, size))
    random /= np.linalg.norm(random, axis=1, keepdims=True)
    return np.concatenate([np.eye(size if size <= SMALL else 0, size), random])


def _axis(v: np.ndarray, shape: tuple[int, ...], name: str = "index") -> str:
    """A unit vector in words: the axis it lies on, or that it is random."""
    nonzero = np.flatnonzero(v)
    if len(nonzero) != 1:
        return f"{name} random direction"
    return f"{name} {tuple(int(k) for k in np.unravel_index(nonzero[0], shape))}"


def _leaves(points: Sequence[np.ndarray]) -> list[Tensor]:
    return [Tensor(x, requires_grad=True) for x in points]


def _outputs(f: Function, leaves: Sequence[Tensor]) -> tuple[Tensor, ...]:
    outputs = f(*leaves)
    return tuple(outputs) if isinstance(outputs, (tuple, list)) else (outputs,)
