"""Which ops are timed, at which shapes, and how much work each of them cannot avoid.

A case gives the shapes of its operands and says the op twice, for minigen and for PyTorch. What it
costs is counted in one of two units, depending on what limits it:

    FLOP    convolutions and matrix products: a multiplication and an addition are two, and the
            gradient with respect to one operand costs as much as the forward pass
    bytes   everything else: each operand read once and each result written once; so a copy of
            the data on the way shows as a lower rate
"""

from math import prod
from typing import Any, Callable, NamedTuple

from devices import CPU, GPU, Device, torch

from minigen import ops

Shape = tuple[int, ...]
F: Any = torch and torch.nn.functional


class Case(NamedTuple):
    """One op at one size. `passes`: name -> the operands whose gradient it takes (forward: none).

    flop: of the forward pass; 0 where bytes are counted. channels_last: the memory layout in which
    minigen's NumPy convolutions leave their results, and so what the next op finds in a network.
    """

    name: str
    shapes: list[Shape]
    minigen: Callable[..., Any]
    torch: Callable[..., Any]
    passes: dict[str, tuple[int, ...]]
    flop: int = 0
    channels_last: bool = False
    devices: tuple[Device, ...] = (CPU, GPU)

    @property
    def label(self) -> str:
        return f"{self.name}, channels last" if self.channels_last else self.name

    @property
    def unit(self) -> str:
        return "GFLOP/s" if self.flop else "GB/s"


def convolution(x: Shape, w: Shape, stride: int = 1, padding: int = 1, **options: Any) -> Case:
    """x (N,C,H,W), w (K,C,R,S): an output costs C R S products."""
    P, Q = ((n + 2 * padding - k) // stride + 1 for n, k in zip(x[2:], w[2:]))
    return Case(
        f"conv2d {words(x)}, {w[2]}x{w[3]} -> {w[0]}{slower(stride)}", [x, w],
        lambda x, w: ops.conv2d(x, w, stride=stride, padding=padding),
        lambda x, w: F.conv2d(x, w, stride=stride, padding=padding),
        {"forward": (), "gradient of x": (0,), "gradient of w": (1,)},
        flop=2 * x[0] * P * Q * prod(w), **options)


def transposed(x: Shape, w: Shape, stride: int = 1, padding: int = 1) -> Case:
    """x (N,K,P,Q), w (K,C,R,S): every pixel of x paints C R S products."""
    return Case(
        f"conv_transpose2d {words(x)}, {w[2]}x{w[3]} -> {w[1]}{slower(stride)}", [x, w],
        lambda x, w: ops.conv_transpose2d(x, w, stride=stride, padding=padding),
        lambda x, w: F.conv_transpose2d(x, w, stride=stride, padding=padding),
        {"forward": (), "gradient of x": (0,), "gradient of w": (1,)},
        flop=2 * x[0] * x[2] * x[3] * prod(w))


def product(n: int, k: int, m: int) -> Case:
    """(n, k) @ (k, m)."""
    return Case(f"matmul ({n},{k}) @ ({k},{m})", [(n, k), (k, m)],
                lambda a, b: a @ b, lambda a, b: a @ b,
                {"forward": (), "backward": (0, 1)}, flop=2 * n * k * m)


def adain(*x: int, **options: Any) -> Case:
    """x (N,C,H,W) with a scale and a shift for each plane."""
    return Case(f"adain {words(x)}", [x, x[:2], x[:2]], ops.adain, adain_torch,
                {"forward": (), "backward": (0, 1, 2)}, **options)


def adain_torch(x: Any, scale: Any, shift: Any) -> Any:
    return F.instance_norm(x) * scale[:, :, None, None] + shift[:, :, None, None]


def batch_norm(*x: int, **options: Any) -> Case:
    """x (N,C,H,W), normalised over the batch, with a scale and a shift for each channel."""
    return Case(f"batch_norm {words(x)}", [x, x[1:2], x[1:2]], ops.batch_norm,
                lambda x, scale, shift: F.batch_norm(x, None, None, scale, shift, training=True),
                {"forward": (), "backward": (0, 1, 2)}, **options)


def of_one(name: str, minigen: Callable[..., Any], peer: Callable[..., Any], *x: int) -> Case:
    """A function of one array."""
    return Case(f"{name} {words(x)}", [x], minigen, peer, {"forward": (), "backward": (0,)})


def words(shape: Shape) -> str:
    """(64, 1, 28, 28) -> "(64,1,28,28)"."""
    return f"({','.join(map(str, shape))})"


def slower(stride: int) -> str:
    return "" if stride == 1 else f", stride {stride}"


def all_cases() -> list[Case]:
    """The lessons' shapes, and some larger ones. (A function: PyTorch's names may be missing.)"""
    return [
        convolution((64, 1, 28, 28), (16, 1, 4, 4), stride=2),
        convolution((64, 16, 14, 14), (32, 16, 4, 4), stride=2),
        convolution((64, 64, 14, 14), (128, 64, 4, 4), stride=2),
        convolution((64, 64, 14, 14), (128, 64, 4, 4), stride=2, channels_last=True,
                    devices=(CPU,)),
        convolution((64, 32, 28, 28), (32, 32, 3, 3)),
        convolution((4, 64, 56, 56), (64, 64, 3, 3), devices=(CPU,)),
        convolution((64, 64, 56, 56), (64, 64, 3, 3), devices=(GPU,)),
        transposed((64, 32, 7, 7), (32, 16, 4, 4), stride=2),
        transposed((64, 16, 14, 14), (16, 1, 4, 4), stride=2),
        transposed((64, 128, 7, 7), (128, 64, 4, 4), stride=2),
        adain(32, 64, 8, 8),
        adain(32, 64, 32, 32),
        adain(32, 64, 32, 32, channels_last=True, devices=(CPU,)),
        adain(8, 64, 64, 64),
        adain(8, 16, 128, 128),
        batch_norm(64, 128, 7, 7),
        batch_norm(64, 64, 14, 14),
        batch_norm(64, 64, 14, 14, channels_last=True, devices=(CPU,)),
        product(256, 128, 128),
        product(64, 1568, 512),
        product(1024, 1024, 1024),
        of_one("silu", ops.silu, F and F.silu, 256, 128),
        of_one("silu", ops.silu, F and F.silu, 1024, 1024),
        of_one("leaky_relu", ops.leaky_relu, F and F.leaky_relu, 1024, 1024),
        of_one("exp", ops.exp, torch and torch.exp, 1024, 1024),
        of_one("softplus", ops.softplus, F and F.softplus, 1024, 1024),
        of_one("softmax", ops.softmax, lambda x: x.softmax(-1), 4096, 256),
    ]
