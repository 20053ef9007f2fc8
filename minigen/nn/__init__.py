"""Networks: modules that own their parameters."""

from . import init
from .activations import GELU, LeakyReLU, ReLU, Sigmoid, SiLU, Softplus, Tanh
from .linear import Linear
from .module import Module, Sequential

__all__ = ["GELU", "LeakyReLU", "Linear", "Module", "ReLU", "Sequential", "SiLU", "Sigmoid",
           "Softplus", "Tanh", "init"]
