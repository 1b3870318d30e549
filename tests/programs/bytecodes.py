"""Changes objects by bytecodes, the same instructions again and again with operands of every kind, so that they are
specialised, give up, and are specialised anew. Writes down what each did, in order."""
from __future__ import print_function

import collections
import sys

from rounds import rounds

ROUNDS = 120
PYTHON2 = sys.version_info[0] == 2
# Slices that are no objects of their own.
SLICES = PYTHON2 or sys.version_info >= (3, 12)
did = []


class Plain(object):
    pass


class Slots(object):
    __slots__ = ("x", "y")


class Property(object):
    @property
    def x(self):
        return self._x

    @x.setter
    def x(self, value):
        self.hidden = value  # its own effect, of another function


class Own(object):
    def __setattr__(self, name, value):
        object.__setattr__(self, name, value)


class Dict(dict):
    pass


class List(list):
    pass


def with_dict():
    """An instance with a real dict: attributes that do not fit the type's own table."""
    plain = Plain()
    for n in range(40):
        setattr(plain, "a%d" % n, n)
    plain.__dict__["x"] = None
    return plain


def note(op, what, value=None, o=None, ahead=1):
    """`ahead`: lines until it is done."""
    caller = sys._getframe(1)
    owner = None if o is None else "%s.%s" % (type(o).__module__, type(o).__name__)
    did.append([op, what, value, owner, caller.f_code.co_name, caller.f_lineno + ahead])


def act_attribute(o, value):
    note("STORE_ATTR", "x", value, o)
    o.x = value


def act_twice(o, p, value):
    note("STORE_ATTR", "x", value, o, 2)
    note("STORE_ATTR", "x", value, p)
    o.x = p.x = value


def act_delete_attribute(o):
    note("DELETE_ATTR", "x", None, o)
    del o.x


def act_global(value):
    global first, second
    note("STORE_GLOBAL", "first", value)
    first = value
    note("STORE_GLOBAL", "second", value)
    second = value
    note("DELETE_GLOBAL", "second")
    del second


def act_item(o, key, value):
    note("STORE_SUBSCR", key, value)
    o[key] = value


def act_delete_item(o, key):
    note("DELETE_SUBSCR", key)
    del o[key]


def act_append(o, value):
    note("append", None, value)
    o.append(value)


def act_fail(o, p):
    note("STORE_ATTR", "z", 1, o, 2)
    try:
        o.z = 1
    except AttributeError:
        pass
    note("STORE_SUBSCR", 5, 1, None, 2)
    try:
        p[5] = 1
    except IndexError:
        pass
    note("DELETE_ATTR", "y", None, o, 2)
    try:
        del o.y
    except AttributeError:
        pass


def slice_of(start, stop):
    """What JSON says of it. Python 2 makes numbers of what is left out, for types that take numbers."""
    return {"slice": [start, stop, None]}


def act_slice(o, start, stop, value):
    note("STORE_SLICE" if SLICES else "STORE_SUBSCR", slice_of(start, stop), value)
    o[start:stop] = value


def act_delete_slice(o, start, stop):
    note("DELETE_SLICE" if PYTHON2 else "DELETE_SUBSCR", slice_of(start, stop))
    del o[start:stop]


def whole_slice_of(o):
    return slice_of(0, {"int": str(sys.maxsize)}) if PYTHON2 and isinstance(o, list) else slice_of(None, None)


def act_whole_slice(o, value):
    # From 3.14 on a constant.
    note("STORE_SLICE" if SLICES and sys.version_info < (3, 14) else "STORE_SUBSCR", whole_slice_of(o), value)
    o[:] = value


class Sliced(object):
    """Takes slice objects only, in Python 2 too."""

    def __setitem__(self, key, value):
        self.set = key

    def __delitem__(self, key):
        self.deleted = key


class Names(dict):
    """Where a class's body may be run."""

    def __setitem__(self, key, value):
        dict.__setitem__(self, key, value)


class Meta(type):
    @classmethod
    def __prepare__(meta, name, bases):
        return Names()


BODY = """
class act_%s:
    note("STORE_NAME", "x", value)
    x = value
    note("STORE_NAME", "y", value)
    y = value
    note("DELETE_NAME", "x")
    del x
"""


def class_bodies():
    """Their names are in a dict, or in what the metaclass gives."""
    kinds = ["body(object)"] + ([] if PYTHON2 else ["prepared(metaclass=Meta)"])
    return [compile(BODY % kind, "bodies.py", "exec") for kind in kinds]


def many_names():
    """A function with more names than one byte tells apart."""
    names = "".join("    o.n%d = value\n" % n for n in range(300))
    notes = "".join("    note('STORE_ATTR', 'n%d', value, o, 300)\n" % n for n in range(300))
    code = "def act_many(o, value):\n" + notes + names
    scope = {"note": note}
    exec(code, scope)
    return scope["act_many"]


def main():
    act_many = many_names()
    bodies = class_bodies()
    plain, slots, hinted = Plain(), Slots(), with_dict()
    slots.y = 1
    objects = [plain, slots, hinted, Property(), Own()]
    lists = [[0] * 3, List([0] * 3), bytearray(3), collections.deque([0] * 3)]
    dicts = [{}, Dict(), collections.OrderedDict(), collections.defaultdict(int)]
    for n in range(ROUNDS):
        # Long enough with one kind to be specialised for it.
        kind = n // 20
        act_attribute(objects[kind % len(objects)], n)
        act_twice(objects[kind % 3], objects[n % 3], n)
        act_delete_attribute(objects[kind % 3])
        act_global(n)
        act_item(lists[kind % 4], n % 3, n)
        act_item(dicts[kind % 4], n % 3, n)
        act_item(dicts[n % 4], "k", n)
        act_delete_item(dicts[n % 4], "k")
        act_append([[1], List([1]), bytearray(1), collections.deque()][kind % 4], n)
        act_fail(slots, [])
        act_slice([List([1] * 4), [1] * 4][kind % 2], n % 3, n % 5, "ab")
        act_slice(Sliced(), n % 3, "b", n)
        act_delete_slice([[1] * 4, List([1] * 4)][kind % 2], n % 3, n % 5)
        act_delete_slice(Sliced(), n % 3, "b")
        act_whole_slice([[1] * 4, Sliced()][kind % 2], "abc")
        for body in bodies:
            exec(body, {"note": note, "value": n, "Meta": Meta, "__name__": "bodies"})
    for n in range(20):
        act_many(hinted, n)


rounds(main, did)
