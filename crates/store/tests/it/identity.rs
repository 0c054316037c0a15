//! Short names.

use owlet_store::{ArtifactId, Entity, Error, Identities, RunId, StepKey};
use proptest::prelude::*;

use crate::fixture::{Workspace, make, record, run};

fn run_id(text: &str) -> Entity {
    Entity::Run(text.parse().unwrap())
}

fn artifact(beginning: &str) -> Entity {
    Entity::Artifact(format!("{beginning:0<64}").parse().unwrap())
}

fn step(beginning: &str) -> Entity {
    Entity::Step(format!("{beginning:0<64}").parse().unwrap())
}

fn identities() -> Identities {
    Identities::new(vec![
        run_id("20261121-225144-3f2a"),
        run_id("20261121-230000-77aa"),
        step("ab12cd"),
        step("77aab"),
        artifact("ab12ce"),
        artifact("ffff"),
    ])
}

#[test]
fn any_unique_beginning_means_the_thing() {
    let ids = identities();
    for (prefix, entity) in [
        ("20261121-2251", run_id("20261121-225144-3f2a")),
        ("3f", run_id("20261121-225144-3f2a")),
        ("ab12cd", step("ab12cd")),
        ("ab12ce", artifact("ab12ce")),
        ("f", artifact("ffff")),
        ("77aab", step("77aab")),
    ] {
        assert_eq!(ids.resolve(prefix).unwrap(), entity, "{prefix}");
    }
}

#[test]
fn ambiguous_and_unknown_names_say_what_there_is() {
    let ids = identities();
    insta::assert_snapshot!(ids.resolve("20261121").unwrap_err(), @"`20261121` is ambiguous: run 20261121-225144-3f2a, run 20261121-230000-77aa");
    insta::assert_snapshot!(ids.resolve("ab12").unwrap_err(), @"`ab12` is ambiguous: step ab12cd000000, artifact ab12ce000000");
    insta::assert_snapshot!(ids.resolve("zz").unwrap_err(), @"no run, step or artifact begins with `zz`: the workspace holds 2 runs, 2 steps and 2 artifacts; the latest run is `20261121-230000-77aa`");
    assert!(matches!(ids.resolve(""), Err(Error::Ambiguous { .. })));
    insta::assert_snapshot!(Identities::new(vec![]).resolve("1").unwrap_err(), @"no run, step or artifact begins with `1`: the workspace holds 0 runs, 0 steps and 0 artifacts");
}

#[test]
fn shortest_names_are_long_enough_to_be_unique() {
    let ids = identities();
    assert_eq!(ids.shortest_prefix(&run_id("20261121-225144-3f2a")), "3f2a");
    assert_eq!(ids.shortest_prefix(&run_id("20261121-230000-77aa")), "20261121-23");
    assert_eq!(ids.shortest_prefix(&step("ab12cd")), "ab12cd");
    assert_eq!(ids.shortest_prefix(&step("77aab")), "77aab");
    assert_eq!(ids.shortest_prefix(&artifact("ffff")), "ffff");
}

proptest! {
    #[test]
    fn the_shortest_name_of_anything_means_that_thing(
        bytes in prop::collection::btree_set(prop::array::uniform2(0u8..4), 1..20),
        runs in prop::collection::btree_set((0u8..3, 0u64..8), 0..10),
    ) {
        // Few distinct bytes, so that long common beginnings are the rule.
        let mut entities: Vec<Entity> = bytes.iter().enumerate().map(|(index, pair)| {
            let mut id = [0x11; 32];
            id[1..3].copy_from_slice(pair);
            if index % 2 == 0 {
                Entity::Step(StepKey::from_bytes(id))
            } else {
                Entity::Artifact(ArtifactId::from_bytes(id))
            }
        }).collect();
        entities.extend(runs.iter().map(|(second, nonce)| {
            let id = RunId::new(&format!("2026-11-21T22:51:0{second}Z"), *nonce * 0x1101).unwrap();
            Entity::Run(id)
        }));
        let ids = Identities::new(entities.clone());
        for entity in entities {
            let short = ids.shortest_prefix(&entity);
            prop_assert_eq!(ids.resolve(&short).unwrap(), entity, "{}", short);
        }
    }
}

#[test]
fn everything_in_a_workspace_can_be_named() {
    let workspace = Workspace::new();
    let store = &workspace.store;
    let output = make(store, "rows", &[("a", b"1")]);
    let step = record("sample", serde_json::json!({}), &[], output.id);
    store.record_step(&step).unwrap();
    let (id, header) = run("2026-11-21T22:51:44Z", 0x3f2a);
    store.create_run(&id, &header).unwrap();
    for entity in [Entity::Run(id), Entity::Step(step.key), Entity::Artifact(output.id)] {
        let short = store.identities().unwrap().shortest_prefix(&entity);
        assert_eq!(short.len(), 4);
        assert_eq!(store.resolve(&short).unwrap(), entity);
    }
}
