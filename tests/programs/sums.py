"""Calls from several lines and threads, which the program counts itself: how many, how many raised, how many bytes they moved."""
from __future__ import print_function

import io
import os
import socket
import sys
import tempfile
import threading

from rounds import rounds

PYTHON2 = sys.version_info < (3,)
FILE = "__builtin__.file." if PYTHON2 else "_io.TextIOWrapper."
did = []
NESTED = 30
# `MAX_OPEN` of tracer-common: of deeper calls the end is not seen.
MAX_OPEN = 16


class Counts:
    def __init__(self):
        self.did = {}
        self.lock = threading.Lock()

    def note(self, function, moved=0, errors=0, unobserved=0, calls=1):
        """One call of that function from the line that calls this."""
        line = sys._getframe(1).f_lineno
        with self.lock:
            counts = self.did.setdefault((function, line), [0, 0, 0, 0])
            for i, n in enumerate((calls, errors, unobserved, moved)):
                counts[i] += n

    def rows(self):
        return sorted([function, line] + counts for (function, line), counts in self.did.items())


def deep(n):
    if n:
        max([n], key=lambda _: deep(n - 1))


def work(counts, name, times):
    note = counts.note
    mine, other = socket.socketpair()
    buffer = bytearray(100)
    for i in range(times):
        os.stat("/"), note("posix.stat")
        try:
            note("posix.stat", errors=1), os.stat("/no/such/file")
        except OSError:
            pass
        mine.sendall(b"x" * i), note("_socket.socket.sendall", moved=i)
        note("_socket.socket.send", moved=mine.send(bytearray(b"y" * 7)))
        note("_socket.socket.recv", moved=len(other.recv(5)))
        note("_socket.socket.recv_into", moved=other.recv_into(buffer, 2))
        left = i
        while left:
            data = other.recvfrom(1000)[0]; note("_socket.socket.recvfrom", moved=len(data))
            left -= len(data)
    out = os.open(name, os.O_RDWR | os.O_CREAT)
    for i in range(times):
        note("posix.write", moved=os.write(out, b"z" * (300 * i)))
    os.lseek(out, 0, 0)
    for i in range(times):
        note("posix.read", moved=len(os.read(out, 1000)))
    os.close(out)
    with open(name, "w") as text:
        for i in range(times):
            text.write("line\n"), note(FILE + "write", moved=5)
    with io.open(name, "rb") as data:
        for i in range(times):
            note("_io.BufferedReader.read", moved=len(data.read(3)))
    for i in range(times):
        deep(NESTED)
    mine.close()
    other.close()


def main():
    counts = Counts()
    names = [tempfile.mktemp() for _ in range(4)]
    threads = [threading.Thread(target=work, args=(counts, name, 10 + i)) for i, name in enumerate(names)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for name in names:
        os.unlink(name)
    times = sum(10 + i for i in range(4))
    line = deep.__code__.co_firstlineno + 2
    name = "builtins.max" if not PYTHON2 else "__builtin__.max"
    counts.did[name, line] = [NESTED * times, 0, (NESTED - MAX_OPEN) * times, 0]
    did.extend(counts.rows())


rounds(main, did)
