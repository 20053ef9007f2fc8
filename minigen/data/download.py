"""Files from the net, into a cache that never holds a wrong one.

    fetch(file, folder)      the content; from the folder, else from the first mirror that has it

1. What arrives is appended to a part file. If the line breaks, the rest is asked for (HTTP Range).
2. The whole is decompressed, and its SHA-256 compared with the one written down in our source.
3. Only then is the part renamed to its final name. A rename happens at once or not at all, so
   another process sees the whole right file, or none.

Each process writes a part of its own. One that gives up leaves its part to whoever comes next.
"""

import gzip
import hashlib
import os
import ssl
import sys
import time
import uuid
import zlib
from contextlib import suppress
from dataclasses import dataclass
from http.client import PARTIAL_CONTENT, REQUESTED_RANGE_NOT_SATISFIABLE, HTTPException
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from tqdm import tqdm

TIMEOUT = 30  # seconds without a byte: the line is dead
ABANDONED = 2 * TIMEOUT  # seconds since the last byte of a part: whoever wrote it is gone
ATTEMPTS = 3  # at one mirror, each from where the last one stopped
BLOCK = 1 << 16  # bytes

LINE_BROKE = (ConnectionError, TimeoutError, HTTPException, ssl.SSLError)


class DownloadError(RuntimeError):
    """A file that could not be had; the message says which, what each mirror did, what to do."""


@dataclass(frozen=True)
class File:
    """A gzip file of a public dataset; `mirrors` are its addresses up to its name."""

    name: str
    mirrors: tuple[str, ...]
    sha256: str
    of_content: bool = True  # whose SHA-256: the decompressed content's, or the .gz file's own

    def unpack(self, packed: bytes) -> bytes:
        """The content of the .gz file. ValueError, with the reason, if it is not the right one."""
        try:
            content = gzip.decompress(packed)
        except (OSError, EOFError, zlib.error) as error:
            raise ValueError(f"not a whole gzip file ({error})") from error
        sha256 = hashlib.sha256(content if self.of_content else packed).hexdigest()
        if sha256 != self.sha256:
            raise ValueError(f"not what was published (SHA-256 {sha256[:12]}..., "
                             f"expected {self.sha256[:12]}...)")
        return content


def data_folder() -> Path:
    """MINIGEN_DATA if that variable of the environment is set, else the user's cache folder."""
    if os.environ.get("MINIGEN_DATA"):
        return Path(os.environ["MINIGEN_DATA"]).expanduser()
    if sys.platform == "win32":
        cache = os.environ.get("LOCALAPPDATA") or "~/AppData/Local"
    elif sys.platform == "darwin":
        cache = "~/Library/Caches"
    else:
        cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(cache).expanduser() / "minigen"


def fetch(file: File, folder: Path) -> bytes:
    """The decompressed content of a file: from the folder if it is there, else downloaded into it.

    Raises DownloadError if no mirror gives it, if the folder cannot be written to, and if the
    folder holds another file of that name: that may be somebody's own, so it is left alone.
    """
    path = folder / file.name
    try:
        if path.exists():
            return file.unpack(path.read_bytes())
        return _download(file, path)
    except ValueError as error:
        raise DownloadError(f"{path}: {error}. Delete it, and it will be downloaded") from error
    except OSError as error:
        raise DownloadError(f"{path}: cannot be read or written ({error}). Set MINIGEN_DATA to a "
                            "folder of your own") from error


def _download(file: File, path: Path) -> bytes:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = _claim_part(path)
    answers = []
    try:
        for mirror in file.mirrors:
            try:
                content = _from_mirror(file, mirror + file.name, part)
                os.replace(part, path)
                return content
            except ValueError as error:
                answers.append(f"  {mirror}{file.name}: {error}")
    finally:
        _leave_part(part)
    raise DownloadError("\n".join([
        f"{file.name} could not be downloaded into {path.parent}. What each mirror did:", *answers,
        "Try again later: what has arrived is kept. Or get the file by hand, from any of these,",
        f"and save it as {path}.",
        f"Or set MINIGEN_DATA to a folder that holds {path.parent.name}/{path.name}."]))


def _from_mirror(file: File, url: str, part: Path) -> bytes:
    """The content, with the .gz file left in `part`. ValueError says what the mirror did."""
    for _ in range(ATTEMPTS):
        begun = part.stat().st_size
        try:
            _append_rest(url, part)
            return file.unpack(part.read_bytes())
        except LINE_BROKE as error:
            problem = f"the line broke, {ATTEMPTS} times ({error})"
        except HTTPError as error:
            error.close()
            problem = f"HTTP {error.code} {error.reason}"
            if error.code != REQUESTED_RANGE_NOT_SATISFIABLE:
                break
            os.truncate(part, 0)
        except URLError as error:
            problem = f"no connection ({error.reason})"
            break
        except ValueError as error:
            problem = f"sent {error}"
            os.truncate(part, 0)
            if not begun:  # else it may be what was begun elsewhere: mirrors compress differently
                break
    raise ValueError(problem)


def _append_rest(url: str, part: Path) -> None:
    """Ask for what `part` lacks, and append it; if the server knows no ranges, start anew."""
    begun = part.stat().st_size
    request = Request(url, headers={"Range": f"bytes={begun}-"} if begun else {})
    with urlopen(request, timeout=TIMEOUT) as answer:
        if answer.status != PARTIAL_CONTENT:
            os.truncate(part, 0)
            begun = 0
        length = answer.headers.get("Content-Length")
        size = begun + int(length) if length else None
        bar = tqdm(desc=url.rpartition("/")[2], initial=begun, total=size, unit="B",
                   unit_scale=True, disable=None)
        with bar, open(part, "ab") as out:
            while block := answer.read(BLOCK):
                out.write(block)
                bar.update(len(block))
    if size is not None and part.stat().st_size < size:
        raise ConnectionError(f"after {part.stat().st_size:,} of {size:,} bytes")


def _claim_part(path: Path) -> Path:
    """A part file that is ours alone, with what an earlier process has left, if one has."""
    part = path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}.part")
    for left in path.parent.glob(f"{path.name}.*.part"):
        with suppress(OSError):  # somebody else was faster
            if time.time() - left.stat().st_mtime > ABANDONED:
                os.replace(left, part)
                break
    part.touch()
    return part


def _leave_part(part: Path) -> None:
    """Set its clock back, so that nobody takes it for a part in use; an empty one goes."""
    with suppress(FileNotFoundError):  # it has been renamed: the download succeeded
        os.utime(part, (0, 0))
        if part.stat().st_size == 0:
            part.unlink()
