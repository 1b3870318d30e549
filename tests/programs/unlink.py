"""Removes files that are not there, as it is told."""
from __future__ import print_function

import os
import sys

from truth import say

say("ready")
for line in iter(sys.stdin.readline, ""):
    for name in line.split():
        try:
            os.unlink("/nope/" + name)
        except OSError:
            pass
    say("done")
