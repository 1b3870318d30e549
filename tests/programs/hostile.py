"""A program that does what it can to lead whoever looks at it astray: lies about its functions, types that are their own parts, more
modules than anybody has, names that are orders to a terminal. None of it does harm to itself."""
import ctypes
import operator
import os
import sys
import types

from truth import say

PYTHON2 = sys.version_info[0] == 2
ESCAPE = "\x1b]0;owned\x07\x1b[2J\x1b[31m\r\n\u202e" if not PYTHON2 else "\x1b]0;owned\x07\x1b[2J\x1b[31m\r\n"
UNMAPPED = 0x10
kept = []


class MethodDef(ctypes.Structure):
    _fields_ = [
        ("name", ctypes.c_void_p),
        ("meth", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_void_p),
    ]


def text(content):
    buffer = ctypes.create_string_buffer(content)
    kept.append(buffer)
    return ctypes.addressof(buffer)


def lie(module, key, name, meth, flags):
    """A builtin function, which nobody calls, of which another table is told."""
    function = module.__dict__[key]
    table = MethodDef(name, meth, flags, 0)
    kept.append((function, table))
    # PyCFunctionObject: m_ml is behind the object's head (of 3 words in free-threaded builds).
    at = id(function) + object.__basicsize__
    ctypes.c_void_p.from_address(at).value = ctypes.addressof(table)


def lies():
    code = ctypes.cast(ctypes.pythonapi.PyLong_FromLong if not PYTHON2 else ctypes.pythonapi.PyInt_FromLong, ctypes.c_void_p).value
    heap = text(b"\xcc" * 4096)
    escape = text(ESCAPE.encode("utf-8"))
    endless = text(b"n" * (1 << 20))
    lie(operator, "concat", UNMAPPED, code, 8)
    lie(operator, "contains", escape, code, 8)
    lie(operator, "countOf", endless, code, 8)
    lie(operator, "delitem", text(b"delitem"), UNMAPPED, 8)
    lie(operator, "eq", text(b"eq"), heap, 1)
    lie(operator, "floordiv", text(b"floordiv"), code, -1)
    lie(operator, "ge", text(b"ge"), code, 0xFFFF)
    lie(operator, "getitem", text(b""), 0, 0)
    # The first byte of an instruction of many is none.
    lie(operator, "gt", text(b"gt"), code + 1, 8)
    lie(operator, "iadd", 0xFFFFFFFFFFFFFFF0, 0xFFFFFFFFFFFFFFF0, 8)


def types_of_types():
    """Each is an attribute of each, and of itself; and one below the other."""
    family = [type("T%d" % n, (object,), {}) for n in range(40)]
    for one in family:
        for n, other in enumerate(family):
            setattr(one, "t%d" % n, other)
    line = object
    for n in range(300):
        line = type("L%d" % n, (line,), {"inner": line})
    return family + [line]


def modules():
    """A hundred thousand, most of them nothing, some of them not even modules."""
    for n in range(100000):
        sys.modules["made.up.%d" % n] = None
    for n in range(20000):
        sys.modules["made.up.too.%d" % n] = types.ModuleType("made.up.too.%d" % n)
    sys.modules[ESCAPE] = types.ModuleType(ESCAPE)
    sys.modules[ESCAPE].itself = sys.modules[ESCAPE]
    sys.modules[ESCAPE].T = types_of_types()[0]
    sys.modules["n" * 100000] = types.ModuleType("n" * 100000)
    sys.modules["number"] = 12


def act():
    """Does something whose function, file, arguments and error are orders to a terminal."""
    scope = {"os": os, "E": type("E" + ESCAPE, (Exception,), {}), "__name__": ESCAPE}
    source = "def act(what):\n    try:\n        os.unlink(what)\n    except OSError:\n        pass\n"
    exec(compile(source, "file" + ESCAPE + ".py", "exec"), scope)
    function = scope["act"]
    if hasattr(function.__code__, "replace"):
        changed = {"co_name": "f" + ESCAPE}
        if hasattr(function.__code__, "co_qualname"):
            changed["co_qualname"] = "f" + ESCAPE
        function.__code__ = function.__code__.replace(**changed)
    function("/nowhere/" + ESCAPE)


lies()
modules()
kept.append(types_of_types())
say("ready")
for line in iter(sys.stdin.readline, ""):
    act()
    say("done")
os._exit(0)
