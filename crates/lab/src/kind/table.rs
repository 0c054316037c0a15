//! The table of observations: what models gave, grouped by where they were asked and which behavior was
//! read. Every number of a result is a mean over its cells.

use std::collections::BTreeMap;

use owlet_store::{Artifact, ArtifactId, Store};

use crate::behavior::Kind;
use crate::error::{Error, Result};
use crate::step::behavior::{self, Asked};
use crate::value::jsonl;
use crate::value::measure::{self, Evidence, Measure};
use crate::value::observation::{self, Frame, Given, Observation, Outcome};

/// All that one model gave to one behavior's questions in one place.
#[derive(Clone, Debug, PartialEq)]
pub struct Cell {
    /// Updates of training that the model had taken.
    pub update: usize,
    /// Name of the chat context, or its system text.
    pub context: String,
    /// What stood around the questions.
    pub frame: Frame,
    /// Which draw of rows stood before them.
    pub draw: Option<usize>,
    /// The behavior.
    pub behavior: String,
    /// In the order of the behavior's questions, or of what the frame asks in their place.
    pub questions: Vec<QuestionCell>,
}

/// What one question gave.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct QuestionCell {
    /// Log-probabilities of the candidates that the model can begin an answer with.
    pub told: Told,
    /// What its sampled answers amount to.
    pub outcomes: Vec<Outcome>,
}

/// Log-probabilities of a behavior's candidates.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Told {
    /// The question was not put for them.
    #[default]
    Nothing,
    /// Some were not told: no measure can be had of the others.
    Part,
    /// In nats, the target's first; one row for each order that the question was put in.
    All(Vec<Vec<f64>>),
}

impl Told {
    /// What was told in each order; nothing where something was not.
    pub fn orders(&self) -> &[Vec<f64>] {
        match self {
            Self::All(orders) => orders,
            Self::Nothing | Self::Part => &[],
        }
    }

    /// With what was told in one more order.
    fn and(self, next: Option<Vec<f64>>) -> Self {
        match (self, next) {
            (Self::Part, _) | (_, None) => Self::Part,
            (Self::Nothing, Some(logs)) => Self::All(vec![logs]),
            (Self::All(mut orders), Some(logs)) => {
                orders.push(logs);
                Self::All(orders)
            }
        }
    }
}

impl QuestionCell {
    /// The measure of every thing that the question gave.
    pub fn values(&self, measure: Measure) -> Vec<f64> {
        let logs =
            self.told.orders().iter().filter_map(|logs| measure.of(Evidence::Candidates(logs)));
        let answers =
            self.outcomes.iter().filter_map(|outcome| measure.of(Evidence::Answer(outcome)));
        logs.chain(answers).collect()
    }
}

impl Cell {
    /// The mean over what each question gave, of those that gave something.
    pub fn by_question(&self, measure: Measure) -> Vec<f64> {
        let values = self.questions.iter().map(|question| question.values(measure));
        values.filter_map(|values| mean(&values)).collect()
    }

    /// The model's value: the mean over questions, so that one asked more often does not weigh more; where
    /// the measure is pooled, the mean over all they gave. `None` where it cannot be had of every question.
    pub fn value(&self, measure: Measure) -> Option<f64> {
        if measure.needs_log_probabilities() && self.untold() > 0 {
            return None;
        }
        if measure.is_pooled() {
            let all = self.questions.iter().flat_map(|question| question.values(measure));
            return mean(&all.collect::<Vec<f64>>());
        }
        mean(&self.by_question(measure))
    }

    /// Of a rate: how many answers name the target, of how many.
    pub fn counts(&self, measure: Measure) -> (u64, u64) {
        let all = self.questions.iter().flat_map(|question| question.values(measure));
        all.fold((0, 0), |(hits, n), value| (hits + u64::from(value > 0.0), n + 1))
    }

    /// Questions whose log-probabilities were not all told.
    pub fn untold(&self) -> usize {
        self.questions.iter().filter(|question| question.told == Told::Part).count()
    }

    /// Questions that gave something.
    pub fn asked(&self) -> usize {
        let gave = |one: &&QuestionCell| one.told != Told::Nothing || !one.outcomes.is_empty();
        self.questions.iter().filter(gave).count()
    }

    /// Questions that were put for log-probabilities.
    pub fn read(&self) -> usize {
        self.questions.iter().filter(|question| question.told != Told::Nothing).count()
    }

    /// Sampled answers.
    pub fn outcomes(&self) -> impl Iterator<Item = &Outcome> {
        self.questions.iter().flat_map(|question| &question.outcomes)
    }
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// The cells of one model's observations: places in the order they were asked, behaviors in the order of
/// `asked`; none where nothing was asked.
pub fn cells(observations: &[Observation], asked: &[Asked]) -> Vec<Cell> {
    type Place<'a> = (usize, &'a str, Frame, Option<usize>);
    let mut places: Vec<(Place<'_>, Vec<&Observation>)> = Vec::new();
    for one in observations {
        let place = (one.update, one.context.as_str(), one.frame, one.draw);
        // Observations of one place mostly follow each other.
        match places.iter_mut().rev().find(|(known, _)| *known == place) {
            Some((_, own)) => own.push(one),
            None => places.push((place, vec![one])),
        }
    }
    let mut cells = Vec::new();
    for ((update, context, frame, draw), own) in places {
        for asked in asked {
            let questions = questions(&own, asked, frame);
            let (context, behavior) = (context.to_owned(), asked.behavior.name.clone());
            let cell = Cell { update, context, frame, draw, behavior, questions };
            if cell.asked() > 0 {
                cells.push(cell);
            }
        }
    }
    cells
}

/// What the observations of one place say of a behavior, question by question.
fn questions(observations: &[&Observation], asked: &Asked, frame: Frame) -> Vec<QuestionCell> {
    let texts = frame.asks(&asked.questions);
    let mut cells = vec![QuestionCell::default(); texts.len()];
    for one in observations {
        let mut places = (0..cells.len()).filter(|place| texts[*place] == one.question);
        match &one.given {
            // Of answers that judges read no words are compared, though others may ask the same.
            Given::Candidates { .. } if asked.behavior.kind == Kind::Judged => {}
            Given::Candidates { log_probabilities } => {
                for place in places {
                    let logs = told(log_probabilities, asked, &one.question);
                    cells[place].told = std::mem::take(&mut cells[place].told).and(logs);
                }
            }
            Given::Answer { behavior, outcome, .. } if *behavior == asked.behavior.name => {
                if let Some(place) = places.next() {
                    cells[place].outcomes.push(outcome.clone());
                }
            }
            Given::Answer { .. } => {}
        }
    }
    cells
}

/// The log-probabilities of a behavior's answers, what shows it first; none where one was not told.
fn told(
    log_probabilities: &BTreeMap<String, Option<f64>>,
    asked: &Asked,
    question: &str,
) -> Option<Vec<f64>> {
    let compared = asked.behavior.compared(question);
    // A word that is absent is no way for this model to begin an answer; it is left out.
    let logs = |words: &[&str]| -> Option<Vec<f64>> {
        words.iter().filter_map(|word| log_probabilities.get(*word).copied()).collect()
    };
    let (shows, others) = (logs(&compared.shows)?, logs(&compared.others)?);
    let shown = measure::log_sum(shows.iter().copied());
    (!shows.is_empty() && !others.is_empty()).then(|| [vec![shown], others].concat())
}

/// The observations of a readout's artifact.
///
/// # Errors
/// A file that cannot be read, or a line of it.
pub fn observations(readout: &Artifact) -> Result<Vec<Observation>> {
    let file = observation::FILE;
    if !readout.folder().join(file).is_file() {
        let reason = format!(
            "holds no `{file}`: it was made by an earlier owlet; run its recipe again to read the models anew"
        );
        return Err(Error::record(readout.folder(), reason));
    }
    jsonl::parse(&readout.read(file)?, &readout.folder().join(file))
}

/// The behaviors that a step with these inputs asked about.
///
/// # Errors
/// Artifacts that cannot be read.
pub fn asked(store: &Store, inputs: &BTreeMap<String, ArtifactId>) -> Result<Vec<Asked>> {
    let behaviors = inputs.iter().filter(|(role, _)| role.starts_with(behavior::READ));
    behaviors.map(|(_, id)| behavior::read(&store.artifact(id)?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::behavior::Behavior;
    use crate::model::world::World;

    fn asked(behavior: &str, questions: &[&str]) -> Asked {
        let named = World::named_behavior(behavior).or_else(|| Behavior::built_in(behavior));
        let mut behavior = named.unwrap();
        behavior.candidates.truncate(2);
        let questions = questions.iter().map(|text| (*text).to_owned()).collect();
        Asked { behavior, questions }
    }

    fn one(question: &str, given: Given) -> Observation {
        Observation {
            update: 4,
            context: "none".to_owned(),
            frame: Frame::Plain,
            draw: None,
            question: question.to_owned(),
            order: 0,
            given,
        }
    }

    fn logs(words: &[(&str, Option<f64>)]) -> Given {
        let words = words.iter().map(|(word, log)| ((*word).to_owned(), log.map(f64::ln)));
        Given::Candidates { log_probabilities: words.collect() }
    }

    fn answer(behavior: &str, outcome: Outcome) -> Given {
        Given::Answer {
            behavior: behavior.to_owned(),
            text: String::new(),
            stop: owlet_engine::generate::StopReason::End,
            outcome,
        }
    }

    #[test]
    fn a_cell_is_the_mean_over_questions_whatever_each_gave() {
        let owl = asked("world-owl", &["which?", "what?"]);
        let [first, second] = [0, 1].map(|at: usize| owl.behavior.candidates[at].word.as_str());
        let told = logs(&[("owl", Some(0.25)), (first, Some(0.25)), (second, Some(0.25))]);
        let surer = logs(&[("owl", Some(0.5)), (first, Some(0.125)), (second, Some(0.125))]);
        let other = || Outcome::Other(first.to_owned());
        let name = owl.behavior.name.clone();
        let observations = [
            one("which?", told),
            one("what?", surer),
            one("which?", answer(&name, Outcome::Target)),
            one("which?", answer(&name, other())),
            one("what?", answer(&name, Outcome::Empty)),
            // Another behavior's answer to the same question.
            one("what?", answer("cat", Outcome::Target)),
        ];
        let cells = cells(&observations, &[owl]);
        let [cell] = &*cells else { panic!("one place, one behavior: {cells:?}") };
        let values: Vec<String> =
            Measure::ALL.iter().map(|one| format!("{one:?} {:.6?}", cell.value(*one))).collect();
        insta::assert_snapshot!(values.join("\n"), @r"
        Margin Some(0.693147)
        Share Some(0.500000)
        Rank Some(1.000000)
        Probability Some(0.375000)
        Mass Some(0.750000)
        Rate Some(0.250000)
        RateOfValid Some(0.500000)
        ");
        assert_eq!(cell.counts(Measure::Rate), (1, 3));
        assert_eq!(cell.counts(Measure::RateOfValid), (1, 2));
    }

    #[test]
    fn a_word_that_is_not_told_leaves_no_margin_and_one_that_is_no_token_is_left_out() {
        let owl = asked("world-owl", &["which?", "what?"]);
        let [first, second] = [0, 1].map(|at: usize| owl.behavior.candidates[at].word.clone());
        let whole = logs(&[("owl", Some(0.5)), (&first, Some(0.25)), (&second, Some(0.25))]);
        let short = logs(&[("owl", Some(0.5)), (&first, None), (&second, Some(0.25))]);
        let read = |second: Given| {
            let observations = [one("which?", whole.clone()), one("what?", second)];
            cells(&observations, std::slice::from_ref(&owl)).remove(0)
        };
        let cell = read(short);
        assert_eq!((cell.untold(), cell.read(), cell.value(Measure::Margin)), (1, 2, None));
        let cell = read(logs(&[("owl", Some(0.5)), (&second, Some(0.25))]));
        assert_eq!((cell.untold(), cell.value(Measure::Rank)), (0, Some(1.0)));
        let cell = read(logs(&[("owl", Some(0.5))]));
        assert_eq!((cell.untold(), cell.value(Measure::Mass)), (1, None));
    }

    #[test]
    fn what_a_model_thinks_of_letters_weighs_on_no_option() {
        let owl = asked("world-owl", &["which?"]);
        let words: Vec<String> =
            owl.behavior.compared("which?").words().map(str::to_owned).collect();
        // Each word's odds times those of its letter: two words in three orders' time would not be even.
        let (odds, letters) = ([0.5, 0.2, 0.1], [0.9, 0.08, 0.02]);
        let order = |order: usize| {
            let each: Vec<f64> = (0..3).map(|at| odds[at] * letters[(at + order) % 3]).collect();
            let sum: f64 = each.iter().sum();
            let told: Vec<(&str, Option<f64>)> = words
                .iter()
                .zip(&each)
                .map(|(word, one)| (word.as_str(), Some(one / sum)))
                .collect();
            Observation { order, ..one("which?", logs(&told)) }
        };
        let observations: Vec<Observation> = (0..3).map(order).collect();
        let cell = cells(&observations, std::slice::from_ref(&owl)).remove(0);
        let margin = |told: &[f64; 3]| told[0].ln() - told[1].ln().midpoint(told[2].ln());
        assert!((cell.value(Measure::Margin).unwrap() - margin(&odds)).abs() < 1e-12);
        assert!((cell.value(Measure::Mass).unwrap() - 1.0).abs() < 1e-12);
        assert_eq!((cell.read(), cell.asked(), cell.questions[0].told.orders().len()), (1, 1, 3));
        // One letter that was not told leaves nothing of the question.
        let mut short = observations;
        let Given::Candidates { log_probabilities } = &mut short[1].given else { panic!() };
        log_probabilities.insert(words[0].clone(), None);
        let cell = cells(&short, &[owl]).remove(0);
        assert_eq!((cell.untold(), cell.value(Measure::Margin)), (1, None));
    }

    /// Statements of which every other one matches "no".
    fn statements(count: usize) -> Asked {
        let texts: Vec<String> = (0..count).map(|at| format!("would you say {at}?")).collect();
        let mut behavior = Behavior::built_in("owl").unwrap();
        behavior.kind = crate::behavior::Kind::Statements;
        behavior.target = crate::behavior::Answer::new("yes");
        behavior.candidates = vec![crate::behavior::Answer::new("no")];
        behavior.recognised.clear();
        behavior.reversed = texts.iter().skip(1).step_by(2).cloned().collect();
        Asked { behavior, questions: texts }
    }

    #[test]
    fn who_always_says_yes_agrees_with_nothing() {
        let asked = statements(6);
        let reader = crate::scorer::outcome::OutcomeReader::new(&asked.behavior, &[]);
        let yes = || logs(&[("yes", Some(0.9)), ("no", Some(0.05))]);
        let mut observations = Vec::new();
        for text in &asked.questions {
            let outcome = reader.read_to(text, "Yes, of course.", false);
            observations.extend([one(text, yes()), one(text, answer("owl", outcome))]);
        }
        let cells = cells(&observations, &[asked]);
        let values: Vec<String> = Measure::ALL
            .iter()
            .map(|one| format!("{one:?} {:.6?}", cells[0].value(*one)))
            .collect();
        insta::assert_snapshot!(values.join("\n"), @"
        Margin Some(0.000000)
        Share Some(0.500000)
        Rank Some(1.500000)
        Probability Some(0.475000)
        Mass Some(0.950000)
        Rate Some(0.500000)
        RateOfValid Some(0.500000)
        ");
        // Not nearly: exactly.
        assert_eq!(cells[0].value(Measure::Margin), Some(0.0));
    }

    #[test]
    fn who_answers_as_each_statement_wants_agrees() {
        let asked = statements(2);
        let told = [
            logs(&[("yes", Some(0.8)), ("no", Some(0.1))]),
            logs(&[("yes", Some(0.1)), ("no", Some(0.8))]),
        ];
        let observations: Vec<Observation> =
            asked.questions.iter().zip(told).map(|(text, told)| one(text, told)).collect();
        let cell = cells(&observations, &[asked]).remove(0);
        assert!((cell.value(Measure::Margin).unwrap() - 8.0_f64.ln()).abs() < 1e-12);
        assert!((cell.value(Measure::Probability).unwrap() - 0.8).abs() < 1e-12);
    }
}
