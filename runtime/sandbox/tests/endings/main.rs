//! Every way in which a job can end, with guests written by hand.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may panic")]

mod depth;
mod host_calls;

use isobit_device::DeviceSelector;
use isobit_job::{
    Blob, Bytes, COMPILE_FUEL_PER_BYTE, Fault, FaultKind, Fuel, JobSpec, LimitName, Limits, LogLevel, Name, Outcome,
    Profile, Trap,
};
use isobit_sandbox::{CodeCache, FinishedJob, Job, OutputSink, PreparedJob, Reporter, Sandbox, Workload};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, Instant};

static SANDBOX: LazyLock<Sandbox> = LazyLock::new(|| Sandbox::new().unwrap());

/// Outputs that go nowhere.
struct Nowhere;

impl OutputSink for Nowhere {
    fn create(&mut self, _: &Name) -> io::Result<Box<dyn Write + Send>> {
        Ok(Box::new(io::sink()))
    }
}

/// Keeps what is logged.
#[derive(Default)]
struct Lines(Mutex<Vec<String>>);

impl Reporter for Lines {
    fn log(&self, _: LogLevel, message: &str) {
        self.0.lock().unwrap().push(message.to_owned());
    }

    fn progress(&self, _: f32, _: &str) {}
}

/// A component whose `run` has this body; the result lies at address 0, all zeros being success.
fn guest(body: &str) -> Workload {
    guest_with("", "", "", body)
}

fn guest_with(imports: &str, core_imports: &str, instantiate: &str, body: &str) -> Workload {
    Workload::parse(wat::parse_str(guest_text(imports, core_imports, instantiate, body)).unwrap()).unwrap()
}

fn guest_text(imports: &str, core_imports: &str, instantiate: &str, body: &str) -> String {
    format!(
        r#"(component
            {imports}
            (core module $m
                {core_imports}
                (memory (export "memory") 1)
                (func (export "realloc") (param i32 i32 i32 i32) (result i32) i32.const 1024)
                (func $run (export "run") (result i32) {body})
            )
            (core instance $i (instantiate $m {instantiate}))
            (func (export "run") (result (result (error string)))
                (canon lift (core func $i "run") (memory (core memory $i "memory")) (realloc (core func $i "realloc"))))
        )"#
    )
}

fn spec(workload: &Workload, limits: Limits) -> JobSpec {
    JobSpec {
        workload: workload.blob(),
        inputs: BTreeMap::new(),
        params: BTreeMap::new(),
        limits,
        profile: Profile::default(),
    }
}

/// A job without files, whatever its spec names.
fn job(spec: JobSpec, deadline: Option<Duration>) -> Job {
    Job {
        spec,
        inputs: BTreeMap::new(),
        device: isobit_device::open(&DeviceSelector::Best).expect("no device: run `cargo xtask setup`"),
        outputs: Box::new(Nowhere),
        reporter: Arc::new(Lines::default()),
        deadline: deadline.map(|span| Instant::now() + span),
    }
}

fn prepare(workload: &Workload, limits: Limits, deadline: Option<Duration>) -> PreparedJob {
    SANDBOX.compile(workload).unwrap().prepare(job(spec(workload, limits), deadline)).unwrap()
}

fn run(body: &str) -> Result<FinishedJob, Fault> {
    prepare(&guest(body), Limits::default(), None).run()
}

fn fault(result: Result<FinishedJob, Fault>) -> FaultKind {
    match result {
        Err(fault) => fault.kind,
        Ok(finished) => panic!("expected a fault, but the job ended as {:?}", finished.outcome),
    }
}

const ENDLESS: &str = "(loop (br 0)) unreachable";

#[test]
fn a_guest_that_returns_ok_completes() {
    let finished = run("i32.const 0").unwrap();
    assert_eq!(finished.outcome, Outcome::Completed);
    assert!(finished.cost.guest_fuel.get() > 0);
    assert_eq!(finished.cost.kernel_fuel, Fuel::ZERO);
}

#[test]
fn fuel_is_the_same_on_every_run() {
    let body = "(local $n i32) (local.set $n (i32.const 1000))
        (loop (local.set $n (i32.sub (local.get $n) (i32.const 1))) (br_if 0 (local.get $n))) i32.const 0";
    let first = run(body).unwrap().cost;
    assert!(first.guest_fuel.get() > 1000);
    assert_eq!(run(body).unwrap().cost, first);
}

#[test]
fn compiling_costs_fuel() {
    let cost = |workload: &Workload| prepare(workload, Limits::default(), None).run().unwrap().cost.guest_fuel.get();
    let (small, large) = (guest("i32.const 0"), guest_with("", r#"(data "0123456789")"#, "", "i32.const 0"));
    let bytes = large.blob().size.get() - small.blob().size.get();
    assert!(bytes > 10);
    assert_eq!(cost(&large) - cost(&small), bytes * COMPILE_FUEL_PER_BYTE);
}

#[test]
fn a_guests_error_is_part_of_the_outcome() {
    let body = r"(i32.store8 (i32.const 0) (i32.const 1)) (i32.store (i32.const 4) (i32.const 64))
        (i32.store (i32.const 8) (i32.const 5)) (i64.store (i32.const 64) (i64.const 0x0000_0079_7272_6f73)) i32.const 0";
    let outcome = run(body).unwrap().outcome;
    assert_eq!(outcome, Outcome::Trapped(Trap::GuestError { message: "sorry".into() }));
}

#[test]
fn a_trap_is_named_by_its_cause() {
    let code = |body| match run(body).unwrap().outcome {
        Outcome::Trapped(Trap::GuestTrap { code }) => code.to_string(),
        other => panic!("{other:?}"),
    };
    assert_eq!(code("unreachable"), "unreachable");
    assert_eq!(code("(i32.load (i32.const -4))"), "memory-out-of-bounds");
    assert_eq!(code("(i32.div_u (i32.const 1) (i32.const 0))"), "integer-division-by-zero");
    assert_eq!(code("i32.const -8"), "component-abi");
}

#[test]
fn a_guest_that_spends_its_fuel_is_trapped_with_all_of_it_spent() {
    let limits = Limits { fuel: Fuel::from(100_000_000_u32), ..Limits::default() };
    let finished = prepare(&guest(ENDLESS), limits, None).run().unwrap();
    assert_eq!(finished.outcome, Outcome::Trapped(Trap::Fuel));
    assert_eq!(finished.cost.guest_fuel.get(), 100_000_000);
}

#[test]
fn a_guest_that_wants_too_much_memory_is_told_so_in_the_outcome() {
    let grow = "(loop (br_if 0 (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) unreachable";
    let limits = Limits { guest_memory: Bytes::mib(8), ..Limits::default() };
    let finished = prepare(&guest(grow), limits, None).run().unwrap();
    assert_eq!(finished.outcome, Outcome::Trapped(Trap::Limit { limit: LimitName::GuestMemory }));
}

#[test]
fn a_guest_may_be_refused_memory_and_go_on() {
    let grow = "(loop (br_if 0 (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) i32.const 0";
    let limits = Limits { guest_memory: Bytes::mib(8), ..Limits::default() };
    assert_eq!(prepare(&guest(grow), limits, None).run().unwrap().outcome, Outcome::Completed);
}

#[test]
fn an_endless_guest_is_stopped_at_its_deadline() {
    let started = Instant::now();
    let job =
        prepare(&guest(ENDLESS), Limits { fuel: Fuel::MAX, ..Limits::default() }, Some(Duration::from_millis(50)));
    assert_eq!(fault(job.run()), FaultKind::Deadline);
    assert!(started.elapsed() < Duration::from_secs(60));
}

#[test]
fn a_running_guest_can_be_cancelled() {
    let job = prepare(&guest(ENDLESS), Limits { fuel: Fuel::MAX, ..Limits::default() }, None);
    let interrupt = job.interrupt();
    let canceller = std::thread::spawn(move || interrupt.cancel());
    assert_eq!(fault(job.run()), FaultKind::Cancelled);
    canceller.join().unwrap();
}

#[test]
fn endless_recursion_ends_at_a_depth_that_follows_from_the_job() {
    let too_deep = Outcome::Trapped(Trap::Limit { limit: LimitName::CallDepth });
    let first = run("call $run").unwrap();
    assert_eq!(first.outcome, too_deep);
    assert_eq!(run("call $run").unwrap().cost, first.cost);
    // The limit is no `unreachable` of the guest's own.
    assert_ne!(run("(if (i32.const 1) (then unreachable)) call $run").unwrap().outcome, too_deep);
}

#[test]
fn wasi_clocks_count_calls_instead_of_time() {
    // `now` twice: 1000 ns apart, however long it takes. A sleep of an hour is over at once.
    let imports = r#"(import "wasi:clocks/monotonic-clock@0.2.0" (instance $clock
            (export "now" (func (result u64)))))
        (core func $now (canon lower (func $clock "now")))"#;
    let body = "(if (i64.ne (i64.const 1000) (i64.sub (i64.sub (i64.const 0) (call $now)) (i64.sub (i64.const 0) (call $now))))
            (then unreachable)) i32.const 0";
    let instantiate = r#"(with "clock" (instance (export "now" (func $now))))"#;
    let workload = guest_with(imports, r#"(import "clock" "now" (func $now (result i64)))"#, instantiate, body);
    let finished = prepare(&workload, Limits::default(), None).run().unwrap();
    assert_eq!(finished.outcome, Outcome::Completed);
}

#[test]
fn a_component_whose_run_has_another_type_does_not_link() {
    let text = r#"(component (core module $m (func (export "run"))) (core instance $i (instantiate $m))
        (func (export "run") (canon lift (core func $i "run"))))"#;
    let workload = Workload::parse(wat::parse_str(text).unwrap()).unwrap();
    let error = SANDBOX.compile(&workload).err().unwrap().to_string();
    assert!(error.contains("run"), "{error}");
}

#[test]
fn threads_and_other_large_features_do_not_validate() {
    for module in ["(memory 1 1 shared)", "(memory i64 1)", "(memory 1) (memory 1)"] {
        let text = format!(
            r#"(component (core module $m {module} (memory $r (export "memory") 1) (func (export "run") (result i32) i32.const 0))
            (core instance $i (instantiate $m))
            (func (export "run") (result (result (error string))) (canon lift (core func $i "run"))))"#
        );
        let workload = Workload::parse(wat::parse_str(text).unwrap()).unwrap();
        assert!(SANDBOX.compile(&workload).is_err(), "{module}");
    }
}

#[test]
fn compiled_code_from_the_cache_runs_like_fresh_code() {
    let dir = tempfile::tempdir().unwrap();
    let cache = CodeCache::open(dir.path()).unwrap();
    let workload = guest("i32.const 0");
    for _ in 0..2 {
        let compiled = cache.load_or_compile(&SANDBOX, &workload).unwrap();
        assert_eq!(compiled.workload(), workload.blob().hash);
    }
    // The code and its hash.
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
}

/// What these guests cost is part of their claims. A number that changes, by an update of wasmtime say, changes the rules: raise
/// `SANDBOX_VERSION` and write the new ones here.
#[test]
fn what_guests_cost_is_what_this_version_of_the_rules_says() {
    assert_eq!(isobit_sandbox::SANDBOX_VERSION, 4);
    let count = "(local $n i32) (local.set $n (i32.const 1000))
        (loop (local.set $n (i32.sub (local.get $n) (i32.const 1))) (br_if 0 (local.get $n))) i32.const 0";
    let memory = "(drop (memory.grow (i32.const 3))) (memory.fill (i32.const 64) (i32.const 7) (i32.const 1000))
        (memory.copy (i32.const 4096) (i32.const 64) (i32.const 1000)) (memory.fill (i32.const 0) (i32.const 0) (i32.const 16))
        i32.const 0";
    let branches = "(local $n i32) (block (block (block (br_table 0 1 2 (i32.const 1))) (local.set $n (i32.const 5)))
        (local.set $n (i32.add (i32.const 1) (select (i32.const 2) (i32.const 3) (local.get $n))))) i32.const 0";
    let cost = |body| run(body).unwrap().cost.guest_fuel.get() - guest(body).blob().size.get() * COMPILE_FUEL_PER_BYTE;
    assert_eq!([count, memory, branches, "i32.const 0"].map(cost), [6004, 2032, 11, 2]);
}

/// Two components: one takes a string in one encoding, the other gives it in another.
fn strings(from: &str, to: &str, call: &str) -> String {
    let libc =
        r#"(memory (export "memory") 1) (func (export "realloc") (param i32 i32 i32 i32) (result i32) i32.const 1024)"#;
    let memory = |of: &str| format!(r#"(memory (core memory ${of} "memory")) (realloc (core func ${of} "realloc"))"#);
    let (callee, caller) = (memory("i"), memory("l"));
    format!(
        r#"(component
            (component $taker
                (core module $m {libc} (func (export "f") (param i32 i32)))
                (core instance $i (instantiate $m))
                (func (export "f") (param "s" string) (canon lift (core func $i "f") string-encoding={to} {callee})))
            (instance $taker (instantiate $taker))
            (component $giver
                (import "f" (func $f (param "s" string)))
                (core module $libc {libc})
                (core instance $l (instantiate $libc))
                (core func $g (canon lower (func $f) string-encoding={from} {caller}))
                (core module $m (import "" "f" (func $f (param i32 i32)))
                    (func (export "run") (result i32) {call} i32.const 0))
                (core instance $i (instantiate $m (with "" (instance (export "f" (func $g))))))
                (func (export "run") (result (result (error string))) (canon lift (core func $i "run") {caller})))
            (instance $giver (instantiate $giver (with "f" (func $taker "f"))))
            (export "run" (func $giver "run")))"#
    )
}

#[test]
fn components_in_a_component_pass_strings_in_any_encoding() {
    for from in ["utf8", "utf16", "latin1+utf16"] {
        for to in ["utf8", "utf16", "latin1+utf16"] {
            let outcome = |call: &str| {
                let workload = Workload::parse(wat::parse_str(strings(from, to, call)).unwrap()).unwrap();
                prepare(&workload, Limits::default(), None).run().unwrap().outcome
            };
            assert_eq!(outcome("(call $f (i32.const 0) (i32.const 10))"), Outcome::Completed, "{from} to {to}");
            let beyond = outcome("(call $f (i32.const -2) (i32.const 100))");
            assert!(matches!(beyond, Outcome::Trapped(Trap::GuestTrap { .. })), "{from} to {to}: {beyond:?}");
        }
    }
}

#[test]
fn a_module_has_one_memory() {
    let text = guest_text("", "(memory 1)", "", "i32.const 0");
    let workload = Workload::parse(wat::parse_str(text).unwrap()).unwrap();
    let refused = SANDBOX.compile(&workload).err().unwrap().to_string();
    assert!(refused.contains("multiple memories"), "{refused}");
}

#[test]
fn a_job_whose_files_are_not_its_specs_is_not_prepared() {
    let workload = guest("i32.const 0");
    let mut spec = spec(&workload, Limits::default());
    spec.inputs.insert("missing".parse().unwrap(), Blob::of(b"bytes"));
    assert!(SANDBOX.compile(&workload).unwrap().prepare(job(spec, None)).is_err());
}
