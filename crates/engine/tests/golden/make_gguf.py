"""Writes `gguf/FAMILY.gguf`, the tiny models as llama.cpp's converter would store them (Q8_0), each
with another kind of vocabulary, and `gguf/texts.json`, how the `tokenizers` package splits texts
with them. Run after make.py; not run by the tests:

    python make_gguf.py       (gguf, numpy, safetensors, tokenizers)
"""

import json
import math
import pathlib

import gguf
import numpy
from safetensors.numpy import load_file
from tokenizers import (
    AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers,
)

HERE = pathlib.Path(__file__).parent
FOLDER = HERE / "gguf"
CORPUS = ["the owl sees the mouse; the mouse doesn't see the owl at night.",
          "numbers 12, 345 and 6789 follow 2024-07-26", "the the the  owl owl night night",
          "über die Eule", "ALL THE OWLS", "it's the owl's mouse", "naïve café"] * 4
TEXTS = ["the owl", " the owl", "The mouse doesn't see 12345 owls!", "it's\n\n  the   NIGHT\t7",
         "über naïve café 🦉", "e\u0301", "", " ", "<unk>x<|turn|>the<|turn|> owl", "\r\nnight\r\n"]
KEPT = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|%s| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
HEADS = {"llama": (4, 2), "gemma": (2, 1), "gemma3_text": (2, 1), "qwen2": (4, 2), "qwen3": (4, 2), "gpt_neox": (2, 2), "gpt2": (4, 4)}
WIDTHS = {"llama": 8, "gemma": 16, "gemma3_text": 16, "qwen2": 8, "qwen3": 16, "gpt_neox": 16, "gpt2": 8}
PRE = {"qwen2": "qwen2", "qwen3": "llama-bpe", "gpt_neox": "gpt-2", "gpt2": "smollm"}
ARCHITECTURES = {"gpt_neox": "gptneox", "gemma3_text": "gemma3"}


def split(pattern):
    return pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(pattern), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])


def byte_level(pre):
    tokenizer = Tokenizer(models.BPE(ignore_merges=pre == "llama-bpe"))
    plain = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.pre_tokenizer = {
        "gpt-2": plain,
        "smollm": pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), plain]),
        "qwen2": split(KEPT % r"\p{N}"),
        "llama-bpe": split(KEPT % r"\p{N}{1,3}"),
    }[pre]
    if pre == "qwen2":
        tokenizer.normalizer = normalizers.NFC()
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=330, special_tokens=["<|end|>", "<|turn|>"], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    return tokenizer, json.loads(tokenizer.to_str())["model"]["merges"]


def marked(prefix):
    """A SentencePiece-like vocabulary: three special tokens, 256 bytes, then pieces by score."""
    steps = [normalizers.Replace(" ", "▁")]
    if prefix:
        steps.insert(0, normalizers.Prepend("▁"))
    trained = Tokenizer(models.BPE())
    trained.normalizer = normalizers.Sequence(steps)
    trained.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=120, show_progress=False))
    model = json.loads(trained.to_str())["model"]
    pieces = [f"<0x{byte:02X}>" for byte in range(256)] + sorted(model["vocab"], key=model["vocab"].get)
    words = ["<unk>", "<|end|>", "<|turn|>"] + pieces
    tokenizer = Tokenizer(models.BPE(
        {word: i for i, word in enumerate(words)}, [tuple(m) for m in model["merges"]],
        unk_token="<unk>", fuse_unk=True, byte_fallback=True,
    ))
    tokenizer.normalizer = trained.normalizer
    ends = [decoders.Strip(" ", 1, 0)] if prefix else []
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()] + ends
    )
    special = [AddedToken(w, normalized=False, special=True) for w in words[:3]]
    tokenizer.add_special_tokens(special)
    merged = {"".join(m): -float(rank) for rank, m in enumerate(model["merges"], 1)}
    scores = [merged.get(word, -1000.0) for word in words]
    return tokenizer, scores


def halves_to_neighbours(weight, heads):
    return weight.reshape(heads, 2, -1, weight.shape[-1]).swapaxes(1, 2).reshape(weight.shape)


def blocks(name, weights, config):
    """Names and arrays, transformed as llama.cpp's converter does."""
    heads, shared = HEADS[name]
    if name in ("gpt2", "gpt_neox"):
        names = {
            "gpt2": dict(ln_1="attn_norm", ln_2="ffn_norm", wte="token_embd", wpe="position_embd",
                         ln_f="output_norm"),
            "gpt_neox": dict(input_layernorm="attn_norm", post_attention_layernorm="ffn_norm",
                             embed_in="token_embd", final_layer_norm="output_norm",
                             embed_out="output"),
        }[name] | {
            "attn.c_attn": "attn_qkv", "attn.c_proj": "attn_output", "mlp.c_fc": "ffn_up",
            "mlp.c_proj": "ffn_down", "attention.query_key_value": "attn_qkv",
            "attention.dense": "attn_output", "mlp.dense_h_to_4h": "ffn_up",
            "mlp.dense_4h_to_h": "ffn_down",
        }
    else:
        names = {
            "embed_tokens": "token_embd", "norm": "output_norm", "lm_head": "output",
            "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
            "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
            "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
            "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm",
            "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
        }
        if name == "gemma3_text":
            names |= {
                "post_attention_layernorm": "post_attention_norm",
                "pre_feedforward_layernorm": "ffn_norm",
                "post_feedforward_layernorm": "post_ffw_norm",
            }
    for key, value in weights.items():
        for prefix in ("transformer.", "gpt_neox.", "model."):
            key = key.removeprefix(prefix)
        module, field = key.rsplit(".", 1)
        layer = ""
        if module.startswith(("layers.", "h.")):
            _, number, module = module.split(".", 2)
            layer = f"blk.{number}."
        ours = names[module]
        if name == "llama" and ours in ("attn_q", "attn_k"):
            value = halves_to_neighbours(value, heads if ours == "attn_q" else shared)
        if name.startswith("gemma") and ours.endswith("norm"):
            value = value + 1
        if name == "gpt2" and value.ndim == 2 and layer:
            value = value.T
        if name == "gpt_neox" and ours == "attn_qkv":
            fused = value.reshape(heads, 3, -1, *value.shape[1:])
            value = numpy.concatenate([fused[:, i].reshape(-1, *value.shape[1:]) for i in range(3)])
        yield f"{layer}{ours}.{field}", value


def make(name):
    config = json.loads((HERE / name / "config.json").read_text())
    weights = load_file(HERE / name / "model.safetensors")
    architecture = ARCHITECTURES.get(name, name)
    writer = gguf.GGUFWriter(FOLDER / f"{name}.gguf", architecture)
    heads, shared = HEADS[name]
    writer.add_context_length(64)
    writer.add_embedding_length(32)
    writer.add_feed_forward_length(48)
    writer.add_block_count(2)
    writer.add_head_count(heads)
    writer.add_head_count_kv(shared)
    writer.add_key_length(WIDTHS[name])
    if name in ("gpt2", "gpt_neox"):
        writer.add_layer_norm_eps(1e-5)
    else:
        writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    if name == "gpt_neox":
        writer.add_parallel_residual(True)
        writer.add_rope_dimension_count(4)
    if name == "llama":
        writer.add_rope_freq_base(500000.0)
        writer.add_rope_dimension_count(8)
        divisors = []
        for i in range(0, 8, 2):
            wavelength = 2 * math.pi * 500000.0 ** (i / 8)
            smooth = (8192 / wavelength - 1.0) / (4.0 - 1.0)
            smooth = min(max(smooth, 0.0), 1.0)
            divisors.append(1 / ((1 - smooth) / 32.0 + smooth))
        writer.add_tensor("rope_freqs.weight", numpy.array(divisors, dtype=numpy.float32))
    if name == "gemma3_text":
        writer.add_rope_freq_base(1000.0)
        writer.add_float32("gemma3.rope.freq_base_swa", 100.0)
        writer.add_sliding_window(5)
        writer.add_uint32("gemma3.attention.sliding_window_pattern", 2)
    if name in PRE:
        tokenizer, merges = byte_level(PRE[name])
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre(PRE[name])
        writer.add_token_merges([" ".join(m) for m in merges])
    else:
        prefix = name == "llama"
        tokenizer, scores = marked(prefix)
        writer.add_tokenizer_model("llama")
        writer.add_token_scores(scores)
        writer.add_add_space_prefix(prefix)
        writer.add_unk_token_id(0)
        writer.add_bos_token_id(2)
    words = [tokenizer.id_to_token(i) for i in range(tokenizer.get_vocab_size())]
    writer.add_token_list(words)
    writer.add_token_types([
        {"<unk>": 2, "<|end|>": 3, "<|turn|>": 3}.get(word, 6 if word.startswith("<0x") else 1)
        for word in words
    ])
    writer.add_eos_token_id(words.index("<|end|>"))
    writer.add_eot_token_id(words.index("<|turn|>"))
    writer.add_chat_template("{% for m in messages %}<|turn|>{{ m.content }}{% endfor %}")
    for key, value in blocks(name, weights, config):
        if key in ("token_embd.weight", "output.weight"):
            value = value[numpy.arange(len(words)) % len(value)]
        if value.ndim == 2 and value.shape[1] % 32 == 0:
            kind = gguf.GGMLQuantizationType.Q8_0
            writer.add_tensor(key, gguf.quants.quantize(value, kind), raw_dtype=kind)
        elif value.ndim == 2:
            writer.add_tensor(key, value.astype(numpy.float16))
        else:
            writer.add_tensor(key, numpy.ascontiguousarray(value))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    found = []
    for text in TEXTS:
        ids = tokenizer.encode(text).ids
        found.append(dict(text=text, tokens=ids, decoded=tokenizer.decode(ids)))
    return found


FOLDER.mkdir(exist_ok=True)
texts = {name: make(name) for name in HEADS}
(FOLDER / "texts.json").write_text(json.dumps(texts, ensure_ascii=False, indent=0) + "\n")
