"""Calls a C function with two arguments in a loop, N times for every line "N" on standard
input, and answers with the nanoseconds one call took."""
import importlib
import sys
import time


def function(name):
    module, _, attribute = name.rpartition(".")
    return getattr(importlib.import_module(module), attribute)


def measure(call, count):
    a, b = 1234567, "a short string"
    start = time.perf_counter_ns()
    for _ in range(count):
        call(a, b)
    return (time.perf_counter_ns() - start) / count


def main():
    call = function(sys.argv[1])
    print("ready", flush=True)
    for line in sys.stdin:
        print(measure(call, int(line)), flush=True)


main()
