"""Rows of preferences through Transformers and PyTorch: what `../preferences.rs` compares with.

    python -P preference.py    # torch 2.15, transformers 5.24; writes preference.json

(`-P`, because statistics.py beside it is not the library.)

The tiny Llama of `crates/engine/tests/golden` is trained whole on the four rows of preference.jsonl at once, by
direct preference optimisation (Rafailov et al. 2023, equation 7) with AdamW, six times. Told before each update,
and after the last: the mean loss, the rewards of both answers in means, their margin, the share of pairs whose
preferred answer has the larger one; before each update also the gradient's norm.

The text is put together here, apart from owlet's code: a message is `w8` (`w9` of an assistant), its words, and
behind an assistant's the end token `w2`. Learned are the words of the answer and the end. No word begins with `w1` or `w2`,
which are special tokens and would be read within it.
"""

import json
import pathlib

import torch
import transformers

HERE = pathlib.Path(__file__).parent
MODEL = HERE / "../../../engine/tests/golden/llama"
BETA, RATE, UPDATES = 0.3, 2e-3, 6


def words(text):
    return [int(word[1:]) for word in text.split()]


def prompt(messages):
    tokens = []
    for message in messages:
        is_answer = message["role"] == "assistant"
        tokens += [9 if is_answer else 8] + words(message["content"]) + [2] * is_answer
    return tokens + [9]


def log_probability(model, before, answer):
    tokens = torch.tensor(before + answer)
    found = model(tokens[None]).logits[0].log_softmax(-1)[:-1]
    return found.gather(1, tokens[1:, None])[len(before) - 1 :, 0].sum()


def answers(model, rows):
    """[pairs, 2]: chosen, rejected."""
    return torch.stack([
        torch.stack([
            log_probability(model, prompt(row["input"]["messages"]), words(row[key][0]["content"]) + [2])
            for key in ["preferred_output", "non_preferred_output"]
        ])
        for row in rows
    ])


def main():
    rows = [json.loads(line) for line in (HERE / "preference.jsonl").read_text().splitlines()]
    model = transformers.AutoModelForCausalLM.from_pretrained(MODEL, dtype=torch.float32).eval()
    with torch.no_grad():
        reference = answers(model, rows)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=RATE, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0
    )
    steps = []
    for update in range(UPDATES + 1):
        optimizer.zero_grad()
        rewards = BETA * (answers(model, rows) - reference)
        margins = rewards[:, 0] - rewards[:, 1]
        loss = -torch.nn.functional.logsigmoid(margins).mean()
        step = dict(
            loss=loss.item(),
            accuracy=(margins > 0).float().mean().item(),
            margin=margins.mean().item(),
            chosen=rewards[:, 0].mean().item(),
            rejected=rewards[:, 1].mean().item(),
        )
        if update < UPDATES:
            loss.backward()
            norms = [p.grad.double().square().sum() for p in model.parameters()]
            step["gradient-norm"] = sum(norms).sqrt().item()
            optimizer.step()
        steps.append(step)
    (HERE / "preference.json").write_text(json.dumps(steps, indent=1) + "\n")


torch.set_num_threads(1)
main()
