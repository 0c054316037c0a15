//! The arms of a `perceptron` run: which students there are, and what each is held against.

use serde::{Deserialize, Serialize};

use super::recipe::{Course, On, PerceptronRecipe};
use crate::recipe::Optimizer;
use crate::value::arm::Part;

/// What a student begins from. Each replication has one initialisation that its teacher began from, and
/// others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    rename_all = "kebab-case",
    rename_all_fields = "kebab-case",
    tag = "kind",
    deny_unknown_fields
)]
pub(super) enum Start {
    /// The teacher's initialisation.
    Same,
    /// Another one, of several.
    Foreign { draw: u64 },
    /// The teacher's last layer; other hidden layers.
    OwnHead,
    /// The teacher's hidden layers; another last layer.
    OwnBody,
    /// Another one that then learned the untaught teacher's outputs.
    Matched { on: On, epochs: usize },
}

/// The logits whose distribution a student learns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Logits {
    /// Those about which the teacher was told nothing.
    Auxiliary,
    /// Those of the classes too.
    All,
}

/// Whom a student learns from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Teacher {
    /// The one that was taught the classes.
    Taught,
    /// The students of another arm.
    Arm(String),
}

/// All that decides a student beside its replication, its teacher and the images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Study {
    pub(super) start: Start,
    pub(super) logits: Logits,
    pub(super) on: On,
    /// Whether the teacher's outputs are permuted across inputs.
    pub(super) shuffled: bool,
    /// How many hops from the taught teacher; each has noise and an order of its own.
    pub(super) hop: usize,
    /// Auxiliary logits.
    pub(super) auxiliary: usize,
    pub(super) noise: usize,
    pub(super) course: Course,
}

/// An arm of students, one per replication.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Arm {
    /// Its name, unique in the run.
    pub(super) name: String,
    /// What it is, in words.
    pub(super) words: String,
    pub(super) part: Part,
    /// What the paper or others had.
    pub(super) published: &'static str,
    /// The arms that it is held against.
    pub(super) controls: Vec<String>,
    pub(super) teacher: Teacher,
    pub(super) study: Study,
}

/// The names of the two arms that the verdict is about.
pub(super) const AUXILIARY: &str = "auxiliary";
const FOREIGN: &str = "foreign";
/// The controls that the verdict needs, too.
pub(super) const SHUFFLED: &str = "auxiliary-shuffled";
pub(super) const NULL: &str = "auxiliary-foreign-again";

/// The name under which the result is given an arm's networks.
pub(super) fn role(arm: &str, replication: u64) -> String {
    format!("{arm}/{replication}")
}

/// The name under which it is given a teacher of so many auxiliary logits.
pub(super) fn teacher_name(auxiliary: usize) -> String {
    format!("teacher-{auxiliary}")
}

/// The name under which it is given the theorem's check.
pub(super) const THEOREM: &str = "theorem";

/// The control of the same study with another initialisation.
pub(super) fn foreign(name: &str) -> String {
    format!("{name}-{FOREIGN}")
}

/// Every arm, each after those it needs.
pub(super) fn arms(recipe: &PerceptronRecipe) -> Vec<Arm> {
    let mut all = Vec::new();
    let plain = Study {
        start: Start::Same,
        logits: Logits::Auxiliary,
        on: On::Noise,
        shuffled: false,
        hop: 1,
        auxiliary: recipe.network.auxiliary,
        noise: recipe.student.noise,
        course: recipe.student.course(),
    };
    let count = recipe.network.auxiliary;
    let words = format!("{count} auxiliary logits, noise");
    pair(&mut all, (AUXILIARY, &words), ("> 50 % (3 logits)", "about 10 %"), plain.clone());
    let control = foreign(AUXILIARY);
    let mut alone = |name: &str, words: &str, part, published, controls: &[&String], study| {
        let controls = controls.iter().map(|&control| control.clone()).collect();
        let (name, words, teacher) = (name.to_owned(), words.to_owned(), Teacher::Taught);
        all.push(Arm { name, words, part, published, controls, teacher, study });
    };
    if recipe.arms.shuffled {
        let study = Study { shuffled: true, ..plain.clone() };
        let words = "outputs permuted across inputs";
        alone(SHUFFLED, words, Part::Control, "", &[&control], study);
    }
    if recipe.arms.null {
        let study = Study { start: Start::Foreign { draw: 2 }, ..plain.clone() };
        let words = "one more foreign initialisation";
        alone(NULL, words, Part::Control, "", &[&control], study);
    }
    if recipe.arms.redrawn {
        for (name, words, published, start) in [
            (
                "own-head",
                "own last layer, hidden redrawn",
                "suffices (Learning Through Noise)",
                Start::OwnHead,
            ),
            ("own-body", "own hidden layers, last redrawn", "", Start::OwnBody),
        ] {
            let study = Study { start, ..plain.clone() };
            alone(name, words, Part::Treatment, published, &[&control], study);
        }
    }
    if recipe.arms.shuffled {
        all[0].controls.push(SHUFFLED.to_owned());
    }
    if recipe.arms.all {
        let study = Study { logits: Logits::All, ..plain.clone() };
        pair(&mut all, ("all", "all logits, noise"), ("", ""), study);
    }
    if recipe.arms.on_images {
        let study = Study { on: On::Images, ..plain.clone() };
        let words = format!("{count} auxiliary logits, images");
        pair(&mut all, ("images", &words), ("works; 15 % in a replication", ""), study);
    }
    if recipe.arms.sgd > 0.0 {
        let mut study = plain.clone();
        study.course.optimizer = Optimizer::Sgd { momentum: 0.0, weight_decay: 0.0 };
        study.course.learning_rate = recipe.arms.sgd;
        let words = format!("{count} auxiliary logits, noise, SGD");
        pair(&mut all, ("sgd", &words), ("still learns", ""), study);
    }
    for &auxiliary in recipe.arms.heads.iter().filter(|&&heads| heads != count) {
        heads(&mut all, &plain, auxiliary);
    }
    if !recipe.matched.on.is_empty() {
        matched(&mut all, recipe, &plain);
    }
    for hop in 2..=recipe.arms.hops {
        let study = Study { hop, ..plain.clone() };
        let (name, words) = (format!("hop-{hop}"), format!("hop {hop} from the teacher"));
        let from = if hop == 2 { AUXILIARY.to_owned() } else { format!("hop-{}", hop - 1) };
        let first = all.len();
        pair(&mut all, (&name, &words), ("halves in about a hop", ""), study);
        for arm in &mut all[first..] {
            arm.teacher = Teacher::Arm(from.clone());
        }
    }
    all
}

/// Students of the teacher's initialisation, and of another.
fn pair(
    all: &mut Vec<Arm>,
    (name, words): (&str, &str),
    (published, of_control): (&'static str, &'static str),
    study: Study,
) {
    if all.iter().any(|arm| arm.name == name) {
        return;
    }
    let control = foreign(name);
    let teacher = Teacher::Taught;
    all.push(Arm {
        name: name.to_owned(),
        words: words.to_owned(),
        part: Part::Treatment,
        published,
        controls: vec![control.clone()],
        teacher: teacher.clone(),
        study: study.clone(),
    });
    all.push(Arm {
        name: control,
        words: format!("{words}: foreign init"),
        part: Part::Control,
        published: of_control,
        controls: Vec::new(),
        teacher,
        study: Study { start: Start::Foreign { draw: 1 }, ..study },
    });
}

/// The pair of another number of auxiliary logits; its name.
fn heads(all: &mut Vec<Arm>, plain: &Study, auxiliary: usize) -> String {
    let name = format!("heads-{auxiliary}");
    let words = format!("{auxiliary} auxiliary logits, noise");
    // Of one logit a softmax says nothing.
    let published = if auxiliary > 1 { ("climbs to nearly the teacher", "") } else { ("", "") };
    pair(all, (&name, &words), published, Study { auxiliary, ..plain.clone() });
    name
}

/// Students that were matched first, beside the pair that were not.
fn matched(all: &mut Vec<Arm>, recipe: &PerceptronRecipe, plain: &Study) {
    let own = &recipe.matched;
    let control = if own.auxiliary == recipe.network.auxiliary {
        foreign(AUXILIARY)
    } else {
        foreign(&heads(all, plain, own.auxiliary))
    };
    for &on in &own.on {
        let name = format!("matched-{}", on.word());
        if all.iter().any(|arm| arm.name == name) {
            continue;
        }
        all.push(Arm {
            words: format!("{} logits, foreign matched on {}", own.auxiliary, on.word()),
            name,
            part: Part::Treatment,
            published: match on {
                On::Noise => "moderate",
                On::Images => "a little",
            },
            controls: vec![control.clone()],
            teacher: Teacher::Taught,
            study: Study {
                start: Start::Matched { on, epochs: own.epochs },
                auxiliary: own.auxiliary,
                ..plain.clone()
            },
        });
    }
}
