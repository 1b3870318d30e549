"""Eight threads that each call with their own number."""
import _operator
import json
import sys
import threading

COUNT = 2000
print("ready", flush=True)
sys.stdin.readline()
ids = {}


def work(number):
    ids[number] = threading.get_native_id()
    for i in range(COUNT):
        _operator.is_(number, i)


threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(json.dumps({str(n): tid for n, tid in ids.items()}), flush=True)
print("done", flush=True)
sys.stdin.readline()
