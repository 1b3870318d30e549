"""Calls a C function with two arguments in a loop, N times for every line "N" on standard
input, and answers with the nanoseconds one call took. `posix.write` goes to /dev/null; `STORE_ATTR` and `LOAD_GLOBAL`
are those bytecodes instead of a call, `python` a Python function; `python+setprofile` and `python+monitoring` are that under a
tracer in the process, which keeps names, arguments and results."""
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


def measure_load(_, count, a, b):
    loads = [None] * count
    start = clock()
    for _ in loads:
        Object
    return (clock() - start) * 1e9 / count


BYTECODES = {"STORE_ATTR": measure_store, "LOAD_GLOBAL": measure_load}


def called(a, b):
    return a


kept = []


def profile(frame, event, argument):
    if event == "call":
        kept.append((time.time(), frame.f_code.co_name, dict(frame.f_locals)))
    elif event == "return":
        kept.append((time.time(), argument))
    del kept[:-100]


def monitor():
    monitoring = sys.monitoring
    monitoring.use_tool_id(3, "bench")

    def start(code, offset):
        kept.append((time.time(), code.co_name, dict(sys._getframe(1).f_locals)))
        del kept[:-100]

    def end(code, offset, value):
        kept.append((time.time(), value))

    events = monitoring.events
    monitoring.register_callback(3, events.PY_START, start)
    monitoring.register_callback(3, events.PY_RETURN, end)
    monitoring.set_local_events(3, called.__code__, events.PY_START | events.PY_RETURN)


def main():
    python, _, tracer = sys.argv[1].partition("+")
    if tracer == "monitoring" and not hasattr(sys, "monitoring"):
        return
    if python == "python":
        print("ready")
        sys.stdout.flush()
        for line in iter(sys.stdin.readline, ""):
            if tracer == "setprofile":
                sys.setprofile(profile)
            elif tracer == "monitoring":
                monitor()
                tracer = None
            taken = measure(called, int(line), 1234567, "a short string")
            sys.setprofile(None)
            print(taken)
            sys.stdout.flush()
        return
    by = BYTECODES.get(sys.argv[1], measure)
    call = function(sys.argv[1]) if by is measure else None
    a, b = arguments(sys.argv[1])
    print("ready")
    sys.stdout.flush()
    for line in iter(sys.stdin.readline, ""):
        print(by(call, int(line), a, b))
        sys.stdout.flush()


main()
