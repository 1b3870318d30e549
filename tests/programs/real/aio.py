"""aiohttp: a server, which asks another server by aiohttp's client before it answers.

aio.py LOOP: `asyncio` or `uvloop`.
"""
import asyncio
import json
import sys
import threading

import aiohttp
from aiohttp import web
from truth import say


async def relay(request):
    """Sends what it was given on to the other server, and its answer back."""
    url = "http://127.0.0.1:%s/%s" % (request.match_info["port"], request.match_info["name"])
    async with request.app["client"].post(url, data=await request.read()) as answer:
        body = await answer.read()
        return web.Response(body=body[::-1], headers={"X-Status": str(answer.status)})


async def serve(stop):
    app = web.Application()
    app.router.add_post("/{port}/{name}", relay)
    async with aiohttp.ClientSession() as client:
        app["client"] = client
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        say("ready")
        say(json.dumps(site._server.sockets[0].getsockname()[1]))
        await stop.wait()
        await runner.cleanup()


async def main():
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def wait_for_end():
        sys.stdin.readline()
        loop.call_soon_threadsafe(stop.set)

    threading.Thread(target=wait_for_end, daemon=True).start()
    await serve(stop)


if sys.argv[1] == "uvloop":
    import uvloop

    uvloop.install()
asyncio.run(main())
say("done")
sys.stdin.readline()
