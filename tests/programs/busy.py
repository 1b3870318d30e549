"""Calls in a loop and checks every result itself; says on demand how many there were."""
import _operator
import sys
import threading

count = 0
wrong = 0
stop = False


def work():
    global count, wrong
    a, b = object(), object()
    while not stop:
        if _operator.is_(a, b) or not _operator.is_(a, a):
            wrong += 1
        try:
            _operator.is_(a)
        except TypeError:
            pass
        else:
            wrong += 1
        count += 3


thread = threading.Thread(target=work)
thread.start()
print("ready", flush=True)
for line in sys.stdin:
    if line.strip() == "end":
        break
    print(f"{count} {wrong}", flush=True)
stop = True
thread.join()
print(f"{count} {wrong}", flush=True)
