"""A graph as DOT text, which `dot -Tsvg` and many web pages turn into a picture.

Boxes are ops, ellipses are values that somebody wrote down. What leads to `forward` is blue; what
`create_graph` recorded on the way back is orange.
"""

from typing import Any, Sequence

from .tensor import Tensor

BLUE = "#9ecae1"
ORANGE = "#fdae6b"


def draw(
    outputs: Tensor | Sequence[Tensor],
    forward: Tensor | None = None,
    names: dict[str, Tensor] | None = None,
) -> str:
    """The graph behind the outputs, as DOT text.

    forward: the value whose graph is the forward one, where outputs are gradients of it.
    names: what to call some of the Tensors; the others show their shape alone.
    """
    outputs = (outputs,) if isinstance(outputs, Tensor) else tuple(outputs)
    called = {_key(tensor): name for name, tensor in (names or {}).items()}
    first = set(_graph([forward])) if forward is not None else None
    lines = ["digraph {", "  rankdir=LR", "  node [style=filled, fontname=Helvetica]"]
    graph = _graph(outputs)
    number = {key: f"n{i}" for i, key in enumerate(graph)}
    for key, tensor in graph.items():
        color = BLUE if first is None or key in first else ORANGE
        label = "\\n".join(_label(tensor, called.get(key)))
        shape = "box" if tensor.node else "ellipse"
        lines.append(f'  {number[key]} [label="{label}", shape={shape}, fillcolor="{color}"]')
    for key, tensor in graph.items():
        for parent in _parents(tensor):
            lines.append(f"  {number[_key(parent)]} -> {number[key]}")
    return "\n".join([*lines, "}"])


def _label(tensor: Tensor, name: str | None) -> list[str]:
    what = tensor.node.name if tensor.node else "" if tensor.requires_grad else "constant"
    return [line for line in (name, what, "×".join(map(str, tensor.shape)) or "scalar") if line]


def _graph(outputs: Sequence[Tensor]) -> dict[Any, Tensor]:
    """Everything behind the outputs, each once, in a fixed order."""
    found: dict[Any, Tensor] = {}
    stack = list(reversed(outputs))
    while stack:
        tensor = stack.pop()
        if _key(tensor) not in found:
            found[_key(tensor)] = tensor
            stack.extend(reversed(_parents(tensor)))
    return found


def _parents(tensor: Tensor) -> list[Tensor]:
    inputs = tensor.node.recorded_inputs() if tensor.node else ()
    return [t for t in inputs if t is not None]


def _key(tensor: Tensor) -> Any:
    return tensor.node or tensor
