"""Says which signals it got; ends at the third."""
import os
import signal
import sys
import time

seen = []


def got(number, frame):
    os.write(1, ("signal %d\n" % number).encode())
    seen.append(number)


for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
    signal.signal(number, got)
os.write(1, b"ready\n")
while len(seen) < 3:
    # A signal may come before a call that waits for it (pause), or not be handled before it (Python 2).
    time.sleep(0.01)
sys.exit(5)
