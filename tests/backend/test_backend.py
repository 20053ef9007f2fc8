"""Choosing a backend, moving arrays, seeding."""

import builtins

import numpy as np
import pytest

from minigen import BackendError, Tensor, backend, manual_seed, randn, use

from . import strict


def test_everything_lives_on_numpy_at_first():
    assert backend.current() == "numpy" and Tensor([1.0]).backend == "numpy"
    assert backend.namespace(np.ones(1)) is np


def test_python_numbers_do_not_say_whose_arrays_are_meant():
    assert backend.namespace(2.0, np.ones(1)) is np
    with pytest.raises(TypeError, match="expected an array of numpy.*got float, list"):
        backend.namespace(2.0, [1.0])


def test_a_subclass_of_an_array_is_nobodys_until_it_is_made_a_tensor():
    class Odd(np.ndarray):
        pass
    odd = np.arange(3.0).view(Odd)
    assert not backend.is_array(odd)
    assert type(Tensor(odd).data) is np.ndarray and Tensor(odd).dtype == np.float64


def test_an_unknown_backend_is_refused_and_nothing_changes():
    with pytest.raises(ValueError, match="expected 'numpy' or 'cupy', got 'torch'"):
        use("torch")
    assert backend.current() == "numpy"


def test_without_cupy_the_error_says_how_to_get_it(monkeypatch):
    original = builtins.__import__

    def without(name, *args, **kwargs):
        if name == "cupy":
            raise ImportError("No module named 'cupy'")
        return original(name, *args, **kwargs)
    monkeypatch.setattr(builtins, "__import__", without)
    monkeypatch.delitem(backend._modules, "cupy", raising=False)
    with pytest.raises(BackendError, match=r"pip install 'minigen\[cuda12\]'") as error:
        use("cupy")
    assert "\n" not in str(error.value) and backend.current() == "numpy"


def test_without_a_device_the_error_says_so(monkeypatch):
    class NoDevice:
        class cuda:
            class runtime:
                @staticmethod
                def getDevice():
                    raise RuntimeError("cudaErrorNoDevice")
    monkeypatch.setitem(__import__("sys").modules, "cupy", NoDevice)
    monkeypatch.delitem(backend._modules, "cupy", raising=False)
    with pytest.raises(BackendError, match="finds no CUDA device.*cudaErrorNoDevice"):
        Tensor([1.0]).to("cupy")


def test_moving_to_where_it_is_already_copies_nothing():
    x = np.ones(2)
    assert backend.to(x, "numpy") is x
    name = strict.install()
    there = backend.to(x, name)
    assert backend.name_of(there) == name and backend.to(there, name) is there
    assert backend.namespace(there) is strict.module


def test_what_is_moved_is_a_copy():
    x = np.ones(2)
    there = backend.to(x, strict.install())
    x[:] = 5
    back = backend.to(there, "numpy")
    back[:] = 7
    assert backend.to(there, "numpy").tolist() == [1.0, 1.0]


def test_a_seed_restarts_the_default_generator_and_a_given_one_is_left_alone():
    manual_seed(3)
    first = randn(4).numpy()
    assert (randn(4).numpy() != first).all()
    assert manual_seed(3) is backend.default_generator()
    given = randn(4, generator=np.random.default_rng(9)).numpy()
    assert (randn(4).numpy() == first).all() and (given != first).all()
