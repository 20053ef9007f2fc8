"""Optimisers: their first steps by hand, PyTorch's agreement, and what they leave alone."""

import numpy as np
import pytest

from minigen import Tensor, grad, losses, nn, optim

MAKERS = {
    "SGD": lambda params: optim.SGD(params, lr=0.1),
    "momentum": lambda params: optim.SGD(params, lr=0.1, momentum=0.9),
    "RMSprop": lambda params: optim.RMSprop(params, lr=0.1),
    "Adam": lambda params: optim.Adam(params, lr=0.1),
}
every_optimiser = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)


def leaf(value, dtype="float64"):
    return Tensor(value, requires_grad=True, dtype=dtype)


def give(tensor, gradient):
    tensor.grad = Tensor(np.array(gradient, dtype=tensor.dtype))


def test_a_step_of_descent_is_minus_lr_times_the_gradient():
    w = leaf([1.0, 2.0])
    give(w, [10.0, -10.0])
    optim.SGD([w], lr=0.1).step()
    assert w.numpy().tolist() == [0.0, 3.0]


def test_momentum_adds_up_past_gradients():
    w = leaf([0.0])
    optimiser = optim.SGD([w], lr=1.0, momentum=0.5)
    for expected in (-1.0, -2.5, -4.25):
        give(w, [1.0])
        optimiser.step()
        assert w.numpy().tolist() == [expected]


@pytest.mark.parametrize("size", [1e-3, 1.0, 1e3])
def test_adams_first_step_is_lr_times_the_sign_of_the_gradient(size):
    w = leaf([0.0, 0.0])
    give(w, [size, -size])
    optim.Adam([w], lr=0.1).step()
    np.testing.assert_allclose(w.numpy(), [-0.1, 0.1], rtol=1e-4)


@every_optimiser
def test_float32_parameters_stay_float32(make):
    w = leaf([1.0, 2.0], "float32")
    give(w, [1.0, 1.0])
    make([w]).step()
    assert w.dtype == np.float32


@every_optimiser
def test_a_parabola_is_descended(make):
    w = leaf([3.0, -2.0])
    optimiser = make([w])
    for _ in range(200):
        optimiser.zero_grad()
        (w * w).sum().backward()
        optimiser.step()
    assert np.abs(w.numpy()).max() < 0.2


@every_optimiser
def test_a_graph_made_before_a_step_raises_or_sees_the_old_numbers(make):
    x, w = leaf([[1.0, 2.0]]), leaf(np.eye(2))
    optimiser = make([w])
    direct, through_a_view = (x @ w).sum(), (x @ w.T).sum()
    give(w, np.ones((2, 2)))
    optimiser.step()
    with pytest.raises(RuntimeError, match="op 'matmul': input 1 .* new data"):
        grad(direct, x)
    assert grad(through_a_view, x)[0].numpy().tolist() == [[1.0, 1.0]]


@every_optimiser
def test_a_detached_parameter_and_a_state_dict_keep_the_numbers_of_their_moment(make):
    layer = nn.Linear(2, 2)
    optimiser = make(layer.parameters())
    before, state = layer.weight.detach(), layer.state_dict()
    copy = before.numpy()
    for p in layer.parameters():
        give(p, np.ones(p.shape))
    optimiser.step()
    assert (before.numpy() == copy).all() and (state["weight"] == copy).all()
    assert (layer.weight.numpy() != copy).all()


@every_optimiser
def test_a_gradient_is_not_changed_by_a_step(make):
    w = leaf([1.0, 2.0])
    give(w, [3.0, 4.0])
    make([w]).step()
    assert w.grad.numpy().tolist() == [3.0, 4.0]


@every_optimiser
def test_a_state_loaded_between_steps_counts(make):
    layer = nn.Linear(2, 1)
    optimiser = make(layer.parameters())
    layer.load_state_dict({"weight": np.full((1, 2), 7.0), "bias": np.zeros(1)})
    for p in layer.parameters():
        give(p, np.zeros(p.shape))
    optimiser.step()
    assert layer.weight.numpy().tolist() == [[7.0, 7.0]]


@every_optimiser
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_an_optimiser_goes_on_from_the_state_of_another_to_the_bit(make, dtype):
    one, other = leaf([3.0, -2.0], dtype), leaf([3.0, -2.0], dtype)
    first, second = make([one]), make([other])
    for i in range(6):
        if i == 3:
            first.lr = 0.05
            state = first.state_dict()
            second.load_state_dict(state)
            other.data = one.data.copy()
        give(one, [1.0 + i, -2.0])
        first.step()
        if i >= 3:
            give(other, [1.0 + i, -2.0])
            second.step()
    assert one.numpy().tobytes() == other.numpy().tobytes()
    assert second.lr == 0.05
    third = make([leaf([0.0, 0.0], dtype)])
    third.load_state_dict(state)  # still that of its moment, though two have stepped on from it
    assert {k: v.tolist() for k, v in third.state_dict().items()} == {
        k: v.tolist() for k, v in state.items()}
    assert all((state[k] != first.state_dict()[k]).any() for k in state if k != "lr")


def test_the_state_of_another_optimiser_is_refused():
    momentum, adam = optim.SGD([leaf([1.0])], 0.1), optim.Adam([leaf([1.0])], 0.1)
    for own, given in [(momentum, adam), (adam, momentum), (adam, optim.Adam([leaf([1.0, 2.0])]))]:
        before = own.state_dict()
        with pytest.raises(ValueError, match=f"load_state_dict: {type(own).__name__} has .* got"):
            own.load_state_dict(given.state_dict())
        assert own.state_dict() == before


def test_two_optimisers_may_share_a_parameter():
    w, v = leaf([1.0]), leaf([1.0])
    one, other = optim.SGD([w, v], lr=1.0), optim.SGD([w], lr=10.0)
    for optimiser, expected in [(one, 0.0), (other, -10.0), (one, -11.0)]:
        give(w, [1.0])
        give(v, [0.0])
        optimiser.step()
        assert w.numpy().tolist() == [expected] and v.numpy().tolist() == [1.0]


def test_parameters_of_every_shape_lie_in_one_buffer():
    shapes = [(), (3,), (2, 0), (2, 3), (1, 1, 2)]
    params = [leaf(np.full(shape, float(i))) for i, shape in enumerate(shapes)]
    optimiser = optim.SGD(params, lr=1.0)
    for i, p in enumerate(params):
        give(p, np.full(p.shape, 10.0 * i))
    optimiser.step()
    for i, (p, shape) in enumerate(zip(params, shapes)):
        assert p.shape == shape and (p.numpy() == -9.0 * i).all()


def test_a_parameter_without_gradient_is_named():
    w, v = leaf([1.0]), leaf([1.0, 2.0])
    give(w, [1.0])
    with pytest.raises(RuntimeError, match=r"SGD.step: parameter 1 \(2,\) float64 has no gradient"):
        optim.SGD([w, v], lr=0.1).step()


def test_after_zero_grad_nothing_is_left_to_add_to():
    w = leaf([2.0])
    optimiser = optim.SGD([w], lr=0.1)
    for _ in range(2):
        optimiser.zero_grad()
        (w * w).sum().backward()
        assert w.grad.numpy().tolist() == [4.0]


@pytest.mark.parametrize("params", [
    [], [Tensor([1.0])], [leaf([1.0]) * 2.0], [np.ones(2)], [leaf([1.0])] * 2,
    [leaf([1.0]), leaf([1.0], "float32")],
], ids=["none", "constant", "made by an op", "an array", "twice", "two dtypes"])
def test_what_cannot_be_trained_is_refused(params):
    with pytest.raises(ValueError, match="SGD"):
        optim.SGD(params, lr=0.1)


@pytest.mark.parametrize("name", MAKERS)
def test_ten_steps_agree_with_pytorch(name):
    torch = pytest.importorskip("torch")
    theirs = {
        "SGD": lambda params: torch.optim.SGD(params, lr=0.1),
        "momentum": lambda params: torch.optim.SGD(params, lr=0.1, momentum=0.9),
        "RMSprop": lambda params: torch.optim.RMSprop(params, lr=0.1),
        "Adam": lambda params: torch.optim.Adam(params, lr=0.1),
    }[name]
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((8, 3)), rng.standard_normal((8, 2))
    start = [rng.standard_normal((2, 3)), rng.standard_normal(2)]
    w, b = ours = [leaf(value) for value in start]
    w_, b_ = others = [torch.tensor(value, requires_grad=True) for value in start]
    optimiser, other = MAKERS[name](ours), theirs(others)
    for _ in range(10):
        optimiser.zero_grad()
        losses.mse(Tensor(x) @ w.T + b, Tensor(y)).backward()
        optimiser.step()
        other.zero_grad()
        torch.nn.functional.mse_loss(torch.tensor(x) @ w_.T + b_, torch.tensor(y)).backward()
        other.step()
    for p, q in zip(ours, others):
        np.testing.assert_allclose(p.numpy(), q.detach().numpy(), rtol=1e-9)
