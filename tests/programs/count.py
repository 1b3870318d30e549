"""A tight loop of a known number of calls."""
from operator import is_

from truth import done, ready

ready()
for i in range(20000):
    is_(i, "a string that takes room in the ring buffer" * 3)
done()
