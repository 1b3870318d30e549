"""The part of `calls.py` that Python 2 cannot read."""
import asyncio


async def answers(n):
    await asyncio.sleep(0)
    return n


async def fails(n):
    await asyncio.sleep(0)
    raise ValueError("async", n)


async def never():
    try:
        await asyncio.sleep(1000)
    finally:
        noted("cancelled")


def noted(what):
    return what


async def numbers(n):
    for i in range(n):
        await asyncio.sleep(0)
        yield i


class Manager:
    async def __aenter__(self):
        await asyncio.sleep(0)
        return 3

    async def __aexit__(self, t, value, traceback):
        return t is KeyError


def delegated(n):
    got = yield n
    try:
        yield got
    except ValueError:
        yield "caught"
    return "result"


def delegates(n):
    result = yield from delegated(n)
    yield result


def keywords(a, *, b=1, **more):
    return a, b


async def everything():
    total = await answers(1)
    total += sum(await asyncio.gather(answers(2), answers(3)))
    try:
        await fails(4)
    except ValueError:
        total += 1
    task = asyncio.ensure_future(never())
    await asyncio.sleep(0)
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        total += 1
    try:
        await asyncio.wait_for(never(), 0.01)
    except asyncio.TimeoutError:
        total += 1
    async for n in numbers(3):
        total += n
    async with Manager() as three:
        raise KeyError(three)
    return total + sum([n async for n in numbers(2)])


def works():
    g = delegates(1)
    next(g)
    g.send("sent")
    g.throw(ValueError("thrown"))
    list(g)
    keywords(1)
    keywords(1, b=2, c=3)
    loop = asyncio.new_event_loop()
    loop.run_until_complete(everything())
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()
