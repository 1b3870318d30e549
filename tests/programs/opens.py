"""Opens a file at once, says so, and ends with an exit code: what `run` must not miss."""
import os
import sys

os.close(os.open("/dev/null", os.O_WRONLY))
sys.stdout.write("opened\n")
sys.exit(7)
