"""print() to a file object made in Python, which writes with a C function."""
from __future__ import print_function

import os

from truth import done, ready

ready()
null = os.open("/dev/null", os.O_WRONLY)


class File:
    def write(self, text):
        os.write(null, text.encode())


print("inner", end="", file=File())
done()
