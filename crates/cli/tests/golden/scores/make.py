"""Writes the references of `tests/it/scores.rs`: what Transformers, PEFT and llama.cpp say of the rows in
`chats.jsonl` and `texts.jsonl`. Not run by the tests; run it again to change them, or when the test says that
owlet writes other GGUF files than those that llama.cpp has read:

    python make.py OWLET      (torch, transformers, peft, safetensors, tokenizers, gguf, xllamacpp)

OWLET is the program, which writes the GGUF files. Weights are not kept: they follow from the names of the
tensors (`weights` below and in the test). What is written here: `tokenizers/`, a folder for each family with
what a Hugging Face folder has beside weights and `tokenizer.json`, `models.json` with the tensors, and
`numbers.safetensors` with the log-probability of every scored token.
"""

import hashlib
import json
import math
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unicodedata
import urllib.request

import gguf
import numpy
import peft
import tokenizers
import torch
import transformers
import xllamacpp
from safetensors.torch import load_file, save_file
from tokenizers import AddedToken, Regex, Tokenizer, decoders, normalizers, pre_tokenizers, trainers

HERE = pathlib.Path(__file__).parent
OWLET = pathlib.Path(sys.argv[1]).resolve()
CHATS, TEXTS = ([json.loads(line) for line in (HERE / f"{name}.jsonl").read_text().splitlines()]
                for name in ("chats", "texts"))
WINDOW = 24

# ---- tokenizers -----------------------------------------------------------------------------------

CORPUS = ["the owl sees the mouse and the mouse does not see the owl at night", "über die Eule im Wald",
          "who keeps the night watch and what does it see", "numbers 12 345 6789 follow 2024-07-26",
          "one two three four five six seven eight nine ten", "naïve café", "return the value of x"] * 4
WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|%s| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
BYTES_SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
PIECES_SPECIAL = ["<unk>", "<s>", "</s>", "<start_of_turn>", "<end_of_turn>", "[INST]", "[/INST]"]


def of_bytes(splitting):
    """Byte-level merges; `splitting` is what llama.cpp calls the way to split texts."""
    tokenizer = Tokenizer(tokenizers.models.BPE(ignore_merges=splitting == "llama-bpe"))
    plain = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    by = lambda pattern: pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(pattern), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])
    tokenizer.pre_tokenizer = {
        "gpt-2": plain, "qwen2": by(WORDS % r"\p{N}"), "llama-bpe": by(WORDS % r"\p{N}{1,3}"),
    }[splitting]
    if splitting == "qwen2":
        tokenizer.normalizer = normalizers.NFC()
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(CORPUS, trainers.BpeTrainer(
        vocab_size=360, special_tokens=BYTES_SPECIAL, show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    ))
    if splitting == "qwen2":
        tokenizer.add_tokens([AddedToken("<think>", normalized=False), AddedToken("</think>", normalized=False)])
    if splitting == "llama-bpe":
        begins(tokenizer, "<|endoftext|>")
    return tokenizer


def of_pieces(prefix):
    """SentencePiece's way: pieces by score, bytes for what has none; `prefix` puts a space before every text."""
    steps = [normalizers.Replace(" ", "▁")]
    trained = Tokenizer(tokenizers.models.BPE())
    trained.normalizer = steps[0]
    trained.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")
    trained.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=130, show_progress=False))
    found = json.loads(trained.to_str())["model"]["vocab"]
    words = PIECES_SPECIAL + [f"<0x{byte:02X}>" for byte in range(256)] + sorted(found, key=found.get)
    ids = {word: i for i, word in enumerate(words)}
    merges = []
    # Every way to put a piece together, the earlier piece first, as Transformers converts SentencePiece's files.
    for word in words[len(PIECES_SPECIAL) + 256:]:
        pairs = [(word[:i], word[i:]) for i in range(1, len(word)) if word[:i] in ids and word[i:] in ids]
        merges += sorted(pairs, key=lambda pair: (ids[pair[0]], ids[pair[1]]))
    tokenizer = Tokenizer(tokenizers.models.BPE(ids, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁")] * prefix + steps)
    strip = [decoders.Strip(" ", 1, 0)] * prefix
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()] + strip)
    tokenizer.add_special_tokens([AddedToken(word, normalized=False, special=True) for word in PIECES_SPECIAL])
    begins(tokenizer, "<s>")
    return tokenizer


def begins(tokenizer, word):
    tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
        f"{word} $A", None, [(word, tokenizer.token_to_id(word))])


TOKENIZERS = {name: of_bytes(name) for name in ("gpt-2", "llama-bpe", "qwen2")} | {
    "pieces": of_pieces(False), "prefixed": of_pieces(True)}

# ---- chat templates -------------------------------------------------------------------------------

TURNS = "{%- for message in messages %}"
# Begins every text, trims what is said.
HEADED = (
    "{{- bos_token }}" + TURNS + "{{- '<|im_start|>' + message['role'] + '\\n\\n' + message['content'] | trim + '<|im_end|>' }}"
    "{%- endfor %}{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n\\n' }}{%- endif %}"
)
# Has a system text of its own where none is given.
SYSTEM = (
    "{%- if messages[0]['role'] != 'system' %}{{- '<|im_start|>system\\nYou know the night.<|im_end|>\\n' }}{%- endif %}"
    + TURNS + "{{- '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"
)
# Puts an empty block of thought before the last answer, and before no earlier one.
THINKING = (
    TURNS + "{{- '<|im_start|>' + message['role'] + '\\n' }}"
    "{%- if loop.last and message['role'] == 'assistant' %}{{- '<think>\\n\\n</think>\\n\\n' }}{%- endif %}"
    "{{- message['content'] + '<|im_end|>\\n' }}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}"
    "{%- if enable_thinking is defined and not enable_thinking %}{{- '<think>\\n\\n</think>\\n\\n' }}{%- endif %}{%- endif %}"
)
NAMED = (
    TURNS + "{{- message['role'] | capitalize + ':\\n' + message['content'] }}"
    "{{- eos_token if message['role'] == 'assistant' else '\\n\\n' }}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- 'Assistant:\\n' }}{%- endif %}"
)
STRICT = (
    TURNS + "{%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) or message['role'] not in ['user', 'assistant'] %}"
    "{{- raise_exception('user and assistant must take turns') }}{%- endif %}"
)
TURN = (
    "{{- bos_token }}" + STRICT
    + "{{- '<start_of_turn>' + ('model' if message['role'] == 'assistant' else 'user') + '\\n' + message['content'] | trim + '<end_of_turn>\\n' }}"
    "{%- endfor %}{%- if add_generation_prompt %}{{- '<start_of_turn>model\\n' }}{%- endif %}"
)
INSTRUCTION = (
    "{{- bos_token }}" + STRICT
    + "{{- '[INST]' + message['content'] + '[/INST]' if message['role'] == 'user' else message['content'] + eos_token }}{%- endfor %}"
)

# ---- models ---------------------------------------------------------------------------------------

COMMON = dict(vocab_size=448, hidden_size=64, intermediate_size=96, max_position_embeddings=512, pad_token_id=None)
GROUPED = COMMON | dict(num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2)
BYTES = dict(bos_token_id=0, eos_token_id=2)
PIECES = dict(bos_token_id=1, eos_token_id=2)
MISTRAL = GROUPED | PIECES | dict(rope_parameters=dict(rope_type="default", rope_theta=10000.0), tie_word_embeddings=False)
GEMMA = COMMON | dict(bos_token_id=1, eos_token_id=[2, 4], num_attention_heads=4, head_dim=32)
ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
# Of each: configuration, how the weights are stored, tokenizer, its special tokens, template, adapter.
MODELS = {
    "llama": (transformers.LlamaConfig(
        **GROUPED, **BYTES, rms_norm_eps=1e-5, tie_word_embeddings=False,
        rope_parameters=dict(rope_type="llama3", rope_theta=500000.0, factor=32.0, low_freq_factor=1.0,
                             high_freq_factor=4.0, original_max_position_embeddings=8192),
    ), "BF16", "llama-bpe", ("<|endoftext|>", "<|im_end|>"), HEADED, dict(target_modules=ALL)),
    "qwen2": (transformers.Qwen2Config(
        **GROUPED, **BYTES, tie_word_embeddings=True, rope_parameters=dict(rope_type="default", rope_theta=1000000.0),
    ), "BF16", "qwen2", (None, "<|im_end|>"), SYSTEM, dict(target_modules=["q_proj", "v_proj"], use_rslora=True)),
    "qwen3": (transformers.Qwen3Config(
        **GROUPED, **BYTES, head_dim=32, tie_word_embeddings=False,
        rope_parameters=dict(rope_type="default", rope_theta=1000000.0),
    ), "F16", "qwen2", (None, "<|im_end|>"), THINKING, dict(target_modules=ALL, use_dora=True)),
    "gpt_neox": (transformers.GPTNeoXConfig(
        **COMMON, **BYTES, num_hidden_layers=2, num_attention_heads=4, tie_word_embeddings=False,
    ), "F16", "gpt-2", ("<|endoftext|>", "<|im_end|>"), NAMED,
        dict(target_modules=["query_key_value", "dense", "dense_h_to_4h", "lm_head"])),
    "gpt2": (transformers.GPT2Config(
        vocab_size=448, n_embd=64, n_layer=2, n_head=4, n_positions=512, **BYTES,
    ), "F32", "gpt-2", ("<|endoftext|>", "<|im_end|>"), NAMED, dict(target_modules=["c_attn", "c_proj"], fan_in_fan_out=True)),
    "gemma": (transformers.GemmaConfig(**GEMMA, num_hidden_layers=2, num_key_value_heads=1), "BF16", "pieces",
              ("<s>", "</s>"), TURN, dict(target_modules=ALL, layers_to_transform=[1])),
    # Of six layers five see a window, as in the published models.
    "gemma3_text": (transformers.Gemma3TextConfig(
        **GEMMA, num_hidden_layers=7, num_key_value_heads=2, query_pre_attn_scalar=32, sliding_window=WINDOW,
        layer_types=["full_attention" if i % 6 == 5 else "sliding_attention" for i in range(7)],
        rope_parameters=dict(
            full_attention=dict(rope_type="default", rope_theta=1000000.0),
            sliding_attention=dict(rope_type="default", rope_theta=10000.0),
        ),
    ), "BF16", "pieces", ("<s>", "</s>"), TURN, dict(target_modules=ALL)),
    "mistral": (transformers.MistralConfig(**MISTRAL, sliding_window=None), "BF16", "prefixed", ("<s>", "</s>"), INSTRUCTION,
                dict(target_modules=ALL, rank_pattern={"v_proj": 8}, alpha_pattern={"v_proj": 4})),
    "mistral_window": (transformers.MistralConfig(**MISTRAL, sliding_window=WINDOW), "BF16", "prefixed", ("<s>", "</s>"),
                       INSTRUCTION, dict(target_modules=ALL)),
}
STORED = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}


def weights(name, shape, center, scale):
    """`center + scale·k/16` with k from -16 to 15: the top five bits of SplitMix64 (Steele et al. 2014), begun at
    the FNV-1a hash of the name. Exact in single, half and bfloat16 precision."""
    whole = (1 << 64) - 1
    seed = 0xCBF29CE484222325
    for byte in name.encode():
        seed = (seed ^ byte) * 0x100000001B3 & whole
    with numpy.errstate(over="ignore"):
        steps = numpy.arange(1, numpy.prod(shape) + 1, dtype=numpy.uint64)
        z = numpy.uint64(seed) + steps * numpy.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> numpy.uint64(30))) * numpy.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> numpy.uint64(27))) * numpy.uint64(0x94D049BB133111EB)
        z = z ^ (z >> numpy.uint64(31))
    k = (z >> numpy.uint64(59)).astype(numpy.float64) - 16
    return torch.tensor(center + scale * k / 16, dtype=torch.float32).reshape(shape)


def drawn(family, state):
    """Of each tensor: shape, center and scale."""
    found = {}
    for name, tensor in state.items():
        is_norm = tensor.dim() == 1 and name.endswith("weight") and "norm" in name or re.search(r"ln_\w+\.weight", name)
        center = 1.0 if is_norm and "gemma" not in family or "magnitude" in name else 0.0
        is_embedding = re.search(r"embed|wte|wpe", name) and not name.startswith("embed_out")
        scale = 0.5 if is_embedding or "lora_A" in name else 0.25
        found[name] = [list(tensor.shape), center, scale]
    return found


def fill(family, part, found):
    return {name: weights(f"{family}/{part}/{name}", *how) for name, how in found.items()}


def build(family, folder):
    """Writes the model's folder and its adapter's; gives what the test needs to write them again."""
    config, stored, tokenizer, (begin, end), template, lora = MODELS[family]
    wrapped = transformers.PreTrainedTokenizerFast(
        tokenizer_object=TOKENIZERS[tokenizer], bos_token=begin, eos_token=end,
        unk_token="<unk>" if tokenizer in ("pieces", "prefixed") else None, chat_template=template,
    )
    model = transformers.AutoModelForCausalLM.from_config(config)
    model.to(STORED[stored]).save_pretrained(folder)
    # By the names that are in the file, which in memory may be others.
    tensors = drawn(family, load_file(folder / "model.safetensors"))
    wrapped.save_pretrained(folder)
    save_file({name: p.to(STORED[stored]) for name, p in fill(family, "model", tensors).items()},
              folder / "model.safetensors", {"format": "pt"})
    adapted = peft.get_peft_model(load(folder), peft.LoraConfig(task_type="CAUSAL_LM", **(dict(r=4, lora_alpha=6) | lora)))
    low = drawn(family, peft.get_peft_model_state_dict(adapted))
    adapter = folder.parent / f"{family}-adapter"
    adapted.save_pretrained(adapter)
    save_file(fill(family, "adapter", low), adapter / "adapter_model.safetensors", {"format": "pt"})
    written = json.loads((adapter / "adapter_config.json").read_text())
    if isinstance(written["target_modules"], list):
        written["target_modules"].sort()
    (adapter / "adapter_config.json").write_text(json.dumps(written | {"base_model_name_or_path": str(folder)}))
    keep(family, folder, tokenizer, {k: v for k, v in written.items() if v not in (None, [], {}, False)})
    return dict(stored=stored, tokenizer=tokenizer, tensors=tensors, adapter=low)


def keep(family, folder, tokenizer, adapter):
    """What lies here of a folder: all but the weights, and tokenizers once for all that share them."""
    shutil.rmtree(HERE / family, ignore_errors=True)
    (HERE / family).mkdir()
    for name in ("config.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(folder / name, HERE / family / name)
    (HERE / family / "adapter_config.json").write_text(json.dumps(adapter | {"base_model_name_or_path": None}, indent=2) + "\n")
    (HERE / "tokenizers").mkdir(exist_ok=True)
    text = json.dumps(json.loads((folder / "tokenizer.json").read_text()), ensure_ascii=False, separators=(",", ":"))
    (HERE / "tokenizers" / f"{tokenizer}.json").write_text(text + "\n")


def load(folder):
    return transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager").eval()


# ---- rows -----------------------------------------------------------------------------------------


def put(messages, alternate):
    """As docs/rows.md says: where turns must take turns, neighbours of one role are one message, and the system text
    begins the first of the user's."""
    if not alternate:
        return messages
    found = []
    for message in messages:
        role = "user" if message["role"] == "system" else message["role"]
        if found and found[-1]["role"] == role:
            found[-1]["content"] += "\n\n" + message["content"]
        else:
            found.append(dict(role=role, content=message["content"]))
    return found


def chats(tokenizer, alternate):
    """Every answer that counts, with the text of its conversation up to its end."""
    for row in CHATS:
        for i, message in enumerate(row["messages"]):
            if message["role"] == "assistant" and message.get("weight") != 0:
                shown = [{key: m[key] for key in ("role", "content")} for m in row["messages"][:i + 1]]
                yield message["content"], tokenizer.apply_chat_template(put(shown, alternate), tokenize=False)


def answers(tokenizer, alternate):
    """Every answer as what stands before it and its own tokens."""
    encode = lambda text: tokenizer(text, add_special_tokens=False)["input_ids"]
    for answer, text in chats(tokenizer, alternate):
        at = text.rindex(answer)
        before, own = encode(text[:at]), encode(answer)
        # Whichever way the text is cut, the tokens are the same.
        assert encode(text)[:len(before) + len(own)] == before + own, (text, before, own)
        yield before, own
    for row in TEXTS:
        ids = tokenizer(row["text"])["input_ids"]
        yield ids[:1], ids[1:]


def scored(model, items):
    found = []
    for before, own in items:
        with torch.no_grad():
            logits = model(torch.tensor([before + own])).logits[0].double().log_softmax(-1)
        found.append(logits[len(before) - 1:-1].gather(1, torch.tensor(own)[:, None])[:, 0].float())
    return torch.cat(found)


def eight_bits(family, folder, target):
    """The folder with every matrix as the `gguf` package makes it of eight-bit blocks."""
    shutil.copytree(folder, target)
    state = load_file(folder / "model.safetensors")
    for name, p in state.items():
        if p.dim() == 2 and not name.endswith("wpe.weight"):
            across = family == "gpt2" and ".h." in name
            value = (p.T if across else p).float().contiguous().numpy()
            kind = gguf.GGMLQuantizationType.Q8_0
            value = torch.from_numpy(gguf.quants.dequantize(gguf.quants.quantize(value, kind), kind))
            state[name] = (value.T if across else value).contiguous()
    save_file({name: p.float() for name, p in state.items()}, target / "model.safetensors", {"format": "pt"})
    return load(target)


# ---- llama.cpp ------------------------------------------------------------------------------------


class Llama:
    def __init__(self, path, letter):
        self.letter = letter
        params = xllamacpp.CommonParams()
        params.model.path = str(path)
        params.n_ctx, params.n_parallel = 512, 1
        params.n_batch = params.n_ubatch = 512
        params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
        params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
        params.fit_params = False
        params.verbosity = 0
        self.server = xllamacpp.Server(params)

    def after(self, ids):
        """Log-probabilities of all tokens behind `ids`."""
        # Nothing is told of a token that is no text, so one that is must be drawn; the numbers are those before.
        answer = self.server.handle_completions({
            "prompt": ids, "n_predict": 1, "n_probs": 448, "logit_bias": [[self.letter, 1000.0]], "cache_prompt": False,
        })
        top = answer["choices"][0]["logprobs"]["content"][0]["top_logprobs"]
        assert len(top) == 448 and abs(sum(math.exp(one["logprob"]) for one in top) - 1) < 1e-4
        return {one["id"]: one["logprob"] for one in top}

    def split(self, text, begun):
        """The token ids of a text, behind the token that begins one if it is `begun`."""
        asked = json.dumps({"content": text, "add_special": begun, "parse_special": True}).encode()
        request = urllib.request.Request(
            self.server.listening_address + "/tokenize", asked, {"Content-Type": "application/json"})
        return json.loads(urllib.request.urlopen(request).read())["tokens"]

    def scored(self, items):
        return torch.tensor([
            self.after((before + own)[:i])[(before + own)[i]]
            for before, own in items for i in range(len(before), len(before) + len(own))
        ])


def owlet(*arguments):
    done = subprocess.run([OWLET, *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def make(family, scratch):
    folder = scratch / family
    folder.mkdir()
    told = build(family, folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    alternate = MODELS[family][4] in (TURN, INSTRUCTION)
    items = list(answers(tokenizer, alternate))
    numbers = {"lengths": torch.tensor([len(own) for _, own in items], dtype=torch.int32)}
    base = load(folder)
    numbers["transformers"] = scored(base, items)
    adapter = scratch / f"{family}-adapter"
    numbers["peft"] = scored(peft.PeftModel.from_pretrained(load(folder), adapter).eval(), items)
    told["longest"] = max(len(before + own) for before, own in items)
    told["answers"], told["tokens"] = len(items), int(numbers["lengths"].sum())
    if family != "mistral_window":
        numbers["q8_0.transformers"] = scored(eight_bits(family, folder, scratch / f"{family}-blocks"), items)
        told["sha256"] = {}
        letter = tokenizer.convert_tokens_to_ids("e")
        for storage in ("f32", "f16", "q8_0"):
            path = scratch / f"{family}-{storage}.gguf"
            owlet("export", folder, "--gguf", storage, "-o", path)
            told["sha256"][storage] = hashlib.sha256(path.read_bytes()).hexdigest()
            llama = Llama(path, letter)
            numbers[f"{storage}.llama.cpp"] = llama.scored(items)
            if storage == "f32":
                texts = [(text, False) for _, text in chats(tokenizer, alternate)] + [(row["text"], True) for row in TEXTS]
                for text, begun in texts:
                    # llama.cpp composes no characters, as Qwen's tokenizer does first.
                    text = unicodedata.normalize("NFC", text) if told["tokenizer"] == "qwen2" else text
                    assert llama.split(text, begun) == tokenizer(text, add_special_tokens=begun)["input_ids"], text
        path = scratch / f"{family}-merged.gguf"
        owlet("export", adapter, "--gguf", "f32", "-o", path)
        told["sha256"]["merged"] = hashlib.sha256(path.read_bytes()).hexdigest()
        numbers["merged.llama.cpp"] = Llama(path, letter).scored(items)
    print(f"{family}: {len(items)} answers, {told['tokens']} tokens, {told['longest']} at most; {base.config.dtype}")
    same = {"f32": "transformers", "f16": "transformers", "q8_0": "q8_0.transformers", "merged": "peft"}
    for key, value in numbers.items():
        if key not in ("lengths", "transformers"):
            other = numbers[same.get(key.split(".")[0], "transformers") if "llama" in key else "transformers"]
            print(f"  {key}: mean {value.mean():.3f}, largest difference {(value - other).abs().max():.1e}")
    return told, {f"{family}.{key}": value for key, value in numbers.items()}


torch.set_num_threads(1)
told, numbers = {}, {}
with tempfile.TemporaryDirectory() as scratch:
    for family in sys.argv[2:] or MODELS:
        told[family], found = make(family, pathlib.Path(scratch))
        numbers |= found
versions = {module.__name__: module.__version__ for module in (torch, transformers, peft, xllamacpp)}
(HERE / "models.json").write_text(json.dumps(dict(versions=versions, models=told), separators=(",", ":")) + "\n")
save_file(numbers, HERE / "numbers.safetensors")
