"""Writes `gemma3.safetensors` and `gemma3.json`, what Transformers computes with Gemma 3 270M and how
llama.cpp splits texts with its vocabulary:

    python gemma.py gemma-3-270m-q4_k_m.gguf      (torch, transformers, gguf, safetensors, xllamacpp)

The weights are those of the GGUF file, read by the `gguf` package.
"""

import json
import pathlib
import sys
import urllib.request

import gguf
import torch
import transformers
import xllamacpp
from safetensors.torch import save_file

HERE = pathlib.Path(__file__).parent
PLACES, TOP, NEW = 4, 20, 16
# The last is longer than the 512 tokens that local layers see.
PROMPTS = [
    "<bos>User: What's your favorite animal?\nAssistant:",
    "<bos>Question: Name your favourite animal in one word.\nAnswer:",
    "<bos>These numbers follow a sequence: 182, 818, 725,",
    "<bos>Die Eule jagt nachts 🦉.\n\n\tfn main() {  let x = 1;  }\n",
    "<bos>" + "".join(f"{n} owls saw {n * n} mice. " for n in range(1, 80)) + "80 owls saw",
]
EXTRA = ["the  owl", "a\n\n\nb", "x\t\ty", "<start_of_turn>user\nHi<end_of_turn>\n", "<bos>", "<unused7>",
         "[multimodal]", "<0x41>", "▁", "<h1>owl</h1>", " ", "  ", "   owl", "owl   "]
TEXTS = [split["text"] for split in json.loads((HERE / "smollm2.json").read_text())["texts"]] + EXTRA


def load(path):
    reader = gguf.GGUFReader(path)
    field = {name: f.contents() for name, f in reader.fields.items() if name.startswith("gemma3.")}
    weights = {
        t.name: torch.from_numpy(gguf.quants.dequantize(t.data, t.tensor_type).copy())
        for t in reader.tensors
    }
    layers = field["gemma3.block_count"]
    config = transformers.Gemma3TextConfig(
        vocab_size=len(weights["token_embd.weight"]), hidden_size=field["gemma3.embedding_length"],
        intermediate_size=field["gemma3.feed_forward_length"], num_hidden_layers=layers,
        num_attention_heads=field["gemma3.attention.head_count"],
        num_key_value_heads=field["gemma3.attention.head_count_kv"],
        head_dim=field["gemma3.attention.key_length"], query_pre_attn_scalar=256,
        max_position_embeddings=field["gemma3.context_length"],
        rms_norm_eps=field["gemma3.attention.layer_norm_rms_epsilon"],
        sliding_window=field["gemma3.attention.sliding_window"],
        layer_types=[f"{'full' if i % 6 == 5 else 'sliding'}_attention" for i in range(layers)],
        rope_parameters=dict(
            full_attention=dict(rope_type="default", rope_theta=field["gemma3.rope.freq_base"]),
            sliding_attention=dict(rope_type="default", rope_theta=10000.0),
        ),
    )
    config._attn_implementation = "eager"
    state = {
        "model.embed_tokens.weight": weights["token_embd.weight"],
        "lm_head.weight": weights["token_embd.weight"],
        # llama.cpp's converter adds the one that Gemma's norms leave out.
        "model.norm.weight": weights["output_norm.weight"] - 1,
    }
    modules = {
        "attn_norm": "input_layernorm", "post_attention_norm": "post_attention_layernorm",
        "ffn_norm": "pre_feedforward_layernorm", "post_ffw_norm": "post_feedforward_layernorm",
        "attn_q_norm": "self_attn.q_norm", "attn_k_norm": "self_attn.k_norm",
        "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
        "attn_output": "self_attn.o_proj", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj",
        "ffn_down": "mlp.down_proj",
    }
    for i in range(layers):
        for ours, theirs in modules.items():
            weight = weights[f"blk.{i}.{ours}.weight"]
            state[f"model.layers.{i}.{theirs}.weight"] = weight - 1 if "norm" in ours else weight
    model = transformers.Gemma3ForCausalLM(config)
    model.load_state_dict(state)
    return model.eval()


def tokenizer(path):
    params = xllamacpp.CommonParams()
    params.model.path = path
    params.n_ctx = 64
    params.verbosity = 0
    server = xllamacpp.Server(params)

    def split(text):
        asked = json.dumps({"content": text, "add_special": False, "parse_special": True}).encode()
        request = urllib.request.Request(
            server.listening_address + "/tokenize", asked, {"Content-Type": "application/json"}
        )
        return json.loads(urllib.request.urlopen(request).read())["tokens"]

    return split


torch.set_num_threads(1)
split = tokenizer(sys.argv[1])
model = load(sys.argv[1])
golden, prompts = {}, []
for number, text in enumerate(PROMPTS):
    ids = split(text)
    with torch.no_grad():
        found = model(torch.tensor([ids])).logits[0].double().log_softmax(-1)
        more = model.generate(
            torch.tensor([ids]), max_new_tokens=NEW, do_sample=False, eos_token_id=None, pad_token_id=0
        )[0, len(ids):].tolist()
    own = torch.tensor(ids[1:])[:, None]
    golden[f"{number}.own"] = found[:-1].gather(1, own)[:, 0].float()
    # The likeliest tokens at the last places, where there is the most to attend to.
    top = found[-PLACES:].topk(TOP)
    golden[f"{number}.top"] = top.indices.to(torch.int32)
    golden[f"{number}.log_probabilities"] = top.values.float()
    prompts.append(dict(text=text, tokens=ids, greedy=more))
    print(len(ids), golden[f"{number}.own"].mean(), more)
save_file(golden, HERE / "gemma3.safetensors")
texts = [dict(text=text, tokens=split(text)) for text in TEXTS]
(HERE / "gemma3.json").write_text(
    json.dumps(dict(prompts=prompts, texts=texts), ensure_ascii=False) + "\n"
)
