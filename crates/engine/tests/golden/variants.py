"""Writes `variants/`: adapters of the tiny models that are more than one rank on all layers, and the
logits that PEFT computes with them. Run after make.py; not run by the tests:

    python variants.py       (torch, transformers, peft, safetensors)
"""

import json
import pathlib
import shutil

import peft
import torch
import transformers
from safetensors.torch import save_file

HERE = pathlib.Path(__file__).parent
FOLDER = HERE / "variants"
TOKENS = [3, 1, 4, 1, 5, 9, 2, 6, 53, 58, 97 % 96, 93]
VARIANTS = {
    "layers": ("llama", dict(target_modules=["q_proj", "v_proj"], layers_to_transform=[1])),
    "one_layer": ("llama", dict(target_modules=["up_proj"], layers_to_transform=0, layers_pattern="layers")),
    "ranks": ("llama", dict(target_modules=["q_proj", "v_proj"], rank_pattern={"v_proj": 8},
                            alpha_pattern={"v_proj": 16})),
    "patterns": ("llama", dict(target_modules=r".*\.(q|o)_proj", use_rslora=True,
                               rank_pattern={r"layers\.0\.self_attn\.q_proj": 2},
                               alpha_pattern={r".*\.1\..*o_proj": 3})),
    "fused_ranks": ("gpt_neox", dict(target_modules=["query_key_value", "dense"],
                                     rank_pattern={"query_key_value": 6}, fan_in_fan_out=False)),
    "dora": ("llama", dict(target_modules=["q_proj", "down_proj"], use_dora=True)),
    "saved_head": ("llama", dict(target_modules=["q_proj"], modules_to_save=["lm_head"])),
    "saved_norm": ("llama", dict(target_modules=["q_proj"], modules_to_save=["norm", "post_attention_layernorm"])),
    "saved_tied_head": ("qwen2", dict(target_modules=["q_proj"], modules_to_save=["lm_head"])),
    "saved_tied_embedding": ("qwen2", dict(target_modules=["q_proj"], modules_to_save=["embed_tokens"])),
    "head": ("llama", dict(target_modules=["q_proj", "lm_head"])),
    "tied_head": ("qwen2", dict(target_modules=["q_proj", "lm_head"])),
    "embedding": ("llama", dict(target_modules=["embed_tokens", "v_proj"])),
    "tied_embedding": ("qwen2", dict(target_modules=["embed_tokens", "v_proj"])),
    "scaled_embedding": ("gemma", dict(target_modules=["embed_tokens"])),
    "biases": ("qwen2", dict(target_modules=["q_proj"], bias="all")),
    "own_biases": ("qwen2", dict(target_modules=["q_proj"], bias="lora_only")),
}

shutil.rmtree(FOLDER, ignore_errors=True)
golden = {"tokens": torch.tensor(TOKENS, dtype=torch.int32)}
for number, (name, (family, settings)) in enumerate(VARIANTS.items()):
    model = transformers.AutoModelForCausalLM.from_pretrained(HERE / family, dtype=torch.float32)
    config = peft.LoraConfig(task_type="CAUSAL_LM", **(dict(r=4, lora_alpha=6) | settings))
    model = peft.get_peft_model(model, config).eval()
    generator = torch.Generator().manual_seed(number)
    with torch.no_grad():
        for key, p in model.named_parameters():
            if p.requires_grad:
                noise = 0.2 * torch.randn(p.shape, generator=generator)
                # What is saved whole, and magnitudes, begin at the base's.
                p.copy_(noise if "lora_A" in key or "lora_B" in key or "embedding" in key else p + noise)
        golden[name] = model(torch.tensor([TOKENS])).logits[0].contiguous()
    folder = FOLDER / name
    model.save_pretrained(folder)
    (folder / "README.md").unlink()
    path = folder / "adapter_config.json"
    written = json.loads(path.read_text())
    if isinstance(written["target_modules"], list):
        written["target_modules"].sort()
    written["base_model_name_or_path"] = family
    path.write_text(json.dumps(written, indent=2, sort_keys=True) + "\n")
    again = transformers.AutoModelForCausalLM.from_pretrained(HERE / family, dtype=torch.float32)
    again = peft.PeftModel.from_pretrained(again, folder).eval()
    with torch.no_grad():
        worst = (again(torch.tensor([TOKENS])).logits[0] - golden[name]).abs().max().item()
    golden[name] = again(torch.tensor([TOKENS])).logits[0].detach().contiguous()
    print(name, f"loaded again: {worst:.1e}")
save_file(golden, FOLDER / "golden.safetensors")
