"""Opens files with long names, over and over."""
import os
import sys

from truth import ready

ready()
name = "/nowhere/" + "x" * 200
while True:
    try:
        os.open(name, 0)
    except OSError:
        pass
    os.stat("/")
