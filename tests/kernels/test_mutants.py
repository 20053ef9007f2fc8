"""Bugs planted in the kernels, each a line that somebody could write. Tests must catch them all.

A test that cannot fail proves nothing, and a kernel test can easily be of that kind: a missing
barrier or an off-by-one tile may give the right numbers on one machine, at one size, in one order.
"""

from typing import NamedTuple

import numpy as np
import pytest

from minigen.kernels import cuda, launch

from .cases import CONVOLUTIONS, PLANES, TILE_EDGES, Conv, check_adain, check_conv
from .shim.cpu_module import KernelError, Schedule


class Mutant(NamedTuple):
    name: str
    file: str
    source: str                        # stands exactly once in the file
    replacement: str


MUTANTS = [
    # barriers
    Mutant("no barrier before reading the tile", "conv.cu",
           "__syncthreads();                                 // no one reads", "// no one reads"),
    Mutant("no barrier before overwriting the tile", "conv.cu",
           "__syncthreads();                                 // no one overwrites", "// no one"),
    Mutant("a barrier that idle threads skip", "conv.cu",
           "if (col0 >= problem.cols)", "if (col0 + tid % BN >= problem.cols)"),
    Mutant("no barrier between the warps' sums", "adain.cu",
           "__syncthreads();                                     // every", "// every"),
    Mutant("both sums of a plane use the same slots", "adain.cu",
           "block_sum(squares, slots[1])", "block_sum(squares, slots[0])"),
    # guards
    Mutant("rows are not guarded when fetched", "conv.cu",
           "row < problem.rows && d0 + a_d < d_end", "d0 + a_d < d_end"),
    Mutant("depth is not guarded in A", "conv.cu",
           "row < problem.rows && d0 + a_d < d_end", "row < problem.rows"),
    Mutant("columns are not guarded when fetched", "conv.cu",
           "d < d_end && col < problem.cols", "d < d_end"),
    Mutant("depth is not guarded in B", "conv.cu",
           "d < d_end && col < problem.cols", "col < problem.cols"),
    Mutant("depth may run one too far", "conv.cu",
           "d < d_end && col < problem.cols", "d <= d_end && col < problem.cols"),
    Mutant("rows are not guarded when stored", "conv.cu",
           "if (row < problem.rows && col < problem.cols)", "if (col < problem.cols)"),
    Mutant("columns are not guarded when stored", "conv.cu",
           "if (row < problem.rows && col < problem.cols)", "if (row < problem.rows)"),
    Mutant("the padding above is read", "conv.cu",
           "(unsigned)i < (unsigned)shape.H && ", "i < shape.H && "),
    Mutant("the padding on the right is read", "conv.cu",
           "(unsigned)j < (unsigned)shape.W;", "j >= 0;"),
    Mutant("g is read past its last row", "conv.cu",
           "(unsigned)p < (unsigned)shape.P && ", "(unsigned)p <= (unsigned)shape.P && "),
    Mutant("the last sums are written past the end", "conv.cu",
           "if (i >= count)", "if (i > count)"),
    # tiles
    Mutant("one tile of rows is forgotten", "conv.cu",
           "(problem.rows + BM - 1) / BM", "max(problem.rows / BM, 1)"),
    Mutant("tiles of columns overlap", "conv.cu",
           "blockIdx.x / row_tiles * BN", "blockIdx.x / row_tiles * (BN - 1)"),
    Mutant("the last, partial step along the depth is skipped", "conv.cu",
           "d0 < d_end; d0 += BK) {", "d0 + BK <= d_end; d0 += BK) {"),
    Mutant("the next tile is never fetched", "conv.cu",
           "if (d0 + BK < d_end)", "if (d0 + BK < 0)"),
    Mutant("squares of rows are one apart too few", "conv.cu",
           "ROW_STEP = BM / SIDE * 4;", "ROW_STEP = BM / SIDE * 4 - 4;"),
    Mutant("rows and columns of the outputs are swapped", "conv.cu",
           "*problem.out(row, col) = sum[i][j];", "*problem.out(row, col) = sum[j][i];"),
    Mutant("outputs are added to what was there", "conv.cu",
           "*problem.out(row, col) = sum[i][j];", "*problem.out(row, col) += sum[i][j];"),
    Mutant("a thread writes outside its registers", "conv.cu",
           "to[i + k] = four.v[k];", "to[i + k + 1] = four.v[k];"),
    # the geometry of convolution
    Mutant("the height's stride is used for the width", "conv.cu",
           "pixel.x * shape.sw + tap.x", "pixel.x * shape.sh + tap.x"),
    Mutant("padding is added, not subtracted", "conv.cu",
           "pixel.y * shape.sh + tap.y - shape.ph", "pixel.y * shape.sh + tap.y + shape.ph"),
    Mutant("the kernel is flipped", "conv.cu",
           "shape.sw + tap.x - shape.pw", "shape.sw + (shape.S - 1 - tap.x) - shape.pw"),
    Mutant("phases ignore the padding", "conv.cu",
           "first_i = (phase + stride - padding % stride) % stride;", "first_i = phase;"),
    Mutant("taps of a phase are adjacent", "conv.cu",
           "phase_y + tap.y * shape.sh", "phase_y + tap.y"),
    Mutant("odd phases have too few pixels", "conv.cu",
           "(size - first_i + stride - 1) / stride", "(size - first_i) / stride"),
    Mutant("parts of the depth overlap", "conv.cu",
           "min(d_begin + length, problem.depth)", "min(d_begin + length + 1, problem.depth)"),
    Mutant("all parts go to one place", "conv.cu",
           "(Offset)blockIdx.z * (shape.K", "(Offset)0 * (shape.K"),
    Mutant("the first part is not summed", "conv.cu",
           "for (int part = 0; part <", "for (int part = 1; part <"),
    Mutant("quotients are off by one shift", "conv.cu",
           "__umulhi(2u * d, magic)", "__umulhi(d, magic)"),
    # AdaIN
    Mutant("the mean is not subtracted", "adain.cu",
           "(pack.v[k] - mu) * slope + offset", "pack.v[k] * slope + offset"),
    Mutant("the variance is not about the mean", "adain.cu",
           "(pack.v[k] - mu) * (pack.v[k] - mu);", "pack.v[k] * pack.v[k];"),
    Mutant("eps is added to the standard deviation", "adain.cu",
           "1 / sqrt(block_sum(squares, slots[1]) / pixels + eps)",
           "1 / (sqrt(block_sum(squares, slots[1]) / pixels) + eps)"),
    Mutant("the variance is unbiased", "adain.cu",
           "block_sum(squares, slots[1]) / pixels", "block_sum(squares, slots[1]) / (pixels - 1)"),
    Mutant("half of a warp is not summed", "adain.cu",
           "for (int offset = 16; offset", "for (int offset = 8; offset"),
    Mutant("a warp's sum is forgotten", "adain.cu",
           "for (int warp = 0; warp <", "for (int warp = 1; warp <"),
    Mutant("xhat's share of the gradient is left out", "adain.cu",
           "mean_g - (pack_x.v[k] - mu) * r * mean_g_xhat)", "mean_g)"),
    Mutant("one pack too many is staged", "adain.cu",
           "if (i < staged) {", "if (i <= staged) {"),
    Mutant("the staged x lies over the staged g", "adain.cu",
           "stage[staged + i] = batch_x[b];", "stage[staged + i - 1] = batch_x[b];"),
    Mutant("a plane too large to stage is read from the stage", "adain.cu",
           "Pack pack = i < staged ? stage[i] : from_g[i];", "Pack pack = stage[i];"),
]

SCHEDULES = [Schedule("in turn", "after"), Schedule("reversed", "before"),
             Schedule("random", "after", isolated=True)]


def survives(mutant: Mutant, run_on_cpu) -> bool:
    """Do all cases pass in spite of the bug?"""
    def run(case: Conv | tuple[int, ...]) -> None:
        if isinstance(case, Conv) != (mutant.file == "conv.cu"):
            return
        for schedule in SCHEDULES:
            run_on_cpu(schedule)
            if isinstance(case, Conv):
                check_conv(case, np.float32)
            else:
                check_adain(case, np.float32)

    try:
        for case in [*CONVOLUTIONS, TILE_EDGES[-1], *PLANES]:
            run(case)
    except (AssertionError, KernelError):
        return False
    return True


@pytest.fixture(autouse=True)
def one_tile(monkeypatch):
    """LARGE: its threads own squares that lie apart, and few cases fill it."""
    monkeypatch.setattr(cuda, "choose_tile", lambda *_: cuda.LARGE)


@pytest.mark.parametrize("file", ("conv.cu", "adain.cu"))
def test_the_unharmed_kernels_pass(file, run_on_cpu):
    assert survives(Mutant("none", file, "", ""), run_on_cpu)


# Every third in the default run, the others in the slow one: each is a compilation.
ALL = [mutant if i % 3 == 0 else pytest.param(mutant, marks=pytest.mark.slow)
       for i, mutant in enumerate(MUTANTS)]


@pytest.mark.parametrize("mutant", ALL, ids=lambda mutant: mutant.name)
def test_a_planted_bug_is_caught(mutant, run_on_cpu, monkeypatch):
    original = launch.read_source(mutant.file)
    assert original.count(mutant.source) == 1, "the mutant's text must stand exactly once"
    harmed = original.replace(mutant.source, mutant.replacement)
    monkeypatch.setattr(launch, "read_source", lambda file: harmed)
    assert not survives(mutant, run_on_cpu)
