"""What a program knows of its own calls, written as the tool writes events."""
from __future__ import print_function

import json
import sys
import threading
import types

from truth_value import MAX_ITEMS, encode, exception_args, is_a, name_of

calls = []
# Numbers of the calls in progress, outermost first.
inside = []


def say(line):
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def thread_id():
    """The kernel's number of this thread."""
    if hasattr(threading, "get_native_id"):
        return threading.get_native_id()
    import ctypes

    return ctypes.CDLL(None).syscall(186)  # gettid


def name_of_code(code):
    """As frames are named: by `co_qualname`, which is there from 3.11 on."""
    return getattr(code, "co_qualname", code.co_name)


def file_name():
    """This file, as code objects name it."""
    return sys._getframe().f_code.co_filename


def owner_of(t, name):
    """The class in which `t` finds the method, and what is there."""
    for base in t.__mro__:
        if name in base.__dict__:
            return base, base.__dict__[name]
    raise AttributeError(name)


def described(f):
    """`module.qualname` of a C function as events have it, and what it is bound to, if it is, in a tuple."""
    owner = getattr(f, "__objclass__", None)
    if owner is not None:
        return "%s.%s" % (name_of(owner), f.__name__), ()
    bound = getattr(f, "__self__", None)
    if bound is None or is_a(bound, types.ModuleType):
        return "%s.%s" % (f.__module__, f.__name__), ()
    owner, found = owner_of(bound if is_a(bound, type) else type(bound), f.__name__)
    name = "%s.%s" % (name_of(owner), f.__name__)
    return name, () if type(found) is staticmethod else (bound,)


def started(function, bound, args, kwargs):
    """Notes a call that is about to be made."""
    event = {
        "n": len(calls),
        "parent": inside[-1] if inside else None,
        "function": function,
        "args": [encode(a) for a in args[:MAX_ITEMS]],
        "kwargs": {key: encode(kwargs[key]) for key in list(kwargs)[:MAX_ITEMS]},
    }
    if len(args) > MAX_ITEMS:
        event["args_len"] = len(args)
    if len(kwargs) > MAX_ITEMS:
        event["kwargs_len"] = len(kwargs)
    for one in bound:
        event["self"] = encode(one)
    calls.append(event)
    inside.append(event["n"])
    return event


def forgotten(event):
    """The call is not made after all."""
    assert calls.pop() is event
    inside.pop()


def returned(event, result):
    inside.pop()
    event["outcome"] = "return"
    event["result"] = encode(result)


def raised(event, e):
    inside.pop()
    event["outcome"] = "raise"
    event["exception"] = dict(exception_args(BaseException.args.__get__(e), 0), object=name_of(type(e)))


def called_from(event, function, file, line):
    event["stack"] = [{"function": function, "file": file, "line": line}]


def call(f, *args, **kwargs):
    """Calls a C function and writes down what the trace has to say about it."""
    name, bound = described(f)
    if getattr(f, "__objclass__", None) is not None:
        event = started(name, args[:1], args[1:], kwargs)
    else:
        event = started(name, bound, args, kwargs)
    result = None
    try:
        called_from(event, "call", file_name(), sys._getframe().f_lineno + 1)
        result = f(*args, **kwargs)
    except BaseException as e:
        raised(event, e)
    else:
        returned(event, result)
    return result


def ready():
    """Says so, and waits for the word to begin."""
    say("ready")
    return sys.stdin.readline()


def done():
    """Says so, and stays until told to end."""
    say("done")
    sys.stdin.readline()


def report():
    """Prints the truth, and stays until told to end."""
    for event in calls:
        say(json.dumps(event))
    done()
