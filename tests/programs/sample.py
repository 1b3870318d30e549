"""Calls without pause, and a few among them, which the program counts itself by function and line."""
from __future__ import print_function

import collections
import io
import json
import operator
import os
import sys
import tempfile
import threading

from truth import say

TABLE = dict((n, -n) for n in range(8))
THREADS = 4
HOT = 25000
LOCK = threading.Lock()
# By function and line: calls that did not raise.
counts = {}
# Line and argument of those that did.
errors = []
# Arguments of calls that are rare.
rare = []


def note(function, n=1, line=None):
    with LOCK:
        key = (function, line or sys._getframe(1).f_lineno)
        counts[key] = counts.get(key, 0) + n


def hot(thread):
    getitem, here, raised = operator.getitem, {}, []
    concat = operator.concat
    for i in range(HOT):
        key = i % 8
        if i % 500 == 7:
            key = (thread, i)
        try:
            getitem(TABLE, key); here["getitem"] = sys._getframe().f_lineno
        except KeyError:
            raised.append([sys._getframe().f_lineno - 2, key])
        if i % 1000 == 500:
            concat((thread,), (i,)); here["concat"] = sys._getframe().f_lineno
        getitem(TABLE, 3); here["second"] = sys._getframe().f_lineno
    note("getitem", HOT - len(raised), here["getitem"])
    note("getitem", HOT, here["second"])
    note("concat", HOT // 1000, here["concat"])
    with LOCK:
        errors.extend(["getitem", line, list(key)] for line, key in raised)
        rare.extend([[thread], [i]] for i in range(500, HOT, 1000))


class Raw(io.RawIOBase):
    """Is written to inside of another call's act."""

    def writable(self):
        return True

    def write(self, data):
        operator.getitem(TABLE, 1), note("getitem")
        return len(data)


def acts(path):
    """Acts that have others inside."""
    text = io.open(path, "w"); note("open")
    for i in range(4000):
        text.write(u"some text"), note("_io.TextIOWrapper.write")
        text.flush(), note("_io.TextIOWrapper.flush")
    text.close(), note("_io.TextIOWrapper.close")
    buffered = io.BufferedWriter(Raw(), 16)
    for i in range(2000):
        buffered.write(b"x" * 40), note("_io.BufferedWriter.write")
    buffered.close(), note("_io.BufferedWriter.close")


def filled(path):
    """Calls that fill what they are given."""
    raw, buffer = io.FileIO(path), bytearray(9); note("_io.FileIO.__init__")
    for i in range(3000):
        raw.seek(0), note("_io.FileIO.seek")
        raw.readinto(buffer), note("_io.FileIO.readinto")
        if i % 300 == 5:
            try:
                raw.readinto(i)
            except TypeError:
                errors.append(["_io.FileIO.readinto", sys._getframe().f_lineno - 2, i])
    raw.close(), note("_io.FileIO.close")


def around():
    """Calls that run others' code, of which each is shown for itself."""
    for i in range(1000):
        sorted([3, 1, 2], key=lambda n: operator.getitem(TABLE, n)), note("sorted"), note("getitem", 3)


class Plain(object):
    pass


def stores():
    """Bytecodes, some of which do their work by calls of functions that are traced too."""
    of_dict, of_list, of_deque, plain = {}, [0] * 8, collections.deque([0] * 8), Plain()
    for i in range(5000):
        of_dict[i % 8] = i; line = sys._getframe().f_lineno
        of_list[i % 8] = i
        of_deque[i % 8] = i
        plain.x = i
    for n, op in enumerate(["STORE_SUBSCR"] * 3 + ["STORE_ATTR"]):
        note(op, 5000, line + n)


def main():
    path = os.path.join(tempfile.gettempdir(), "sample.%d" % os.getpid())
    threads = [threading.Thread(target=hot, args=(n,)) for n in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    acts(path)
    filled(path)
    around()
    os.unlink(path), note("unlink")


say("ready")
for line in iter(sys.stdin.readline, ""):
    del errors[:], rare[:]
    counts.clear()
    stores() if line.strip() == "stores" else main()
    rows = [[function, line, n] for (function, line), n in counts.items()]
    say(json.dumps({"counts": rows, "errors": errors, "rare": rare}))
    say("done")
