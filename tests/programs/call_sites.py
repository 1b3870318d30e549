"""Call sites of every mixture of arguments, in code compiled from text with its own line numbers."""
import sys

# The 17 mixtures: a call site has, or has not, positional arguments (p), a `*` (s), keywords (k) and a
# `**` (d), which makes 16. The last one has all of them and several `*` and `**` at once (from 3.5 on).
MIXTURES = ["".join(letter if on >> i & 1 else "_" for i, letter in enumerate("pskd")) for on in range(16)]
SEVERAL = "several"
if sys.version_info >= (3, 5):
    MIXTURES += [SEVERAL]

FILE = "call sites"
KEYWORDS = ["a", "key", "sep", "errors", "a_keyword_of_more_than_sixteen_bytes"]
# How the callee is written: as a name, or as an attribute of the object it is a method of.
FORMS = ["f", "o.NAME"]
code_objects = []


def line_of_caller(*args, **kwargs):
    """Called from a site instead of the C function: the interpreter's own word on the site's line."""
    return sys._getframe(1).f_lineno


class Anything(object):
    """Has all methods."""

    def __getattribute__(self, name):
        return line_of_caller


class Site(object):
    """One call in a function of its own: of `positional` arguments written out and of these `keywords`."""

    def __init__(self, random, mixture, form, method):
        self.mixture = mixture
        self.form = form
        self.method = method
        self.positional = random.randint(1, 3) if self.has("p") else 0
        self.keywords = random.sample(KEYWORDS, random.randint(1, 3)) if self.has("k") else []
        self.name = "site_" + mixture
        self.function = self.compiled(random)
        self.line = self.function(
            line_of_caller, Anything(), [0] * 3, (), dict.fromkeys(KEYWORDS), {}, (), {}
        )

    def has(self, letter):
        return self.mixture == SEVERAL or letter in self.mixture

    def arguments(self):
        parts = ["p[%d]" % i for i in range(self.positional)]
        if self.has("s"):
            parts += ["*s"]
        if self.mixture == SEVERAL:
            parts += ["*s2"]
        parts += ["%s=k[%r]" % (key, key) for key in self.keywords]
        if self.has("d"):
            parts += ["**d"]
        if self.mixture == SEVERAL:
            parts += ["**d2"]
        return parts

    def compiled(self, random):
        def new_line():
            return "\n" * random.choice([0, 0, 0, 1, 1, 3, 200])

        text = "\n" * random.randint(0, 300) + "def %s(f, o, p, s, k, d, s2, d2):\n" % self.name
        text += new_line() + "    return " + self.form.replace("NAME", self.method) + "("
        text += ", ".join(new_line() + part for part in self.arguments()) + new_line() + ")\n"
        names = {}
        exec(compile(text, FILE, "exec"), names)
        code_objects.append(names[self.name].__code__)
        return names[self.name]

    def call(self, f, o, args, kwargs):
        """Spreads the arguments over what the site has; it must have room (see `fits`).

        Of several `**` the first one takes the first half of what the site does not write out.
        """
        p, s = args[: self.positional], args[self.positional :]
        k = {key: kwargs[key] for key in self.keywords}
        rest = [(key, kwargs[key]) for key in kwargs if key not in k]
        d, d2 = dict(rest), {}
        if self.mixture == SEVERAL:
            middle = (len(rest) + 1) // 2
            d, d2 = dict(rest[:middle]), dict(rest[middle:])
        half = len(s) // 2 if self.mixture == SEVERAL else len(s)
        return self.function(f, o, p, tuple(s[:half]), k, d, tuple(s[half:]), d2)

    def fits(self, least, most, keywords):
        """Can the site be used for a function of so many positional arguments, with or without keywords?"""
        if self.keywords and not keywords:
            return False
        if self.positional > most:
            return False
        return self.positional >= least or self.has("s")
