"""Arrays in, arrays out: the operations whose speed is worth a file of their own.

conv.py and adain.py are for NumPy; conv.cu and adain.cu, launched by cuda.py, are for CuPy; and
reference.py says the same in a few lines for any library. All have the same functions. blas.py and
planes.py serve both libraries. Nothing here knows of tensors or of gradients' gradients.
"""

from typing import Any

from ..backend import Array, name_of
from . import adain, blas, conv, cuda, planes, reference

__all__ = ["adain_for", "blas", "conv_for", "planes"]


def conv_for(array: Array) -> Any:
    """The module whose conv2d, conv2d_input_grad and conv2d_weight_grad take this array."""
    return {"numpy": conv, "cupy": cuda}.get(name_of(array), reference)


def adain_for(array: Array) -> Any:
    """The module whose adain and adain_backward take this array."""
    return {"numpy": adain, "cupy": cuda}.get(name_of(array), reference)
