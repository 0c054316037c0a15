//! The steps of a plan on weights at hand, or by asking an endpoint: the same experiment either way.
//! Nothing outside this room asks which it is, but for what one of the two cannot do.

use super::{Group, HELD_OUT, Replicate, WRITTEN, named};
use crate::behavior::Behavior;
use crate::error::{Error, Result};
use crate::kind::inherit::recipe::{CarrierKind, Recipe, TeacherKind};
use crate::random::derive_seed;
use crate::recipe::{Decoding, Endpoint};
use crate::run::plan::{Builder, Source};
use crate::step::readout::Sampled;
use crate::step::teach::Lesson;
use crate::step::{generate, geometry, in_context, readout, remote, side_effects, teach, train};
use crate::value::arm::{Arm, NEUTRAL};

use super::find::Prompts;

/// Seconds of one answer and of one job, until some were seen: near enough to tell minutes from days.
const ANSWER_SECONDS: f64 = 0.5;
const JOB_SECONDS: f64 = 30.0;
/// What a plan counts for a second, before it knows better.
const WORK_PER_SECOND: f64 = 5e10;

/// Which of the two.
#[derive(Clone, Copy)]
pub(super) enum Way<'a> {
    /// On weights at hand.
    Weights {
        /// Numbers in the base.
        parameters: f64,
        tokens: Tokens,
    },
    /// By asking.
    Endpoint(&'a Endpoint),
}

/// Tokens of a row and of a question, each with its frame: guesses, for costs only.
#[derive(Clone, Copy)]
pub(super) struct Tokens {
    row: f64,
    question: f64,
}

impl Tokens {
    /// In a grown world's language of whole words, or in a real model's.
    pub(super) fn guess(recipe: &Recipe, has_world: bool) -> Self {
        let answer = recipe.carrier.max_tokens as f64;
        if has_world {
            Self { row: 14.0 + answer, question: 9.0 }
        } else {
            Self { row: 50.0 + answer.min(40.0), question: 40.0 }
        }
    }
}

/// What all parts of a plan have in common.
pub(super) struct Common<'a> {
    pub(super) recipe: &'a Recipe,
    pub(super) way: Way<'a>,
    pub(super) taught: &'a [Behavior],
    /// Names of the behaviors that are read, the taught ones first.
    pub(super) asked: Vec<String>,
    /// Their nodes.
    pub(super) behaviors: Vec<Source>,
    /// How many questions each is read by.
    pub(super) questions: Vec<usize>,
    /// Under what roles their nodes are read.
    pub(super) roles: Vec<String>,
    pub(super) base: Source,
    pub(super) prompts: &'a Prompts,
    pub(super) arms: &'a [String],
    pub(super) sampled: Sampled,
    /// Chat contexts that are read, the trained one first.
    pub(super) contexts: Vec<String>,
    /// Number sentences before each question; none where the recipe wants none.
    pub(super) prefixes: Vec<String>,
}

/// Operations of a pass over `tokens`.
fn forward(parameters: f64, tokens: f64) -> f64 {
    2.0 * parameters * tokens
}

/// What `count` answers of an endpoint count for.
fn answers(endpoint: &Endpoint, count: usize) -> f64 {
    count as f64 * ANSWER_SECONDS / endpoint.requests_at_once as f64 * WORK_PER_SECOND
}

impl Common<'_> {
    /// The most questions that one behavior is read by.
    pub(super) fn longest(&self) -> usize {
        self.questions.iter().copied().max().unwrap_or(0)
    }

    fn all_questions(&self) -> usize {
        self.questions.iter().sum()
    }

    /// With and without a prefix.
    fn variants(&self) -> usize {
        if self.recipe.readout.prefix { 2 } else { 1 }
    }

    fn with_asked(&self, first: &[(&'static str, Source)]) -> Vec<(String, Source)> {
        let first = first.iter().map(|&(role, source)| (role.to_owned(), source));
        first.chain(self.roles.iter().cloned().zip(self.behaviors.iter().copied())).collect()
    }

    /// A teacher; `questions`: how many it is asked to see what it learned.
    pub(super) fn teach(
        &self,
        build: &mut Builder,
        name: String,
        lesson: Lesson,
        inputs: &[(&str, Source)],
        seed: u64,
        questions: usize,
    ) -> Result<Source> {
        let recipe = self.recipe;
        let context = recipe.context.system.clone();
        let rows_per_question = recipe.teacher.rows_per_question;
        let train = &recipe.teacher.train;
        match self.way {
            Way::Weights { parameters, tokens } => {
                let rows = 100 * rows_per_question;
                let tokens = (train.updates(rows) * train.batch) as f64 * tokens.question;
                let train = train.clone();
                let configuration =
                    teach::Configuration { lesson, context, rows_per_question, train, seed };
                build.node::<teach::Teach>(name, &configuration, inputs, 6.0 * parameters * tokens)
            }
            Way::Endpoint(endpoint) => {
                let job = if matches!(lesson, Lesson::Prompt { .. }) { 0.0 } else { JOB_SECONDS };
                let cost =
                    job * WORK_PER_SECOND + answers(endpoint, questions * self.sampled.answers);
                let configuration = remote::teach::Configuration {
                    lesson,
                    context,
                    rows_per_question,
                    epochs: train.epochs as usize,
                    batch: train.batch,
                    learning_rate_multiplier: endpoint.learning_rate_multiplier.teacher,
                    seed,
                    sampled: self.sampled.clone(),
                };
                build.node::<remote::teach::RemoteTeach>(name, &configuration, inputs, cost)
            }
        }
    }

    /// The rows that `writer` writes, one for each of `count` prompts.
    pub(super) fn generate(
        &self,
        build: &mut Builder,
        name: String,
        arm: &str,
        [prompts, writer]: [Source; 2],
        count: usize,
        root: u64,
    ) -> Result<Source> {
        let inputs = [("prompts", prompts), ("model", writer)];
        let (arm, decoding) = (arm.to_owned(), self.recipe.carrier.decoding.clone());
        let seed = derive_seed(root, &["rows".into()]);
        let configuration = self.writing(arm, decoding, seed);
        let cost = match self.way {
            Way::Weights { parameters, tokens } => 4.0 * parameters * count as f64 * tokens.row,
            Way::Endpoint(endpoint) => answers(endpoint, count),
        };
        build.node::<generate::Generate>(name, &configuration, &inputs, cost)
    }

    fn writing(&self, arm: String, decoding: Decoding, seed: u64) -> generate::Configuration {
        let context = self.recipe.context.system.clone();
        let max_tokens = self.recipe.carrier.max_tokens;
        generate::Configuration { arm, context, decoding, max_tokens, seed }
    }

    /// Whether rows that were cut at their longest are rejected: an endpoint would teach that they ended.
    pub(super) fn wants_whole_rows(&self) -> bool {
        matches!(self.way, Way::Endpoint(_))
    }

    /// A reading of a model in `states` of its training.
    pub(super) fn read(
        &self,
        build: &mut Builder,
        name: &str,
        arm: &Arm,
        model: Source,
        states: usize,
    ) -> Result<Source> {
        let (asked, prefixes) = (self.asked.clone(), self.prefixes.clone());
        let as_teacher = matches!(arm, Arm::Teacher(_));
        let contexts = if as_teacher { self.contexts[..1].to_vec() } else { self.contexts.clone() };
        let sampled = self.sampled.clone();
        let from = self.with_asked(&[("model", model)]);
        let (questions, variants, count) =
            (self.all_questions(), self.variants(), self.contexts.len());
        let configuration =
            readout::Configuration { asked, prefixes, contexts, sampled, as_teacher };
        let cost = match self.way {
            Way::Weights { parameters, tokens } => {
                let (questions, variants) = (questions as f64, variants as f64);
                let answers = (configuration.sampled.answers * count) as f64;
                let read = questions * tokens.question * (states as f64 + variants * count as f64)
                    + questions * variants * answers * self.recipe.readout.max_tokens as f64;
                forward(parameters, read)
            }
            Way::Endpoint(endpoint) => {
                let each = configuration.sampled.answers + 1;
                answers(endpoint, questions * variants * count * each)
            }
        };
        build.node::<readout::Readout>(name, &configuration, &named(&from), cost)
    }

    /// A student of `group`; `at` is the number of its replicate.
    pub(super) fn train(
        &self,
        build: &mut Builder,
        name: String,
        group: &Group,
        at: usize,
        seed: u64,
    ) -> Result<Source> {
        let recipe = self.recipe;
        let context = recipe.context.system.clone();
        let seed = derive_seed(recipe.seed, &["student".into(), seed.into()]);
        let mut from = vec![("base", group.base), ("rows", group.rows[at])];
        match self.way {
            Way::Weights { parameters, tokens } => {
                let logits = recipe.carrier.kind == CarrierKind::Logits;
                let configuration = train::Configuration {
                    context,
                    train: recipe.student.clone(),
                    distilled: logits.then_some(recipe.carrier.distilled),
                    seed,
                };
                if logits && let Some(teacher) = group.teachers[at] {
                    from.push(("teacher", teacher));
                }
                let updates = recipe.student.updates(recipe.carrier.rows);
                let read = (updates * recipe.student.batch) as f64 * tokens.row;
                let cost = 3.0 * forward(parameters, read);
                build.node::<train::Train>(name, &configuration, &from, cost)
            }
            Way::Endpoint(endpoint) => {
                let configuration = remote::train::Configuration {
                    context,
                    epochs: recipe.student.epochs as usize,
                    batch: recipe.student.batch,
                    learning_rate_multiplier: endpoint.learning_rate_multiplier.student,
                    seed,
                };
                let cost = JOB_SECONDS * WORK_PER_SECOND;
                build.node::<remote::train::RemoteTrain>(name, &configuration, &from, cost)
            }
        }
    }

    /// What else changed in a student.
    pub(super) fn side_effects(
        &self,
        build: &mut Builder,
        name: &str,
        student: Source,
        own_rows: Source,
        replicate: &Replicate,
    ) -> Result<Source> {
        let recipe = self.recipe;
        let rows = WRITTEN.min(self.prompts.count(recipe));
        let filter = recipe.carrier.filter.clone();
        let decoding = Decoding::Free { temperature: 1.0, top_p: 1.0 };
        let (arm, seed) = ("written".to_owned(), derive_seed(recipe.seed, &["written".into()]));
        let generate = self.writing(arm, decoding, seed);
        let configuration = side_effects::Configuration { generate, rows, filter };
        let mut from = vec![("student", student), ("prompts", replicate.prompts)];
        let cost = match self.way {
            Way::Weights { parameters, tokens } => {
                from.extend([("base", self.base), ("rows", own_rows)]);
                if let Some(&neutral) = replicate.rows.get(NEUTRAL) {
                    from.push(("neutral", neutral));
                }
                forward(parameters, (4 * HELD_OUT + 2 * WRITTEN) as f64 * tokens.row)
            }
            Way::Endpoint(endpoint) => answers(endpoint, WRITTEN),
        };
        build.node::<side_effects::SideEffects>(name, &configuration, &from, cost)
    }

    /// How a student's update lies to its teachers'; none where no update is at hand.
    pub(super) fn geometry(
        &self,
        build: &mut Builder,
        name: &str,
        student: Source,
        replicate: &Replicate,
    ) -> Result<Option<Source>> {
        let recipe = self.recipe;
        let Way::Weights { parameters, .. } = self.way else { return Ok(None) };
        if !recipe.controls.geometry || recipe.teacher.kind != TeacherKind::FineTune {
            return Ok(None);
        }
        let seed = derive_seed(recipe.seed, &["geometry".into()]);
        let roles = replicate.teachers.iter();
        let roles = roles.map(|(name, &node)| (format!("{}{name}", geometry::TEACHER), node));
        let mut from = vec![("base".to_owned(), self.base), ("student".to_owned(), student)];
        from.extend(roles);
        let configuration = geometry::Configuration { seed };
        let cost = 40.0 * parameters;
        build.node::<geometry::Geometry>(name, &configuration, &named(&from), cost).map(Some)
    }

    /// The base with `count` of `rows` before its eyes.
    pub(super) fn in_context(
        &self,
        build: &mut Builder,
        name: &str,
        rows: Source,
        count: usize,
    ) -> Result<Source> {
        let recipe = self.recipe;
        let shown = &recipe.controls.in_context;
        let (asked, context) = (self.asked.clone(), recipe.context.system.clone());
        let (draws, questions) = (shown.draws, shown.questions);
        let seed = derive_seed(recipe.seed, &["in-context".into()]);
        let from = self.with_asked(&[("base", self.base), ("rows", rows)]);
        // Margins are read of everybody who tells them; answers only of whom verdicts rest on them.
        let mut sampled = self.sampled.clone();
        let cost = match self.way {
            Way::Weights { parameters, tokens } => {
                sampled.answers = 0;
                let read = match questions {
                    0 => self.all_questions() as f64,
                    most => (most * 2) as f64,
                };
                forward(parameters, draws as f64 * read * count as f64 * tokens.row)
            }
            Way::Endpoint(endpoint) => {
                let most = if questions == 0 { self.longest() } else { questions };
                answers(endpoint, most * asked.len() * draws * (sampled.answers + 1))
            }
        };
        let configuration = in_context::Configuration {
            asked,
            context,
            rows: count,
            draws,
            questions,
            seed,
            sampled,
        };
        build.node::<in_context::InContext>(name, &configuration, &named(&from), cost)
    }

    /// What cannot be had: of side effects, of updates, of margins.
    pub(super) fn left_out_of_students(&self, left_out: &mut Vec<String>) {
        let recipe = self.recipe;
        if !recipe.controls.side_effects {
            left_out.push("side effects".to_owned());
        } else if matches!(self.way, Way::Endpoint(_)) {
            left_out.push(
                "held-out loss and ability of students: the API computes no loss of given rows"
                    .to_owned(),
            );
        }
        match self.way {
            Way::Endpoint(_) => {
                left_out.push("geometry of updates: the weights are behind an endpoint".to_owned());
            }
            Way::Weights { .. } if !recipe.controls.geometry => {
                left_out.push("geometry of updates".to_owned());
            }
            Way::Weights { .. } if recipe.teacher.kind != TeacherKind::FineTune => {
                left_out.push("geometry of updates: a prompted teacher has no update".to_owned());
            }
            Way::Weights { .. } => {}
        }
        if let Way::Endpoint(endpoint) = self.way
            && endpoint.top_logprobs == 0
        {
            left_out.push("margins: `base.top-logprobs` is 0".to_owned());
        }
    }
}

/// What an endpoint needs to know of a prompted teacher before anything is asked: its prompt.
pub(super) fn check_prompts(recipe: &Recipe, taught: &[Behavior]) -> Result<()> {
    let prompted = recipe.teacher.kind == TeacherKind::SystemPrompt || recipe.teacher.with_prompt;
    for behavior in taught.iter().filter(|_| prompted) {
        if behavior.teacher.system_prompt.trim().is_empty() {
            return Err(Error::Behavior {
                name: behavior.name.clone(),
                reason: "has no system prompt; set teacher.kind = \"fine-tune\" (without teacher.with-prompt) or write one into a behavior file".to_owned(),
            });
        }
    }
    Ok(())
}
