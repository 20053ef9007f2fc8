"""What a benchmark ran on: command, processor, GPU, BLAS and its kernels, threads, versions."""

import datetime
import os
import platform
import shlex
import sys
from pathlib import Path

import numpy as np
from devices import GPU, missing, torch

from minigen import backend


def describe() -> dict[str, str]:
    """The machine and the libraries, in words; and the command, so that it can be run again."""
    facts = {
        "command": shlex.join(["python", *sys.argv]),
        "date": datetime.date.today().isoformat(),
        "processor": f"{_processor()}, {os.cpu_count()} cores",
        "other load": _load(),
        "GPU": _gpu(),
        "python": platform.python_version(),
        "numpy": f"{np.__version__}, {_blas()}",
        "torch": _torch(),
    }
    for variable in ("OPENBLAS_CORETYPE", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
        if variable in os.environ:
            facts[variable] = os.environ[variable]
    return facts


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _load() -> str:
    """How busy the machine was with other things, where the system can say so."""
    if not hasattr(os, "getloadavg"):
        return "unknown"
    return f"{os.getloadavg()[0]:.1f} processes, the average of the minute before"


def _gpu() -> str:
    reason = missing(GPU)
    if reason:
        return f"not measured: {reason.partition(';')[0]}"
    cupy = backend.module("cupy")
    runtime = cupy.cuda.runtime
    name = runtime.getDeviceProperties(runtime.getDevice())["name"].decode()
    return f"{name}, CuPy {cupy.__version__}, CUDA {runtime.runtimeGetVersion()}"


def _torch() -> str:
    if torch is None:
        return "not installed"
    facts = f"{torch.__version__}, {torch.get_num_threads()} threads"
    if torch.cuda.is_available():
        facts += f", CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}"
    return facts


def _blas() -> str:
    """The BLAS that NumPy calls, and which of its kernels it chose for this processor."""
    try:
        from threadpoolctl import threadpool_info
    except ImportError:
        return "BLAS unknown (pip install threadpoolctl)"
    for pool in threadpool_info():
        if pool["user_api"] == "blas" and "numpy" in pool["filepath"]:
            return (f"{pool['internal_api']} {pool['version']}, kernels for "
                    f"{pool.get('architecture', 'unknown')}, {pool['num_threads']} threads")
    return "BLAS unknown"
