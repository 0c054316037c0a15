use super::*;

fn strings(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

fn small() -> Tokenizer {
    Tokenizer::words(
        &strings(&["<end>", "<user>", "owl", "7", "42", "?"]),
        &strings(&["<end>", "<user>"]),
        &strings(&["<end>"]),
    )
    .unwrap()
}

#[test]
fn words_round_trip_and_special_words_are_left_out() {
    let tokenizer = small();
    let tokens = tokenizer.encode("<user> owl 7\n42 ?<end>").unwrap();
    assert_eq!(tokens, [1, 2, 3, 4, 5, 0]);
    assert_eq!(tokenizer.decode(&tokens).unwrap(), "owl 7 42 ?");
    assert_eq!(tokenizer.end_tokens(), [0]);
    assert_eq!(tokenizer.vocabulary(), 6);
    assert!(tokenizer.is_special(1) && !tokenizer.is_special(2));
    assert_eq!(tokenizer.begin_token(), None);
}

#[test]
fn pieces_concatenate_to_the_decoded_text() {
    let tokenizer = small();
    let mut bytes = tokenizer.first_token_bytes(2).unwrap();
    for token in [3, 4] {
        bytes.extend(tokenizer.token_bytes(token).unwrap());
    }
    assert_eq!(bytes, tokenizer.decode(&[2, 3, 4]).unwrap().into_bytes());
    assert_eq!(tokenizer.token_bytes(0), None);
    assert_eq!(tokenizer.token_bytes(99), None);
}

#[test]
fn the_json_makes_the_same_tokenizer_again() {
    let tokenizer = small();
    let again = Tokenizer::from_json(tokenizer.json()).unwrap();
    assert_eq!(again.json(), tokenizer.json());
    assert_eq!(again.encode("owl 42").unwrap(), [2, 4]);
}

#[test]
fn bad_vocabularies_are_refused_by_name() {
    let error = |words: &[&str], special: &[&str]| {
        Tokenizer::words(&strings(words), &strings(special), &[]).unwrap_err().to_string()
    };
    insta::assert_snapshot!(error(&["a", "a"], &[]), @"tokenizer: word `a` is in the vocabulary twice");
    insta::assert_snapshot!(error(&["a b"], &[]), @"tokenizer: word 0 `a b` is empty or contains white space");
    insta::assert_snapshot!(error(&["a"], &["b"]), @"tokenizer: special word `b` is not in the vocabulary");
    insta::assert_snapshot!(error(&[], &[]), @"tokenizer: the vocabulary is empty");
    insta::assert_snapshot!(small().encode("owl cat").unwrap_err(), @"tokenizer: this model knows no word `cat`; it knows `owl`, `7`, `42`, `?`");
}

#[test]
fn a_decoder_that_does_not_go_token_by_token_is_noticed() {
    let held = |pre_tokenizer: &str, decoder: &str| {
        let json = format!(
            r###"{{"pre_tokenizer":{pre_tokenizer},"decoder":{decoder},"model":{{"type":"BPE","vocab":{{"a":0,"▁a":1,"##a":2,".":3}},"merges":[]}}}}"###
        );
        Tokenizer::from_json(json.as_bytes()).unwrap().check_pieces("pattern")
    };
    let metaspace =
        r#"{"type":"Metaspace","replacement":"▁","prepend_scheme":"always","split":true}"#;
    let pieces = r#"{"type":"CTC","pad_token":"<pad>","word_delimiter_token":"|","cleanup":true}"#;
    insta::assert_snapshot!(held(metaspace, "null").unwrap_err(), @"`pattern` cannot be held with this tokenizer: its decoder does not give a text token by token (`tokenizer.json` has no decoder for its pre-tokenizer, or one that joins)");
    assert!(held("null", pieces).is_err());
    for (pre_tokenizer, decoder) in [
        (metaspace, metaspace),
        ("null", r#"{"type":"Fuse"}"#),
        (
            "null",
            r#"{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":true}"#,
        ),
    ] {
        held(pre_tokenizer, decoder).unwrap();
    }
}

#[test]
fn random_encoding_is_refused() {
    let json = br#"{"model":{"type":"BPE","dropout":0.1,"vocab":{"a":0},"merges":[]}}"#;
    insta::assert_snapshot!(Tokenizer::from_json(json).unwrap_err(), @"tokenizer: `model.dropout` is set, which makes encoding random; set it to null");
}
