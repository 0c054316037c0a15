//! Whatever a file says that changes the arithmetic or the text is honoured, or refused by name.

use std::fs;
use std::path::Path;

use owlet_engine::file::{self, Precision};
use owlet_engine::score::{Scored, score};
use owlet_engine::{Error, Message, Model, Template, Threads, Tokenizer};
use safetensors::tensor::{Dtype, TensorView};
use serde_json::{Value, json};

use crate::tiny::{Golden, bytes, model, path};

const FILES: [&str; 4] =
    ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"];

/// A family's folder, to be changed.
fn folder(family: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in FILES {
        fs::copy(path(family).join(name), folder.path().join(name)).unwrap();
    }
    folder
}

/// Changes a JSON file of a folder.
fn change(folder: &Path, name: &str, change: impl FnOnce(&mut Value)) {
    let path = folder.join(name);
    let mut value: Value =
        fs::read(&path).map_or(json!({}), |bytes| serde_json::from_slice(&bytes).unwrap());
    change(&mut value);
    fs::write(path, value.to_string()).unwrap();
}

/// Adds a tensor to a folder's weights.
fn add(folder: &Path, name: &str, shape: &[usize], values: &[f32]) {
    let file = fs::read(folder.join("model.safetensors")).unwrap();
    let old = safetensors::SafeTensors::deserialize(&file).unwrap();
    let data: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    let mut tensors = old.tensors();
    let new = TensorView::new(Dtype::F32, shape.to_vec(), &data).unwrap();
    tensors.push((name.to_owned(), new));
    let written = safetensors::serialize(tensors, None).unwrap();
    fs::write(folder.join("model.safetensors"), written).unwrap();
}

/// An error without the folder's own name.
fn refusal<T>(result: Result<T, Error>, folder: &Path) -> String {
    let text = result.err().expect("it is refused").to_string();
    text.replace(&folder.display().to_string(), "FOLDER")
}

fn log_probabilities(model: &Model, tokens: &[u32]) -> Vec<f32> {
    let row = Scored { prompt: tokens[..1].to_vec(), completion: tokens[1..].to_vec() };
    score(model, &[row], &Threads::new(1)).unwrap().remove(0)
}

#[test]
fn adapters_of_every_form_score_what_peft_computes() {
    let golden = Golden::read("variants/golden.safetensors");
    let tokens = golden.integers("tokens");
    for entry in fs::read_dir(path("variants")).unwrap() {
        let folder = entry.unwrap().path();
        let Ok(config) = fs::read(folder.join("adapter_config.json")) else { continue };
        let config: Value = serde_json::from_slice(&config).unwrap();
        let base = model(config["base_model_name_or_path"].as_str().unwrap());
        let adapted = file::load_adapted(&folder, &base).unwrap();
        let name = folder.file_name().unwrap().to_str().unwrap();
        let logits = golden.numbers(name);
        let expected = logits.chunks_exact(96).zip(&tokens[1..]).map(|(row, &next)| {
            let total: f64 = row.iter().map(|&logit| f64::from(logit).exp()).sum();
            (f64::from(row[next as usize]) - total.ln()) as f32
        });
        for (ours, theirs) in log_probabilities(&adapted, &tokens).into_iter().zip(expected) {
            assert!((ours - theirs).abs() < 1e-3, "{name}: {ours} {theirs}");
        }
        assert_ne!(
            log_probabilities(&adapted, &tokens),
            log_probabilities(&base, &tokens),
            "{name}"
        );
        // Merged and written, it is the same model.
        let written = tempfile::tempdir().unwrap();
        file::save(&adapted, written.path()).unwrap();
        let again = log_probabilities(&file::load(written.path()).unwrap(), &tokens);
        for (ours, again) in log_probabilities(&adapted, &tokens).into_iter().zip(again) {
            assert!((ours - again).abs() < 1e-3, "{name}: {ours} {again}");
        }
    }
}

#[test]
fn what_stands_beside_an_adapter_is_used() {
    let base = model("llama");
    let adapter = tempfile::tempdir().unwrap();
    for name in ["adapter_config.json", "adapter_model.safetensors"] {
        fs::copy(path("llama/adapter").join(name), adapter.path().join(name)).unwrap();
    }
    let render = || {
        let model = file::load_adapted(adapter.path(), &base).unwrap();
        let said = Message { role: "user".to_owned(), content: "w5".to_owned() };
        (model.template.render(&[said], true).unwrap(), model.tokenizer.encode("w5 w95").unwrap())
    };
    let (plain, tokens) = render();
    assert_eq!(
        plain,
        base.template
            .render(&[Message { role: "user".to_owned(), content: "w5".to_owned() }], true)
            .unwrap()
    );
    assert_eq!(tokens, [5, 95]);
    fs::write(adapter.path().join("chat_template.jinja"), "{{ bos_token }}!").unwrap();
    assert_eq!(render().0, "w1!", "its base's tokens, its own template");
    let mut tokenizer: Value = serde_json::from_slice(&bytes("llama/tokenizer.json")).unwrap();
    tokenizer["model"]["vocab"]["w5"] = json!(6);
    tokenizer["model"]["vocab"]["w6"] = json!(5);
    fs::write(adapter.path().join("tokenizer.json"), tokenizer.to_string()).unwrap();
    assert_eq!(render().1, [6, 95]);
    tokenizer["model"]["vocab"]["w200"] = json!(200);
    fs::write(adapter.path().join("tokenizer.json"), tokenizer.to_string()).unwrap();
    insta::assert_snapshot!(refusal(file::load_adapted(adapter.path(), &base), adapter.path()), @"adapter: its tokenizer has 201 ids and its base 96; enlarge the base as it was for training");
}

#[test]
fn a_head_of_its_own_is_used_whatever_the_configuration_says() {
    let folder = folder("qwen2");
    let embedding = model("qwen2").decoder.parameters.tensor("embed.weight").unwrap().to_vec();
    add(folder.path(), "lm_head.weight", &[96, 32], &embedding);
    assert!(file::load(folder.path()).unwrap().decoder.config.tied, "the same numbers are tied");
    let other: Vec<f32> = embedding.iter().map(|value| -value).collect();
    let folder = self::folder("qwen2");
    add(folder.path(), "lm_head.weight", &[96, 32], &other);
    let model = file::load(folder.path()).unwrap();
    assert_eq!(model.decoder.parameters.tensor("head.weight").unwrap(), other);
    let parts = file::parts(&model, Precision::F32).unwrap();
    let [config, weights, tokenizer, small] = FILES.map(|name| parts[name].as_slice());
    assert!(!file::from_parts(config, weights, tokenizer, small).unwrap().decoder.config.tied);
}

#[test]
fn tensors_that_no_part_reads_are_refused() {
    let folder = folder("llama");
    add(folder.path(), "model.layers.0.self_attn.rotary_emb.inv_freq", &[4], &[1.0; 4]);
    assert!(file::load(folder.path()).is_ok(), "a buffer follows from the configuration");
    add(folder.path(), "model.layers.1.self_attn.q_norm.weight", &[8], &[1.0; 8]);
    insta::assert_snapshot!(refusal(file::load(folder.path()), folder.path()), @"tensor `model.layers.1.self_attn.q_norm.weight`: belongs to no part of this model as `config.json` describes it; without it the model would be another");
}

#[test]
fn special_tokens_come_from_all_files() {
    let text = |model: &Model| model.template.render(&[], true).unwrap();
    let template = "{{ pad_token }}|{{ unk_token }}|{{ image_token }}|{{ sep_token }}";
    let folder = folder("llama");
    let at = folder.path();
    change(at, "tokenizer_config.json", |config| {
        config["chat_template"] = json!(template);
        config["pad_token"] = json!({"content": "w7", "special": true});
        config["extra_special_tokens"] = json!({"image_token": "w9"});
    });
    change(at, "special_tokens_map.json", |map| map["unk_token"] = json!("w8"));
    let model = file::load(at).unwrap();
    assert_eq!(text(&model), "w7|w8|w9|");
    for id in [7, 8, 9] {
        assert!(model.tokenizer.is_special(id), "{id}");
    }
    // Saved, it is the same.
    let written = tempfile::tempdir().unwrap();
    file::save(&model, written.path()).unwrap();
    let again = file::load(written.path()).unwrap();
    assert_eq!((text(&again), again.tokenizer.json()), (text(&model), model.tokenizer.json()));
    // With `added_tokens_decoder` the older files are not read, as in Transformers.
    change(at, "tokenizer_config.json", |config| config["added_tokens_decoder"] = json!({}));
    assert_eq!(text(&file::load(at).unwrap()), "w7||w9|");
}

#[test]
fn tokens_outside_tokenizer_json_are_one_id_each() {
    let token = json!({"content": "<tool>", "special": true, "normalized": false});
    // One embedding more than words.
    let enlarged = || {
        let folder = folder("llama");
        change(folder.path(), "tokenizer.json", |tokenizer| {
            tokenizer["model"]["vocab"].as_object_mut().unwrap().remove("w95").unwrap();
        });
        folder
    };
    let folder = enlarged();
    change(folder.path(), "tokenizer_config.json", |c| {
        c["added_tokens_decoder"] = json!({"95": token});
    });
    let model = file::load(folder.path()).unwrap();
    assert_eq!(model.tokenizer.encode("w5<tool>w6").unwrap(), [5, 95, 6]);
    assert!(model.tokenizer.is_special(95));

    let folder = enlarged();
    fs::write(folder.path().join("added_tokens.json"), r#"{"<tool>": 95}"#).unwrap();
    let model = file::load(folder.path()).unwrap();
    assert_eq!(model.tokenizer.encode("w5<tool>w6").unwrap(), [5, 95, 6]);

    let folder = enlarged();
    let refused = |decoder: Value| {
        change(folder.path(), "tokenizer_config.json", |c| c["added_tokens_decoder"] = decoder);
        refusal(file::load(folder.path()), folder.path())
    };
    insta::assert_snapshot!(refused(json!({"94": token})), @"tokenizer: `<tool>` has id 94 in `tokenizer_config.json`, but that is `w94` in `tokenizer.json`");
    insta::assert_snapshot!(refused(json!({"96": token})), @"tokenizer: `<tool>` has id 96 in `tokenizer_config.json`, but the next id is 95");
    insta::assert_snapshot!(refused(json!({"7": {"content": "w5"}})), @"tokenizer: `w5` has id 7 in `tokenizer_config.json` and 5 in `tokenizer.json`");
    let folder = self::folder("llama");
    change(folder.path(), "tokenizer_config.json", |c| {
        c["pad_token"] = json!("[PAD]");
        c["chat_template"] = json!("{{ pad_token }}");
    });
    insta::assert_snapshot!(refusal(file::load(folder.path()), folder.path()), @"tokenizer: `[PAD]` of `tokenizer_config.json` is not in `tokenizer.json`, and the model has no embedding for another token");
}

#[test]
fn templates_are_read_as_jinja_and_python_read_them() {
    let said = Message { role: "user".to_owned(), content: "\u{e9}\u{1F989}\u{7f}".to_owned() };
    let render = |source: &str| {
        Template::new(source).and_then(|t| t.render(std::slice::from_ref(&said), true)).unwrap()
    };
    assert_eq!(render("a\r\nb\rc{{ 'd\r\ne' }}\r\n"), "a\nb\nc{{ x }}".replace("{{ x }}", "d\ne"));
    let json = |options: &str| {
        render(&format!("{{{{ [messages[0].content, {{'b': [], 'a': 1}}] | tojson({options}) }}}}"))
    };
    assert_eq!(json(""), "[\"\u{e9}\u{1F989}\u{7f}\", {\"b\": [], \"a\": 1}]");
    assert_eq!(json("ensure_ascii=False"), json(""));
    assert_eq!(json("ensure_ascii=True"), r#"["\u00e9\ud83e\udd89\u007f", {"b": [], "a": 1}]"#);
    assert_eq!(
        json("separators=(',', ':'), sort_keys=True, ensure_ascii=True"),
        r#"["\u00e9\ud83e\udd89\u007f",{"a":1,"b":[]}]"#
    );
    assert_eq!(
        json("indent=2, ensure_ascii=true"),
        "[\n  \"\\u00e9\\ud83e\\udd89\\u007f\",\n  {\n    \"b\": [],\n    \"a\": 1\n  }\n]"
    );
}

#[test]
fn templates_that_grow_without_end_or_nest_too_deep_are_refused() {
    let loops = |body: &str| {
        format!(
            "{{% set ns = namespace(x='aaaaaaaaaa', l=['a']) %}}{{% for i in range(60) %}}{body}{{% endfor %}}{{{{ ns.x }}}}"
        )
    };
    let long = |one: &str| one.repeat(25_000);
    let sources = [
        loops("{% set ns.x = ns.x ~ ns.x %}"),
        loops("{% set ns.x = ns.x + ns.x %}"),
        loops("{% set ns.x = '' ~ ns.x ~ ns.x %}"),
        loops("{% set ns.x = ns.x * 9 %}"),
        loops("{% set ns.x = 9 * ns.x %}"),
        loops("{% set ns.x = [ns.x, ns.x] | join %}"),
        loops("{% set ns.x = ns.x.replace('a', 'aa') %}"),
        loops("{% set ns.x = ns.x | replace('a', 'aa') %}"),
        loops("{% set ns.x = ''.join([ns.x, ns.x]) %}"),
        loops("{% set y %}{{ ns.x }}{{ ns.x }}{% endset %}{% set ns.x = y %}"),
        loops("{% set ns.x = '%s%s' | format(ns.x, ns.x) %}"),
        loops("{% set ns.l = ns.l + ns.l %}{% set ns.x = ns.l | list %}"),
        loops("{% set ns.x = [ns.x, ns.x] %}"),
        "{% set ns = namespace(x=[]) %}{% for i in range(90000) %}{% set ns.x = [ns.x] %}{% endfor %}".to_owned(),
        "{{ '%1000000000d' | format(1) }}".to_owned(),
        "{{ [1] | batch(1000000000, 'x') | list }}".to_owned(),
        "{% set ns = namespace(l=[]) %}{% for i in range(90000) %}{% set ns.l = ns.l + ['x' * 1000000] %}{% endfor %}".to_owned(),
        format!("{{{{ 1{} }}}}", long(" + 1")),
        format!("{{{{ {}true }}}}", long("not ")),
        format!("{{{{ x{} }}}}", long(".a")),
        format!("{{{{ 'x'{} }}}}", long("|upper")),
        format!("{{{{ 'a'{} }}}}", long(" ~ 'a'")),
        format!("{{% if a %}}{}{{% endif %}}", long("{% elif a %}")),
        format!("{{{{ {}1{} }}}}", "(".repeat(25_000), ")".repeat(25_000)),
    ];
    for source in sources {
        let rendered = Template::new(&source).and_then(|template| template.render(&[], true));
        let error =
            rendered.err().unwrap_or_else(|| panic!("{}", &source[..source.len().min(200)]));
        assert!(error.to_string().starts_with("chat template: "), "{error}");
    }
}

#[test]
fn what_templates_do_with_values_stays_what_it_was() {
    let render = |source: &str| Template::new(source).and_then(|t| t.render(&[], true)).unwrap();
    for (source, expected) in [
        ("{{ 'a' ~ 1 ~ ['b'] | join ~ 'c' }}", "a1bc"),
        (
            "{{ 2 * 3 + 4 }} {{ '-' * 3 ~ '>' }} {{ 2 ** 3 }} {{ 1000000 * 1000000 * 10 }}",
            "10 ---> 8 10000000000000",
        ),
        ("{{ {'a': {'b': [1, 2]}}['a']['b'][1:] | length }}", "1"),
        ("{{ [1, 2, 3][::-1] | first + 1 }}{{ (1, 2)[0] }}", "41"),
        (
            "{% set x = 'a' if true else 'b' %}{{ x if x is string and x ~ '' == 'a' else 'no' }}",
            "a",
        ),
        ("{% for a, b in {'k': 'v'}.items() %}{{ a + '=' + b }}{% endfor %}", "k=v"),
        (
            "{% macro m(x, y='z') %}<{{ x ~ y }}>{% endmacro %}{{ m('a') + m('b', y='c') }}",
            "<az><bc>",
        ),
        ("{%- set text %}a{{ 'b' }}{% endset -%}  {{ text | trim | upper }}", "AB"),
        ("{% raw %}{{ a ~ b }}{% endraw %}{# a ~ b #}{{ '}}' ~ \"%}\" }}", "{{ a ~ b }}}}%}"),
        ("{{ -1 + 2 }}{{ 1.5 * 2 }}{{ 'yes' if 'x' in 'xy' and not ('z' in 'xy') }}", "13.0yes"),
    ] {
        assert_eq!(render(source), expected, "{source}");
    }
    let words = "word ".repeat(100);
    assert_eq!(render(&format!("{words}{{% if true %}}\n  {{% endif %}}{words}")), words.repeat(2));
}

#[test]
fn what_is_no_regular_file_is_refused_at_once() {
    let folder = folder("llama");
    let at = |name: &str| folder.path().join(name);
    for name in ["config.json", "model.safetensors", "tokenizer.json"] {
        let kept = fs::read(at(name)).unwrap();
        fs::remove_file(at(name)).unwrap();
        #[cfg(unix)]
        std::os::unix::fs::symlink("/dev/zero", at(name)).unwrap();
        let error = refusal(file::load(folder.path()), folder.path());
        assert!(
            error.contains("it is a folder, pipe or device, expected a regular file"),
            "{error}"
        );
        fs::remove_file(at(name)).unwrap();
        fs::write(at(name), b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
            .unwrap();
        let error = refusal(file::load(folder.path()), folder.path());
        assert!(error.contains("it is a Git LFS pointer"), "{error}");
        fs::write(at(name), kept).unwrap();
    }
    let holes = fs::File::create(at("tokenizer.json")).unwrap();
    holes.set_len(1 << 36).unwrap();
    insta::assert_snapshot!(refusal(file::load(folder.path()), folder.path()), @"`FOLDER/tokenizer.json` is not a usable file: most of it was never written; fetch it again");
}

#[test]
fn a_list_of_words_names_the_word_it_has_not() {
    let words: Vec<String> = ["<end>", "owl", "cat"].map(str::to_owned).to_vec();
    let tokenizer = Tokenizer::words(&words, &words[..1], &words[..1]).unwrap();
    insta::assert_snapshot!(tokenizer.encode("owl dog<end> bat dog").unwrap_err(), @"tokenizer: this model knows no word `bat`, `dog`; it knows `owl`, `cat`");
}

#[test]
fn settings_that_change_nothing_are_read() {
    let loaded = |family: &str, edit: &dyn Fn(&mut Value)| {
        let folder = folder(family);
        change(folder.path(), "config.json", edit);
        file::load(folder.path())
    };
    let same = |family: &str, edit: &dyn Fn(&mut Value)| {
        let model = loaded(family, edit).unwrap();
        assert_eq!(model.decoder.config, self::model(family).decoder.config);
        assert_eq!(model.tokenizer.end_tokens(), [2]);
    };
    same("llama", &|config| config["eos_token_id"] = json!(-1));
    same("llama", &|config| config["eos_token_id"] = json!([-1, 2]));
    for kind in ["linear", "dynamic", "yarn"] {
        same("qwen2", &|config| {
            config["rope_parameters"]["rope_type"] = json!(kind);
            config["rope_parameters"]["factor"] = json!(1.0);
        });
    }
    same("qwen2", &|config| {
        config["use_sliding_window"] = json!(true);
        config["sliding_window"] = json!(64);
    });
    for window in [json!(null), json!(64)] {
        same("llama", &|config| {
            config["model_type"] = json!("mistral");
            config["sliding_window"] = window.clone();
        });
    }
    same("gpt2", &|config| {
        for (own, common) in [
            ("n_embd", "hidden_size"),
            ("n_layer", "num_hidden_layers"),
            ("n_head", "num_attention_heads"),
            ("n_positions", "max_position_embeddings"),
        ] {
            config[common] = config.as_object_mut().unwrap().remove(own).unwrap();
        }
        config["activation_function"] = json!("gelu_accurate");
    });
    let refused = |edit: &dyn Fn(&mut Value)| loaded("llama", edit).unwrap_err().to_string();
    let window = refused(&|config| {
        config["model_type"] = json!("mistral");
        config["sliding_window"] = json!(63);
    });
    assert!(
        window.ends_with("rotary scaling of layers with a `sliding_window` is not supported"),
        "{window}"
    );
    let scaled = refused(&|config| {
        config["rope_parameters"] = json!({"rope_type": "linear", "factor": 2.0});
    });
    assert!(scaled.contains("rotary scaling `linear` is not supported"), "{scaled}");
}
