"""MNIST and Fashion-MNIST: the format, the checks, and the real thing where it is at hand."""

import gzip
import hashlib
import struct

import numpy as np
import pytest

from minigen import data
from minigen.data import real
from minigen.data.download import data_folder
from minigen.data.idx import IdxError, read_idx


def idx(array, kind=8):
    header = bytes([0, 0, kind, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.tobytes()


@pytest.fixture
def tiny(monkeypatch, tmp_path):
    """A data set of our own in the folder, five images in the place of ten thousand."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (5, 28, 28), dtype=np.uint8)
    labels = np.array([3, 1, 4, 1, 9], dtype=np.uint8)
    monkeypatch.setenv("MINIGEN_DATA", str(tmp_path))
    monkeypatch.setattr(real, "SPLITS", {"train": ("train", 6), "test": ("t10k", 5)})
    for name, array in [("images-idx3", images), ("labels-idx1", labels)]:
        for split in ["train", "t10k"]:
            packed = gzip.compress(idx(array))
            for folder, files, hashed in [("mnist", real.MNIST, idx(array)),
                                          ("fashion_mnist", real.FASHION_MNIST, packed)]:
                (tmp_path / folder).mkdir(exist_ok=True)
                (tmp_path / folder / f"{split}-{name}-ubyte.gz").write_bytes(packed)
                sha256 = hashlib.sha256(hashed).hexdigest()
                monkeypatch.setitem(files, f"{split}-{name[:6]}", sha256)
    return images, labels


@pytest.mark.parametrize("load", [data.mnist, data.fashion_mnist])
def test_pixels_come_as_float32_from_0_to_1_and_labels_as_int64(tiny, load):
    images, labels = load("test")
    assert images.shape == (5, 1, 28, 28) and images.dtype == np.float32
    np.testing.assert_array_equal(images[:, 0], tiny[0] / np.float32(255))
    assert labels.dtype == np.int64 and labels.tolist() == [3, 1, 4, 1, 9]


def test_a_file_of_another_shape_than_the_split_has_is_refused(tiny):
    with pytest.raises(IdxError, match=r"mnist, train-images.*shape \(5, 28, 28\), expected \(6,"):
        data.mnist("train")


@pytest.mark.parametrize("load", [data.mnist, data.fashion_mnist])
def test_an_unknown_split_is_refused_with_those_there_are(load):
    with pytest.raises(ValueError, match=r"split is 'valid', expected one of \['train', 'test'\]"):
        load("valid")


@pytest.mark.parametrize("shape", [(0,), (3,), (2, 3), (2, 3, 4)])
def test_an_idx_file_gives_the_array_that_was_written(shape):
    array = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    np.testing.assert_array_equal(read_idx(idx(array)), array)


@pytest.mark.parametrize("content, message", [
    (b"", r"a.idx: starts with bytes \[\]"),
    (b"\0\0\x08", "starts with bytes"),
    (b"\0\0\x08\x03\0\0", "the length of each axis"),
    (b"<html>", r"starts with bytes \[60, 104, 116, 109\]"),
    (idx(np.zeros(3, np.uint8), kind=13), r"\[0, 0, 13, 1\], expected \[0, 0, 8, axes\]"),
    (idx(np.zeros((2, 3), np.uint8))[:-1], r"shape \(2, 3\), 6 bytes; it holds 5"),
    (idx(np.zeros((2, 3), np.uint8)) + b"\0", "it holds 7"),
])
def test_bytes_that_are_no_idx_file_are_described(content, message):
    with pytest.raises(IdxError, match=message):
        read_idx(content, "a.idx")


def test_every_file_has_mirrors_and_a_sha256():
    for files in [real.MNIST, real.FASHION_MNIST]:
        assert set(files) == {f"{w}-{p}" for w in ["train", "t10k"] for p in ["images", "labels"]}
        assert all(len(bytes.fromhex(sha256)) == 32 for sha256 in files.values())
    for mirrors in [real.MNIST_MIRRORS, real.FASHION_MIRRORS]:
        assert len(mirrors) >= 2 and all(mirror.endswith("/") for mirror in mirrors)


@pytest.mark.parametrize("split, counts", [
    ("train", [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]),
    ("test", [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]),
])
def test_the_real_mnist_has_its_known_label_counts_and_mean(split, counts):
    if not (data_folder() / "mnist" / "train-images-idx3-ubyte.gz").exists():
        pytest.skip(f"no MNIST in {data_folder()}; set MINIGEN_DATA to a folder with mnist/*.gz")
    images, labels = data.mnist(split)
    assert images.shape == (sum(counts), 1, 28, 28)
    assert np.bincount(labels).tolist() == counts
    assert images.min() == 0 and images.max() == 1
    assert images.mean(dtype=np.float64) == pytest.approx(
        {"train": 0.1307, "test": 0.1325}[split], abs=5e-5)  # the figures everybody normalises by


@pytest.mark.parametrize("split, count", [("train", 6000), ("test", 1000)])
def test_the_real_fashion_mnist_has_as_many_of_each_class(split, count):
    if not (data_folder() / "fashion_mnist" / "train-images-idx3-ubyte.gz").exists():
        pytest.skip(f"no Fashion-MNIST in {data_folder()}; set MINIGEN_DATA to a folder with it")
    images, labels = data.fashion_mnist(split)
    assert images.shape == (10 * count, 1, 28, 28)
    assert np.bincount(labels).tolist() == [count] * 10
