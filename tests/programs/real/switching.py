"""Switches C stacks without pause, inside functions that are traced, in such an order that they return in another order than
they were entered, and checks what comes of it. `switching.py greenlet|gevent|eventlet`; then as `busy.py`. `plain`: does not
switch; `late`: not before it is told so. Told to fork, it makes a child, which switches when it gets SIGUSR1."""
import functools
import operator
import os
import signal
import sys
import threading

from truth import say

count = 0
wrong = 0
stop = False


class Hashed(object):
    """Hashing and comparing it switches."""

    def __init__(self, n, switch):
        self.n = n
        self.switch = switch

    def __hash__(self):
        self.switch()
        return self.n % 3

    def __eq__(self, other):
        self.switch()
        return self.n == other.n


class Written(object):
    """A file for print that switches."""

    def __init__(self, switch):
        self.switch = switch
        self.text = ""

    def write(self, text):
        self.switch()
        self.text += text


def acts(n, switch):
    """What each of the switchers does; `switch` lets others go on."""

    def switched(value):
        switch()
        return value

    def failing(value):
        switch()
        raise ValueError(value)

    found = [sorted(range(n, n + 5), key=lambda x: switched(-x))]
    found.append(max([n, n + 2, n + 1], key=switched))
    found.append(functools.reduce(lambda a, b: switched(a) + switched(b), range(n, n + 4)))
    items = [3, 1, 2]
    items.sort(key=switched)
    found.append(items)
    keys = {Hashed(n, switch): 1, Hashed(n + 3, switch): 2}
    found.append(keys[Hashed(n + 3, switch)])
    file = Written(switch)
    print("text", n, file=file)
    found.append(file.text)
    try:
        sorted([n], key=failing)
    except ValueError as e:
        found.append(e.args)
    with open(os.devnull, "w", opener=lambda path, flags: switched(os.open(path, flags))) as null:
        found.append(null.write("x"))
    found.append(operator.concat([n], switched([n])))
    found.append(list(map(switched, range(3))))
    return found


EXPECTED = [acts(n, lambda: None) for n in range(7)]


def with_nothing():
    return [acts(n, lambda: None) for n in range(len(EXPECTED))]


def with_greenlets():
    import greenlet

    hub = greenlet.getcurrent()
    done = {}

    def act(n):
        done[n] = acts(n, hub.switch)

    switchers = [greenlet.greenlet(functools.partial(act, n)) for n in range(len(EXPECTED))]
    turn = 0
    while any(not one.dead for one in switchers):
        # Now one way round, now the other.
        for one in switchers if turn % 2 else switchers[::-1]:
            if not one.dead:
                one.switch()
        turn += 1
    return [done[n] for n in range(len(EXPECTED))]


def with_gevent():
    import gevent
    from gevent import pool, server, socket

    def answer(connection, address):
        while True:
            asked = connection.recv(64)
            if not asked:
                return
            connection.sendall(asked.upper())

    def act(n):
        found = acts(n, lambda: gevent.sleep(0))
        with socket.create_connection(("127.0.0.1", service.server_port)) as connection:
            connection.sendall(b"abc%d" % n)
            assert connection.recv(64) == b"ABC%d" % n
        return found

    service = server.StreamServer(("127.0.0.1", 0), answer)
    service.start()
    try:
        return pool.Pool(4).map(act, range(len(EXPECTED)))
    finally:
        service.stop()


def with_eventlet():
    import eventlet

    listening = eventlet.listen(("127.0.0.1", 0))

    def serve():
        while True:
            connection, _ = listening.accept()
            workers.spawn_n(answer, connection)

    def answer(connection):
        connection.sendall(connection.recv(64).upper())
        connection.close()

    def act(n):
        found = acts(n, lambda: eventlet.sleep(0))
        connection = eventlet.connect(listening.getsockname())
        connection.sendall(b"abc%d" % n)
        assert connection.recv(64) == b"ABC%d" % n
        connection.close()
        return found

    workers = eventlet.GreenPool(20)
    serving = eventlet.spawn(serve)
    try:
        return list(workers.imap(act, range(len(EXPECTED))))
    finally:
        serving.kill()
        listening.close()


def answer_questions():
    """In a thread of its own: eventlet wants the first one."""
    global stop, round
    for line in iter(sys.stdin.readline, ""):
        if line.strip() == "end":
            break
        if line.strip() == "switch":
            round = with_greenlets
            continue
        if line.strip() == "fork":
            round = fork
            continue
        say("%d %d" % (count, wrong))
    stop = True


def fork():
    """Says how the child ended, which began to switch when it was told so."""
    global round
    round = with_nothing
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        while signal.sigtimedwait([signal.SIGUSR1], 1) is None:
            # Whoever would tell it is gone.
            if os.getppid() != parent:
                os._exit(1)
        os._exit(any(with_greenlets() != EXPECTED for _ in range(5)))
    say("child %d" % child)
    say("ended %d" % os.waitpid(child, 0)[1])
    return EXPECTED


WAYS = {
    "greenlet": with_greenlets,
    "gevent": with_gevent,
    "eventlet": with_eventlet,
    "plain": with_nothing,
    "late": with_nothing,
}

round = WAYS[sys.argv[1]]
thread = threading.Thread(target=answer_questions)
while not stop:
    wrong += round() != EXPECTED
    count += 1
    if count == 1:
        say("ready")
        thread.start()
thread.join()
sys.exit(wrong != 0)
