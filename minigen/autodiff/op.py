"""Op: one primitive, its value and its derivative together; applied, it is a node of the graph.

    class Mul(Op):
        name = "mul"

        def forward(self, a, b):         # raw arrays in, a raw array out
            return a * b

        def vjp(self, g, a, b):          # Tensors in, Tensors out: one gradient per input
            return g * b, g * a

`forward` computes, on NumPy or CuPy arrays alike. `vjp` speaks only ops, on Tensors: so a gradient
is itself a program of ops, and can be differentiated again, to any order. Everything that a vjp
uses must be computed from its arguments (or from `self.output`): a raw array kept from `forward`
would enter as a constant, and the second derivative would be silently wrong.

A Python scalar among the operands stays one, in `forward` and in `vjp`: NumPy lets it take the
dtype of the array it meets, so that float32 stays float32.
"""

import inspect
from numbers import Integral, Real
from typing import Any

from .. import backend
from .graph import mode
from .registry import OPS
from .tensor import Tensor


class Op:
    """Base of all primitives. An instance is one application: parameters first, then operands."""

    name = ""
    expects = "operands of shapes that broadcast: equal or 1, axis by axis from the right"
    twice = True  # may its gradient be differentiated again?
    saves_output = False

    inputs: tuple[Tensor | None, ...] | None = None
    arrays: list[Any] | None = None
    needs: tuple[bool, ...] = ()
    saved: Any = None

    def __init_subclass__(cls) -> None:
        if "name" in vars(cls):  # its own: a subclass must not take its parent's place
            OPS[cls.name] = cls

    def forward(self, *arrays: Any) -> Any:
        """The value, from raw arrays."""
        raise NotImplementedError

    def vjp(self, g: Tensor, *operands: Any) -> Any:
        """The gradient of <g, output> with respect to each operand; None where there is none.

        `self.needs[i]` says whether somebody asked for gradient i: an expensive one that nobody
        wants may be None.
        """
        raise NotImplementedError

    def __call__(self, *operands: Any) -> Tensor:
        """Apply to Tensors (or arrays, or Python scalars), and record the node if need be."""
        inputs: list[Tensor | None] = []
        arrays: list[Any] = []
        wanted = False
        first = None
        for operand in operands:
            if not isinstance(operand, Tensor):
                operand = self._operand(operand)
                if not isinstance(operand, Tensor):
                    inputs.append(None)
                    arrays.append(operand)
                    continue
            array = operand.data
            if first is None:
                first = array
            elif array.dtype is not first.dtype or type(array) is not type(first):
                self._check_kinds(operands)
            if operand.requires_grad:
                wanted = True
            inputs.append(operand)
            arrays.append(array)
        if first is None:
            raise self._complaint("needs at least one Tensor or array", operands)
        try:
            result = Tensor.wrap(self.forward(*arrays))
        except (ValueError, TypeError, IndexError) as error:
            raise self._complaint(error, operands) from error
        if wanted and mode.recording:
            if self.inputs is not None:
                raise RuntimeError(f"op '{self.name}': this instance is a node of a graph already; "
                                   "make a new one for each application")
            self.inputs = tuple(inputs)
            self.arrays = arrays
            if self.saves_output:
                self.saved = result.data
            result.node = self
            result.requires_grad = True
        return result

    @property
    def output(self) -> Tensor:
        """What this op made, as a value in the graph (for an op with `saves_output`)."""
        tensor = Tensor.wrap(self.saved)
        tensor.node = self
        tensor.requires_grad = True
        return tensor

    # What the walk uses.

    def recorded_inputs(self) -> tuple[Tensor | None, ...]:
        """The inputs, None for a Python scalar; an error if an earlier walk freed them."""
        if self.inputs is None:
            raise RuntimeError(
                f"op '{self.name}': an earlier backward or grad has freed what it saved; give that "
                "one retain_graph=True, or compute the value anew"
            )
        return self.inputs

    def pull_back(
        self, g: Tensor, needs: tuple[bool, ...], create_graph: bool
    ) -> list[Tensor | None]:
        """The gradient for each input that needs one, checked; None for the others."""
        if create_graph and not self.twice:
            raise RuntimeError(
                f"op '{self.name}' can be differentiated only once: its vjp is not made of ops, so "
                "create_graph=True would give a wrong second derivative"
            )
        self.needs = needs
        gradients = self.vjp(g, *self._operands_unchanged())
        if not isinstance(gradients, tuple):
            gradients = (gradients,)
        if len(gradients) != len(needs):
            raise TypeError(f"op '{self.name}': its vjp gave {len(gradients)} gradients for "
                            f"{len(needs)} operands")
        return [
            self._checked(i, gradients[i]) if needed else None for i, needed in enumerate(needs)
        ]

    def free(self) -> None:
        """Let go of everything saved."""
        self.inputs = self.arrays = self.saved = None

    # Checks and their messages.

    def _operand(self, operand: Any) -> Any:
        """A Python scalar as it is; an array becomes a constant Tensor."""
        if type(operand) in (float, int):
            return operand
        if isinstance(operand, Real):  # a NumPy scalar would not be weak: float64 would win
            return int(operand) if isinstance(operand, Integral) else float(operand)
        if backend.is_array(operand):
            return Tensor.wrap(operand)
        raise TypeError(f"op '{self.name}': expected a Tensor, an array or a Python number, got "
                        f"{type(operand).__name__}")

    def _operands_unchanged(self) -> list[Any]:
        """The operands for the vjp, provided that no optimiser has rebound them since."""
        assert self.inputs is not None and self.arrays is not None
        for i, (tensor, array) in enumerate(zip(self.inputs, self.arrays)):
            if tensor is not None and tensor.data is not array:
                raise RuntimeError(
                    f"op '{self.name}': input {i} {tensor.kind} has been given new data since it "
                    "was used (an optimiser step?); compute the value anew before its gradient"
                )
        return [a if t is None else t for t, a in zip(self.inputs, self.arrays)]

    def _checked(self, i: int, gradient: Any) -> Tensor:
        assert self.inputs is not None
        tensor = self.inputs[i]
        if not isinstance(gradient, Tensor):
            raise TypeError(f"op '{self.name}': its vjp gave {type(gradient).__name__} for input "
                            f"{i}; expected a Tensor made by ops, or the graph is cut")
        if tensor is not None and gradient.dtype != tensor.dtype:
            raise TypeError(f"op '{self.name}': its vjp gave {gradient.kind} for input {i}, which "
                            f"is {tensor.kind}")
        return gradient

    def _check_kinds(self, operands: tuple[Any, ...]) -> None:
        """Raise if operands live on two backends or mix two dtypes."""
        known = [self._operand(x) if backend.is_array(x) else x for x in operands]
        tensors = [t for t in known if isinstance(t, Tensor)]
        for what, kinds, hint in [
            ("live on different backends", {t.backend for t in tensors}, "move one with .to(...)"),
            ("have different dtypes", {t.dtype for t in tensors}, "convert one with .astype(...)"),
        ]:
            if len(kinds) > 1:
                raise self._complaint(f"operands {what}; {hint}", operands)

    @classmethod
    def _complaint(cls, reason: object, operands: tuple[Any, ...]) -> Exception:
        """An error that names the op, its operands, what was expected, and why."""
        kinds = (k for k in (ValueError, TypeError, IndexError) if isinstance(reason, k))
        kind = next(kinds, TypeError)
        names = list(inspect.signature(cls.forward).parameters)[1:]
        lines = [f"op '{cls.name}': {reason}"]
        for i, operand in enumerate(operands):
            name = names[i] if i < len(names) else names[-1]
            lines.append(f"  {name}: {getattr(operand, 'kind', operand)}")
        lines.append(f"  expected: {cls.expects}")
        return kind("\n".join(lines))
