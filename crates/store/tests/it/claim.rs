//! Signatures of files, beside the reference tool's: `tests/golden/claims/make.py` wrote them and what the tool said.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use owlet_store::claim::{PrivateKey, PublicKey, Tree, signature};
use owlet_store::{Error, ProblemKind};
use serde::Deserialize;

/// What a folder holds: the content of a file, or where a link leads.
#[derive(Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    Link([String; 1]),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Vector {
    name: String,
    by: String,
    files: BTreeMap<String, Content>,
    bundle: String,
    accepted: bool,
    why: String,
}

fn vectors() -> Vec<Vector> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/claims/vectors.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// What the tool accepts, and is refused here, with the beginning of why.
const STRICTER: &[(&str, &str)] = &[
    ("two signatures", "has 2 signatures, expected one"),
    ("base64 with a line feed", "has a payload that is not canonical base64"),
    ("base64 with more padding", "has a payload that is not canonical base64"),
    ("signed as version 0.2 did, wrongly", "has a signature that is not this key's"),
    ("a file listed twice", "lists \"a/x\" twice"),
    ("a file listed twice, once wrongly", "lists \"a/x\" twice"),
    ("no files", "lists no files"),
];

fn key(number: u8) -> PrivateKey {
    PrivateKey::from_random(&[number; 32]).unwrap()
}

/// Writes the files of a vector and returns where.
fn place(folder: &Path, files: &BTreeMap<String, Content>) -> PathBuf {
    if let Some(Content::Text(text)) = files.get(".") {
        let path = folder.join("rows.jsonl");
        std::fs::write(&path, text).unwrap();
        return path;
    }
    let tree = folder.join("tree");
    std::fs::create_dir(&tree).unwrap();
    for (name, content) in files {
        let path = tree.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        match content {
            Content::Text(text) => std::fs::write(&path, text).unwrap(),
            #[cfg(unix)]
            Content::Link([to]) => std::os::unix::fs::symlink(to, &path).unwrap(),
            #[cfg(not(unix))]
            Content::Link(_) => {}
        }
    }
    tree
}

/// What is said of a vector: nothing where it is accepted.
fn said(vector: &Vector) -> String {
    let folder = tempfile::tempdir().unwrap();
    let place = place(folder.path(), &vector.files);
    let bundle = folder.path().join("sig");
    std::fs::write(&bundle, &vector.bundle).unwrap();
    match signature::verify(&place, &bundle, &key(7).public(), false, &mut |_, _| {}) {
        Ok(checked) => {
            let problems = checked.problems.iter().map(ToString::to_string);
            problems.collect::<Vec<_>>().join("; ")
        }
        Err(Error::Refused { why, line: 0, .. } | Error::Unsignable { why, .. }) => why,
        Err(other) => panic!("{}: {other}", vector.name),
    }
}

#[test]
fn what_the_reference_tool_accepts_and_refuses_is_accepted_and_refused() {
    let (mut accepted, mut refused) = (0, 0);
    for vector in vectors() {
        let said = said(&vector);
        let stricter = STRICTER.iter().find(|(name, _)| *name == vector.name);
        if let Some((name, why)) = stricter {
            assert!(vector.accepted && said.starts_with(why), "{name}: {said:?}");
        } else {
            let (name, tool) = (&vector.name, &vector.why);
            assert_eq!(said.is_empty(), vector.accepted, "{name}: here {said:?}, there {tool:?}");
        }
        if said.is_empty() { accepted += 1 } else { refused += 1 }
    }
    assert!(accepted >= 14 && refused >= 45, "{accepted} accepted, {refused} refused");
}

#[test]
fn what_is_signed_here_is_what_the_reference_tool_has_read() {
    let own: Vec<Vector> = vectors().into_iter().filter(|vector| vector.by == "owlet").collect();
    assert_eq!(own.len(), 2);
    for vector in own {
        let folder = tempfile::tempdir().unwrap();
        let tree = Tree::read(&place(folder.path(), &vector.files), &[], &mut |_, _| {}).unwrap();
        let signed = signature::sign(&tree, &[], &key(7)).unwrap();
        assert_eq!(signed, vector.bundle, "{}: run make.py again", vector.name);
    }
}

#[test]
fn every_refusal_says_what_is_wrong() {
    let why: BTreeMap<String, String> =
        vectors().iter().map(|vector| (vector.name.clone(), said(vector))).collect();
    let told = |name: &str| why[name].as_str();
    insta::assert_snapshot!(told("a file renamed"), @"`config.json` is signed, and missing; `config2.json` is not signed");
    insta::assert_snapshot!(told("a byte flipped"), @"`a/x` has digest 81f1562dad0d instead of 2c8b08da5ce6");
    insta::assert_snapshot!(told("a link in the place of a file"), @"has the symbolic link `config.json` in it, which is not followed");
    insta::assert_snapshot!(told("another key's hint"), @r#"is signed by another key: "000000000000", not d9edd6aae988"#);
    insta::assert_snapshot!(told("another type of payload"), @r#"has a payload of type "application/json", expected `application/vnd.in-toto+json`"#);
    insta::assert_snapshot!(told("a certificate for a key"), @"is signed without a key of one's own (keyless, with a certificate of Sigstore's), which this build does not verify; use `model_signing verify sigstore`");
    insta::assert_snapshot!(told("another predicate"), @r#"says "https://slsa.dev/provenance/v1", expected a signature of files (`https://model_signing/signature/v1.0`)"#);
    insta::assert_snapshot!(told("another root"), @"lists files that do not come to the root it names");
    insta::assert_snapshot!(told("a file above the folder"), @r#"lists "../tree/a/x", which leads out of the folder"#);
    insta::assert_snapshot!(told("a file by its whole path"), @r#"lists "/etc/hostname", which leads out of the folder"#);
    insta::assert_snapshot!(told("an unknown method"), @r#"lists files by the method "tree"; this build knows `files` and `shards`"#);
    insta::assert_snapshot!(told("digests of BLAKE2"), @r#"has digests of "blake2b", which this build does not compute; it knows `sha256` and `blake3`"#);
    insta::assert_snapshot!(told("all of it ignored"), @r#"ignores ".", which is not the plain way to write a name"#);
    insta::assert_snapshot!(told("pieces, one more"), @"`even` is longer than what was signed");
    insta::assert_snapshot!(told("pieces, a byte flipped"), @"`long` is not what was signed between bytes 24 and 30");
    insta::assert_snapshot!(told("a folder for a file"), @"signs a file alone, not a folder");
    insta::assert_snapshot!(told("a file for a folder"), @r#"signs "a-b/x" and others, not a file `rows.jsonl` alone"#);
    insta::assert_snapshot!(told("cut short"), @"is no Sigstore bundle that this build reads: EOF while parsing a string at line 1 column 1947");
}

#[test]
fn no_flipped_bit_of_a_signature_is_believed_and_no_part_of_one() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("rows.jsonl");
    std::fs::write(&place, "owl").unwrap();
    let tree = Tree::read(&place, &[], &mut |_, _| {}).unwrap();
    let signed = signature::sign(&tree, &[], &key(7)).unwrap();
    let bundle = folder.path().join("sig");
    let is_believed = |bytes: &[u8]| {
        std::fs::write(&bundle, bytes).unwrap();
        let checked = signature::verify(&place, &bundle, &key(7).public(), false, &mut |_, _| {});
        checked.is_ok_and(|checked| checked.problems.is_empty())
    };
    assert!(is_believed(signed.as_bytes()));
    for position in (0..signed.len()).step_by(3) {
        for bit in [1, 32] {
            let mut bytes = signed.clone().into_bytes();
            bytes[position] ^= bit;
            assert!(!is_believed(&bytes), "byte {position}: {}", String::from_utf8_lossy(&bytes));
        }
    }
    // All but the last line feed says it all.
    for length in (0..signed.len() - 1).step_by(61) {
        assert!(!is_believed(&signed.as_bytes()[..length]), "{length}");
    }
}

#[test]
fn files_that_are_not_signed_can_be_passed_over_and_are_named() {
    let vectors = vectors();
    let added = vectors.iter().find(|vector| vector.name == "a file added").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let place = place(folder.path(), &added.files);
    let bundle = folder.path().join("sig");
    std::fs::write(&bundle, &added.bundle).unwrap();
    let verify = |pass_over| {
        signature::verify(&place, &bundle, &key(7).public(), pass_over, &mut |_, _| {}).unwrap()
    };
    let strict = verify(false);
    assert_eq!(strict.problems.len(), 1);
    assert_eq!(strict.problems[0].kind, ProblemKind::Foreign);
    let passed = verify(true);
    assert!(passed.problems.is_empty());
    assert_eq!(passed.unsigned, ["loader.py"]);
    assert_eq!(passed.tree.files.len(), 4);
}

#[test]
fn the_digest_of_a_tree_binds_names_and_the_root_does_not() {
    let read = |files: &[(&str, &str)]| {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        Tree::read(folder.path(), &[], &mut |_, _| {}).unwrap()
    };
    let tree = read(&[("a", "1"), ("b", "2")]);
    let renamed = read(&[("a", "1"), ("c", "2")]);
    assert_eq!(tree.root(), renamed.root());
    assert_ne!(tree.digest(), renamed.digest());
    // As the documentation of formats has it, put together and hashed by Python's `hashlib`.
    insta::assert_snapshot!(tree.digest(), @"f8b57647d6091f7d6056aa09ae0fc44b094e883ca9bab8defd28c563d1717d76");
    // By code points: a dash comes before a slash.
    let order: Vec<String> =
        read(&[("a/x", "1"), ("a-b/x", "2")]).files.into_iter().map(|file| file.name).collect();
    assert_eq!(order, ["a-b/x", "a/x"]);
}

#[test]
fn keys_are_written_once_and_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key.pem");
    let public = key(7).create(&path).unwrap();
    assert_eq!(public, folder.path().join("key.pub"));
    let hint = key(7).public().hint();
    assert_eq!(PrivateKey::read(&path).unwrap().public().hint(), hint);
    assert_eq!(PublicKey::read(&public).unwrap().hint(), hint);
    assert!(matches!(key(9).create(&path), Err(Error::Key { .. })));
    assert!(PrivateKey::read(&public).is_err() && PublicKey::read(&path).is_err());
    assert_eq!(format!("{:?}", key(7)), format!("PrivateKey(of {})", hint.short()));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}

/// Written by `openssl ecparam -genkey` (SEC1, the curve before it) and `openssl genpkey`.
#[test]
fn keys_of_openssl_are_read_and_others_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    let said = |pem: &str| {
        std::fs::write(&path, pem).unwrap();
        match PrivateKey::read(&path) {
            Ok(key) => key.public().hint().short(),
            Err(Error::Key { why, .. }) => why,
            Err(other) => panic!("{other}"),
        }
    };
    insta::assert_snapshot!(said(SEC1), @"b2911d417c99");
    insta::assert_snapshot!(said(ED25519), @"is no key on the curve P-256, which is the only one that this build knows");
    insta::assert_snapshot!(said("-----BEGIN ENCRYPTED PRIVATE KEY-----\n-----END ENCRYPTED PRIVATE KEY-----\n"), @"is encrypted, which this build does not read; `openssl pkey -in KEY -out PLAIN` decrypts it");
    insta::assert_snapshot!(said("owl"), @"is no private key in PEM");
}

const SEC1: &str = "-----BEGIN EC PARAMETERS-----
BggqhkjOPQMBBw==
-----END EC PARAMETERS-----
-----BEGIN EC PRIVATE KEY-----
MHcCAQEEII4DQ9GEeZ8X23MedNxJxbPpiXMyaG58doWpq/VubFsPoAoGCCqGSM49
AwEHoUQDQgAEzcFDn31dOWrouFNHq93U3nsptmIdlEHgNwCjqPy+A8TZuvdduan5
1Vl39dLxEuQkbv0Epgcl7ty9oKA3k7cJUA==
-----END EC PRIVATE KEY-----
";

const ED25519: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC
-----END PRIVATE KEY-----
";
