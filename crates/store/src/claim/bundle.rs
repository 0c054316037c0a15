//! A signed payload: a Sigstore bundle 0.3 with a DSSE envelope in it, and the key's hint.
//!
//! Sources: the Sigstore bundle format, DSSE 1.0 (the signed bytes are its pre-authentication
//! encoding). Reading is strict: what this build does not check is refused, not passed over.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{PrivateKey, PublicKey};

const MEDIA_TYPE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Bundle {
    media_type: String,
    verification_material: Material,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    dsse_envelope: Option<Envelope>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    message_signature: Option<Value>,
}

/// By what a signature is verified.
#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Material {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    public_key: Option<KeyHint>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    certificate: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    x509_certificate_chain: Option<Value>,
    /// Always written, because strict readers want the field; Go's signers leave it out.
    #[serde(default)]
    tlog_entries: Vec<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    timestamp_verification_data: Option<Value>,
}

/// Signers before 1.1 had the key itself and no hint.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct KeyHint {
    #[serde(default)]
    hint: Option<String>,
    #[serde(default, skip_serializing)]
    #[expect(dead_code, reason = "known, and of no use: the caller has the key")]
    raw_bytes: Option<Value>,
    #[serde(default, skip_serializing)]
    #[expect(dead_code, reason = "as above")]
    key_details: Option<Value>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Envelope {
    payload: String,
    payload_type: String,
    signatures: Vec<EnvelopeSignature>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EnvelopeSignature {
    sig: String,
    /// Says nothing that is signed.
    #[serde(default)]
    keyid: Option<String>,
}

/// The bytes that are signed.
fn encoded(payload: &[u8]) -> Vec<u8> {
    let mut bytes =
        format!("DSSEv1 {} {PAYLOAD_TYPE} {} ", PAYLOAD_TYPE.len(), payload.len()).into_bytes();
    bytes.extend_from_slice(payload);
    bytes
}

/// Signs a payload: a bundle on one line, without a line feed.
pub(super) fn seal(payload: &[u8], key: &PrivateKey) -> String {
    let signature = EnvelopeSignature {
        sig: STANDARD.encode(key.sign(&encoded(payload))),
        keyid: Some(String::new()),
    };
    let hint = Some(key.public().hint().to_string());
    let bundle = Bundle {
        media_type: MEDIA_TYPE.to_owned(),
        verification_material: Material {
            public_key: Some(KeyHint { hint, raw_bytes: None, key_details: None }),
            ..Material::default()
        },
        dsse_envelope: Some(Envelope {
            payload: STANDARD.encode(payload),
            payload_type: PAYLOAD_TYPE.to_owned(),
            signatures: vec![signature],
        }),
        message_signature: None,
    };
    serde_json::to_string(&bundle).expect("JSON because all of it is text")
}

/// The payload of a bundle that `key` signed; the error says, to be read after the file's name, what
/// is wrong with it.
pub(super) fn open(text: &[u8], key: &PublicKey) -> Result<Vec<u8>, String> {
    let bundle: Bundle = serde_json::from_slice(text)
        .map_err(|error| format!("is no Sigstore bundle that this build reads: {error}"))?;
    if bundle.media_type != MEDIA_TYPE {
        return Err(format!(
            "is a bundle of type {:?}, expected `{MEDIA_TYPE}`",
            short(&bundle.media_type)
        ));
    }
    bundle.verification_material.check(key)?;
    if bundle.message_signature.is_some() {
        return Err("signs a file's digest, expected a DSSE envelope with a statement".to_owned());
    }
    let envelope = bundle.dsse_envelope.ok_or("has no DSSE envelope")?;
    if envelope.payload_type != PAYLOAD_TYPE {
        return Err(format!(
            "has a payload of type {:?}, expected `{PAYLOAD_TYPE}`",
            short(&envelope.payload_type)
        ));
    }
    let [signature] = envelope.signatures.as_slice() else {
        let found = envelope.signatures.len();
        return Err(format!("has {found} signatures, expected one"));
    };
    let payload = decoded(&envelope.payload, "payload")?;
    let signature = decoded(&signature.sig, "signature")?;
    if !key.verifies(&encoded(&payload), &signature) {
        return Err("has a signature that is not this key's over what it holds".to_owned());
    }
    Ok(payload)
}

impl Material {
    fn check(&self, key: &PublicKey) -> Result<(), String> {
        if self.certificate.is_some() {
            return Err("is signed without a key of one's own (keyless, with a certificate of Sigstore's), which this build does not verify; use `model_signing verify sigstore`".to_owned());
        }
        if self.x509_certificate_chain.is_some() {
            return Err("is signed with a certificate, which this build does not verify; use `model_signing verify certificate`".to_owned());
        }
        let named = self.public_key.as_ref().ok_or("does not say by which key it is signed")?;
        let hint = key.hint().to_string();
        if let Some(found) = named.hint.as_ref().filter(|found| **found != hint) {
            let found: String = found.chars().take(12).collect();
            return Err(format!("is signed by another key: {found:?}, not {hint:.12}"));
        }
        if !self.tlog_entries.is_empty() {
            return Err(
                "has entries of a transparency log, which this build does not check".to_owned()
            );
        }
        let stamps = self.timestamp_verification_data.as_ref();
        let stamped = |value: &Value| value.as_array().is_none_or(|list| !list.is_empty());
        let is_stamped =
            |data: &Value| data.as_object().is_none_or(|fields| fields.values().any(stamped));
        if stamps.is_some_and(is_stamped) {
            return Err("has timestamps, which this build does not check".to_owned());
        }
        Ok(())
    }
}

/// Only the one spelling that an encoder writes.
fn decoded(text: &str, what: &str) -> Result<Vec<u8>, String> {
    STANDARD
        .decode(text)
        .map_err(|error| format!("has a {what} that is not canonical base64: {error}"))
}

/// The beginning of what a stranger wrote.
fn short(text: &str) -> String {
    text.chars().take(60).collect()
}
