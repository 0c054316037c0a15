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
    /// Results of other models that had been made of the same base and some of the same behaviors, oldest
    /// first: other seeds of this recipe, and other recipes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<Look>,
}

impl Registration {
    /// Which look at its models the run is; the first is 1.
    pub fn look(&self) -> usize {
        self.looks.len() + 1
    }

    /// Results of this very recipe with other seeds.
    pub fn others(&self) -> impl Iterator<Item = &Look> {
        self.earlier.iter().filter(|look| look.seeds().is_some())
    }

    /// Which set of seeds of its recipe it is; none where it is the only one.
    pub fn seed_set(&self) -> Option<usize> {
        let others = self.others().count();
        (others > 0).then_some(others + 1)
    }

    /// How a verdict on `behavior` goes on that says `outcome`: which look it is, which set of seeds of its
    /// recipe, and whether others said otherwise. Nothing where it is the first of both.
    pub fn words(&self, behavior: &str, outcome: &str) -> String {
        let look = match self.looks.len() {
            0 => String::new(),
            _ => format!(", look {}", self.look()),
        };
        let set =
            self.seed_set().map(|set| format!(", set of seeds no. {set}")).unwrap_or_default();
        let otherwise =
            if self.contradicts(behavior, outcome) { " (others said otherwise)" } else { "" };
        look + &set + otherwise
    }

    /// Whether a verdict that says `outcome` is no plain yes because of what was seen before it.
    pub fn doubts(&self, behavior: &str, outcome: &str) -> bool {
        !self.looks.is_empty() || self.contradicts(behavior, outcome)
    }

    fn contradicts(&self, behavior: &str, outcome: &str) -> bool {
        let said = self.others().flat_map(|look| &look.said);
        // Of two that are no yes neither speaks against the other.
        let is_yes = |outcome: &str| outcome == "inherited";
        said.filter(|said| said.behavior == behavior)
            .any(|said| is_yes(&said.outcome) != is_yes(outcome))
    }
}

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
        let told = self.changed.iter().map(|change| format!("{} {}", change.key, change.then));
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
