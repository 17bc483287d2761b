//! What jobs cost: prices, budgets, quotes and bills, at providers that charge and at one that does not.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests may panic")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use isobit_job::{Amount, Envelope, Receipt, SecretKey};
use rustix::process::Signal;
use serde_json::{Value, json};
use support::{Ended, Provider, isobit, test_guest};

/// By the default limits: 10^12 guest fuel, 10^15 kernel fuel, 4 GiB of outputs.
const PRICES: [&str; 4] = ["--price", "guest-fuel=0.5,kernel-fuel=0.25", "--price", "out=0.125,currency=EUR"];

fn misbehave() -> PathBuf {
    test_guest("misbehave")
}

fn start(prices: &[&str]) -> Provider {
    Provider::start_plain(&[&["--listen", "127.0.0.1:0", "--waiting", "1"], prices].concat())
}

fn submit(provider: &Provider, args: &[&str]) -> Ended {
    provider.submit(&misbehave()).args(["-p", "do=behave"]).args(args).output().unwrap().into()
}

fn quote(providers: &[&str], args: &[&str]) -> Ended {
    let nowhere = tempfile::tempdir().unwrap();
    let mut quote = isobit();
    quote.arg("quote").args(providers).args(args).env("XDG_CONFIG_HOME", nowhere.path());
    quote.output().unwrap().into()
}

fn verify(receipt: &Path, args: &[&str]) -> Ended {
    isobit().arg("verify").arg(receipt).args(args).output().unwrap().into()
}

#[test]
fn a_job_is_billed_by_what_it_cost_and_anybody_can_recompute_it() {
    let provider = start(&PRICES);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("receipt.json");
    let ended = submit(&provider, &["--budget", "750.5EUR", "--receipt", path.to_str().unwrap()]);
    ended.failed(0, &["the provider charges for this job, by its limits at most 750.5 EUR"]);
    let answer = ended.done();
    let cost = |field: &str| answer["cost"][field].as_u64().unwrap();
    let total = cost("guest-fuel") * 500_000 / 1_000_000_000
        + cost("kernel-fuel") * 250_000 / 1_000_000_000_000
        + cost("output-bytes") * 125_000 / (1 << 30);
    let prices = json!({ "currency": "EUR", "guest-fuel": 500_000, "kernel-fuel": 250_000, "input-bytes": 0, "output-bytes": 125_000 });
    assert_eq!(answer["bill"], json!({ "prices": prices, "total": total }));
    assert!(total > 0, "{answer}");
    assert!(provider.log().contains("bill="), "{}", provider.log());

    verify(&path, &[]).failed(0, &["agrees (signature, shape, bill)", " EUR, as its prices and costs come to"]);
    assert_eq!(verify(&path, &["--json"]).done()["bill"]["total"], total);
    Ended::from(isobit().arg("show").arg(&path).output().unwrap())
        .failed(0, &["bill      ", "prices    guest-fuel=0.5,kernel-fuel=0.25,in=0,out=0.125,currency=EUR"]);

    // A provider signs what it likes, and a wrong bill is found.
    let envelope = Envelope::from_json(&fs::read(&path).unwrap()).unwrap();
    let liar = SecretKey::generate();
    let mut receipt = Receipt { provider: liar.public(), ..envelope.verify().unwrap() };
    if let Some(bill) = &mut receipt.bill {
        bill.total = bill.total.saturating_add(Amount::from(1));
    }
    fs::write(&path, receipt.sign(&liar).to_json()).unwrap();
    let ended = verify(&path, &["--json"]);
    ended.failed(1, &[]);
    assert_eq!(ended.json()["disagreements"][0]["field"], "bill", "{}", ended.stdout);

    // Nor does anything of the bill depend on the budget: it is no part of the job.
    assert_eq!(submit(&provider, &[]).done()["claim"], answer["claim"]);
}

#[test]
fn what_is_too_expensive_is_refused_before_it_runs_with_figures() {
    let provider = start(&PRICES);
    let refused = |args: &[&str], words: &[&str]| {
        let ended = submit(&provider, args);
        ended.failed(2, &[&["the provider rejected the job: "], words].concat());
        assert!(!ended.stderr.contains("running"), "{}", ended.stderr);
    };
    refused(
        &["--budget", "100EUR"],
        &[
            "the job could cost 750.5 EUR by its limits and the provider's prices (guest-fuel 500, kernel-fuel 250, in 0, out 0.5); its budget is 100 EUR",
            "lower the job's limits (--fuel, --kernel-fuel, --output-bytes), raise --budget",
        ],
    );
    refused(&["--budget", "100"], &["the provider asks for EUR, and what is to be paid is in credits"]);
    let dear = "the provider asks 0.25 EUR for 10^12 kernel fuel; the most that is to be paid is 0.2 EUR";
    refused(&["--max-price", "guest-fuel=1,kernel-fuel=0.2,out=1,currency=EUR"], &[dear, "raise --max-price"]);
    // Smaller limits cost less.
    let limits = ["--fuel", "4G", "--kernel-fuel", "2T", "--output-bytes", "1GiB"];
    submit(&provider, &[&limits[..], &["--budget", "2.625EUR"]].concat()).done();
    refused(&[&limits[..], &["--budget", "2.624999EUR"]].concat(), &["could cost 2.625 EUR"]);
    // What is no price is said at once.
    let mut serve = isobit();
    serve.args(["serve", "--device", "cpu", "--price", "gpu=1"]);
    Ended::from(serve.output().unwrap()).failed(2, &["\"gpu=1\" is no price; write for example guest-fuel="]);
    submit(&provider, &["--budget", "much"]).failed(2, &["is no amount of money"]);
}

#[test]
fn where_nothing_is_charged_receipts_say_nothing_of_a_bill() {
    let provider = start(&[]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("receipt.json");
    let answer = submit(&provider, &["--budget", "0EUR", "--receipt", path.to_str().unwrap()]).done();
    assert_eq!(answer["bill"], Value::Null);
    let receipt = Envelope::from_json(&fs::read(&path).unwrap()).unwrap().verify().unwrap();
    assert_eq!(receipt.bill, None);
    verify(&path, &[]).failed(0, &["agrees (signature, shape)"]);
}

#[test]
fn providers_are_asked_for_their_prices_and_their_queues() {
    let (free, dear) = (start(&[]), start(&PRICES));
    // There is one, but not the one that is meant.
    let (place, _) = free.address.split_once('#').unwrap();
    let other = format!("{place}#{}", dear.key());
    let all = [free.address.as_str(), &dear.address, &other];
    let ended = quote(&all, &["--json", "--budget", "800EUR"]);
    let answer = ended.done();
    let of = |place: usize| &answer["quotes"][place];
    assert_eq!((&of(0)["takes"], &of(0)["most"], &of(0)["prices"]), (&json!(true), &json!(0), &Value::Null));
    assert_eq!((&of(1)["takes"], &of(1)["most"]), (&json!(true), &json!(750_500_000)));
    assert_eq!((&of(1)["slots"], &of(1)["places"], &of(1)["position"]), (&json!(1), &json!(1), &json!(0)));
    assert!(of(1)["device"].as_str().unwrap().contains("isobit CPU device"), "{answer}");
    assert_eq!((&of(2)["takes"], &of(2)["prices"]), (&json!(false), &Value::Null));
    assert!(of(2)["reason"].is_string(), "{answer}");
    // For people, and what is asked decides.
    quote(&all, &[]).failed(0, &["guest-fuel for", "750.5 EUR", "nothing", "runs at once"]);
    quote(&[&dear.address], &["--budget", "1EUR"]).failed(1, &["no: the job could cost 750.5 EUR"]);
    quote(&[&dear.address], &["--device-memory", "5GiB"])
        .failed(1, &["no: the job asks for 5368709120 of `device-memory`"]);
    quote(&[&other], &[]).failed(2, &["no: "]);

    // The queue is part of it: one runs, then one waits, then there is no room.
    let mut running = dear.start_job(&misbehave(), &["-p", "do=spin"]);
    running.wait_for("spinning");
    quote(&[&dear.address], &[]).failed(0, &["waits, number 1 in line (1 running, 0 waiting)"]);
    let mut waiting = dear.start_job(&misbehave(), &["-p", "do=spin"]);
    waiting.wait_for("waiting, number 1 in line: the one slot is taken; yours is next");
    quote(&[&dear.address], &[]).failed(1, &["no: the provider is full: 1 jobs are running and 1 are waiting"]);
    for job in [waiting, running] {
        job.signal(Signal::INT);
        job.finish().failed(130, &["cancelled"]);
    }
    // It was told limits and sizes: no job is named to its keeper.
    assert!(!free.log().contains("isobit::job"), "{}", free.log());
}
