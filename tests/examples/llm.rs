//! The language model: what it says, on every device, compared with what numpy computes from the same file.
//!
//! `guest-examples/llm/reference/reference.py` has written what is compared with. It rounds nothing; the workload rounds activations to 16
//! bits. Logits, which are from -20 to 35, may be off by [`TOLERANCE`]. Where the two likeliest tokens are further apart than that at each step,
//! the text is the same.

use serde_json::Value;

use super::support::{data, devices};
use super::{Job, Ran};

/// How far a logit may be from the reference's.
const TOLERANCE: f64 = 0.01;

const EXPECTED: &str = include_str!("../../guest-examples/llm/reference/expected.json");

/// A prompt, and what the reference says to it.
struct Answer {
    prompt: String,
    text: String,
    /// The least distance of the likeliest two tokens in all steps.
    least_gap: f64,
    /// The likeliest first tokens and their logits.
    top: Vec<(usize, f64)>,
    /// The mean of the logits of all first tokens.
    mean: f64,
}

fn answers() -> Vec<Answer> {
    let expected: Value = serde_json::from_str(EXPECTED).unwrap();
    let answer = |value: &Value| Answer {
        prompt: value["prompt"].as_str().unwrap().to_owned(),
        text: value["text"].as_str().unwrap().to_owned(),
        least_gap: value["least_gap"].as_f64().unwrap(),
        top: value["top"].as_array().unwrap().iter().map(|pair| (index(&pair[0]), pair[1].as_f64().unwrap())).collect(),
        mean: value["mean"].as_f64().unwrap(),
    };
    expected["answers"].as_array().unwrap().iter().map(answer).collect()
}

fn index(value: &Value) -> usize {
    usize::try_from(value.as_u64().unwrap()).unwrap()
}

fn job(args: &[&str]) -> Job {
    let model = data::SMOLLM2.paths().remove(0);
    assert!(model.is_file(), "no {}: run `cargo xtask data`", model.display());
    let model = format!("model={}", model.display());
    Job::new("llm", &[&["-i", &model], args].concat(), &["text", "logits"])
}

/// Asserts that a run said what the reference says, and that its first logits are those of the reference.
fn assert_says(ran: &Ran, answer: &Answer) {
    let device = &ran.device.name;
    let logits: Vec<f64> =
        ran.bytes("logits").as_chunks().0.iter().map(|bytes| f64::from(f32::from_le_bytes(*bytes))).collect();
    let first = &logits[..49_152];
    for (token, logit) in &answer.top {
        let off = (first[*token] - logit).abs();
        assert!(off <= TOLERANCE, "{:?}: token {token} is off by {off} on {device}", answer.prompt);
    }
    let mean = first.iter().sum::<f64>() / first.len() as f64;
    assert!((mean - answer.mean).abs() <= TOLERANCE, "{:?}: the mean is {mean} on {device}", answer.prompt);
    let text = String::from_utf8(ran.bytes("text")).unwrap();
    assert_eq!(text, answer.text, "{:?} on {device}", answer.prompt);
}

fn assert_one_claim(runs: &[Ran]) {
    for ran in runs {
        assert_eq!(ran.claim, runs[0].claim, "on {} and {}", ran.device.name, runs[0].device.name);
    }
}

#[test]
fn goes_on_from_a_text_in_the_same_way_everywhere() {
    let answer = answers().remove(0);
    let prompt = format!("prompt={}", answer.prompt);
    let job = job(&["-p", &prompt, "-p", "template=none", "-p", "tokens=6", "-p", "logits=1"]);
    let devices = devices();
    let mut runs: Vec<Ran> = devices.iter().map(|device| job.run_here(device)).collect();
    // A provider streams the model up, and the text back.
    runs.push(job.submit(&devices[0]));
    assert_one_claim(&runs);
    for ran in &runs {
        assert_says(ran, &answer);
    }
}

#[test]
fn refuses_what_is_no_model_with_the_byte_or_the_tensor() {
    let folder = tempfile::tempdir().unwrap();
    let run = |content: &[u8], args: &[&str]| {
        let path = folder.path().join("broken.gguf");
        std::fs::write(&path, content).unwrap();
        let mut run = super::isobit();
        run.arg("run").arg(super::guest("llm")).args(["--device", "cpu", "--json", "-p", "prompt=Hi"]).args(args);
        let text = format!("text={}", folder.path().join("text").display());
        run.arg("-i").arg(format!("model={}", path.display())).args(["-o", &text]);
        super::Ended::from(run.output().unwrap())
    };
    run(b"", &[]).failed(1, &["byte 0: the file ends within the magic number"]);
    run(b"PK\x03\x04", &[]).failed(1, &["byte 0: it starts with", "instead of"]);
    let whole = std::fs::read(data::SMOLLM2.paths().remove(0)).unwrap();
    run(&whole[..5000], &[]).failed(1, &["the file ends within"]);
    // All of the head, and not all of the tensors.
    run(&whole[..50_000_000], &[]).failed(1, &["tensor `blk.", "does not end within the file's 50000000 bytes"]);
    let name = b"blk.3.ffn_down.weight";
    let at = whole.windows(name.len()).position(|window| window == name).unwrap();
    let mut other_type = whole.clone();
    // The name, the number of sides, two sides, the type.
    other_type[at + name.len() + 4 + 16] = 12;
    run(&other_type, &[]).failed(1, &["tensor `blk.3.ffn_down.weight` is of type Q4_K"]);
    run(&whole, &["-p", "tokens=8190"]).failed(1, &["8190 may follow", "8192"]);
    run(&whole, &["--device-memory", "64MiB"]).failed(1, &["tensor `", "out of device memory"]);
}

#[test]
#[ignore = "long: ten conversations of 64 tokens on every device"]
fn answers_as_the_reference_does_and_with_one_claim_on_every_device() {
    let clear: Vec<Answer> =
        answers().into_iter().skip(1).filter(|answer| answer.least_gap > 2.0 * TOLERANCE).collect();
    assert!(clear.len() >= 10, "{}", clear.len());
    for answer in &clear {
        let prompt = format!("prompt={}", answer.prompt);
        let job = job(&["-p", &prompt, "-p", "tokens=64", "-p", "logits=1"]);
        let runs: Vec<Ran> = devices().iter().map(|device| job.run_here(device)).collect();
        assert_one_claim(&runs);
        for ran in &runs {
            assert_says(ran, answer);
        }
    }
}

#[test]
#[ignore = "long: draws several texts on every device"]
fn draws_the_same_tokens_everywhere_for_the_same_seed() {
    let draw = |seed: &str| {
        let job = job(&[
            "-p",
            "prompt=Once upon a time",
            "-p",
            "template=none",
            "-p",
            "tokens=24",
            "-p",
            "temperature=0.8",
            "-p",
            "top-k=40",
            "-p",
            "top-p=0.95",
            "-p",
            seed,
            "-p",
            "logits=1",
        ]);
        let runs: Vec<Ran> = devices().iter().map(|device| job.run_here(device)).collect();
        assert_one_claim(&runs);
        runs[0].bytes("text")
    };
    assert_ne!(draw("seed=1"), draw("seed=2"));
}
