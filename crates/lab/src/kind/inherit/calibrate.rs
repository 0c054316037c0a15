//! How often a recipe's own rule is wrong where nothing can be inherited.
//!
//! The null of a recipe is the recipe with teachers that were taught nothing: the neutral teacher writes every
//! arm's rows, with the arm's own luck. Prompts, rows, initialisation and order of rows are drawn as the recipe
//! says, so whatever its replication shares, the null shares too.

use serde::{Deserialize, Serialize};

use super::recipe::{OtherBase, Recipe, TeacherKind};
use super::result::{Control, InheritResult, Outcome};
use crate::ask::{self, LogProbabilities};
use crate::cells;
use crate::error::{Error, Result};
use crate::random::derive_seed;
use crate::report::block::{Block, Report, Section, Table};
use crate::stats;
use crate::value::text;

/// The null of `recipe` at another root seed. Controls that decide nothing are left out: they cost most of
/// the time, and no verdict looks at them.
#[must_use]
pub fn null(recipe: &Recipe, root: u64) -> Recipe {
    let mut null = recipe.clone();
    null.seed = root;
    // Prompts have a seed of their own. Runs that ask the same ones are not independent.
    null.carrier.prompt_seed =
        derive_seed(root, &["prompts".into(), null.carrier.prompt_seed.into()]);
    null.teacher.kind = TeacherKind::Untaught;
    null.teacher.min_target_probability = 0.0;
    null.keep_what_decides();
    null.read_also.clear();
    null.controls.other_base = OtherBase::Off;
    null.controls.side_effects = false;
    // Where margins decide, answers can only take an effect back.
    if ask::can(&null.base).log_probabilities == LogProbabilities::All {
        null.readout.samples_per_question = 0;
    }
    null
}

/// What was measured so of recipes that owlet brings along: the commands stand in LOG.md.
const MEASURED: [&str; 2] =
    [include_str!("calibrations/demo.json"), include_str!("calibrations/animals.json")];

/// What a null depends on, as a digest: everything but seeds, names, and what a calibration says itself:
/// behaviors, and how many rows and updates a student has.
fn likeness(recipe: &Recipe) -> String {
    let mut null = null(recipe, 0);
    null.name.clear();
    null.description.clear();
    null.behaviors.clear();
    null.controls.behaviors.clear();
    null.carrier.prompt_seed = 0;
    (null.carrier.rows, null.carrier.prompt_count) = (0, 0);
    null.student.updates = 0;
    let bytes = serde_json::to_vec(&null).expect("a recipe is written because it was read");
    blake3::hash(&bytes).to_hex().to_string()
}

/// What is known of the error rates of a recipe: its own calibration, where owlet brings one along.
pub fn measured(recipe: &Recipe) -> Option<Calibration> {
    let likeness = likeness(recipe);
    let all = MEASURED.iter().map(|text| {
        serde_json::from_str(text).expect("a calibration is read because a test reads it")
    });
    let holds = |one: &Calibration| {
        one.likeness == likeness && recipe.behaviors.iter().all(|name| one.behaviors.contains(name))
    };
    // Of two the one whose students are as large.
    let size = (recipe.carrier.rows, recipe.student.updates(recipe.carrier.rows));
    all.filter(holds).min_by_key(|one| (one.rows, one.updates) != size)
}

/// So many of so many, with an interval of their share.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Share {
    /// Those that did.
    pub count: u64,
    /// All.
    pub of: u64,
    /// The same of each run.
    by_run: Vec<(u64, u64)>,
}

impl Share {
    fn begin_run(&mut self) {
        self.by_run.push((0, 0));
    }

    fn add(&mut self, did: bool) {
        self.count += u64::from(did);
        self.of += 1;
        if let Some((count, of)) = self.by_run.last_mut() {
            *count += u64::from(did);
            *of += 1;
        }
    }

    /// `0 of 216 = 0.0 % [0.0 %, 1.7 %]` at 95 %, behaviors of a run being as dependent as they show
    /// themselves ([`stats::clustered`]); of none: that there are none.
    fn words(&self) -> String {
        match stats::clustered(&self.by_run, 0.95) {
            Ok(interval) => format!(
                "{} of {} = {} [{}, {}]",
                text::count(self.count as usize),
                text::count(self.of as usize),
                text::percent(self.count as f64 / self.of as f64),
                text::percent(interval.low),
                text::percent(interval.high)
            ),
            Err(_) => "none".to_owned(),
        }
    }
}

/// What the nulls of one recipe came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Calibration {
    /// The recipe's name.
    pub name: String,
    /// What recipes have in common whose null it is, as [`likeness`] says.
    pub likeness: String,
    /// The model.
    pub base: String,
    /// The behaviors of each run.
    pub behaviors: Vec<String>,
    /// The confidence level that the recipe states.
    pub level: f64,
    /// Root seeds, a run each.
    pub seeds: Vec<u64>,
    /// Repetitions in each run.
    pub repetitions: usize,
    /// Unique rows and updates of each student.
    pub rows: usize,
    /// Updates of each student.
    pub updates: usize,
    /// Behaviors that the rule called inherited, confirmed by answers or not.
    pub inherited: Share,
    /// Runs with one such behavior or more: what the level bounds.
    pub runs: Share,
    /// Null behaviors of which the corrected p could decide.
    pub tested: Share,
    /// Printed intervals that hold the true zero, by control.
    pub coverage: Vec<(Control, Share)>,
    /// The same of Λ.
    pub lambda: Share,
}

impl Calibration {
    /// Nothing counted yet.
    pub fn new(recipe: &Recipe) -> Self {
        // Over the untouched base zero is not the truth: training on any rows moves a student.
        let exchangeable = [Control::Neutral, Control::OtherBehavior];
        Self {
            name: recipe.name.clone(),
            likeness: likeness(recipe),
            base: recipe.base.to_string(),
            behaviors: recipe.behaviors.clone(),
            level: recipe.gates.level,
            seeds: Vec::new(),
            repetitions: recipe.seeds.0.len(),
            rows: recipe.carrier.rows,
            updates: recipe.student.updates(recipe.carrier.rows),
            inherited: Share::default(),
            runs: Share::default(),
            tested: Share::default(),
            coverage: exchangeable.map(|control| (control, Share::default())).to_vec(),
            lambda: Share::default(),
        }
    }

    /// Counts the result of the null at `root`.
    pub fn add(&mut self, root: u64, result: &InheritResult) {
        let shares = [&mut self.inherited, &mut self.runs, &mut self.tested, &mut self.lambda];
        let coverage = self.coverage.iter_mut().map(|(_, share)| share);
        shares.into_iter().chain(coverage).for_each(Share::begin_run);
        let mut any = false;
        for verdict in &result.verdicts {
            let said = matches!(verdict.outcome, Outcome::Inherited | Outcome::Unconfirmed);
            let decided = verdict.p.is_some();
            self.tested.add(decided);
            if decided {
                self.inherited.add(said);
            }
            any |= said;
            for (control, share) in &mut self.coverage {
                let effect = result.effect(&verdict.behavior, result.primary, *control);
                if let Some(interval) = effect.and_then(|effect| effect.estimate.interval) {
                    share.add(interval.contains(0.0));
                }
            }
        }
        self.runs.add(any);
        let lambda = result.matrix.as_ref().and_then(|matrix| matrix.lambda.interval);
        if let Some(interval) = lambda {
            self.lambda.add(interval.contains(0.0));
        }
        self.seeds.push(root);
    }

    /// The error rate of the rule in a sentence.
    pub fn words(&self) -> String {
        format!(
            "where nothing could be inherited, this rule said inherited of {} behaviors, in {} with {} and {} a student",
            self.inherited.words(),
            text::counted(self.seeds.len(), "run"),
            text::counted(self.rows, "row"),
            text::counted(self.updates, "update"),
        )
    }

    /// What there is to say.
    pub fn report(&self, version: &str) -> Report {
        let level = text::percent(self.level);
        let mut rows = vec![
            cells!["behaviors that the rule could decide about", self.tested.words(), ""],
            cells!["behaviors called inherited", self.inherited.words(), ""],
            cells![
                "runs that call one or more so",
                self.runs.words(),
                format!("at most {}", text::percent(1.0 - self.level))
            ],
        ];
        rows.extend(self.coverage.iter().filter(|(_, share)| share.of > 0).map(
            |(control, share)| {
                let what = format!("intervals over {} with zero in them", control.label());
                cells![what, share.words(), level.clone()]
            },
        ));
        if self.lambda.of > 0 {
            rows.push(cells![
                "intervals of Λ with zero in them",
                self.lambda.words(),
                level.clone()
            ]);
        }
        let caption = "Where nothing can be inherited; shares with 95 % intervals";
        let table = Table::new(caption, &["what", "measured", "stated"]).with(rows).block();
        let note = "Behaviors of one run share their neutral students and are not independent: intervals over \
                    behaviors count as many as would be if they were (Korn and Graubard 1998), or the runs alone \
                    where all behaviors came out alike. The interval over runs is exact.";
        let blocks = table.into_iter().chain([Block::note(note)]).collect();
        Report {
            kind: "calibration",
            title: self.name.clone(),
            lead: "Teachers that were taught nothing: how often does the recipe's rule find something?"
                .to_owned(),
            what: format!(
                "base {} · {} of {} · {} · {}",
                self.base,
                text::counted(self.seeds.len(), "run"),
                text::counted(self.repetitions, "repetition"),
                text::counted(self.rows, "unique row"),
                text::counted(self.updates, "update"),
            ),
            version: version.to_owned(),
            sections: Section::of("null", "Error rates", blocks)
                .map(Section::brief)
                .into_iter()
                .collect(),
        }
    }
}

/// What an `inherit` recipe is, or an error that says that only such a recipe has a null.
///
/// # Errors
/// A recipe of another kind.
pub fn recipe(recipe: &crate::AnyRecipe) -> Result<&Recipe> {
    recipe.of().ok_or_else(|| {
        let reason = format!(
            "is a `{}` recipe; expected one of kind `inherit` without `[sweep]` or `bases`, whose verdicts can be wrong",
            recipe.kind().name()
        );
        Error::record(recipe.name(), reason)
    })
}
