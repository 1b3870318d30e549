"""What a real program did, by its own account: each act is noted on the line before it."""
from __future__ import print_function

import json
import sys
import threading

from truth import described, name_of_code, say, thread_id
from truth_value import encode, exception_args, name_of

# A service notes from many threads.
lock = threading.Lock()
acts = []


def note(function, *args, **kwargs):
    """Notes the call that the next line makes. What came of it can be added by `returned` or `raised`."""
    name, bound = described(function)
    frame = sys._getframe(1)
    act = {
        "tid": thread_id(),
        "function": name,
        "args": [encode(arg) for arg in args],
        "kwargs": {key: encode(kwargs[key]) for key in kwargs},
        "stack": [
            {
                "function": name_of_code(frame.f_code),
                "file": frame.f_code.co_filename,
                "line": frame.f_lineno + 1,
            }
        ],
    }
    if bound:
        act["self"] = encode(bound[0])
    with lock:
        acts.append(act)
    return act


def returned(act, result):
    act["outcome"] = "return"
    act["result"] = encode(result)


def raised(act, e):
    act["outcome"] = "raise"
    act["exception"] = dict(exception_args(BaseException.args.__get__(e), 0), object=name_of(type(e)))


def filled(act, count, buffer):
    """The call put so many bytes into the buffer."""
    returned(act, count)
    act["filled"] = encode(type(buffer)(bytearray(buffer)[:count]))


def report():
    """Prints all acts, and stays until told to end."""
    for act in acts:
        say(json.dumps(act))
    say("done")
    sys.stdin.readline()
