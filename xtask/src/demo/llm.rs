//! `cargo xtask demo llm`: providers on two drivers answer one question with a language model. Their words appear while they are made,
//! and both make the same claim.

use std::process::Stdio;
use std::time::Instant;

use super::{Demo, Provider};
use crate::data::SMOLLM2;
use crate::{Failure, Options, fetch};

/// What is asked.
const PROMPT: &str = "prompt=Write a haiku about the sea.";

/// Tokens that are made at most.
const TOKENS: &str = "tokens=40";

/// Sets up, fetches the model, builds, serves, and asks one provider after the other.
pub fn run(options: &Options) -> Result<(), Failure> {
    fetch::fetch(&[&SMOLLM2], options)?;
    let demo = Demo::set_up(options)?;
    demo.build("llm")?;
    let mut claims = Vec::new();
    for (letter, device) in ["a", "b"].into_iter().zip(&demo.devices()?) {
        let provider = Provider::start(&demo, letter, device)?;
        println!("\nprovider {letter}, on {}, says:\n", provider.device);
        claims.push(ask(&demo, &provider)?);
    }
    println!();
    for claim in &claims {
        println!("claim {claim}");
    }
    match claims.as_slice() {
        [first, rest @ ..] if rest.iter().all(|claim| claim == first) => {
            println!(
                "both providers said the same, bit for bit, and make the same claim; text and receipts are in target/demo"
            );
            Ok(())
        }
        _ => Err("honest providers disagree; this is a defect".to_owned()),
    }
}

/// Has a provider answer on this terminal. The claim of its receipt.
fn ask(demo: &Demo, provider: &Provider) -> Result<String, Failure> {
    let model: Vec<String> = SMOLLM2.paths().iter().map(|path| format!("model={}", path.display())).collect();
    let model = model.first().map_or("", String::as_str);
    let (workload, receipt) = (demo.path("llm.wasm"), demo.path(&format!("llm-{}.receipt.json", provider.letter)));
    let args = ["submit", &workload, "--to", &provider.address, "-i", model, "-p", PROMPT, "-p", TOKENS];
    let start = Instant::now();
    let mut submit = demo.command(&[&args[..], &["-o", "text=-", "--receipt", &receipt, "-q"]].concat());
    let status = submit.stdout(Stdio::inherit()).stderr(Stdio::inherit()).status();
    let status = status.map_err(|error| format!("cannot start isobit: {error}"))?;
    println!("\n\n({:.1} s with bringing up the model)", start.elapsed().as_secs_f64());
    if !status.success() {
        return Err(format!("submitting ended with {status}"));
    }
    let shown = demo.json(&["show", &receipt, "--json"])?;
    let claim = shown.get("claim_id").and_then(serde_json::Value::as_str);
    claim.map(str::to_owned).ok_or_else(|| "the receipt has no claim".to_owned())
}
