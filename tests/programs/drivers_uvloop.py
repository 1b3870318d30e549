"""A server and its client on uvloop; apart, for what Python 2 cannot read."""
import asyncio


async def echo(reader, writer):
    writer.write(await reader.readline())
    await writer.drain()
    writer.close()


async def main():
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    writer.write(b"ping\n")
    await reader.readline()
    writer.close()
    server.close()


def use(uvloop):
    loop = uvloop.new_event_loop()
    loop.run_until_complete(main())
    loop.close()
