"""Other interpreters in the same process make calls, between calls of the main one."""
import json
import operator
import os
import sys

import truth
from truth import call, done, say

CODE = """
import sys
sys.path[:0] = [%r]
import json, operator, truth
truth.call(operator.truth, [%d, 'a'])
truth.call(operator.truth, None)
truth.call(sorted, [2, 1], key=lambda x: truth.call(operator.truth, x))
for event in truth.calls:
    truth.say(json.dumps(event))
"""
# The names of an interpreter's functions can be read as long as it lives.
STAY = "truth.done()\n"
alive = []


def runners():
    """Functions that run text in an interpreter of its own, one for each that this version can keep alive."""
    for name in "_interpreters", "_xxsubinterpreters":
        try:
            module = __import__(name)
        except ImportError:
            continue
        alive.extend(module.create() for _ in range(3))
        return [lambda text, one=one: module.run_string(one, text) for one in alive]
    try:
        import _testcapi
    except ImportError:
        return []
    # It ends with the text.
    return [_testcapi.run_in_subinterp] if hasattr(_testcapi, "run_in_subinterp") else []


run = runners()
say("ready")
say(json.dumps(len(run)))
sys.stdin.readline()
for n, run_one in enumerate(run):
    del truth.calls[:]
    call(operator.truth, "main")
    for event in truth.calls:
        say(json.dumps(event))
    text = CODE % (os.path.dirname(os.path.abspath(__file__)), n)
    run_one(text + STAY if run_one is run[-1] else text)
if not run:
    done()
