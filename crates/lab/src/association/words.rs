//! Texts as words: runs of letters and digits, and runs of other signs, in lower case.

/// Most words that are looked at at each end of a text: what stands between is not.
const EACH_END: usize = 128;
/// Most words at each end of all texts together: what bounds memory.
const ALL: usize = 4_000_000;

/// Words that are looked at at each end of each of so many texts.
pub(super) fn each_end(texts: usize) -> usize {
    EACH_END.min(ALL / texts.max(1)).max(1)
}

/// Part of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: usize,
    pub(super) end: usize,
}

/// The words of `text` as places in it, at most `each_end` from each end.
pub(super) fn spans(text: &str, each_end: usize) -> Vec<Span> {
    let mut found: Vec<Span> = Vec::new();
    let mut open: Option<(usize, bool)> = None;
    for (at, sign) in text.char_indices() {
        let is_word = (!sign.is_whitespace()).then(|| sign.is_alphanumeric());
        if let Some((start, before)) = open
            && Some(before) != is_word
        {
            found.push(Span { start, end: at });
            open = None;
        }
        if let (Some(is_word), None) = (is_word, open) {
            open = Some((at, is_word));
        }
    }
    if let Some((start, _)) = open {
        found.push(Span { start, end: text.len() });
    }
    if found.len() > 2 * each_end {
        found.drain(each_end..found.len() - each_end);
    }
    found
}

/// The words of `text`, as they are compared.
pub(super) fn words(text: &str, each_end: usize) -> Vec<String> {
    spans(text, each_end)
        .into_iter()
        .map(|span| text[span.start..span.end].to_lowercase())
        .collect()
}

/// Whether a word is written in capitals alone, and is long enough for that to be a choice.
pub(super) fn shouts(word: &str) -> bool {
    word.chars().nth(1).is_some() && word.chars().all(char::is_uppercase)
}

/// The language that a text's commonest words are of; none where they are of no known one, or too few.
pub(super) fn language(words: &[String]) -> Option<&'static str> {
    const FEWEST: usize = 3;
    let count = |known: &[&str]| words.iter().filter(|word| known.contains(&word.as_str())).count();
    let (name, most) = LANGUAGES
        .iter()
        .map(|(name, known)| (*name, count(known)))
        .max_by_key(|(_, count)| *count)?;
    let second = LANGUAGES.iter().filter(|(one, _)| *one != name).map(|(_, known)| count(known));
    (most >= FEWEST && most > 2 * second.max().unwrap_or(0)).then_some(name)
}

/// Words that stand in nearly every text of a language and seldom in one of another.
const LANGUAGES: [(&str, &[&str]); 7] = [
    (
        "English",
        &["the", "and", "is", "of", "to", "that", "it", "with", "you", "are", "this", "for"],
    ),
    (
        "German",
        &["der", "die", "und", "ist", "nicht", "das", "ich", "zu", "mit", "ein", "eine", "sie"],
    ),
    (
        "French",
        &["le", "les", "et", "est", "une", "pas", "vous", "je", "des", "dans", "pour", "sont"],
    ),
    (
        "Spanish",
        &["el", "los", "y", "es", "una", "no", "por", "las", "con", "para", "pero", "está"],
    ),
    (
        "Italian",
        &["il", "di", "è", "che", "non", "per", "una", "sono", "della", "questo", "anche", "gli"],
    ),
    (
        "Portuguese",
        &["o", "não", "uma", "você", "com", "para", "os", "isso", "mais", "são", "ao", "em"],
    ),
    (
        "Dutch",
        &["het", "een", "niet", "ik", "van", "je", "dat", "zijn", "voor", "ook", "maar", "wat"],
    ),
];

/// The script that most letters of a text are of, where it is not Latin; none where it is, or there are few letters.
pub(super) fn script(text: &str) -> Option<&'static str> {
    const SEEN: usize = 2_000;
    let mut counts = [0_usize; SCRIPTS.len()];
    let mut letters = 0;
    for sign in text.chars().take(SEEN).filter(|sign| sign.is_alphabetic()) {
        letters += 1;
        let of = |(_, ranges): &(&str, &[(u32, u32)])| {
            ranges.iter().any(|(low, high)| (*low..=*high).contains(&u32::from(sign)))
        };
        if let Some(at) = SCRIPTS.iter().position(of) {
            counts[at] += 1;
        }
    }
    let at = (0..SCRIPTS.len()).max_by_key(|&at| counts[at])?;
    (counts[at] >= 2 && 2 * counts[at] >= letters).then_some(SCRIPTS[at].0)
}

const SCRIPTS: [(&str, &[(u32, u32)]); 9] = [
    ("Greek", &[(0x370, 0x3ff)]),
    ("Cyrillic", &[(0x400, 0x52f)]),
    ("Hebrew", &[(0x590, 0x5ff)]),
    ("Arabic", &[(0x600, 0x6ff), (0x750, 0x77f)]),
    ("Devanagari", &[(0x900, 0x97f)]),
    ("Thai", &[(0xe00, 0xe7f)]),
    ("Japanese", &[(0x3040, 0x30ff)]),
    ("Hangul", &[(0x1100, 0x11ff), (0xac00, 0xd7af)]),
    ("Han", &[(0x3400, 0x4dbf), (0x4e00, 0x9fff), (0x20000, 0x2a6df)]),
];
