"""Python objects, written down as the tool's JSON format has to show them."""
from __future__ import print_function

import base64
import math
import sys
import types

PYTHON2 = sys.version_info[0] == 2
# What the tool captures by default.
MAX_STR, MAX_ITEMS, MAX_DEPTH = 256, 16, 3
# Of an int, 35 digits of 30 bits are captured.
MAX_BITS = 35 * 30
LARGEST_SAFE_INT = 2**53 - 1
# Up to here the tool works out how many decimal digits an int has.
MAX_BITS_IN_DECIMAL = 2000 * 30

if PYTHON2:
    text_type, ints = unicode, (int, long)  # noqa: F821
    range_type, old_class, old_instance = xrange, types.ClassType, types.InstanceType  # noqa: F821
else:
    text_type, ints = str, (int,)
    range_type, old_class, old_instance = range, (), ()

if hasattr(sys, "set_int_max_str_digits"):
    sys.set_int_max_str_digits(0)

WHOLE = slice(None)
# Types whose subclasses are shown with their value.
BASES = ints + (text_type, float, complex, bytes, bytearray, list, tuple, set, frozenset, dict)
# Shown like a subclass of `dict`, which it is not (3.15).
FROZEN_DICT = () if PYTHON2 else getattr(__import__("builtins"), "frozendict", ())
C_FUNCTION = types.BuiltinFunctionType


def name_of(t):
    """`module.qualname` of a class."""
    return "%s.%s" % (t.__module__, getattr(t, "__qualname__", t.__name__))


def is_a(o, t):
    """Not `isinstance`, which believes an object's `__class__`."""
    return issubclass(type(o), t)


def c_function_name(f):
    """`module.qualname` of a builtin function or method, as Python reports it."""
    bound = f.__self__
    if bound is None:
        # A static method does not say of which class it is.
        for owner in BASES:
            if getattr(owner, f.__name__, None) is f:
                return "%s.%s" % (name_of(owner), f.__name__)
    if bound is None or is_a(bound, types.ModuleType):
        return "%s.%s" % (f.__module__, f.__name__)
    owner = bound if is_a(bound, type) else type(bound)
    return "%s.%s" % (name_of(owner), f.__name__)


def ident(o):
    return "0x%x" % id(o)


def text(o):
    """A `str` (`unicode` in Python 2): limits count bytes, and a string has 1, 2 or 4 of them per character."""
    if PYTHON2:
        width = 4 if sys.maxunicode > 0xFFFF else 2
    else:
        highest = max(map(ord, o)) if o else 0
        width = 1 if highest < 256 else 2 if highest < 65536 else 4
    kept = MAX_STR // width
    return o if len(o) <= kept else {"str": o[:kept], "len": len(o)}


def binary(kind, data):
    kept = data[:MAX_STR]
    if PYTHON2 and kind == "str":
        if all(byte < "\x80" for byte in kept):
            kept = kept.decode("ascii")
            return kept if len(kept) == len(data) else {"str": kept, "len": len(data)}
        kind = "bytes"
    value = {kind: base64.b64encode(kept).decode("ascii")}
    if len(data) > MAX_STR:
        value["len"] = len(data)
    return value


def view(o):
    """A `memoryview`: its bytes if they lie in one piece."""
    try:
        contiguous = o.c_contiguous if hasattr(o, "c_contiguous") else o.strides in (None, (o.itemsize,))
    except ValueError:
        contiguous = False
    if not contiguous:
        return {"object": name_of(type(o)), "id": ident(o)}
    return binary("memoryview", o.tobytes())


def whole(o):
    """An int."""
    if abs(o) <= LARGEST_SAFE_INT:
        return o
    if o.bit_length() <= MAX_BITS:
        return {"int": str(o)}
    # Too large to be captured whole: its leading digits and their number, or just how many bits.
    value = {"int*": "-" if o < 0 else "", "bits": o.bit_length()}
    if o.bit_length() <= MAX_BITS_IN_DECIMAL:
        value["int*"] = str(o)
        value["len"] = len(str(abs(o)))
    return value


def number(o):
    finite = not (math.isnan(o) or math.isinf(o))
    return o if finite else {"float": repr(o)}


def first(items, most=MAX_ITEMS):
    out = []
    for item in items:
        if len(out) == most:
            break
        out += [item]
    return out


def container(kind, o, items, total, depth, with_id=True):
    """`items` encodes an item for the depth it is at."""
    value = {kind: items(depth + 1) if depth < MAX_DEPTH else []}
    if len(value[kind]) != total:
        value["len"] = total
    if with_id:
        value["id"] = ident(o)
    return value


def builtin(t, o, depth):
    """The value of an object of the builtin type `t`, or of a subclass of it."""
    if t in ints:
        return whole(t.__add__(o, 0))
    if t is float:
        return number(float.__add__(o, 0.0) if o else float.__pos__(o))
    if t is complex:
        return {"complex": [number(o.real), number(o.imag)]}
    if t is text_type:
        return text(text_type.__getitem__(o, WHOLE))
    if t is bytes or t is bytearray:
        return binary(t.__name__, bytes(t.__getitem__(o, WHOLE)))
    if t in (dict, FROZEN_DICT):
        def pairs(inner):
            return [[encode(k, inner), encode(v, inner)] for k, v in first(t.items(o))]

        return container("dict", o, pairs, t.__len__(o), depth)

    def items(inner):
        return [encode(item, inner) for item in first(t.__iter__(o))]

    return container(t.__name__, o, items, t.__len__(o), depth, t in (list, set))


def bounds(o):
    """What a `range` or `slice` is made of."""
    if PYTHON2 and type(o) is range_type:
        return o.__reduce__()[1]
    return o.start, o.stop, o.step


def named(o, depth):
    """Things whose value is a name; None for others."""
    if is_a(o, type) or type(o) is old_class:
        return {"type": name_of(o)}
    if is_a(o, types.ModuleType):
        return {"module": o.__name__}
    if type(o) is types.MethodType and type(o.__func__) is types.FunctionType:
        return named(o.__func__, depth)
    if type(o) is types.FunctionType:
        return {"function": name_of(o)}
    if is_a(o, C_FUNCTION):
        return {"function": c_function_name(o)}
    return None


def exception_args(args, depth):
    """`args` of an exception, and how many there are where some are left out."""
    value = {"args": [encode(x, depth + 1) for x in first(args)] if depth < MAX_DEPTH else []}
    if len(value["args"]) != len(args):
        value["args_len"] = len(args)
    return value


def encode(o, depth=0):
    """VALUE of the JSON format; `depth` containers are around it."""
    t = type(o)
    if o is None or t is bool:
        return o
    if t in BASES:
        return builtin(t, o, depth)
    if t is memoryview:
        return view(o)
    if t is range_type or t is slice:
        return {"slice" if t is slice else "range": [encode(x, depth) for x in bounds(o)]}
    if t is old_instance:
        return {"object": name_of(o.__class__), "id": ident(o)}
    value = named(o, depth)
    if value is not None:
        return value
    value = {"object": name_of(t), "id": ident(o)}
    if issubclass(t, BaseException):
        value.update(exception_args(BaseException.args.__get__(o), depth))
        return value
    for base in BASES:
        if issubclass(t, base):
            value["value"] = builtin(base, o, depth)
            break
    if issubclass(t, FROZEN_DICT):
        value["value"] = builtin(FROZEN_DICT, o, depth)
    return value
