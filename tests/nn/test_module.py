"""Module: what it finds inside itself, its state, and how layers start."""

import math

import numpy as np
import pytest

from minigen import Tensor, manual_seed, nn, ops


class Two(nn.Module):
    """A layer, a list of layers, a parameter of its own, a list of parameters, a buffer."""

    def __init__(self):
        self.first = nn.Linear(2, 3)
        self.rest = [nn.Linear(3, 3, bias=False), nn.ReLU()]
        self.scale = Tensor(np.ones(3), requires_grad=True, dtype="float32")
        self.levels = [Tensor([1.0], requires_grad=True), Tensor([2.0], requires_grad=True)]
        self.mean = Tensor(np.zeros(3), dtype="float32")

    def forward(self, x):
        x = self.first(x)
        for layer in self.rest:
            x = layer(x)
        return (x - self.mean) * self.scale * self.levels[0] * self.levels[1]


PARAMETERS = {"scale", "levels.0", "levels.1", "first.weight", "first.bias", "rest.0.weight"}


def test_parameters_are_the_tensors_that_require_a_gradient_with_dotted_names():
    names = [name for name, _ in Two().named_parameters()]
    assert set(names) == PARAMETERS and len(names) == len(PARAMETERS)
    assert len(Two().parameters()) == len(PARAMETERS)


def test_every_parameter_gets_a_gradient():
    model = Two()
    model(Tensor(np.ones((4, 2)), dtype="float32")).sum().backward()
    assert all(p.grad is not None and p.grad.shape == p.shape for p in model.parameters())


def test_the_state_dict_holds_parameters_and_buffers_as_copies():
    model = Two()
    state = model.state_dict()
    assert set(state) == PARAMETERS | {"mean"}
    state["scale"][:] = 5.0
    assert model.scale.numpy().tolist() == [1.0, 1.0, 1.0]


def test_a_loaded_state_gives_the_same_outputs():
    manual_seed(1)
    one = Two()
    manual_seed(2)
    other = Two()
    x = Tensor(np.random.default_rng(0).standard_normal((4, 2)), dtype="float32")
    assert (one(x).numpy() != other(x).numpy()).any()
    other.load_state_dict(one.state_dict())
    assert (one(x).numpy() == other(x).numpy()).all()


def test_a_loaded_state_is_a_copy_and_keeps_the_dtype():
    model = nn.Linear(1, 1)
    weight = np.ones((1, 1))
    model.load_state_dict({"weight": weight, "bias": np.zeros(1)})
    weight[:] = 7.0
    assert model.weight.item() == 1.0 and model.weight.dtype == np.float32


@pytest.mark.parametrize("change, message", [
    (lambda s: s.pop("bias"), r"missing \['bias'\], unexpected \[\]"),
    (lambda s: s.update(extra=np.ones(1)), r"unexpected \['extra'\]"),
    (lambda s: s.update(weight=np.ones((2, 3))), r"weight has shape \(2, 3\), expected \(3, 2\)"),
], ids=["missing", "unexpected", "shape"])
def test_a_state_that_does_not_fit_raises_and_changes_nothing(change, message):
    model = nn.Linear(2, 3)
    before = model.state_dict()
    state = {name: np.zeros_like(value) for name, value in before.items()}
    change(state)
    with pytest.raises(ValueError, match=message):
        model.load_state_dict(state)
    assert all((model.state_dict()[name] == value).all() for name, value in before.items())


def test_a_shared_layer_is_one_parameter_under_its_first_name():
    layer = nn.Linear(2, 2, bias=False)
    model = nn.Sequential(layer, nn.Tanh(), layer)
    assert [name for name, _ in model.named_parameters()] == ["0.weight"]
    assert set(model.state_dict()) == {"0.weight", "2.weight"}


def test_train_and_eval_reach_every_module():
    model = Two()
    assert all(module.training for module in model.modules())
    assert model.eval() is model
    assert not any(module.training for module in model.modules())
    model.train()
    assert all(module.training for module in model.modules())


def test_sequential_applies_its_layers_in_order():
    x = Tensor([[1.0, -2.0]])
    layer = nn.Linear(2, 3)
    got = nn.Sequential(layer, nn.ReLU(), nn.Tanh())(x)
    assert (got.numpy() == ops.tanh(ops.relu(layer(x))).numpy()).all()


def test_a_module_without_forward_says_so():
    class Empty(nn.Module):
        pass
    with pytest.raises(NotImplementedError, match="Empty"):
        Empty()(1)


def test_linear_is_x_times_the_weight_transposed_plus_the_bias():
    layer = nn.Linear(3, 2)
    x = Tensor(np.random.default_rng(0).standard_normal((4, 3)), dtype="float32")
    want = x.numpy() @ layer.weight.numpy().T + layer.bias.numpy()
    np.testing.assert_allclose(layer(x).numpy(), want, rtol=1e-6)


def test_linear_starts_uniform_within_one_over_the_root_of_its_inputs():
    layer = nn.Linear(100, 400)
    for p in (layer.weight, layer.bias):
        values = p.numpy()
        assert p.dtype == np.float32 and np.abs(values).max() <= 0.1
        assert np.abs(values).max() > 0.099 and abs(values.mean()) < 0.02
    assert layer.weight.numpy().std() == pytest.approx(0.1 / math.sqrt(3), rel=0.02)


def test_one_seed_gives_one_start():
    one = nn.Linear(2, 2, generator=np.random.default_rng(3)).weight.numpy()
    assert (nn.Linear(2, 2, generator=np.random.default_rng(3)).weight.numpy() == one).all()
    manual_seed(5)
    one = nn.Linear(2, 2).weight.numpy()
    assert (nn.Linear(2, 2).weight.numpy() != one).any()
    manual_seed(5)
    assert (nn.Linear(2, 2).weight.numpy() == one).all()


def test_initialisers_have_the_variance_of_their_paper():
    shape = (300, 50, 3, 3)  # fan_in 450, fan_out 2700
    assert nn.init.kaiming_normal(shape).numpy().var() == pytest.approx(2 / 450, rel=0.02)
    assert nn.init.xavier_uniform(shape).numpy().var() == pytest.approx(2 / 3150, rel=0.02)
    assert nn.init.normal(shape, 0.1).numpy().std() == pytest.approx(0.1, rel=0.02)
    assert (nn.init.constant((2,), 3.0).numpy() == 3).all()
    with pytest.raises(ValueError, match="init"):
        nn.init.kaiming_normal((3,))


@pytest.mark.parametrize("layer, op", [
    (nn.ReLU(), ops.relu), (nn.Tanh(), ops.tanh), (nn.Sigmoid(), ops.sigmoid),
    (nn.Softplus(), ops.softplus), (nn.SiLU(), ops.silu), (nn.GELU(), ops.gelu),
    (nn.LeakyReLU(0.3), lambda x: ops.leaky_relu(x, 0.3)),
], ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "")
def test_an_activation_layer_is_the_op_of_its_name(layer, op):
    x = Tensor([-2.0, -0.5, 0.0, 0.5, 2.0])
    assert (layer(x).numpy() == op(x).numpy()).all() and layer.parameters() == []
