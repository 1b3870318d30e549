"""Calls Python functions in every way there is. With TRUTH in the environment it is its own tracer (`sys.settrace`, from 3.12
on `sys.monitoring`), and writes down each run of each function; without, it only calls them.

A run: [function, first line, begins as, arguments, how it ends, value, its place among the runs, that of the run around it].
"""
from __future__ import print_function

import dis
import functools
import json
import os
import sys
import threading

from truth_value import encode, exception_args, name_of

# In Python 2 a type made in C is not ready before it is looked at, and then another one to the tool.
for some in ([], range(1), ()):
    type(iter(some)).__mro__

MINE = ("calls.py", "calls_async.py")
PYTHON2 = sys.version_info[0] == 2
ROUNDS = int(os.environ.get("ROUNDS", "3"))


class Truth(object):
    """Runs of one thread, in the order in which they begin."""

    def __init__(self):
        self.runs = []
        self.around = []
        self.failing = {}

    def begin(self, frame, how):
        code = frame.f_code
        arguments = {}
        if how == "begun":
            count = code.co_argcount + getattr(code, "co_kwonlyargcount", 0)
            count += bool(code.co_flags & 4) + bool(code.co_flags & 8)
            values = frame.f_locals
            arguments = dict((name, encode(values[name])) for name in code.co_varnames[:count])
        parent = self.around[-1] if self.around else None
        self.around.append(len(self.runs))
        self.runs.append([code.co_name, code.co_firstlineno, how, arguments, None, None, len(self.runs), parent])

    def end(self, how, value):
        self.runs[self.around.pop()][4:6] = [how, value]


# By the name of the thread.
truths = {}


def truth():
    return truths.setdefault(threading.current_thread().name, Truth())


def is_mine(code):
    return os.path.basename(code.co_filename) in MINE and code.co_name not in ("trace", "local")


def raised(e):
    if not isinstance(e, BaseException):
        return None
    return dict(exception_args(e.args, 0), object=name_of(type(e)))


def opcode(frame):
    code = frame.f_code.co_code
    if frame.f_lasti < 0:
        return ""
    found = code[frame.f_lasti]
    return dis.opname[ord(found) if PYTHON2 else found]


def waits(frame):
    """Up to 3.10: whether it stands before its `YIELD_FROM`, which it is to run again."""
    code, at = frame.f_code.co_code, frame.f_lasti + 2
    return not PYTHON2 and sys.version_info < (3, 11) and at < len(code) and dis.opname[code[at]] == "YIELD_FROM"


# What `sys.settrace` tells of a frame that ends by an exception is that it returns None.
def local(frame, event, argument):
    truth = truths[threading.current_thread().name]
    if event == "exception":
        t, value, _ = argument
        if not isinstance(value, BaseException):
            value = t() if value is None else t(*value) if isinstance(value, tuple) else t(value)
        truth.failing[frame] = value
        return local
    failed = truth.failing.pop(frame, None)
    if type(failed).__name__ in ("StopIteration", "StopAsyncIteration"):
        # That of something it waited for.
        failed = None
    if event == "return":
        op = opcode(frame)
        if argument is None and failed is not None and op != "RETURN_VALUE":
            truth.end("raise", raised(failed))
        elif op.startswith("YIELD") or waits(frame):
            truth.end("yield", encode(argument))
        elif op == "RETURN_VALUE" or argument is not None:
            truth.end("return", encode(argument))
        else:
            # It was raised where no exception is told of.
            truth.end("raise", None)
    return local


def trace(frame, event, argument):
    if event != "call" or not is_mine(frame.f_code):
        return None
    begun = frame.f_lasti < 0
    if not begun and opcode(frame) == "RESUME":
        begun = frame.f_code.co_code[frame.f_lasti + 1] & 3 == 0
    truth().begin(frame, "begun" if begun else "resumed")
    return local


def monitor():
    m = sys.monitoring
    e = m.events
    m.use_tool_id(3, "truth")

    def begins(how):
        def called(code, offset, *rest):
            if not is_mine(code):
                return m.DISABLE if how != "thrown" else None
            truth().begin(sys._getframe(1), how)

        return called

    def ends(how):
        def called(code, offset, value):
            if is_mine(code):
                # The one that switches it on has not begun.
                if truth().around:
                    truth().end(how, raised(value) if how == "raise" else encode(value))

        return called

    for event, called in (
        (e.PY_START, begins("begun")),
        (e.PY_RESUME, begins("resumed")),
        (e.PY_THROW, begins("thrown")),
        (e.PY_RETURN, ends("return")),
        (e.PY_YIELD, ends("yield")),
        (e.PY_UNWIND, ends("raise")),
    ):
        m.register_callback(3, event, called)
    m.set_events(3, e.PY_START | e.PY_RESUME | e.PY_THROW | e.PY_RETURN | e.PY_YIELD | e.PY_UNWIND)


# From here on: what is called.

kept = []


def plain(a, b=2, *rest, **more):
    return a + b + len(rest)


def inner_uses(cell, other):
    return (lambda: cell)() + other


def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)


def deep(n):
    return 0 if n == 0 else 1 + deep(n - 1)


def fails(n):
    if n == 0:
        raise ValueError("deep", n)
    try:
        return fails(n - 1)
    finally:
        plain(n)


def handles(n):
    try:
        return fails(n)
    except ValueError as e:
        return e.args[0]
    finally:
        plain(0)


def raises_again():
    try:
        fails(1)
    except ValueError:
        raise KeyError("again")


def generator(n):
    for i in range(n):
        got = yield i
        if got is not None:
            plain(got)


def delegates(n):
    for x in generator(n):
        yield x
    yield -1


def closes():
    try:
        yield 1
        yield 2
    finally:
        plain(5)


def catches():
    while True:
        try:
            yield "ready"
        except KeyError as e:
            plain(len(e.args))


class Base(object):
    def __init__(self, value):
        self.value = value

    def __eq__(self, other):
        return self.value == getattr(other, "value", None)

    def __lt__(self, other):
        return self.value < other.value

    def __hash__(self):
        return hash(self.value)

    def __getattr__(self, name):
        raise AttributeError(name)

    @property
    def double(self):
        return self.value * 2

    @double.setter
    def double(self, value):
        self.value = value // 2

    @classmethod
    def make(cls, value):
        return cls(value)

    @staticmethod
    def add(a, b):
        return a + b

    def __enter__(self):
        return 1

    def __exit__(self, t, value, traceback):
        return t is KeyError

    def __iter__(self):
        yield self.value
        yield self.value + 1

    def __call__(self, a):
        return a


class Derived(Base):
    def __init__(self, value):
        super(Derived, self).__init__(value)
        plain(value)


class Broken(object):
    def __init__(self, value):
        fails(value)


class Slotted(object):
    __slots__ = ("a", "b")

    def __init__(self, a, b):
        self.a, self.b = a, b


def decorated(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return function(*args, **kwargs)

    return wrapper


@decorated
def wrapped(a):
    return a


def objects():
    a, b = Base(3), Derived.make(4)
    a.double = 10
    total = a.double + b.double + Base.add(1, 2) + b(5)
    Slotted(1, b=2)
    try:
        Broken(2)
    except ValueError:
        total += 1
    with b:
        raise KeyError("swallowed by with")
    return total


def with_objects():
    with Base(1) as one:
        objects_total = objects()
    return objects_total + one


def through_c():
    items = [Base(n) for n in (3, 1, 2)]
    items.sort()
    sorted(items, key=lambda item: -item.value)
    items.index(Base(1))
    set(items)
    total = sum(map(lambda n: n + 1, range(3)))
    total += functools.reduce(lambda x, y: x + y, [1, 2, 3])
    total += len(list(filter(lambda n: n % 2, range(5))))
    hasattr(items[0], "missing")
    getattr(items[0], "missing", None)
    total += sum(Base(7))
    total += wrapped(3)
    try:
        sorted([1, 2], key=lambda n: fails(n))
    except ValueError:
        pass
    try:
        list(map(fails, [0]))
    except ValueError:
        pass
    return total


def generators():
    total = sum(generator(3)) + sum(delegates(2))
    g = generator(3)
    next(g)
    g.send(7)
    list(g)
    c = closes()
    next(c)
    c.close()
    del c
    # Gone at once; a name would live on in the tracer's view of the locals.
    next(closes())
    k = catches()
    next(k)
    k.throw(KeyError("thrown", 1))
    try:
        k.throw(ValueError("out"))
    except ValueError:
        pass
    n = next(generator(0), 9)
    generator(5)
    return total + n + sum(x * y for x in range(2) for y in range(2))


def comprehensions():
    return [[x for x in range(2)], {x for x in range(2)}, {x: x for x in range(2)}, sorted(x for x in range(2))]


def dynamic():
    space = {"plain": plain}
    exec(compile("def made(a):\n    return plain(a)\nresult = made(4)\n", __file__, "exec"), space)
    return space["result"] + eval(compile("(lambda v: v + 1)(2)", __file__, "eval"))


def classes():
    class Local(object):
        def method(self):
            return 1

    # A class that is gone has no name any more.
    kept.append(Local)
    return Local().method()


def works():
    plain(1)
    plain(1, 2, 3, 4, key="word")
    inner_uses("cell", other="x")
    fib(7)
    deep(50)
    handles(3)
    try:
        raises_again()
    except KeyError:
        pass
    with_objects()
    through_c()
    generators()
    comprehensions()
    dynamic()
    classes()


def works_in_thread():
    works()


def runs():
    """All of it."""
    for _ in range(ROUNDS):
        works()
    threads = [threading.Thread(target=works_in_thread, name="thread %d" % n) for n in range(3)]
    for thread in threads:
        thread.start()
        thread.join()
    if asynchronous:
        for _ in range(ROUNDS):
            asynchronous.works()


asynchronous = None
if not PYTHON2:
    import calls_async as asynchronous


def main():
    if not os.environ.get("TRUTH"):
        runs()
        print("done")
        return
    if sys.version_info >= (3, 12):
        monitor()
        runs()
        sys.monitoring.set_events(3, 0)
    else:
        threading.settrace(trace)
        sys.settrace(trace)
        runs()
        sys.settrace(None)
    print(json.dumps([truth.runs for name, truth in sorted(truths.items())]))
    print("done")


print("ready")
sys.stdout.flush()
while sys.stdin.readline():
    main()
    sys.stdout.flush()
