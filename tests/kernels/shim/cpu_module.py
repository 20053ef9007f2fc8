"""CpuModule: the interface of cupy.RawModule, over NumPy arrays, kernels running on the CPU.

    module = CpuModule(code, ("-DReal=float",))
    module.get_function("name")(grid, block, (x, y, np.int32(3)), shared_mem=0)

cuda_cpu.h says how threads, barriers and shuffles are imitated. On top of it, every launch

  * copies each array between two pages that may not be touched, against the one after it or the
    one before it, and looks for writes into the rest of the page;
  * fills the arrays that the kernel may write with NaN: a kernel here writes all of its output,
    and reads none of it;
  * may isolate the blocks: each sees the memory as it was before the launch, and no two of them
    may write the same element. On a GPU they run at the same time.
"""

import ctypes
import dataclasses
import hashlib
import mmap
import os
import pathlib
import re
import shutil
import subprocess
import tempfile

import numpy as np

HEADER = pathlib.Path(__file__).with_name("cuda_cpu.h")
CACHE = pathlib.Path(tempfile.gettempdir()) / f"minigen-kernels-{os.getuid()}"
GXX = shutil.which("g++")
FLAGS = ["-std=c++17", "-O1", "-fPIC", "-shared", "-w", "-fvisibility=hidden",
         "-fno-strict-aliasing", "-U_FORTIFY_SOURCE",
         "-fsanitize=bounds", "-fsanitize-undefined-trap-on-error"]

ORDERS = {"in turn": 0, "reversed": 1, "random": 2}
ERRORS = {1: "touched memory outside every array",
          2: "__syncthreads was not reached by all threads of the block",
          3: "deadlock: threads wait at a shuffle that others never reach",
          4: "a shuffle's mask names a lane that is not there, or not the caller",
          5: "an index is outside its array in shared memory or registers"}


class KernelError(RuntimeError):
    """A kernel did what no kernel may do."""


@dataclasses.dataclass(frozen=True)
class Schedule:
    """How to run kernels: one of ORDERS, on which side of an array the guard page lies."""

    order: str = "in turn"
    guard: str = "after"
    isolated: bool = False
    seed: int = 1

    def compile(self, code: str, options: tuple[str, ...]) -> "CpuModule":
        """A module whose kernels run in this way; fits `minigen.kernels.launch.compile_module`."""
        return CpuModule(code, options, self)


# ---- building ----------------------------------------------------------------------------------


def kernel_names(code: str) -> list[str]:
    """The names of the extern "C" __global__ functions of a CUDA C text."""
    bounds = r"(?:__launch_bounds__\s*\([^)]*\)\s*)?"
    return re.findall(rf'extern "C" __global__ void {bounds}(?://.*\s*)?(\w+)\s*\(', code)


def build(code: str, options: tuple[str, ...]) -> pathlib.Path:
    """Compile CUDA C with g++ to a shared library; the same text is compiled only once."""
    # The one thing that C++ cannot express: shared memory whose size the launch decides.
    body = re.sub(r"extern __shared__ (\w+) (\w+)\[\];",
                  r"#define \2 ((\1*)cuda_cpu::dynamic_shared)", code)
    exports = "".join(f"CUDA_CPU_KERNEL({name})\n" for name in kernel_names(code))
    text = f'#include "{HEADER}"\n#line 1 "kernel.cu"\n{body}\n{exports}'
    command = [str(GXX), *FLAGS, *(option for option in options if option.startswith("-D"))]

    key = hashlib.sha256("\0".join([text, HEADER.read_text(), *command]).encode()).hexdigest()[:24]
    library = CACHE / f"{key}.so"
    if not library.exists():
        CACHE.mkdir(mode=0o700, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as folder:
            source, built = pathlib.Path(folder, "kernel.cc"), pathlib.Path(folder, "kernel.so")
            source.write_text(text)
            result = subprocess.run([*command, str(source), "-o", str(built)],
                                    capture_output=True, text=True)
            if result.returncode:
                raise KernelError(f"g++ refuses the kernel:\n{result.stderr[:4000]}")
            built.rename(library)      # atomic: another test process may be doing the same
    return library


class CpuModule:
    """A compiled .cu text; `get_function` gives its kernels."""

    def __init__(self, code: str, options: tuple[str, ...] = (), schedule: Schedule = Schedule()):
        self.binary = ctypes.CDLL(str(build(code, options)))
        self.schedule = schedule

    def get_function(self, name: str) -> "CpuKernel":
        return CpuKernel(self.binary, name, self.schedule)


# ---- memory between guard pages ----------------------------------------------------------------

PAGE = mmap.PAGESIZE
CANARY = 0xA5
libc = ctypes.CDLL(None)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int,
                      ctypes.c_long]
libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]


class GuardedArray:
    """A copy of an array between two pages that may not be touched.

        | guard page | canary bytes | the array | guard page |         guard = "after"
        | guard page | the array | canary bytes | guard page |         guard = "before"
    """

    def __init__(self, array: np.ndarray, guard: str, is_output: bool):
        self.array = array
        self.body = -(-max(array.nbytes, 1) // PAGE) * PAGE
        read_write = mmap.PROT_READ | mmap.PROT_WRITE
        self.base = libc.mmap(None, self.body + 2 * PAGE, read_write,
                              mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1, 0)
        libc.mprotect(self.base, PAGE, 0)
        libc.mprotect(self.base + PAGE + self.body, PAGE, 0)
        body = (ctypes.c_uint8 * self.body).from_address(self.base + PAGE)
        self.bytes = np.frombuffer(body, np.uint8)
        self.bytes[:] = CANARY
        self.start = self.body - array.nbytes if guard == "after" else 0
        self.address = self.base + PAGE + self.start
        self.content = self.bytes[self.start:self.start + array.nbytes]
        self.content[:] = 0xFF if is_output else array.reshape(-1).view(np.uint8)

    def canaries_live(self) -> bool:
        end = self.start + self.array.nbytes
        return bool((self.bytes[:self.start] == CANARY).all() and
                    (self.bytes[end:] == CANARY).all())

    def copy_back(self) -> None:
        self.array.reshape(-1).view(np.uint8)[:] = self.content

    def free(self) -> None:
        del self.bytes, self.content
        libc.munmap(self.base, self.body + 2 * PAGE)


class IsolatedBlocks:
    """After every block: keep aside what it wrote, and put the memory back as it was."""

    def __init__(self, outputs: list[GuardedArray]):
        # compared as whole 4-byte words; a float64 is two of them
        self.words = [output.content.view(np.uint32) for output in outputs]
        self.before = [words.copy() for words in self.words]
        self.merged = [words.copy() for words in self.words]
        self.writer = [np.full(words.size, -1) for words in self.words]
        self.clash: tuple[int, int] | None = None

    def after_block(self, block: int) -> None:
        for words, before, merged, writer in zip(self.words, self.before, self.merged, self.writer):
            changed = np.flatnonzero(words != before)
            others = writer[changed]
            if (others >= 0).any():
                self.clash = (int(others.max()), block)
            writer[changed] = block
            merged[changed] = words[changed]
            words[:] = before

    def finish(self) -> None:
        for words, merged in zip(self.words, self.merged):
            words[:] = merged
        self.words.clear()


# ---- launching ---------------------------------------------------------------------------------


class Uint3(ctypes.Structure):
    _fields_ = [(axis, ctypes.c_uint) for axis in "xyz"]

    def __str__(self) -> str:
        return f"({self.x},{self.y},{self.z})"


class Report(ctypes.Structure):        # struct Error of cuda_cpu.h
    _fields_ = [("code", ctypes.c_int), ("line", ctypes.c_int), ("block", Uint3),
                ("thread", Uint3), ("address", ctypes.c_void_p)]


AfterBlock = ctypes.CFUNCTYPE(None, ctypes.c_uint)


class CpuKernel:
    """One kernel. Calling it runs every block of the grid, or raises KernelError."""

    def __init__(self, library: ctypes.CDLL, name: str, schedule: Schedule):
        self.binary, self.name, self.schedule = library, name, schedule
        kinds, sizes = library[f"kinds_{name}"], library[f"sizes_{name}"]
        kinds.restype, sizes.restype = ctypes.c_char_p, ctypes.POINTER(ctypes.c_int)
        self.kinds = kinds().decode()                    # 'i' input, 'o' output, 'v' value
        self.sizes = sizes()[:len(self.kinds)]

    def __call__(self, grid: tuple[int, ...], block: tuple[int, ...], args: tuple,
                 shared_mem: int = 0) -> None:
        if len(args) != len(self.kinds):
            raise TypeError(f"{self.name} takes {len(self.kinds)} arguments, got {len(args)}")
        guarded: list[GuardedArray] = []
        outputs: list[GuardedArray] = []
        passed = []
        for value, kind, size in zip(args, self.kinds, self.sizes):
            if kind == "v":
                raw = np.asarray(value).tobytes()
                if len(raw) != size:
                    raise TypeError(f"{self.name}: {len(raw)} bytes passed for {size}: {value!r}")
                passed.append(ctypes.create_string_buffer(raw, size))
                continue
            array = GuardedArray(value, self.schedule.guard, kind == "o")
            guarded.append(array)
            outputs += [array] if kind == "o" else []
            passed.append(ctypes.c_void_p(array.address))

        isolation = IsolatedBlocks(outputs) if self.schedule.isolated else None
        report = self._run(grid, block, passed, shared_mem, isolation)
        if isolation:
            isolation.finish()
        live = all(array.canaries_live() for array in guarded)
        for array in outputs:
            array.copy_back()
        for array in guarded:
            array.free()
        if report.code:
            raise KernelError(f"{self.name}: {ERRORS[report.code]}: line {report.line or '?'}, "
                              f"block {report.block}, thread {report.thread}")
        if not live:
            raise KernelError(f"{self.name}: wrote just outside an array")
        if isolation and isolation.clash:
            raise KernelError(f"{self.name}: blocks {isolation.clash} wrote the same element")

    def _run(self, grid: tuple[int, ...], block: tuple[int, ...], passed: list, shared_mem: int,
             isolation: IsolatedBlocks | None) -> Report:
        def three(sizes: tuple[int, ...]) -> ctypes.Array:
            return (ctypes.c_uint * 3)(*(*sizes, 1, 1)[:3])

        report = Report()
        arguments = (ctypes.c_void_p * len(passed))(*map(ctypes.addressof, passed))
        after_block = AfterBlock(isolation.after_block if isolation else lambda block: None)
        self.binary.cuda_cpu_launch(
            self.binary[f"run_{self.name}"], arguments, three(grid), three(block),
            ctypes.c_size_t(shared_mem), ORDERS[self.schedule.order],
            ctypes.c_uint64(self.schedule.seed), after_block, ctypes.byref(report))
        return report
