"""Writes perceptron.safetensors: a small network's logits, the losses and gradients of three goals, and five
steps of Adam and of SGD, by PyTorch's own autograd and optimisers. Not run by the tests."""

import pathlib

import torch
from torch.nn import functional

try:
    from safetensors.torch import save_file
except ImportError:  # The format is a length, a JSON header and the numbers.
    import json

    def save_file(tensors, path):
        header, data = {}, b""
        for name, tensor in sorted(tensors.items()):
            kind = {torch.float32: "F32", torch.int32: "I32"}[tensor.dtype]
            raw = bytes(tensor.contiguous().flatten().view(torch.uint8).tolist())
            header[name] = {"dtype": kind, "shape": list(tensor.shape), "data_offsets": [len(data), len(data) + len(raw)]}
            data += raw
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 8)
        pathlib.Path(path).write_bytes(len(text).to_bytes(8, "little") + text + data)


torch.manual_seed(11)
torch.set_num_threads(1)
WIDTHS, ROWS, CLASSES = (20, 17, 15, 13), 24, 10
start = []
for inputs, outputs in zip(WIDTHS, WIDTHS[1:]):
    start += [torch.randn(outputs, inputs) / inputs**0.5, 0.1 * torch.randn(outputs)]
inputs = 2 * torch.rand(ROWS, WIDTHS[0]) - 1
classes = torch.randint(CLASSES, (ROWS,))
wanted = torch.randn(ROWS, WIDTHS[-1] - CLASSES)


def run(numbers):
    hidden = inputs
    for place in range(0, len(numbers), 2):
        hidden = functional.linear(hidden, numbers[place], numbers[place + 1])
        if place + 2 < len(numbers):
            hidden = functional.relu(hidden)
    return hidden


def kl(logits):
    return functional.kl_div(functional.log_softmax(logits, -1), functional.softmax(wanted, -1), reduction="batchmean")


LOSSES = {
    "classes": lambda logits: functional.cross_entropy(logits[:, :CLASSES], classes),
    "distributions": lambda logits: kl(logits[:, CLASSES:]),
    "values": lambda logits: 0.5 * (logits[:, CLASSES:] - wanted).square().sum(-1).mean(),
}


def flat(numbers):
    return torch.cat([one.detach().flatten() for one in numbers])


tensors = {"start": flat(start), "inputs": inputs, "classes": classes.int(), "wanted": wanted, "logits": run(start)}
for name, loss in LOSSES.items():
    numbers = [one.clone().requires_grad_() for one in start]
    value = loss(run(numbers))
    value.backward()
    tensors[f"{name}.loss"] = value.detach()[None]
    tensors[f"{name}.gradient"] = flat([one.grad for one in numbers])
    for rule, make in {
        "adam": lambda them: torch.optim.Adam(them, lr=3e-3),
        "sgd": lambda them: torch.optim.SGD(them, lr=0.05),
        "momentum": lambda them: torch.optim.SGD(them, lr=0.05, momentum=0.9),
    }.items():
        numbers = [one.clone().requires_grad_() for one in start]
        optimizer = make(numbers)
        for _ in range(5):
            optimizer.zero_grad()
            loss(run(numbers)).backward()
            optimizer.step()
        tensors[f"{name}.{rule}"] = flat(numbers)
save_file(tensors, pathlib.Path(__file__).parent / "perceptron.safetensors")
