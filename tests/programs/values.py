"""Every kind of value through C functions of several calling conventions."""
import _operator
import collections
import enum
import io
import os

from truth import call, ready, report

Point = collections.namedtuple("Point", "x y")


class Color(enum.IntEnum):
    RED = 1


class Int(int):
    pass


class Str(str):
    pass


class Float(float):
    pass


class List(list):
    pass


class Dict(dict):
    pass


class Set(set):
    pass


class Plain:
    def __init__(self):
        self.a, self.b = 1, "two"

    def method(self):
        pass


class Slots:
    __slots__ = ("a",)


class Custom(Exception):
    pass


def function():
    pass


def lists():
    cyclic = [1]
    cyclic.append(cyclic)
    holes = {n: str(n) for n in range(6)}
    del holes[0], holes[3]
    sparse = set(range(200))
    for n in range(0, 200, 3):
        sparse.discard(n)
    return [
        [], [1, [2, [3, [4, [5]]]]], list(range(16)), list(range(17)), cyclic,
        (), (1,), ((((1,),),),), tuple(range(40)),
        set(), {1}, frozenset(), frozenset("ab"), set(range(30)), sparse,
        {}, {"a": 1}, {1: {2: {3: {4: 5}}}}, {n: n for n in range(20)}, holes, {(1, 2): [3]},
        Plain().__dict__, collections.OrderedDict(a=1), collections.defaultdict(list, a=[1]),
        collections.Counter("aab"), Point(1, 2), List([1]), Dict(a=1), Set([1]),
    ]


VALUES = [
    0, 1, -1, 2**30 - 1, 2**30, -(2**30), 2**53 - 1, 2**53, -(2**53), 2**60, 2**64, -(2**64), 2**1000, -(2**1024) + 1,
    3**900, -(7**700),
    0.0, -0.0, 1.5, 1e300, 5e-324, 1e16, 1e-5, float("nan"), float("inf"), float("-inf"), True, False, None,
    "", "ascii", "caf\xe9", "\u20ac uro", "\U0001f600 smile", "a\0b\x1b[31m\n", "\ud800 lone", "'\"",
    "x" * 256, "x" * 257, "\xe9" * 300, "\u20ac" * 128, "\u20ac" * 129, "\U0001f600" * 65,
    b"", b"bytes\0\xff", b"y" * 300, bytearray(b"array"), bytearray(b"z" * 257), memoryview(b"view"),
    memoryview(bytearray(300)),
    1j, complex(-1.5, 2), complex(float("nan"), float("inf")), range(3), range(1, 10**20, 7), slice(1, None, "s"),
    *lists(),
    Int(5), Int(2**70), Str("sub"), Str("\u20ac"), Float(2.5), Color.RED,
    int, Plain, type, os, function, Plain.method, Plain().method, len, [].append, os.getpid, io.StringIO,
    ValueError(), KeyError("k"), Custom(1, [2], "x"), OSError(2, "no", "file"), ExceptionGroup("g", [ValueError(1)]),
    Plain(), Slots(), object(), lambda: 0, iter([1]), NotImplemented, ...,
]


def main():
    ready()
    for value in VALUES:
        call(_operator.truth, value)
        call(_operator.is_, value, None)
    for value in VALUES:
        box = [value]
        call(box.pop)
        call({}.get, "missing", value)
    # METH_FASTCALL|METH_KEYWORDS and METH_VARARGS|METH_KEYWORDS (up to 3.12), with and without keywords.
    out = io.StringIO()
    call(print, "a", 1, sep="-", end="", file=out)
    call(print, file=out)
    call(max, 1, 5, 3)
    call(max, [1, 5, 3], key=abs, default=None)
    call(_operator.is_)
    call(os.getpid)
    report()


main()
