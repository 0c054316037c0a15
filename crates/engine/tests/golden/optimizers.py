"""Writes optimizers.safetensors: a small network after eight updates by each rule that perceptron.py does not
make: SGD with weight decay and RMSprop by PyTorch's own optimisers (1.13), Signum by the formula of its paper
(Bernstein et al. 2018, arXiv 1802.04434, algorithm 2), because PyTorch has none. Not run by the tests."""

import json
import pathlib

import torch
from torch.nn import functional

torch.manual_seed(7)
torch.set_num_threads(1)
WIDTHS, ROWS, UPDATES = (12, 11, 9), 16, 8


def save(tensors, path):
    """The format is a length, a JSON header and the numbers."""
    header, data = {}, b""
    for name, tensor in sorted(tensors.items()):
        raw = bytes(tensor.contiguous().flatten().view(torch.uint8).tolist())
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


class Signum(torch.optim.Optimizer):
    def __init__(self, numbers, lr, momentum=0.9, weight_decay=0.0):
        super().__init__(numbers, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for one in group["params"]:
                average = self.state[one].setdefault("average", torch.zeros_like(one))
                average.copy_(group["momentum"] * average + (1 - group["momentum"]) * one.grad)
                one.sub_(group["lr"] * (torch.sign(average) + group["weight_decay"] * one))


RULES = {
    "sgd": lambda them: torch.optim.SGD(them, lr=0.05, momentum=0.9, weight_decay=0.1),
    "rmsprop": lambda them: torch.optim.RMSprop(them, lr=1e-3),
    "rmsprop-all": lambda them: torch.optim.RMSprop(them, lr=1e-3, alpha=0.9, eps=1e-3, momentum=0.8, weight_decay=0.1),
    "signsgd": lambda them: Signum(them, lr=3e-3, momentum=0.0),
    "signum": lambda them: Signum(them, lr=3e-3),
    "signum-decay": lambda them: Signum(them, lr=3e-3, momentum=0.7, weight_decay=0.5),
}

start = []
for width, outputs in zip(WIDTHS, WIDTHS[1:]):
    start += [torch.randn(outputs, width) / width**0.5, 0.1 * torch.randn(outputs)]
inputs = 2 * torch.rand(ROWS, WIDTHS[0]) - 1
# Weights that no row ever moves: the sign of nothing is nothing.
inputs[:, 0] = 0
wanted = torch.randn(ROWS, WIDTHS[-1])


def flat(numbers):
    return torch.cat([one.detach().flatten() for one in numbers])


def loss(numbers):
    hidden = functional.relu(functional.linear(inputs, numbers[0], numbers[1]))
    return 0.5 * (functional.linear(hidden, numbers[2], numbers[3]) - wanted).square().sum(-1).mean()


tensors = {"start": flat(start), "inputs": inputs, "wanted": wanted}
for rule, make in RULES.items():
    numbers = [one.clone().requires_grad_() for one in start]
    optimizer = make(numbers)
    for _ in range(UPDATES):
        optimizer.zero_grad()
        loss(numbers).backward()
        optimizer.step()
    tensors[rule] = flat(numbers)
save(tensors, pathlib.Path(__file__).parent / "optimizers.safetensors")
