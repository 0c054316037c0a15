"""Writes the golden references: for each family a tiny seeded model and what PyTorch, Transformers
and PEFT compute with it. Not run by the tests; run it again only to change them:

    python make.py [FAMILY]   (torch, transformers, peft, safetensors, tokenizers)

Per family: `config.json`, `model.safetensors`, tokenizer files; `gradient.safetensors` (of mean
cross-entropy, named like the weights) and `final.safetensors` (weights after ten AdamW steps);
`adapter/` (PEFT, with a non-zero B) with `gradient`, `final`, `distillation` and `preference`
beside it, named like the adapter; `fused/`, an adapter on everything, where query, key and value are
one matrix; `golden.safetensors` with inputs, logits and losses.
"""

import copy
import json
import pathlib
import shutil
import sys

import peft
import torch
import transformers
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers

HERE = pathlib.Path(__file__).parent
VOCABULARY = 96
LENGTHS = (1, 2, 3, 7, 16, 17, 40)
COMMON = dict(
    vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=2, intermediate_size=48,
    max_position_embeddings=64, bos_token_id=1, eos_token_id=2, pad_token_id=None,
)
GROUPED = COMMON | dict(num_attention_heads=4, num_key_value_heads=2)
FAMILIES = {
    "llama": transformers.LlamaConfig(
        **GROUPED, rms_norm_eps=1e-5, tie_word_embeddings=False,
        rope_parameters=dict(
            rope_type="llama3", rope_theta=500.0, factor=8.0, low_freq_factor=1.0,
            high_freq_factor=4.0, original_max_position_embeddings=32,
        ),
    ),
    "qwen2": transformers.Qwen2Config(**GROUPED, tie_word_embeddings=True),
    "qwen3": transformers.Qwen3Config(**GROUPED, head_dim=16, tie_word_embeddings=True),
    "gpt_neox": transformers.GPTNeoXConfig(
        **COMMON, num_attention_heads=2, hidden_dropout=0.0, tie_word_embeddings=False,
    ),
    "gpt2": transformers.GPT2Config(
        vocab_size=VOCABULARY, n_embd=32, n_layer=2, n_head=4, n_inner=48, n_positions=64,
        bos_token_id=1, eos_token_id=2,
    ),
    "gemma": transformers.GemmaConfig(
        **COMMON, num_attention_heads=2, num_key_value_heads=1, head_dim=16,
    ),
    # Layer 0 attends to the last five tokens only, layer 1 to all; the scale is not the head's.
    "gemma3_text": transformers.Gemma3TextConfig(
        **COMMON, num_attention_heads=2, num_key_value_heads=1, head_dim=16,
        sliding_window=5, layer_types=["sliding_attention", "full_attention"],
        query_pre_attn_scalar=24,
        rope_parameters=dict(
            sliding_attention=dict(rope_type="default", rope_theta=100.0),
            full_attention=dict(rope_type="default", rope_theta=1000.0),
        ),
    ),
}
LINEAR = {
    "gpt_neox": ["attention.dense", "mlp.dense_h_to_4h", "mlp.dense_4h_to_h"],
    "gpt2": ["attn.c_proj", "mlp.c_fc", "mlp.c_proj"],
}
FUSED = {"gpt_neox": ["query_key_value"], "gpt2": ["c_attn"]}
ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
BETA = 0.1


def inputs():
    generator = torch.Generator().manual_seed(7)
    rows = [torch.randint(0, VOCABULARY, (n,), generator=generator) for n in LENGTHS]
    masks = [torch.rand(n, generator=generator) < 0.6 for n in LENGTHS]
    for mask in masks:
        mask[0] = False
        mask[-1] = len(mask) > 1
    return rows, masks


ROWS, MASKS = inputs()
LEARNED = [(row, mask) for row, mask in zip(ROWS, MASKS) if mask.any()]
# Chosen and rejected share a prompt of four tokens.
PAIRS = [
    (torch.cat([a[:4], b]), torch.cat([a[:4], c]))
    for a, b, c in [(ROWS[4], ROWS[3], ROWS[2]), (ROWS[5], ROWS[1], ROWS[4])]
]


def logits(model, row):
    return model(row[None]).logits[0]


def target_log_probabilities(model, row, mask):
    found = logits(model, row).log_softmax(-1)[:-1]
    return found.gather(1, row[1:, None])[:, 0][mask[1:]]


def cross_entropy(model):
    return -torch.cat([target_log_probabilities(model, *pair) for pair in LEARNED]).mean()


def distillation(model, teacher):
    found = []
    for row, mask in LEARNED:
        here = mask[1:]
        ours = logits(model, row).log_softmax(-1)[:-1][here]
        with torch.no_grad():
            theirs = logits(teacher, row).log_softmax(-1)[:-1][here]
        found.append((theirs.exp() * (theirs - ours)).sum(-1))
    return torch.cat(found).mean()


def preference(model, reference):
    def gain(row):
        mask = torch.arange(len(row)) >= 4
        with torch.no_grad():
            before = target_log_probabilities(reference, row, mask).sum()
        return target_log_probabilities(model, row, mask).sum() - before

    margins = torch.stack([gain(chosen) - gain(rejected) for chosen, rejected in PAIRS])
    return -torch.nn.functional.logsigmoid(BETA * margins).mean()


def train(model, loss):
    """Ten AdamW steps: the losses, the first gradient and the last weights by name."""
    parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
    optimizer = torch.optim.AdamW(
        parameters.values(), lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01
    )
    losses, gradient = [], None
    for _ in range(10):
        optimizer.zero_grad()
        value = loss(model)
        value.backward()
        losses.append(value.item())
        if gradient is None:
            gradient = {name: p.grad.clone() for name, p in parameters.items()}
        optimizer.step()
    final = {name: p.detach().clone() for name, p in parameters.items()}
    return torch.tensor(losses), gradient, final


def randomize(model, seed):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            noise = torch.randn(p.shape, generator=generator)
            if p.dim() == 1:
                is_norm = name.endswith("weight") and "gemma" not in model.config.model_type
                p.copy_(0.1 * noise + (1.0 if is_norm else 0.0))
            else:
                p.copy_(noise * (0.5 if "emb" in name or "wte" in name else 0.25))


def adapted(model, targets, seed):
    config = peft.LoraConfig(r=4, lora_alpha=8, target_modules=targets, task_type="CAUSAL_LM")
    model = peft.get_peft_model(copy.deepcopy(model), config)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.requires_grad:
                p.copy_(0.2 * torch.randn(p.shape, generator=generator))
    return model.eval()


def save_adapter(model, folder):
    model.save_pretrained(folder)
    (folder / "README.md").unlink()
    # PEFT writes targets in the order of a set.
    path = folder / "adapter_config.json"
    config = json.loads(path.read_text())
    config["target_modules"] = sorted(config["target_modules"])
    config["base_model_name_or_path"] = None
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def save(tensors, path):
    tensors = {name.replace(".default", ""): t.contiguous() for name, t in tensors.items()}
    if "gpt_neox.embed_in.weight" in tensors:
        # Transformers 5 keeps the old name in files only.
        tensors["embed_out.weight"] = tensors.pop("lm_head.weight")
    save_file(tensors, path, metadata={"format": "pt"})


def make(name, config):
    folder = HERE / name
    shutil.rmtree(folder, ignore_errors=True)
    config._attn_implementation = "eager"
    config.dtype = "float32"
    model = transformers.AutoModelForCausalLM.from_config(config).eval()
    randomize(model, len(name))
    model.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    words = {f"w{i}": i for i in range(VOCABULARY)}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="w0"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.add_special_tokens(["w1", "w2"])
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    (folder / "tokenizer_config.json").write_text(
        json.dumps(dict(tokenizer_class="PreTrainedTokenizerFast", bos_token="w1", eos_token="w2"))
    )

    def all_logits(model):
        with torch.no_grad():
            return torch.cat([logits(model, row) for row in ROWS])

    golden = {
        "tokens": torch.cat(ROWS).to(torch.int32),
        "lengths": torch.tensor(LENGTHS, dtype=torch.int32),
        "targets": torch.cat(MASKS).to(torch.uint8),
        "logits": all_logits(model),
    }
    full = copy.deepcopy(model)
    golden["losses"], gradient, final = train(full, cross_entropy)
    save(gradient, folder / "gradient.safetensors")
    save(final, folder / "final.safetensors")

    lora = adapted(model, LINEAR.get(name, ALL), 11)
    golden["adapter.logits"] = all_logits(lora)
    save_adapter(lora, folder / "adapter")
    student = copy.deepcopy(lora)
    golden["adapter.losses"], gradient, final = train(student, cross_entropy)
    save(gradient, folder / "adapter" / "gradient.safetensors")
    save(final, folder / "adapter" / "final.safetensors")
    student = copy.deepcopy(lora)
    golden["distillation.losses"], gradient, _ = train(student, lambda m: distillation(m, model))
    save(gradient, folder / "adapter" / "distillation.safetensors")
    student = copy.deepcopy(lora)
    golden["preference.losses"], gradient, _ = train(student, lambda m: preference(m, lora))
    save(gradient, folder / "adapter" / "preference.safetensors")
    if name in FUSED:
        fused = adapted(model, LINEAR[name] + FUSED[name], 13)
        golden["fused.logits"] = all_logits(fused)
        save_adapter(fused, folder / "fused")
    save(golden, folder / "golden.safetensors")
    print(name, golden["losses"][[0, 9]], golden["adapter.losses"][[0, 9]],
          golden["distillation.losses"][[0, 9]], golden["preference.losses"][[0, 9]])


torch.set_num_threads(1)
for name in sys.argv[1:] or FAMILIES:
    make(name, FAMILIES[name])
