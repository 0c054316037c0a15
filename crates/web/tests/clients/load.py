"""Many clients at once, clients that go away, and memory.
python load.py path/to/owlet [count] [rounds]"""

import asyncio
import os
import sys
import tempfile
import time

import httpx2 as httpx

from server import Server

BINARY = sys.argv[1]
COUNT = int(sys.argv[2]) if len(sys.argv) > 2 else 1000
ROUNDS = int(sys.argv[3]) if len(sys.argv) > 3 else 5
BODY = {
    "model": "builtin:a", "max_tokens": 16,
    "messages": [{"role": "user", "content": "given 1 2 3 then write ten numbers"}],
}


async def flood(url, count, seed):
    """`count` requests at once; half of them streamed. Returns their texts by seed."""
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=url, limits=limits, timeout=300) as client:
        async def one(i):
            body = {**BODY, "seed": seed + i % 50}
            answer = await client.post("/v1/chat/completions", json=body)
            assert answer.status_code == 200, answer.text
            return body["seed"], answer.json()["choices"][0]["message"]["content"]

        return await asyncio.gather(*(one(i) for i in range(count)))


async def deserters(url, count):
    """Clients that ask for much and leave."""
    async with httpx.AsyncClient(base_url=url, limits=httpx.Limits(max_connections=None)) as client:
        async def one(i):
            body = {**BODY, "max_tokens": 120, "n": 4, "stream": i % 2 == 0,
                    "logit_bias": {}, "model": "builtin:a"}
            try:
                await client.post("/v1/chat/completions", json=body, timeout=0.05)
            except httpx.TimeoutException:
                pass

        await asyncio.gather(*(one(i) for i in range(count)))


def active(url):
    text = httpx.get(url + "/metrics").text
    return int(next(l for l in text.splitlines() if l.startswith("owlet_completions_active")).split()[1])


def main():
    with tempfile.TemporaryDirectory() as folder:
        server = Server(BINARY, "builtin:a", workspace=os.path.join(folder, "workspace"))
        alone = dict(asyncio.run(flood(server.url, 50, 0)))
        first = None
        for turn in range(ROUNDS):
            start = time.monotonic()
            texts = asyncio.run(flood(server.url, COUNT, 0))
            seconds = time.monotonic() - start
            assert all(alone[seed] == text for seed, text in texts), "an answer depends on its company"
            asyncio.run(deserters(server.url, 50))
            deadline = time.monotonic() + 20
            while active(server.url) > 0:
                assert time.monotonic() < deadline, "requests outlive their clients"
                time.sleep(0.05)
            memory = server.memory()
            if turn == 1:
                first = memory
            print(f"{COUNT} at once in {seconds:.1f} s, {memory / 1e6:.0f} MB")
        assert memory < first * 1.1 + 5e6, f"memory grew from {first} to {memory} bytes"
        # More than the queue holds: refused, not lost.
        big = {**BODY, "n": 128}
        codes = asyncio.run(overload(server.url, big, 40))
        assert set(codes) == {200, 429}, codes
        print(f"overload: {codes.count(200)} answered, {codes.count(429)} told to come back")
        assert server.stop() == 0


async def overload(url, body, count):
    async with httpx.AsyncClient(base_url=url, limits=httpx.Limits(max_connections=None), timeout=300) as client:
        answers = await asyncio.gather(*(client.post("/v1/chat/completions", json=body) for _ in range(count)))
        assert all(a.headers.get("retry-after") for a in answers if a.status_code == 429)
        return [answer.status_code for answer in answers]


if __name__ == "__main__":
    main()
