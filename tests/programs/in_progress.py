"""One call is in progress when the tracer attaches, another one when it goes away."""
import operator
import sys

from truth import done, ready, say


def attached(x):
    """Inside the first call."""
    ready()
    operator.truth("inside the first")
    return x


def detached(x):
    """Inside the second one."""
    operator.truth("inside the second")
    say("inside")
    sys.stdin.readline()
    return x


sorted(["first"], key=attached)
operator.truth("between")
result = sorted(["second"], key=detached)
assert result == ["second"]
assert operator.truth("after") is True
done()
