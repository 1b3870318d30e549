"""Calls a C function with two arguments in a loop, N times for every line "N" on standard
input, and answers with the nanoseconds one call took."""
from __future__ import print_function

import importlib
import sys
import time

clock = getattr(time, "perf_counter", time.time)

def function(name):
    module, _, attribute = name.rpartition(".")
    return getattr(importlib.import_module(module), attribute)


def measure(call, count):
    a, b = 1234567, "a short string"
    calls = [None] * count
    start = clock()
    for _ in calls:
        call(a, b)
    return (clock() - start) * 1e9 / count


def main():
    call = function(sys.argv[1])
    print("ready")
    sys.stdout.flush()
    for line in iter(sys.stdin.readline, ""):
        print(measure(call, int(line)))
        sys.stdout.flush()


main()
