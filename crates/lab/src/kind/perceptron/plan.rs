//! The graph of a `perceptron` recipe: images; per replication a teacher for every number of auxiliary logits,
//! a student for every arm, the theorem's check; the result.

use std::collections::BTreeMap;

use super::arms::{Arm, Start, THEOREM, Teacher, arms, role, teacher_name};
use super::images::{self, Images};
use super::recipe::{Course, GENERATED, Network, PerceptronRecipe};
use super::{estimate, learn, study, teach, theorem};
use crate::error::Result;
use crate::random::derive_seed;
use crate::run::plan::{Builder, Outline, PlanContext, Source, named};

/// Pixels of the images that are drawn.
const GENERATED_PIXELS: usize = 784;
/// Operations per pixel of such an image: a guess.
const DRAWING: f64 = 300.0;

pub(super) fn plan(recipe: &PerceptronRecipe, context: &PlanContext) -> Result<Outline> {
    let (train, test) = (recipe.train_images, recipe.test_images);
    let mut sources = BTreeMap::new();
    let (configuration, pixels) = if recipe.images == GENERATED {
        let seed = derive_seed(recipe.seed, &["images".into()]);
        (images::Configuration::Generated { seed, train, test }, GENERATED_PIXELS)
    } else {
        let (source, pixels) =
            images::find(&recipe.name, &recipe.images, &context.folder.join(&recipe.images))?;
        let digest = source.digest()?;
        sources.insert(digest.clone(), source);
        (images::Configuration::Files { digest, train, test }, pixels)
    };
    let mut build = Builder::default();
    let cost = DRAWING * (pixels * (train + test)) as f64;
    let images = build.node::<Images>("images", &configuration, &[], cost)?;
    let arms = arms(recipe);
    let mut inputs = vec![("images".to_owned(), images)];
    for number in 1..=recipe.replications as u64 {
        let root = derive_seed(recipe.seed, &["replication".into(), number.into()]);
        let one = Replication { recipe, images, pixels, number, root };
        inputs.extend(one.nodes(&arms, &mut build)?);
    }
    let configuration = estimate::Configuration { recipe: recipe.clone() };
    build.node::<estimate::Estimation>("result", &configuration, &named(&inputs), 0.0)?;
    let left_out = [
        (!recipe.arms.shuffled, "outputs permuted across inputs"),
        (!recipe.arms.null, "one more foreign initialisation"),
        (!recipe.theorem.check, "the theorem's check"),
    ];
    let left_out = left_out.into_iter().filter(|(is_out, _)| *is_out);
    Ok(Outline {
        nodes: build.nodes,
        sources,
        left_out: left_out.map(|(_, what)| what.to_owned()).collect(),
        model_size: 4 * parameters(pixels, &recipe.network) as u64,
        ..Outline::default()
    })
}

/// Numbers of a network.
pub(super) fn parameters(pixels: usize, network: &Network) -> usize {
    let widths = learn::widths(pixels, network);
    widths.windows(2).map(|pair| (pair[0] + 1) * pair[1]).sum()
}

struct Replication<'a> {
    recipe: &'a PerceptronRecipe,
    images: Source,
    pixels: usize,
    number: u64,
    /// The root of its chance.
    root: u64,
}

impl Replication<'_> {
    /// Adds everything of it; what the result needs of it.
    fn nodes(&self, arms: &[Arm], build: &mut Builder) -> Result<Vec<(String, Source)>> {
        let mut made: BTreeMap<String, Source> = BTreeMap::new();
        for arm in arms {
            let auxiliary = arm.study.auxiliary;
            let teacher = match &arm.teacher {
                Teacher::Arm(name) => made.get(name).copied(),
                Teacher::Taught => made.get(&teacher_name(auxiliary)).copied(),
            };
            let teacher = match teacher {
                Some(teacher) => teacher,
                None => self.teacher(auxiliary, &mut made, build)?,
            };
            let configuration = study::Configuration {
                replication: self.root,
                hidden: self.recipe.network.hidden.clone(),
                study: arm.study.clone(),
            };
            let matching = match arm.study.start {
                Start::Matched { epochs, .. } => epochs,
                _ => 0,
            };
            let epochs = arm.study.course.epochs + matching;
            let cost = self.cost(auxiliary, arm.study.noise, epochs);
            let inputs = [("images", self.images), ("teacher", teacher)];
            let name = format!("student/{}/{}", arm.name, self.number);
            let node = build.node::<study::Student>(name, &configuration, &inputs, cost)?;
            made.insert(arm.name.clone(), node);
        }
        if self.recipe.theorem.check {
            let configuration = theorem::Configuration {
                replication: self.root,
                network: self.recipe.network.clone(),
                theorem: self.recipe.theorem,
            };
            let cost = self.cost(self.recipe.network.auxiliary, 20 * self.recipe.theorem.rows, 1);
            let name = format!("theorem/{}", self.number);
            let inputs = [("images", self.images)];
            let node = build.node::<theorem::Checks>(name, &configuration, &inputs, cost)?;
            made.insert(THEOREM.to_owned(), node);
        }
        let roles = made.into_iter();
        Ok(roles.map(|(name, source)| (role(&name, self.number), source)).collect())
    }

    fn teacher(
        &self,
        auxiliary: usize,
        made: &mut BTreeMap<String, Source>,
        build: &mut Builder,
    ) -> Result<Source> {
        let course: Course = self.recipe.teacher.clone();
        let cost = self.cost(auxiliary, self.recipe.train_images, course.epochs);
        let configuration = teach::Configuration {
            replication: self.root,
            network: Network { hidden: self.recipe.network.hidden.clone(), auxiliary },
            course,
        };
        let name = teacher_name(auxiliary);
        let inputs = [("images", self.images)];
        let title = format!("teacher/{auxiliary}/{}", self.number);
        let node = build.node::<teach::Teach>(title, &configuration, &inputs, cost)?;
        made.insert(name, node);
        Ok(node)
    }

    /// Operations of training: a forward pass, and twice that for the gradients.
    fn cost(&self, auxiliary: usize, rows: usize, epochs: usize) -> f64 {
        let network = Network { hidden: self.recipe.network.hidden.clone(), auxiliary };
        6.0 * parameters(self.pixels, &network) as f64 * (rows * epochs) as f64
    }
}
