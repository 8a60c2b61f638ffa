"""A chat-completions server that answers after a fixed time; run as its own process by the benchmarks.

Usage: python benchmarks/stand_in/chat_server.py LATENCY_MS [ANSWER] ; prints the port it listens on.
"""

import asyncio
import sys

from aiohttp import web


async def main(latency_s: float, text: str) -> None:
    answer = {
        "id": "bench",
        "object": "chat.completion",
        "model": "bench-1",
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}],
        "usage": {"prompt_tokens": 20, "completion_tokens": 1, "total_tokens": 21},
    }

    async def complete(request: web.Request) -> web.Response:
        await request.read()
        await asyncio.sleep(latency_s)
        return web.json_response(answer)

    async def models(_: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [{"id": "bench-1"}, {"id": "bench-2"}]})

    application = web.Application()
    application.router.add_post("/v1/chat/completions", complete)
    application.router.add_get("/v1/models", models)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, backlog=2048)
    await site.start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(float(sys.argv[1]) / 1000, sys.argv[2] if len(sys.argv) > 2 else "yes"))
