"""A model of the benchmarks: an OpenAI-compatible server that costs next to nothing, in a process of its own.

Each piece of an answer says when it was sent, in microseconds of the machine's monotonic clock, so that who hears it
knows how long it took.

After `POST /v1/hold` answers wait for `POST /v1/go`: then all of them are spoken at once.
"""

import asyncio
import json
import random
import sys
import time

import uvloop

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def frame(data: object) -> bytes:
    """One event in one HTTP chunk."""
    event = b"data: " + (data if isinstance(data, bytes) else json.dumps(data).encode()) + b"\n\n"
    return b"%x\r\n%b\r\n" % (len(event), event)


def chunk(text: str | None, finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": {} if text is None else {"content": text}, "finish_reason": finish}
    return frame({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "bench", "choices": [choice]})


def end(pieces: int) -> bytes:
    usage = {"prompt_tokens": 10, "completion_tokens": pieces, "total_tokens": 10 + pieces}
    last = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "bench", "choices": [], "usage": usage}
    return chunk(None, "stop") + frame(last) + frame(b"[DONE]") + b"0\r\n\r\n"


async def answer(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, pieces: int, delay: float, going: asyncio.Event
) -> None:
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
            body = await reader.readexactly(length)
            if head.startswith((b"POST /v1/hold ", b"POST /v1/go ")):
                going.set() if b"/go " in head else going.clear()
                writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
                continue
            writer.write(HEAD)
            if b"Task: title" in body:
                writer.write(chunk("A title of this talk") + end(1))
                continue
            await going.wait()
            for number in range(pieces):
                # By half more or less: models keep no time, and fifty of them never keep the same.
                await asyncio.sleep(delay * random.uniform(0.5, 1.5))
                writer.write(chunk(f"{number}:{time.monotonic_ns() // 1000} "))
            writer.write(end(pieces))
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def serve(pieces: int, delay: float) -> None:
    going = asyncio.Event()
    going.set()
    server = await asyncio.start_server(lambda r, w: answer(r, w, pieces, delay, going), "127.0.0.1", 0, backlog=2048)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), float(sys.argv[2])))
