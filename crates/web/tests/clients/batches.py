"""Batches through the official client: uploaded, polled, killed in the middle, read, cancelled.
python batches.py path/to/owlet"""

import io
import json
import os
import sys
import time
import unittest

import openai

from server import ServerTest

BINARY = sys.argv.pop(1)
MODEL = "builtin:a"
ASK = [{"role": "user", "content": "given 1 2 3 then write ten numbers"}]
DONE = ["completed", "failed", "cancelled"]


def request(number, url="/v1/chat/completions", **body):
    body = {"model": MODEL, "messages": ASK, "seed": number, "max_tokens": 16, **body}
    return {"custom_id": f"request-{number}", "method": "POST", "url": url, "body": body}


class Test(ServerTest):
    binary, model = BINARY, MODEL

    def poll(self, thing, until=lambda batch: batch.status in DONE):
        return super().poll(lambda: self.client.batches, thing, until)

    def batch(self, requests, endpoint="/v1/chat/completions", **extra):
        content = io.BytesIO("\n".join(map(json.dumps, requests)).encode())
        file = self.client.files.create(file=("requests.jsonl", content), purpose="batch")
        return self.client.batches.create(
            input_file_id=file.id, endpoint=endpoint, completion_window="24h", **extra
        )

    def poll(self, batch, until=lambda batch: batch.status in DONE):
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            batch = self.client.batches.retrieve(batch.id)
            if until(batch):
                return batch
            time.sleep(0.02)
        self.fail(f"the batch is still {batch.status}")

    def lines(self, file):
        return [json.loads(line) for line in self.client.files.content(file).text.splitlines()]

    def test_answers_are_those_of_single_requests(self):
        requests = [request(number) for number in range(40)]
        requests[7]["body"]["model"] = "nobody"
        batch = self.poll(self.batch(requests, metadata={"of": "a test"}))
        self.assertEqual((batch.status, batch.errors), ("completed", None))
        counts = batch.request_counts
        self.assertEqual((counts.total, counts.completed, counts.failed), (40, 39, 1))
        self.assertEqual(batch.metadata, {"of": "a test"})
        answers = self.lines(batch.output_file_id)
        self.assertEqual(
            [answer["custom_id"] for answer in answers],
            [f"request-{number}" for number in range(40) if number != 7],
        )
        for number in [0, 39]:
            alone = self.client.chat.completions.create(**requests[number]["body"])
            answer = next(a for a in answers if a["custom_id"] == f"request-{number}")["response"]
            self.assertEqual(answer["status_code"], 200)
            self.assertEqual(answer["body"]["choices"], [c.model_dump(exclude_unset=True) for c in alone.choices])
        (refused,) = self.lines(batch.error_file_id)
        self.assertEqual((refused["custom_id"], refused["response"]["status_code"]), ("request-7", 404))
        self.assertEqual(refused["response"]["body"]["error"]["code"], "model_not_found")
        self.assertEqual(self.client.files.retrieve(batch.output_file_id).purpose, "batch_output")
        self.assertEqual([one.id for one in self.client.batches.list()], [batch.id])

    def test_texts_are_scored_in_batches(self):
        requests = [
            {"custom_id": text, "method": "POST", "url": "/v1/completions", "body": {
                "model": MODEL, "prompt": text, "max_tokens": 0, "echo": True, "logprobs": 0}}
            for text in ["owl wolf cat", "wolf fox owl"]
        ]
        batch = self.poll(self.batch(requests, "/v1/completions"))
        for answer, asked in zip(self.lines(batch.output_file_id), requests, strict=True):
            alone = self.client.completions.create(**asked["body"])
            logs = answer["response"]["body"]["choices"][0]["logprobs"]["token_logprobs"]
            self.assertEqual(logs, alone.choices[0].logprobs.token_logprobs)

    def test_a_batch_survives_kills_and_asks_nothing_twice(self):
        requests = [request(number, max_tokens=64) for number in range(3000)]
        batch = self.batch(requests)
        seen = 0
        for _ in range(2):
            batch = self.poll(batch, lambda b: b.request_counts.completed > seen or b.status in DONE)
            self.assertEqual(batch.status, "in_progress")
            seen = batch.request_counts.completed
            self.server.stop(kill=True)
            self.start()
            self.assertGreaterEqual(
                self.poll(batch, lambda b: b.request_counts.completed > 0).request_counts.completed, seen
            )
        batch = self.poll(batch)
        self.assertEqual((batch.status, batch.request_counts.completed), ("completed", 3000))
        answers = self.lines(batch.output_file_id)
        self.assertEqual([a["custom_id"] for a in answers], [r["custom_id"] for r in requests])
        self.assertEqual(len({a["id"] for a in answers}), 3000)
        alone = self.client.chat.completions.create(**requests[2999]["body"])
        self.assertEqual(
            answers[2999]["response"]["body"]["choices"][0]["message"]["content"],
            alone.choices[0].message.content,
        )
        self.assertEqual(os.listdir(os.path.join(self.workspace, ".serve", "batches")),
                         [f"{batch.id}.json"])

    def test_who_waits_goes_first_and_a_batch_is_cancelled(self):
        batch = self.batch([request(number, max_tokens=100) for number in range(5000)])
        second = self.batch([request(0)])
        self.poll(batch, lambda b: b.request_counts.completed > 0)
        times = []
        for number in range(20):
            start = time.monotonic()
            self.client.chat.completions.create(**request(number)["body"])
            times.append(time.monotonic() - start)
        print(f"beside a batch: {sorted(times)[10] * 1000:.0f} ms for an answer of 16 tokens")
        self.assertEqual(self.client.batches.cancel(second.id).status, "cancelled")
        self.assertEqual(self.client.batches.cancel(batch.id).status, "cancelling")
        batch = self.poll(batch)
        self.assertEqual(batch.status, "cancelled")
        answers = self.lines(batch.output_file_id)
        self.assertEqual(len(answers), batch.request_counts.completed)
        self.assertTrue(0 < len(answers) < 5000)
        with self.assertRaises(openai.BadRequestError):
            self.client.batches.cancel(batch.id)
        self.assertEqual(self.poll(self.batch([request(1)])).status, "completed")

    def test_mistakes_are_named(self):
        wrong = [request(0), request(0), {"custom_id": "x"}, request(3, url="/v1/completions"),
                 request(4, stream=True)]
        batch = self.poll(self.batch(wrong))
        self.assertEqual(batch.status, "failed")
        self.assertEqual([e.line for e in batch.errors.data], [2, 3, 4, 5])
        self.assertEqual([e.param for e in batch.errors.data], ["custom_id", None, "url", "body.stream"])
        for field, given in [
            ("input_file_id", {"input_file_id": "../../etc/passwd"}),
            ("endpoint", {"endpoint": "/v1/embeddings"}),
            ("completion_window", {"completion_window": "1h"}),
        ]:
            usual = {"input_file_id": batch.input_file_id, "endpoint": "/v1/completions", "completion_window": "24h"}
            with self.assertRaises(openai.BadRequestError) as caught:
                self.client.batches.create(**{**usual, **given})
            self.assertEqual(caught.exception.param, field)
        with self.assertRaises(openai.NotFoundError):
            self.client.batches.retrieve("batch_x")
        with self.assertRaises(openai.BadRequestError):
            self.client.files.create(file=("x.jsonl", b"[]\n"), purpose="batch")
        with self.assertRaises(openai.BadRequestError):
            self.client.fine_tuning.jobs.create(model=MODEL, training_file=batch.input_file_id)


if __name__ == "__main__":
    unittest.main()
