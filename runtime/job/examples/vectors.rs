//! Writes the published test vectors, `runtime/job/vectors/*.json`: `cargo run -p isobit-job --example vectors`.
//! tests/vectors.rs includes this file and compares, so the files cannot drift from the code.

#![allow(clippy::panic, reason = "a vector that cannot be made must stop the program")]

use std::path::{Path, PathBuf};

use isobit_job::{
    Blob, Bytes, Claim, Cost, DeviceClass, Fuel, Hash, JobSpec, LimitName, Limits, Millis, Name, Observed, Outcome,
    Prices, Profile, Receipt, Rules, SecretKey, Trap, TrapCode,
};
use serde_json::{Value, json};

/// Where the files are.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors")
}

/// Each file's name and content.
pub fn files() -> Vec<(&'static str, String)> {
    [("job.json", jobs()), ("claim.json", claims()), ("receipt.json", receipts()), ("refused.json", refused())]
        .map(|(name, vectors)| (name, format!("{vectors:#}\n")))
        .into()
}

fn name(text: &str) -> Name {
    text.parse().unwrap_or_else(|error| panic!("{error}"))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The least job: no inputs, no parameters.
pub fn least() -> JobSpec {
    JobSpec {
        workload: Blob::of(b"workload"),
        inputs: Default::default(),
        params: Default::default(),
        limits: Limits::default(),
        profile: Profile::Dp32,
        class: DeviceClass::Base,
    }
}

/// A job with something in every field, and text that is hard to write canonically.
pub fn full() -> JobSpec {
    let mut spec = least();
    spec.inputs =
        [("photo.png", &b"photo"[..]), ("a", b""), ("10", b"ten"), ("9", b"nine"), ("a-b", b"x"), ("a.b", b"y")]
            .map(|(input, data)| (name(input), Blob::of(data)))
            .into();
    spec.params = [
        ("radius", "3"),
        ("empty", ""),
        ("escapes", "\u{0}\u{1f}\u{7f}\u{8}\t\n\u{b}\u{c}\r\"\\/</script>"),
        ("unicode", "\u{80}\u{20ac}\u{d7ff}\u{e000}\u{fb33}\u{fffd}\u{1f600}"),
    ]
    .map(|(param, value)| (name(param), value.to_owned()))
    .into();
    spec.limits = Limits {
        guest_memory: Limits::MAX_GUEST_MEMORY,
        device_memory: Bytes::MAX,
        fuel: Fuel::MAX,
        kernel_fuel: Fuel::ZERO,
        output_bytes: Bytes::from(1),
        outputs: 256,
    };
    spec.profile = Profile::Native;
    spec.class = DeviceClass::Large;
    spec
}

/// A claim of each outcome.
pub fn outcomes() -> Vec<(&'static str, Claim)> {
    let completed = Claim {
        job: least().id(),
        rules: Rules::of(Profile::Dp32, 2, 1),
        outcome: Outcome::Completed,
        outputs: [("out.png", &b"picture"[..]), ("log", b"")].map(|(out, data)| (name(out), Blob::of(data))).into(),
        cost: Cost {
            guest_fuel: Fuel::from(123_456),
            kernel_fuel: Fuel::saturating_from(7_890_123_456),
            input_bytes: Bytes::ZERO,
            output_bytes: Bytes::from(7),
        },
        trace: None,
    };
    let trapped = |trap| Claim { outcome: Outcome::Trapped(trap), outputs: Default::default(), ..completed.clone() };
    vec![
        ("completed", completed.clone()),
        ("completed without outputs", Claim { outputs: Default::default(), ..completed.clone() }),
        ("guest trap", trapped(Trap::GuestTrap { code: TrapCode::MemoryOutOfBounds })),
        (
            "another version of pass and sandbox",
            Claim { rules: Rules::of(Profile::Dp32, u32::MAX, u32::MAX), ..completed.clone() },
        ),
        ("profile native", Claim { job: full().id(), rules: Rules::of(Profile::Native, 0, 1), ..completed.clone() }),
        ("with a trace", Claim { trace: Some(Hash::of(b"trace")), ..completed.clone() }),
        ("fuel", trapped(Trap::Fuel)),
        ("kernel fuel", trapped(Trap::KernelFuel)),
        ("limit", trapped(Trap::Limit { limit: LimitName::GuestMemory })),
        ("guest error", trapped(Trap::guest_error("cannot read \"photo\":\n\tnot a PNG \u{1f600}"))),
    ]
}

/// A receipt for the first claim, and the key that signs it.
pub fn receipt() -> (Receipt, SecretKey) {
    let key = SecretKey::from_bytes([0x42; 32]);
    let (_, claim) = outcomes().swap_remove(0);
    let observed = Observed {
        device: "llvmpipe (LLVM 19.1.7, 256 bits)".to_owned(),
        driver: "llvmpipe Mesa 25.0.7".to_owned(),
        backend: "vulkan".to_owned(),
        software: "isobit 0.1.0".to_owned(),
        started_unix_ms: Millis::saturating_from(1_767_225_600_000),
        queue_ms: Millis::ZERO,
        prepare_ms: Millis::from(12),
        run_ms: Millis::from(345),
        instead_of: None,
    };
    (Receipt { spec: least(), claim, observed, provider: key.public(), bill: None }, key)
}

/// A provider's price list.
pub fn prices() -> Prices {
    "guest-fuel=0.75,kernel-fuel=12.5,in=0.001,out=9000000000,currency=EUR"
        .parse()
        .unwrap_or_else(|error| panic!("{error}"))
}

fn jobs() -> Value {
    [("least", least()), ("every field", full())]
        .map(|(name, spec)| json!({ "name": name, "spec": spec, "canonical": hex(&spec.canonical()), "id": spec.id() }))
        .into()
}

fn claims() -> Value {
    let vector = |(name, claim): (&str, Claim)| json!({ "name": name, "claim": claim, "canonical": hex(&claim.canonical()), "id": claim.id() });
    outcomes().into_iter().map(vector).collect()
}

fn receipts() -> Value {
    let (plain, key) = receipt();
    let billed = Receipt { bill: Some(prices().bill(&plain.claim.cost)), ..plain.clone() };
    [("completed", plain), ("with a bill", billed)]
        .map(|(name, receipt)| {
            let envelope = receipt.sign(&key);
            let document: Value = serde_json::from_str(&envelope.to_json()).unwrap_or_else(|error| panic!("{error}"));
            json!({
                "name": name,
                "seed": key.to_hex(),
                "receipt": receipt,
                "payload": hex(envelope.payload()),
                "envelope": document,
            })
        })
        .into()
}

/// Job specs that have to be refused, each for one reason, as text: some are not JSON.
fn refused() -> Value {
    let good = String::from_utf8_lossy(&least().canonical()).into_owned();
    let altered = |what: &str, from: &str, to: &str| {
        assert!(good.contains(from), "the least spec holds {from}");
        json!({ "name": what, "text": good.replacen(from, to, 1) })
    };
    let blob = json!(Blob::of(b"x")).to_string();
    let resized = json!({ "hash": Blob::of(b"workload").hash, "size": 9 }).to_string();
    json!([
        altered("no type tag", r#""isobit":"job/1","#, ""),
        altered("another version", "job/1", "job/2"),
        altered("an unknown field", r#"{"class""#, r#"{"extra":1,"class""#),
        altered("an unknown limit", r#""outputs":64"#, r#""outputs":64,"threads":1"#),
        altered("an unknown field in a blob", r#""size":8"#, r#""name":"x","size":8"#),
        altered("a missing field", r#""params":{},"#, ""),
        altered("a field twice", r#""params":{}"#, r#""params":{},"params":{}"#),
        altered("an input twice", r#""inputs":{}"#, &format!(r#""inputs":{{"a":{blob},"a":{blob}}}"#)),
        altered("one hash with two sizes", r#""inputs":{}"#, &format!(r#""inputs":{{"a":{resized}}}"#)),
        altered("a bad input name", r#""inputs":{}"#, &format!(r#""inputs":{{"../a":{blob}}}"#)),
        altered("a parameter that is no text", r#""params":{}"#, r#""params":{"radius":3}"#),
        altered("a parameter over 4 KiB", r#""params":{}"#, &format!(r#""params":{{"p":"{}"}}"#, "x".repeat(4097))),
        altered("an unknown profile", r#""dp32""#, r#""fastest""#),
        altered("a profile with a version", r#""dp32""#, r#""dp32/1""#),
        altered("an unknown device class", r#""base""#, r#""huge""#),
        altered("no device class", r#""class":"base","#, ""),
        altered("an uppercase hash", &Blob::of(b"workload").hash.to_string(), &"AB".repeat(32)),
        altered("a short hash", &Blob::of(b"workload").hash.to_string(), &"ab".repeat(31)),
        altered("a size over 2^53 - 1", r#""size":8"#, r#""size":9007199254740992"#),
        altered("a size that is no integer", r#""size":8"#, r#""size":8.0"#),
        altered("a negative limit", r#""outputs":64"#, r#""outputs":-1"#),
        altered("too many outputs", r#""outputs":64"#, r#""outputs":257"#),
        altered("guest memory over 4 GiB", r#""guest-memory":1073741824"#, r#""guest-memory":4294967297"#),
        json!({ "name": "something after the end", "text": format!("{good}x") }),
        json!({ "name": "cut short", "text": good.trim_end_matches('}') }),
        json!({ "name": "nothing", "text": "" }),
    ])
}

fn main() -> std::io::Result<()> {
    for (name, content) in files() {
        std::fs::write(folder().join(name), content)?;
    }
    Ok(())
}
