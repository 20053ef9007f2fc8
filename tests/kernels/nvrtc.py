"""NVRTC through ctypes: NVIDIA's run-time compiler, which needs neither a GPU nor a driver."""

import ctypes
import ctypes.util
import functools
import glob
import re
import sys
from typing import NamedTuple


class Usage(NamedTuple):
    """What one compiled kernel needs, as the assembler reports it."""

    registers: int                     # a thread
    spilled_bytes: int                 # a thread: registers that did not fit and went to memory
    shared_bytes: int                  # a block, static


def library_path() -> str | None:
    """Where libnvrtc is: in a pip package of NVIDIA's, else where the system's linker looks."""
    for folder in sys.path:
        for package in ("cuda_nvrtc", "cu13"):
            found = glob.glob(f"{folder}/nvidia/{package}/lib/libnvrtc.so.*[0-9]")
            if found:
                return min(found, key=len)
    return ctypes.util.find_library("nvrtc")


@functools.cache
def load() -> ctypes.CDLL | None:
    path = library_path()
    return ctypes.CDLL(path) if path else None


def architectures() -> list[int]:
    """The architectures that this NVRTC can compile for: [..., 75, 80, ...]."""
    nvrtc = load()
    assert nvrtc is not None
    count = ctypes.c_int()
    nvrtc.nvrtcGetNumSupportedArchs(ctypes.byref(count))
    numbers = (ctypes.c_int * count.value)()
    nvrtc.nvrtcGetSupportedArchs(numbers)
    return list(numbers)


def compile_kernels(code: str, architecture: int, options: tuple[str, ...]) -> dict[str, Usage]:
    """Compile CUDA C down to machine code; {kernel name: what it needs}. Raises on any message."""
    nvrtc = load()
    assert nvrtc is not None
    program = ctypes.c_void_p()
    nvrtc.nvrtcCreateProgram(ctypes.byref(program), code.encode(), b"kernel.cu", 0, None, None)
    words = [f"--gpu-architecture=sm_{architecture}", "--std=c++17", "--ptxas-options=-v", *options]
    status = nvrtc.nvrtcCompileProgram(
        program, len(words), (ctypes.c_char_p * len(words))(*map(str.encode, words)))
    size = ctypes.c_size_t()
    nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size))
    log = ctypes.create_string_buffer(size.value)
    nvrtc.nvrtcGetProgramLog(program, log)
    nvrtc.nvrtcDestroyProgram(ctypes.byref(program))
    text = log.value.decode()
    if status or "warning" in text:
        raise RuntimeError(f"NVRTC: sm_{architecture} {' '.join(options)}\n{text[:4000]}")
    return read_usage(text)


def read_usage(log: str) -> dict[str, Usage]:
    """Find in the assembler's report, a paragraph a kernel, the numbers of Usage."""
    usage = {}
    for paragraph in log.split("Compiling entry function '")[1:]:
        def number(pattern: str, default: str | None = None) -> int:
            match = re.search(pattern, paragraph)
            return int(match.group(1) if match else default)    # type: ignore[arg-type]

        name = paragraph.split("'")[0]
        usage[name] = Usage(
            registers=number(r"Used (\d+) registers"),
            spilled_bytes=number(r"(\d+) bytes spill stores") + number(r"(\d+) bytes spill loads")
            + number(r"(\d+) bytes stack frame"),
            shared_bytes=number(r"(\d+) bytes smem", "0"))
    return usage
