# What the tests need. Nothing below this line was recorded.

MAIN = "recorded_main"


class Any:
    """Equal to everything: what it was, was not recorded."""

    def __init__(self, what):
        self.what = what

    def __eq__(self, other):
        return True

    def __repr__(self):
        return "<%s>" % self.what


class Beginning:
    """Equal to what begins so: the rest was not recorded."""

    def __init__(self, start, length):
        self.start, self.length = start, length

    def __eq__(self, other):
        return len(other) == self.length and other[: len(self.start)] == self.start

    def __repr__(self):
        return "%r..." % (self.start,)


class Returns:
    def __init__(self, value):
        self.value = value

    def play(self, world):
        return self.value


class Makes:
    """Returns objects that were recorded only by what was done with them."""

    def __init__(self, make):
        self.make = make

    def play(self, world):
        return self.make(world.played)


class Raises:
    def __init__(self, name, args):
        self.name, self.args = name, args

    def play(self, world):
        raise named(self.name)(*self.args)


class Played:
    """Stands for an object of the recorded world, such as an open file."""

    def __init__(self, world, number):
        self.__dict__.update(_world=world, _number=number)

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *args, **kwargs: self._world.act("." + name, self._number, args, kwargs)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        if self._world.expects(".close", self._number):
            self.close()

    def __iter__(self):
        return self

    def __next__(self):
        return self._world.act(".__next__", self._number, (), {})


class World:
    """Plays back what the recorded call did to the world, in its order, and checks that this one does the same."""

    def __init__(self, monkeypatch, effects):
        self.effects, self.at, self.active = effects, 0, False
        self.objects = {}
        for name in sorted({effect[0] for effect in effects if effect[1] is None}):
            self.stub(monkeypatch, name)

    def played(self, number):
        return self.objects.setdefault(number, Played(self, number))

    def stub(self, monkeypatch, name):
        module, path, last = parts_of(name)
        owner = module
        for part in path:
            owner = getattr(owner, part)
        original = getattr(owner, last)

        def instead(*args, **kwargs):
            if not self.active or threading.current_thread() is not self.thread:
                return original(*args, **kwargs)
            # Of a method the object comes first; which one it was does not matter.
            given = args[1:] if path and not getattr(instead, "bound", False) else args
            return self.act(name, None, given, kwargs)

        if not path:
            replace(monkeypatch, lambda value: value is original, lambda value: instead)
            return
        for kind in [owner] + subclasses(owner):
            try:
                monkeypatch.setattr(kind, last, instead, raising=False)
            except TypeError:
                pass

        def is_bound(value):
            return (
                isinstance(value, types.BuiltinMethodType)
                and value.__name__ == last
                and isinstance(value.__self__, owner)
            )

        replace(monkeypatch, is_bound, lambda value: functools.partial(instead, None))
        if isinstance(inspect.getattr_static(owner, last, None), types.ClassMethodDescriptorType):
            # A type made in C: one that is like it takes its place.
            space = {last: classmethod(lambda cls, *args, **kwargs: instead(cls, *args, **kwargs))}
            like = type(owner.__name__, (owner,), space)
            replace(monkeypatch, lambda value: value is owner, lambda value: like)

    def expects(self, name, number):
        effect = self.effects[self.at] if self.at < len(self.effects) else ("", None)
        return effect[0].endswith(name) and effect[1] == number

    def act(self, name, number, args, kwargs):
        did = "%s%r" % (name, args)
        assert self.at < len(self.effects), "%s: the recorded call did nothing more" % did
        recorded, on, recorded_args, recorded_kwargs, outcome = self.effects[self.at]
        is_same = recorded == name if number is None else recorded.endswith(name) and on == number
        assert is_same, "%s, where the recorded call did %s%r" % (did, recorded, recorded_args)
        assert list(recorded_args) == list(args), did
        assert recorded_kwargs == kwargs, did
        self.at += 1
        return outcome.play(self)

    def call(self, function, arguments):
        """Calls it as it was called."""
        positional, keywords = [], {}
        for name, parameter in inspect.signature(function).parameters.items():
            value = arguments[name]
            if parameter.kind is parameter.VAR_POSITIONAL:
                positional.extend(value)
            elif parameter.kind is parameter.VAR_KEYWORD:
                keywords.update(value)
            elif parameter.kind is parameter.KEYWORD_ONLY:
                keywords[name] = value
            else:
                positional.append(value)
        self.active, self.thread = True, threading.current_thread()
        try:
            return function(*positional, **keywords)
        finally:
            self.active = False

    def is_over(self):
        left = [effect[0] for effect in self.effects[self.at :]]
        assert not left, "the recorded call also did %s" % ", ".join(left)


def replace(monkeypatch, is_it, instead):
    for module in list(sys.modules.values()):
        for name, value in list(getattr(module, "__dict__", {}).items()):
            if is_it(value):
                monkeypatch.setattr(module, name, instead(value))


def subclasses(kind):
    found = []
    for one in type.__subclasses__(kind):
        found += [one] + subclasses(one)
    return found


def parts_of(name):
    """The module, the classes around, the last part of a name."""
    parts = name.split(".")
    for split in range(len(parts) - 1, 0, -1):
        module = ".".join(parts[:split])
        try:
            found = sys.modules.get(MAIN if module == "__main__" else module) or importlib.import_module(module)
        except ImportError:
            continue
        return found, parts[split:-1], parts[-1]
    raise NameError(name)


def named(name):
    """What `module.qualname` is."""
    found, path, last = parts_of(name)
    for part in path + [last]:
        found = inspect.getattr_static(found, part) if inspect.isclass(found) else getattr(found, part)
    return found


def type_name(value):
    return "%s.%s" % (type(value).__module__, type(value).__qualname__)


def load(module, path):
    """The module of the function under test; a program's main module by its file."""
    if module == "__main__":
        if MAIN not in sys.modules:
            sys.path.insert(0, os.path.dirname(path))
            spec = importlib.util.spec_from_file_location(MAIN, path)
            main = sys.modules[MAIN] = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(main)
        return sys.modules[MAIN]
    for root in [os.path.dirname(path), os.path.join(os.path.dirname(path), *[".."] * module.count("."))]:
        if root not in sys.path:
            sys.path.append(root)
    return importlib.import_module(module)


def function_of(module, qualname):
    found = module
    for part in qualname.split("."):
        found = inspect.getattr_static(found, part) if inspect.isclass(found) else getattr(found, part)
    found = getattr(found, "__func__", None) or getattr(found, "fget", None) or found
    return inspect.unwrap(found)


def rebuilt(kind, attributes):
    """An object with the attributes that it was seen to get."""
    made = kind.__new__(kind)
    for name, value in attributes.items():
        setattr(made, name, value)
    return made
