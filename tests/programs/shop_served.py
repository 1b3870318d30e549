"""Runs the shop, and stays."""
import sys

import shop

print("ready")
sys.stdout.flush()
folder = sys.stdin.readline().strip()
standard, sys.stdout = sys.stdout, sys.stderr
shop.main(folder)
sys.stdout = standard
print("done")
sys.stdout.flush()
sys.stdin.readline()
