"""A tight loop of a known number of calls."""
import _operator
import sys

print("ready", flush=True)
sys.stdin.readline()
for i in range(100000):
    _operator.is_(i, "a string that takes room in the ring buffer" * 3)
print("done", flush=True)
sys.stdin.readline()
