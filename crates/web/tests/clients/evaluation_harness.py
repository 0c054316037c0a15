"""lm-eval (`pip install "lm_eval[api]"`) against owlet, by hand: choices by log-likelihood, perplexity and answers, with
no tokenizer but the server's. python evaluation_harness.py path/to/owlet path/to/model.gguf"""

import json
import os
import subprocess
import sys
import tempfile

import lm_eval
from lm_eval.tasks import TaskManager

from server import Server

BINARY, MODEL = sys.argv[1:3]
ROWS = [
    {"question": "The capital of France is", "choices": ["Paris", "Rome", "a mouse"], "answer": 0},
    {"question": "Zwei plus drei ist", "choices": ["fünf", "zwölf", "🦉"], "answer": 0},
]
TASKS = {
    "choices": "output_type: multiple_choice\ndoc_to_text: '{{question}}'\ndoc_to_choice: '{{choices}}'\n"
               "doc_to_target: '{{answer}}'\nmetric_list:\n  - metric: acc\n",
    "texts": "output_type: loglikelihood_rolling\ndoc_to_text: ''\ndoc_to_target: '{{question}} {{choices[0]}}'\n"
             "metric_list:\n  - metric: word_perplexity\n",
    "answers": "output_type: generate_until\ndoc_to_text: '{{question}}'\ndoc_to_target: '{{choices[answer]}}'\n"
               "generation_kwargs:\n  until: [\"\\n\"]\n  max_gen_toks: 8\nmetric_list:\n  - metric: exact_match\n",
}


def evaluate(url, kind, path, names, folder, **more):
    arguments = f"model=owlet,base_url={url}/v1/{path},num_concurrent=2,max_retries=1"
    found = lm_eval.simple_evaluate(
        model=kind, model_args=arguments, tasks=names, bootstrap_iters=0,
        task_manager=TaskManager(include_path=folder), log_samples=True, **more,
    )
    return found["samples"]


def by_score(text):
    """The log-probabilities of a text's tokens, as `owlet score` has them."""
    done = subprocess.run([BINARY, "score", MODEL, "-"], input=json.dumps({"text": text}), capture_output=True, text=True)
    return json.loads(done.stdout)["log-probabilities"]


with tempfile.TemporaryDirectory() as folder:
    rows = os.path.join(folder, "rows.jsonl")
    with open(rows, "w") as file:
        file.writelines(json.dumps(row) + "\n" for row in ROWS)
    for name, text in TASKS.items():
        with open(os.path.join(folder, f"{name}.yaml"), "w") as file:
            file.write(f"task: {name}\ndataset_path: json\ndataset_kwargs:\n  data_files: {{test: {rows}}}\ntest_split: test\n{text}")
    server = Server(BINARY, f"owlet={MODEL}", workspace=os.path.join(folder, "workspace"))
    try:
        plain = evaluate(server.url, "local-completions", "completions", list(TASKS), folder)
        for sample in plain["choices"]:
            row = sample["doc"]
            for choice, ((told, _),) in zip(row["choices"], sample["resps"]):
                whole, before = by_score(f"{row['question']} {choice}"), by_score(row["question"])
                ours = sum(whole[len(before):])
                print(row["question"], choice, told, ours)
                assert abs(float(told) - ours) < 1e-3
        for sample in plain["texts"]:
            # lm-eval begins a text with an end, owlet with its second token.
            print(sample["resps"])
        print([sample["resps"] for sample in plain["answers"]])
        spoken = evaluate(server.url, "local-chat-completions", "chat/completions", ["answers"], folder,
                          apply_chat_template=True)
        print([sample["resps"] for sample in spoken["answers"]])
    finally:
        server.stop()
