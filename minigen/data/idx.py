"""IDX, the format of MNIST's files: a short header that gives type and shape, then the numbers.

    bytes 0, 1    zero
    byte 2        the type of a number; 8: unsigned byte, the only one in use here
    byte 3        how many axes
    then          the length of each axis, 4 bytes, the highest first
    then          the numbers, the last axis fastest

Source: LeCun, Cortes and Burges, The MNIST database, http://yann.lecun.com/exdb/mnist/
"""

import math

import numpy as np

UNSIGNED_BYTE = 8


class IdxError(ValueError):
    """Bytes that are no IDX file of unsigned bytes; the message says which, and what is wrong."""


def read_idx(content: bytes, name: str = "IDX file") -> np.ndarray:
    """The array in the (decompressed) content of an IDX file, uint8, not writeable.

    Raises IdxError, with `name` in its message, for another type and for a wrong length.
    """
    axes = content[3] if len(content) > 3 else 0
    start = 4 + 4 * axes
    if content[:3] != bytes([0, 0, UNSIGNED_BYTE]) or len(content) < start:
        raise IdxError(f"{name}: starts with bytes {list(content[:4])}, expected "
                       f"[0, 0, {UNSIGNED_BYTE}, axes] and the length of each axis")
    shape = np.frombuffer(content, dtype=">u4", count=axes, offset=4).tolist()
    if len(content) - start != math.prod(shape):
        raise IdxError(f"{name}: its header says shape {tuple(shape)}, {math.prod(shape):,} bytes; "
                       f"it holds {len(content) - start:,}")
    return np.frombuffer(content, dtype=np.uint8, offset=start).reshape(shape)
