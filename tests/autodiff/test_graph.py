"""The walk: order, pruning, freeing, accumulation, and its errors."""

import gc
import weakref

import numpy as np
import pytest

from minigen import Tensor, grad, no_grad, ops
from minigen.autodiff.graph import mode
from minigen.autodiff.op import Op


def leaf(value, dtype="float64"):
    return Tensor(value, requires_grad=True, dtype=dtype)


class Probe(Op):
    """The identity, which counts how often its vjp is asked."""

    name = "probe"

    def __init__(self):
        self.calls = 0

    def forward(self, x):
        return x + 0

    def vjp(self, g, x):
        self.calls += 1
        return g


# Order.


def test_a_chain_of_50_000_ops_differentiates_and_dies():
    x = leaf(1.0)
    z = x
    for _ in range(50_000):
        z = z * 1.0
    assert grad(z, x)[0].item() == 1.0
    z.detach()
    z = x
    for _ in range(50_000):
        z = z * 1.0
    z.backward(retain_graph=True)
    assert x.grad.item() == 1.0
    del z


def test_a_second_derivative_through_a_long_chain_works():
    x = leaf(1.0)
    z = x * x
    for _ in range(5_000):
        z = z + 0.0
    first, = grad(z, x, create_graph=True)
    assert grad(first, x)[0].item() == 2.0


def test_a_ladder_of_2_to_the_100_paths_is_walked_once_a_node():
    x = leaf(1.0)
    z = x
    for _ in range(100):
        z = z * 0.5 + z * 0.5
    assert grad(z, x)[0].item() == 1.0


def test_a_value_is_left_only_when_all_that_use_it_have_been_walked():
    x = leaf(2.0)
    a = x * x
    b = a * 3.0
    c = b + a            # a is used before and after b
    d = c * a
    assert grad(d, x)[0].item() == pytest.approx(4 * 4 * 2 ** 3)  # d = 4 x^4


def test_a_value_used_many_times_adds_up_all_gradients():
    x = leaf([1.0, 2.0])
    z = sum(x * float(k) for k in range(10))
    assert grad(z.sum(), x)[0].numpy().tolist() == [45.0, 45.0]
    x = leaf(3.0)
    assert grad(x * x * x, x)[0].item() == 27.0


# Pruning.


def test_a_vjp_off_the_path_is_never_called():
    x, y = leaf(1.0), leaf(2.0)
    on, off = Probe(), Probe()
    z = on(x) * off(y)
    assert grad(z, x, retain_graph=True)[0].item() == 2.0
    assert (on.calls, off.calls) == (1, 0)
    grad(z, [x, y])
    assert (on.calls, off.calls) == (2, 1)


def test_nothing_behind_an_intermediate_target_is_walked():
    probe = Probe()
    x = leaf(2.0)
    h = probe(x)
    assert grad(h * h, h)[0].item() == 4.0
    assert probe.calls == 0


def test_an_op_is_told_which_gradients_are_wanted():
    class Asked(Op):
        name = "asked"
        needed = None

        def forward(self, a, b):
            return a + b

        def vjp(self, g, a, b):
            Asked.needed = self.needs
            return (g if self.needs[0] else None, g if self.needs[1] else None)

    x, y = leaf(1.0), leaf(2.0)
    grad(Asked()(x, y), y)
    assert Asked.needed == (False, True)
    grad(Asked()(x, Tensor(2.0, dtype="float64")), x)
    assert Asked.needed == (True, False)


# Freeing.


def test_a_second_walk_over_a_freed_graph_raises_naming_the_op():
    x = leaf(1.0)
    z = ops.tanh(x)
    grad(z, x)
    for again in (lambda: grad(z, x), z.backward, lambda: grad(z * z, x)):
        with pytest.raises(RuntimeError, match="op 'tanh': .*freed.*retain_graph=True"):
            again()


def test_retain_graph_allows_a_second_walk():
    x = leaf(2.0)
    z = x * x
    assert grad(z, x, retain_graph=True)[0].item() == 4.0
    assert grad(z, x)[0].item() == 4.0
    with pytest.raises(RuntimeError, match="op 'mul'"):
        grad(z, x)


def test_create_graph_retains_unless_told_otherwise():
    x = leaf(2.0)
    z = x * x
    grad(z, x, create_graph=True)
    grad(z, x, create_graph=True, retain_graph=False)
    with pytest.raises(RuntimeError, match="op 'mul'"):
        grad(z, x)


def test_what_a_walk_did_not_pass_is_not_freed():
    x, y = leaf(1.0), leaf(2.0)
    side = ops.tanh(y)
    z = ops.exp(x) + side
    grad(z, x)
    assert grad(side, y)[0].shape == ()


def test_saved_arrays_are_let_go_as_the_walk_passes():
    x = leaf(np.ones(3))
    h = ops.exp(x)
    z = (h * h).sum()
    saved = weakref.ref(h.data)
    del h
    assert saved() is not None
    grad(z, x)
    assert saved() is None


def build():
    x = leaf(np.ones(3))
    return x, (ops.exp(x) * ops.tanh(x)).sum()


@pytest.mark.parametrize("use", [
    lambda x, z: None,
    lambda x, z: grad(z, x),
    lambda x, z: grad(z, x, retain_graph=True),
    lambda x, z: grad(z, x, create_graph=True),
    lambda x, z: grad(grad(z, x, create_graph=True)[0].sum(), x),
    lambda x, z: (z.backward(create_graph=True), setattr(x, "grad", None)),
], ids=["unused", "grad", "retained", "create_graph", "second order", "backward"])
def test_a_dropped_graph_is_freed_without_the_garbage_collector(use):
    gc.collect()
    gc.disable()
    try:
        x, z = build()
        node, array = weakref.ref(z.node), weakref.ref(z.node.inputs[0].data)
        use(x, z)
        del z
        assert node() is None and array() is None
    finally:
        gc.enable()


def test_a_gradient_with_a_graph_keeps_what_it_needs_and_dies_with_it():
    gc.disable()
    try:
        x, z = build()
        node = weakref.ref(z.node.inputs[0].node.inputs[0].node)  # the exp
        first, = grad(z, x, create_graph=True)
        del z
        assert node() is not None  # exp's output serves in its own gradient
        grad(first.sum(), x)
        del first
        assert node() is None
    finally:
        gc.enable()


# Accumulation.


def test_gradients_that_share_a_buffer_are_not_added_into():
    x, y = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    seed = Tensor([1.0, 1.0], dtype="float64")
    z = x + y            # add hands the same g to both
    w = z + x + x        # and x gets three more
    found = grad(w, [x, y, z], seed)
    assert [g.numpy().tolist() for g in found] == [[3.0, 3.0], [1.0, 1.0], [1.0, 1.0]]
    assert seed.numpy().tolist() == [1.0, 1.0]


def test_backward_adds_to_what_is_there_and_changes_no_shared_buffer():
    x, y = leaf([1.0]), leaf([1.0])
    (x + y).backward()
    before = y.grad
    (x * 5.0).backward()
    assert x.grad.numpy() == [6.0] and y.grad.numpy() == [1.0] and y.grad is before


def test_five_uses_of_one_value_give_no_other_gradient_a_changed_buffer():
    x = leaf([1.0])
    parts = [x + 0.0 for _ in range(5)]
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    found = grad(total, [x, *parts, total])
    assert [g.item() for g in found] == [5.0] + [1.0] * 6


def test_the_gradient_of_a_value_with_respect_to_itself_is_one():
    x = leaf([1.0])
    z = x * 2.0
    assert grad(x, x)[0].numpy() == [1.0] and grad(z, z)[0].numpy() == [1.0]
    x.backward()
    assert x.grad.numpy() == [1.0]
    assert [g.item() for g in grad(z, [x, z])] == [2.0, 1.0]


def test_intermediate_values_have_gradients_at_every_level():
    x = leaf(3.0)
    a = x * x
    b = a * a
    assert [g.item() for g in grad(b, [x, a, b])] == [4 * 27.0, 18.0, 1.0]


def test_an_input_may_be_asked_for_twice():
    x = leaf(3.0)
    assert [g.item() for g in grad(x * x, [x, x])] == [6.0, 6.0]


def test_grad_touches_no_grad_attribute():
    x = leaf(3.0)
    grad(x * x, x)
    assert x.grad is None


def test_several_outputs_add_up_each_with_its_own_weight():
    x = leaf([1.0, 2.0])
    a, b = x * 2.0, (x * x).sum()
    weight = Tensor([1.0, 10.0], dtype="float64")
    assert grad([a, b], x, [weight, None])[0].numpy().tolist() == [4.0, 24.0]
    c = (x * x).sum()
    assert grad([c, c], x)[0].numpy().tolist() == [4.0, 8.0]


def test_a_broadcast_operand_gets_its_sum_back_exactly_once():
    a, b = leaf(np.ones((2, 1))), leaf(np.ones((3,)))
    found = grad((a * b * 1.0).sum(), [a, b])
    assert found[0].numpy().tolist() == [[3.0], [3.0]] and found[1].numpy().tolist() == [2, 2, 2]


# Unused inputs.


def test_an_input_that_is_not_reached_raises_or_gives_none():
    x, y = leaf(1.0), leaf([1.0, 2.0])
    with pytest.raises(ValueError, match=r"inputs\[1\] \(2,\) float64; allow_unused"):
        grad(x * x, [x, y], retain_graph=True)
    found = grad(x * x, [x, y], allow_unused=True)
    assert found[0].item() == 2.0 and found[1] is None


def test_an_input_cut_off_by_detach_is_not_reached():
    x = leaf(2.0)
    assert grad(x * x.detach(), x)[0].item() == 2.0
    with pytest.raises(ValueError, match="no graph behind it"):
        grad(x.detach() * 2.0, x)


def test_an_input_that_requires_no_gradient_raises():
    x, y = leaf(1.0), Tensor(1.0, dtype="float64")
    with pytest.raises(ValueError, match=r"inputs\[0\].*requires_grad=True"):
        grad(x * y, y)


# Seeds.


def test_an_output_that_is_no_scalar_needs_grad_outputs():
    x = leaf([1.0, 2.0])
    with pytest.raises(ValueError, match=r"outputs\[0\] \(2,\) float64 is not a scalar"):
        grad(x * 2.0, x)
    with pytest.raises(ValueError, match="not a scalar"):
        (x * 2.0).backward()


@pytest.mark.parametrize("seed, error", [
    (Tensor([1.0]), ValueError), (Tensor([[1.0, 1.0]], dtype="float64"), ValueError),
    (Tensor([1.0, 1.0]), ValueError), (np.ones(2), TypeError), (1.0, TypeError),
    ([Tensor([1.0, 1.0], dtype="float64")] * 2, ValueError),
], ids=["size", "axes", "dtype", "array", "number", "two"])
def test_grad_outputs_must_fit_the_outputs(seed, error):
    x = leaf([1.0, 2.0])
    with pytest.raises(error, match="grad_outputs"):
        grad(x * 2.0, x, seed)


def test_a_gradient_is_linear_in_grad_outputs_and_differentiable_in_them():
    x, u = leaf([1.0, 2.0]), leaf([3.0, 5.0])
    first, = grad(x * x, x, u, create_graph=True)   # 2 x u
    assert first.numpy().tolist() == [6.0, 20.0]
    assert grad(first.sum(), u)[0].numpy().tolist() == [2.0, 4.0]


# What a vjp may not do.


def op_with(vjp_, **attributes):
    return type("Planted", (Op,), {
        "name": "planted", "forward": lambda self, x: x * 2, "vjp": vjp_, **attributes})()


@pytest.mark.parametrize("vjp, message", [
    (lambda self, g, x: g.data, "its vjp gave ndarray for input 0"),
    (lambda self, g, x: 2.0, "its vjp gave float for input 0"),
    (lambda self, g, x: None, "its vjp gave NoneType for input 0"),
    (lambda self, g, x: (), "its vjp gave 0 gradients for 1 operands"),
    (lambda self, g, x: g.astype("float32"), r"gave \(2,\) float32 for input 0, which is \(2,\)"),
    (lambda self, g, x: g[0:1].reshape(()), r"gave \(\) float64 for an input \(2,\)"),
], ids=["an array", "a number", "nothing", "too few", "another dtype", "another shape"])
def test_a_vjp_that_gives_something_else_than_a_fitting_tensor_raises(vjp, message):
    x = leaf([1.0, 2.0])
    with pytest.raises((TypeError, ValueError), match=f"op 'planted': .*{message}"):
        grad(op_with(vjp)(x).sum(), x)


def test_an_op_that_may_be_differentiated_only_once_raises_on_create_graph():
    x = leaf([1.0, 2.0])
    once = op_with(lambda self, g, x: Tensor(g.data * 2), twice=False)
    assert grad(once(x).sum(), x)[0].numpy().tolist() == [2.0, 2.0]
    with pytest.raises(RuntimeError, match="op 'planted' can be differentiated only once"):
        grad(op_with(lambda self, g, x: g, twice=False)(x).sum(), x, create_graph=True)


def test_an_op_that_may_be_differentiated_only_once_does_not_hurt_off_the_path():
    x, y = leaf(1.0), leaf(2.0)
    once = op_with(lambda self, g, x: g, twice=False)
    assert grad(x * x * once(y), x, create_graph=True)[0].item() == 8.0


def test_a_leaf_rebound_between_forward_and_backward_raises():
    x, w = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    z = (x * w).sum()
    w.data = w.data - 1.0
    with pytest.raises(RuntimeError, match=r"op 'mul': input 1 \(2,\) float64 has been given new"):
        grad(z, x)


def test_a_subclass_without_a_name_of_its_own_takes_nobodys_place():
    from minigen.autodiff.registry import OPS
    multiply = OPS["mul"]

    class Loud(multiply):
        pass
    assert OPS["mul"] is multiply and (leaf(2.0) * 3.0).node.__class__ is not Loud


# Modes.


def test_no_grad_records_nothing_and_nests():
    x = leaf(1.0)
    with no_grad():
        assert not (x * 2.0).requires_grad
        with no_grad():
            pass
        assert (x * 2.0).node is None
    assert (x * 2.0).requires_grad


def test_no_grad_is_a_decorator_that_may_recurse():
    x = leaf(1.0)

    @no_grad()
    def f(depth):
        if depth:
            assert not f(depth - 1).requires_grad
        return x * 2.0

    assert not f(3).requires_grad
    assert mode.recording and (x * 2.0).requires_grad


def test_no_grad_ends_with_an_exception():
    with pytest.raises(KeyError), no_grad():
        raise KeyError
    assert mode.recording


def test_a_walk_records_nothing_unless_asked_and_leaves_the_mode_alone():
    x = leaf(2.0)
    assert not grad(x * x, x)[0].requires_grad
    with no_grad():
        z = x * x
    with pytest.raises(ValueError, match="under no_grad"):
        grad(z, x)
    z = x * x
    with no_grad():
        first, = grad(z, x, create_graph=True)
        assert not mode.recording
    assert grad(first, x)[0].item() == 2.0


def test_an_error_in_a_vjp_leaves_the_mode_alone():
    x = leaf([1.0])

    def broken(self, g, x):
        raise KeyError("planted")
    with pytest.raises(KeyError):
        grad(op_with(broken)(x), x)
    assert mode.recording


def test_a_constant_costs_no_graph():
    x = Tensor([1.0])
    assert (x * 2.0 + x).node is None


def test_backward_with_create_graph_gives_gradients_that_differentiate():
    x = leaf(3.0)
    (x * x * x).backward(create_graph=True)
    assert grad(x.grad, x)[0].item() == 18.0
