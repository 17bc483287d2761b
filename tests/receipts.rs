//! Receipts: which ones `isobit verify` believes, which ones it refutes, and which ones it cannot check.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests may panic")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use isobit_job::{Envelope, Fuel, Receipt, Rules, SecretKey};
use serde_json::{Value, json};
use support::{Ended, Provider, isobit, test_guest};
use tempfile::TempDir;

/// A job that a provider has run, with its output and receipt.
struct Delivery {
    folder: TempDir,
    workload: PathBuf,
    key: String,
}

impl Delivery {
    /// One for all tests that run at the same time.
    fn shared() -> Arc<Delivery> {
        static SHARED: Mutex<Weak<Delivery>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        shared.upgrade().unwrap_or_else(|| {
            let delivery = Arc::new(Delivery::new());
            *shared = Arc::downgrade(&delivery);
            delivery
        })
    }

    fn new() -> Delivery {
        let provider = Provider::start("llvmpipe", &[]);
        let (folder, workload) = (tempfile::tempdir().unwrap(), test_guest("misbehave"));
        fs::write(folder.path().join("input"), "not used").unwrap();
        let delivery = Delivery { folder, workload, key: provider.key().to_owned() };
        let mut submit = provider.submit(&delivery.workload);
        submit.args(["-p", "do=behave", "-o", &delivery.named("out", "out"), "-i", &delivery.named("in", "input")]);
        Ended::from(submit.arg("--receipt").arg(delivery.receipt_path()).output().unwrap()).done();
        delivery
    }

    fn receipt_path(&self) -> PathBuf {
        self.folder.path().join("receipt.json")
    }

    /// `name=path` of a file in its folder.
    fn named(&self, name: &str, file: &str) -> String {
        format!("{name}={}", self.folder.path().join(file).display())
    }

    /// `isobit verify` of its receipt.
    fn verify(&self, args: &[&str]) -> Ended {
        verify(&self.receipt_path(), args)
    }

    fn envelope(&self) -> Value {
        serde_json::from_slice(&fs::read(self.receipt_path()).unwrap()).unwrap()
    }

    fn receipt(&self) -> Receipt {
        Envelope::from_json(&fs::read(self.receipt_path()).unwrap()).unwrap().verify().unwrap()
    }
}

fn verify(receipt: &Path, args: &[&str]) -> Ended {
    isobit().arg("verify").arg(receipt).arg("--json").args(args).output().unwrap().into()
}

/// `isobit verify` of these bytes.
fn verify_bytes(bytes: impl AsRef<[u8]>) -> Ended {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), bytes).unwrap();
    verify(file.path(), &[])
}

/// Asserts that a receipt is refuted, and in which field.
#[track_caller]
fn assert_refuted(ended: &Ended, field: &str) {
    assert_eq!(ended.code, Some(1), "{}\n{}", ended.stdout, ended.stderr);
    let answer = ended.json();
    assert_eq!(answer["agrees"], false);
    let fields: Vec<&str> =
        answer["disagreements"].as_array().unwrap().iter().map(|found| found["field"].as_str().unwrap()).collect();
    assert!(fields.contains(&field), "{fields:?}");
}

#[test]
fn a_good_receipt_agrees_in_all_that_can_be_checked() {
    let delivery = Delivery::shared();
    let answer = delivery.verify(&["--provider", &delivery.key]).done();
    assert_eq!(answer["signed_by"], delivery.key.as_str());
    assert_eq!(answer["checked"], json!(["signature", "shape"]));

    let (out, input) = (delivery.named("out", "out"), delivery.named("in", "input"));
    let workload = delivery.workload.to_str().unwrap();
    let everything = ["-o", &out, "--rerun", workload, "-i", &input, "--device", "llvmpipe"];
    let answer = delivery.verify(&everything).done();
    assert_eq!(answer["checked"], json!(["signature", "shape", "outputs", "rerun"]));
    assert_eq!(answer["disagreements"], json!([]));
    let text = isobit().arg("verify").arg(delivery.receipt_path()).output().unwrap();
    assert!(String::from_utf8(text.stdout).unwrap().starts_with("agrees (signature, shape)\n"));
}

#[test]
fn a_list_of_outputs_does_not_swallow_the_receipt() {
    let delivery = Delivery::shared();
    let out = delivery.named("out", "out");
    for flag in ["--outputs", "-o"] {
        let mut verify = isobit();
        verify.args(["verify", flag, &out]).arg(delivery.receipt_path());
        Ended::from(verify.output().unwrap()).failed(0, &["agrees (signature, shape, outputs)"]);
        verify.args([flag, &delivery.named("other", "input")]);
        Ended::from(verify.output().unwrap()).failed(1, &["disagrees (signature, shape, outputs)", "other"]);
    }
}

#[test]
fn that_a_job_trapped_is_said_before_anything_else() {
    let folder = tempfile::tempdir().unwrap();
    let (key, receipt) = (folder.path().join("key"), folder.path().join("r.json"));
    assert!(isobit().args(["keygen", "-q", "-o"]).arg(&key).output().unwrap().status.success());
    let mut run = isobit();
    run.arg("run").arg(test_guest("misbehave")).args(["-p", "do=return-an-error", "--device", "cpu", "--key"]);
    run.arg(&key).arg("--receipt").arg(&receipt);
    Ended::from(run.output().unwrap()).failed(1, &[]);
    let verify = Ended::from(isobit().arg("verify").arg(&receipt).output().unwrap());
    verify.failed(0, &[]);
    let said = "the job trapped: the workload says: the planet is not there\nagrees (signature, shape)\n";
    assert!(verify.stdout.starts_with(said), "{}", verify.stdout);
    let answer = Ended::from(isobit().arg("verify").arg(&receipt).arg("--json").output().unwrap()).done();
    assert_eq!((&answer["outcome"]["status"], &answer["agrees"]), (&"trapped".into(), &true.into()));
    let show = Ended::from(isobit().arg("show").arg(&receipt).output().unwrap());
    show.failed(0, &[]);
    assert!(
        show.stdout.starts_with("outcome   trapped: the workload says: the planet is not there\n"),
        "{}",
        show.stdout
    );
}

#[test]
fn a_receipt_is_shown_to_people_and_in_json() {
    let delivery = Delivery::shared();
    let receipt = delivery.receipt();
    let show =
        |args: &[&str]| Ended::from(isobit().arg("show").arg(delivery.receipt_path()).args(args).output().unwrap());
    let text = show(&[]);
    text.failed(
        0,
        &["outcome   completed\n", "param     do=behave\n", "input     in  ", "output    out  ", " UTC; waited "],
    );
    text.failed(0, &[&receipt.claim.id().to_string(), &delivery.key, "guest-memory 1 GiB", "llvmpipe"]);
    let answer = show(&["--json"]).done();
    assert_eq!(answer["claim_id"], receipt.claim.id().to_string());
    assert_eq!(answer["spec"]["params"]["do"], "behave");

    // What nobody signed is not shown.
    let mut envelope = delivery.envelope();
    envelope["signatures"][0]["keyid"] = SecretKey::generate().public().to_string().into();
    let changed = delivery.folder.path().join("changed.json");
    fs::write(&changed, envelope.to_string()).unwrap();
    let ended = Ended::from(isobit().arg("show").arg(&changed).output().unwrap());
    ended.failed(1, &["signature does not hold", "nothing in it can be believed"]);
    assert_eq!(ended.stdout, "");
    Ended::from(isobit().arg("show").arg(&delivery.workload).output().unwrap()).failed(2, &["not a receipt"]);
    Ended::from(isobit().args(["show", "/dev/zero"]).output().unwrap()).failed(2, &["/dev/zero"]);
}

#[test]
fn a_rerun_that_cannot_be_done_refutes_nothing() {
    let delivery = Delivery::shared();
    let rerun = |workload: &Path, args: &[&str]| {
        let mut verify = isobit();
        verify.arg("verify").arg(delivery.receipt_path()).arg("--rerun").arg(workload).args(args);
        Ended::from(verify.output().unwrap())
    };
    let input = delivery.named("in", "input");
    rerun(&delivery.receipt_path(), &["-i", &input]).failed(2, &["is not a workload", "it is text"]);
    // One that takes far longer than its deadline.
    let folder = tempfile::tempdir().unwrap();
    let (key, receipt) = (folder.path().join("key"), folder.path().join("r.json"));
    assert!(isobit().args(["keygen", "-q", "-o"]).arg(&key).output().unwrap().status.success());
    let mut run = isobit();
    run.arg("run").arg(&delivery.workload).args(["-p", "do=spin", "--fuel", "5G", "--device", "cpu", "--key"]);
    Ended::from(run.arg(&key).arg("--receipt").arg(&receipt).output().unwrap()).failed(1, &["fuel ran out"]);
    let mut late = isobit();
    late.arg("verify").arg(&receipt).arg("--rerun").arg(&delivery.workload);
    Ended::from(late.args(["--deadline", "1ms", "--device", "cpu"]).output().unwrap())
        .failed(2, &["the job could not be run again: the job did not end before its deadline of 1ms", "--deadline"]);
}

#[test]
fn a_changed_signature_is_refuted() {
    let delivery = Delivery::shared();
    let mut envelope = delivery.envelope();
    let signature = envelope["signatures"][0]["sig"].as_str().unwrap().to_owned();
    for place in [0, 40, 80] {
        let other = if signature.as_bytes()[place] == b'A' { "B" } else { "A" };
        envelope["signatures"][0]["sig"] = format!("{}{other}{}", &signature[..place], &signature[place + 1..]).into();
        assert_refuted(&verify_bytes(envelope.to_string()), "signature");
    }
}

#[test]
fn a_changed_payload_is_refuted() {
    let delivery = Delivery::shared();
    let mut envelope = delivery.envelope();
    let payload = envelope["payload"].as_str().unwrap().to_owned();
    for place in [10, payload.len() / 2, payload.len() - 10] {
        let other = if payload.as_bytes()[place] == b'A' { "B" } else { "A" };
        envelope["payload"] = format!("{}{other}{}", &payload[..place], &payload[place + 1..]).into();
        assert_refuted(&verify_bytes(envelope.to_string()), "signature");
    }
}

#[test]
fn another_signer_is_refuted() {
    let delivery = Delivery::shared();
    let mut envelope = delivery.envelope();
    envelope["signatures"][0]["keyid"] = SecretKey::generate().public().to_string().into();
    assert_refuted(&verify_bytes(envelope.to_string()), "signature");

    // Signed well, but by somebody else than the provider that it names.
    let stranger = SecretKey::generate();
    assert_refuted(&verify_bytes(delivery.receipt().sign(&stranger).to_json()), "shape");

    let expected = stranger.public().to_string();
    assert_refuted(&delivery.verify(&["--provider", &expected]), "provider");
}

#[test]
fn a_signed_lie_is_refuted_where_it_lies() {
    let delivery = Delivery::shared();
    let liar = SecretKey::generate();
    let good = Receipt { provider: liar.public(), ..delivery.receipt() };
    assert_eq!(verify_bytes(good.sign(&liar).to_json()).code, Some(0));

    // A claim about another job than the spec beside it.
    let mut other_job = good.clone();
    other_job.spec.params.insert("extra".parse().unwrap(), "value".into());
    assert_refuted(&verify_bytes(other_job.sign(&liar).to_json()), "shape");

    // Fuel beyond the job's own limit.
    let mut beyond = good.clone();
    beyond.spec.limits.fuel = isobit_job::Fuel::saturating_from(beyond.claim.cost.guest_fuel.get() - 1);
    beyond.claim.job = beyond.spec.id();
    assert_refuted(&verify_bytes(beyond.sign(&liar).to_json()), "shape");

    // What only a second run finds out.
    let mut wrong = good;
    let output = wrong.claim.outputs.values_mut().next().unwrap();
    output.hash = isobit_job::Hash::of(b"something else");
    wrong.claim.cost.guest_fuel = isobit_job::Fuel::saturating_from(wrong.claim.cost.guest_fuel.get() + 1);
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), wrong.sign(&liar).to_json()).unwrap();
    assert_eq!(verify(file.path(), &[]).code, Some(0));
    assert_refuted(&verify(file.path(), &["-o", &delivery.named("out", "out")]), "outputs.out.hash");
    let (workload, input) = (delivery.workload.to_str().unwrap(), delivery.named("in", "input"));
    let rerun = verify(file.path(), &["--rerun", workload, "-i", &input, "--device", "llvmpipe"]);
    assert_refuted(&rerun, "outputs.out.hash");
    assert_refuted(&rerun, "cost.guest-fuel");
}

#[test]
fn a_claim_under_other_rules_is_not_comparable() {
    let delivery = Delivery::shared();
    let key = SecretKey::generate();
    let mut receipt = delivery.receipt();
    receipt.provider = key.public();
    let here = receipt.claim.rules;
    let other = Rules { sandbox: here.sandbox + 1, ..here };
    receipt.claim.rules = other;
    // Nothing that a rerun would find here can be held against it.
    receipt.claim.cost.kernel_fuel = Fuel::from(12_345);
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), receipt.sign(&key).to_json()).unwrap();

    let (workload, input) = (delivery.workload.to_str().unwrap(), delivery.named("in", "input"));
    let rerun = ["--rerun", workload, "-i", &input, "--device", "llvmpipe"];
    assert_eq!(verify(file.path(), &[]).done()["rules"], other.to_string());
    let ended = verify(file.path(), &rerun);
    assert_eq!(ended.code, Some(2), "{}\n{}", ended.stdout, ended.stderr);
    let answer = ended.json();
    assert_eq!(answer["agrees"], Value::Null);
    assert_eq!(answer["disagreements"], json!([]));
    assert_eq!(answer["not_comparable"]["receipt"], other.to_string());
    assert_eq!(answer["not_comparable"]["here"], here.to_string());
    let text: Ended = isobit().arg("verify").arg(file.path()).args(rerun).output().unwrap().into();
    text.failed(2, &["not comparable (agrees: signature, shape)", "the job was not run again"]);
    // What is refuted beside it stays refuted.
    let wrong = delivery.named("out", "input");
    assert_refuted(&verify(file.path(), &[&rerun[..], &["-o", &wrong]].concat()), "outputs.out.hash");
}

#[test]
fn profile_native_is_warned_of_and_stated_in_the_claim() {
    let delivery = Delivery::shared();
    let (workload, input) = (delivery.workload.to_str().unwrap(), delivery.named("in", "input"));
    let run = |more: &[&str]| -> Ended {
        let args = ["run", workload, "-p", "do=behave", "-i", &input, "--device", "llvmpipe", "--json"];
        isobit().args(args).args(more).output().unwrap().into()
    };
    let (native, default) = (run(&["--profile", "native"]), run(&[]));
    assert_eq!(native.done()["rules"], "native sandbox/4");
    assert!(native.stderr.contains("warning: profile native"), "{}", native.stderr);
    assert_eq!(default.done()["rules"], delivery.receipt().claim.rules.to_string());
    assert!(!default.stderr.contains("profile native"), "{}", default.stderr);
    // Another profile is another job.
    assert_ne!(native.json()["job"], default.json()["job"]);
    run(&["--profile", "dp64"]).failed(2, &["no profile is called", "dp32, native"]);
}

#[test]
fn another_output_file_is_refuted() {
    let delivery = Delivery::shared();
    assert_refuted(&delivery.verify(&["-o", &delivery.named("out", "input")]), "outputs.out.hash");
    assert_refuted(&delivery.verify(&["-o", &delivery.named("no-such-output", "out")]), "outputs.no-such-output.hash");
}

#[test]
fn what_does_not_belong_to_the_receipt_cannot_check_it() {
    let delivery = Delivery::shared();
    let workload = delivery.workload.to_str().unwrap().to_owned();
    let input = delivery.named("in", "input");
    let other = support::guest("stream");
    let rerun = |workload: &str, inputs: &[&str]| {
        delivery.verify(&[&["--rerun", workload, "--device", "llvmpipe"], inputs].concat())
    };
    let wrong = rerun(other.to_str().unwrap(), &["-i", &input]);
    wrong.failed(2, &["is not the receipt's workload, which has hash"]);
    rerun(&workload, &[]).failed(2, &["the job has an input in, which is not given", "add -i in=PATH"]);
    let wrong = rerun(&workload, &["-i", &delivery.named("in", "out")]);
    wrong.failed(2, &["the input in is not the one that the receipt names"]);
    let extra = rerun(&workload, &["-i", &input, "-i", &delivery.named("extra", "input")]);
    extra.failed(2, &["the input extra is not the one that the receipt names"]);
    rerun("/no/such/workload.wasm", &["-i", &input]).failed(2, &["/no/such/workload.wasm"]);
    delivery.verify(&["-o", "out=/no/such/file"]).failed(2, &["/no/such/file"]);
    verify(Path::new("/no/such/receipt.json"), &[]).failed(2, &["cannot read /no/such/receipt.json"]);
}

#[test]
fn what_is_no_receipt_cannot_be_checked() {
    let delivery = Delivery::shared();
    let change = |change: &dyn Fn(&mut Value)| {
        let mut envelope = delivery.envelope();
        change(&mut envelope);
        verify_bytes(envelope.to_string())
    };
    let cases = [
        verify_bytes(""),
        verify_bytes("hello"),
        verify_bytes([0xff; 100]),
        verify_bytes("{}"),
        verify_bytes("[".repeat(100_000)),
        verify_bytes(" ".repeat(2 << 20)),
        change(&|envelope| envelope["payload"] = "!!!".into()),
        change(&|envelope| envelope["signatures"] = json!([])),
        change(&|envelope| envelope["signatures"][0]["keyid"] = "beef".into()),
        change(&|envelope| envelope["signatures"][0]["sig"] = "AAAA".into()),
    ];
    for ended in cases {
        assert_eq!(ended.code, Some(2), "{}\n{}", ended.stdout, ended.stderr);
        assert!(ended.json()["error"]["message"].as_str().unwrap().len() > 10);
    }
}
