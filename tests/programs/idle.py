"""Waits; runs on every Python there is."""
import sys

sys.stdout.write("ready\n")
sys.stdout.flush()
sys.stdin.readline()
