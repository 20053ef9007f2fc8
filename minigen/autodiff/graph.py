"""Reverse mode: from the outputs back to the inputs, one vjp at a time.

For y = f(x) with Jacobian J, a vector-Jacobian product (vjp) turns a gradient with respect to y
into one with respect to x: g_x = g_y J. A program is a graph of ops, and the chain rule says: apply
the vjps of its ops in reverse order, and add up where a value was used more than once. That is all
that this file does.

    nodes_between    the ops between outputs and inputs, each after everything that uses it
    walk             gradient of an op's output -> vjp -> gradients of its inputs, summed up

A node is an `Op` that has been applied: it has `inputs` (Tensors; None for a Python scalar), `vjp`
and `free`. A Tensor's `node` is the op that made it, None for a leaf. Nodes point to what they were
made from and never forward, so a graph holds no cycle, and dies with the last name for its output.
"""

from contextlib import ContextDecorator
from typing import Any, Iterable, Sequence

from .registry import OPS

Tensor = Any  # the class is one file up; the walk needs only what is said above


class _Mode:
    recording = True


mode = _Mode()


class record(ContextDecorator):
    """Inside `with record(on):` ops record a graph, or compute values alone."""

    def __init__(self, on: bool) -> None:
        self.on = on
        self.before: list[bool] = []  # a stack: as a decorator, one instance may nest in itself

    def __enter__(self) -> None:
        self.before.append(mode.recording)
        mode.recording = self.on

    def __exit__(self, *_: object) -> None:
        mode.recording = self.before.pop()


class no_grad(record):
    """Inside `with no_grad():` ops compute values and record no graph."""

    def __init__(self) -> None:
        super().__init__(False)


def source(tensor: Tensor) -> Any:
    """What stands for a tensor in the graph: the node that made it, or the leaf itself."""
    return tensor if tensor.node is None else tensor.node


def nodes_between(
    outputs: Sequence[Tensor], targets: Iterable[Any]
) -> list[tuple[Any, tuple[bool, ...]]]:
    """The nodes on a path from the outputs back to the targets, each after all that use it.

    Returns pairs (node, needs): `needs[i]` says whether a target lies behind the node's input i.
    `targets` are sources. Depth first, with a stack of our own: Python's overflows on long chains.
    """
    targets = set(targets)
    leads: dict[Any, bool] = {}  # node -> does it, or anything behind it, reach a target?
    found = []
    stack = [tensor.node for tensor in outputs if tensor.node is not None]
    while stack:
        node = stack[-1]
        if node in leads:
            stack.pop()
            continue
        inputs = node.recorded_inputs()
        behind = [None if tensor is None else source(tensor) for tensor in inputs]
        unseen = [t.node for t in inputs if t is not None and t.node and t.node not in leads]
        if unseen:
            stack.extend(unseen)  # first everything behind this node, then the node
            continue
        stack.pop()
        needs = tuple(s in targets or leads.get(s, False) for s in behind)
        leads[node] = node in targets or any(needs)
        if any(needs):
            found.append((node, needs))
    found.reverse()
    return found


class Gradients:
    """The gradient gathered so far at each source of a graph."""

    def __init__(self, create_graph: bool) -> None:
        self.create_graph = create_graph
        self.sums: dict[Any, Tensor] = {}
        self.own: set[Any] = set()  # sources whose sum lies in a buffer that we made ourselves

    def add(self, where: Any, gradient: Tensor) -> None:
        """Add one more contribution. In place only into our own buffer: others may be shared."""
        if where not in self.sums:
            self.sums[where] = gradient
        elif where in self.own:
            buffer = self.sums[where].data
            buffer += gradient.data
        else:
            self.sums[where] = OPS["add"]()(self.sums[where], gradient)
            if not self.create_graph:
                self.own.add(where)


def walk(
    outputs: Sequence[Tensor], seeds: Sequence[Tensor], targets: Iterable[Any],
    create_graph: bool, retain_graph: bool,
) -> dict[Any, Tensor]:
    """The gradient of sum_i <seed_i, output_i> at each target that the outputs reach.

    With `create_graph` the vjps record a graph themselves, and so can be differentiated again.
    """
    targets = set(targets)
    gradients = Gradients(create_graph)
    with record(create_graph):
        for tensor, seed in zip(outputs, seeds):
            gradients.add(source(tensor), seed)
        for node, needs in nodes_between(outputs, targets):
            keep = node in targets
            gradient = gradients.sums[node] if keep else gradients.sums.pop(node)
            for tensor, wanted in zip(node.inputs, node.pull_back(gradient, needs, create_graph)):
                if wanted is not None:
                    gradients.add(source(tensor), _sum_to(wanted, tensor, node))
            if not retain_graph:
                node.free()
    return {target: gradients.sums[target] for target in targets if target in gradients.sums}


def _sum_to(gradient: Tensor, tensor: Tensor, node: Any) -> Tensor:
    """Undo broadcasting: what was copied along an axis on the way out is summed on the way back."""
    if gradient.shape == tensor.shape:
        return gradient
    try:
        return OPS["sum_to"](tensor.shape)(gradient)
    except ValueError as error:
        raise ValueError(f"op '{node.name}': its vjp gave {gradient.kind} for an input "
                         f"{tensor.kind}") from error


def grad(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | Sequence[Tensor],
    grad_outputs: Tensor | Sequence[Tensor] | None = None,
    create_graph: bool = False, allow_unused: bool = False, retain_graph: bool | None = None,
) -> tuple[Tensor, ...]:
    """The gradient of the outputs with respect to each of the inputs; touches no `.grad`.

    outputs, inputs: a Tensor or several; an input may be a leaf or any value on the way.
    grad_outputs: what multiplies each output (same shape); may be left out for scalars, where it
        is 1. The result is sum_i <grad_outputs_i, d outputs_i / d input>.
    create_graph: record the gradient's own graph, so that it can be differentiated again.
    allow_unused: give None for an input that the outputs do not reach, instead of raising.
    retain_graph: keep the saved values for another walk; by default only under `create_graph`.

    Raises ValueError for an input that is not reached or an output without gradient, RuntimeError
    for a graph that an earlier walk has freed.
    """
    outputs, inputs = _as_tuple(outputs), _as_tuple(inputs)
    seeds = _seeds(outputs, grad_outputs)
    for i, tensor in enumerate(inputs):
        if not tensor.requires_grad:
            raise ValueError(f"grad: inputs[{i}] {tensor.kind} does not require a gradient; "
                             "make it with requires_grad=True")
    retain = create_graph if retain_graph is None else retain_graph
    found = walk(outputs, seeds, map(source, inputs), create_graph, retain)
    result = tuple(found.get(source(tensor)) for tensor in inputs)
    for i, gradient in enumerate(result):
        if gradient is None and not allow_unused:
            raise ValueError(f"grad: outputs do not depend on inputs[{i}] {inputs[i].kind}; "
                             "allow_unused=True gives None there")
    return result


def backward(
    outputs: Tensor | Sequence[Tensor],
    grad_outputs: Tensor | Sequence[Tensor] | None = None,
    create_graph: bool = False, retain_graph: bool | None = None,
) -> None:
    """Add the gradient of the outputs to the `.grad` of every leaf that they reach."""
    outputs = _as_tuple(outputs)
    seeds = _seeds(outputs, grad_outputs)
    retain = create_graph if retain_graph is None else retain_graph
    for leaf, gradient in walk(outputs, seeds, leaves(outputs), create_graph, retain).items():
        if leaf.grad is None:
            leaf.grad = gradient
        else:
            with record(create_graph):
                leaf.grad = OPS["add"]()(leaf.grad, gradient)


def leaves(outputs: Sequence[Tensor]) -> list[Tensor]:
    """The leaves behind the outputs that require a gradient."""
    found: dict[Any, None] = {}  # a dict, for its order: one program, one order of summation
    seen = set()
    stack = list(outputs)
    while stack:
        tensor = stack.pop()
        if tensor.node is None:
            if tensor.requires_grad:
                found[tensor] = None
        elif tensor.node not in seen:
            seen.add(tensor.node)
            stack.extend(t for t in tensor.node.recorded_inputs() if t is not None)
    return list(found)


def _as_tuple(tensors: Tensor | Sequence[Tensor]) -> tuple[Tensor, ...]:
    return tuple(tensors) if isinstance(tensors, (tuple, list)) else (tensors,)


def _seeds(outputs: Sequence[Tensor], given: Tensor | Sequence[Tensor] | None) -> list[Tensor]:
    """The gradient that the walk starts from at each output."""
    given = (None,) * len(outputs) if given is None else _as_tuple(given)
    if len(given) != len(outputs):
        raise ValueError(f"grad_outputs: expected {len(outputs)}, one per output; got {len(given)}")
    seeds = []
    for i, (output, seed) in enumerate(zip(outputs, given)):
        if not output.requires_grad:
            raise ValueError(f"outputs[{i}] {output.kind} has no graph behind it: nothing it was "
                             "made from requires a gradient, or it was made under no_grad (if it "
                             "is itself a gradient: compute that with create_graph=True)")
        if seed is None and output.size != 1:
            raise ValueError(f"outputs[{i}] {output.kind} is not a scalar: reduce it, say by "
                             ".sum(), or pass grad_outputs")
        if seed is None:
            seed = output.ones_like()
        if not hasattr(seed, "node"):
            raise TypeError(f"grad_outputs[{i}]: expected a Tensor {output.kind}, got "
                            f"{type(seed).__name__}")
        if seed.shape != output.shape or seed.dtype != output.dtype:
            raise ValueError(f"grad_outputs[{i}]: expected {output.kind}, got {seed.kind}")
        seeds.append(seed)
    return seeds
