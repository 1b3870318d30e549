"""One object in several calls, and different objects at one address."""
import operator

from truth import call, ready, report


def main():
    ready()
    shared = [1]
    table = {"shared": shared}
    call(operator.truth, shared)
    shared.append(2)
    call(operator.is_, table, shared)
    call(table.get, "shared")
    call(operator.is_, (shared, shared), [{"inner": shared}])
    for n in range(3):
        # Dead when the next one is made, which may well get its address.
        call(operator.truth, [n])
    report()


main()
