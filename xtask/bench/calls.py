"""Calls a C function with two arguments in a loop, N times for every line "N" on standard
input, and answers with the nanoseconds one call took. `posix.write` goes to /dev/null; `STORE_ATTR`
is that bytecode instead of a call."""
from __future__ import print_function

import importlib
import os
import sys
import time

clock = getattr(time, "perf_counter", time.time)


class Object(object):
    pass


def function(name):
    module, _, attribute = name.rpartition(".")
    return getattr(importlib.import_module(module), attribute)


def arguments(name):
    if name == "posix.write":
        return os.open(os.devnull, os.O_WRONLY), b"a short string"
    return 1234567, "a short string"


def measure(call, count, a, b):
    calls = [None] * count
    start = clock()
    for _ in calls:
        call(a, b)
    return (clock() - start) * 1e9 / count


def measure_store(_, count, a, b):
    o, stores = Object(), [None] * count
    start = clock()
    for _ in stores:
        o.attribute = b
    return (clock() - start) * 1e9 / count


def main():
    store = sys.argv[1] == "STORE_ATTR"
    call = None if store else function(sys.argv[1])
    a, b = arguments(sys.argv[1])
    by = measure_store if store else measure
    print("ready")
    sys.stdout.flush()
    for line in iter(sys.stdin.readline, ""):
        print(by(call, int(line), a, b))
        sys.stdout.flush()


main()
