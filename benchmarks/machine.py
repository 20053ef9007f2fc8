"""What a benchmark ran on: processor, BLAS and its kernels, threads, versions."""

import datetime
import os
import platform
from pathlib import Path

import numpy as np


def describe() -> dict[str, str]:
    """The machine and the libraries, in words."""
    facts = {
        "date": datetime.date.today().isoformat(),
        "processor": f"{_processor()}, {os.cpu_count()} cores",
        "python": platform.python_version(),
        "numpy": f"{np.__version__}, {_blas()}",
    }
    try:
        import torch
        facts["torch"] = f"{torch.__version__}, {torch.get_num_threads()} threads"
    except ImportError:
        facts["torch"] = "not installed"
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
