"""Calls of a traced function, some ten thousand a second; says how many there were so far whenever it is asked."""
import os
import select
import sys
import time

count = 0
print("ready")
sys.stdout.flush()
end = False
while not end:
    wake = time.time() + 0.01
    for _ in range(100):
        os.getpid()
    count += 100
    while True:
        left = wake - time.time()
        if left <= 0:
            break
        if select.select([0], [], [], left)[0]:
            end = not os.read(0, 1)
            if end:
                break
            print(count)
            sys.stdout.flush()
