"""Has asyncio, and waits."""
import asyncio  # noqa: F401
import sys

print("ready")
sys.stdout.flush()
sys.stdin.read()
