"""Values of which no record can hold all."""
import operator

from truth import call, ready, report


def text(n):
    return "x" * 250 + "%06d" % n


def wide(levels, n=0):
    """A tree of lists with 16 branches each, and texts at its ends."""
    if levels == 0:
        return text(n)
    return [wide(levels - 1, 16 * n + i) for i in range(16)]


def with_holes(made, size, keep):
    """Of `size` things all are deleted again but the last few."""
    for n in range(size):
        made[n] = n
    for n in range(size - keep):
        del made[n]
    return made


def set_with_holes(size, keep):
    made = set(range(size))
    for n in range(size - keep):
        made.discard(n)
    return made


def main():
    ready()
    for size in 1000, 100000:
        call(operator.truth, with_holes({}, size, 3))
        call(operator.truth, set_with_holes(size, 3))
    call(operator.truth, wide(3))
    call(operator.is_, wide(3), "behind it")
    call({}.update, wide(2), wide(2), **{"k%d" % n: wide(2) for n in range(16)})
    call(operator.truth, {text(n): wide(2) for n in range(16)})
    call(operator.truth, ValueError(wide(3)))
    call(operator.truth, "after")
    report()


main()
