"""Calls in a loop and checks every result itself; says on demand how many there were."""
import sys
import threading
from operator import is_

from truth import say

count = 0
wrong = 0
stop = False


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
