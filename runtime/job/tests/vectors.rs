//! The published test vectors are what the code computes, and the code takes and refuses what they say.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests may panic")]

use isobit_job::{Claim, Envelope, JobSpec, Receipt, SecretKey};
use serde_json::Value;

#[path = "../examples/vectors.rs"]
#[allow(dead_code, reason = "it is a program, of which a test uses a part")]
mod vectors;

fn read(name: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(vectors::folder().join(name)).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn unhex(value: &Value) -> Vec<u8> {
    let text = value.as_str().unwrap();
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
}

#[test]
fn the_published_files_are_what_the_code_writes() {
    for (name, content) in vectors::files() {
        let published = std::fs::read_to_string(vectors::folder().join(name)).unwrap();
        assert!(
            published == content,
            "{name} differs; run `cargo run -p isobit-job --example vectors` and read the diff"
        );
    }
}

#[test]
fn every_job_vector_reads_back_to_its_bytes_and_id() {
    for vector in read("job.json") {
        let canonical = unhex(&vector["canonical"]);
        for json in [vector["spec"].to_string().into_bytes(), canonical.clone()] {
            let spec = JobSpec::from_json(&json).unwrap();
            assert_eq!(spec.canonical(), canonical);
            assert_eq!(spec.id().to_string(), vector["id"]);
        }
    }
}

#[test]
fn every_claim_vector_reads_back_to_its_bytes_and_id() {
    for vector in read("claim.json") {
        let claim: Claim = serde_json::from_value(vector["claim"].clone()).unwrap();
        assert_eq!(claim.canonical(), unhex(&vector["canonical"]));
        assert_eq!(claim.id().to_string(), vector["id"]);
    }
}

#[test]
fn every_receipt_vector_verifies_and_is_signed_again_alike() {
    for vector in read("receipt.json") {
        let envelope = Envelope::from_json(vector["envelope"].to_string().as_bytes()).unwrap();
        assert_eq!(envelope.payload(), unhex(&vector["payload"]));
        let receipt: Receipt = serde_json::from_value(vector["receipt"].clone()).unwrap();
        assert_eq!(envelope.verify().as_ref(), Ok(&receipt));
        let key: SecretKey = vector["seed"].as_str().unwrap().parse().unwrap();
        assert_eq!(receipt.sign(&key), envelope);
    }
}

#[test]
fn every_refused_vector_is_refused() {
    for vector in read("refused.json") {
        let result = JobSpec::from_json(vector["text"].as_str().unwrap().as_bytes());
        assert!(result.is_err(), "{}", vector["name"]);
    }
}
