"""N threads that are alive at once; after a line on standard input each calls a C function, then a line is printed. They end with
standard input."""
import operator
import sys
import threading


def main():
    count = int(sys.argv[1])
    go, end, done = threading.Event(), threading.Event(), threading.Semaphore(0)

    def wait():
        go.wait()
        operator.is_(go, None)
        done.release()
        end.wait()

    threads = [threading.Thread(target=wait) for _ in range(count)]
    for thread in threads:
        thread.start()
    print("ready")
    sys.stdout.flush()
    sys.stdin.readline()
    go.set()
    for _ in threads:
        done.acquire()
    print("done")
    sys.stdout.flush()
    sys.stdin.readline()
    end.set()


main()
