"""Says which signals it got; ends at the second."""
import os
import signal
import sys


def got(number, frame):
    os.write(1, ("signal %d\n" % number).encode())


for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
    signal.signal(number, got)
os.write(1, b"ready\n")
for n in range(3):
    signal.pause()
sys.exit(5)
