"""For programs that do the same again whenever they are told to, and then say what they did."""
from __future__ import print_function

import json
import sys


def tracer(frame, event, argument):
    return tracer


def rounds(main, did, each=False):
    """`main` adds to `did`, which is said as one list or, `each`, a line for each. A line `settrace`: with a debugger, so that the interpreter goes by instrumented or general forms."""
    print("ready")
    sys.stdout.flush()
    for line in iter(sys.stdin.readline, ""):
        if line.strip() == "settrace":
            sys.settrace(tracer)
        main()
        sys.settrace(None)
        for said in did if each else [did]:
            print(json.dumps(said))
        print("done")
        del did[:]
        sys.stdout.flush()
