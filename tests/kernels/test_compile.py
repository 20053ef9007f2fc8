"""NVRTC compiles every kernel, with every set of options in use, for every architecture.

It also tells how many registers and how much shared memory a kernel takes. A kernel that spills
registers to memory is slow without being wrong; one that takes too many cannot be launched.
"""

import re

import numpy as np
import pytest

from minigen.kernels import cuda, launch
from minigen.kernels.launch import MAX_SHARED_BYTES, Kernel

from . import nvrtc
from .requirements import require
from .shim.cpu_module import kernel_names

REGISTERS = 65536                      # of a multiprocessor, on every architecture below
ARCHITECTURES = [                      # oldest and newest always, those between in the slow tests
    75, 120, *(pytest.param(number, marks=pytest.mark.slow) for number in (80, 86, 89, 90))]

CONV = [(tile, dtype) for tile in cuda.TILES for dtype in (np.float32, np.float64)
        if tile is cuda.SMALL or dtype is np.float32]
ADAIN = [(pack, real) for pack in (4, 1) for real in ("float", "double")]


@pytest.fixture
def architecture(request):
    require(nvrtc.load(), "compiling kernels needs NVRTC: pip install nvidia-cuda-nvrtc-cu12")
    require(request.param in nvrtc.architectures(),
            f"this NVRTC does not know the architecture sm_{request.param}")
    return request.param


def registers_of_block(usage, threads):
    """Registers are handed out to warps, 256 at a time."""
    return threads // 32 * -(-usage.registers * 32 // 256) * 256


@pytest.mark.parametrize("architecture", ARCHITECTURES, indirect=True)
@pytest.mark.parametrize("tile, dtype", CONV)
def test_conv_compiles_without_spills(tile, dtype, architecture):
    kernel = tile.kernel("conv_forward", dtype)
    compiled = nvrtc.compile_kernels(kernel.code, architecture, kernel.options)
    assert sorted(compiled) == sorted(kernel_names(kernel.code))
    for name, usage in compiled.items():
        threads = 256 if name == "sum_parts" else tile.threads
        blocks_at_once = 1 if name == "sum_parts" else 512 // threads    # MIN_BLOCKS in conv.cu
        print(f"sm_{architecture} {tile} {name}: {usage}")
        assert usage.spilled_bytes == 0, f"{name} spills registers"
        assert registers_of_block(usage, threads) * blocks_at_once <= REGISTERS, name
        assert usage.shared_bytes <= MAX_SHARED_BYTES, name


@pytest.mark.parametrize("architecture", ARCHITECTURES, indirect=True)
@pytest.mark.parametrize("pack, real", ADAIN)
def test_adain_compiles_without_spills(pack, real, architecture):
    kernel = Kernel("adain.cu", "adain_forward", Real=real, PACK=pack)
    compiled = nvrtc.compile_kernels(kernel.code, architecture, kernel.options)
    assert sorted(compiled) == sorted(kernel_names(kernel.code))
    for name, usage in compiled.items():
        print(f"sm_{architecture} pack {pack} {real} {name}: {usage}")
        assert usage.spilled_bytes == 0, f"{name} spills registers"
        assert registers_of_block(usage, 512) <= REGISTERS, name
        assert usage.shared_bytes + cuda.STAGE_BYTES <= MAX_SHARED_BYTES, name


def test_the_defaults_in_a_cu_file_compile_too():
    """Whoever gives a .cu file to a compiler or an editor without options gets a whole program."""
    require(nvrtc.load(), "compiling kernels needs NVRTC: pip install nvidia-cuda-nvrtc-cu12")
    for file in ("conv.cu", "adain.cu"):
        assert nvrtc.compile_kernels(launch.read_source(file), 80, ())


def test_shape_has_the_same_fields_in_python_and_in_cuda():
    code = launch.read_source("conv.cu")
    body = re.search(r"struct Shape \{(.*?)\};", code, re.S).group(1)
    lines = re.findall(r"^ +int (.*);", body, re.M)
    assert tuple(", ".join(lines).split(", ")) == cuda.SHAPE.names
    assert cuda.SHAPE.itemsize == 4 * len(cuda.SHAPE.names)


def test_sources_are_narrow_and_call_no_atomics():
    for file in ("conv.cu", "adain.cu"):
        code = launch.read_source(file)
        assert max(map(len, code.splitlines())) <= 100
        assert not re.search(r"atomic\w*\(", code)
