"""The CUDA kernels, tested in three layers; the first two need no GPU.

test_compile   NVRTC compiles every kernel for every architecture; no register spills
test_execute   the kernels run on the CPU (shim/) and are compared with reference.py in float64
test_mutants   bugs planted in the kernels, each of which the layer above must catch
test_gpu       the cases of test_execute on a real GPU
"""
