"""A thousand C calls inside each other, or as many as the interpreter allows, and one after them."""
import json
import operator
import sys
import threading

from truth import done, ready, say

DEPTHS = [1000, 800, 600, 400, 200]


def down(n, depth):
    if n < depth:
        sorted([n], key=lambda _: down(n + 1, depth))
    return 0


def possible():
    """3.12 and 3.13 have a limit of their own for recursion in C."""
    for depth in DEPTHS:
        try:
            down(0, depth)
        except RuntimeError:
            continue
        return depth


def work():
    depth = possible()
    ready()
    down(0, depth)
    operator.truth("after")
    say(json.dumps(depth))


sys.setrecursionlimit(20 * DEPTHS[0])
threading.stack_size(512 << 20)
thread = threading.Thread(target=work)
thread.start()
thread.join()
done()
