"""The average of weights: what it follows, what it copies, and that it goes on from a state."""

import numpy as np
import pytest

import minigen as mg
from minigen import nn
from minigen.ema import EMA


def test_the_average_follows_the_weights():
    net = nn.Linear(2, 1, generator=np.random.default_rng(0))
    start = net.weight.numpy()
    ema = EMA(net, decay=0.3)
    net.weight.data = net.weight.data + 1.0
    ema.update()  # (1 + 1)/(10 + 1) of the old
    np.testing.assert_allclose(ema.model.weight.numpy(), start + 9 / 11, rtol=1e-6)
    for _ in range(10):
        ema.update()
    before = ema.model.weight.numpy()
    net.weight.data = net.weight.data + 1.0
    ema.update()  # the warm-up is over: decay
    np.testing.assert_allclose(ema.model.weight.numpy(), 0.3 * before + 0.7 * (start + 2),
                               rtol=1e-6)
    np.testing.assert_allclose(net.weight.numpy(), start + 2, rtol=1e-6)
    assert ema.model.weight.dtype == np.float32


def test_the_average_has_the_models_buffers_and_evaluates():
    norm = nn.BatchNorm2d(2)
    ema = EMA(norm)
    norm(mg.randn(4, 2, 3, 3, generator=np.random.default_rng(0)))
    ema.update()
    np.testing.assert_array_equal(ema.model.running_mean.numpy(), norm.running_mean.numpy())
    assert norm.training and not ema.model.training


def test_an_average_goes_on_from_its_state():
    net = nn.Linear(2, 1)
    first = EMA(net, 0.9)
    for _ in range(3):
        for p in net.parameters():
            p.data = p.data + 0.1
        first.update()
    second = EMA(net, 0.9)
    second.load_state_dict(first.state_dict())
    for p in net.parameters():
        p.data = p.data + 0.1
    first.update()
    second.update()
    for name, value in first.state_dict().items():
        np.testing.assert_array_equal(second.state_dict()[name], value)


def test_a_decay_that_forgets_nothing_is_refused():
    with pytest.raises(ValueError, match="decay"):
        EMA(nn.Linear(2, 1), 1.0)
