"""The same numbers on another backend: every op to the second order, and training steps.

"strict" stands in for CuPy on any machine; "cupy" runs where there is a device.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigen import Tensor, grad, losses, manual_seed, nn, ops, optim, use
from minigen.autodiff.graph import no_grad

from ..ops.cases import CASES, value_and_gradients
from . import strict


@pytest.fixture(params=["strict", pytest.param("cupy", marks=pytest.mark.gpu)])
def other(request):
    return strict.install() if request.param == "strict" else request.param


@pytest.mark.parametrize("case", CASES, ids=repr)
@pytest.mark.parametrize("dtype, rtol", [("float64", 1e-12), ("float32", 2e-5)])
@given(data=st.data())
def test_every_op_gives_numpys_value_and_gradients_without_a_host_sync(
    other, case, dtype, rtol, data
):
    sample = case.draw(data)
    use("numpy")
    wanted = value_and_gradients(case, sample, dtype)
    use(other)
    with strict.no_sync():
        found = value_and_gradients(case, sample, dtype)
    for got, want in zip(found, wanted):
        assert (got is None) == (want is None)
        if got is not None:
            assert got.backend == other and got.dtype == want.dtype == dtype
            got, want = got.numpy(), want.numpy()
            assert got.shape == want.shape
            assert np.abs(got - want).max(initial=0) <= rtol * (1 + np.abs(want).max(initial=0))


def train(name, make, loss, target):
    """The losses of three steps of a small MLP on a backend, and its parameters after them."""
    use(name)
    manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 8), nn.SiLU(), nn.Linear(8, 8), nn.LeakyReLU(),
                          nn.Linear(8, 4))
    optimiser = make(model.parameters())
    x = Tensor(np.random.default_rng(0).standard_normal((5, 3)), dtype="float32")
    target = Tensor(target)
    seen = []
    with strict.no_sync():
        for _ in range(3):
            optimiser.zero_grad()
            value = loss(model(x), target)
            value.backward()
            optimiser.step()
            seen.append(value)
    return [value.item() for value in seen], model.state_dict()


OPTIMISERS = {
    "SGD": lambda params: optim.SGD(params, 0.1),
    "momentum": lambda params: optim.SGD(params, 0.1, momentum=0.9),
    "RMSprop": lambda params: optim.RMSprop(params, 0.01),
    "Adam": lambda params: optim.Adam(params, 0.01),
}
ROWS = np.random.default_rng(1).random((5, 4)).astype("float32")
LOSSES = {
    "mse": (losses.mse, ROWS),
    "bce": (lambda x, t: losses.bce(ops.sigmoid(x), t), ROWS),
    "bce_with_logits": (losses.bce_with_logits, ROWS),
    "cross_entropy": (losses.cross_entropy, np.array([0, 3, 1, 1, 2])),
}


@pytest.mark.parametrize("optimiser, loss", [(o, "mse") for o in OPTIMISERS]
                         + [("Adam", loss) for loss in list(LOSSES)[1:]])
def test_training_takes_the_same_steps_without_a_host_sync(other, optimiser, loss):
    want_losses, want_state = train("numpy", OPTIMISERS[optimiser], *LOSSES[loss])
    got_losses, got_state = train(other, OPTIMISERS[optimiser], *LOSSES[loss])
    assert want_losses[2] < want_losses[0]
    np.testing.assert_allclose(got_losses, want_losses, rtol=1e-5)
    for name, want in want_state.items():
        np.testing.assert_allclose(got_state[name], want, rtol=1e-4, atol=1e-6)


def test_a_gradient_penalty_takes_the_same_step(other):
    def penalty(name):
        use(name)
        manual_seed(0)
        critic = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1))
        x = Tensor(np.random.default_rng(0).standard_normal((6, 2)), True, "float32")
        with strict.no_sync():
            slope, = grad(critic(x).sum(), x, create_graph=True)
            norm = ops.safe_sqrt((slope * slope).sum(1))
            losses.mse(norm, norm.ones_like()).backward()
        return [None if p.grad is None else p.grad.numpy() for p in critic.parameters()]

    for got, want in zip(penalty(other), penalty("numpy")):
        assert (got is None) == (want is None)
        if want is not None:
            np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-7)


def test_operands_of_two_backends_raise_naming_the_op(other):
    here = Tensor([1.0])
    use(other)
    there = Tensor([1.0])
    with pytest.raises(TypeError, match="op 'add': operands live on different backends"):
        here + there
    with pytest.raises(TypeError, match="op 'mul': operands live on different backends"):
        there * np.ones(1, "float32")


def test_a_tensor_moves_there_and_back(other):
    x = Tensor([1.0, 2.0], requires_grad=True)
    there = x.to(other)
    assert there.backend == other and there.requires_grad and there.to(other) is there
    assert there.to("numpy").backend == "numpy" and there.numpy().tolist() == [1.0, 2.0]
    assert (there * 2.0).backend == other
    assert f"backend={other}" in repr(there)
    use(other)
    assert Tensor(x).backend == other and Tensor([1.0]).backend == other
    use("numpy")
    assert Tensor(there).backend == other


def test_one_seed_draws_the_same_numbers_on_both(other):
    from minigen import rand, randn
    drawn = []
    for name in ("numpy", other):
        use(name)
        manual_seed(7)
        drawn.append([randn(3).numpy(), rand(3).numpy(), nn.Linear(2, 2).weight.numpy()])
    for got, want in zip(*drawn):
        assert (got == want).all()


def test_indices_and_conditions_may_be_written_as_python_lists_or_comparisons(other):
    use(other)
    with no_grad(), strict.no_sync():
        x = Tensor([[1.0, -2.0], [3.0, 4.0]])
        picked, chosen = x[[1, 0]], ops.where(x > 0, x, 0.0)
    assert picked.numpy().tolist() == [[3.0, 4.0], [1.0, -2.0]]
    assert chosen.numpy().tolist() == [[1.0, 0.0], [3.0, 4.0]]
