# -*- coding: utf-8 -*-
"""What discovery must find in this very process, by Python's own means.

Says "ready", waits for a line, then answers one JSON object: every C function reachable from
sys.modules through module and type dicts, and the names of some types and code objects.
Runs on every version from 2.7 on.
"""
from __future__ import print_function

import ctypes, hashlib, io, json, os, random, select, socket, sqlite3, sys, threading, types, zlib


class Outer(object):
    class Inner(dict):
        def method(self):
            return self


class Old:
    pass


def word(address):
    return ctypes.c_uint64.from_address(address).value


PYTHON2 = sys.version_info[0] == 2
FUNCTION = types.BuiltinFunctionType
# Addresses are of the head of an object, which a free-threaded build has two words more of; 2.7's
# descriptors have one word less.
HEAD = object.__basicsize__
M_ML = HEAD
D_METHOD = HEAD + (16 if PYTHON2 else 24)
D_WRAPPED = D_METHOD + 8
# Of PyTypeObject.
TP_DEALLOC, TP_INIT, TP_NEW, TP_VECTORCALL = HEAD + 32, HEAD + 280, HEAD + 296, HEAD + 384
METHOD_DESCRIPTOR = type(list.append)
WRAPPER_DESCRIPTOR = type(object.__init__)
CLASSMETHOD_DESCRIPTOR = type(dict.__dict__["fromkeys"])
# Python 2 makes this type ready when it is first needed.
dict.__dict__["fromkeys"].__doc__
type_dict = type.__dict__["__dict__"].__get__
module_of = type.__dict__["__module__"].__get__
name_of_type = type.__dict__["__name__" if PYTHON2 else "__qualname__"].__get__
CLASSES = (type, type(Old))


def qualname(thing):
    return getattr(thing, "__qualname__", thing.__name__)


def method_def(f):
    """(ml_meth, ml_flags) of a PyCFunction or a descriptor."""
    ml = word(id(f) + (M_ML if type(f) is FUNCTION else D_METHOD))
    return word(ml + 8), ctypes.c_int.from_address(ml + 16).value


def type_name(t):
    return module_of(t) + "." + name_of_type(t)


NEW_WRAPPER = method_def(object.__new__)[0]


def is_new(f):
    """Is it the `__new__` of a type made in C? One function is behind all of them."""
    return type(f) is FUNCTION and method_def(f)[0] == NEW_WRAPPER


def slots(functions, wrappers, classes):
    """(name, address) of the functions in type slots."""
    for w in wrappers:
        yield ".".join((type_name(w.__objclass__), w.__name__)), word(id(w) + D_WRAPPED)
    for f in functions:
        if is_new(f):
            t = f.__self__
            initialised = word(id(t) + TP_INIT) != word(id(object) + TP_INIT)
            if word(id(t) + TP_NEW):
                yield type_name(t) + (".__new__" if initialised else ""), word(id(t) + TP_NEW)
    if PYTHON2:
        # Closes the file, without calling a method.
        yield "__builtin__.file.__del__", word(id(file) + TP_DEALLOC)
    # Before, nothing calls it.
    if sys.version_info >= (3, 8):
        for t in classes:
            if word(id(t) + TP_VECTORCALL):
                yield type_name(t), word(id(t) + TP_VECTORCALL)


def name_of(f):
    if type(f) is FUNCTION:
        owner = f.__self__
        if owner is None or isinstance(owner, types.ModuleType):
            return f.__module__ + "." + qualname(f) if f.__module__ else None
        owner = owner if isinstance(owner, type) else type(owner)
    else:
        owner = f.__objclass__
    return ".".join((type_name(owner), f.__name__))


def inner(value):
    """What a static or class method wraps."""
    if hasattr(value, "__func__"):
        return value.__func__
    return ctypes.py_object.from_address(id(value) + HEAD).value


def subclasses(item):
    try:
        return type.__subclasses__(item)
    except TypeError:
        return []


def walk():
    """The functions, the wrappers of slots, and the types."""
    functions, wrappers, classes, seen, work = {}, {}, [], set(), [object]
    work += [m for m in sys.modules.values() if isinstance(m, types.ModuleType)]
    while work:
        item = work.pop()
        if id(item) in seen:
            continue
        seen.add(id(item))
        if isinstance(item, type):
            classes.append(item)
            work += [type(item)] + list(item.__mro__) + subclasses(item)
            values = list(type_dict(item).values())
        else:
            values = list(types.ModuleType.__getattribute__(item, "__dict__").values())
        for value in values:
            while type(value) in (staticmethod, classmethod):
                value = inner(value)
            if issubclass(type(value), (type, types.ModuleType)):
                work.append(value)
            elif type(value) in (FUNCTION, METHOD_DESCRIPTOR, CLASSMETHOD_DESCRIPTOR):
                functions[id(value)] = value
            elif type(value) is WRAPPER_DESCRIPTOR:
                wrappers[id(value)] = value
    return functions.values(), wrappers.values(), classes


def line_table(code):
    table = code.co_linetable if hasattr(code, "co_linetable") else code.co_lnotab
    return list(bytearray(table))


def code_name(code):
    return code.co_qualname if hasattr(code, "co_qualname") else code.co_name


def main():
    print("ready")
    sys.stdout.flush()
    sys.stdin.readline()
    named = [int, OSError, socket.socket, sqlite3.Connection, Outer.Inner, Old, type, json.JSONDecoder]
    named += [] if PYTHON2 else [type(str("\xdcn\xefcode"), (), {})]
    code = [walk.__code__, vars(Outer.Inner)["method"].__code__, json.dumps.__code__]
    functions, wrappers, classes = walk()
    answer = {
        "version": sys.version.split()[0].rstrip("+"),
        "functions": [(name_of(f),) + method_def(f) for f in functions if not is_new(f)],
        "slots": sorted(set(slots(functions, wrappers, classes))),
        "types": [(id(t), type_name(t) if isinstance(t, type) else str(t)) for t in named],
        "codes": [(id(c), code_name(c), c.co_filename, c.co_firstlineno, line_table(c)) for c in code],
    }
    print(json.dumps(answer))
    sys.stdout.flush()
    sys.stdin.readline()


main()
