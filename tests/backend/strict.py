"""A strict stand-in for CuPy: NumPy behind a wall, so that dispatch can be tested on any machine.

`install()` registers it as backend "strict". Its arrays compute with NumPy, but behave as CuPy's
where the two differ, or more strictly:

* nothing turns one into a NumPy array unasked, and none mixes with a NumPy array;
* functions, methods and keyword arguments are those of the lists below, which CuPy has too;
* a reduction, or an index of integers alone, gives an array without axes, never a scalar;
* an index array out of range wraps around;
* inside `with no_sync():` nothing may wait for the device: no float(), bool(), .item(), no copy to
  the host, no mask as an index.

It is a guard, not a substitute: the same tests run on CuPy where there is a device.
"""

from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np

from minigen import backend

# Functions with the keyword arguments that may be given by name. Each exists in CuPy 14.2.0 with
# these (ufuncs take no more than `out` and `dtype`): checked against cupy-cuda12x, and checked anew
# by test_backend.py wherever CuPy can be imported.
UFUNCS = """
    abs absolute add arctan arctanh ceil cos cosh divide equal erf exp exp2 expm1 floor fmax fmin
    greater greater_equal invert isfinite isinf isnan less less_equal log log10 log1p log2 logaddexp
    logical_and logical_not logical_or matmul maximum minimum multiply negative not_equal power
    reciprocal remainder rint sign sin sinh sqrt square subtract tan tanh true_divide
""".split()
UFUNCS.remove("erf")  # CuPy keeps it in cupyx.scipy.special, NumPy nowhere
FUNCTIONS = {
    "all": "axis out keepdims", "amax": "axis out keepdims", "amin": "axis out keepdims",
    "any": "axis out keepdims", "arange": "dtype", "argmax": "axis out keepdims",
    "argmin": "axis out keepdims", "argsort": "axis", "array": "dtype copy order ndmin",
    "array_equal": "", "asarray": "dtype order", "ascontiguousarray": "dtype", "atleast_1d": "",
    "broadcast_to": "", "clip": "out", "concatenate": "axis out dtype", "copy": "order",
    "copyto": "where", "cumsum": "axis dtype out", "diag": "k", "dot": "out", "einsum": "",
    "empty": "dtype order", "empty_like": "dtype order shape", "expand_dims": "", "eye": "dtype",
    "flip": "axis", "full": "dtype order", "full_like": "dtype order shape", "linspace": "dtype",
    "max": "axis out keepdims", "mean": "axis dtype out keepdims", "min": "axis out keepdims",
    "moveaxis": "", "ones": "dtype order", "ones_like": "dtype order shape", "outer": "out",
    "pad": "", "prod": "axis dtype out keepdims", "ravel": "order", "repeat": "axis",
    "reshape": "order", "roll": "axis", "squeeze": "axis", "stack": "axis out dtype",
    "std": "axis dtype out ddof keepdims", "sum": "axis dtype out keepdims", "swapaxes": "",
    "take": "axis out", "tensordot": "axes", "tile": "", "transpose": "axes", "tril": "k",
    "triu": "k", "var": "axis dtype out ddof keepdims", "vdot": "", "where": "",
    "zeros": "dtype order", "zeros_like": "dtype order shape",
}
METHODS = {
    "all": "axis out keepdims", "any": "axis out keepdims", "argmax": "axis out keepdims",
    "argmin": "axis out keepdims", "astype": "dtype order casting copy", "clip": "min max out",
    "copy": "order", "cumsum": "axis dtype out", "dot": "", "fill": "", "max": "axis out keepdims",
    "mean": "axis dtype out keepdims", "min": "axis out keepdims",
    "prod": "axis dtype out keepdims", "ravel": "order", "repeat": "axis", "reshape": "order",
    "squeeze": "axis", "std": "axis dtype out ddof keepdims", "sum": "axis dtype out keepdims",
    "swapaxes": "", "take": "axis out", "transpose": "", "var": "axis dtype out ddof keepdims",
    "view": "dtype",
}
OPERATORS = """
    add sub mul truediv floordiv mod pow matmul lt le gt ge eq ne and or xor neg pos abs invert
""".split()
IN_PLACE = "add sub mul truediv floordiv pow".split()

SCALARS = (bool, int, float, complex, np.generic)
_syncs_allowed = True


class HostSync(AssertionError):
    """Something would have waited for the device."""


@contextmanager
def no_sync():
    """Inside, whatever would wait for the device raises HostSync."""
    global _syncs_allowed
    _syncs_allowed = False
    try:
        yield
    finally:
        _syncs_allowed = True


def sync(what):
    if not _syncs_allowed:
        raise HostSync(f"{what} waits for the device")


class ndarray:
    """A NumPy array that may only be touched as CuPy's may."""

    __hash__ = None

    def __init__(self, inner):
        self._inner = inner

    shape = property(lambda self: self._inner.shape)
    dtype = property(lambda self: self._inner.dtype)
    ndim = property(lambda self: self._inner.ndim)
    size = property(lambda self: self._inner.size)
    strides = property(lambda self: self._inner.strides)
    itemsize = property(lambda self: self._inner.itemsize)
    nbytes = property(lambda self: self._inner.nbytes)
    flags = property(lambda self: self._inner.flags)
    T = property(lambda self: ndarray(self._inner.T))

    def __len__(self):
        return len(self._inner)

    def __repr__(self):
        return f"strict.{self._inner!r}"

    # What CuPy refuses, so that nothing crosses to the host unseen.

    def __array__(self, *_, **__):
        raise TypeError("Implicit conversion to a NumPy array is not allowed; use .get()")

    def __array_ufunc__(self, ufunc, *_, **__):
        raise TypeError(f"Unsupported type: NumPy's {ufunc.__name__} got a strict array")

    def __array_function__(self, function, *_, **__):
        raise TypeError(f"Unsupported type: NumPy's {function.__name__} got a strict array")

    # What waits for the device.

    def get(self):
        sync(".get()")
        return self._inner.copy()

    def item(self):
        sync(".item()")
        return self._inner.item()

    def tolist(self):
        sync(".tolist()")
        return self._inner.tolist()

    def __float__(self):
        sync("float()")
        return float(self._inner)

    def __int__(self):
        sync("int()")
        return int(self._inner)

    def __index__(self):
        sync("an array as an integer")
        return self._inner.__index__()

    def __bool__(self):
        sync("bool()")
        return bool(self._inner)

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    # Indexing.

    def __getitem__(self, key):
        return wrap(self._inner[self._plain(key)])

    def __setitem__(self, key, value):
        self._inner[self._plain(key)] = unwrap(value)

    def _plain(self, key):
        """The key for NumPy, index arrays wrapped into range."""
        parts = key if isinstance(key, tuple) else (key,)
        taken = sum(part is not None and part is not Ellipsis for part in parts)
        plain, axis = [], 0
        for part in parts:
            if isinstance(part, ndarray):
                inner = part._inner
                if inner.dtype.kind == "b":
                    sync("a mask as an index")
                    plain.append(inner)
                else:
                    plain.append(inner % max(self.shape[axis], 1))
            elif isinstance(part, (np.ndarray, list)):
                raise TypeError(f"Unsupported type {type(part)} as an index")
            else:
                plain.append(part)
            axis += (self.ndim - taken) if part is Ellipsis else (part is not None)
        return tuple(plain)


def unwrap(value):
    """What NumPy shall see; TypeError for what CuPy would not take."""
    if isinstance(value, ndarray):
        return value._inner
    if isinstance(value, (list, tuple)):
        return type(value)(unwrap(part) for part in value)
    if value is None or isinstance(value, SCALARS + (str, slice, type, np.dtype, type(Ellipsis))):
        return value
    raise TypeError(f"Unsupported type {type(value)}")


def wrap(value):
    """A result of NumPy's as a strict array: scalars too, as an array without axes."""
    if isinstance(value, (np.ndarray, np.generic)):
        return ndarray(np.asarray(value))
    return value


def guarded(name, function, keywords):
    """A NumPy function on strict arrays, with no keyword arguments but these."""
    def call(*args, **kwargs):
        if not kwargs.keys() <= set(keywords.split()):
            raise TypeError(f"{name}: CuPy takes {keywords or 'no names'}; got {list(kwargs)}")
        out = kwargs.get("out")
        result = function(*map(unwrap, args), **{k: unwrap(v) for k, v in kwargs.items()})
        return wrap(result) if out is None else out
    call.__name__ = name
    return call


def operator(name):
    """A binary or unary operator; an operand of another kind is refused, not deferred."""
    dunder = f"__{name}__"

    def call(self, *others):
        for other in others:
            if not isinstance(other, SCALARS + (ndarray,)):
                if hasattr(type(other), "__array_ufunc__") and other.__array_ufunc__ is None:
                    return NotImplemented  # a Tensor: its turn
                raise TypeError(f"Unsupported type {type(other)}")
        return wrap(getattr(self._inner, dunder)(*map(unwrap, others)))
    return call


def in_place(name):
    def call(self, other):
        getattr(self._inner, f"__i{name}__")(unwrap(other))
        return self
    return call


def method(name, keywords):
    def numpys(self, *args, **kwargs):
        return getattr(self, name)(*args, **kwargs)
    call = guarded(name, numpys, keywords)
    return lambda self, *args, **kwargs: call(self, *args, **kwargs)


for _name in OPERATORS:
    setattr(ndarray, f"__{_name}__", operator(_name))
for _name in "add sub mul truediv floordiv mod pow matmul and or xor".split():
    setattr(ndarray, f"__r{_name}__", operator(f"r{_name}"))
for _name in IN_PLACE:
    setattr(ndarray, f"__i{_name}__", in_place(_name))
for _name, _keywords in METHODS.items():
    setattr(ndarray, _name, method(_name, _keywords))


def asarray(value, dtype=None, order=None):
    """From the host, or as it is."""
    inner = value._inner if isinstance(value, ndarray) else np.asarray(value)
    inner = np.asarray(inner, dtype=dtype, order=order)
    return value if isinstance(value, ndarray) and inner is value._inner else ndarray(inner.copy())


def array(value, dtype=None, copy=True, order="K", ndmin=0):
    """From the host, or a copy."""
    inner = value._inner if isinstance(value, ndarray) else value
    return ndarray(np.array(inner, dtype=dtype, copy=copy, order=order, ndmin=ndmin))


def asnumpy(value):
    """To the host."""
    return value.get()


def add_at(z, key, x):
    np.add.at(unwrap(z), z._plain(key), unwrap(x))


module = SimpleNamespace(
    **{name: guarded(name, getattr(np, name), "out dtype") for name in UFUNCS},
    **{name: guarded(name, getattr(np, name), words) for name, words in FUNCTIONS.items()},
)
module.ndarray, module.asnumpy, module.array, module.asarray = ndarray, asnumpy, array, asarray
module.add.at = add_at
for _name in ("float32", "float64", "int32", "int64", "bool_", "inf", "pi", "newaxis"):
    setattr(module, _name, getattr(np, _name))


def install():
    """Register as backend "strict", and give back its name."""
    backend.register("strict", module)
    return "strict"
