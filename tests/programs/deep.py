"""Works at a known depth of recursion: `deep.py DEPTH`. Other functions are what stacks begin and end with."""
import sys
import time

from truth import done, ready


def innermost(until):
    n = 0
    while time.time() < until:
        for i in range(2000):
            n += i
    return n


def down(depth, until):
    if depth > 1:
        return down(depth - 1, until)
    return innermost(until)


def outermost(depth):
    down(depth, time.time() + 2)


depth = int(sys.argv[1])
sys.setrecursionlimit(depth + 100)
ready()
outermost(depth)
done()
