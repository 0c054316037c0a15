//! The graph of an `inherit` recipe: base, teachers, rows, students, readouts, estimate.

mod cost;
mod find;
mod nodes;
mod rows;

use std::collections::BTreeMap;

use self::cost::{Pace, Tokens};
use self::find::Prompts;
use self::nodes::{Bound, Common};
use self::rows::{Replicate, replicates};
use crate::ask;
use crate::carrier::Reach;
use crate::error::{Error, Result};
use crate::kind::inherit::estimate::{self, Read};
use crate::kind::inherit::recipe::{OtherBase, Recipe, Replicated};
use crate::model::ModelSource;
use crate::model::spec::{Endpoint, Spec};
use crate::model::world::{MODELS, World};
use crate::random::derive_seed;
use crate::recipe::Learn;
use crate::run::plan::{Builder, Outline, PlanContext, Source};
use crate::step::readout::Sampled;
use crate::step::{behavior, shuffle};
use crate::value::arm::{Arm, Control, NEUTRAL, Taught};

/// Rows held out per arm to measure loss on.
const HELD_OUT: usize = 64;
/// Rows a student writes to see whether they are valid.
const WRITTEN: usize = 32;
/// Seed of the published prefix sentences.
const PREFIX_SEED: u64 = 47;

/// A group of students with what they are trained on.
struct Group<'a> {
    arm: Arm,
    base: Bound<'a>,
    /// The arm that wrote its rows.
    written: String,
    /// Where they are, per replicate.
    rows: Vec<Source>,
    /// Per replicate, where there is one whose distributions can be learned.
    teachers: Vec<Option<Source>>,
}

/// Inputs as a node takes them.
fn named(inputs: &[(String, Source)]) -> Vec<(&str, Source)> {
    inputs.iter().map(|(role, source)| (role.as_str(), *source)).collect()
}

pub(crate) fn plan(recipe: &Recipe, context: &PlanContext) -> Result<Outline> {
    let mut left_out = Vec::new();
    let mut build = Builder::default();
    let mut models = Models::default();
    nodes::check_trainable(recipe, "base", &recipe.base)?;
    let (source, world) = Models::find(&recipe.base, context)?;
    let taught = find::behaviors(&recipe.behaviors, world.as_ref(), context)?;
    let also = find::behaviors(&recipe.read_also, world.as_ref(), context)?;
    nodes::check_prompts(recipe, &taught)?;
    let model_size = source.as_ref().map_or(0, ModelSource::size);
    let tokens = Tokens::guess(recipe, world.is_some());
    let base = models.bind(&mut build, ("base", "base"), &recipe.base, source, tokens)?;
    let mut questions = Vec::new();
    let mut nodes = Vec::new();
    for behavior in taught.iter().chain(&also) {
        let (count, node) = find::asked(&mut build, recipe, behavior)?;
        questions.push(count);
        nodes.push(node);
    }
    let asked: Vec<String> =
        taught.iter().chain(&also).map(|behavior| behavior.name.clone()).collect();
    let roles: Vec<String> = asked.iter().map(|name| format!("{}{name}", behavior::READ)).collect();

    // Teachers and rows.
    let prompts = Prompts::find(recipe, context)?;
    let mut arms: Vec<String> = taught.iter().map(|behavior| behavior.name.clone()).collect();
    if recipe.controls.neutral {
        arms.push(NEUTRAL.to_owned());
    } else {
        left_out.push("neutral teacher: without it no answer can be given".to_owned());
    }
    if recipe.replication.teacher == Replicated::Shared {
        left_out.push(
            "teacher luck: one teacher and one set of rows per behavior serve all seeds; set replication.teacher = \"per-seed\" to hold it in the intervals"
                .to_owned(),
        );
    }
    let prefixes = if recipe.readout.prefix {
        prompts.prefixes(PREFIX_SEED, questions.iter().copied().max().unwrap_or(0))
    } else {
        Vec::new()
    };
    let mut contexts = vec![recipe.context.system.clone()];
    contexts.extend(recipe.context.mismatched.iter().cloned());
    let common = Common {
        recipe,
        base,
        taught: &taught,
        asked,
        behaviors: nodes,
        questions,
        roles,
        prompts: &prompts,
        arms: &arms,
        sampled: Sampled {
            answers: recipe.readout.samples_per_question,
            temperature: recipe.readout.temperature,
            max_tokens: recipe.readout.max_tokens,
            seed: derive_seed(recipe.seed, &["readout".into()]),
        },
        contexts,
        prefixes,
        whole_rows: [Some(&recipe.base), recipe.controls.other_base.model()]
            .into_iter()
            .flatten()
            .any(|spec| ask::can(spec).training == ask::Training::Jobs),
    };
    let replicates = replicates(&mut build, &common)?;
    let of_seed = |place: usize| if replicates.len() == 1 { 0 } else { place };
    let rows: Vec<Source> = replicates.iter().map(|replicate| replicate.rows).collect();
    let teachers = |arm: &str| -> Vec<Option<Source>> {
        replicates.iter().map(|replicate| replicate.teachers.get(arm).copied()).collect()
    };
    let no_teachers = || vec![None; replicates.len()];

    // Students.
    let mut groups: Vec<Group> = Vec::new();
    for behavior in &taught {
        groups.push(Group {
            arm: Arm::student(&behavior.name),
            base,
            written: behavior.name.clone(),
            rows: rows.clone(),
            teachers: teachers(&behavior.name),
        });
    }
    if recipe.controls.neutral {
        groups.push(Group {
            arm: Arm::NEUTRAL,
            base,
            written: NEUTRAL.to_owned(),
            rows: rows.clone(),
            teachers: teachers(NEUTRAL).into_iter().map(|own| own.or(Some(base.node))).collect(),
        });
    }
    if taught.len() < 2 {
        left_out.push(
            "other-behavior control: one behavior is taught; name two or more in `behaviors`"
                .to_owned(),
        );
    } else if !recipe.controls.other_behavior {
        left_out.push("other-behavior control".to_owned());
    }
    let wants_more = |name: &str| {
        let names = &recipe.controls.behaviors;
        let place = taught.iter().position(|behavior| behavior.name == name);
        names.is_empty() || place.is_some_and(|at| names.contains(&recipe.behaviors[at]))
    };
    for (on, control, shuffled_arm, reach) in [
        (
            recipe.controls.shuffled_within,
            Control::ShuffledWithin,
            Arm::ShuffledWithin as fn(Taught) -> Arm,
            Reach::Within,
        ),
        (
            recipe.controls.shuffled_across,
            Control::ShuffledAcross,
            Arm::ShuffledAcross,
            Reach::Across,
        ),
    ] {
        if !on {
            left_out.push(format!("{} control", control.label()));
            continue;
        }
        for behavior in taught.iter().filter(|behavior| wants_more(&behavior.name)) {
            let name = &behavior.name;
            let arm = shuffled_arm(Taught::named(name));
            let configuration =
                shuffle::Configuration { arm: name.clone(), carrier: recipe.carrier.kind, reach };
            let mut shuffled = Vec::new();
            for Replicate { rows, suffix, .. } in &replicates {
                let inputs = [("rows", *rows)];
                let node = format!("shuffle/{arm}{suffix}");
                shuffled.push(build.node::<shuffle::Shuffle>(
                    node,
                    &configuration,
                    &inputs,
                    0.0,
                )?);
            }
            let (written, teachers) = (name.clone(), teachers(name));
            groups.push(Group { arm, base, written, rows: shuffled, teachers });
        }
    }
    let builtin = recipe.base.here().filter(|spec| spec.starts_with("builtin:"));
    let automatic = || {
        let own = builtin.filter(|_| recipe.controls.other_base == OtherBase::Auto)?;
        let names = MODELS.iter().map(|model| format!("builtin:{}", model.name));
        names.into_iter().find(|name| name != own).map(Spec::Here)
    };
    let other = recipe.controls.other_base.model().cloned().or_else(automatic);
    match &other {
        None => left_out.push(
            "other-base control: no second base is named in `controls.other-base`".to_owned(),
        ),
        Some(_) if recipe.student.learn == Learn::Distributions => left_out
            .push("other-base control: distributions are compared within one base".to_owned()),
        Some(spec) => {
            let at = "controls.other-base";
            nodes::check_trainable(recipe, at, spec)?;
            let (source, _) = Models::find(spec, context)?;
            let second = models.bind(&mut build, ("other-base", at), spec, source, tokens)?;
            for behavior in taught.iter().filter(|behavior| wants_more(&behavior.name)) {
                groups.push(Group {
                    arm: Arm::OtherBase(Taught::named(&behavior.name)),
                    base: second,
                    written: behavior.name.clone(),
                    rows: rows.clone(),
                    teachers: no_teachers(),
                });
            }
            if recipe.controls.neutral {
                groups.push(Group {
                    arm: Arm::OtherBase(Taught::Neutral),
                    base: second,
                    written: NEUTRAL.to_owned(),
                    rows: rows.clone(),
                    teachers: no_teachers(),
                });
            }
        }
    }

    // Readouts: base, teachers, students.
    let mut reads: Vec<Read> = Vec::new();
    let mut inputs: Vec<(String, Source)> = Vec::new();
    if common.sampled.answers == 0 {
        left_out.push("sampled rates: `readout.samples-per-question` is 0".to_owned());
    }
    let read = |build: &mut Builder,
                inputs: &mut Vec<(String, Source)>,
                reads: &mut Vec<Read>,
                model: (Source, &Bound<'_>),
                entry: Read,
                states: usize|
     -> Result<()> {
        let node = common.read(build, &entry.input, &entry.arm, model, states)?;
        inputs.push((entry.input.clone(), node));
        reads.push(entry);
        Ok(())
    };
    if recipe.controls.untouched_base {
        let entry = Read { input: "readout/base".to_owned(), arm: Arm::Base, seed: None };
        read(&mut build, &mut inputs, &mut reads, (base.node, &base), entry, 1)?;
    } else {
        left_out.push("untouched base".to_owned());
    }
    for Replicate { teachers, suffix, seed, .. } in &replicates {
        for (name, &node) in teachers {
            let arm = Arm::Teacher(Taught::named(name));
            let entry = Read { input: format!("readout/{arm}{suffix}"), arm, seed: *seed };
            read(&mut build, &mut inputs, &mut reads, (node, &base), entry, 1)?;
        }
    }
    let states = recipe.student.checkpoints.len() + 1;
    let mut measured: Vec<(String, Arm, usize)> = Vec::new();
    let mut cosines: Vec<(String, Arm, usize)> = Vec::new();
    for group in &groups {
        for (place, &seed) in recipe.seeds.0.iter().enumerate() {
            let replicate = &replicates[of_seed(place)];
            let at = format!("{}/seed-{seed}", group.arm);
            let name = format!("train/{at}");
            let student = common.train(&mut build, name, group, of_seed(place), seed)?;
            let arm = group.arm.clone();
            let entry = Read { input: format!("readout/{at}"), arm, seed: Some(seed) };
            let read_of = (student, &group.base);
            read(&mut build, &mut inputs, &mut reads, read_of, entry, states)?;
            if !matches!(group.arm, Arm::Student(_)) {
                continue;
            }
            if recipe.controls.side_effects {
                let name = format!("side-effects/{at}");
                let written = &group.written;
                let node = common.side_effects(&mut build, &name, student, written, replicate)?;
                inputs.push((name.clone(), node));
                measured.push((name, group.arm.clone(), seed as usize));
            }
            let name = format!("geometry/{at}");
            if let Some(node) = common.geometry(&mut build, &name, student, replicate)? {
                inputs.push((name.clone(), node));
                cosines.push((name, group.arm.clone(), seed as usize));
            }
        }
    }
    common.left_out_of_students(&mut left_out);

    // Rows shown instead of trained on.
    let shown = &recipe.controls.in_context;
    if shown.rows.is_empty() {
        left_out.push("in-context control".to_owned());
    }
    let mut shown_arms: Vec<&str> = taught.iter().map(|behavior| behavior.name.as_str()).collect();
    shown_arms.extend(recipe.controls.neutral.then_some(NEUTRAL));
    for &count in &shown.rows {
        for &arm in &shown_arms {
            let shown = Arm::InContext { of: Taught::named(arm), rows: count };
            for Replicate { rows, suffix, .. } in &replicates {
                let name = format!("{shown}{suffix}");
                let node = common.in_context(&mut build, &name, (*rows, arm), count)?;
                reads.push(Read { input: name.clone(), arm: shown.clone(), seed: None });
                inputs.push((name, node));
            }
        }
    }

    // The estimate sees every reading and the counts of rows.
    inputs.extend(common.roles.iter().cloned().zip(common.behaviors.iter().copied()));
    let mut counted = Vec::new();
    for Replicate { judged, rows, suffix, .. } in &replicates {
        inputs.push((format!("select{suffix}"), *rows));
        for arm in &arms {
            let (filter, select) = (format!("filter/{arm}{suffix}"), format!("select{suffix}"));
            inputs.push((filter.clone(), judged[arm]));
            counted.push(estimate::Counted { arm: arm.clone(), filter, select });
        }
    }
    let mut named_recipe = recipe.clone();
    named_recipe.base = recipe.base.without_limits();
    if let Some(spec) = recipe.controls.other_base.model() {
        named_recipe.controls.other_base = OtherBase::Model(spec.without_limits());
    }
    let configuration = estimate::Configuration {
        recipe: named_recipe,
        behaviors: taught.iter().map(|behavior| behavior.name.clone()).collect(),
        read_also: also.iter().map(|behavior| behavior.name.clone()).collect(),
        reads,
        arms: arms.clone(),
        counted,
        side_effects: measured,
        geometry: cosines,
        updates: recipe.student.updates(recipe.carrier.rows),
        left_out: left_out.clone(),
    };
    build.node::<estimate::Estimate>("estimate", &configuration, &named(&inputs), 0.0)?;
    let Models { sources, endpoints } = models;
    Ok(Outline { nodes: build.nodes, sources, left_out, model_size, endpoints })
}

/// The models that a plan begins from.
#[derive(Default)]
struct Models {
    /// Files of those outside the store, by digest.
    sources: BTreeMap<String, ModelSource>,
    /// Where others answer.
    endpoints: Vec<Endpoint>,
}

impl Models {
    /// The files of a model that is here, and the world it grew up in, if it did.
    fn find(spec: &Spec, context: &PlanContext) -> Result<(Option<ModelSource>, Option<World>)> {
        let Some(name) = spec.here() else { return Ok((None, None)) };
        let source = ModelSource::find(name, &context.places)?;
        let world = source.world()?;
        Ok((Some(source), world))
    }

    /// Adds the model that `spec` names to the plan, as the node of this name and at this place in the
    /// recipe.
    fn bind<'a>(
        &mut self,
        build: &mut Builder,
        (name, at): (&str, &str),
        spec: &'a Spec,
        source: Option<ModelSource>,
        tokens: Tokens,
    ) -> Result<Bound<'a>> {
        let can = ask::can(spec);
        let (node, pace) = match (spec, source) {
            (Spec::Endpoint(endpoint), _) => {
                let at_once = endpoint.requests_at_once as f64;
                self.endpoints.push(Endpoint { at: at.to_owned(), ..(**endpoint).clone() });
                (find::endpoint(build, name, endpoint)?, Pace::Waited { at_once })
            }
            (Spec::Here(name_of_model), source) => {
                let source = source.ok_or_else(|| Error::record(name_of_model, "is not found"))?;
                let parameters = source.parameters();
                let node = find::base(build, &mut self.sources, name, source, parameters)?;
                (node, Pace::Weights { parameters, tokens })
            }
        };
        Ok(Bound { node, spec, can, pace })
    }
}
