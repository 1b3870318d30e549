"""Calls C functions of every calling convention with random values, from every mixture of arguments."""
from __future__ import print_function

import _csv
import _elementtree
import _json
import _struct
import bisect
import codecs
import collections
import datetime
import io
import json
import math
import operator
import os
import re
import sys
import time
import unicodedata
import zlib

import truth
from call_sites import FILE, FORMS, MIXTURES, Site
from random_values import PYTHON2, Values, text_type
from truth_value import name_of

# How many positional arguments a function lets pass before it looks at them itself, and whether keywords.
NONE, ONE, MANY, KEYWORD = (0, 0, False), (1, 1, False), (0, 40, False), (0, 40, True)
# Records hold 64 KiB; calls of more than this are not made here.
MOST_WEIGHT = 40000
SITES_OF_EACH = 4


# Functions that this program itself, `json` or `random` call all the time are not among them: each such
# call is an event too, and there would be millions.


def methods():
    """(how to make a receiver from values, the class that has the method, its name, what it lets pass)"""
    def of(base):
        return lambda values: values.of(base)

    found = [
        (of(dict), dict, "update", KEYWORD),
        (of(dict), dict, "setdefault", MANY),
        (of(dict), dict, "pop", MANY),
        (of(dict), dict, "copy", NONE),
        (of(list), list, "insert", MANY),
        (of(list), list, "reverse", NONE),
        (of(list), list, "__reversed__", NONE),
        (of(tuple), tuple, "__getnewargs__", NONE),
        (of(set), set, "add", ONE),
        (of(set), set, "copy", NONE),
        (of(frozenset), frozenset, "copy", NONE),
        (of(int), int, "__getnewargs__", NONE),
        (of(float), float, "hex", NONE),
        (of(complex), complex, "conjugate", NONE),
        (of(text_type), text_type, "format", KEYWORD),
        (of(text_type), text_type, "encode", KEYWORD),
        (of(text_type), text_type, "isalnum", NONE),
        (of(bytes), bytes, "decode", KEYWORD),
        (of(bytearray), bytearray, "append", ONE),
        (lambda values: io.StringIO(u"text"), io.StringIO, "write", ONE),
        (lambda values: io.BytesIO(b"text"), io.BytesIO, "readline", MANY),
        (lambda values: collections.deque([1, 2]), collections.deque, "rotate", MANY),
        (lambda values: datetime.datetime(2020, 1, 2), datetime.datetime, "isoformat", KEYWORD),
        (lambda values: ValueError(1), BaseException, "__reduce__", NONE),
    ]
    receivers = [
        (re.compile("a"), "search", KEYWORD),
    ]
    if not PYTHON2:
        entry = next(os.scandir(os.path.dirname(os.path.abspath(__file__))))
        receivers += [
            (re.compile(b"a"), "fullmatch", KEYWORD),
            (zlib.compressobj(), "copy", NONE),
            (entry, "is_dir", KEYWORD),
        ]
    for receiver, name, passes in receivers:
        found += [(lambda values, receiver=receiver: receiver, type(receiver), name, passes)]
    return found


def class_methods():
    """(class, name, what it lets pass)"""
    found = [
        (datetime.date, "fromordinal", MANY if sys.version_info < (3, 15) else ONE),
        (datetime.datetime, "now", KEYWORD),
        (datetime.date, "today", NONE),
        (float, "fromhex", ONE),
    ]
    if not PYTHON2:
        found += [(int, "from_bytes", KEYWORD), (bytes, "fromhex", ONE), (str, "maketrans", MANY)]
    return found


def functions():
    """(function, what it lets pass)"""
    found = [
        (operator.is_, MANY), (operator.truth, ONE), (divmod, MANY),
        (callable, ONE), (sys.exc_info, NONE), (sys.getsizeof, KEYWORD), (time.strftime, MANY),
        (unicodedata.normalize, MANY), (_csv.writer, KEYWORD), (_elementtree.SubElement, KEYWORD),
        (_json.scanstring, MANY), (_struct.pack, MANY), (_struct.unpack_from, KEYWORD), (zlib.crc32, MANY),
        (bisect.bisect_left, KEYWORD),
    ]
    if not PYTHON2:
        found += [(zlib.compress, KEYWORD), (codecs.encode, KEYWORD), (math.isclose, KEYWORD)]
    return found


# Types: called, they construct.
CONSTRUCTORS = [complex, slice, datetime.timedelta]


class Callee(object):
    """A C function as a program may call it."""

    def __init__(self, f, name, bound, passes, receiver=None, unbound=None):
        self.f, self.name, self.bound, self.passes = f, name, bound, passes
        # For the attribute form, and for calls through the class.
        self.receiver, self.unbound = receiver, unbound
        # The name to call it by as an attribute.
        self.method = f.__name__


def method_callee(values, make, t, name, passes):
    receiver = make(values)
    descriptor = t.__dict__[name]
    f = descriptor.__get__(receiver, type(receiver))
    return Callee(f, truth.described(descriptor)[0], (receiver,), passes, receiver, descriptor)


def class_callee(values, t, name, passes):
    owner, found = truth.owner_of(t, name)
    bound = () if type(found) is staticmethod else (t,)
    return Callee(getattr(t, name), "%s.%s" % (name_of(owner), name), bound, passes, t)


def function_callee(values, f, passes):
    return Callee(f, truth.described(f)[0], (), passes)


def constructor_callee(values, t):
    return Callee(t, name_of(t), (), KEYWORD)


def callees():
    """Makers of callees, and the names of all functions."""
    makers = [lambda values, m=m: method_callee(values, *m) for m in methods()]
    makers += [lambda values, m=m: class_callee(values, *m) for m in class_methods()]
    makers += [lambda values, m=m: function_callee(values, *m) for m in functions()]
    makers += [lambda values, t=t: constructor_callee(values, t) for t in CONSTRUCTORS]
    return makers


def weight(value):
    """Bytes of a record that a VALUE takes, about; never too few."""
    if isinstance(value, dict):
        return 64 + sum(map(weight, value.values()))
    if isinstance(value, (list, tuple)):
        return 48 + sum(map(weight, value))
    return 32 + (4 * len(value) if isinstance(value, text_type) else 0)


def keywords(values, site):
    """What the site has of its own, and for `**` anything that can be a name."""
    r = values.random
    found = {key: values.value(2) for key in site.keywords}
    if site.has("d"):
        # More than are captured, but not in Python 2, where nobody knows which come first.
        for _ in range(r.choice([0, 1, 2, 3, 12 if PYTHON2 else 17])):
            name = r.choice([values.name(0), "k%d" % r.randint(0, 30)])
            if len(name) < 60:
                found[name if not PYTHON2 else str(name.encode("ascii", "replace"))] = values.value(1)
    return found


def positional(values, site, least, most):
    count = site.positional
    if site.has("s"):
        count += values.random.choice([0, 1, 2, 3, 18])
    count = min(max(count, least), most)
    return [values.value(values.random.randint(0, 4) if count < 5 else 0) for _ in range(count)]


def one_call(values, makers, sites):
    """Chooses a function, a site that suits it, and arguments; calls."""
    r = values.random
    callee = r.choice(makers)(values)
    least, most, takes_keywords = callee.passes
    through_class = callee.unbound is not None and r.random() < 0.2
    extra = 1 if through_class else 0
    suited = [
        site for site in sites
        if site.fits(least + extra, most + extra, takes_keywords)
        and (site.form == FORMS[0] or callee.receiver is not None and site.method == callee.method and not through_class)
    ]
    if not suited:
        return
    mixture = r.choice(sorted({site.mixture for site in suited}))
    site = r.choice([site for site in suited if site.mixture == mixture])
    args = positional(values, site, least, most)
    if through_class:
        args = args[: max(site.positional - 1, 0)] if not site.has("s") else args
    elif not site.has("s"):
        args = args[: site.positional]
    kwargs = keywords(values, site) if takes_keywords else {}
    if not least <= len(args) <= most or len(args) + extra < site.positional:
        return
    event = truth.started(callee.name, callee.bound, args, kwargs)
    if weight(event) > MOST_WEIGHT:
        truth.forgotten(event)
        return
    truth.called_from(event, site.name, FILE, site.line)
    f = callee.unbound if through_class else callee.f
    try:
        result = site.call(f, callee.receiver, list(callee.bound) * extra + args, kwargs)
    except BaseException as e:
        truth.raised(event, e)
    else:
        truth.returned(event, result)


def make_sites(values, makers):
    names = sorted({make(values).method for make in makers})
    sites = []
    for mixture in MIXTURES:
        for _ in range(SITES_OF_EACH):
            sites += [Site(values.random, mixture, FORMS[0], "")]
        for name in names:
            sites += [Site(values.random, mixture, FORMS[1], name)]
    return sites


# Python 2 completes some types when they are first looked at, which takes their name away for a moment.
name_of(type([].__reversed__()))


def main():
    makers = callees()
    names = sorted({make(Values(0)).name for make in makers})
    truth.say("ready")
    truth.say(json.dumps(names))
    seed, count = map(int, sys.stdin.readline().split())
    values = Values(seed)
    sites = make_sites(values, makers)
    while len(truth.calls) < count:
        one_call(values, makers, sites)
    truth.report()


main()
