"""A module that `promised.py` imports while it is traced."""


def function(a):
    return abs(a)


class Class(object):
    def method(self, a):
        return abs(a)
