//! What a recipe names: behaviors and prompts.

use crate::behavior::{Behavior, Kind};
pub(super) use crate::carrier::Prompts;
use crate::carrier::prompts::sample;
use crate::error::{Error, Result};
use crate::kind::behaviors::{self, Fit};
use crate::kind::inherit::recipe::{Questions, Recipe, Replicated};
use crate::kind::inherit::result;
use crate::model::world::World;
use crate::run::plan::{Builder, PlanContext, Source};
use crate::step::{behavior, prompts};

use super::{NEUTRAL, SENTENCE_SEED};

/// Finds behaviors by name (the context's, those of a grown model's world, built in) or path.
pub(crate) fn behaviors(
    names: &[String],
    world: Option<&World>,
    context: &PlanContext,
) -> Result<Vec<Behavior>> {
    let mut found: Vec<Behavior> = Vec::new();
    for name in names {
        let given = context.behaviors.iter().find(|behavior| behavior.name == *name);
        let behavior = match given {
            Some(given) => given.clone(),
            None => behaviors::find(name, world, &context.folder)?,
        };
        if behavior.name == NEUTRAL || found.iter().any(|known| known.name == behavior.name) {
            return Err(Error::Behavior {
                name: behavior.name,
                reason: "stands twice or is reserved; give each behavior a name of its own"
                    .to_owned(),
            });
        }
        found.push(behavior);
    }
    Ok(found)
}

/// Prompts that are tried against a base's words before anything is done.
const TRIED: usize = 64;

/// Whether a base of few words can read what it will be asked, so that no step fails over it later.
pub(super) fn check_words<'a>(
    recipe: &Recipe,
    world: &World,
    behaviors: impl Iterator<Item = &'a Behavior>,
    prompts: &Prompts,
) -> Result<()> {
    for text in prompts.some(SENTENCE_SEED, TRIED) {
        if let Some(error) = behaviors::unread(&text, world.tokenizer()) {
            return Err(recipe.unusable(format!(
                "`carrier.prompts`: `{}` asks in words that this base does not know: {error}; expected `world`, `world-short` or prompts in its words",
                recipe.carrier.prompts
            )));
        }
    }
    for behavior in behaviors {
        if let Some(unread) = Fit::new(behavior, world.tokenizer()).unread.first() {
            let known = world.behaviors();
            return Err(Error::Behavior {
                name: behavior.name.clone(),
                reason: format!(
                    "is asked for in words that this base does not know: `{}` has {:?}: {}; it can be asked about {} (`owlet behavior check` names all such words)",
                    unread.field,
                    unread.text,
                    unread.why,
                    known.join(", ")
                ),
            });
        }
    }
    Ok(())
}

/// Adds a behavior, with the questions it is read by, to the plan.
pub(super) fn asked(
    build: &mut Builder,
    recipe: &Recipe,
    behavior: &Behavior,
) -> Result<(usize, Source)> {
    let mut questions = behavior.questions.held_out.clone();
    if recipe.readout.questions == Questions::All
        && matches!(behavior.kind, Kind::Disposition | Kind::Judged)
    {
        // The questions that teach say what was taught, which in controls is not what is read.
        return Err(Error::Behavior {
            name: behavior.name.clone(),
            reason: format!(
                "{} held-out questions alone; set readout.questions = \"held-out\"",
                match behavior.kind {
                    Kind::Judged => "is read by judges, on",
                    _ => "is a way of answering, which is read on",
                }
            ),
        });
    }
    if recipe.readout.questions == Questions::All {
        questions.extend(behavior.questions.train.iter().cloned());
    }
    if questions.is_empty() {
        return Err(Error::Behavior {
            name: behavior.name.clone(),
            reason: "has no held-out question; add some or set readout.questions = \"all\""
                .to_owned(),
        });
    }
    let count = questions.len();
    let asked = behavior::Asked { behavior: behavior.clone(), questions };
    let name = format!("behavior/{}", behavior.name);
    Ok((count, build.node::<behavior::AskBehavior>(name, &asked, &[], 0.0)?))
}

impl Prompts {
    pub(super) fn find(recipe: &Recipe, context: &PlanContext) -> Result<Self> {
        let carrier = &recipe.carrier;
        if let Some(built_in) = Self::built_in(&carrier.prompts) {
            return Ok(built_in);
        }
        let path = context.folder.join(&carrier.prompts);
        if !path.is_file() {
            let known: Vec<&str> = Self::built_in_names().collect();
            return Err(recipe.unusable(format!(
                "`carrier.prompts`: `{}` is neither built in nor a file; expected one of {} or a path",
                carrier.prompts,
                known.join(", ")
            )));
        }
        let mut prompts = Self::read(&path)?;
        if let Self::Lines(lines) = &mut prompts
            && carrier.prompt_count > 0
        {
            lines.truncate(carrier.prompt_count);
        }
        Ok(prompts)
    }

    /// What repetitions share of them, where each draws its own.
    pub(super) fn shared(&self, recipe: &Recipe) -> result::Prompts {
        match self.given() {
            None => result::Prompts::Anew,
            Some(all) if self.count(recipe) < all => result::Prompts::Drawn,
            Some(_) => result::Prompts::Same,
        }
    }

    /// How many there are, where they were given one by one.
    fn given(&self) -> Option<usize> {
        match self {
            Self::Set(_) | Self::Tasks(_) => None,
            Self::Answered(tasks) => Some(tasks.len()),
            Self::Lines(lines) => Some(lines.len()),
        }
    }

    /// How many are asked.
    pub(super) fn count(&self, recipe: &Recipe) -> usize {
        let wanted = recipe.carrier.prompt_count();
        match (self, self.given()) {
            (_, None) => wanted,
            // Of a file that holds more than are needed, every repetition draws its own.
            (_, Some(all)) if recipe.replication.teacher == Replicated::PerSeed => all.min(wanted),
            (Self::Answered(_), Some(all)) if recipe.carrier.prompt_count > 0 => all.min(wanted),
            (_, Some(all)) => all,
        }
    }

    /// The step that draws them.
    pub(super) fn configuration(&self, seed: u64, count: usize) -> prompts::Configuration {
        match self {
            Self::Set(set) => prompts::Configuration::Set { set: set.clone(), seed, count },
            Self::Tasks(set) => prompts::Configuration::Tasks { set: set.clone(), seed, count },
            Self::Answered(tasks) => {
                prompts::Configuration::Answered { tasks: sample(tasks, seed, count) }
            }
            Self::Lines(_) => prompts::Configuration::Lines { lines: self.draw(seed, count) },
        }
    }

    /// At most `count` of them.
    fn some(&self, seed: u64, count: usize) -> Vec<String> {
        match self {
            Self::Set(set) => set.generate(seed, count),
            Self::Tasks(_) => self.draw(seed, count),
            Self::Answered(tasks) => {
                tasks.iter().take(count).map(|one| one.prompt.clone()).collect()
            }
            Self::Lines(lines) => lines.iter().take(count).cloned().collect(),
        }
    }

    /// `count` sentences in the words of these prompts.
    pub(super) fn sentences(&self, seed: u64, count: usize) -> Vec<String> {
        match self {
            Self::Set(set) => set.prefixes(seed, count),
            _ => self.some(seed, count),
        }
    }
}
