//! Files in and out: what is written is read back the same, and the same bytes are written again.
//!
//! `OWLET_TEST_EXPORT=folder` keeps what is written there, for `tests/golden/check.py` to open with
//! Transformers and PEFT.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, sync::Arc};

use owlet_engine::config::{Activation, DecoderConfig, Position};
use owlet_engine::file::{self, Precision};
use owlet_engine::{Adapter, AdapterConfig, Error, Message, Model, Template, Tokenizer};
use serde_json::{Value, json};

use crate::tiny::{FAMILIES, bytes, model, path, with_weights};

/// A folder that is removed again, or kept for `check.py`.
struct Folder {
    path: PathBuf,
    _temporary: Option<tempfile::TempDir>,
}

fn folder(name: &str) -> Folder {
    if let Some(export) = std::env::var_os("OWLET_TEST_EXPORT") {
        return Folder { path: PathBuf::from(export).join(name), _temporary: None };
    }
    let temporary = tempfile::tempdir().unwrap();
    Folder { path: temporary.path().join(name), _temporary: Some(temporary) }
}

fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap()))
        .collect()
}

fn same(left: &Model, right: &Model) {
    assert_eq!(left.decoder.config, right.decoder.config);
    assert_eq!(left.decoder.parameters.data, right.decoder.parameters.data);
    assert_eq!(left.tokenizer.json(), right.tokenizer.json());
    assert_eq!(left.tokenizer.end_tokens(), right.tokenizer.end_tokens());
    assert_eq!(left.template.source(), right.template.source());
    assert_eq!(left.template.begin(), right.template.begin());
    assert_eq!(left.template.end(), right.template.end());
}

/// A model's parts with one JSON file changed.
fn changed(family: &str, name: &str, change: impl FnOnce(&mut Value)) -> Result<Model, Error> {
    let names = ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"];
    let mut parts = names.map(|name| bytes(&format!("{family}/{name}")));
    let place = names.iter().position(|&other| other == name).unwrap();
    let mut value: Value = serde_json::from_slice(&parts[place]).unwrap();
    change(&mut value);
    parts[place] = value.to_string().into_bytes();
    file::from_parts(&parts[0], &parts[1], &parts[2], &parts[3])
}

#[test]
fn saved_models_load_the_same_and_save_the_same_bytes() {
    for family in FAMILIES {
        let original = model(family);
        let first = folder(family);
        file::save(&original, &first.path).unwrap();
        let again = file::load(&first.path).unwrap();
        same(&original, &again);
        let second = tempfile::tempdir().unwrap();
        file::save(&again, second.path()).unwrap();
        assert!(contents(&first.path) == contents(second.path()), "{family}");
        assert_eq!(contents(&first.path)["tokenizer.json"], original.tokenizer.json());
    }
}

#[test]
fn a_window_of_all_layers_is_kept_in_a_folder_and_refused_as_gguf() {
    let original = changed("llama", "config.json", |config| {
        config["model_type"] = json!("mistral");
        config["sliding_window"] = json!(5);
        config["rope_parameters"] = json!({"rope_type": "default", "rope_theta": 500.0});
    })
    .unwrap();
    let local = original.decoder.config.local.unwrap();
    assert_eq!((local.window, local.theta), (5, 500.0));
    assert!((0..2).all(|layer| original.decoder.config.local_in(layer).is_some()));
    let folder = folder("mistral");
    file::save(&original, &folder.path).unwrap();
    let config: Value = serde_json::from_slice(&contents(&folder.path)["config.json"]).unwrap();
    assert_eq!([&config["model_type"], &config["sliding_window"]], [&json!("mistral"), &json!(5)]);
    same(&original, &file::load(&folder.path).unwrap());
    let gguf = file::save_gguf(&original, &folder.path.join("model.gguf"), file::Storage::F32);
    insta::assert_snapshot!(gguf.unwrap_err(), @"model configuration: `GGUF` has no words for a window of all layers in Llama: llama.cpp would read the model without it; a model folder has");
}

#[test]
fn parts_make_the_same_model() {
    let original = model("llama");
    for precision in [Precision::F32, Precision::F16, Precision::Bf16] {
        let parts = file::parts(&original, precision).unwrap();
        let part = |name: &str| parts[name].as_slice();
        let again = file::from_parts(
            part("config.json"),
            part("model.safetensors"),
            part("tokenizer.json"),
            part("tokenizer_config.json"),
        )
        .unwrap();
        let step = match precision {
            Precision::F32 => {
                same(&original, &again);
                continue;
            }
            Precision::F16 => f32::exp2(-11.0),
            Precision::Bf16 => f32::exp2(-8.0),
        };
        assert!(parts["model.safetensors"].len() < 45_000 * 2);
        let (ours, theirs) = (&original.decoder.parameters.data, &again.decoder.parameters.data);
        for (before, after) in ours.iter().zip(theirs.iter()) {
            assert!((before - after).abs() <= before.abs() * step + 1e-7, "{before} {after}");
        }
    }
}

#[test]
fn shards_are_one_model() {
    let family = "qwen2";
    let folder = tempfile::tempdir().unwrap();
    for name in ["config.json", "tokenizer.json", "tokenizer_config.json"] {
        fs::copy(path(family).join(name), folder.path().join(name)).unwrap();
    }
    let whole = bytes("qwen2/model.safetensors");
    let whole = safetensors::SafeTensors::deserialize(&whole).unwrap();
    let mut places = BTreeMap::new();
    for (number, name) in ["one.safetensors", "two.safetensors"].into_iter().enumerate() {
        let mut tensors = whole.tensors();
        tensors.sort_by(|left, right| left.0.cmp(&right.0));
        let some: Vec<_> = tensors
            .into_iter()
            .enumerate()
            .filter(|(i, _)| i % 2 == number)
            .map(|(_, t)| t)
            .collect();
        places.extend(some.iter().map(|(tensor, _)| (tensor.clone(), name)));
        let shard = safetensors::serialize(some, None).unwrap();
        fs::write(folder.path().join(name), shard).unwrap();
    }
    let index = folder.path().join("model.safetensors.index.json");
    fs::write(&index, json!({ "weight_map": places }).to_string()).unwrap();
    same(&file::load(folder.path()).unwrap(), &model(family));

    fs::write(&index, json!({"weight_map": {"a": "../one.safetensors"}}).to_string()).unwrap();
    let error = file::load(folder.path()).unwrap_err().to_string();
    assert!(error.contains("`weight_map` puts `a` in \"../one.safetensors\""), "{error}");
}

#[test]
fn a_saved_adapter_loads_the_same_and_saves_the_same_bytes() {
    for family in FAMILIES {
        let base = model(family);
        for kind in ["adapter", "fused"] {
            if !path(family).join(kind).exists() {
                continue;
            }
            let original = file::load_adapter(&path(family).join(kind), &base).unwrap();
            let first = folder(&format!("{family}-{kind}"));
            file::save_adapter(&original, &base, &first.path).unwrap();
            let again = file::load_adapter(&first.path, &base).unwrap();
            assert_eq!(original.config, again.config);
            assert_eq!(original.parameters.data, again.parameters.data);
            let second = folder(&format!("{family}-{kind}-again"));
            file::save_adapter(&again, &base, &second.path).unwrap();
            assert!(contents(&first.path) == contents(&second.path), "{family} {kind}");
        }
    }
}

#[test]
fn adapters_with_three_different_a_survive_fused_families() {
    for family in ["gpt2", "gpt_neox"] {
        for rank_stabilized in [false, true] {
            let base = model(family);
            let config = AdapterConfig { rank: 2, alpha: 3.0, rank_stabilized, targets: vec![] };
            let mut adapter = Adapter::init(config, &base.decoder.config, 5).unwrap();
            for (i, value) in adapter.parameters.data.iter_mut().enumerate() {
                *value += (i % 17) as f32 / 100.0 + 0.01;
            }
            let written = folder(&format!("{family}-stacked-{rank_stabilized}"));
            file::save_adapter(&adapter, &base, &written.path).unwrap();
            let again = file::load_adapter(&written.path, &base).unwrap();
            assert_eq!(adapter.config, again.config);
            assert_eq!(adapter.parameters.data, again.parameters.data);
            if std::env::var_os("OWLET_TEST_EXPORT").is_some() {
                let adapted = base.with_adapter(Arc::new(adapter));
                file::save(&adapted, &written.path.join("merged")).unwrap();
            }
        }
    }
}

#[test]
fn a_model_saved_with_an_adapter_has_it_merged() {
    use owlet_engine::{Threads, score};
    for family in FAMILIES {
        let base = model(family);
        let adapter = file::load_adapter(&path(family).join("adapter"), &base).unwrap();
        let adapted = base.with_adapter(Arc::new(adapter));
        let parts = file::parts(&adapted, Precision::F32).unwrap();
        let [config, weights, tokenizer, tokenizer_config] =
            ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]
                .map(|name| parts[name].as_slice());
        let merged = file::from_parts(config, weights, tokenizer, tokenizer_config).unwrap();
        assert!(merged.adapter.is_none());
        let read = |model: &Model| {
            let candidates: Vec<u32> = (0..96).collect();
            let prompts = [vec![3, 1, 4, 1, 5, 9]];
            score::next_token(model, &prompts, &candidates, &Threads::new(1)).unwrap().concat()
        };
        for (apart, merged) in read(&adapted).iter().zip(read(&merged)) {
            assert!((apart - merged).abs() < 1e-4, "{family}: {apart} {merged}");
        }
    }
}

#[test]
fn older_configurations_mean_the_same() {
    let config = |family: &str, change: &dyn Fn(&mut Value)| {
        changed(family, "config.json", change).unwrap().decoder.config.clone()
    };
    let old = config("llama", &|config| {
        let rotary = config.as_object_mut().unwrap().remove("rope_parameters").unwrap();
        config["rope_theta"] = rotary["rope_theta"].clone();
        config["rope_scaling"] = rotary;
    });
    assert_eq!(old, model("llama").decoder.config);
    let old = config("gpt_neox", &|config| {
        config.as_object_mut().unwrap().remove("rope_parameters").unwrap();
        config["rotary_emb_base"] = json!(10000);
        config["rotary_pct"] = json!(0.25);
    });
    assert_eq!(old, model("gpt_neox").decoder.config);
    assert!(matches!(old.position, Position::Rotary { width: 4, .. }));
    let old = config("gemma3_text", &|config| {
        let fields = config.as_object_mut().unwrap();
        for newer in ["rope_parameters", "layer_types"] {
            fields.remove(newer).unwrap();
        }
        config["rope_theta"] = json!(1000.0);
        config["rope_local_base_freq"] = json!(100.0);
        config["sliding_window_pattern"] = json!(2);
    });
    assert_eq!(old, model("gemma3_text").decoder.config);
}

#[test]
fn what_would_change_the_arithmetic_is_refused_by_name() {
    let error = |family: &str, field: &str, value: Value| {
        let changed = changed(family, "config.json", |config| config[field] = value);
        changed.unwrap_err().to_string()
    };
    insta::assert_snapshot!(error("llama", "model_type", json!("mamba")), @"`config.json` is not a usable model configuration: `model_type` is `mamba`, expected llama, mistral, qwen2, qwen3, gpt_neox, gpt2, gemma or gemma3_text");
    insta::assert_snapshot!(error("llama", "hidden_act", json!("relu")), @"`config.json` is not a usable model configuration: `hidden_act` is `relu`, expected silu, gelu, gelu_new or gelu_pytorch_tanh");
    insta::assert_snapshot!(error("llama", "hidden_size", json!("x")), @r#"`config.json` is not a usable model configuration: `hidden_size` is "x", expected a whole number"#);
    insta::assert_snapshot!(error("llama", "hidden_size", Value::Null), @"`config.json` is not a usable model configuration: `hidden_size` is missing");
    insta::assert_snapshot!(error("llama", "num_hidden_layers", json!(3)), @"tensor `model.layers.2.input_layernorm.weight`: is missing, expected shape [32]");
    insta::assert_snapshot!(error("llama", "vocab_size", json!(95)), @"model configuration: `vocab_size` is 95, but the tokenizer has 96 ids; is it this model's tokenizer?");
    insta::assert_snapshot!(error("llama", "intermediate_size", json!(1_u64 << 40)), @"model configuration: `hidden` is 1099511627776, expected 1 to 262144");
    insta::assert_snapshot!(error("llama", "quantization_config", json!({})), @"`config.json` is not a usable model configuration: `quantization_config` is set; load the unquantised model or a GGUF file instead");
    insta::assert_snapshot!(error("qwen2", "use_sliding_window", json!(true)), @"`config.json` is not a usable model configuration: sliding-window attention is not supported");
    insta::assert_snapshot!(error("llama", "rope_parameters", json!({"rope_type": "yarn"})), @"`config.json` is not a usable model configuration: rotary scaling `yarn` is not supported, expected default or llama3");
    insta::assert_snapshot!(error("llama", "partial_rotary_factor", json!(0.5)), @"`config.json` is not a usable model configuration: `partial_rotary_factor` is 0.5, expected 1: this family turns whole heads");
    insta::assert_snapshot!(error("gpt2", "scale_attn_weights", json!(false)), @"`config.json` is not a usable model configuration: `scale_attn_weights` is false, expected true");
    insta::assert_snapshot!(error("gemma3_text", "final_logit_softcapping", json!(30.0)), @"`config.json` is not a usable model configuration: `final_logit_softcapping` is set, which is not supported");
    insta::assert_snapshot!(error("gemma3_text", "attn_logit_softcapping", json!(50.0)), @"`config.json` is not a usable model configuration: `attn_logit_softcapping` is set, which is not supported");
    insta::assert_snapshot!(error("gemma3_text", "use_bidirectional_attention", json!(true)), @"`config.json` is not a usable model configuration: bidirectional attention is not supported");
    insta::assert_snapshot!(error("gemma3_text", "model_type", json!("gemma3")), @"`config.json` is not a usable model configuration: `model_type` is `gemma3`, expected llama, mistral, qwen2, qwen3, gpt_neox, gpt2, gemma or gemma3_text");
    insta::assert_snapshot!(error("gemma3_text", "layer_types", json!(["full_attention", "sliding_attention"])), @"`config.json` is not a usable model configuration: `layer_types` is not full_attention at every multiple of 1 and sliding_attention elsewhere; no other order is supported");
    insta::assert_snapshot!(error("gemma3_text", "sliding_window", Value::Null), @"`config.json` is not a usable model configuration: `sliding_window` is missing");
    insta::assert_snapshot!(error("gemma3_text", "sliding_window", json!(0)), @"model configuration: `local` needs a window of a token or more, two layers or more from one that is not local to the next, and rotary positions");
    insta::assert_snapshot!(error("gemma3_text", "query_pre_attn_scalar", json!(-1)), @"model configuration: `query-scalar` is -1, expected a positive number");
    let scaled = json!({"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6});
    let rotary =
        |whole: Value, local: Value| json!({"full_attention": whole, "sliding_attention": local});
    let plain = json!({"rope_type": "default", "rope_theta": 1e4});
    insta::assert_snapshot!(error("gemma3_text", "rope_parameters", rotary(scaled.clone(), plain.clone())), @"`config.json` is not a usable model configuration: rotary scaling `linear` is not supported, expected default or llama3");
    insta::assert_snapshot!(error("gemma3_text", "rope_parameters", rotary(plain, scaled)), @"`config.json` is not a usable model configuration: rotary scaling `linear` is not supported, expected default or llama3");
}

#[test]
fn what_gemma_says_outright_holds_and_its_first_word_is_understood() {
    let activation = |field: &str| {
        let changed = changed("gemma", "config.json", |config| {
            config.as_object_mut().unwrap().remove("hidden_act");
            config[field] = json!("gelu");
        });
        changed.unwrap().decoder.config.activation
    };
    assert_eq!(activation("hidden_act"), Activation::GeluTanh);
    assert_eq!(activation("hidden_activation"), Activation::Gelu);
}

#[test]
fn a_space_before_texts_that_two_files_contradict_is_refused() {
    let say = |said: bool, does: bool| {
        let [config, weights] =
            ["config.json", "model.safetensors"].map(|name| bytes(&format!("llama/{name}")));
        let changed = |name: &str, field: &str, value: Value| {
            let mut json: Value = serde_json::from_slice(&bytes(&format!("llama/{name}"))).unwrap();
            json[field] = value;
            json.to_string().into_bytes()
        };
        let splits = json!({ "type": "ByteLevel", "add_prefix_space": does, "trim_offsets": true, "use_regex": true });
        let tokenizer = changed(
            "tokenizer.json",
            "pre_tokenizer",
            json!({ "type": "Sequence", "pretokenizers": [splits] }),
        );
        let small = changed("tokenizer_config.json", "add_prefix_space", json!(said));
        file::from_parts(&config, &weights, &tokenizer, &small).map_err(|error| error.to_string())
    };
    assert!(say(true, true).is_ok() && say(false, false).is_ok());
    let error = say(true, false).err().unwrap();
    assert!(
        error.ends_with(
            "`add_prefix_space` is true and `tokenizer.json` says false; make them agree"
        ),
        "{error}"
    );
}

#[test]
fn missing_and_wrong_files_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let error = |path: &Path| {
        let text = file::load(path).unwrap_err().to_string();
        text.replace(&folder.path().display().to_string(), "FOLDER")
    };
    insta::assert_snapshot!(error(&folder.path().join("none")), @"cannot read `FOLDER/none`: No such file or directory (os error 2)");
    insta::assert_snapshot!(error(folder.path()), @"`FOLDER` is not a usable model folder: `config.json` is missing");
    fs::write(folder.path().join("adapter_config.json"), "{}").unwrap();
    insta::assert_snapshot!(error(folder.path()), @"`FOLDER` is not a usable model folder: `config.json` is missing; this is an adapter, load the model it is for first");
    fs::write(folder.path().join("config.json"), "{").unwrap();
    insta::assert_snapshot!(error(folder.path()), @"`FOLDER` is not a usable model folder: `tokenizer.json` is missing; save the tokenizer with Transformers to make one");
    fs::copy(path("llama/tokenizer.json"), folder.path().join("tokenizer.json")).unwrap();
    insta::assert_snapshot!(error(folder.path()), @"`FOLDER` is not a usable model folder: neither `model.safetensors` nor `model.safetensors.index.json` is there; other weight formats are not read");
    fs::write(folder.path().join("model.safetensors"), "short").unwrap();
    insta::assert_snapshot!(error(folder.path()), @"`FOLDER/model.safetensors` is not a usable safetensors file: is 5 bytes long, too short for a header");
    fs::write(folder.path().join("model.safetensors"), [0xFF; 100]).unwrap();
    insta::assert_snapshot!(error(folder.path()), @"`FOLDER/model.safetensors` is not a usable safetensors file: its header claims 18446744073709551615 bytes, but 92 follow; the file is cut off or not safetensors");
    let note = folder.path().join("note.txt");
    fs::write(&note, "hello").unwrap();
    insta::assert_snapshot!(error(&note), @"`FOLDER/note.txt` is not a usable model: expected a GGUF file or a folder with `config.json` and `model.safetensors`");
}

#[test]
fn adapters_that_do_not_fit_are_refused_by_name() {
    let (config, weights) = (
        bytes("llama/adapter/adapter_config.json"),
        bytes("llama/adapter/adapter_model.safetensors"),
    );
    let error = |base: &str, field: &str, value: Value| {
        let mut config: Value = serde_json::from_slice(&config).unwrap();
        config[field] = value;
        let config = config.to_string().into_bytes();
        file::adapter_from_parts(&config, &weights, &model(base)).unwrap_err().to_string()
    };
    insta::assert_snapshot!(error("qwen3", "r", json!(4)), @"adapter: tensor `base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight` has shape [32, 4], expected [64, 4]; was it made for another base?");
    insta::assert_snapshot!(error("gpt2", "r", json!(4)), @"adapter: no tensor belongs to a projection of this model; it was made for another base");
    insta::assert_snapshot!(error("llama", "r", json!(5)), @"adapter: tensor `base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight` has shape [4, 32], expected [5, 32]; was it made for another base?");
    insta::assert_snapshot!(error("llama", "r", json!(1_000_000)), @"adapter: tensor `base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight` has shape [4, 32], expected [1000000, 32]; was it made for another base?");
    insta::assert_snapshot!(error("llama", "lora_alpha", json!(-1)), @"adapter: alpha -1 must be positive");
    insta::assert_snapshot!(error("llama", "peft_type", json!("IA3")), @"`adapter_config.json` is not a usable adapter configuration: `peft_type` is not LORA, the only one supported");
    insta::assert_snapshot!(error("llama", "use_dora", json!(true)), @"adapter: tensor `base_model.model.model.layers.0.self_attn.q_proj.lora_magnitude_vector` is missing, expected [32]; was it made for another base?");
    insta::assert_snapshot!(error("llama", "bias", json!("some")), @"`adapter_config.json` is not a usable adapter configuration: `bias` is `some`, expected none, all or lora_only");
    insta::assert_snapshot!(error("llama", "modules_to_save", json!(["lm_head"])), @"`adapter_config.json` is not a usable adapter configuration: `modules_to_save` names `lm_head`, of which the file has no tensor");
    insta::assert_snapshot!(error("llama", "rank_pattern", json!({"q_proj": 8})), @"adapter: tensor `base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight` has shape [4, 32], expected [8, 32]; was it made for another base?");
    insta::assert_snapshot!(error("llama", "init_lora_weights", json!("pissa")), @"`adapter_config.json` is not a usable adapter configuration: `init_lora_weights` is `pissa`, which changes the base too; convert the adapter with PEFT first");
}

#[test]
fn numbers_that_are_not_finite_are_refused() {
    let mut weights = bytes("llama/model.safetensors");
    let end = weights.len();
    weights[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    let [config, tokenizer, tokenizer_config] =
        ["config.json", "tokenizer.json", "tokenizer_config.json"]
            .map(|name| bytes(&format!("llama/{name}")));
    let error = file::from_parts(&config, &weights, &tokenizer, &tokenizer_config).unwrap_err();
    insta::assert_snapshot!(error, @"tensor `model.norm.weight`: number 31 is NaN, expected finite numbers");
}

#[test]
fn the_template_and_the_end_tokens_come_from_the_small_files() {
    let source = "{{ bos_token }}{% for m in messages %}[{{ m.content }}]{% endfor %}";
    let set = |value: Value| {
        changed("llama", "tokenizer_config.json", |config| config["chat_template"] = value)
    };
    let named =
        json!([{"name": "tool_use", "template": "no"}, {"name": "default", "template": source}]);
    let message = Message { role: "user".to_owned(), content: "hi".to_owned() };
    for value in [json!(source), named] {
        let model = set(value).unwrap();
        assert_eq!(model.template.render(std::slice::from_ref(&message), true).unwrap(), "w1[hi]");
        assert_eq!(model.tokenizer.end_tokens(), [2]);
    }
    assert!(set(json!(3)).is_err());
    let model =
        changed("llama", "config.json", |config| config["eos_token_id"] = json!([5, 7, 999]));
    assert_eq!(model.unwrap().tokenizer.end_tokens(), [2, 5, 7]);
}

#[test]
fn a_shape_that_a_family_has_no_words_for_is_not_saved_wrong() {
    let original = model("llama");
    let mut decoder = (*original.decoder).clone();
    decoder.config = DecoderConfig { embedding_scale: 2.0, parallel: true, ..decoder.config };
    let error = file::parts(&original.with_decoder(Arc::new(decoder)), Precision::F32);
    insta::assert_snapshot!(error.unwrap_err(), @"model configuration: `family` is Llama, whose files cannot express this shape: `embedding-scale` 2.0, `parallel` true");
}

#[test]
fn a_model_of_words_is_saved_like_any_other() {
    let words: Vec<String> = (0..96).map(|i| format!("<{i}>")).collect();
    let tokenizer = Tokenizer::words(&words, &words[..2], &words[1..2]).unwrap();
    let template = Template::fallback(&tokenizer).unwrap().with_tokens("", "<1>");
    let original = Model {
        tokenizer: Arc::new(tokenizer),
        template: Arc::new(template),
        ..with_weights("qwen3", "model.safetensors")
    };
    let folder = tempfile::tempdir().unwrap();
    file::save(&original, folder.path()).unwrap();
    same(&original, &file::load(folder.path()).unwrap());
}
