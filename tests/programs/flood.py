"""Threads that call without pause, a known number of times."""
import operator
import sys
import threading

from truth import say

TEXT = "what takes room in a ring buffer " * 60


def work(n):
    for i in range(300 * n):
        operator.is_(i, TEXT)
        if i % 2:
            operator.is_not(i, TEXT)
        if i % 3 == 0:
            operator.truth(TEXT)


def other_work(n):
    work(n)


def main():
    threads = [threading.Thread(target=(work, other_work)[n % 2], args=(n + 1,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


say("ready")
for line in iter(sys.stdin.readline, ""):
    main()
    say("done")
