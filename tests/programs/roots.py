"""Objects in every state that the encoder tells apart, and what they are.

Prints a JSON line for each root: where it is, and what an event has to say about it. Then stays
in a stack of frames of every sort until its input ends. It reads one line first: the offsets in
`PyThreadState` of the current exception's type (-1: there is none) and value.
"""
from __future__ import print_function

import array
import collections
import ctypes
import io
import json
import operator
import os
import re
import sys
import threading
import time
import types

import truth_value
from truth_value import MAX_ITEMS, PYTHON2, encode, exception_args, ident, name_of

builtins = sys.modules["__builtin__" if PYTHON2 else "builtins"]

# Whatever is pointed to stays.
kept = []
UNSAID = object()


def say(**root):
    print(json.dumps(root))
    sys.stdout.flush()


def value(o, truth=UNSAID):
    kept.append(o)
    truth = encode(o) if truth is UNSAID else truth
    say(value=id(o), truth={"outcome": "return", "result": truth})


class Int(int):
    pass


class Long(truth_value.ints[-1]):
    pass


class Text(truth_value.text_type):
    pass


class Bytes(bytes):
    pass


class Float(float):
    pass


class Deep(Float):
    pass


class Deeper(Deep):
    pass


class Complex(complex):
    pass


class ByteArray(bytearray):
    pass


class List(list):
    pass


class Tuple(tuple):
    pass


class Dict(dict):
    pass


class Set(set):
    pass


class FrozenSet(frozenset):
    pass


class Module(types.ModuleType):
    pass


class Meta(type):
    pass


Made = Meta("Made", (object,), {"__module__": "made.up"})
Point = collections.namedtuple("Point", "x y")


class Old:
    """Old-style in Python 2."""

    def method(self):
        pass


class Plain(object):
    def __init__(self, *names):
        for i, name in enumerate(names):
            setattr(self, name, i)

    def method(self):
        pass

    @classmethod
    def of_class(cls):
        pass


class Callable(object):
    def __call__(self):
        pass


class Slots(object):
    __slots__ = ("a",)


class Custom(Exception):
    pass


def function():
    pass


def numbers():
    for n in (0, 1, 2**30 - 1, 2**30, 2**53 - 1, 2**53, 2**60 - 1, 2**60, 2**62, 2**63 - 1, 2**64, 3**190, 2**1049):
        value(n)
        value(-n)
    for n in (2**1050, 3**900, 7**4000, 2**60001):
        value(n, cut_int(n))
        value(-n, cut_int(-n))
    if PYTHON2:
        for n in (0, 1, -1, 2**30, -(2**53)):
            value(truth_value.ints[1](n))
    for x in (0.0, -0.0, 1.5, 1e300, 5e-324, 1e16, 1e-5, float("nan"), float("inf"), -float("inf")):
        value(x)
    for x in (1j, complex(-1.5, 2), complex(float("nan"), float("inf")), True, False, None):
        value(x)
    value(Int(5))
    value(Long(2**70))
    value(Long(-3))
    far = Float
    for _ in range(10):
        far = type("Far", (far,), {})
    # So many base classes are not looked at.
    far = far(1.5)
    value(far, {"object": "__main__.Far", "id": ident(far)})
    for x in (Float(2.5), Deeper(-1.5), Complex(1, -2)):
        value(x)


def cut_int(n):
    """What can be said of an int by its 35 most significant digits of 30 bits."""
    sign, n = "-" if n < 0 else "", abs(n)
    digits = -(-n.bit_length() // 30)
    shift = 30 * (digits - 35)
    low, high = str(n >> shift << shift), str(((n >> shift) + 1) << shift)
    if digits > 2000:
        return {"int": sign, "bits": n.bit_length()}
    certain = next(i for i in range(len(low)) if low[i] != high[i])
    return {"int": sign + low[:min(certain, 64)], "len": len(low)}


def strings():
    for s in (u"", u"a", u"ascii", u"caf\xe9", u"\u20ac uro", u"\U0001f600 smile", u"a\0b\x1b[31m\n", u"'\"", u"\ud800"):
        value(s)
    for s in (u"x" * 256, u"x" * 257, u"\xe9" * 300, u"\u20ac" * 128, u"\u20ac" * 129, u"\U0001f600" * 65):
        value(s)
    for s in (u"sub", u"caf\xe9", u"\u20ac", u"\U0001f600", u"x" * 300):
        value(Text(s))
    for b in (b"", b"b", b"bytes\0\xff", b"y" * 31, b"y" * 32, b"y" * 33, b"y" * 300):
        value(b)
        value(bytearray(b))
    cut_front = bytearray(b"0123456789abcdef")
    del cut_front[:7]
    value(cut_front)
    value(Bytes(b"sub"))
    value(ByteArray(b"sub"))
    legacy_strings()


def legacy_strings():
    """Strings of `wchar_t` that are not in their final form, and the form they get then (3.6 to 3.11)."""
    if PYTHON2 or not hasattr(ctypes.pythonapi, "PyUnicode_FromUnicode"):
        return
    new, characters = ctypes.pythonapi.PyUnicode_FromUnicode, ctypes.pythonapi.PyUnicode_AsUnicode
    new.argtypes, new.restype = [ctypes.c_void_p, ctypes.c_ssize_t], ctypes.c_void_p
    characters.argtypes, characters.restype = [ctypes.c_void_p], ctypes.c_void_p
    ready = ctypes.pythonapi.PyObject_Hash
    ready.argtypes, ready.restype = [ctypes.c_void_p], ctypes.c_ssize_t
    for s in ("legacy", "caf\xe9", "\u20ac uro", "\U0001f600 smile", "x" * 70, "\xe9" * 300):
        for make_ready in (False, True):
            address = new(None, len(s))
            ctypes.memmove(characters(address), ctypes.create_unicode_buffer(s), 4 * len(s))
            if make_ready:
                ready(address)
            truth = encode(s)
            if not make_ready and len(s) > 64:
                truth = {"str": s[:64], "len": len(s)}
            say(value=address, truth={"outcome": "return", "result": truth})


def views():
    value(memoryview(b"view"))
    value(memoryview(bytearray(300)))
    value(memoryview(b"0123456789")[2:5])
    if PYTHON2:
        return
    value(memoryview(array.array("i", [1, 2, 3])))
    value(memoryview(b"0123456789")[::2])
    value(memoryview(b"0123456789")[::-1])
    value(memoryview(b"01234567").cast("B", [2, 4]))
    value(memoryview(b"0").cast("B", []))
    released = memoryview(b"gone")
    released.release()
    value(released)


def containers():
    for o in ([], [1, [2, [3, [4, [5]]]]], list(range(16)), list(range(17)), List([1]), [None] * 3):
        value(o)
    for o in ((), (1,), ((((1,),),),), tuple(range(40)), Point(1, 2), Tuple([1, u"two"])):
        value(o)
    sparse = set(range(200))
    for n in range(0, 200, 3):
        sparse.discard(n)
    few = set([1, 2, 3])
    few.discard(2)
    for o in (set(), set([1]), frozenset(), frozenset(u"ab"), set(range(30)), sparse, few, Set([1]), FrozenSet([2])):
        value(o)
    cyclic = [1]
    cyclic.append(cyclic)
    value(cyclic)
    shared = [u"shared"]
    value([shared, shared, (shared,)])
    value([[[[]]], {1: {2: {3: {}}}}, [[set([1])]], [[frozenset()]], [[(1, 2)]]])


def dicts():
    holes = dict((n, str(n)) for n in range(6))
    del holes[0], holes[3]
    emptied = dict((str(n), n) for n in range(20))
    for n in range(18):
        del emptied[str(n)]
    cyclic = {}
    cyclic[u"me"] = cyclic
    for o in ({}, {u"a": 1}, {b"a": 1}, {1: {2: {3: {4: 5}}}}, dict((n, n) for n in range(20)), holes, emptied, cyclic):
        value(o)
    for n in (300, 70000):
        value(dict((i, None) for i in range(n)))
        value(dict((str(i), None) for i in range(n)))
    value({(1, 2): [3], frozenset(): None})
    cleared = {1: 2}
    cleared.clear()
    value(cleared)
    value(collections.OrderedDict([(u"b", 1), (u"a", 2)]))
    value(collections.defaultdict(list, a=[1]))
    value(collections.Counter("aab"))
    value(Dict(a=1))
    if hasattr(builtins, "frozendict"):
        frozen = builtins.frozendict
        for o in (frozen(), frozen({1: [2]}), type("Frozen", (frozen,), {})(c=frozen(d=4))):
            value(o)
    split_dicts()


def split_dicts():
    """Dicts of instances, whose keys are the class's."""
    kept.append([Plain("a", "b", "c") for _ in range(3)])
    plain, other_order, fewer = Plain("a", "b", "c"), Plain("c", "a"), Plain("b")
    deleted, again, emptied = Plain("a", "b", "c"), Plain("a", "b", "c"), Plain("a")
    del deleted.a
    del again.a
    again.a = 5
    del emptied.a
    many = Plain(*["name%d" % n for n in range(25)])
    for o in (plain, other_order, fewer, deleted, again, emptied, many, Plain()):
        kept.append(o)
        value(o.__dict__)


def named_things():
    things = [int, object, type, Plain, Made, Made(), Meta, Old, Old(), os, sys, function]
    things += [Module("made_up")]
    things += [Plain.method, Plain().method, Plain.of_class, Old.method, Old().method, lambda: 0]
    things += [len, [].append, {}.get, os.getpid, operator.truth, io.StringIO, io.StringIO().write, dict.fromkeys, Dict.fromkeys]
    things += [u"a".join, re.compile("a").match, types.MethodType(len, ()), types.MethodType(Callable(), 1)]
    things += [list.append, str.__add__, object.__init__, Plain(), Slots(), object(), iter([1]), NotImplemented, Ellipsis]
    for o in things:
        value(o)
    if not PYTHON2:
        # Its `__self__` does not say that it is bound to the class, as `__qualname__` does.
        value(str.maketrans, {"function": "builtins.str.maketrans"})
    for o in (slice(1, None, u"s"), slice(None), truth_value.range_type(3), truth_value.range_type(1, 10, 4)):
        value(o)
    value(truth_value.range_type(10, -10, -3))
    if not PYTHON2:
        value(range(1, 10**20, 7))


def exceptions():
    for o in (ValueError(), KeyError(u"k"), Custom(1, [2], u"x"), OSError(2, u"no", u"file"), Custom(*range(20))):
        value(o)
    value([[[Custom(1)]]])
    if hasattr(builtins, "ExceptionGroup"):
        value(builtins.ExceptionGroup("group", [ValueError(1)]))
    value(Custom(Custom(Custom(Custom()))))
    swapped = ValueError(1)
    swapped.args = (u"other",)
    value(swapped)
    try:
        u"".join(0)
    except TypeError as e:
        value(e)


def pointers(*objects):
    """Address of an array of object pointers."""
    kept.append(objects)
    array_of = (ctypes.c_void_p * max(len(objects), 1))(*map(id, objects))
    kept.append(array_of)
    return ctypes.addressof(array_of)


def at(o):
    kept.append(o)
    return id(o)


def entry(convention, arguments, args=(), kwargs=(), bound=()):
    """A call's C arguments, and what the call is."""
    truth = {"args": [encode(a) for a in args[:MAX_ITEMS]]}
    truth["kwargs"] = dict((key, encode(o)) for key, o in list(kwargs)[:MAX_ITEMS])
    if len(args) > MAX_ITEMS:
        truth["args_len"] = len(args)
    if len(kwargs) > MAX_ITEMS:
        truth["kwargs_len"] = len(kwargs)
    for o in bound:
        truth["self"] = encode(o)
    arguments = [at(bound[0]) if bound else 0] + arguments
    arguments += [0] * (5 - len(arguments))
    arguments = [argument & (2**64 - 1) for argument in arguments]
    say(entry={"convention": convention, "bound": bool(bound), "arguments": arguments}, truth=truth)


def entries():
    bound, args, many = (Plain("a"),), (1, u"two", [3.0]), tuple(range(20))
    kept.append((bound, args, many))
    entry("NoArgs", [])
    entry("NoArgs", [], (), (), (b"bound",))
    entry("O", [at(args)], (args,))
    entry("O", [id(None)], (None,), (), bound)
    for some in (args, (), many):
        entry("VarArgs", [at(some)], some)
        entry("FastCall", [pointers(*some), len(some)], some, (), bound)
    entry("VarArgs", [0])
    for names in ([u"a"], ["n%d" % n for n in range(20)], []):
        names = [str(name) for name in names]
        pairs = list(zip(names, range(100, 200)))
        kwargs = dict(pairs)
        entry("VarArgsKeywords", [at(args), at(kwargs)], args, list(kwargs.items()), bound)
        vector = pointers(*(args + tuple(range(100, 100 + len(names)))))
        # `PY_VECTORCALL_ARGUMENTS_OFFSET` says nothing of the number.
        nargs = len(args) | (1 << 63)
        kwnames = at(tuple(names))
        entry("FastCallKeywords", [vector, nargs, kwnames], args, pairs)
        entry("Method", [at(Plain), vector, nargs, kwnames], args, pairs, bound)
    entry("VarArgsKeywords", [at(args), 0], args)
    split = Plain("x", "y")
    entry("VarArgsKeywords", [at(()), at(split.__dict__)], (), list(split.__dict__.items()))
    entry("FastCallKeywords", [pointers(*args), len(args), 0], args)
    slot_entries(bound)


def slot_entries(bound):
    """Functions of type slots, which have C numbers among their arguments; without a value they delete."""
    one = [u"value"]
    for index in (0, -3, 2**62):
        entry("Index", [index], (index,), (), bound)
        entry("IndexValue", [index, at(one)], (index, one), (), bound)
        entry("IndexValue", [index, 0], (index,), (), bound)
        entry("Slice", [index, -1], (index, -1), (), bound)
        entry("SliceValue", [index, 7, at(one)], (index, 7, one), (), bound)
        entry("SliceValue", [index, 7, 0], (index, 7), (), bound)
    entry("KeyValue", [at(one), id(None)], (one, None), (), bound)
    entry("KeyValue", [at(one), 0], (one,), (), bound)
    # The register's upper half is not the `int`'s.
    entry("Compare", [at(one), 5 | 7 << 32], (one, 5), (), bound)


def outcome(kind, returned, tstate, truth):
    say(outcome={"kind": kind, "value": returned, "tstate": tstate}, truth=truth)


def thread_state(offsets, ty, exception):
    """As much of a `PyThreadState` as says which exception is set."""
    state = (ctypes.c_char * 4096)()
    kept.append(state)
    for offset, o in zip(offsets, (ty, exception)):
        if offset >= 0 and o is not None:
            kept.append(o)
            ctypes.c_void_p.from_buffer(state, offset).value = id(o)
    return ctypes.addressof(state)


def outcomes(offsets):
    none = {"outcome": "return", "result": None}
    for kind in ("Object", "Iterator"):
        outcome(kind, id(None), 0, none)
    outcome("Status", 0, 0, none)
    # The register's upper half is not the `int`'s.
    outcome("Status", 7 << 32, 0, none)
    for returned, truth in ((0, False), (1, True), (7 << 32, False), (7 << 32 | 1, True)):
        outcome("Truth", returned, 0, {"outcome": "return", "result": truth})
    for returned in (0, 7, 2**40, -2):
        outcome("Size", returned & (2**64 - 1), 0, {"outcome": "return", "result": returned})
    raising = (("Object", 0), ("Iterator", 0), ("Status", 0xffffffff), ("Truth", 0xffffffff), ("Size", 2**64 - 1))
    for kind, returned in raising:
        e = Custom(u"raised", [1])
        truth = dict(exception_args(e.args, 0), object=name_of(Custom), id=ident(e))
        outcome(kind, returned, thread_state(offsets, Custom, e), {"outcome": "raise", "exception": truth})
        outcome(kind, returned, 0, {"outcome": "raise", "exception": {"object": "?"}})
    exhausted = {"outcome": "raise", "exception": {"object": name_of(StopIteration), "args": []}}
    outcome("Iterator", 0, thread_state(offsets, None, None), exhausted)
    if offsets[0] < 0:
        return
    for given, args in ((None, ()), (u"one", (u"one",)), ((1, u"two"), (1, u"two")), (5, (5,))):
        truth = dict(exception_args(args, 0), object=name_of(KeyError))
        outcome("Object", 0, thread_state(offsets, KeyError, given), {"outcome": "raise", "exception": truth})


# Generators that have not begun have the frames of functions that are about to: their arguments, and nothing else.


def no_arguments():
    yield


def some_arguments(a, b, c=3):
    yield a


def all_arguments(a, b=2, *rest, **more):
    yield a


def in_cells(a, cell, other, second):
    local = 5
    yield lambda: (cell, second, local)


MANY = "def many(%s):\n    yield\n" % ", ".join("a%d" % n for n in range(20))
KEYWORDS = "def keywords(a, *, b, c=1, **more):\n    yield lambda: (b, more)\n"


def frame_of(generator):
    frame = generator.gi_frame
    kept.extend((generator, frame))
    if sys.version_info < (3, 11):
        return id(frame)
    # `f_back`, then `f_frame` (Include/internal/pycore_frame.h).
    return ctypes.c_void_p.from_address(id(frame) + object.__basicsize__ + 8).value


def run(generator, **arguments):
    names = generator.gi_code.co_varnames
    given = [name for name in names if name in arguments][:MAX_ITEMS]
    module = "" if PYTHON2 else __name__
    values = generator.gi_frame.f_locals
    assert all(values[name] == arguments[name] for name in given)
    truth = {"args": dict((name, encode(values[name])) for name in given), "file": module}
    say(run=frame_of(generator), truth=truth)


def runs():
    space = {"__name__": __name__}
    exec(MANY, space)
    run(no_arguments())
    run(some_arguments(1, [u"two"]), a=1, b=[u"two"], c=3)
    run(all_arguments(1, 2, 3, word=4), a=1, b=2, rest=(3,), more={"word": 4})
    run(in_cells(1, (2,), 3, u"four"), a=1, cell=(2,), other=3, second=u"four")
    run(space["many"](*range(20)), **dict(("a%d" % n, n) for n in range(20)))
    if not PYTHON2:
        exec(KEYWORDS, space)
        run(space["keywords"](1, b=2, d=4), a=1, b=2, c=1, more={"d": 4})
    begun = some_arguments(1, 2)
    next(begun)
    over = sys._getframe
    ended = (lambda: over())()
    kept.append(ended)
    array_of = pointers([u"given"]) + 8
    given = encode(kept[-2][0])
    if sys.version_info < (3, 11):
        say(run=frame_of(begun), truth={"args": {}, "file": "" if PYTHON2 else __name__, "resumed": True})
        say(end={"frame": id(ended), "stack": array_of}, truth={"outcome": "return", "result": given})
    say(end={"frame": frame_of(begun), "stack": array_of}, truth={"outcome": "yield", "result": given})


def stack(frame):
    frames = []
    while frame is not None:
        code = frame.f_code
        name = getattr(code, "co_qualname", code.co_name)
        frames.append({"function": name, "file": code.co_filename, "line": frame.f_lineno})
        frame = frame.f_back
    return frames


def wait():
    "Stays."
    sys.stdin.readline()


def tell_frames(thread):
    """Tells the frames of a thread that has come to stay, or is about to."""
    while True:
        frames = stack(sys._current_frames().get(thread.ident))
        if frames and frames[0]["function"] == "wait" and frames[0]["line"] != wait.__code__.co_firstlineno:
            break
        # Not to wait for time to pass: to let the other thread run.
        time.sleep(0)
    for limit in (64, 3, 1, 0):
        say(frames=limit, truth={"stack": frames[:limit]})


class Frames(object):
    def method(self):
        return list(
            map(
                lambda _: wait(), [0]
            )
        )


def generator():
    if True:
        yield Frames().method()


def deep(n):
    return (
        deep(n - 1)
        if n
        else [x for x in generator()]
    )


def main():
    class Body(object):
        exec(compile("\n\ndeep(3)\n", "<made up>", "exec"))

    os._exit(0)


print(json.dumps({"version": sys.hexversion, "free_threaded": "t" in getattr(sys, "abiflags", "")}))
sys.stdout.flush()
offsets = [int(n) for n in sys.stdin.readline().split()]
numbers()
strings()
views()
containers()
dicts()
named_things()
exceptions()
entries()
outcomes(offsets)
runs()
# Free-threaded builds give threads after the first their own copies of code.
thread = threading.Thread(target=main)
thread.start()
tell_frames(thread)
print("done")
sys.stdout.flush()
thread.join()
