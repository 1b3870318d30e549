"""A multiprocessing pool of each kind; the workers open files."""
import multiprocessing
import os
import sys


def work(path):
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY))
    return os.getpid()


if __name__ == "__main__":
    for method in ["fork", "spawn", "forkserver"]:
        context = multiprocessing.get_context(method)
        with context.Pool(2) as pool:
            paths = [os.path.join(sys.argv[1], "%s-%d" % (method, n)) for n in range(4)]
            pool.map(work, paths, 1)
            pool.close()
            pool.join()
