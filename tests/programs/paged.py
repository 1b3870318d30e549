# -*- coding: utf-8 -*-
"""Does what a page of a trace has to show, in the folder that it is told, and says what it did: errors, and by file how much was read
and written. Some of it is done under names that a browser or a terminal would obey."""
from __future__ import print_function

import json
import os
import sys

from truth import say

MARKUP = "</script><img src=x onerror=\"document.title='owned'\"><!--{{script}}"
ORDERS = "\x1b]0;owned\x07\x1b[2J\r\n"
LONG = "n" * 5000
# Its bytes are no UTF-8: Python 3 has a lone surrogate there.
BROKEN = b"/nowhere/\xff\xed\xa0\x80"

files = {}
errors = 0


def write(path, data):
    fd = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    while data:
        n = os.write(fd, data)
        files.setdefault(path, [0, 0])[1] += n
        data = data[n:]
    os.close(fd)


def read(path, size):
    fd = os.open(path, os.O_RDONLY)
    got = os.read(fd, size)
    files.setdefault(path, [0, 0])[0] += len(got)
    os.close(fd)


def fail(path):
    global errors
    try:
        os.unlink(path)
    except OSError:
        errors += 1


def hostile(folder):
    """From a function, of a file, on a path that are markup."""
    scope = {"fail": fail}
    source = "def act(what):\n    fail(what)\n    os.unlink(what)\n"
    exec(compile(source, "/" + MARKUP + ".py", "exec"), scope)
    scope["os"] = os
    function = scope["act"]
    if hasattr(function.__code__, "replace"):
        changed = {"co_name": MARKUP}
        if hasattr(function.__code__, "co_qualname"):
            changed["co_qualname"] = MARKUP
        function.__code__ = function.__code__.replace(**changed)
    for what in (folder + "/" + MARKUP, "/nowhere/" + ORDERS, "/" + LONG, BROKEN, u"/nowhere/\u202e\u05d0".encode("utf-8")):
        try:
            function(what)
        except OSError:
            global errors
            errors += 1


def work(folder):
    for n in range(5):
        write(folder + "/file%d" % n, b"x" * (100 * n + 7))
        read(folder + "/file%d" % n, 50)
    hostile(folder)


def flood(count):
    for n in range(count):
        fail("/nowhere/%d" % (n % 100))


say("ready")
for line in iter(sys.stdin.readline, ""):
    what, value = line.split()
    {"work": work, "flood": lambda count: flood(int(count))}[what](value)
    say(json.dumps({"errors": errors, "files": files}))
os._exit(0)
