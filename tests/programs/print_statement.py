"""Prints by the statement of Python 2."""
import json
import sys

STATEMENTS = """
def act_print(out, value):
    print value
    print value, [value], u"three"
    print
    print >>out, value, value,
    print >>out
    print >>None, "none"
"""


class Out(object):
    def __init__(self):
        self.written = []

    def write(self, text):
        self.written.append(text)


class Broken(object):
    def write(self, text):
        raise IOError("broken")


def print_to(out, value):
    scope = {}
    exec(compile(STATEMENTS, "statements.py", "exec"), scope)
    scope["act_print"](out, value)


print("ready")
sys.stdout.flush()
for line in iter(sys.stdin.readline, ""):
    stdout, sys.stdout = sys.stdout, Out()
    for value in range(100):
        print_to(Out(), value)
    try:
        print_to(Broken(), "last")
    except IOError:
        pass
    shown, sys.stdout = sys.stdout, stdout
    print(json.dumps("".join(shown.written)))
    print("done")
    sys.stdout.flush()
