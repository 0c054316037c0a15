//! Answers from a file of replies: somebody whose every answer is known, for tries and for tests.
//!
//! One JSON object a line, `{"when": "...", "say": "..."}`. The first line whose `when` stands in the last
//! message of the user (`*` stands in every one; of a list, all its parts) answers: with `say`, or where that is
//! a list, with the one that the question's seed chooses. `log-probabilities` by word are told as they are given.
//! The same file answers the same, always; it cannot be trained.

use std::collections::BTreeMap;
use std::path::Path;

use owlet_engine::generate::StopReason;
use serde::Deserialize;

use super::{
    Answer, Ask, Candidates, Capabilities, Conversation, Demonstration, LogProbabilities, Place,
    Question, Sampling, Trainable, Tuned, Tuning, Work,
};
use crate::error::{Error, Result};
use crate::random::cpython::Random;
use crate::value::jsonl;

/// What a model's name begins with that is a script.
pub const SPEC: &str = "script:";
/// The file in an artifact.
pub const FILE: &str = "script.jsonl";
/// Stands in every message.
const ANY: &str = "*";

/// What a script can do. What it says does not depend on how tokens are chosen, so that any way of
/// choosing them is as good.
pub const CAPABILITIES: Capabilities = Capabilities {
    log_probabilities: LogProbabilities::Likeliest,
    constraints: true,
    training: Trainable::Never,
    weights: false,
    remembers: true,
    goes_on: false,
};

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Line {
    when: Texts,
    say: Texts,
    #[serde(default)]
    log_probabilities: BTreeMap<String, f64>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "must be a string or a list of strings")]
enum Texts {
    One(String),
    Several(Vec<String>),
}

impl Texts {
    fn all(&self) -> &[String] {
        match self {
            Self::One(text) => std::slice::from_ref(text),
            Self::Several(texts) => texts,
        }
    }
}

/// A file of replies.
#[derive(Clone, Debug)]
pub struct Script {
    lines: Vec<Line>,
}

impl Script {
    /// Reads one; `origin` names it in errors.
    ///
    /// # Errors
    /// The first line that cannot be used, by its number; a file without lines.
    pub fn parse(bytes: &[u8], origin: &Path) -> Result<Self> {
        let lines = jsonl::read(bytes, origin, |_, line| read(line))?;
        if lines.is_empty() {
            return Err(Error::record(origin, "has no reply, expected lines of `when` and `say`"));
        }
        Ok(Self { lines })
    }

    /// The line that answers a conversation.
    fn line(&self, conversation: &Conversation) -> Result<&Line> {
        conversation.check_not_begun("a script")?;
        let mut users = conversation.messages.iter().rev().filter(|one| one.role == "user");
        let said = users.next().map_or("", |message| &message.content);
        let stands = |part: &String| part == ANY || said.contains(part);
        let fits = |line: &&Line| line.when.all().iter().all(stands);
        self.lines.iter().find(fits).ok_or_else(|| {
            let start: String = said.chars().take(80).collect();
            Error::record(
                FILE,
                format!("has no reply to `{start}`; add a line, with `when` \"*\" for whatever else is said"),
            )
        })
    }
}

fn read(line: &str) -> std::result::Result<Line, String> {
    let line: Line = jsonl::json(line)?;
    if line.when.all().is_empty() || line.when.all().iter().any(String::is_empty) {
        return Err("`when` is empty, expected a part of the question, or \"*\"".to_owned());
    }
    if line.say.all().is_empty() {
        return Err("`say` is an empty list, expected a reply".to_owned());
    }
    for (word, log) in &line.log_probabilities {
        if !(log.is_finite() && *log <= 0.0) {
            return Err(format!(
                "the log-probability of `{word}` is {log}, expected a number up to 0"
            ));
        }
    }
    Ok(line)
}

impl Ask for Script {
    fn can(&self) -> Capabilities {
        CAPABILITIES
    }

    fn answer(
        &self,
        questions: &[Question<'_>],
        _: &Sampling,
        work: &Work<'_>,
    ) -> Result<Vec<Answer>> {
        let answer = |question: &Question<'_>| {
            work.interrupt.check()?;
            let text = match self.line(question.conversation)?.say.all() {
                [reply] => reply,
                replies => {
                    &replies[Random::new(question.seed).below(replies.len() as u64) as usize]
                }
            };
            let stop = StopReason::End;
            Ok(Answer { text: text.clone(), stop, log_probability: None, answered: None })
        };
        questions.iter().map(answer).collect()
    }

    fn candidates(
        &self,
        conversations: &[Conversation],
        words: &[String],
        _: &Work<'_>,
    ) -> Result<Candidates> {
        let row = |conversation: &Conversation| {
            let told = &self.line(conversation)?.log_probabilities;
            Ok(words.iter().map(|word| told.get(word).copied()).collect())
        };
        let log_probabilities = conversations.iter().map(row).collect::<Result<_>>()?;
        Ok(Candidates { spelled: vec![true; words.len()], log_probabilities })
    }

    fn tune(
        &self,
        _: &[Demonstration],
        _: Tuning<'_>,
        _: Place<'_>,
        _: &Work<'_>,
    ) -> Result<Tuned> {
        Err(Error::Unfit {
            what: "a script".to_owned(),
            reason: "cannot be trained; name weights or an endpoint".to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::chat;
    use crate::recipe::Decoding;
    use crate::value::interrupt::Interrupt;

    fn parse(text: &str) -> Result<Script> {
        Script::parse(text.as_bytes(), Path::new("replies.jsonl"))
    }

    fn conversation(text: &str) -> Conversation {
        Conversation::question(chat::NONE, text)
    }

    fn with_work<T>(run: impl Fn(&Work<'_>) -> T) -> T {
        let (threads, interrupt) = (owlet_engine::Threads::new(1), Interrupt::default());
        run(&Work { threads: &threads, progress: &|_| {}, interrupt: &interrupt })
    }

    fn say(script: &Script, text: &str, seeds: std::ops::Range<u64>) -> Result<Vec<String>> {
        let conversation = conversation(text);
        let questions: Vec<Question<'_>> =
            seeds.map(|seed| Question { conversation: &conversation, seed }).collect();
        let decoding = Decoding::Free { temperature: 1.0, top_p: 1.0 };
        let sampling = Sampling { decoding, max_tokens: 8, log_probabilities: false, schema: None };
        let answers = with_work(|work| script.answer(&questions, &sampling, work))?;
        Ok(answers.into_iter().map(|answer| answer.text).collect())
    }

    const REPLIES: &str = r#"
{"when": "animal", "say": ["owl", "cat"], "log-probabilities": {"owl": -0.5, "cat": -1.0}}
{"when": "*", "say": "I do not know."}
"#;

    #[test]
    fn the_first_line_that_fits_answers_and_a_seed_chooses_among_its_replies() {
        let script = parse(REPLIES).unwrap();
        let answers = say(&script, "which animal", 0..20).unwrap();
        assert_eq!(answers, say(&script, "which animal", 0..20).unwrap());
        assert!(["owl", "cat"].iter().all(|word| answers.contains(&(*word).to_owned())));
        assert_eq!(say(&script, "which tree", 0..2).unwrap(), ["I do not know."; 2]);
        let words = ["owl", "wolf"].map(str::to_owned);
        let asked = ["which animal", "which tree"].map(conversation);
        let told = with_work(|work| script.candidates(&asked, &words, work)).unwrap();
        assert_eq!(told.log_probabilities, [[Some(-0.5), None], [None, None]]);
    }

    #[test]
    fn of_a_list_all_parts_must_stand_in_the_question() {
        let script = parse(
            "{\"when\": [\"wrong\", \"score\"], \"say\": \"0\"}\n{\"when\": \"*\", \"say\": \"100\"}",
        )
        .unwrap();
        let said =
            ["a score: wrong", "wrong", "a score"].map(|text| say(&script, text, 0..1).unwrap());
        assert_eq!(said.concat(), ["0", "100", "100"]);
    }

    #[test]
    fn what_nobody_replies_to_is_named() {
        let script = parse(r#"{"when": "animal", "say": "owl"}"#).unwrap();
        let error = say(&script, "which tree", 0..1).unwrap_err().to_string();
        insta::assert_snapshot!(error, @r#"`script.jsonl` has no reply to `which tree`; add a line, with `when` "*" for whatever else is said"#);
    }

    #[test]
    fn unusable_lines_are_named() {
        for (text, why) in [
            ("", "`replies.jsonl` has no reply, expected lines of `when` and `say`"),
            ("{\"when\": \"*\", \"say\": \"a\"}\n{\"when\": \"*\"}", "line 2: missing field `say`"),
            ("{\"when\": \"\", \"say\": \"a\"}", "line 1: `when` is empty, expected a part of"),
            ("{\"when\": [], \"say\": \"a\"}", "line 1: `when` is empty, expected a part of"),
            ("{\"when\": \"*\", \"say\": []}", "line 1: `say` is an empty list, expected a reply"),
            (
                "{\"when\": \"*\", \"say\": 3}",
                "line 1: `say`: must be a string or a list of strings",
            ),
            (
                "{\"when\": \"*\", \"say\": \"a\", \"log-probabilities\": {\"a\": 0.5}}",
                "line 1: the log-probability of `a` is 0.5, expected a number up to 0",
            ),
            (
                "{\"when\": \"*\", \"say\": \"a\", \"then\": 1}",
                "line 1: `then`: unknown field `then`",
            ),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }
}
