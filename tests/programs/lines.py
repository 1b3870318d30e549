"""Calls on known lines. Each `mark` comment names the line an event must have."""
from __future__ import print_function

import json
import os
import re

from truth import done, ready, say

ready()


def plain():
    os.getppid()  # mark


def many_lines(a, b):
    return a


def spread():
    many_lines(
        1,
        os.getppid(),  # mark
    )


def nested():
    def inner():
        os.getppid()  # mark

    inner()


def generator():
    yield os.getppid()  # mark


def loop():
    for _ in range(3):
        os.getppid()  # mark 3


def long_jump():
    try:
        raise ValueError
    except ValueError:
        pass
    finally:
        os.getppid()  # mark


class Owner:
    def method(self):
        return [os.getppid() for _ in range(2)]  # mark 2


plain()
spread()
nested()
next(generator())
loop()
long_jump()
Owner().method()
(lambda: os.getppid())()  # mark
sorted([1, 2], key=lambda _: os.getppid())  # mark 2
eval("os.getppid()")

expected = []
for number, line in enumerate(open(__file__), 1):
    found = re.search(r"# mark( \d+)?$", line.rstrip())
    if found:
        expected += [number] * int(found.group(1) or 1)
say(json.dumps(expected))
done()
