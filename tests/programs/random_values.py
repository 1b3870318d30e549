"""Random values of all kinds, from a seed."""
from __future__ import print_function

import array
import collections
import datetime
import decimal
import fractions
import io
import os
import random
import struct
import sys
import types
import weakref

from truth_value import PYTHON2, ints, range_type, text_type

try:
    import enum
except ImportError:
    enum = None

builtins = sys.modules["__builtin__" if PYTHON2 else "builtins"]
Point = collections.namedtuple("Point", "x y")
character = unichr if PYTHON2 else chr  # noqa: F821
# Attribute and keyword names.
NAMES = ["a", "b", "key", "sep", "x1", "self", "errors", "a_name_of_more_than_sixteen_bytes"]


class Plain(object):
    def method(self):
        pass

    @classmethod
    def of_class(cls):
        pass

    @staticmethod
    def static():
        pass


class Slots(object):
    __slots__ = ("a", "b")


class Liar(object):
    """Says that it is an int."""

    __class__ = property(lambda self: int)


class Old:
    """Old-style in Python 2."""

    def method(self):
        pass


class Meta(type):
    pass


class Custom(Exception):
    pass


class Arguments(ValueError):
    """Its arguments are not those of its constructor."""

    def __init__(self, *args):
        ValueError.__init__(self, *args[::-1])
        self.extra = args


class Module(types.ModuleType):
    pass


class Outer(object):
    class Inner(object):
        pass

    def maker(self):
        def inner():
            pass

        return inner


ATTRIBUTE_CLASSES = [type("Attributes%d" % n, (object,), {}) for n in range(6)]


def subclasses(base):
    """With a dict, with nothing new, with a slot where the type can have one, and a subclass of a subclass."""
    name = base.__name__.capitalize()
    found = [type("Dict" + name, (base,), {}), type("Bare" + name, (base,), {"__slots__": ()})]
    try:
        found += [type("Slot" + name, (base,), {"__slots__": ("slot",)})]
    except TypeError:
        pass
    return [base] + found + [type("Deep" + name, (found[0], Old), {})]


SUBCLASSES = {
    base: subclasses(base)
    for base in ints + (text_type, float, complex, bytes, bytearray, list, tuple, set, frozenset, dict)
}
EXCEPTIONS = [
    ValueError, KeyError, IndexError, StopIteration, SystemExit, KeyboardInterrupt, GeneratorExit, LookupError,
    MemoryError, Custom, Arguments, Exception, BaseException, AssertionError, ZeroDivisionError,
]
ALPHABETS = [
    u"abc xyz019_.{}'\"\\\n\t\0\x1b\x7f", u"caf\xe9\xff\x80\xa0", u"\u0100\u20ac\ufffd\uffff\u2028",
    u"\ud800\udfff\udc80", u"\U0001f600\U00010000\U0010ffff",
]


def make_things():
    """Classes, modules, functions, and objects without a value of their own."""
    generator = (x for x in [1])
    things = [
        int, type, object, Plain, Meta, Meta("Made", (Plain,), {}), Outer.Inner, Old, ValueError, Custom,
        collections.deque, collections.OrderedDict, types.FunctionType, Point, os, sys, Module("made"),
        types.ModuleType("other"), make_things, Plain.method, Plain().method, Plain.of_class, Plain.static,
        Outer().maker(), lambda: 0, Old().method, len, [].append, {}.get, u"".join, dict.fromkeys, os.getpid,
        SUBCLASSES[list][1]().append, collections.deque().append, list.append, int.real, Plain.__dict__,
        object(), Plain(), Old(), Slots(), Liar(), iter([1]), generator, NotImplemented, Ellipsis, property(),
        staticmethod(len), classmethod(len), weakref.ref(Plain), array.array("i", [1, 2]),
        collections.deque([1, 2]), decimal.Decimal("1.5"), fractions.Fraction(1, 3), io.BytesIO(b"x"),
        datetime.date(2020, 1, 2), datetime.datetime(2020, 1, 2), datetime.timedelta(1), {}.keys(), {}.items(),
        getattr(text_type, "maketrans", len), types.MethodType(len, Plain()), super(Plain, Plain()), make_things.__code__, sys._getframe(),
    ]
    if enum:
        things += [
            enum.IntEnum("Number", "ONE TWO").TWO, enum.Enum("Color", "RED").RED, enum.IntFlag("Bits", "A B").B,
            enum.Enum("Text", [("A", u"a")], type=text_type).A,
        ]
    if sys.version_info >= (3, 9):
        things += [list[int], dict[str, int]]
    if hasattr(types, "SimpleNamespace"):
        things += [types.SimpleNamespace(a=1), types.MappingProxyType({}), super]
    if sys.version_info >= (3, 15):
        frozen = frozendict  # noqa: F821
        things += [frozen(), frozen(a=1, b=[2]), frozen({1: 2}), type("Frozen", (frozen,), {})(c=frozen(d=4))]
    return things


# Made before anything is traced: `enum` gives a class its module a moment after it made it.
THINGS = make_things()


class Values(object):
    """Makes values from a seed; the same seed gives the same values in the same version."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        # Values made before, to be shared, and all of them, so that ids and classes live on.
        self.made = []
        self.leaves = [
            self.nothing, self.whole, self.whole, self.real, self.complex, self.text, self.text, self.binary,
            self.view, self.bounds, self.thing,
        ]
        self.branches = [
            self.list, self.tuple, self.set, self.dict, self.attributes, self.exception, self.cycle, self.special,
        ]

    def value(self, depth=3):
        """Any value, containers nested at most so deep."""
        r = self.random
        if self.made and r.random() < 0.1:
            return r.choice(self.made)
        leaf = depth == 0 or r.random() < 0.5
        value = r.choice(self.leaves if leaf else self.branches)(depth - 1)
        self.made.append(value)
        return value

    def of(self, base):
        """An object of a builtin type or of a subclass of it."""
        makers = {
            list: self.list, tuple: self.tuple, dict: self.dict, bytearray: self.binary, bytes: self.binary,
            text_type: self.text, float: self.real, int: self.whole, set: self.set, frozenset: self.set,
            complex: self.complex,
        }
        while True:
            value = makers[base](1)
            if issubclass(type(value), base) and type(value) is not bool:
                return value

    def several(self, depth, most=4):
        """How many, then so many values: few, sometimes none, sometimes more than are captured."""
        r = self.random
        count = r.choice([0, r.randint(1, most), r.randint(1, most), r.randint(1, most), r.choice([15, 16, 17, 40])])
        return [self.value(depth if count <= most else 0) for _ in range(count)]

    def derived(self, base, *args):
        """Of the type or of one of its subclasses."""
        r = self.random
        return r.choice(SUBCLASSES[base] if r.random() < 0.4 else [base])(*args)

    def nothing(self, depth):
        return self.random.choice([None, True, False])

    def whole(self, depth):
        """Around the boundaries of digits, and anywhere."""
        r = self.random
        bits = r.choice([0, 3, 15, 29, 30, 31, 52, 53, 59, 60, 61, 62, 63, 64, 90, 120, 1020, 1049, 1050, 1051, 1080])
        if r.random() < 0.05:
            bits = r.choice([3000, 59999, 60001, 70000])
        number = r.choice([2**bits + r.choice([-1, 0, 1]), r.getrandbits(bits + 1)]) * r.choice([1, -1])
        kind = r.choice(ints)
        if kind is int and PYTHON2 and not -sys.maxsize - 1 <= number <= sys.maxsize:
            kind = ints[-1]
        return self.derived(kind, number)

    def real(self, depth):
        r = self.random
        special = [0.0, -0.0, 1.5, 5e-324, 2.2250738585072014e-308, 1e16, 1e-5, 1e22, 123456789012345680.0]
        number = r.choice([
            lambda: r.choice(special),
            lambda: float(r.choice(["nan", "inf", "-inf"])),
            r.random,
            lambda: struct.unpack("<d", struct.pack("<Q", r.getrandbits(64)))[0],
        ])
        return self.derived(float, number())

    def complex(self, depth):
        return self.derived(complex, float(self.real(0)), float(self.real(0)))

    def length(self):
        """Of a string: short, around the limits of each width, and far beyond."""
        r = self.random
        return r.choice([0, 1, r.randint(2, 40), r.randint(2, 40), r.choice([63, 64, 65, 127, 128, 129, 255, 256, 257])]
                        + [70000] * (r.random() < 0.05))

    def text(self, depth):
        r = self.random
        widest = r.randint(1, len(ALPHABETS))
        alphabet = u"".join(ALPHABETS[:widest])
        length = self.length()
        text = u"".join(r.choice(alphabet) for _ in range(min(length, 300)))
        return self.derived(text_type, (text * (length // 300 + 1))[:length])

    def binary(self, depth):
        r = self.random
        size = self.length()
        alphabet = r.choice([range(32, 127), range(256)])
        some = bytearray(r.choice(alphabet) for _ in range(min(size, 300)))
        data = bytes((some * (size // 300 + 1))[:size])
        if r.random() < 0.6:
            return self.derived(bytes, data)
        value = self.derived(bytearray, data)
        if r.random() < 0.5:
            # The buffer now begins behind the allocation.
            del value[: r.randint(0, size)]
        return value

    def view(self, depth):
        r = self.random
        data = bytearray(self.binary(0)) or bytearray(b"x")
        view = memoryview(r.choice([bytes(data), data]))
        forms = ["whole", "sliced", "empty"]
        if not PYTHON2:
            forms += ["stepped", "released", "matrix", "scalar", "wide", "reversed"]
        form = r.choice(forms)
        if form == "sliced":
            return view[1:-1]
        if form == "stepped":
            return view[::2]
        if form == "reversed":
            return view[::-1]
        if form == "empty":
            return view[:0]
        if PYTHON2 or form == "whole":
            return view
        if form == "released":
            view.release()
            return view
        if form == "scalar":
            return memoryview(b"x").cast("B", [])
        if form == "wide":
            return memoryview(array.array("d", [1.5, 2.5]))
        matrix = memoryview(bytes(24)).cast("B", [4, 6])
        return matrix if len(data) % 2 else matrix[::2]

    def bounds(self, depth):
        r = self.random
        if r.random() < 0.5:
            return slice(*[r.choice([None, self.whole(0), self.text(0)]) for _ in range(3)])
        most = 2**40 if PYTHON2 else 2**70
        return range_type(r.randint(-9, 9), r.randint(-9, most), r.choice([1, 2, -1, 7, 1000]))

    def thing(self, depth):
        return self.random.choice(THINGS)

    def list(self, depth):
        items = self.several(depth)
        value = self.derived(list, items)
        if self.random.random() < 0.3:
            del value[:1]
        return value

    def tuple(self, depth):
        return self.derived(tuple, self.several(depth))

    def key(self, depth):
        kinds = [self.text, self.whole, self.binary, self.nothing, self.real, self.bounds, self.thing]
        while True:
            key = self.random.choice(kinds)(0)
            try:
                hash(key)
            except (TypeError, ValueError):
                continue
            return key

    def set(self, depth):
        """Sometimes with holes where keys were deleted."""
        r = self.random
        keys = [r.choice([self.key, self.key_tuple])(0) for _ in self.several(0, 12)]
        made = set(keys) | set(range(r.choice([0, 0, 0, 30, 300])))
        for key in list(made)[:: r.choice([2, 3, 1000])]:
            made.discard(key)
        kind = r.choice([set, set, frozenset])
        if kind is frozenset:
            return self.derived(kind, made)
        value = self.derived(kind)
        value.update(made)
        for key in list(made)[:: r.choice([2, 1000])]:
            value.discard(key)
        return value

    def key_tuple(self, depth):
        return (self.key(0), self.key(0))

    def dict(self, depth):
        """Of text keys only or of any, resized, with holes."""
        r = self.random
        key = r.choice([self.key, self.name, self.name])
        value = self.derived(dict)
        for _ in range(r.choice([0, 1, 3, 6, 15, 20])):
            value[key(0)] = self.value(0 if len(value) > 4 else depth)
        if r.random() < 0.1:
            value.update((n, n) for n in range(r.choice([30, 300])))
        if r.random() < 0.5:
            for doomed in list(value)[:: r.choice([2, 3])]:
                del value[doomed]
            if r.random() < 0.5:
                value[self.name(0)] = self.value(0)
        return value

    def name(self, depth):
        r = self.random
        name = r.choice(NAMES + ["n%d" % r.randint(0, 40)])
        return name if r.random() < 0.8 else self.text(0)

    def attributes(self, depth):
        """The dict of an instance, whose keys are shared with other instances of its class."""
        r = self.random
        value = r.choice(ATTRIBUTE_CLASSES)()
        names = ["a", "b", "c", "d", "e", "f"]
        if r.random() < 0.3:
            r.shuffle(names)
        for name in names[: r.randint(0, 6)]:
            setattr(value, name, self.value(depth))
        if r.random() < 0.3:
            for name in list(value.__dict__)[: r.randint(1, 3)]:
                delattr(value, name)
            setattr(value, r.choice(names), self.value(depth))
        # The instance must live on: from 3.13 on its dict may lie inside of it.
        self.made.append(value)
        return value.__dict__

    def exception(self, depth):
        r = self.random
        args = self.several(depth)
        kind = r.random()
        if kind < 0.1:
            return OSError(r.choice([1, 2, 11, 17]), u"text", u"file")
        if kind < 0.2:
            return UnicodeDecodeError("codec", b"\xff\x00", 0, 1, "reason")
        if kind < 0.25 and hasattr(builtins, "ExceptionGroup"):
            return ExceptionGroup(u"group", [ValueError(1), KeyError(2)])  # noqa: F821
        value = r.choice(EXCEPTIONS)(*args)
        if r.random() < 0.2:
            value.args = (value,) + value.args
        return value

    def cycle(self, depth):
        """A container that is inside itself."""
        items = self.several(depth)
        way = self.random.randint(0, 2)
        if way == 0:
            items.append(items)
            return items
        if way == 1:
            table = {"self": items}
            items.insert(0, table)
            return table
        return (items, items, [items])

    def special(self, depth):
        r = self.random
        items = self.several(depth)
        return r.choice([
            lambda: Point(self.value(depth), self.value(depth)),
            lambda: collections.OrderedDict((self.name(0), item) for item in items),
            lambda: collections.defaultdict(list, [(n, item) for n, item in enumerate(items)]),
            lambda: collections.Counter(u"abracadabra"),
            lambda: collections.deque(items),
            lambda: os.stat_result(range(10)),
        ])()
