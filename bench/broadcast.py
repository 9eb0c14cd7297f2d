"""The peer of the events: a server of plain `websockets` that sends what one client sends to all that are connected.

It knows nothing of accounts, rights, logs or operations: what it needs is the least that any server in Python does.
"""

import uvloop
from websockets.asyncio.server import ServerConnection, broadcast, serve

SENDER = "/send"


async def main() -> None:
    everybody: set[ServerConnection] = set()

    async def handle(connection: ServerConnection) -> None:
        if connection.request is not None and connection.request.path == SENDER:
            async for message in connection:
                broadcast(everybody, message)
            return
        everybody.add(connection)
        try:
            await connection.wait_closed()
        finally:
            everybody.discard(connection)

    async with serve(handle, "127.0.0.1", 0, compression=None) as server:
        [listening, *_] = server.sockets
        print(f"http://127.0.0.1:{listening.getsockname()[1]}", flush=True)
        await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
