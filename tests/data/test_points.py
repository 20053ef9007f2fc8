"""A learner's own file of numbers: read, written alike, or refused with the place named."""

import numpy as np
import pytest

from minigen.data.points import PointsError, load_points, read_points, write_points

GOOD = "\n".join(f"{i},{i * i % 7}" for i in range(30)) + "\n"


@pytest.mark.parametrize("text", ["1\n2.5\n-3e2\n", "# x\n1\n\n2.5\n-3e2\n",
                                  "height\n1\n2.5\n-300"])
def test_one_column_is_a_vector_of_numbers(tmp_path, text):
    (tmp_path / "a.csv").write_text(text)
    np.testing.assert_array_equal(load_points(tmp_path / "a.csv"), [1, 2.5, -300])


def test_two_columns_are_points_of_the_plane_if_asked_for(tmp_path):
    (tmp_path / "a.txt").write_text("1 2\n3 4\n5 6\n")
    np.testing.assert_array_equal(load_points(tmp_path / "a.txt", 2), [[1, 2], [3, 4], [5, 6]])
    with pytest.raises(PointsError, match="a.txt: has 2 columns, expected 1"):
        load_points(tmp_path / "a.txt")


@pytest.mark.parametrize("text", ["", "# nothing\n\n", "height\n"])
def test_a_file_without_numbers_is_refused(tmp_path, text):
    (tmp_path / "a.txt").write_text(text)
    with pytest.raises(PointsError, match="a.txt: holds no numbers"):
        load_points(tmp_path / "a.txt")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(PointsError, match="absent.txt: no such file"):
        load_points(tmp_path / "absent.txt")


@pytest.mark.parametrize("text, message", [
    (GOOD + "1,2,3\n", "a.csv, line 31: has 3 columns, expected 2$"),
    (GOOD + "1,\n", "a.csv, line 31, column 2: '' is not a finite number"),
    (GOOD + "5,six\n", "a.csv, line 31, column 2: 'six' is not a finite number"),
    (GOOD + "5,nan\n", "a.csv, line 31, column 2: 'nan' is not a finite number"),
    (GOOD + "-inf,5\n", "a.csv, line 31, column 1: '-inf' is not a finite number"),
    ("a,b,c\n1,2,3\n", "a.csv, line 2: has 3 columns, expected 1 or 2"),
    ("x,y\nz,w\n" + GOOD, "a.csv, line 2, column 1: 'z' is not a finite number"),
])
def test_a_bad_line_of_text_is_named(tmp_path, text, message):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(PointsError, match=message):
        read_points(tmp_path / "a.csv")


@pytest.mark.parametrize("array, message", [
    (np.zeros((40, 3)), r"a.npy: has shape \(40, 3\), expected \(n,\), \(n, 1\) or \(n, 2\)"),
    (np.float64(3.0), r"a.npy: has shape \(\)"),
    (np.array(["a"] * 40), "a.npy: expected an array of numbers, got <U1"),
    (np.where(np.eye(40, 2, -7), np.inf, 1.0), "a.npy, row 8, column 1: is inf"),
])
def test_a_bad_npy_array_is_described(tmp_path, array, message):
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(PointsError, match=message):
        read_points(tmp_path / "a.npy")


def test_a_pickle_is_never_unpacked(tmp_path):
    np.save(tmp_path / "a.npy", np.array([{"an": "object"}] * 40, dtype=object), allow_pickle=True)
    with pytest.raises(PointsError, match="not a readable .npy file"):
        read_points(tmp_path / "a.npy")


def test_a_binary_file_is_no_text(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(PointsError, match="not a readable text file"):
        read_points(tmp_path / "a.txt")


@pytest.mark.parametrize("text", [GOOD, "x,y\n" + GOOD, "\ufeffx,y\r\n" + GOOD,
                                  "# of mine\n" + GOOD.replace(",", "\t")])
def test_points_come_with_or_without_a_header(tmp_path, text):
    (tmp_path / "a.csv").write_text(text, encoding="utf-8")
    found = read_points(tmp_path / "a.csv")
    np.testing.assert_array_equal(found.points, [[i, i * i % 7] for i in range(30)])
    assert found.header == ("x,y" if "x,y" in text else "")


def test_a_column_of_numbers_is_points_of_the_line(tmp_path):
    (tmp_path / "a.txt").write_text("height\n" + "\n".join(map(str, range(25))))
    assert read_points(tmp_path / "a.txt").points.shape == (25, 1)


@pytest.mark.parametrize("name, text", [("a.csv", "x,y\n" + GOOD), ("a.txt", GOOD)])
def test_points_are_written_in_the_form_that_they_were_read_in(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    found = read_points(tmp_path / name)
    write_points(tmp_path / f"new_{name}", found.points + 0.25, found)
    again = read_points(tmp_path / f"new_{name}")
    np.testing.assert_allclose(again.points, found.points + 0.25)
    assert again.header == found.header and not list(tmp_path.glob("*.part"))
    assert ("," in (tmp_path / f"new_{name}").read_text()) == (name == "a.csv")


@pytest.mark.parametrize("shape", [(40,), (40, 1), (40, 2)])
def test_an_array_keeps_its_shape(tmp_path, shape):
    np.save(tmp_path / "a.npy", np.arange(np.prod(shape), dtype=np.float32).reshape(shape))
    found = read_points(tmp_path / "a.npy")
    write_points(tmp_path / "b.npy", found.points, found)
    np.testing.assert_array_equal(np.load(tmp_path / "b.npy"), np.load(tmp_path / "a.npy"))
