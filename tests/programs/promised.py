"""What Pythoscope's tracer promised in 2010, and had to rewrite bytecode for. Each case does something, and says what: the calls
and bytecodes in it as a tree, each with what is known of it.

No list is written out of constants where it does not belong to the case: from 3.9 on `list.extend` would make it."""
from __future__ import print_function

import json
import os
import sys
import tempfile

from truth_value import encode, exception_args, name_of

PYTHON2 = sys.version_info[0] == 2
BUILTINS = "__builtin__" if PYTHON2 else "builtins"

subject = None


class Thing(object):
    shared = 0

    def method(self, a):
        return abs(a)


def node(kind, name, inside=(), **known):
    known.update({"kind": kind, "name": name, "in": list(inside)})
    return known


def call(name, args, result, kwargs=None, inside=(), **known):
    """A call of a C function."""
    given = dict((key, encode(value)) for key, value in (kwargs or {}).items())
    args = [encode(a) for a in args]
    return node("call", "%s.%s" % (BUILTINS, name), inside, args=args, kwargs=given, result=encode(result), **known)


def raises(name, args, error, inside=(), **known):
    truth = dict(exception_args(error.args, 0), object=name_of(type(error)))
    args = [encode(a) for a in args]
    return node("call", "%s.%s" % (BUILTINS, name), inside, args=args, exception=truth, **known)


def run(name, args, result, inside=()):
    """A call of a Python function."""
    args = dict((key, encode(value)) for key, value in args.items())
    return node("function", name, inside, args=args, result=encode(result))


def op(bytecode, **known):
    return node("bytecode", bytecode, operands=dict((key, encode(value)) for key, value in known.items()))


def case_arguments():
    args, kwargs = (1,), {"imag": 2}
    results = [
        complex(), complex(1), complex(1, 2), complex(real=1, imag=2), complex(1, imag=2), complex(*args),
        complex(*args, **kwargs), complex(**kwargs), complex(*(1, 2), **{}),
    ]
    mixtures = [
        ((), {}), ((1,), {}), ((1, 2), {}), ((), {"real": 1, "imag": 2}), ((1,), {"imag": 2}), ((1,), {}),
        ((1,), {"imag": 2}), ((), {"imag": 2}), ((1, 2), {}),
    ]
    return [call("complex", a, result, k) for (a, k), result in zip(mixtures, results)]


def case_results():
    quotient, positive = divmod(7, 2), abs(-3)
    try:
        divmod(1, 0)
    except ZeroDivisionError as e:
        error = e
    return [call("divmod", (7, 2), quotient), call("abs", (-3,), positive), raises("divmod", (1, 0), error)]


def absolute(v):
    return abs(v)


def fails(v):
    raise ValueError(v)


def case_nesting():
    found = sorted([3, -1], key=absolute)
    inside = [run("absolute", {"v": 3}, 3, [call("abs", (3,), 3)]), run("absolute", {"v": -1}, 1, [call("abs", (-1,), 1)])]
    # The function is one of the main module, and the list is another one each time.
    return [node("call", BUILTINS + ".sorted", inside, args=None, result=encode(found))]


def case_balance():
    try:
        sorted([1], key=fails)
    except ValueError as e:
        first = e
        abs(-1)
    try:
        try:
            fails(2)
        finally:
            abs(-2)
    except ValueError as e:
        second = e
    abs(-4)
    return [
        node("call", BUILTINS + ".sorted", [node("function", "fails", exception=raised(first))]),
        call("abs", (-1,), 1),
        node("function", "fails", exception=raised(second)),
        call("abs", (-2,), 2),
        call("abs", (-4,), 4),
    ]


def raised(error):
    return dict(exception_args(error.args, 0), object=name_of(type(error)))


# Its standard output is for the test; `print_statement.py` has the others.
PRINTS = "print >>to, 'a',\nprint >>to\nprint >>to, 'c', 'd'\nprint >>to, 'e',\n"


def case_printing():
    with tempfile.NamedTemporaryFile("w") as to:
        if PYTHON2:
            exec(compile(PRINTS, __file__, "exec", 0, True), {"to": to.file})
            prints = [op("PRINT_ITEM", value="a"), op("PRINT_NEWLINE"), op("PRINT_ITEM", value="c"),
                      op("PRINT_ITEM", value="d"), op("PRINT_NEWLINE"), op("PRINT_ITEM", value="e")]
            run_by = node("bytecode", "EXEC_STMT", [node("function", "<module>", prints)])
            return [node("call", BUILTINS + ".compile"), run_by]
        print("a", end="", file=sys.stderr)
        print(file=sys.stderr)
        print("c", "d", file=to.file)
        kwargs = [{"end": "", "file": sys.stderr}, {"file": sys.stderr}, {"file": to.file}]
        return [call("print", a, None, k) for a, k in zip((("a",), (), ("c", "d")), kwargs)]


def case_attributes():
    thing = Thing()
    thing.own = 1
    setattr(thing, "other", [2])
    Thing.shared = 3
    del thing.own
    delattr(thing, "other")
    return [
        op("STORE_ATTR", object=thing, name="own", value=1),
        call("setattr", (thing, "other", [2]), None),
        op("STORE_ATTR", object=Thing, name="shared", value=3),
        op("DELETE_ATTR", object=thing, name="own"),
        call("delattr", (thing, "other"), None),
    ]


def case_globals():
    global subject
    before = subject
    subject = [before, 1]
    del subject
    subject = None
    return [
        op("STORE_GLOBAL", name="subject", value=[None, 1]),
        op("DELETE_GLOBAL", name="subject"),
        op("STORE_GLOBAL", name="subject", value=None),
    ]


def case_lists():
    a = [3]
    told = []

    def before(method, args, result, kwargs=None):
        told.append(call("list." + method, args, result, kwargs, self=encode(list(a))))

    before("append", (1,), None)
    a.append(1)
    before("extend", ((2, 5),), None)
    a.extend((2, 5))
    before("insert", (0, 9), None)
    a.insert(0, 9)
    before("pop", (), 5)
    a.pop()
    before("pop", (0,), 9)
    a.pop(0)
    before("remove", (1,), None)
    a.remove(1)
    before("reverse", (), None)
    a.reverse()
    before("sort", (), None)
    a.sort()
    return told


def case_failing_pop():
    empty = []
    try:
        empty.pop()
    except IndexError as e:
        error = e
    return [raises("list.pop", (), error, self=encode([]))]


def case_code():
    code = compile("abs(-5)", __file__, "eval")
    inside = [run("<module>", {}, 5, [call("abs", (-5,), 5)])]
    space = {}
    found = eval(code, space)
    ran = eval("made(-6)", {"made": absolute})
    assert (found, ran) == (5, 6)
    source = [node("function", "<module>", [run("absolute", {"v": -6}, 6, [call("abs", (-6,), 6)])])]
    # Text that is compiled by `eval` is in no file.
    source = source[0]["in"]
    return [
        node("call", BUILTINS + ".compile"),
        node("call", BUILTINS + ".eval", inside),
        node("call", BUILTINS + ".eval", source),
    ]


def case_modules_and_methods():
    import promised_module

    found = [promised_module.function(-7), promised_module.Class().method(-8), Thing().method(-9)]
    assert tuple(found) == (7, 8, 9)
    return [
        node("function", "<module>", [node("function", "Class")]),
        run("function", {"a": -7}, 7, [call("abs", (-7,), 7)]),
        node("function", "method", [call("abs", (-8,), 8)], result=8),
        node("function", "method", [call("abs", (-9,), 9)], result=9),
    ]


CASES = [value for name, value in sorted(globals().items()) if name.startswith("case_")]

print("ready")
sys.stdout.flush()
while sys.stdin.readline():
    told = [{"case": case.__name__, "did": case()} for case in CASES]
    for one in told:
        print(json.dumps(one))
    print("done")
    sys.stdout.flush()
