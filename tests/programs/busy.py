"""Calls in a loop and checks every result itself; says on demand how many there were."""
import sys
import threading
from operator import is_

from truth import say

count = 0
wrong = 0
stop = False


class Counter(object):
    def __init__(self, n):
        self.n = n

    def add(self, m):
        self.n += m
        return self.n


def numbers(n):
    for i in range(n):
        yield i


def fails(n):
    raise ValueError(n)


def python_calls():
    """How many of them went wrong."""
    counter = Counter(1)
    items, found = [], {}
    items.append(counter.add(2))
    found["sum"] = sum(numbers(4))
    try:
        fails(7)
    except ValueError as e:
        items.append(e.args)
    return (items != [3, (7,)]) + (found != {"sum": 6})


def work():
    global count, wrong
    a, b = object(), object()
    while not stop:
        if is_(a, b) or not is_(a, a):
            wrong += 1
        try:
            is_(a)
        except TypeError:
            pass
        else:
            wrong += 1
        wrong += python_calls()
        count += 3


thread = threading.Thread(target=work)
thread.start()
say("ready")
for line in iter(sys.stdin.readline, ""):
    if line.strip() == "end":
        break
    say("%d %d" % (count, wrong))
stop = True
thread.join()
say("%d %d" % (count, wrong))
