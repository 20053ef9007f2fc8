"""minigen: generative models from nothing, on an autodiff engine small enough to read."""

from . import data, densities, divergences, losses, nn, ops, optim, training
from .autodiff.draw import draw
from .autodiff.gradcheck import GradcheckError, gradcheck
from .autodiff.graph import grad, no_grad
from .autodiff.tensor import Tensor
from .backend import BackendError, manual_seed, use
from .create import ones, rand, randn, zeros

__version__ = "0.1.0"

__all__ = [
    "BackendError", "GradcheckError", "Tensor", "data", "densities", "divergences", "draw", "grad",
    "gradcheck", "losses", "manual_seed", "nn", "no_grad", "ones", "ops", "optim", "rand", "randn",
    "training", "use", "zeros",
]
