use crate::testkit::Folder;

#[test]
fn every_finding_has_a_state_and_every_warning_a_hint() {
    let folder = Folder::new();
    let findings = folder.run(&["doctor", "--json"]).json();
    let findings = findings.as_array().unwrap();
    assert!(findings.len() >= 8);
    for finding in findings {
        assert!(finding["found"].as_str().is_some_and(|text| !text.is_empty()), "{finding}");
        assert!(finding["state"] == "ok" || finding["hint"].as_str().is_some(), "{finding}");
    }
    assert!(!folder.path().join(".owlet").exists());
    assert!(folder.run(&["doctor"]).good().contains("workspace"));
}
