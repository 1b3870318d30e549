"""C functions that call Python functions that call C functions."""
import functools
import io
import operator
import sys

from truth import call, called_from, described, name_of_code, ready, report, returned, started


def callback(*args):
    """What C calls: makes a call of its own and gives it on."""
    call(operator.truth, args)
    return args[0]


class Key(object):
    """Hashed and compared by Python code."""

    def __init__(self, n):
        self.n = n

    def __hash__(self):
        return hash(call(operator.truth, self.n))

    def __eq__(self, other):
        return call(operator.eq, self.n, other.n)

    def __lt__(self, other):
        return call(operator.lt, self.n, other.n)


class Dying(object):
    def __del__(self):
        call(operator.truth, "dying")


class Failing(object):
    def __hash__(self):
        call(operator.truth, "failing")
        raise LookupError("no hash", [1, {"a": None}])


class Ending(Exception):
    pass


def fails(how):
    def key(x):
        call(operator.truth, x)
        raise how

    return key


def generator(n):
    for i in range(n):
        yield call(operator.truth, i)


def again(depth):
    """Sorts by a function that sorts."""
    def key(x):
        if depth:
            again(depth - 1)
        call(operator.truth, depth)
        return x

    return call(sorted, [2, 1], key=key)


def callbacks_of_all_kinds():
    call(sorted, [3, 1, 2], key=callback)
    call(max, [1, 2], key=callback)
    call(functools.reduce, lambda a, b: callback(a) + b, [1, 2, 3])
    call(sorted, map(callback, [1, 2]))
    call(sorted, generator(2))
    call({Key(1): 1}.get, Key(1))
    call({Key(2): 1}.pop, Key(3), None)
    call([Key(1), Key(2)].index, Key(2))
    call([Dying()].pop)
    call([].append, 1)
    again(3)


def exceptions_from_inside():
    for how in [
        Ending(), Ending(1, [2]), KeyError("k"), StopIteration(3), SystemExit(4), KeyboardInterrupt(), GeneratorExit(),
        UnicodeDecodeError("ascii", b"\xff", 0, 1, "why"), OSError(2, "no", "name"), Ending(Ending("inner")),
    ]:
        call(sorted, [1, 2], key=fails(how))
    call({}.get, Failing())
    call({}.pop, Failing())
    call(sorted, [Ending()], key=callback, reverse="no number")


def c_inside_c():
    """No Python code between the two: both are called from the same line."""
    def site(values):
        return sorted(values, key=operator.truth)

    values = [1, u"a", None]
    line = site.__code__.co_firstlineno + 1
    outer = started(described(sorted)[0], (), (values,), {"key": operator.truth})
    called_from(outer, name_of_code(site.__code__), site.__code__.co_filename, line)
    for value in values:
        inner = started(described(operator.truth)[0], (), (value,), {})
        inner["stack"] = outer["stack"]
        returned(inner, bool(value))
    returned(outer, [None, 1, u"a"])
    result = site(values)
    # Which list it was is known only now.
    returned_list = outer["result"]
    returned_list["id"] = "0x%x" % id(result)
    return result


class Lines(object):
    """Notes where the interpreter says that it is called from."""

    def __init__(self):
        self.lines = []

    def __enter__(self):
        self.lines.append(sys._getframe(1).f_lineno)

    def __exit__(self, *args):
        self.lines.append(sys._getframe(1).f_lineno)


def within(manager):
    with manager:
        pass
    return 0


def with_statements():
    """`with` on a file calls its `__enter__` and `__exit__`, which are C functions."""
    lines = Lines()
    within(lines)
    f = io.BytesIO(b"x")
    file = within.__code__.co_filename
    enter = started("_io._IOBase.__enter__", (f,), (), {})
    called_from(enter, "within", file, lines.lines[0])
    returned(enter, f)
    leave = started("_io._IOBase.__exit__", (f,), (None, None, None), {})
    called_from(leave, "within", file, lines.lines[1])
    returned(leave, None)
    within(f)


def made_code():
    """Code made from text, and kept."""
    keep = []
    for mode, text in [("eval", "\n\nf(1)"), ("exec", "\n" * 300 + "f(1)\n"), ("single", "x = f(1)\n")]:
        keep.append(compile(text, "made up " + mode, mode))
        event = started(described(operator.truth)[0], (), (1,), {})
        called_from(event, "<module>", "made up " + mode, len(text.rstrip("\n").split("\n")))
        returned(event, True)
        eval(keep[-1], {"f": operator.truth})
    return keep


def main():
    ready()
    callbacks_of_all_kinds()
    exceptions_from_inside()
    kept = [c_inside_c(), made_code()]
    with_statements()
    report()
    return kept


main()
