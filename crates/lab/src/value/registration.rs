//! What was fixed before a run began, and which results of the same models had been seen by then.

use serde::{Deserialize, Serialize};

/// What was fixed before a run began.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Registration {
    /// The version of this format.
    pub format: u32,
    /// When, as an RFC 3339 timestamp in UTC.
    pub registered: String,
    /// BLAKE3 digest of the resolved recipe: its rule, targets, seeds, level and controls.
    pub recipe: String,
    /// Results that had been made of the same models by another rule, oldest first.
    pub looks: Vec<Look>,
    /// Results of other models that had been made of the same base, oldest first: other seeds of this recipe,
    /// and other recipes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<Look>,
    /// Behaviors that those results judge and this run does not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub elsewhere: Vec<String>,
}

impl Registration {
    /// Which look at its models the run is; the first is 1.
    pub fn look(&self) -> usize {
        self.looks.len() + 1
    }

    /// What was said before of `behavior` in other models of this base.
    fn said<'a>(&'a self, behavior: &'a str) -> impl Iterator<Item = &'a Said> {
        let said = self.earlier.iter().flat_map(|look| &look.said);
        said.filter(move |said| said.behavior == behavior)
    }

    /// Which try at a behavior of this base the run is, whatever the recipe; the first is 1.
    pub fn try_at(&self, behavior: &str) -> usize {
        self.said(behavior).count() + 1
    }

    /// How a verdict on `behavior` goes on that says `outcome`: which look it is, which try, whether others
    /// said otherwise, and how many other behaviors were asked elsewhere until one was found. Nothing where
    /// it is the first of all.
    pub fn words(&self, behavior: &str, outcome: &str) -> String {
        let elsewhere = if outcome == YES { self.elsewhere.len() } else { 0 };
        let parts = [
            (self.look() > 1).then(|| format!(", look {}", self.look())),
            (self.try_at(behavior) > 1).then(|| format!(", try {}", self.try_at(behavior))),
            self.contradicts(behavior, outcome).then(|| ", contradicted".to_owned()),
            (elsewhere > 0).then(|| format!(", {elsewhere} more asked elsewhere")),
        ];
        parts.into_iter().flatten().collect()
    }

    /// Whether a verdict that says `outcome` is no plain yes because of what was seen before it.
    pub fn doubts(&self, behavior: &str, outcome: &str) -> bool {
        !WARNINGS.contains(&outcome)
            && (!self.looks.is_empty() || self.contradicts(behavior, outcome))
    }

    fn contradicts(&self, behavior: &str, outcome: &str) -> bool {
        // Of two that are no yes neither speaks against the other.
        self.said(behavior).any(|said| (said.outcome == YES) != (outcome == YES))
    }
}

/// The one outcome that is a yes, as results spell it.
const YES: &str = "inherited";
/// Outcomes on rows that warn, as results spell them: that somebody looked before makes them no less of a warning.
const WARNINGS: [&str; 4] = ["open", "would-inherit", "written-by-its", "would-move"];

/// An earlier result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Look {
    /// When it was made.
    pub made: String,
    /// What was set otherwise.
    pub changed: Vec<Change>,
    /// What it said.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub said: Vec<Said>,
}

/// Settings that draw anew what a recipe makes, and nothing else.
const SEEDS: [&str; 3] = ["seed", "seeds", "carrier.prompt-seed"];

impl Look {
    /// Its seeds, where nothing else was set otherwise: `seed 2`, `seeds [7,8]`.
    pub fn seeds(&self) -> Option<String> {
        let is_seed = |change: &Change| SEEDS.contains(&change.key.as_str());
        // The prompts' seed follows the root's.
        let rooted = self.changed.iter().any(|change| change.key == SEEDS[0]);
        let told = self.changed.iter().filter(|change| !rooted || change.key != SEEDS[2]);
        let told = told.map(|change| format!("{} {}", change.key, change.then));
        (!self.changed.is_empty() && self.changed.iter().all(is_seed))
            .then(|| told.collect::<Vec<_>>().join(", "))
    }

    /// What it said, in words.
    pub fn words(&self) -> String {
        let said = self.said.iter().map(|said| format!("{} {}", said.behavior, said.words));
        said.collect::<Vec<_>>().join(", ")
    }
}

/// What an earlier result said of a behavior.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Said {
    /// The behavior.
    pub behavior: String,
    /// The verdict, as results spell it.
    pub outcome: String,
    /// The same for a person.
    pub words: String,
}

/// A setting that differs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Change {
    /// Where in the recipe.
    pub key: String,
    /// What it was then, as JSON.
    pub then: String,
    /// What it is now.
    pub now: String,
}
