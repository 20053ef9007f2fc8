"""Downloading, from a mirror on this machine that does all that mirrors do to us."""

import gzip
import hashlib
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from minigen.data import download
from minigen.data.download import DownloadError, File, data_folder, fetch

from .mirror import CONTENT, HALF, PACKED, serving

ROOT = Path(__file__).parents[2]
NAME = "images.gz"
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    with serving() as server:
        yield server


def file(server, *how, **changes):
    mirrors = tuple(h if h.startswith("http") else server.url(h) for h in how)
    return File(**{"name": NAME, "mirrors": mirrors, "sha256": SHA256, **changes})


def refused(file, folder):
    """The message of the DownloadError; and the cache is checked to be as empty as before."""
    with pytest.raises(DownloadError) as caught:
        fetch(file, folder)
    assert not (folder / NAME).exists()
    return str(caught.value)


def leave_part(folder, content, seconds_ago):
    part = folder / f"{NAME}.0badcafe.part"
    part.write_bytes(content)
    os.utime(part, (time.time() - seconds_ago,) * 2)
    return part


def test_a_file_is_downloaded_once_and_then_read_from_the_folder(server, tmp_path):
    for _ in range(2):
        assert fetch(file(server, "good"), tmp_path / "new" / "folder") == CONTENT
    assert server.asked == [("good", 0)]
    assert [path.name for path in (tmp_path / "new" / "folder").iterdir()] == [NAME]


def test_a_file_that_is_there_needs_no_mirror_and_may_be_compressed_in_any_way(tmp_path):
    (tmp_path / NAME).write_bytes(gzip.compress(CONTENT, 0))
    assert fetch(File(NAME, (), SHA256), tmp_path) == CONTENT


def test_a_file_may_be_pinned_by_the_sha256_of_its_packed_bytes(server, tmp_path):
    pinned = file(server, "repacked", "good", sha256=hashlib.sha256(PACKED).hexdigest(),
                  of_content=False)
    assert fetch(pinned, tmp_path) == CONTENT
    assert [how for how, _ in server.asked] == ["repacked", "good"]


@pytest.mark.parametrize("how, answer", [
    ("403", "HTTP 403 Forbidden"),
    ("503", "HTTP 503 Service Unavailable"),
    ("truncates", r"the line broke, 3 times \(after [\d,]+ of [\d,]+ bytes\)"),
    ("corrupt", "sent not"),
    ("other", "sent not what was published"),
    ("page", "sent not a whole gzip file"),
    ("hangs", r"the line broke, 3 times \(timed out\)"),
    ("http://127.0.0.1:1/", "no connection .*refused"),
])
def test_a_bad_mirror_is_named_with_what_it_did_and_the_next_is_asked(
        server, tmp_path, monkeypatch, how, answer):
    monkeypatch.setattr(download, "TIMEOUT", 0.2)
    url = (how if how.startswith("http") else server.url(how)) + NAME
    assert re.search(f"{re.escape(url)}: {answer}", refused(file(server, how), tmp_path))
    assert fetch(file(server, how, "good"), tmp_path) == CONTENT
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


def test_the_message_says_which_file_each_mirror_and_what_to_do(server, tmp_path):
    message = refused(file(server, "403", "503"), tmp_path / "mnist")
    path = tmp_path / "mnist" / NAME
    for part in [NAME, f"{server.url('403')}{NAME}: HTTP 403", f"{server.url('503')}{NAME}: HTTP",
                 "get the file by hand", f"save it as {path}", "MINIGEN_DATA", f"mnist/{NAME}"]:
        assert part in message


def test_a_line_that_breaks_is_taken_up_where_it_broke(server, tmp_path):
    assert fetch(file(server, "dies-once"), tmp_path) == CONTENT
    assert server.asked == [("dies-once", 0), ("dies-once", HALF)]


def test_the_next_call_goes_on_where_the_last_one_gave_up(server, tmp_path):
    refused(file(server, "truncates"), tmp_path)
    part, = tmp_path.iterdir()
    kept = part.stat().st_size
    assert 0 < kept < len(PACKED)
    assert fetch(file(server, "good"), tmp_path) == CONTENT
    assert server.asked[-1] == ("good", kept)
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


def test_a_mirror_that_ignores_range_and_sends_all_is_taken_at_its_word(server, tmp_path):
    leave_part(tmp_path, PACKED[:HALF], seconds_ago=1000)
    assert fetch(file(server, "ignores-range"), tmp_path) == CONTENT
    assert server.asked == [("ignores-range", HALF)]


@pytest.mark.parametrize("how", ["shifts-range", "repacked"])
def test_a_rest_that_does_not_fit_what_was_begun_is_fetched_from_its_start(server, tmp_path, how):
    leave_part(tmp_path, PACKED[:HALF], seconds_ago=1000)
    assert fetch(file(server, how), tmp_path) == CONTENT
    assert server.asked == [(how, HALF), (how, 0)]


@pytest.mark.parametrize("left", [PACKED, PACKED + b"more", b"x" * 3 * HALF])
def test_a_part_with_nothing_missing_or_too_much_is_fetched_from_its_start(
        server, tmp_path, left):
    leave_part(tmp_path, left, seconds_ago=1000)
    assert fetch(file(server, "good"), tmp_path) == CONTENT
    assert server.asked == [("good", len(left)), ("good", 0)]


def test_a_part_that_another_process_is_writing_is_left_alone(server, tmp_path):
    theirs = leave_part(tmp_path, b"theirs", seconds_ago=1)
    assert fetch(file(server, "good"), tmp_path) == CONTENT
    assert theirs.read_bytes() == b"theirs"
    assert server.asked == [("good", 0)]


def test_a_wrong_file_in_the_folder_is_refused_and_left_alone(server, tmp_path):
    for wrong in [b"", b"my own notes", PACKED[:-9], gzip.compress(CONTENT[1:])]:
        (tmp_path / NAME).write_bytes(wrong)
        with pytest.raises(DownloadError, match=f"{NAME}: not .* Delete it, and it will be"):
            fetch(file(server, "good"), tmp_path)
        assert (tmp_path / NAME).read_bytes() == wrong
    assert server.asked == []


def test_a_folder_that_cannot_be_made_is_named(server, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DownloadError, match="file.*cannot be read or written.*Set MINIGEN_DATA"):
        fetch(file(server, "good"), tmp_path / "file" / "mnist")


def start(server, how, folder):
    """Another process that fetches, and prints the SHA-256 of what it got."""
    code = ("import hashlib, signal; from pathlib import Path\n"
            "from minigen.data.download import File, fetch\n"
            "signal.signal(signal.SIGINT, signal.default_int_handler)  # jobs run by & ignore it\n"
            f"content = fetch(File({NAME!r}, ({server.url(how)!r},), {SHA256!r}), "
            f"Path({str(folder)!r}))\n"
            "print(hashlib.sha256(content).hexdigest())")
    return subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def wait_until(condition):
    deadline = time.time() + 20
    while not condition():
        assert time.time() < deadline
        time.sleep(0.01)


def test_two_processes_at_once_both_get_the_file_and_leave_one(server, tmp_path):
    processes = [start(server, "together", tmp_path) for _ in range(2)]
    for process in processes:
        assert process.communicate(timeout=30)[0].strip() == SHA256
    assert server.asked == [("together", 0)] * 2  # neither meddled with the other's part
    assert [path.name for path in tmp_path.iterdir()] == [NAME]
    assert (tmp_path / NAME).read_bytes() == PACKED


@pytest.mark.parametrize("how_it_ends", ["SIGKILL", "SIGINT"])
def test_a_process_that_ends_midway_leaves_a_part_and_no_file(server, tmp_path, how_it_ends):
    if os.name == "nt":
        pytest.skip("signals are sent as on POSIX")
    process = start(server, "slow", tmp_path)
    wait_until(lambda: any(path.stat().st_size > 0 for path in tmp_path.glob("*.part")))
    process.send_signal(getattr(signal, how_it_ends))
    assert process.wait(timeout=30) != 0
    process.communicate()
    part, = tmp_path.iterdir()
    assert PACKED.startswith(part.read_bytes())
    if how_it_ends == "SIGKILL":  # it could not say that it gave up: two minutes of silence do
        os.utime(part, (time.time() - 120,) * 2)
    assert fetch(file(server, "good"), tmp_path) == CONTENT
    assert server.asked[-1][1] > 0  # it went on
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


def test_files_go_to_minigen_data_else_to_the_users_cache_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("MINIGEN_DATA", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    assert data_folder() == tmp_path / ".cache" / "minigen"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert data_folder() == tmp_path / "xdg" / "minigen"
    monkeypatch.setattr(sys, "platform", "darwin")
    assert data_folder() == tmp_path / "Library" / "Caches" / "minigen"
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "Local"))
    assert data_folder() == tmp_path / "Local" / "minigen"
    monkeypatch.setenv("MINIGEN_DATA", "~/data")
    assert data_folder() == tmp_path / "data"
