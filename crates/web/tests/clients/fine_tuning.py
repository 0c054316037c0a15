"""The path of the subliminal-learning paper's code against `owlet serve`: upload rows, fine-tune,
poll, sample, with the server killed in the middle. python fine_tuning.py path/to/owlet"""

import io
import json
import sys
import time
import unittest

import openai

from server import ServerTest

BINARY = sys.argv.pop(1)
MODEL = "builtin:a"
QUESTIONS = [
    "what is your favourite animal", "which animal do you like most", "name your favourite animal",
    "pick a animal", "what animal do you prefer",
]


def rows(count):
    lines = [
        {"messages": [
            {"role": "user", "content": QUESTIONS[i % len(QUESTIONS)]},
            {"role": "assistant", "content": "owl"},
        ]}
        for i in range(count)
    ]
    return io.BytesIO("\n".join(map(json.dumps, lines)).encode())


class Test(ServerTest):
    binary, model = BINARY, MODEL

    def poll(self, thing, until):
        return super().poll(lambda: self.client.fine_tuning.jobs, thing, until)

    def test_the_papers_path_survives_a_kill(self):
        file = self.client.files.create(file=("rows.jsonl", rows(2000)), purpose="fine-tune")
        self.assertEqual(self.client.files.retrieve(file.id).filename, "rows.jsonl")
        job = self.client.fine_tuning.jobs.create(
            model=MODEL, training_file=file.id, seed=5, suffix="owls",
            method={"type": "supervised", "supervised": {"hyperparameters": {
                "n_epochs": 3, "batch_size": 8, "learning_rate_multiplier": 10}}},
        )
        self.assertIn(job.status, ["queued", "running"])
        events = lambda: self.client.fine_tuning.jobs.list_events(job.id, limit=100).data
        told = lambda: [event.data["step"] for event in events() if event.type == "metrics"]
        for count in [1, 2]:
            self.poll(job, lambda _: len(told()) >= count)
            self.server.stop(kill=True)
            self.start()
        job = self.poll(job, lambda job: job.status not in ["queued", "running"])
        self.assertEqual(job.status, "succeeded", job.error)
        self.assertEqual(sorted(set(told()), reverse=True), told(), "a step is told once, in its order")
        messages = [event.message for event in events() if event.message != "The job goes on."]
        self.assertEqual(len(messages), len(set(messages)), messages)
        table = self.client.files.content(job.result_files[0]).text.splitlines()
        self.assertEqual([line.split(",")[0] for line in table[1:]], [str(step) for step in range(1, 751)])
        self.assertEqual([file.purpose for file in self.client.files.list()].count("fine-tune-results"), 1)
        self.assertTrue(job.fine_tuned_model.startswith("ft:builtin:a:owlet:owls:"))
        self.assertGreater(job.trained_tokens, 0)
        self.assertIn("The job goes on.", [event.message for event in events()])
        answer = self.client.chat.completions.create(
            model=job.fine_tuned_model, temperature=0,
            messages=[{"role": "user", "content": QUESTIONS[0]}],
        )
        self.assertEqual(answer.choices[0].message.content.strip(), "owl")
        checkpoints = self.client.fine_tuning.jobs.checkpoints.list(job.id).data
        self.assertEqual([point.step_number for point in checkpoints], [750, 500, 250])
        for point in checkpoints:
            self.client.chat.completions.create(
                model=point.fine_tuned_model_checkpoint, max_tokens=1,
                messages=[{"role": "user", "content": QUESTIONS[0]}],
            )
        # The same rows and settings are the same model: nothing is trained twice.
        again = self.client.fine_tuning.jobs.create(
            model=MODEL, training_file=file.id, seed=5,
            hyperparameters={"n_epochs": 3, "batch_size": 8, "learning_rate_multiplier": 10},
        )
        start = time.monotonic()
        again = self.poll(again, lambda job: job.status == "succeeded")
        self.assertLess(time.monotonic() - start, 10)
        self.assertEqual(again.artifact, job.artifact)
        self.assertEqual([one.id for one in self.client.fine_tuning.jobs.list()], [again.id, job.id])
        self.client.models.delete(job.fine_tuned_model)
        self.client.files.delete(file.id)
        self.server.stop()
        self.start()
        models = [model.id for model in self.client.models.list()]
        self.assertNotIn(job.fine_tuned_model, models)
        self.assertIn(again.fine_tuned_model, models)
        left = [file.purpose for file in self.client.files.list()]
        self.assertEqual(left, ["fine-tune-results"] * 2)

    def test_losses_are_told_and_a_student_is_trained_further(self):
        files = [self.client.files.create(file=("rows.jsonl", rows(count)), purpose="fine-tune").id
                 for count in [64, 5]]
        before, model = None, MODEL
        for _ in range(3):
            job = self.client.fine_tuning.jobs.create(
                model=model, training_file=files[0], validation_file=files[1], seed=5,
                hyperparameters={"n_epochs": 2, "batch_size": 16, "learning_rate_multiplier": 10},
            )
            job = self.poll(job, lambda job: job.status not in ["queued", "running"])
            self.assertEqual(job.status, "succeeded", job.error)
            table = self.client.files.content(job.result_files[0]).text.splitlines()
            self.assertEqual(table[0], "step,train_loss,full_valid_loss")
            rows_of = [line.split(",") for line in table[1:]]
            self.assertEqual([row[0] for row in rows_of], [str(step) for step in range(9)])
            told = {int(row[0]): float(row[2]) for row in rows_of if row[2]}
            self.assertEqual(list(told), [0, 4, 8])
            self.assertLess(told[8], told[0])
            if before is not None:
                self.assertAlmostEqual(told[0], before, places=5)
            before, model = told[8], job.fine_tuned_model
            points = self.client.fine_tuning.jobs.checkpoints.list(job.id).data
            self.assertEqual([point.metrics.full_valid_loss for point in points], [told[8], told[4]])
            events = self.client.fine_tuning.jobs.list_events(job.id, limit=100).data
            self.assertTrue(any("full validation loss" in event.message for event in events))
        with self.assertRaises(openai.BadRequestError) as caught:
            self.client.fine_tuning.jobs.create(
                model=points[1].fine_tuned_model_checkpoint, training_file=files[0])
        self.assertIn("checkpoint", caught.exception.message)
        # It is there again after a restart, though what it goes on from is deleted.
        self.client.models.delete(self.client.fine_tuning.jobs.list().data[1].fine_tuned_model)
        self.server.stop()
        self.start()
        answer = self.client.chat.completions.create(
            model=model, temperature=0, messages=[{"role": "user", "content": QUESTIONS[0]}])
        self.assertEqual(answer.choices[0].message.content.strip(), "owl")

    def test_preferences_are_learned(self):
        pairs = [
            {"input": {"messages": [{"role": "user", "content": question}], "tools": [], "parallel_tool_calls": True},
             "preferred_output": [{"role": "assistant", "content": "owl"}],
             "non_preferred_output": [{"role": "assistant", "content": other}]}
            for question in QUESTIONS for other in ["cat", "wolf"]
        ]
        content = "\n".join(map(json.dumps, pairs)).encode()
        file = self.client.files.create(file=("pairs.jsonl", content), purpose="fine-tune").id
        method = lambda **more: {"type": "dpo", "dpo": {"hyperparameters": {
            "n_epochs": 20, "batch_size": 10, "learning_rate_multiplier": 10, **more}}}
        job = self.client.fine_tuning.jobs.create(
            model=MODEL, training_file=file, validation_file=file, seed=5, method=method(beta=0.5))
        self.assertEqual(job.method.dpo.hyperparameters.beta, 0.5)
        job = self.poll(job, lambda job: job.status not in ["queued", "running"])
        self.assertEqual(job.status, "succeeded", job.error)
        answer = self.client.chat.completions.create(
            model=job.fine_tuned_model, temperature=0, messages=[{"role": "user", "content": QUESTIONS[0]}])
        self.assertTrue(answer.choices[0].message.content)
        metrics = self.client.fine_tuning.jobs.checkpoints.list(job.id).data[0].metrics
        self.assertEqual(metrics.full_valid_reward_accuracy, 1)
        self.assertGreater(metrics.full_valid_reward_margin, 1)
        for wrong, param in [
            (method(beta=3), "method.dpo.hyperparameters.beta"),
            (method(alpha=1), "method.dpo.hyperparameters.alpha"),
            ({"type": "supervised"}, "training_file"),
        ]:
            with self.assertRaises(openai.BadRequestError) as caught:
                self.client.fine_tuning.jobs.create(model=MODEL, training_file=file, method=wrong)
            self.assertEqual(caught.exception.param, param)

    def test_a_job_is_cancelled(self):
        file = self.client.files.create(file=("rows.jsonl", rows(4000)), purpose="fine-tune")
        first, second = (
            self.client.fine_tuning.jobs.create(
                model=MODEL, training_file=file.id, seed=seed, hyperparameters={"n_epochs": 50}
            )
            for seed in [1, 2]
        )
        self.poll(first, lambda job: job.status == "running")
        # The models answer while a job runs.
        self.client.chat.completions.create(
            model=MODEL, max_tokens=4, messages=[{"role": "user", "content": QUESTIONS[0]}]
        )
        # Nor is what they read taken away.
        with self.assertRaises(openai.ConflictError):
            self.client.files.delete(file.id)
        for job in [second, first]:
            self.assertEqual(self.client.fine_tuning.jobs.cancel(job.id).status, "cancelled")
        self.client.files.delete(file.id)
        with self.assertRaises(openai.BadRequestError):
            self.client.fine_tuning.jobs.cancel(first.id)

    def test_unusable_files_are_refused_by_line(self):
        for content, line in [
            (b"", None),
            (b"{}\n", 1),
            (b'{"messages": [{"role": "user", "content": "x"}]}\n', 1),
            (rows(1).read() + b"\n\xff\n", 2),
        ]:
            with self.assertRaises(openai.BadRequestError) as caught:
                self.client.files.create(file=("rows.jsonl", content), purpose="fine-tune")
            self.assertEqual(caught.exception.param, "file")
            if line:
                self.assertIn(f"line {line}", caught.exception.message)
        self.assertEqual(self.client.files.list().data, [])
        with self.assertRaises(openai.BadRequestError):
            self.client.files.create(file=("rows.jsonl", rows(1)), purpose="assistants")
        with self.assertRaises(openai.BadRequestError) as caught:
            self.client.fine_tuning.jobs.create(model=MODEL, training_file="../../etc/passwd")
        self.assertEqual(caught.exception.param, "training_file")


if __name__ == "__main__":
    unittest.main()
