//! Job specs, claims and receipts as other nodes send them: what is taken, what is refused, and why.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests may panic")]

use std::collections::BTreeMap;

use isobit_job::{
    Amount, Bill, Blob, Bytes, COMPILE_FUEL_PER_BYTE, Claim, Comparison, Cost, DeviceClass, Envelope, Fuel, Hash,
    Instead, JobSpec, LimitName, Limits, MAX_CURRENCY, MAX_ENVELOPE_JSON, MAX_GUEST_ERROR, MAX_INPUTS, MAX_OBSERVED,
    MAX_OUTPUTS, MAX_PARAM, MAX_PARAMS, MAX_SPEC_JSON, Millis, Name, Observed, Outcome, Prices, Profile, Receipt,
    ReceiptError, Rules, SecretKey, SpecError, Trap, TrapCode,
};
use proptest::prelude::*;
use serde_json::{Value, json};

#[path = "../examples/vectors.rs"]
#[allow(dead_code, reason = "it is a program, of which a test uses a part")]
mod vectors;

fn name() -> impl Strategy<Value = Name> {
    "[a-z0-9][a-z0-9._-]{0,63}".prop_map(|text| text.parse().unwrap())
}

fn hash() -> impl Strategy<Value = Hash> {
    any::<[u8; 32]>().prop_map(Hash::from_bytes)
}

fn blob() -> impl Strategy<Value = Blob> {
    (hash(), bytes()).prop_map(|(hash, size)| Blob { hash, size })
}

fn bytes() -> impl Strategy<Value = Bytes> {
    (0..=Bytes::MAX.get()).prop_map(Bytes::saturating_from)
}

fn fuel() -> impl Strategy<Value = Fuel> {
    (0..=Fuel::MAX.get()).prop_map(Fuel::saturating_from)
}

fn limits() -> impl Strategy<Value = Limits> {
    (0..=Limits::MAX_GUEST_MEMORY.get(), bytes(), fuel(), fuel(), bytes(), 0..=256u32).prop_map(
        |(guest_memory, device_memory, fuel, kernel_fuel, output_bytes, outputs)| Limits {
            guest_memory: Bytes::saturating_from(guest_memory),
            device_memory,
            fuel,
            kernel_fuel,
            output_bytes,
            outputs,
        },
    )
}

fn spec() -> impl Strategy<Value = JobSpec> {
    let inputs = prop::collection::btree_map(name(), blob(), 0..8);
    let params = prop::collection::btree_map(name(), any::<String>(), 0..8);
    let profile = prop_oneof![Just(Profile::Dp32), Just(Profile::Native)];
    let size = (0..=Fuel::MAX.get() / COMPILE_FUEL_PER_BYTE).prop_map(Bytes::saturating_from);
    let workload = (hash(), size).prop_map(|(hash, size)| Blob { hash, size });
    let class = prop::sample::select(DeviceClass::ALL.to_vec());
    let parts = (workload, inputs, params, limits(), profile, class);
    parts.prop_map(|(workload, inputs, params, limits, profile, class)| {
        let mut spec = JobSpec { workload, inputs, params, limits, profile, class };
        spec.limits.fuel = spec.limits.fuel.max(Fuel::saturating_from(spec.compile_fuel()));
        spec
    })
}

/// Few versions, so that two are often the same.
fn rules() -> impl Strategy<Value = Rules> {
    let profile = prop_oneof![Just(Profile::Dp32), Just(Profile::Native)];
    let version = || prop_oneof![0..3u32, any::<u32>()];
    (profile, version(), version()).prop_map(|(profile, pass, sandbox)| Rules::of(profile, pass, sandbox))
}

fn outcome() -> impl Strategy<Value = Outcome> {
    let trap = prop_oneof![
        prop::sample::select(TrapCode::ALL).prop_map(|code| Trap::GuestTrap { code }),
        Just(Trap::Fuel),
        Just(Trap::KernelFuel),
        prop::sample::select(LimitName::ALL).prop_map(|limit| Trap::Limit { limit }),
        any::<String>().prop_map(|message| Trap::guest_error(&message)),
    ];
    prop_oneof![Just(Outcome::Completed), trap.prop_map(Outcome::Trapped)]
}

prop_compose! {
    fn claim()(
        job in hash(),
        rules in rules(),
        outcome in outcome(),
        outputs in prop::collection::btree_map(name(), blob(), 0..8),
        guest_fuel in fuel(),
        kernel_fuel in fuel(),
        [input_bytes, output_bytes] in [bytes(), bytes()],
        trace in prop::option::of(hash()),
    ) -> Claim {
        let outputs = if outcome == Outcome::Completed { outputs } else { BTreeMap::new() };
        let cost = Cost { guest_fuel, kernel_fuel, input_bytes, output_bytes };
        Claim { job: isobit_job::JobId(job), rules, outcome, outputs, cost, trace }
    }
}

proptest! {
    #[test]
    fn a_spec_reads_back_from_its_canonical_bytes(spec in spec()) {
        prop_assert_eq!(JobSpec::from_json(&spec.canonical()), Ok(spec.clone()));
        let spaced = serde_json::to_vec_pretty(&spec).unwrap();
        prop_assert_eq!(JobSpec::from_json(&spaced).map(|read| read.id()), Ok(spec.id()));
    }

    #[test]
    fn specs_and_claims_travel_by_postcard_too(spec in spec(), claim in claim()) {
        let binary = postcard::to_stdvec(&(&spec, &claim)).unwrap();
        prop_assert_eq!(postcard::from_bytes::<(JobSpec, Claim)>(&binary).unwrap(), (spec, claim));
    }

    #[test]
    fn claims_are_the_same_exactly_when_their_ids_are(left in claim(), right in claim()) {
        prop_assert_eq!(left.compare(&left), Comparison::Same);
        let right = Claim { rules: left.rules, ..right };
        match left.compare(&right) {
            Comparison::Same => prop_assert_eq!(left.id(), right.id()),
            Comparison::Different(differences) => prop_assert!(left.id() != right.id() && !differences.is_empty()),
            Comparison::NotComparable { .. } => prop_assert!(false, "the rules are the same"),
        }
        let read: Claim = serde_json::from_slice(&left.canonical()).unwrap();
        prop_assert_eq!(read, left);
    }

    #[test]
    fn claims_under_different_rules_never_differ(left in claim(), right in claim(), rules in rules()) {
        // Whether the rest is the same or not.
        for right in [right, Claim { rules, ..left.clone() }] {
            let not_comparable = Comparison::NotComparable { left: left.rules, right: right.rules };
            prop_assert_eq!(left.rules != right.rules, left.compare(&right) == not_comparable);
        }
    }

    #[test]
    fn reading_any_bytes_does_not_panic(bytes: Vec<u8>, text: String) {
        for bytes in [bytes, text.into_bytes()] {
            let _ = JobSpec::from_json(&bytes);
            let _ = Envelope::from_json(&bytes);
            let _ = postcard::from_bytes::<(JobSpec, Claim)>(&bytes);
        }
    }

    #[test]
    fn any_changed_byte_of_a_receipt_is_noticed(place: prop::sample::Index, change in 1u8..) {
        let (receipt, key) = vectors::receipt();
        let mut json = receipt.sign(&key).to_json().into_bytes();
        let place = place.index(json.len());
        json[place] ^= change;
        // The payload's or signature's base64 may be unchanged in meaning only if nothing was changed.
        prop_assert!(Envelope::from_json(&json).and_then(|envelope| envelope.verify()).is_err());
    }
}

#[test]
fn a_spec_over_a_bound_is_refused_by_name() {
    let base = vectors::least();
    let many = |count: usize| (0..count).map(|i| format!("n{i}").parse::<Name>().unwrap());

    let mut spec = base.clone();
    spec.inputs = many(MAX_INPUTS + 1).map(|name| (name, base.workload)).collect();
    assert_eq!(spec.check(), Err(SpecError::TooManyInputs { found: 257 }));
    spec.inputs.pop_last();
    assert_eq!(spec.check(), Ok(()));

    let mut spec = base.clone();
    spec.params = many(MAX_PARAMS + 1).map(|name| (name, String::new())).collect();
    assert_eq!(JobSpec::from_json(&spec.canonical()), Err(SpecError::TooManyParams { found: 257 }));

    let mut spec = base.clone();
    let p: Name = "p".parse().unwrap();
    spec.params.insert(p.clone(), "x".repeat(MAX_PARAM + 1));
    assert_eq!(JobSpec::from_json(&spec.canonical()), Err(SpecError::ParamTooLong { name: p, found: 4097 }));

    let mut spec = base.clone();
    spec.params = many(MAX_PARAMS).map(|name| (name, "x".repeat(MAX_PARAM))).collect();
    assert!(matches!(spec.check(), Err(SpecError::TooLarge { found }) if found > MAX_SPEC_JSON));
    assert!(matches!(JobSpec::from_json(&spec.canonical()), Err(SpecError::TooLarge { .. })));

    let mut spec = base.clone();
    spec.limits.guest_memory = Bytes::mib(4097);
    let message = spec.check().unwrap_err().to_string();
    assert_eq!(message, "limit `guest-memory` is 4296015872; the most is 4294967296");

    let mut spec = base.clone();
    spec.workload.size = Bytes::saturating_from(5_000);
    spec.limits.fuel = Fuel::from(100_000_000_u32);
    assert_eq!(spec.check(), Ok(()));
    spec.limits.fuel = Fuel::from(99_999_999_u32);
    let message = spec.check().unwrap_err().to_string();
    let words =
        "compiling the workload's 5000 bytes costs 100000000 fuel; the job has 99999999: raise its limit `fuel`";
    assert_eq!(message, words);
    spec.workload.size = Bytes::MAX;
    assert!(matches!(spec.check(), Err(SpecError::FuelToCompile { .. })));

    let mut spec = base;
    let input = Blob { size: Bytes::ZERO, ..spec.workload };
    spec.inputs.insert("same".parse().unwrap(), input);
    assert_eq!(spec.check(), Err(SpecError::ConflictingSizes { hash: input.hash }));
}

#[test]
fn an_unknown_profile_and_an_unknown_class_are_told_apart_from_broken_json() {
    let json = String::from_utf8(vectors::least().canonical()).unwrap();
    let error = JobSpec::from_json(json.replace("dp32", "dp64").as_bytes()).unwrap_err();
    assert!(matches!(&error, SpecError::Profile(unknown) if unknown.found == "dp64"), "{error}");
    let error = JobSpec::from_json(json.replace("base", "huge").as_bytes()).unwrap_err();
    assert!(matches!(&error, SpecError::Class(unknown) if unknown.found == "huge"), "{error}");
}

#[test]
fn a_claim_states_its_rules_in_one_field() {
    let (_, claim) = vectors::outcomes().swap_remove(0);
    let json = |claim: &Claim| serde_json::to_value(claim).unwrap();
    assert_eq!(json(&claim)["rules"], "dp32/2 sandbox/1");
    let native = Rules::of(Profile::Native, 0, 3);
    assert_eq!(json(&Claim { rules: native, ..claim.clone() })["rules"], "native sandbox/3");

    for strange in ["dp32", "dp32/1", "dp32/01 sandbox/1", "dp64/1 sandbox/1", ""] {
        let mut document = json(&claim);
        document["rules"] = strange.into();
        let error = serde_json::from_value::<Claim>(document).unwrap_err().to_string();
        assert!(error.contains("as in `dp32/2 sandbox/1`"), "{error}");
    }
}

#[test]
fn a_claim_of_another_version_is_told_as_one() {
    let (_, claim) = vectors::outcomes().swap_remove(0);
    let mut document = serde_json::to_value(&claim).unwrap();
    let mut refusal = |tag: &str| {
        document["isobit"] = tag.into();
        serde_json::from_value::<Claim>(document.clone()).unwrap_err().to_string()
    };
    assert!(refusal("claim/1").contains("of another version of isobit; this one reads \"claim/2\""));
    assert!(refusal("job/1").contains("not a \"claim/2\""));
}

#[test]
fn outcomes_have_the_documented_json() {
    let json = |outcome: Outcome| serde_json::to_value(outcome).unwrap();
    assert_eq!(json(Outcome::Completed), json!({ "status": "completed" }));
    assert_eq!(json(Outcome::Trapped(Trap::KernelFuel)), json!({ "status": "trapped", "cause": "kernel-fuel" }));
    assert_eq!(
        json(Outcome::Trapped(Trap::guest_error("no"))),
        json!({ "status": "trapped", "cause": "guest-error", "message": "no" })
    );
}

#[test]
fn a_long_guest_error_is_cut_between_characters() {
    let Trap::GuestError { message } = Trap::guest_error(&"\u{20ac}".repeat(2000)) else { panic!() };
    // 1365 * 3 = 4095; the next euro sign would cross 4096.
    assert_eq!(message.len(), 4095);
    assert_eq!(Trap::guest_error("short"), Trap::GuestError { message: "short".to_owned() });
}

#[test]
fn a_claim_that_breaks_a_rule_is_not_read() {
    let refusal = |claim: &Claim| serde_json::from_slice::<Claim>(&claim.canonical()).unwrap_err().to_string();
    let (_, completed) = vectors::outcomes().swap_remove(0);

    let trapped = Claim { outcome: Outcome::Trapped(Trap::Fuel), ..completed.clone() };
    assert_eq!(refusal(&trapped), "the claim has 2 outputs although the run trapped; it has to have none");

    let message = "x".repeat(MAX_GUEST_ERROR + 1);
    let wordy = Claim {
        outcome: Outcome::Trapped(Trap::GuestError { message }),
        outputs: BTreeMap::new(),
        ..completed.clone()
    };
    assert_eq!(refusal(&wordy), "`message` of the claim's outcome has 4097 bytes; the most is 4096");

    let outputs = (0..=MAX_OUTPUTS).map(|i| (format!("o{i}").parse().unwrap(), Blob::of(b""))).collect();
    assert_eq!(refusal(&Claim { outputs, ..completed }), "the claim has 257 outputs; the most is 256");
}

#[test]
fn differences_name_the_field_and_both_values() {
    let (_, left) = vectors::outcomes().swap_remove(0);
    let mut right = left.clone();
    right.cost.guest_fuel = Fuel::from(1);
    right.outputs.remove("log");
    let Comparison::Different(differences) = left.compare(&right) else { panic!() };
    let shown: Vec<_> = differences.iter().map(ToString::to_string).collect();
    assert_eq!(
        shown,
        [
            "cost.guest-fuel: 123_456 is not 1".to_owned(),
            format!("outputs.log.hash: {} is not none", Hash::of(b"")),
            "outputs.log.size: 0 is not none".to_owned(),
        ]
    );
}

/// Signs a statement made of `predicate` by hand, as a dishonest or careless provider could.
fn signed(statement: &Value, key: &SecretKey) -> Result<Receipt, ReceiptError> {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    let payload = serde_json_canonicalizer::to_vec(statement).unwrap();
    signed_bytes(&payload, key, |payload, sig| {
        json!({
            "payloadType": "application/vnd.in-toto+json",
            "payload": STANDARD.encode(payload),
            "signatures": [{ "keyid": key.public(), "sig": STANDARD.encode(sig) }],
        })
    })
}

fn signed_bytes(
    payload: &[u8],
    key: &SecretKey,
    document: impl Fn(&[u8], &[u8]) -> Value,
) -> Result<Receipt, ReceiptError> {
    let mut message = format!("DSSEv1 28 application/vnd.in-toto+json {} ", payload.len()).into_bytes();
    message.extend_from_slice(payload);
    let signature = key.sign(&message);
    Envelope::from_json(document(payload, signature.as_bytes()).to_string().as_bytes())?.verify()
}

fn statement() -> (Value, SecretKey) {
    let (receipt, key) = vectors::receipt();
    (serde_json::from_slice(receipt.sign(&key).payload()).unwrap(), key)
}

#[test]
fn a_statement_made_by_hand_from_the_documentation_verifies() {
    let (statement, key) = statement();
    assert_eq!(statement["_type"], "https://in-toto.io/Statement/v1");
    assert_eq!(statement["predicateType"], "https://isobit.dev/receipt/v2");
    assert_eq!(statement["subject"][0]["name"], "claim");
    assert_eq!(statement["subject"][1]["name"], "output/log");
    assert_eq!(signed(&statement, &key), Ok(vectors::receipt().0));
}

#[test]
fn a_well_signed_receipt_that_does_not_hold_together_is_refused() {
    let alter = |path: &str, value: Value| {
        let (mut statement, key) = statement();
        *statement.pointer_mut(path).unwrap() = value;
        signed(&statement, &key).unwrap_err()
    };
    let other = SecretKey::from_bytes([1; 32]).public();
    assert!(matches!(alter("/_type", json!("x")), ReceiptError::StatementType { .. }));
    assert!(matches!(alter("/predicateType", json!("x")), ReceiptError::StatementType { .. }));
    assert!(matches!(alter("/predicate/provider", json!(other)), ReceiptError::WrongSigner { .. }));
    assert!(matches!(alter("/predicate/spec/limits/outputs", json!(63)), ReceiptError::OtherJob { .. }));
    assert!(matches!(alter("/predicate/claim/job", json!(Hash::of(b"x"))), ReceiptError::OtherJob { .. }));
    let native = ReceiptError::OtherProfile { claim: Rules::of(Profile::Native, 0, 1), spec: Profile::Dp32 };
    assert_eq!(alter("/predicate/claim/rules", json!("native sandbox/1")), native);
    assert_eq!(alter("/predicate/claim/rules", json!("dp32/2 sandbox/2")), ReceiptError::Subjects);
    assert_eq!(alter("/predicate/claim/cost/guest-fuel", json!(1)), ReceiptError::Subjects);
    for (field, expected) in [("input-bytes", 0), ("output-bytes", 7)] {
        let found = alter(&format!("/predicate/claim/cost/{field}"), json!(99));
        assert_eq!(found, ReceiptError::WrongBytes { field, found: 99, expected });
    }
    assert_eq!(alter("/subject/1/name", json!("output/other")), ReceiptError::Subjects);
    assert_eq!(alter("/subject", json!([])), ReceiptError::Subjects);
    assert!(matches!(alter("/predicate/spec", json!(null)), ReceiptError::Statement { .. }));
    assert!(matches!(
        alter("/predicate/observed/device", json!("x".repeat(257))),
        ReceiptError::ObservedTooLong { .. }
    ));
    assert!(matches!(
        alter("/predicate/claim/cost/kernel-fuel", json!(1_000_000_000_000_001u64)),
        ReceiptError::BeyondLimits { limit: "kernel-fuel", .. }
    ));
}

#[test]
fn a_bill_is_what_prices_and_costs_come_to_and_nothing_else_verifies() {
    let (plain, key) = vectors::receipt();
    let billed = |prices: Prices, total: u64| {
        let bill = Some(Bill { prices, total: Amount::saturating_from(total) });
        Receipt { bill, ..plain.clone() }.sign(&key).verify()
    };
    // 123 456 guest fuel, 7 890 123 456 kernel fuel, no input, 7 bytes out.
    let total = 123_456 * 750_000 / 1_000_000_000
        + 7_890_123_456_u64 * 12_500_000 / 1_000_000_000_000
        + 7 * 9_000_000_000_000_000 / (1 << 30);
    assert_eq!(billed(vectors::prices(), total).unwrap().bill.unwrap().total.get(), total);
    for wrong in [0, total - 1, total + 1] {
        let found = billed(vectors::prices(), wrong).unwrap_err();
        let (found_total, expected) = (Amount::saturating_from(wrong), Amount::saturating_from(total));
        assert_eq!(found, ReceiptError::WrongBill { found: found_total, expected });
    }
    let cheaper = Prices { kernel_fuel: Amount::ZERO, ..vectors::prices() };
    assert!(matches!(billed(cheaper, total), Err(ReceiptError::WrongBill { .. })));
    // Without prices nothing is said of a bill: the bytes are those of receipts from before there were any.
    assert!(!String::from_utf8_lossy(plain.sign(&key).payload()).contains("bill"));
    let (mut statement, key) = statement();
    statement["predicate"]["bill"] = json!(null);
    assert_eq!(signed(&statement, &key), Err(ReceiptError::NotCanonical));
}

#[test]
fn a_signed_statement_with_something_more_in_it_is_refused() {
    let (mut extra, key) = statement();
    extra["predicate"]["note"] = json!("x");
    assert!(matches!(signed(&extra, &key), Err(ReceiptError::Statement { .. })));

    // serde takes unknown fields beside a unit variant's tag; the canonical form does not.
    let (mut hidden, key) = statement();
    hidden["predicate"]["claim"]["outcome"]["note"] = json!("x");
    assert!(signed(&hidden, &key).is_err());
}

#[test]
fn a_signed_statement_with_spaces_is_not_canonical() {
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE};

    let (statement, key) = statement();
    let document = |payload: &[u8], sig: &[u8]| {
        json!({
            "payloadType": "application/vnd.in-toto+json",
            "payload": URL_SAFE.encode(payload),
            "signatures": [{ "keyid": key.public(), "sig": STANDARD.encode(sig) }],
            "some": "unsigned field",
        })
    };
    let pretty = serde_json::to_vec_pretty(&statement).unwrap();
    assert_eq!(signed_bytes(&pretty, &key, document), Err(ReceiptError::NotCanonical));
    // The other base64 alphabet and fields beside are as DSSE demands.
    let canonical = serde_json_canonicalizer::to_vec(&statement).unwrap();
    assert!(signed_bytes(&canonical, &key, document).is_ok());
}

#[test]
fn an_envelope_of_the_wrong_shape_is_refused_by_name() {
    let (receipt, key) = vectors::receipt();
    let refusal = |path: &str, value: Value| {
        let mut document: Value = serde_json::from_str(&receipt.sign(&key).to_json_pretty()).unwrap();
        *document.pointer_mut(path).unwrap() = value;
        Envelope::from_json(document.to_string().as_bytes()).unwrap_err()
    };
    assert!(matches!(refusal("/payloadType", json!("text/plain")), ReceiptError::PayloadType { .. }));
    assert_eq!(refusal("/payload", json!("*")), ReceiptError::Base64 { field: "payload" });
    assert_eq!(refusal("/signatures/0/sig", json!("*")), ReceiptError::Base64 { field: "sig" });
    assert_eq!(refusal("/signatures/0/sig", json!("QUJD")), ReceiptError::SignatureLength { found: 3 });
    assert_eq!(refusal("/signatures", json!([])), ReceiptError::SignatureCount { found: 0 });
    assert!(matches!(refusal("/signatures/0/keyid", json!("me")), ReceiptError::KeyId(_)));
    assert!(matches!(refusal("/signatures", json!(1)), ReceiptError::Envelope { .. }));
    assert_eq!(
        Envelope::from_json(&vec![b' '; MAX_ENVELOPE_JSON + 1]),
        Err(ReceiptError::TooLarge { found: MAX_ENVELOPE_JSON + 1 })
    );
}

#[test]
fn a_receipt_signed_with_another_key_than_its_providers_is_refused() {
    let (receipt, _) = vectors::receipt();
    let other = SecretKey::from_bytes([1; 32]);
    let error = receipt.sign(&other).verify().unwrap_err();
    assert_eq!(error, ReceiptError::WrongSigner { signer: other.public(), provider: receipt.provider });
}

#[test]
fn what_a_driver_says_is_cut_to_what_a_receipt_holds() {
    let (mut receipt, key) = vectors::receipt();
    receipt.observed.driver = "\u{20ac}".repeat(1000);
    assert!(matches!(receipt.sign(&key).verify(), Err(ReceiptError::ObservedTooLong { field: "driver", .. })));
    receipt.observed = receipt.observed.bounded();
    assert_eq!(receipt.observed.driver.len(), MAX_OBSERVED - 1);
    assert!(receipt.sign(&key).verify().is_ok());
}

#[test]
fn a_receipt_says_on_which_device_a_run_was_given_up() {
    let (mut receipt, key) = vectors::receipt();
    let plain = receipt.sign(&key);
    assert!(!String::from_utf8_lossy(plain.payload()).contains("instead-of"));
    let long = || "\u{20ac}".repeat(1000);
    receipt.observed.instead_of =
        Some(Instead { device: "llvmpipe".to_owned(), driver: "Mesa".to_owned(), reason: long() });
    let field = "instead-of.reason";
    assert!(
        matches!(receipt.sign(&key).verify(), Err(ReceiptError::ObservedTooLong { field: found, .. }) if found == field)
    );
    receipt.observed = receipt.observed.bounded();
    assert_eq!(receipt.sign(&key).verify(), Ok(receipt.clone()));
    // Where a run ended does not change what it claims.
    assert_eq!(receipt.claim.id(), plain.verify().unwrap().claim.id());
}

/// The frames of isobit-wire hold 512 KiB; a receipt has to fit one.
#[test]
fn the_longest_receipt_stays_under_half_of_the_bound() {
    let long_name = |kind: char, i: u64| format!("{kind}{i:-<63}").parse::<Name>().unwrap();
    let (_, key) = vectors::receipt();
    let mut spec = vectors::least();
    spec.limits = Limits { outputs: 256, output_bytes: Bytes::MAX, ..Limits::default() };
    for i in 0.. {
        spec.params.insert(long_name('p', i), "\u{1}".repeat(600));
        if spec.check().is_err() {
            spec.params.remove(long_name('p', i).as_str());
            break;
        }
    }
    assert!(spec.canonical().len() > MAX_SPEC_JSON - 4096);
    let size = Bytes::saturating_from(Bytes::MAX.get() / 256);
    let output = |i| (long_name('o', i), Blob { hash: Hash::of(b""), size });
    let claim = Claim {
        job: spec.id(),
        rules: Rules::of(Profile::Dp32, u32::MAX, u32::MAX),
        outcome: Outcome::Completed,
        outputs: (0..MAX_OUTPUTS).map(output).collect(),
        cost: Cost {
            guest_fuel: spec.limits.fuel,
            kernel_fuel: spec.limits.kernel_fuel,
            input_bytes: Bytes::saturating_from(spec.inputs.values().map(|input| input.size.get()).sum::<u64>()),
            output_bytes: Bytes::saturating_from(size.get() * MAX_OUTPUTS),
        },
        trace: Some(Hash::of(b"trace")),
    };
    let text = "\u{1}".repeat(MAX_OBSERVED);
    let observed = Observed {
        device: text.clone(),
        driver: text.clone(),
        backend: text.clone(),
        software: text.clone(),
        started_unix_ms: Millis::MAX,
        queue_ms: Millis::MAX,
        prepare_ms: Millis::MAX,
        run_ms: Millis::MAX,
        instead_of: Some(Instead { device: text.clone(), driver: text.clone(), reason: text }),
    };
    let dearest = Prices {
        currency: "x".repeat(MAX_CURRENCY).parse().unwrap(),
        guest_fuel: Amount::MAX,
        kernel_fuel: Amount::MAX,
        input_bytes: Amount::MAX,
        output_bytes: Amount::MAX,
    };
    let bill = Some(dearest.bill(&claim.cost));
    let receipt = Receipt { spec, claim, observed, provider: key.public(), bill };
    let json = receipt.sign(&key).to_json();
    assert!(json.len() < MAX_ENVELOPE_JSON / 2 - 16 * 1024, "{} bytes", json.len());
    assert_eq!(Envelope::from_json(json.as_bytes()).unwrap().verify(), Ok(receipt));
}
