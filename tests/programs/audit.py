"""Does acts that raise audit events (tracer-user/tests/audit_acts.py); says which function did each."""
from __future__ import print_function

import json
import os

# What the acts import, so that it is there when the tracer comes.
import array, ctypes, fcntl, gc, marshal, mmap, pickle, resource, shutil, socket, sqlite3, sys, syslog  # noqa: E401, F401
import tempfile, time, types  # noqa: E401, F401

from truth import done, ready, say

here = os.path.dirname(os.path.abspath(__file__))
with open(os.path.join(here, "../../tracer-user/tests/audit_acts.py")) as file:
    acts = compile(file.read(), "audit_acts.py", "exec")
ready()
if hasattr(sys, "addaudithook"):
    did = []
    exec(acts, {"__name__": "__main__", "print": lambda *event, **_: did.append(event)})
    for event, function in did:
        say(json.dumps({"event": event, "function": function}))
done()
