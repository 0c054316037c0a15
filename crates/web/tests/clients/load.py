"""Many clients at once, clients that go away, and memory.
python load.py path/to/owlet [count] [rounds]"""

import asyncio
import json
import os
import sys
import tempfile
import time
import urllib.request
from urllib.parse import urlsplit

from server import Server

BINARY = sys.argv[1]
COUNT = int(sys.argv[2]) if len(sys.argv) > 2 else 1000
ROUNDS = int(sys.argv[3]) if len(sys.argv) > 3 else 12
# Bytes that the allocator may hold for each request of the fullest moment.
EACH = 50_000
BODY = {
    "model": "builtin:a", "max_tokens": 16,
    "messages": [{"role": "user", "content": "given 1 2 3 then write ten numbers"}],
}


async def ask(url, body):
    """One request over a connection of its own, by hand: a client library would be slower than the server.
    Returns status, headers and body."""
    place = urlsplit(url)
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    try:
        text = json.dumps(body).encode()
        head = (f"POST /v1/chat/completions HTTP/1.1\r\nHost: {place.netloc}\r\nConnection: close\r\n"
                f"Content-Type: application/json\r\nContent-Length: {len(text)}\r\n\r\n")
        writer.write(head.encode() + text)
        answer = (await reader.read()).decode()
    finally:
        writer.close()
    head, _, body = answer.partition("\r\n\r\n")
    return int(head.split(" ", 2)[1]), head.lower(), body


def said(body, streamed):
    """The text of an answer."""
    if not streamed:
        return json.loads(body)["choices"][0]["message"]["content"]
    frames = [line[6:] for line in body.splitlines() if line.startswith("data: ")]
    assert frames[-1] == "[DONE]", body
    chunks = (json.loads(frame) for frame in frames[:-1])
    return "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks)


async def flood(url, count, seed):
    """`count` requests at once; half of them streamed. Returns their texts by seed."""
    async def one(i):
        body = {**BODY, "seed": seed + i % 50, "stream": i // 50 % 2 == 1}
        status, _, answer = await ask(url, body)
        assert status == 200, answer
        return body["seed"], said(answer, body["stream"])

    return await asyncio.gather(*(one(i) for i in range(count)))


async def deserters(url, count):
    """Clients that ask for much and leave."""
    async def one(i):
        body = {**BODY, "max_tokens": 120, "n": 4, "stream": i % 2 == 0}
        try:
            await asyncio.wait_for(ask(url, body), 0.05)
        except asyncio.TimeoutError:
            pass

    await asyncio.gather(*(one(i) for i in range(count)))


def active(url):
    text = urllib.request.urlopen(url + "/metrics").read().decode()
    return int(next(l for l in text.splitlines() if l.startswith("owlet_completions_active")).split()[1])


async def overload(url, body, count):
    answers = await asyncio.gather(*(ask(url, body) for _ in range(count)))
    assert all("\r\nretry-after: " in head for status, head, _ in answers if status == 429)
    return [status for status, _, _ in answers]


def main():
    with tempfile.TemporaryDirectory() as folder:
        server = Server(BINARY, "builtin:a", workspace=os.path.join(folder, "workspace"))
        alone = dict(asyncio.run(flood(server.url, 50, 0)))
        start_with, held = server.memory(), []
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
            held.append(server.memory())
            print(f"{COUNT} at once in {seconds:.1f} s, {held[-1] / 1e6:.0f} MB")
        # What the fullest moment needed stays with the allocator, and on a busy machine more of them meet
        # at once; what each round left behind would go on adding up: 1.5 kB for each request is seen.
        early, late = max(held[:ROUNDS // 2]), max(held[ROUNDS // 2:])
        assert late < early * 1.15, f"memory grew from {early} to {late} bytes"
        assert late < start_with + COUNT * EACH, f"{late} bytes are held, {start_with} at the start"
        # More than the queue holds: refused, not lost.
        codes = asyncio.run(overload(server.url, {**BODY, "n": 128}, 40))
        assert set(codes) == {200, 429}, codes
        print(f"overload: {codes.count(200)} answered, {codes.count(429)} told to come back")
        assert server.stop() == 0


if __name__ == "__main__":
    main()
