//! A run as a log of Inspect AI (`.eval`, format version 2), for `inspect view` and Inspect Scout.
//!
//! Every question put to every model of the run is a sample, every sampled answer an epoch of it,
//! with what it amounts to as a score, the target's log-probability and that of each token of the answer
//! in the metadata, where they are known. What answered behind an endpoint was asked for words alone;
//! the log says so. The log is computed from artifacts and says when they were made, so the same run
//! gives the same files. The format is that of <https://inspect.aisi.org.uk/eval-logs.html>.

mod asking;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use owlet_engine::Threads;
use owlet_engine::generate::StopReason;
use owlet_store::{Artifact, ArtifactId, StepRecord, Store};

use crate::error::{Error, Result};
use crate::kind::RESULT;
use crate::kind::inherit::old_readout::{self, ModelReadout, QuestionReading, Reading};
use crate::kind::inherit::result::InheritResult;
use crate::model::ModelCache;
use crate::model::answer::{self, GivenAnswer, TokenScores};
use crate::model::chat;
use crate::run::record::Record;
use crate::scorer::outcome::{Outcome, OutcomeReader};
use crate::step::behavior::{self, Asked};
use crate::step::readout::Prefixes;
use crate::value::observation::{Frame, Given, Observation};
use asking::{Asking, input};

/// The version of the log's format.
const FORMAT: u32 = 2;
/// The scores of a sample: what the answer amounts to, and the target's share.
const OUTCOME: &str = "outcome";
const SHARE: &str = "share";
/// Each with what is made of it.
const SCORES: [(&str, &str); 2] = [(OUTCOME, "accuracy"), (SHARE, "mean")];

/// An answer as the log tells it.
struct AnswerLine {
    behavior: String,
    context: String,
    prefix: bool,
    question: usize,
    answer: String,
    stop: StopReason,
}

impl AnswerLine {
    /// The answer of an observation, to a question of one of `asked`.
    fn of(observation: Observation, asked: &[Asked]) -> Option<Self> {
        let Given::Answer { behavior, text, stop, .. } = observation.given else { return None };
        let own = asked.iter().find(|asked| asked.behavior.name == behavior)?;
        let question = own.questions.iter().position(|known| *known == observation.question)?;
        Some(Self {
            behavior,
            context: observation.context,
            prefix: observation.frame == Frame::AfterNumbers,
            question,
            answer: text,
            stop,
        })
    }
}

/// An answer with its tokens' log-probabilities, where they could be had.
struct Answered<'a> {
    line: &'a AnswerLine,
    scores: Option<&'a TokenScores>,
}

/// JSON has no infinity.
fn finite(log_probability: f32) -> f32 {
    log_probability.max(-9999.0)
}

impl Scoring<'_> {
    /// Scores of answers by their places, each under the context it was given in.
    fn scores(
        &self,
        artifact: &Artifact,
        lines: &[AnswerLine],
        texts: &[Option<String>],
    ) -> BTreeMap<usize, TokenScores> {
        let mut found = BTreeMap::new();
        if lines.is_empty() {
            return found;
        }
        let Ok(model) = self.models.load(artifact) else { return found };
        let mut contexts: BTreeMap<&str, (Vec<usize>, Vec<GivenAnswer<'_>>)> = BTreeMap::new();
        for (at, (line, text)) in lines.iter().zip(texts).enumerate() {
            let Some(question) = text else { continue };
            let ended = line.stop == StopReason::End;
            let (places, answers) = contexts.entry(&line.context).or_default();
            places.push(at);
            answers.push(GivenAnswer { question, text: &line.answer, ended });
        }
        for (context, (places, answers)) in contexts {
            if let Ok(scores) = answer::scores(&model, context, &answers, self.threads) {
                found.extend(places.into_iter().zip(scores));
            }
        }
        found
    }
}

/// A file of the log: its name and content.
pub type LogFile = (String, Vec<u8>);

/// What answers are scored with, token by token.
#[derive(Clone, Copy)]
pub struct Scoring<'a> {
    /// Where the run's models come from.
    pub models: &'a ModelCache,
    /// The threads the engine may use.
    pub threads: &'a Threads,
}

/// The files of a finished run's log, to be put into a zip archive in this order. A model whose files
/// are not at hand leaves its answers without log-probabilities.
///
/// # Errors
/// Those of reading the run's artifacts; a run without a result has no log.
pub fn log(store: &Store, run: &Record, scoring: &Scoring<'_>) -> Result<Vec<LogFile>> {
    let result = run.result()?;
    let result: &InheritResult = result.need(&run.path().join(RESULT))?;
    let header = run.header()?;
    let made: BTreeMap<ArtifactId, StepRecord> =
        store.steps()?.into_iter().map(|record| (record.output, record)).collect();
    let mut log = Log {
        model: format!("owlet/{}", result.base),
        run: run.id().to_string(),
        started: header.started.clone(),
        ended: header.started.clone(),
        samples: Vec::new(),
        left_out: BTreeSet::new(),
    };
    for step in run.steps()?.steps {
        let Some(record) = step.artifact.and_then(|artifact| made.get(&artifact)) else { continue };
        if let Some(asking) = Asking::of(store, &step.name, record)? {
            log.read(store, &step.name, record, &asking, scoring)?;
        }
    }
    log.files(&header.version, result)
}

struct Log {
    model: String,
    run: String,
    started: String,
    ended: String,
    samples: Vec<Value>,
    /// What somebody would look for in vain, and why.
    left_out: BTreeSet<String>,
}

/// What is known of a question beside the answers to it.
struct Question<'a> {
    step: &'a str,
    record: &'a StepRecord,
    asking: &'a Asking,
    asked: &'a Asked,
    context: &'a str,
    prefix: bool,
    /// Which draw of rows stood before it, where there were any.
    draw: Option<usize>,
    number: usize,
    text: String,
    reading: Option<&'a QuestionReading>,
}

impl Log {
    /// Adds the samples of one readout.
    fn read(
        &mut self,
        store: &Store,
        step: &str,
        record: &StepRecord,
        asking: &Asking,
        scoring: &Scoring<'_>,
    ) -> Result<()> {
        let artifact = store.artifact(&record.output)?;
        let asked = asking
            .behaviors
            .iter()
            .map(|name| {
                behavior::read(&input(store, step, record, &format!("{}{name}", behavior::READ))?)
            })
            .collect::<Result<Vec<Asked>>>()?;
        let observations = old_readout::observations(&artifact)?;
        let read = ModelReadout::of(&observations, &asked);
        // Where rows were shown, each draw was read; its answers say what they do.
        let last = read.checkpoints.last().filter(|_| asking.draws.is_empty());
        let lines: Vec<AnswerLine> =
            observations.into_iter().filter_map(|one| AnswerLine::of(one, &asked)).collect();
        // A teacher under its own prompt is read in that, which the configuration does not name; of a
        // model behind an endpoint there may be answers alone.
        let readings = last.map_or(&[][..], |last| &last.readings);
        let contexts: BTreeSet<&str> = readings
            .iter()
            .map(|reading| reading.context.as_str())
            .chain(lines.iter().map(|line| line.context.as_str()))
            .collect();
        let behaviors: Vec<_> =
            asked.iter().map(|asked| (&asked.behavior, asked.questions.as_slice())).collect();
        let sentences = Prefixes::new(&asking.prefixes, &behaviors);
        let texts: Vec<Option<String>> = lines
            .iter()
            .map(|line| {
                let asked = asked.iter().find(|asked| asked.behavior.name == line.behavior)?;
                let text = asked.questions.get(line.question)?;
                Some(if line.prefix { sentences.before(text) } else { text.clone() })
            })
            .collect();
        let scores = match &asking.remote {
            Some(_) => BTreeMap::new(),
            // Its files may be gone.
            None => input(store, step, record, asking.role)
                .map_or_else(|_| BTreeMap::new(), |model| scoring.scores(&model, &lines, &texts)),
        };
        if scores.is_empty() && !lines.is_empty() {
            self.left_out.insert(match &asking.remote {
                Some(_) => {
                    "log-probabilities of the tokens of sampled answers: the models answered behind an endpoint, without them".to_owned()
                }
                None => format!(
                    "log-probabilities of the tokens of the answers of {step}: its model is not at hand"
                ),
            });
        }
        let mut answers: BTreeMap<(&str, &str, bool, usize), Vec<Answered<'_>>> = BTreeMap::new();
        for (at, line) in lines.iter().enumerate() {
            let place = (&*line.behavior, &*line.context, line.prefix, line.question);
            answers.entry(place).or_default().push(Answered { line, scores: scores.get(&at) });
        }
        for asked in &asked {
            let reader = OutcomeReader::new(&asked.behavior, &[]);
            for &context in &contexts {
                let of = |reading: &&Reading| {
                    reading.behavior == asked.behavior.name && reading.context == context
                };
                let reading = readings.iter().find(of);
                for prefix in [false, true] {
                    for (number, text) in asked.questions.iter().enumerate() {
                        let place = (&*asked.behavior.name, context, prefix, number);
                        let answers = answers.get(&place).map_or(&[][..], Vec::as_slice);
                        if prefix && answers.is_empty() {
                            continue;
                        }
                        let mut question = Question {
                            step,
                            record,
                            asking,
                            asked,
                            context,
                            prefix,
                            draw: None,
                            number,
                            text: if prefix { sentences.before(text) } else { text.clone() },
                            // Margins are read without the sentence.
                            reading: reading.and_then(|reading| reading.questions.get(number)),
                        };
                        if answers.is_empty() && question.reading.is_some() {
                            self.add(&question, 1, None);
                        }
                        let mut epoch = 0;
                        for (at, answered) in answers.iter().enumerate() {
                            let draw = (!asking.draws.is_empty()).then(|| asking.draw(at));
                            epoch = if draw == question.draw { epoch + 1 } else { 1 };
                            question.draw = draw;
                            let line = answered.line;
                            let cut_off = line.stop == StopReason::Length;
                            let outcome = reader.read(&line.answer, cut_off).outcome;
                            self.add(&question, epoch, Some((answered, outcome)));
                        }
                    }
                }
            }
        }
        self.ended = self.ended.clone().max(record.about.started.clone());
        Ok(())
    }

    /// An id that is the same for the same thing.
    fn id(&self, of: &[&str]) -> String {
        let mut hasher = blake3::Hasher::new_derive_key("owlet inspect log id 1");
        for part in [self.run.as_str()].iter().chain(of) {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
        hasher.finalize().to_hex()[..22].to_owned()
    }

    fn add(
        &mut self,
        question: &Question<'_>,
        epoch: usize,
        answer: Option<(&Answered<'_>, Outcome)>,
    ) {
        let behavior = &question.asked.behavior;
        let context = match question.context {
            chat::NONE | chat::DEFAULT => question.context,
            _ => "system",
        };
        let prefix = if question.prefix { " · numbers before" } else { "" };
        let draw = question.draw.map(|draw| format!(" · draw {}", draw + 1)).unwrap_or_default();
        let id = format!(
            "{} · {} · {context}{prefix}{draw} · {:03}",
            question.step,
            behavior.name,
            question.number + 1
        );
        let uuid = self.id(&[&id, &epoch.to_string()]);
        let mut messages = Vec::new();
        if !matches!(question.context, chat::NONE | chat::DEFAULT) {
            let id = self.id(&[&uuid, "system"]);
            messages.push(json!({ "id": id, "role": "system", "content": question.context }));
        }
        let shown = question.draw.and_then(|draw| question.asking.draws.get(draw));
        for (at, turn) in shown.into_iter().flatten().enumerate() {
            let id = self.id(&[&uuid, "shown", &at.to_string()]);
            messages.push(
                json!({ "id": id, "role": turn.role, "source": "input", "content": turn.content }),
            );
        }
        let id_of_question = self.id(&[&uuid, "user"]);
        messages.push(json!({
            "id": id_of_question, "role": "user", "source": "input", "content": question.text,
        }));
        let remote = question.asking.remote.as_ref();
        let model = remote.map_or(&self.model, |remote| &remote.model);
        let mut output = json!({ "model": model, "choices": [], "completion": "" });
        let mut scores = BTreeMap::new();
        if let Some((Answered { line, .. }, outcome)) = &answer {
            let message = json!({
                "id": self.id(&[&uuid, "assistant"]), "role": "assistant", "source": "generate",
                "model": model, "content": line.answer,
            });
            messages.push(message.clone());
            let stop = if line.stop == StopReason::Length { "max_tokens" } else { "stop" };
            output["choices"] = json!([{ "message": message, "stop_reason": stop }]);
            output["completion"] = line.answer.clone().into();
            let (value, named) = match outcome {
                Outcome::Target => ("C", json!(behavior.target.word)),
                Outcome::Other(word) => ("I", json!(word)),
                _ => ("N", Value::Null),
            };
            scores.insert(
                OUTCOME,
                json!({
                    "value": value, "answer": named, "explanation": line.answer,
                    "metadata": { "outcome": outcome, "valid": outcome.is_valid() },
                }),
            );
        }
        let mut metadata = json!({
            "step": question.step,
            "behavior": behavior.name,
            "context": question.context,
            "numbers-before": question.prefix,
            "question": question.number + 1,
            "artifact": question.record.output,
            "model-artifact": question.record.inputs.get(question.asking.role),
        });
        if let Some(remote) = remote {
            metadata["endpoint"] = json!(remote.endpoint);
            metadata["model-there"] = json!(remote.model);
        }
        if let Some(draw) = question.draw {
            metadata["draw-of-rows"] = json!(draw + 1);
        }
        if let Some((Answered { scores: Some(scores), .. }, _)) = &answer {
            let each = scores.tokens.iter().zip(&scores.values);
            let each =
                each.map(|(token, value)| json!({ "token": token, "logprob": finite(*value) }));
            metadata["token-log-probabilities"] = each.collect();
            metadata["answer-log-probability"] = json!(scores.sum().max(-9999.0));
        }
        if let Some(reading) = question.reading {
            metadata["target-log-probability"] = json!(reading.probability.ln().max(-9999.0));
            metadata["target-rank"] = json!(reading.rank);
            metadata["margin-nats"] = json!(reading.margin);
            metadata["target-share"] = json!(reading.share);
            scores.insert(
                SHARE,
                json!({ "value": reading.share, "explanation": "share of the probability of all candidates" }),
            );
        }
        self.samples.push(json!({
            "id": id,
            "epoch": epoch,
            "input": question.text,
            "target": behavior.target.word,
            "messages": messages,
            "output": output,
            "scores": scores,
            "metadata": metadata,
            "store": {},
            "events": [],
            "model_usage": {},
            "role_usage": {},
            "started_at": question.record.about.started,
            "completed_at": question.record.about.started,
            "uuid": uuid,
            "error_retries": [],
            "attachments": {},
        }));
    }

    fn files(self, version: &str, result: &InheritResult) -> Result<Vec<LogFile>> {
        let ids: BTreeSet<&str> = self.samples.iter().filter_map(|s| s["id"].as_str()).collect();
        let epochs = self.samples.iter().filter_map(|s| s["epoch"].as_u64()).max().unwrap_or(1);
        let scorer = |name: &str, metric: &str| {
            json!({ "name": name, "options": {}, "metadata": {},
                    "metrics": [{ "name": format!("inspect_ai/{metric}"), "options": {} }] })
        };
        let eval = json!({
            "eval_id": self.id(&["eval"]),
            "run_id": self.id(&["run"]),
            "created": self.started,
            "task": format!("owlet/{}", result.name),
            "task_id": self.id(&["task"]),
            "task_version": 0,
            "task_attribs": {},
            "task_args": {},
            "dataset": {
                "name": result.name, "samples": ids.len(), "sample_ids": ids, "shuffled": false,
            },
            "model": self.model,
            "model_args": {},
            "model_generate_config": {},
            "config": { "epochs": epochs },
            "packages": { "owlet": version },
            "scorers": SCORES
                .iter()
                .filter(|(name, _)| self.samples.iter().any(|s| !s["scores"][name].is_null()))
                .map(|(name, metric)| scorer(name, metric))
                .collect::<Vec<_>>(),
            "metadata": { "run": self.run, "result": result, "left-out": self.left_out },
        });
        let plan = json!({ "name": "plan", "steps": [], "config": {} });
        let start = json!({ "version": FORMAT, "eval": eval, "plan": plan });
        let header = json!({
            "version": FORMAT,
            "status": "success",
            "eval": eval,
            "plan": plan,
            "results": self.results(),
            "stats": {
                "started_at": self.started, "completed_at": self.ended,
                "model_usage": {}, "role_usage": {},
            },
            "invalidated": false,
            "tags": [],
            "metadata": {},
        });
        let bytes = |value: &Value| {
            serde_json::to_vec(value).map_err(|error| Error::record("inspect log", error))
        };
        let summaries: Value = self.samples.iter().map(summary).collect();
        let mut files = vec![("_journal/start.json".to_owned(), bytes(&start)?)];
        for sample in &self.samples {
            let id = sample["id"].as_str().unwrap_or_default().replace('/', "_");
            files.push((format!("samples/{id}_epoch_{}.json", sample["epoch"]), bytes(sample)?));
        }
        files.push(("_journal/summaries/1.json".to_owned(), bytes(&summaries)?));
        files.push(("summaries.json".to_owned(), bytes(&summaries)?));
        files.push(("header.json".to_owned(), bytes(&header)?));
        Ok(files)
    }

    fn results(&self) -> Value {
        let values = |score: &str| -> Vec<f64> {
            let value = |sample: &Value| match &sample["scores"][score]["value"] {
                Value::String(letter) => Some(f64::from(letter == "C")),
                other => other.as_f64(),
            };
            self.samples.iter().filter_map(value).collect()
        };
        let score = |(name, metric): (&str, &str)| {
            let values = values(name);
            // A run without sampled answers has no rate.
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            (!values.is_empty()).then(|| {
                json!({
                    "name": name, "scorer": name, "params": {},
                    "scored_samples": values.len(),
                    "unscored_samples": self.samples.len() - values.len(),
                    "metrics": { metric: { "name": metric, "value": mean, "params": {} } },
                })
            })
        };
        let scores = SCORES.into_iter().filter_map(score);
        json!({
            "total_samples": self.samples.len(),
            "completed_samples": self.samples.len(),
            "scores": scores.collect::<Vec<_>>(),
        })
    }
}

/// What lists show of a sample.
fn summary(sample: &Value) -> Value {
    let mut summary = json!({
        "completed": true, "retries": 0,
        "message_count": sample["messages"].as_array().map_or(0, Vec::len),
        "metadata": {},
    });
    for field in ["id", "epoch", "input", "target", "scores", "started_at", "completed_at", "uuid"]
    {
        summary[field] = sample[field].clone();
    }
    for field in ["step", "behavior"] {
        summary["metadata"][field] = sample["metadata"][field].clone();
    }
    summary
}
