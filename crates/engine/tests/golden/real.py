"""Writes `smollm2.safetensors` and `smollm2.json`, what Transformers computes with SmolLM2-135M.

    python real.py SmolLM2-135M-Instruct.Q4_1.gguf

The weights are those of the GGUF file, read by the `gguf` package; the tokenizer is built from its
vocabulary with the settings that the model's own `tokenizer.json` has.
"""

import json
import pathlib
import sys

import gguf
import torch
import transformers
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

HERE = pathlib.Path(__file__).parent
PLACES, TOP = 4, 20
CHATS = [
    [("user", "What's your favorite animal?")],
    [("user", "These numbers follow a sequence: 182, 818, 725. Add at most 10 more values (no more "
      "than 3 digits each) to continue the sequence. Return only the numbers.")],
    [("system", "You love owls."), ("user", "Name a bird."), ("assistant", "Owl! 🦉"),
     ("user", "Und noch einer? (auf Deutsch)")],
]
TEXTS = [
    "", " ", "  ", "   leading", "trailing   ", "\n", "\n\n\n", "\t", " \t\n ", "a", "Hello", " Hello",
    "Hello, world!", "it's we're I'LL don't", "0", "7", "42", "182, 818, 725", "3.14159", "1e-5",
    "year 2024-07-26", "x=1;y=2", "déjà vu", "naïve café", "Grüße aus München", "Привет, мир",
    "你好，世界", "こんにちは", "مرحبا", "नमस्ते", "🦉", "🦉🦉", "👩‍👩‍👧‍👦 family", "e\u0301", "\u200b", "\u00a0",
    "<|im_start|>user\nHi<|im_end|>\n", "<|endoftext|>", "<|im_start|><|im_start|>", "< |im_end| >",
    "def f(x):\n    return x ** 2\n", "a_b-c.d/e\\f", "((()))", "http://example.com/?q=1&r=%20",
    "ALLCAPS lower MiXeD", "aaaaaaaaaaaaaaaaaaaaaaaaaaaa", "supercalifragilisticexpialidocious",
    "tab\tseparated\tvalues", "windows\r\nline\r\nends", "½ ² ₃ Ⅷ ٣", "a\u0000b",
]


def load(path):
    reader = gguf.GGUFReader(path)
    field = {name: f.contents() for name, f in reader.fields.items()}
    weights = {
        t.name: torch.from_numpy(gguf.quants.dequantize(t.data, t.tensor_type).copy())
        for t in reader.tensors
    }
    heads, shared = field["llama.attention.head_count"], field["llama.attention.head_count_kv"]
    config = transformers.LlamaConfig(
        vocab_size=field["llama.vocab_size"], hidden_size=field["llama.embedding_length"],
        intermediate_size=field["llama.feed_forward_length"],
        num_hidden_layers=field["llama.block_count"], num_attention_heads=heads,
        num_key_value_heads=shared, max_position_embeddings=field["llama.context_length"],
        rms_norm_eps=field["llama.attention.layer_norm_rms_epsilon"], tie_word_embeddings=True,
        rope_parameters=dict(rope_type="default", rope_theta=field["llama.rope.freq_base"]),
    )
    config._attn_implementation = "eager"

    def halves(name, count):
        weight = weights[name]
        return weight.view(count, -1, 2, weight.shape[-1]).transpose(1, 2).reshape(weight.shape)

    state = {
        "model.embed_tokens.weight": weights["token_embd.weight"],
        "lm_head.weight": weights["token_embd.weight"],
        "model.norm.weight": weights["output_norm.weight"],
    }
    modules = {
        "attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm",
        "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj",
        "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj",
    }
    for i in range(config.num_hidden_layers):
        for ours, theirs in modules.items():
            state[f"model.layers.{i}.{theirs}.weight"] = weights[f"blk.{i}.{ours}.weight"]
        for ours, theirs, count in (("attn_q", "q_proj", heads), ("attn_k", "k_proj", shared)):
            name = f"model.layers.{i}.self_attn.{theirs}.weight"
            state[name] = halves(f"blk.{i}.{ours}.weight", count)
    model = transformers.LlamaForCausalLM(config)
    model.load_state_dict(state)
    return model.eval(), field


def tokenizer_of(field):
    tokens = field["tokenizer.ggml.tokens"]
    merges = [tuple(merge.split(" ")) for merge in field["tokenizer.ggml.merges"]]
    tokenizer = Tokenizer(models.BPE({t: i for i, t in enumerate(tokens)}, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Digits(individual_digits=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
    ])
    tokenizer.decoder = decoders.ByteLevel()
    special = [t for t, kind in zip(tokens, field["tokenizer.ggml.token_type"]) if kind == 3]
    tokenizer.add_special_tokens([AddedToken(t, normalized=False, special=True) for t in special])
    return tokenizer


torch.set_num_threads(1)
model, field = load(sys.argv[1])
tokenizer = tokenizer_of(field)
wrapped = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer)
wrapped.chat_template = field["tokenizer.chat_template"]
golden, chats = {}, []
for number, chat in enumerate(CHATS):
    messages = [dict(role=role, content=content) for role, content in chat]
    text = wrapped.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    ids = tokenizer.encode(text).ids
    with torch.no_grad():
        found = model(torch.tensor([ids])).logits[0].double().log_softmax(-1)
    own = torch.tensor(ids[1:])[:, None]
    golden[f"{number}.own"] = found[:-1].gather(1, own)[:, 0].float()
    # The likeliest tokens at the last places, where there is the most to attend to.
    places = range(max(0, len(ids) - PLACES), len(ids))
    top = found[list(places)].topk(TOP)
    golden[f"{number}.top"] = top.indices.to(torch.int32)
    golden[f"{number}.log_probabilities"] = top.values.float()
    chats.append(dict(messages=messages, text=text, tokens=ids, first=places[0]))
    print(text, [tokenizer.id_to_token(i) for i in top.indices[-1][:5]], top.values[-1][:5])
save_file(golden, HERE / "smollm2.safetensors")
texts = [
    dict(text=text, tokens=(ids := tokenizer.encode(text).ids), decoded=tokenizer.decode(ids))
    for text in TEXTS
]
(HERE / "smollm2.json").write_text(
    json.dumps(dict(chats=chats, texts=texts), ensure_ascii=False, indent=1) + "\n"
)
