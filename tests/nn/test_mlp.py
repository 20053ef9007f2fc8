"""MLP: where its activations stand, and what it refuses."""

import numpy as np
import pytest

import minigen as mg
from minigen import nn


def test_an_activation_stands_between_the_layers_and_nowhere_else():
    kinds = [type(layer) for layer in nn.MLP((5, 4, 3, 2), nn.Tanh).layers]
    assert kinds == [nn.Linear, nn.Tanh, nn.Linear, nn.Tanh, nn.Linear]


def test_it_takes_the_first_width_to_the_last():
    assert nn.MLP((5, 4, 2))(mg.randn(7, 5)).shape == (7, 2)


def test_two_widths_make_one_affine_map():
    f = nn.MLP((2, 3), generator=np.random.default_rng(0))
    a, b = mg.randn(4, 2), mg.randn(4, 2)
    middle = f(0.5 * (a + b)).numpy()
    np.testing.assert_allclose(middle, (f(a).numpy() + f(b).numpy()) / 2, rtol=1e-5, atol=1e-6)


def test_one_width_is_refused():
    with pytest.raises(ValueError, match="widths must have two numbers or more"):
        nn.MLP((5,))
