"""Calls from several files, functions and threads; says how many there were from each.

Told `go`, it works; `spin N` lets freed code objects give their addresses to others: N calls, each from
code of its own, under names of two kinds in turn. `callback` calls from code inside of calls from other code."""
from __future__ import print_function

import ctypes
import json
import sys
import threading
from operator import is_

from truth import say, thread_id

SOURCE = """
def outer(is_, count):
    for i in range(count):
        is_(i, "outer")

class Shop(object):
    def save(self, is_, count):
        for i in range(count):
            is_(i, "save")
        inner(is_, count)

def inner(is_, count):
    for i in range(count):
        is_(i, "inner")

def call(f, *args):
    return f(*args)
"""
FILES = ["/srv/app/orders.py", "/srv/app/db/rows.py", "/usr/lib/other.py"]
COUNTS = [40, 30, 20]


def load(file):
    names = {}
    exec(compile(SOURCE, file, "exec"), names)
    return names


modules = dict((file, load(file)) for file in FILES)


def work():
    """Three times COUNTS calls from each file."""
    for file, count in zip(FILES, COUNTS):
        modules[file]["outer"](is_, count)
        modules[file]["Shop"]().save(is_, count)


def named(name):
    """Gives the current thread a name (PR_SET_NAME)."""
    ctypes.CDLL(None).prctl(15, ctypes.c_char_p(name.encode()), 0, 0, 0)


def spin(count):
    """Code objects made, called and freed: mine and theirs in turn, at the same addresses as a rule."""
    for i in range(count):
        owner = ("mine", "they")[i % 2]
        exec(compile("is_(%d, kind)" % i, "/x/%s/%06d.py" % (owner, i), "exec"), {"is_": is_, "kind": owner})


release = threading.Event()


def threads(number, count, stay):
    """One after the other: each with a name of its own. They end at once, or stay until the end."""
    ids = {}

    def one(n):
        named("worker-%d" % n)
        ids["worker-%d" % n] = thread_id()
        for i in range(count):
            is_(i, n)
        over.set()
        if stay:
            release.wait()

    for n in range(number):
        over = threading.Event()
        thread = threading.Thread(target=one, args=(n,))
        thread.start()
        over.wait()
        if not stay:
            thread.join()
    return ids


def opens(count):
    """Files that are not there: twice as many of one kind as of the other."""
    for i in range(count):
        try:
            open("/nowhere/no%d.%s" % (i, ("txt", "txt", "log")[i % 3]))
        except EnvironmentError:
            pass


def deep(n):
    return deep(n - 1) if n else is_(0, "deep")


class Key(object):
    """Its comparison calls `is_` from the first file."""

    def __init__(self, n):
        self.n = n

    def __lt__(self, other):
        modules[FILES[0]]["call"](is_, self, other)
        return self.n < other.n


say("ready")
for line in iter(sys.stdin.readline, ""):
    words = line.split()
    if words[0] == "go":
        work()
    elif words[0] == "spin":
        spin(int(words[1]))
    elif words[0] == "threads":
        say(json.dumps(threads(int(words[1]), int(words[2]), "stay" in words)))
    elif words[0] == "open":
        opens(int(words[1]))
    elif words[0] == "deep":
        deep(int(words[1]))
    elif words[0] == "callback":
        for i in range(int(words[1])):
            modules[FILES[2]]["call"](sorted, [Key(2), Key(1)])
    say("done")
release.set()
