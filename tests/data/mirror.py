"""A mirror on this machine that serves one gzip file, in as many bad ways as real ones do.

The first folder of the address says how: http://127.0.0.1:PORT/corrupt/file.gz.
"""

import gzip
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np

CONTENT = np.random.default_rng(0).integers(0, 256, 400_000, dtype=np.uint8).tobytes()
PACKED = gzip.compress(CONTENT, 1, mtime=0)
REPACKED = gzip.compress(CONTENT, 9, mtime=1)  # the same content, other bytes
HALF = len(PACKED) // 2
CORRUPT = PACKED[:HALF] + bytes([PACKED[HALF] ^ 1]) + PACKED[HALF + 1:]
OTHER = gzip.compress(CONTENT[::-1])


class Handler(BaseHTTPRequestHandler):
    """GET with Range. Each request is noted in `server.asked` as (how, first byte asked for)."""

    def do_GET(self):
        how = self.path.split("/")[1]
        start = int((self.headers.get("Range") or "bytes=0-")[len("bytes="):-1])
        self.server.asked.append((how, start))
        if how.isdigit():
            self.send_error(int(how))
        elif how == "page":
            self.send(b"<html>Please log in to this network.</html>")
        elif how == "other":
            self.send(OTHER)
        elif how == "ignores-range":
            self.send(PACKED)
        elif how == "shifts-range":  # says yes, and starts at the wrong byte
            self.send(PACKED, max(0, start - 7), 206)
        elif start >= len(PACKED):
            self.send_error(416)
        else:
            self.serve(how, start)

    def serve(self, how, start):
        packed = {"corrupt": CORRUPT, "repacked": REPACKED}.get(how, PACKED)
        status = 206 if start else 200
        if how == "hangs":
            time.sleep(1)
        elif how == "truncates" or how == "dies-once" and start == 0:
            self.send(packed, start, status, stop=start + (len(packed) - start) // 2)
        elif how == "together":  # no answer before two have asked
            self.server.two.wait(timeout=30)
            self.send(packed, start, status, pause=0.01)
        elif how == "slow":
            self.send(packed, start, status, pause=0.05)
        else:
            self.send(packed, start, status)

    def send(self, packed, start=0, status=200, stop=None, pause=0.0):
        """Promise all from `start`, and keep the promise up to `stop`."""
        self.send_response(status)
        self.send_header("Content-Length", str(len(packed) - start))
        self.end_headers()
        for first in range(start, stop or len(packed), 20_000):
            self.wfile.write(packed[first:min(first + 20_000, stop or len(packed))])
            self.wfile.flush()
            time.sleep(pause)

    def log_message(self, *args):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        pass  # a client that hangs up is part of the play


@contextmanager
def serving():
    """The server, with `server.url("how")` and `server.asked`."""
    server = Server(("127.0.0.1", 0), Handler)
    server.asked = []
    server.two = threading.Barrier(2)
    server.url = lambda how: f"http://127.0.0.1:{server.server_address[1]}/{how}/"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()
