//! What a call from the guest to the host costs that does nothing there, against the barest component that wasmtime
//! runs: no fuel, no epochs, a function without arguments. And how long a guest computes for the fuel that compiling a workload is charged.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "benchmarks may panic")]

mod support;

use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use isobit_sandbox::{Sandbox, Workload};
use support::Guest;
use wasmtime::component::{Component, Linker, TypedFunc};
use wasmtime::{Config, Engine, Store};

fn calls(criterion: &mut Criterion) {
    let mut guest = Guest::new(&Sandbox::new().unwrap(), &support::probe("probe"));
    let mut bare = Bare::new();
    let mut group = criterion.benchmark_group("call");
    for call in ["limits", "size"] {
        group.bench_function(call, |b| b.iter_custom(|n| guest.probe(call, n, 4, &[], support::no_sink())));
    }
    group.bench_function("bare", |bencher| bencher.iter_custom(|rounds| bare.run(rounds)));
    group.finish();
}

/// Compiling a workload on one core, and a loop that spends as much fuel as that is charged.
fn compiling(criterion: &mut Criterion) {
    let sandbox = Sandbox::new().unwrap();
    let workload = Workload::parse(std::fs::read(support::guest("matmul")).unwrap()).unwrap();
    let charged = workload.blob().size.get() * isobit_job::COMPILE_FUEL_PER_BYTE;
    let one_core = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let mut group = support::slow(criterion, "compile");
    group.bench_function("workload", |bencher| {
        bencher.iter(|| one_core.install(|| sandbox.compile(&workload).unwrap()))
    });
    group.bench_function("same-fuel", |bencher| {
        bencher.iter_custom(|rounds| (0..rounds).map(|_| Bare::with_fuel().spend(charged)).sum());
    });
    group.finish();
}

/// A component that calls an imported function in a loop.
struct Bare {
    store: Store<()>,
    run: TypedFunc<(u64,), ()>,
}

impl Bare {
    fn new() -> Self {
        let engine = Engine::default();
        let component = wat::parse_str(
            r#"(component
                (import "call" (func $call (result u64)))
                (core func $lowered (canon lower (func $call)))
                (core module $module
                    (import "" "call" (func $call (result i64)))
                    (func (export "run") (param $rounds i64)
                        (loop $again
                            (drop (call $call))
                            (local.set $rounds (i64.sub (local.get $rounds) (i64.const 1)))
                            (br_if $again (i64.ne (local.get $rounds) (i64.const 0))))))
                (core instance $instance
                    (instantiate $module (with "" (instance (export "call" (func $lowered))))))
                (func (export "run") (param "rounds" u64) (canon lift (core func $instance "run"))))"#,
        );
        let component = Component::new(&engine, component.unwrap()).unwrap();
        let mut linker = Linker::new(&engine);
        linker.root().func_wrap("call", |_, ()| Ok((1_u64,))).unwrap();
        let mut store = Store::new(&engine, ());
        let instance = linker.instantiate(&mut store, &component).unwrap();
        let run = instance.get_typed_func(&mut store, "run").unwrap();
        Self { store, run }
    }

    /// A component whose loop counts down, where fuel is counted.
    fn with_fuel() -> Self {
        let engine = Engine::new(Config::new().consume_fuel(true)).unwrap();
        let component = wat::parse_str(
            r#"(component
                (core module $module
                    (memory 1)
                    (func (export "run") (param $rounds i64)
                        (loop $again
                            (i64.store (i32.wrap_i64 (i64.and (local.get $rounds) (i64.const 0xfff8))) (local.get $rounds))
                            (local.set $rounds (i64.sub (local.get $rounds) (i64.const 1)))
                            (br_if $again (i64.ne (local.get $rounds) (i64.const 0))))))
                (core instance $instance (instantiate $module))
                (func (export "run") (param "rounds" u64) (canon lift (core func $instance "run"))))"#,
        );
        let component = Component::new(&engine, component.unwrap()).unwrap();
        let mut store = Store::new(&engine, ());
        store.set_fuel(u64::MAX).unwrap();
        let instance = Linker::new(&engine).instantiate(&mut store, &component).unwrap();
        let run = instance.get_typed_func(&mut store, "run").unwrap();
        Self { store, run }
    }

    /// Runs until that fuel is spent.
    fn spend(&mut self, fuel: u64) -> Duration {
        self.store.set_fuel(fuel).unwrap();
        let start = Instant::now();
        // Ends for want of fuel.
        self.run.call(&mut self.store, (u64::MAX,)).unwrap_err();
        start.elapsed()
    }

    fn run(&mut self, rounds: u64) -> Duration {
        let start = Instant::now();
        self.run.call(&mut self.store, (rounds,)).unwrap();
        start.elapsed()
    }
}

criterion_group!(benches, calls, compiling);
criterion_main!(benches);
