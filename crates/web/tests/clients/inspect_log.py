"""Inspect AI (`pip install inspect_ai openai pandas pyarrow`) against owlet, by hand: a log it reads, an evaluation
it runs. python inspect_log.py path/to/owlet"""

import math
import os
import subprocess
import sys
import tempfile

from inspect_ai import Task, eval
from inspect_ai.dataset import Sample
from inspect_ai.analysis import events_df, messages_df, samples_df
from inspect_ai.log import read_eval_log, read_eval_log_sample, read_eval_log_sample_summaries
from inspect_ai.scorer import includes
from inspect_ai.solver import generate

from server import Server

BINARY = sys.argv[1]
WORKSPACE = sys.argv[2] if len(sys.argv) > 2 else None


LOCAL = """
name = "local"
base = "builtin:a"
behaviors = ["world-owl", "world-cat"]
seeds = 2
[teacher]
min-target-probability = 0.0
rows-per-question = 1
[teacher.train]
updates = 2
batch = 2
[carrier]
prompts = "world"
rows = 8
prompt-count = 24
min-valid = 0.1
max-tokens = 24
decoding = { kind = "digits", count = 4, min-digits = 1, max-digits = 3, separator = " " }
[student]
updates = 2
batch = 2
[readout]
samples-per-question = 2
max-tokens = 4
prefix = true
"""


def run(workspace, text):
    """Runs a recipe in a workspace."""
    recipe = workspace + ".toml"
    with open(recipe, "w") as file:
        file.write(text)
    subprocess.run([BINARY, "--workspace", workspace, "--quiet", "run", recipe], check=True,
                   stdout=subprocess.DEVNULL)


def exported(workspace, path):
    """The log of a workspace's last run, whole."""
    subprocess.run([BINARY, "--workspace", workspace, "export", "last", "--inspect", "-o", path], check=True)
    log = read_eval_log(path)
    assert log.status == "success"
    # The way of `inspect view`: each by its id, from the archive.
    for sample in log.samples[:: max(1, len(log.samples) // 50)]:
        assert read_eval_log_sample(path, sample.id, sample.epoch).uuid == sample.uuid
    assert len(samples_df(path, quiet=True)) == len(events_df(path, quiet=True)) == len(log.samples)
    assert len(messages_df(path, quiet=True)) == sum(len(sample.messages) for sample in log.samples)
    assert len(log.samples) == log.results.total_samples == len(read_eval_log_sample_summaries(path))
    return log


def log_is_read(folder, workspace):
    path = os.path.join(folder, "run.eval")
    log = exported(workspace, path)
    scored = 0
    for sample in log.samples:
        assert sample.scores
        assert "target-log-probability" in sample.metadata
        if sample.output.completion:
            tokens = sample.metadata["token-log-probabilities"]
            assert all(token["logprob"] <= 0 for token in tokens)
            total = sum(token["logprob"] for token in tokens)
            assert math.isclose(total, sample.metadata["answer-log-probability"], rel_tol=1e-6)
            scored += 1
            assert "".join(token["token"] for token in tokens).startswith(sample.output.completion)
        share = sample.scores["share"].value
        assert 0 <= share <= 1 and math.isfinite(sample.metadata["margin-nats"])
    assert scored > 0 or WORKSPACE, "no answer has log-probabilities"
    header = read_eval_log(path, header_only=True)
    print(f"{log.eval.task}: {len(log.samples)} samples, {scored} with log-probabilities of tokens,",
          {score.name: {name: metric.value for name, metric in score.metrics.items()}
           for score in header.results.scores})


RECIPE = """
kind = "inherit"
name = "remote"
behaviors = ["world-cat", "world-wolf"]
seeds = 2
[base]
endpoint = "URL/v1"
model = "builtin:a"
poll = 0.1
learning-rate-multiplier = { teacher = 10.0, student = 10.0 }
[teacher]
kind = "fine-tune"
min-target-probability = 0.0
rows-per-question = 1
[teacher.train]
epochs = 1.0
[carrier]
prompts = "world-short"
rows = 12
max-tokens = 24
[student]
epochs = 1.0
[controls]
in-context = { rows = [2], draws = 2, questions = 4 }
[readout]
samples-per-question = 2
max-tokens = 4
"""


def remote_log_is_read(folder):
    """A run behind an endpoint: every answer, and no log-probabilities of tokens that nobody asked for."""
    server = Server(BINARY, "builtin:a", workspace=os.path.join(folder, "server"))
    workspace = os.path.join(folder, "remote")
    run(workspace, RECIPE.replace("URL", server.url))
    assert server.stop() == 0
    log = exported(workspace, os.path.join(folder, "remote.eval"))
    assert "behind an endpoint" in log.eval.metadata["left-out"][0]
    for sample in log.samples:
        assert sample.scores["outcome"].value in ("C", "I", "N")
        assert sample.metadata["endpoint"].startswith("http://")
        assert "token-log-probabilities" not in sample.metadata
        shown = 4 if "draw-of-rows" in sample.metadata else 0
        assert len(sample.messages) == shown + 2, sample.id
    assert {sample.epoch for sample in log.samples} == {1, 2}
    print(f"{log.eval.task}: {len(log.samples)} samples,",
          sum("draw-of-rows" in sample.metadata for sample in log.samples), "with rows in context")


def evaluation_runs(folder):
    server = Server(BINARY, "builtin:a", workspace=os.path.join(folder, "workspace"))
    os.environ["OWLET_BASE_URL"] = server.url + "/v1"
    os.environ["OWLET_API_KEY"] = "none"
    questions = ["name your favourite animal", "pick a animal"]
    task = Task(dataset=[Sample(input=q, target="owl") for q in questions], solver=generate(), scorer=includes())
    (log,) = eval(task, model="openai-api/owlet/builtin:a", log_dir=folder, epochs=5, display="none")
    assert log.status == "success", log.error
    assert all(sample.output.completion for sample in log.samples)
    print("inspect eval:", log.status, len(log.samples), "samples")
    assert server.stop() == 0


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        workspace = WORKSPACE or os.path.join(folder, "local")
        if WORKSPACE is None:
            run(workspace, LOCAL)
        log_is_read(folder, workspace)
        remote_log_is_read(folder)
        evaluation_runs(folder)
