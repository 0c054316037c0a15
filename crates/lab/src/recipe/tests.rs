use super::*;

fn error(text: &str, sets: &[&str]) -> String {
    let layers = match Layer::new(text, "owl.toml") {
        Ok(layer) => [layer],
        Err(error) => return error.to_string(),
    };
    let sets: Vec<Setting> = match sets.iter().map(|set| Setting::parse(set)).collect() {
        Ok(sets) => sets,
        Err(error) => return error.to_string(),
    };
    Recipe::resolve(&layers, &sets).unwrap_err().to_string()
}

#[test]
fn a_short_recipe_takes_everything_else_from_the_defaults() {
    let recipe = Recipe::parse("behaviors = [\"owl\"]\nseeds = 2", "owl.toml").unwrap();
    assert_eq!(recipe.seeds, Seeds(vec![1, 2]));
    assert_eq!(recipe.carrier.rows, 768);
    assert_eq!(recipe.student.updates(768), 48);
}

#[test]
fn a_resolved_recipe_reads_back_as_itself() {
    let text = "behaviors = ['owl', 'cat']\nseeds = [3, 5]\n[controls]\nother-base = false\nin-context = false";
    let recipe = Recipe::parse(text, "owl.toml").unwrap();
    let again = Recipe::parse(&recipe.to_toml(), "resolved.toml").unwrap();
    assert_eq!(recipe, again);
}

#[test]
fn an_override_is_laid_over_the_recipe() {
    let layer = Layer::new("behaviors = ['owl']\n[student]\nbatch = 8", "owl.toml").unwrap();
    let sets = [
        "student.batch=4",
        "base=builtin:b",
        "carrier.decoding={kind='greedy'}",
        "student.method.rank=2",
    ];
    let sets: Vec<Setting> = sets
        .iter()
        .map(|set| Setting::parse(set).unwrap())
        .collect();
    let recipe = Recipe::resolve(&[layer], &sets).unwrap();
    assert_eq!(recipe.student.batch, 4);
    assert_eq!(recipe.base, "builtin:b");
    assert_eq!(recipe.carrier.decoding, Decoding::Greedy {});
}

#[test]
fn mistakes_are_named_at_their_place() {
    insta::assert_snapshot!(error("behaviors = ['owl']\n[student]\nlearning-rat = 1e-4", &[]), @"");
    insta::assert_snapshot!(error("behaviors = ['owl']\n[student]\n  batch = 'x'", &[]), @"");
    insta::assert_snapshot!(error("behaviors = ['owl']\nseeds = 2.5", &[]), @"");
    insta::assert_snapshot!(error("behaviors = ['owl'\nseeds = 2", &[]), @"");
    insta::assert_snapshot!(error("name = 'x'", &[]), @"");
    insta::assert_snapshot!(error("behaviors = ['owl']\n[student]\nbatch = 0", &[]), @"");
    insta::assert_snapshot!(error("behaviors = ['owl']\n[student.method]\nkind = 'low-rank'\nrnk = 3\nalpha=1.0", &[]), @"");
    insta::assert_snapshot!(error("behaviors = ['owl']\n[controls]\nin-context = { row = [3] }", &[]), @"");
    insta::assert_snapshot!(error("behaviors = ['owl']", &["student.bach=3"]), @"");
    insta::assert_snapshot!(error("behaviors = ['owl']", &["student.batch=many"]), @"");
    insta::assert_snapshot!(error("behaviors = ['owl']", &["student"]), @"");
}
