"""Writes steering.safetensors: the residual stream of two tiny models and their logits, with a vector
added by a PyTorch hook before the second layer, from the fourth position on. Not run by the tests."""

import pathlib

import torch
import transformers
from safetensors.torch import load_file, save_file

HERE = pathlib.Path(__file__).parent
torch.manual_seed(3)
vector = torch.randn(32)
tensors = {"vector": vector}
for family in ("llama", "gpt2"):
    model = transformers.AutoModelForCausalLM.from_pretrained(HERE / family, dtype=torch.float32).eval()
    core = model.model if family == "llama" else model.transformer
    layers, norm = (core.layers, core.norm) if family == "llama" else (core.h, core.ln_f)
    golden = load_file(HERE / family / "golden.safetensors")
    tokens = golden["tokens"][-40:]
    seen = {}

    def add(module, inputs):
        stream = inputs[0].clone()
        stream[:, 3:] += vector
        return (stream, *inputs[1:])

    layers[1].register_forward_pre_hook(add)
    for number, module in enumerate([*layers, norm]):
        module.register_forward_pre_hook(lambda _, inputs, number=number: seen.update({number: inputs[0]}))
    with torch.no_grad():
        tensors[f"{family}.logits"] = model(tokens.long()[None]).logits[0].clone()
    tensors[f"{family}.tokens"] = tokens.clone()
    for number, stream in seen.items():
        tensors[f"{family}.{number}"] = stream[0].clone()
save_file(tensors, HERE / "steering.safetensors")
