"""A learner's own file of numbers: read, or refused with the place named."""

import numpy as np
import pytest

from minigen.data.points import PointsError, load_points


def write(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text)
    return path


@pytest.mark.parametrize("text", ["1\n2.5\n-3e2\n", "1, 2.5\n-3e2", "# x\n1 2.5\n\n-3e2\n"])
def test_text_and_csv_give_the_numbers_in_order(tmp_path, text):
    np.testing.assert_array_equal(load_points(write(tmp_path, "a.csv", text)), [1, 2.5, -300])


def test_npy_gives_the_numbers_of_a_vector_or_a_column(tmp_path):
    for shape in [(4,), (4, 1), (1, 4)]:
        np.save(tmp_path / "a.npy", np.arange(4, dtype=np.float32).reshape(shape))
        np.testing.assert_array_equal(load_points(tmp_path / "a.npy"), [0, 1, 2, 3])


def test_two_columns_give_points_of_the_plane(tmp_path):
    points = load_points(write(tmp_path, "a.txt", "1 2\n3 4\n5 6\n"), columns=2)
    np.testing.assert_array_equal(points, [[1, 2], [3, 4], [5, 6]])


@pytest.mark.parametrize("text, message", [
    ("", "a.txt: holds no numbers"),
    ("# nothing\n\n", "a.txt: holds no numbers"),
    ("height\n1\n", r"a.txt, line 1: 'height' is not a number \(a header\? put # before it\)"),
    ("1\n2\n3,x\n", "a.txt, line 3: 'x' is not a number$"),
    ("1\nnan\n", "a.txt, line 2: nan is not finite"),
    ("1\n2\n-inf\n", "a.txt, line 3: -inf is not finite"),
])
def test_a_bad_line_of_text_is_named(tmp_path, text, message):
    with pytest.raises(PointsError, match=message):
        load_points(write(tmp_path, "a.txt", text))


def test_a_line_with_too_few_numbers_is_named(tmp_path):
    with pytest.raises(PointsError, match="line 2: has 1 numbers, expected 2"):
        load_points(write(tmp_path, "a.txt", "1 2\n3\n"), columns=2)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(PointsError, match="absent.txt: no such file"):
        load_points(tmp_path / "absent.txt")


def test_a_binary_file_is_refused_as_text(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(PointsError, match="not a readable text file"):
        load_points(tmp_path / "a.txt")


@pytest.mark.parametrize("array, message", [
    (np.array([1.0, np.nan]), r"element \(1,\) is nan"),
    (np.zeros((3, 2)), r"has shape \(3, 2\), expected \(n,\)"),
    (np.array(["a"]), "expected an array of numbers"),
    (np.zeros(0), "holds no numbers"),
])
def test_a_bad_npy_array_is_described(tmp_path, array, message):
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(PointsError, match=message):
        load_points(tmp_path / "a.npy")


def test_a_pickle_is_never_unpacked(tmp_path):
    np.save(tmp_path / "a.npy", np.array([{"an": "object"}], dtype=object), allow_pickle=True)
    with pytest.raises(PointsError, match="not a readable .npy file"):
        load_points(tmp_path / "a.npy")
