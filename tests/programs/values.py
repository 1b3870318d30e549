"""Every kind of value through C functions of several calling conventions."""
from __future__ import print_function

import collections
import io
import operator
import os
import unicodedata

from truth import call, ready, report
from truth_value import range_type

try:
    import enum
except ImportError:
    enum = None

Point = collections.namedtuple("Point", "x y")


class Int(int):
    pass


class Str(type(u"")):
    pass


class Float(float):
    pass


class List(list):
    pass


class Dict(dict):
    pass


class Set(set):
    pass


class Plain(object):
    def __init__(self):
        self.a, self.b = 1, "two"

    def method(self):
        pass


class Slots(object):
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


def of_some_versions():
    """What older versions do not have."""
    values = []
    if enum:
        values += [enum.IntEnum("Color", "RED").RED]
    if "ExceptionGroup" in dir(__builtins__):
        values += [ExceptionGroup("g", [ValueError(1)])]  # noqa: F821
    return values


VALUES = [
    0, 1, -1, 2**30 - 1, 2**30, -(2**30), 2**53 - 1, 2**53, -(2**53), 2**60, 2**64, -(2**64), 2**1000, -(2**1024) + 1,
    3**900, -(7**700),
    0.0, -0.0, 1.5, 1e300, 5e-324, 1e16, 1e-5, float("nan"), float("inf"), float("-inf"), True, False, None,
    "", u"ascii", u"caf\xe9", u"\u20ac uro", u"\U0001f600 smile", u"a\0b\x1b[31m\n", u"\ud800 lone", "'\"",
    "x" * 256, "x" * 257, u"\xe9" * 300, u"\u20ac" * 128, u"\u20ac" * 129, u"\U0001f600" * 65,
    b"", b"bytes\0\xff", b"y" * 300, bytearray(b"array"), bytearray(b"z" * 257), memoryview(b"view"),
    memoryview(bytearray(300)),
    1j, complex(-1.5, 2), complex(float("nan"), float("inf")), range_type(3), range_type(1, 10**15, 7), slice(1, None, "s"),
    Int(5), Int(2**62), Str("sub"), Str(u"\u20ac"), Float(2.5),
    int, Plain, type, os, function, Plain.method, Plain().method, len, [].append, os.getpid, io.StringIO,
    ValueError(), KeyError("k"), Custom(1, [2], "x"), OSError(2, "no", "file"),
    Plain(), Slots(), object(), lambda: 0, iter([1]), NotImplemented, Ellipsis,
] + lists() + of_some_versions()


# Python 2 makes some types ready when they are first looked into; before that they have no methods to find.
old_normalize = unicodedata.ucd_3_2_0.normalize


def main():
    ready()
    for value in VALUES:
        call(operator.truth, value)
        call(operator.is_, value, None)
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
    # One C function under several names: what it is called on says which.
    for made in {1}, frozenset([1]), Set([1]):
        call(made.__contains__, 1)
    call(unicodedata.normalize, "NFC", u"e\u0301")
    call(old_normalize, "NFC", u"e\u0301")
    call(operator.is_)
    call(os.getpid)
    report()


main()
