//! Rows read one by one are the rows of the loaded model, in every format and family.

use std::fs;
use std::path::Path;

use insta::assert_snapshot;
use owlet_engine::Model;
use owlet_engine::file::{self, Weights};

use crate::tiny::{FAMILIES, model, path};

/// Some rows of every tensor, last before first.
fn same_rows(weights: &mut Weights, model: &Model, what: &str) {
    assert_eq!(weights.config(), &model.decoder.config, "{what}");
    for span in model.decoder.parameters.layout.spans() {
        let whole = model.decoder.parameters.tensor(&span.name).unwrap();
        let columns = span.shape.get(1).copied().unwrap_or(1);
        let rows = [span.shape[0] - 1, 0, 1, 2, span.shape[0] / 2];
        let expected: Vec<f32> =
            rows.iter().flat_map(|row| &whole[row * columns..][..columns]).copied().collect();
        assert_eq!(weights.shape(&span.name), Some(&*span.shape));
        assert_eq!(weights.rows(&span.name, &rows).unwrap(), expected, "{what} {}", span.name);
    }
}

#[test]
fn rows_are_those_of_the_loaded_model() {
    for family in FAMILIES {
        let folder = path(family);
        same_rows(&mut Weights::open(&folder).unwrap(), &model(family), family);
        let packed = path(&format!("gguf/{family}.gguf"));
        same_rows(&mut Weights::open(&packed).unwrap(), &file::load(&packed).unwrap(), family);
    }
}

#[test]
fn rows_under_an_adapter_are_those_of_the_merged_model() {
    for family in FAMILIES {
        let adapter = path(&format!("{family}/adapter"));
        if !adapter.exists() {
            continue;
        }
        let base = model(family);
        let merged = tempfile::tempdir().unwrap();
        file::save(&file::load_adapted(&adapter, &base).unwrap(), merged.path()).unwrap();
        let mut weights = Weights::open(&path(family)).unwrap().with_adapter(&adapter).unwrap();
        let merged = file::load(merged.path()).unwrap();
        let rows = [3, 0];
        for span in merged.decoder.parameters.layout.spans() {
            let whole = merged.decoder.parameters.tensor(&span.name).unwrap();
            let columns = span.shape.get(1).copied().unwrap_or(1);
            let expected: Vec<f32> =
                rows.iter().flat_map(|row| &whole[row * columns..][..columns]).copied().collect();
            assert_eq!(
                weights.rows(&span.name, &rows).unwrap(),
                expected,
                "{family} {}",
                span.name
            );
        }
    }
}

#[test]
fn the_same_bytes_are_the_same_wherever_they_lie() {
    let folder = tempfile::tempdir().unwrap();
    let llama = model("llama");
    file::save(&llama, folder.path()).unwrap();
    let mut again = Weights::open(folder.path()).unwrap();
    let mut other = Weights::open(folder.path()).unwrap();
    assert_eq!(again.same_bytes(&mut other, "layers.0.up.weight").unwrap(), Some(true));
    let packed = path("gguf/llama.gguf");
    let mut packed = Weights::open(&packed).unwrap();
    let stored = packed.storage("layers.0.up.weight").unwrap().0;
    let expected = if stored == "F32" { Some(false) } else { None };
    assert_eq!(again.same_bytes(&mut packed, "layers.0.up.weight").unwrap(), expected, "{stored}");
    let adapted = Weights::open(folder.path()).unwrap();
    let mut adapted = adapted.with_adapter(&path("llama/adapter")).unwrap();
    assert_eq!(again.same_bytes(&mut adapted, "layers.0.q.weight").unwrap(), None);
    assert_eq!(again.same_bytes(&mut adapted, "embed.weight").unwrap(), Some(true));
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_file() {
            fs::copy(&entry, to.join(entry.file_name().unwrap())).unwrap();
        }
    }
}

fn refused(folder: &Path) -> String {
    let error = Weights::open(folder).err().map_or("opened".to_owned(), |error| error.to_string());
    error.replace(&folder.display().to_string(), "FOLDER")
}

#[test]
fn what_is_not_there_in_full_is_named() {
    let folder = tempfile::tempdir().unwrap();
    copy(&path("llama"), folder.path());
    let weights = folder.path().join("model.safetensors");
    let bytes = fs::read(&weights).unwrap();
    fs::write(&weights, &bytes[..bytes.len() - 100]).unwrap();
    assert_snapshot!(refused(folder.path()), @r#"`FOLDER/model.safetensors` is not a usable safetensors file: its tensors take 86656 bytes, but 86556 follow the header; the file is cut off or damaged"#);
    fs::remove_file(&weights).unwrap();
    assert_snapshot!(refused(folder.path()), @r#"`FOLDER` is not a usable model folder: neither `model.safetensors` nor `model.safetensors.index.json` is there; other weight formats are not read"#);
    let index = r#"{"weight_map": {"model.embed_tokens.weight": "one.safetensors"}}"#;
    fs::write(folder.path().join("model.safetensors.index.json"), index).unwrap();
    assert_snapshot!(refused(folder.path()), @r#"cannot read `FOLDER/one.safetensors`: No such file or directory (os error 2)"#);
    let mut whole = Weights::open(&path("llama")).unwrap();
    assert_snapshot!(whole.rows("layers.0.up.weight", &[99_999]).unwrap_err(), @r#"tensor `layers.0.up.weight`: has 48 rows, no row 99999"#);
    assert_snapshot!(whole.rows("layers.77.up.weight", &[0]).unwrap_err(), @r#"tensor `layers.77.up.weight`: is no part of this model"#);
    let other = Weights::open(&path("gpt2")).unwrap().with_adapter(&path("llama/adapter"));
    assert_snapshot!(other.err().unwrap(), @r#"adapter: it is more than low-rank updates of this model's layers (`base_model.model.model.layers.0.mlp.down_proj.lora_A.weight`); merge it into its base, or check that this is its base"#);
}
