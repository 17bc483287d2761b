//! What a call from the guest to the host costs that does nothing there, against the barest component that wasmtime
//! runs: no fuel, no epochs, a function without arguments.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "benchmarks may panic")]

mod support;

use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use isobit_sandbox::Sandbox;
use support::Guest;
use wasmtime::component::{Component, Linker, TypedFunc};
use wasmtime::{Engine, Store};

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

    fn run(&mut self, rounds: u64) -> Duration {
        let start = Instant::now();
        self.run.call(&mut self.store, (rounds,)).unwrap();
        start.elapsed()
    }
}

criterion_group!(benches, calls);
criterion_main!(benches);
