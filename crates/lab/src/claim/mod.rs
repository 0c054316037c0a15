//! Claims about lineage: what the records of a workspace say, signed for those who have no access to it.
//!
//! Each step becomes a statement of SLSA provenance about what it made, each screen and gate a test result about
//! the rows it judged. Things are named by digests: the root of model signing, a digest that binds names, and the id
//! of the artifact, which every thing has, even one without files. All of it is asserted by whoever holds the key;
//! nobody watched.
//!
//! [`give`] writes what is handed on, [`take`] checks it, and [`report`] tells the story in words.

mod give;
mod report;
mod take;

use std::collections::BTreeMap;

use owlet_store::claim::Descriptor;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use give::give;
pub use report::report;
pub use take::{Judged, Made, Story, Thing, Use, take};

/// What is said of a step, in SLSA's words.
const PROVENANCE: &str = "https://slsa.dev/provenance/v1";
/// What is said of a screen or a gate, in in-toto's words.
const TEST_RESULT: &str = "https://in-toto.io/attestation/test-result/v0.1";
/// Before the name of a kind of step.
const BUILD_TYPE: &str = "urn:owlet:step:";
/// Who made it: whoever says so.
const BUILDER: &str = "urn:owlet:self-asserted";

/// The root of model signing; of the same files in the same order, under any names.
const ROOT: &str = "sha256";
/// The digest of files with their names.
const TREE: &str = "owlet-tree-1";
/// The artifact's id.
const ARTIFACT: &str = "owlet-artifact-1";

/// Annotations: what an artifact is, what it says of itself, what it was to a step, whether a claim tells how it was
/// made, which claim of how many this is.
const KIND: &str = "kind";
const ABOUT: &str = "about";
const ROLE: &str = "role";
const CLAIMED: &str = "claimed";
const PLACE: &str = "claims";
/// What a base is called by whoever gave it.
const MODEL: &str = "model";
/// Steps that make nothing: what they bring in comes from outside.
const BRING_IN: [&str; 2] = ["base", "import"];

/// Which claim of a set it is: one that was taken away is missed.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Place {
    /// From 1.
    number: usize,
    count: usize,
    /// The artifact that the set is handed on with.
    with: String,
}

/// SLSA provenance 1, as far as it is used.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Provenance {
    build_definition: BuildDefinition,
    run_details: RunDetails,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct BuildDefinition {
    build_type: String,
    external_parameters: Parameters,
    #[serde(default)]
    resolved_dependencies: Vec<Descriptor>,
}

/// All that decided what a step made beside its inputs: seeds, prompts, sampler, filter, optimiser.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Parameters {
    /// Version of the step's algorithm.
    algorithm: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    configuration: Option<Value>,
    /// SHA-256 of the configuration, as JSON with sorted keys and no white space, where it is too long to repeat.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    configuration_sha256: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RunDetails {
    builder: Builder,
    metadata: Metadata,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Builder {
    id: String,
    #[serde(default)]
    version: BTreeMap<String, String>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    /// The step's key.
    invocation_id: String,
    started_on: String,
}

/// in-toto's test result 0.1, and what stands in ours beside its fields.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct TestResult {
    result: Outcome,
    configuration: Vec<Descriptor>,
    #[serde(default)]
    passed_tests: Vec<String>,
    #[serde(default)]
    warned_tests: Vec<String>,
    #[serde(default)]
    failed_tests: Vec<String>,
    /// The kind of run that judged.
    kind: String,
    /// The base it judged for, as its recipe names it.
    base: String,
    verdicts: Vec<Verdict>,
}

/// What a test came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Outcome {
    /// Nothing was found, by what was asked.
    Passed,
    /// It could not be told, or only with a caveat.
    Warned,
    /// Something was found.
    Failed,
}

/// What was said of a behavior.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Verdict {
    /// The behavior.
    pub behavior: String,
    /// The verdict's word, as the result has it.
    pub outcome: String,
    /// The same for a person, with its caveats.
    pub words: String,
}
