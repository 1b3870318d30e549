"""Raises exceptions in every way there is. With TRUTH in the environment it is its own tracer, and writes down the first
frame of each; without, it only does it."""
from __future__ import print_function

import dis
import json
import os
import sys

from truth_value import encode

seen = []


def opcode(frame):
    found = frame.f_code.co_code[frame.f_lasti]
    return dis.opname[found if isinstance(found, int) else ord(found)]


def trace(frame, event, argument):
    if event == "exception":
        t, value, traceback = argument
        # Without a traceback: a loop's end, which no frame sees. With another frame in it: it came from there, unless it is
        # raised once more.
        if traceback is not None and (traceback.tb_next is None or opcode(frame) == "RAISE_VARARGS"):
            if not isinstance(value, BaseException):
                value = t() if value is None else t(*value) if isinstance(value, tuple) else t(value)
            code = frame.f_code
            seen.append([
                "%s.%s" % (t.__module__, getattr(t, "__qualname__", t.__name__)),
                [encode(a) for a in value.args],
                getattr(code, "co_qualname", code.co_name),
                os.path.basename(code.co_filename),
                frame.f_lineno,
            ])
    return trace


class Own(Exception):
    def __init__(self, *args, **kwargs):
        Exception.__init__(self, *args)


class Odd(object):
    @property
    def attribute(self):
        raise AttributeError("odd")

    def __getattr__(self, name):
        raise AttributeError(name)

    def __hash__(self):
        raise TypeError("no hash")


def plain(n):
    raise ValueError("plain", n)


def of_type():
    raise KeyError


def through(depth):
    if depth == 0:
        return plain(depth)
    return through(depth - 1)


def caught_and_raised_again():
    try:
        plain(1)
    except ValueError:
        raise


def finally_and_else():
    try:
        try:
            plain(2)
        finally:
            [].pop
    except ValueError as error:
        raise Own("instead", 3)


def kept():
    try:
        plain(3)
    except ValueError as error:
        found = error
    raise found


def generator():
    try:
        yield 1
        plain(4)
    except ValueError:
        yield 2
    yield 3


def delegating():
    iterator = generator()
    for item in iterator:
        yield item
    next(iterator)


def in_callback(n):
    sorted([1, 2], key=plain)


def by_c(n):
    ways = [
        lambda: int("x"),
        lambda: {}["key"],
        lambda: [][5],
        lambda: 1 // 0,
        lambda: open("/nonexistent/file"),
        lambda: os.stat("/nonexistent/file"),
        lambda: nosuchname,
        lambda: None.attribute,
        lambda: b"\xff".decode("utf-8"),
        lambda: next(iter(())),
        lambda: len(5),
        lambda: getattr(5, "x"),
        lambda: __import__("nosuchmodule"),
        lambda: {}[Odd()],
        lambda: Odd().missing,
        lambda: eval("1 +"),
        lambda: eval("[1][n]", {"n": n}),
    ]
    ways[n % len(ways)]()


def swallowed_by_c(n):
    hasattr(Odd(), "attribute")
    getattr(Odd(), "other", None)


def main():
    for n in range(40):
        for act in [lambda: plain(n), of_type, lambda: through(5), caught_and_raised_again, finally_and_else, kept,
                    lambda: list(delegating()), lambda: in_callback(n), lambda: by_c(n), lambda: swallowed_by_c(n)]:
            try:
                act()
            except Exception:
                pass
        thrown = generator()
        next(thrown)
        thrown.throw(ValueError("thrown"))
        thrown.close()


TRUTH = "TRUTH" in os.environ
print("ready")
sys.stdout.flush()
for line in iter(sys.stdin.readline, ""):
    if TRUTH:
        sys.settrace(trace)
    main()
    sys.settrace(None)
    print(json.dumps(seen))
    print("done")
    sys.stdout.flush()
