"""Ends by Ctrl-C, with an exit code of its own."""
import os
import sys
import time

try:
    os.write(1, ("tty %s\n" % (os.isatty(0) and os.isatty(1))).encode())
    os.write(1, b"ready\n")
    while True:
        time.sleep(0.01)
except KeyboardInterrupt:
    os.stat("/")
    os.write(1, b"interrupted\n")
    sys.exit(9)
