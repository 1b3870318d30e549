"""Work spread over processes, by `subprocess` and by `multiprocessing` with each of its start methods.

processes.py FOLDER: prints what each process says of itself.
"""
import json
import multiprocessing
import os
import subprocess
import sys

CHILD = "import os, sys; print(os.getpid()); f = open(sys.argv[1], 'w'); f.write(sys.stdin.read()); f.close()"


def task(path):
    """One piece of work: a file, written by whoever does it."""
    text = "by %s\n" % multiprocessing.current_process().name
    f = open(path, "w")
    f.write(text)
    f.close()
    return {"pid": os.getpid(), "path": path, "text": text, "parent": os.getppid()}


def send(connection, path):
    connection.send_bytes(json.dumps(task(path)).encode())
    connection.close()


def by_method(method, folder):
    context = multiprocessing.get_context(method)
    paths = [os.path.join(folder, "%s-pool-%d" % (method, n)) for n in range(6)]
    pool = context.Pool(3)
    done = pool.map(task, paths, 1)
    pool.close()
    pool.join()
    here, there = context.Pipe()
    process = context.Process(target=send, args=(there, os.path.join(folder, method + "-pipe")))
    process.start()
    done.append(json.loads(here.recv_bytes().decode()))
    process.join()
    assert process.exitcode == 0 and process.pid == done[-1]["pid"]
    for one in done:
        one["how"] = method
        print(json.dumps(one))


def by_subprocess(folder):
    for name in ["first", "second"]:
        path = os.path.join(folder, name)
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, universal_newlines=True
        )
        said, _ = child.communicate("for " + name)
        assert int(said) == child.pid and child.returncode == 0
        print(json.dumps({"pid": child.pid, "path": path, "text": "for " + name, "parent": os.getpid(), "how": "subprocess"}))


if __name__ == "__main__":
    by_subprocess(sys.argv[1])
    for method in ["fork", "spawn", "forkserver"]:
        by_method(method, sys.argv[1])
    sys.stdout.flush()
