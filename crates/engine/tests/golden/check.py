"""Opens what the engine wrote with Transformers and PEFT and compares logits. Not run by the tests:

    OWLET_TEST_EXPORT=/some/folder cargo test -p owlet-engine --test it files
    python check.py /some/folder
"""

import pathlib
import sys

import peft
import torch
import transformers
from safetensors.torch import load_file

HERE = pathlib.Path(__file__).parent
written = pathlib.Path(sys.argv[1])


def logits(model, golden):
    with torch.no_grad():
        rows = golden["tokens"].long().split(golden["lengths"].tolist())
        return torch.cat([model(row[None]).logits[0] for row in rows])


def load(folder):
    return transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


def compare(what, ours, theirs):
    worst = (ours - theirs).abs().max().item()
    print(f"{what}: largest difference {worst:.1e}")
    assert worst < 1e-4, what


for family in ("llama", "qwen2", "qwen3", "gpt_neox", "gpt2", "gemma", "gemma3_text"):
    golden = load_file(HERE / family / "golden.safetensors")
    compare(family, logits(load(written / family), golden), golden["logits"])
    tokenizer = transformers.PreTrainedTokenizerFast.from_pretrained(written / family)
    assert tokenizer("w5 w7 w1")["input_ids"] == [5, 7, 1] and tokenizer.eos_token == "w2"
    for kind, name in (("adapter", "adapter.logits"), ("fused", "fused.logits")):
        if name in golden:
            adapted = peft.PeftModel.from_pretrained(load(HERE / family), written / f"{family}-{kind}")
            compare(f"{family} {kind}", logits(adapted.eval(), golden), golden[name])
    for stabilized in ("false", "true"):
        folder = written / f"{family}-stacked-{stabilized}"
        if folder.exists():
            adapted = peft.PeftModel.from_pretrained(load(HERE / family), folder).eval()
            base, merged = load(HERE / family), load(folder / "merged")
            assert (logits(merged, golden) - logits(base, golden)).abs().max() > 0.01
            compare(f"{folder.name}", logits(adapted, golden), logits(merged, golden))
