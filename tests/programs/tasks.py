"""Effects in asyncio's tasks, in threads, on several loops: of each the program says which task made it, by what asyncio says."""
import asyncio
import itertools
import os
import sys
import threading
import types

from rounds import rounds

numbers = itertools.count()
told = []


def current():
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None


def act(told_first=False):
    """An effect, and whose it is. `told_first`: its name was asked for before (until then it may be a number)."""
    task = current()
    ours = task is not None and isinstance(task, asyncio.Task)
    ask = getattr(task, "get_name", None)
    if told_first and ask:
        ask()
    path = "/nonexistent/tasks/%d" % next(numbers)
    try:
        os.unlink(path)
    except OSError:
        pass
    truth = {"path": path, "task": None}
    if task is not None:
        truth["task"] = {"id": hex(id(task))}
        if ours:
            coroutine = task.get_coro() if ask else task._coro
            truth["task"]["coroutine"] = coroutine.__qualname__
            if ask:
                truth["task"]["name"] = ask()
    told.append(truth)


class Service:
    async def inner(self):
        act()
        await asyncio.sleep(0)
        act()

    async def work(self):
        act()
        await asyncio.sleep(0.001)
        act(told_first=True)
        await self.inner()
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, act)
        done = loop.create_future()
        loop.call_soon(lambda: (act(), done.set_result(None)))
        await done
        async for _ in self.numbers():
            act()

    async def numbers(self):
        for number in range(2):
            act()
            yield number
            await asyncio.sleep(0)


@types.coroutine
def generator():
    act()
    yield
    act()


async def fails():
    act()
    await asyncio.sleep(0)
    try:
        raise ValueError
    finally:
        act()


async def canceled():
    try:
        act()
        await asyncio.sleep(60)
    finally:
        act()


class OwnTask(asyncio.Task):
    """Not asyncio's own type, but made of it."""


async def groups():
    if hasattr(asyncio, "TaskGroup"):
        async with asyncio.TaskGroup() as group:
            for _ in range(3):
                group.create_task(Service().work())
            act()


async def eager():
    if hasattr(asyncio, "eager_task_factory"):
        loop = asyncio.get_running_loop()
        loop.set_task_factory(asyncio.eager_task_factory)
        task = loop.create_task(Service().work())
        act()
        await task
        loop.set_task_factory(None)


async def of_other_types():
    loop = asyncio.get_running_loop()
    for kind in OwnTask, asyncio.tasks._PyTask:
        loop.set_task_factory(lambda loop, coroutine, **options: kind(coroutine, loop=loop, **options))
        await loop.create_task(Service().work())
    loop.set_task_factory(None)


async def main():
    act()
    await asyncio.gather(*[Service().work() for _ in range(4)])
    if sys.version_info >= (3, 8):
        for name in "load", "na\u00efve \u4efb\u52a1", "x" * 60:
            await asyncio.create_task(Service().work(), name=name)
    await asyncio.gather(fails(), asyncio.ensure_future(generator()), return_exceptions=True)
    task = asyncio.ensure_future(canceled())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await groups()
    await eager()
    await of_other_types()
    act()


def run(new_event_loop):
    act()
    for _ in range(2):
        loop = new_event_loop()
        try:
            loop.run_until_complete(main())
            act()
            loop.run_until_complete(main())
        finally:
            loop.run_until_complete(loop.shutdown_default_executor()) if hasattr(
                loop, "shutdown_default_executor"
            ) else None
            loop.close()
    act()


def without_a_loop(done):
    while not done.wait(0.001):
        act()


def work():
    loops = [asyncio.new_event_loop] * 3
    try:
        import uvloop

        loops.append(uvloop.new_event_loop)
    except ImportError:
        pass
    done = threading.Event()
    idle = threading.Thread(target=without_a_loop, args=(done,))
    threads = [threading.Thread(target=run, args=(loop,)) for loop in loops]
    for thread in [idle] + threads:
        thread.start()
    run(asyncio.new_event_loop)
    for thread in threads:
        thread.join()
    done.set()
    idle.join()


rounds(work, told, each=True)
