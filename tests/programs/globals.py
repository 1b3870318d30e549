"""Reads globals and builtin names, the same instructions again and again with dicts of every kind, so that they are
specialised, give up, and are specialised anew. Writes down what each found, by looking in the dicts itself."""
from __future__ import print_function

import sys
import threading
import types

from rounds import rounds

try:
    import builtins
except ImportError:
    import __builtin__ as builtins

ROUNDS = 60
# Python 2 looks into the dict itself, whatever its type says.
PYTHON2 = sys.version_info[0] == 2
did = []


def told(value):
    """What JSON says of a value."""
    if isinstance(value, type):
        return {"type": "%s.%s" % (value.__module__.replace("__builtin__", "builtins"), value.__name__)}
    if isinstance(value, (types.FunctionType, types.BuiltinFunctionType)):
        return {"function": "%s.%s" % (value.__module__.replace("__builtin__", "builtins"), value.__name__)}
    return list(value) if isinstance(value, list) else value


def found(frame, name):
    for scope in (frame.f_globals, frame.f_builtins):
        try:
            return dict.__getitem__(scope, name) if PYTHON2 else scope[name]
        except KeyError:
            pass
    raise NameError(name)


def note(name, ahead=1):
    """`ahead`: lines until it is read."""
    caller = sys._getframe(1)
    value = told(found(caller, name))
    did.append([name, value, caller.f_code.co_name, caller.f_lineno + ahead])


class Counting(object):
    x = 0


class Made(dict):
    """Finds what is not in it, too."""

    def __getitem__(self, name):
        if name == "made":
            return "of nothing"
        return dict.__getitem__(self, name)


def act_module(note):
    note("counter")
    a = counter
    note("counter", 2)
    note("text")
    return a + counter, text


def act_builtin(note, o):
    note("len")
    a = len(o)
    note("added")
    b = added
    note("int")
    return int(b) + a


def act_loop(note):
    total = 0
    note("range")
    for n in range(8):
        note("counter")
        total += counter
        note("abs")
        total += abs(n)
    return total


def act_attribute(note):
    note("Counting")
    Counting.x += 1
    note("told")
    told(None)


def act_shadowed(note):
    note("max")
    return max


def act_gone(note):
    # Nothing is read, but the name of the exception.
    note("NameError", 3)
    try:
        gone
    except NameError:
        pass


def act_sometimes(note, there):
    note("sometimes" if there else "NameError", 2 if there else 3)
    try:
        sometimes
    except NameError:
        pass


def act_rebinds(note):
    global own
    own = [1]
    note("own")
    own.append(2)
    own = "text"
    note("own")
    own.upper()
    del own


def act_generates(note):
    for n in (1, 2, 3):
        note("counter")
        yield counter + n


def act_elsewhere(note):
    note("where")
    a = where
    note("len")
    return len(a)


MADE = """
def act_made(note):
    note("made")
    made
    note("plain")
    plain
    note("len")
    len("")
    note("NameError", 3)
    try:
        missing
    except NameError:
        pass
"""
THREAD = """
def act_thread_%s(note, times):
    global churned_%s
    for n in times:
        churned_%s = [n]
        note("churned_%s")
        churned_%s
        note("counter")
        counter
        note("len")
        len("")
"""


def many_names():
    """A function with more names than one byte tells apart."""
    lines = "".join("    note('n%d')\n    n%d\n" % (n, n) for n in range(300))
    scope = dict(("n%d" % n, n) for n in range(300))
    exec("def act_many(note):\n" + lines, scope)
    return scope["act_many"]


def elsewhere():
    """The same code with other globals, and other builtins."""
    scopes = [
        {"where": "a dict"},
        {"where": "another", "unused": 1},
        dict({"where": "larger"}, **dict(("x%d" % n, n) for n in range(50))),
        Made({"where": "a subclass"}),
        {"where": "own builtins", "__builtins__": {"len": len}},
    ]
    if not PYTHON2:
        scopes.append({"where": "odd builtins", "__builtins__": Made({"len": len})})
    for scope in scopes:
        # Up to 3.9 a function has none otherwise.
        scope.setdefault("__builtins__", builtins)
    return [types.FunctionType(act_elsewhere.__code__, scope) for scope in scopes]


def in_threads():
    runs = []
    for name in "ab":
        scope = globals()
        exec(THREAD % ((name,) * 5), scope)
        runs.append(threading.Thread(target=scope["act_thread_" + name], args=(note, range(300))))
    for run in runs:
        run.start()
    for run in runs:
        run.join()


def main():
    global counter, text, max, sometimes
    builtins.added = 7
    act_many = many_names()
    functions = elsewhere()
    made = Made({"plain": 1, "NameError": NameError})
    exec(MADE, made)
    for n in range(ROUNDS):
        counter, text = n, "text %d" % n
        act_module(note)
        act_builtin(note, "abc")
        act_loop(note)
        act_attribute(note)
        if n % 20 == 10:
            max = "a global"
        act_shadowed(note)
        if n % 20 == 15:
            del max
        act_gone(note)
        if n % 30 == 10:
            sometimes = n
        act_sometimes(note, "sometimes" in globals())
        if n % 30 == 20:
            del sometimes
        act_rebinds(note)
        list(act_generates(note))
        # Long enough with one to be specialised for it.
        functions[n // 8 % len(functions)](note)
        functions[n % len(functions)](note)
        if not PYTHON2:
            made["act_made"](note)
        builtins.added = n
    if "max" in globals():
        del max
    if "sometimes" in globals():
        del sometimes
    for n in range(20):
        act_many(note)
    in_threads()


rounds(main, did)
