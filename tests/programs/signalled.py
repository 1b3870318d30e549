"""Says which signals it got; ends at the third."""
import fcntl
import os
import signal
import sys


def got(number, frame):
    os.write(1, ("signal %d\n" % number).encode())


arrived, wake = os.pipe()
fcntl.fcntl(wake, fcntl.F_SETFL, os.O_NONBLOCK)
signal.set_wakeup_fd(wake)
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
    signal.signal(number, got)
os.write(1, b"ready\n")
left = 3
while left:
    try:
        left -= len(os.read(arrived, left))
    except OSError:
        # Python 2: a signal came; its byte is there.
        pass
sys.exit(5)
