"""Networks: modules that own their parameters."""

from . import init
from .activations import GELU, LeakyReLU, ReLU, Sigmoid, SiLU, Softplus, Tanh
from .conv import Conv2d, ConvTranspose2d
from .linear import Linear
from .mlp import MLP
from .module import Module, Sequential
from .norm import AdaIN, BatchNorm2d, InstanceNorm2d, LayerNorm
from .resize import AvgPool2d, Flatten, MaxPool2d, Upsample

__all__ = [
    "AdaIN", "AvgPool2d", "BatchNorm2d", "Conv2d", "ConvTranspose2d", "Flatten", "GELU",
    "InstanceNorm2d", "LayerNorm", "LeakyReLU", "Linear", "MLP", "MaxPool2d", "Module", "ReLU",
    "Sequential", "SiLU", "Sigmoid", "Softplus", "Tanh", "Upsample", "init",
]
