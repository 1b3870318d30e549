"""Constructors, and what the operators of the language call: functions in the slots of types."""
import _socket
import array
import collections
import functools
import io
import operator
import re
import socket  # noqa: F401: it makes the type in `_socket` ready
import sqlite3
import sys
import zlib

from truth import call, called_from, encode, name_of, name_of_code, owner_of, raised, ready, report, returned, started

VERSION = sys.version_info[:2]
FILE = sys._getframe().f_code.co_filename
# Some types of Python 2 are made ready, and known to others, when an attribute of theirs is first needed.
READY = [getattr(o, "next", None) for o in (iter([]), iter({}), array.array("i"))]


class Complex(complex):
    pass


class List(list):
    pass


class Plain(object):
    pass


# What the program does, each in its second line.
def make(t, *args, **kwargs):
    return t(*args, **kwargs)


def init(o, *args, **kwargs):
    return o.__init__(*args, **kwargs)


def called(o, *args, **kwargs):
    return o.__call__(*args, **kwargs)


def advance(o):
    return next(o)


def store(o, key, value):
    o[key] = value


def delete(o, key):
    del o[key]


def store_by_name(o, key, value):
    return o.__setitem__(key, value)


def delete_by_name(o, key):
    return o.__delitem__(key)


def set_attribute(o, name, value):
    setattr(o, name, value)


def delete_attribute(o, name):
    delattr(o, name)


def slice_of(o, start, stop):
    return o[start:stop]


def store_slice(o, start, stop, value):
    o[start:stop] = value


def delete_slice(o, start, stop):
    del o[start:stop]


def extend(o, other):
    o += other
    return o


def multiply(o, n):
    o *= n
    return o


def repeat(o, n):
    return o * n


def power(o, other):
    return o ** other


def less(o, other):
    return o < other


def equal(o, other):
    return o == other


def has(o, item):
    return operator.contains(o, item)


def size(o):
    return len(o)


def hashed(o):
    return hash(o)


def translation(old, new):
    return str.maketrans(old, new)


def act(event, do, operands, kwargs={}):
    """Does it, and writes down what the trace has to say about it."""
    code = do.__code__
    called_from(event, name_of_code(code), FILE, code.co_firstlineno + 1)
    result = None
    try:
        result = do(*operands, **kwargs)
    except Exception as e:
        raised(event, e)
    else:
        returned(event, result)
    return result


def method(slot, do, o, *args, **kwargs):
    """A slot of an object, under the name of the type that defines it."""
    owner = name_of(owner_of(type(o), slot)[0])
    return act(started(owner + "." + slot, (o,), args, kwargs), do, (o,) + args, kwargs)


def construct(t, *args, **kwargs):
    return act(started(name_of(t), (), args, kwargs), make, (t,) + args, kwargs)


def initialise(t, blank, *args):
    """A type whose instances its `__init__` makes what they are; `blank` is what they are before."""
    event = started(name_of(t) + ".__init__", (), args, {})
    result = act(event, make, (t,) + args)
    event["result"] = None
    event["self"] = encode(result) if blank is None else dict(encode(blank), id=encode(result)["id"])
    return result


def constructors():
    construct(complex, "1")
    construct(complex, 1, imag=2)
    construct(complex, "x")
    construct(complex, imag=5, real=-0.0)
    event = started(name_of(complex), (), (3,), {})
    act(event, make, (Complex, 3))
    construct(tuple, "ab")
    construct(functools.partial, max, 1, key=abs)
    if VERSION >= (3, 9):
        construct(list, "ab")
        construct(list)
    else:
        initialise(list, [], "ab")
        initialise(list, [])
    event = started(name_of(list) + ".__init__", (), ("ab",), {})
    result = act(event, make, (List, "ab"))
    blank = encode(List())
    blank["id"] = blank["value"]["id"] = hex(id(result))
    event["result"], event["self"] = None, blank
    if VERSION >= (3, 14):
        construct(ValueError, 1, "two")
    else:
        initialise(ValueError, ValueError() if VERSION < (3,) else None, 1, "two")
    initialise(_socket.socket, None, 2, 1).close()
    initialise(sqlite3.Connection, None, ":memory:").close()
    initialise(io.FileIO, None, "/dev/null").close()
    method("__init__", init, io.FileIO.__new__(io.FileIO), "/nope/nope")


def iterators():
    slot = "next" if VERSION < (3,) else "__next__"
    connection = sqlite3.connect(":memory:")
    for o in (iter([1]), connection.execute("select 1, 'a'")):
        method(slot, advance, o)
        method(slot, advance, o)
        method(slot, advance, o)
    changed = {1: 2}
    o = iter(changed)
    changed[3] = 4
    method(slot, advance, o)


def calls():
    method("__call__", called, operator.itemgetter(1), [5, 6])
    method("__call__", called, functools.partial(max, 3), 2, key=abs)
    method("__call__", called, functools.partial(max, 3))


def items():
    for o in (collections.deque([1, 2]), bytearray(b"ab"), array.array("i", [1, 2])):
        method("__setitem__", store, o, 0, 5)
        method("__setitem__", store, o, 7, 5)
        method("__delitem__", delete, o, 1)
        method("__delitem__", delete, o, 7)
    # Of lists and dicts the interpreter stores some items by itself.
    for o, key in (([1, 2], 0), ({"k": 1}, "k")):
        method("__setitem__", store_by_name, o, key, None)
        method("__delitem__", delete_by_name, o, key)
    method("__delitem__", delete_by_name, {}, "k")
    if VERSION < (3,):
        method("__getslice__", slice_of, [1, 2, 3], 1, 2)
        method("__setslice__", store_slice, [1, 2, 3], 1, 2, "ab")
        method("__delslice__", delete_slice, [1, 2, 3], 0, 2)


def attributes():
    method("__setattr__", set_attribute, Plain, "a", 1)
    method("__delattr__", delete_attribute, Plain, "a")
    method("__delattr__", delete_attribute, Plain, "a")


def operators():
    method("__iadd__", extend, [1], (2, 3))
    method("__iadd__", extend, [1], 2)
    method("__imul__", multiply, [1], 3)
    method("__mul__", repeat, bytearray(b"ab"), 2)
    method("__lt__", less, [1], [2])
    method("__eq__", equal, [1], [2])
    method("__contains__", has, array.array("i", [1]), 1)
    method("__contains__", has, array.array("i", [1]), 2)
    method("__contains__", has, "abc", "b")
    method("__contains__", has, "abc", 5)
    method("__len__", size, collections.deque([1]))
    method("__hash__", hashed, (1, 2))
    method("__hash__", hashed, ([],))
    event = started(name_of(float) + ".__pow__", (2.5,), (2.0, None), {})
    act(event, power, (2.5, 2.0))


def methods_of_classes():
    """What C functions get before their arguments: a class, nothing, an object and its class."""
    call(dict.fromkeys, "ab", 1)
    call(bytearray.fromhex, u"0aff")
    call(float.fromhex, "0x10")
    if VERSION >= (3,):
        call(int.from_bytes, b"ab", "big")
        call(int.from_bytes, b"ab", byteorder="little", signed=True)
        call(zlib.compressobj().compress, b"data")
        # A static method does not say of what.
        act(started(name_of(str) + ".maketrans", (), ("ab", "cd"), {}), translation, ("ab", "cd"))
    call(re.compile("a").search, "ba", pos=1)
    call(re.compile("a").search, "ba", 0)


def main():
    ready()
    constructors()
    iterators()
    calls()
    items()
    attributes()
    operators()
    methods_of_classes()
    report()


main()
