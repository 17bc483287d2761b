//! Submits a workload to a provider and prints what its receipt says:
//!
//! `cargo run -p isobit-renter --example submit -- PROVIDER WORKLOAD.wasm [PARAM=VALUE]...`

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use isobit_job::{Limits, Name, NodeAddr, Profile, SecretKey};
use isobit_renter::{Event, Places, Submission, submit};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let provider: NodeAddr = arguments.next().ok_or("which provider?")?.parse()?;
    let workload = arguments.next().ok_or("which workload?")?;
    let param = |text: String| -> Result<_, Box<dyn Error>> {
        let (name, value) = text.split_once('=').ok_or("a parameter is written name=value")?;
        Ok((name.parse::<Name>()?, value.to_owned()))
    };
    let params = arguments.map(param).collect::<Result<_, _>>()?;
    let (inputs, limits) = (BTreeMap::new(), Limits::default());
    let submission = Arc::new(Submission::new(Path::new(&workload), &inputs, params, limits, Profile::Dp32)?);
    // A key of the moment: providers that take jobs from anybody ask for no other.
    let key = SecretKey::generate();
    // Outputs are checked against the receipt, and kept by nobody.
    let places = Arc::new(Places::default());
    let events = |event| match event {
        Event::Running { device } => eprintln!("running on {device}"),
        Event::Log { message, .. } => eprintln!("{}", message.escape_debug()),
        _ => {}
    };
    let cancel = async { drop(tokio::signal::ctrl_c().await) };
    let deadline = Duration::from_secs(600);
    let delivered = submit(&provider, &key, &submission, deadline, &places, events, cancel).await?;
    let claim = &delivered.receipt.claim;
    println!("{}: {}", claim.id(), claim.outcome);
    for (name, blob) in &claim.outputs {
        println!("{name}: {}, {} bytes", blob.hash, blob.size.get());
    }
    Ok(())
}
