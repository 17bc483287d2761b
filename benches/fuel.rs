//! What counting costs: loops of WebAssembly under the sandbox's settings, with fuel and without; and kernels whose loops pay, beside the same
//! kernels whose loops do not.

#![allow(clippy::unwrap_used, reason = "benchmarks may panic")]

mod support;

use std::cell::RefCell;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use isobit_device::Tier;
use support::kernels::{CASES, Run, open};
use support::{Contender, time};
use wasmtime::component::{Component, Linker, TypedFunc};
use wasmtime::{Engine, Store};

/// A loop that counts `$rounds` down to 0, around this.
const LOOPS: &[(&str, &str)] = &[
    // A chain of arithmetic.
    (
        "arithmetic",
        "(local.set $x (i64.xor (local.get $x) (i64.shl (local.get $x) (i64.const 13))))
        (local.set $x (i64.xor (local.get $x) (i64.shr_u (local.get $x) (i64.const 7))))
        (local.set $x (i64.xor (local.get $x) (i64.shl (local.get $x) (i64.const 17))))",
    ),
    // Sums of numbers in memory, 64 KiB over and over.
    (
        "memory",
        "(local.set $at (i32.and (i32.add (local.get $at) (i32.const 8)) (i32.const 0xfff8)))
        (i64.store (local.get $at) (i64.add (i64.load (local.get $at)) (local.get $x)))
        (local.set $x (i64.add (local.get $x) (i64.load (local.get $at))))",
    ),
    // A polynomial in floating point, whose NaNs are made canonical.
    (
        "floats",
        "(local.set $y (f64.add (f64.mul (local.get $y) (f64.const 0.999)) (f64.const 0.25)))
        (local.set $y (f64.sub (f64.mul (local.get $y) (local.get $y)) (f64.const 1.5)))",
    ),
    // The steps of Collatz: which way a branch goes cannot be foreseen.
    (
        "branches",
        "(if (i64.eqz (i64.and (local.get $x) (i64.const 1)))
            (then (local.set $x (i64.shr_u (local.get $x) (i64.const 1))))
            (else (local.set $x (i64.add (i64.mul (local.get $x) (i64.const 3)) (i64.const 1)))))
        (if (i64.le_u (local.get $x) (i64.const 1)) (then (local.set $x (i64.add (local.get $rounds) (i64.const 27)))))",
    ),
    // Calls of a function that calls another.
    ("calls", "(local.set $x (call $twice (local.get $x)))"),
];

/// So often each is measured.
const TURNS: usize = 40;

/// Iterations that take some tens of milliseconds.
const ROUNDS: u64 = 10_000_000;

fn wasm(criterion: &mut Criterion) {
    let with = Engine::new(&isobit_sandbox::settings()).unwrap();
    let without = Engine::new(isobit_sandbox::settings().consume_fuel(false)).unwrap();
    for (name, body) in LOOPS {
        let (on, off) = (RefCell::new(Loop::new(&with, body)), RefCell::new(Loop::new(&without, body)));
        on.borrow_mut().store.set_fuel(u64::MAX).unwrap();
        let contenders: Vec<Contender<'_>> =
            vec![("on", Box::new(|| on.borrow_mut().run())), ("off", Box::new(|| off.borrow_mut().run()))];
        support::compare(criterion, &format!("wasm-fuel-{name}"), TURNS, contenders);
        let spent = u64::MAX - on.borrow().store.get_fuel().unwrap();
        assert!(spent > TURNS as u64 * ROUNDS, "{spent}");
    }
}

/// A component with a loop.
struct Loop {
    store: Store<()>,
    run: TypedFunc<(u64,), (u64,)>,
}

impl Loop {
    fn new(engine: &Engine, body: &str) -> Self {
        let component = format!(
            r#"(component
                (core module $module
                    (memory 1)
                    (func $once (param $x i64) (result i64)
                        (i64.add (i64.mul (local.get $x) (i64.const 6364136223846793005)) (i64.const 1)))
                    (func $twice (param $x i64) (result i64) (call $once (call $once (local.get $x))))
                    (func (export "run") (param $rounds i64) (result i64)
                        (local $x i64) (local $at i32) (local $y f64)
                        (local.set $x (i64.const 0x9e3779b97f4a7c15))
                        (loop $again
                            {body}
                            (local.set $rounds (i64.sub (local.get $rounds) (i64.const 1)))
                            (br_if $again (i64.ne (local.get $rounds) (i64.const 0))))
                        (i64.add (local.get $x) (i64.reinterpret_f64 (local.get $y)))))
                (core instance $instance (instantiate $module))
                (func (export "run") (param "rounds" u64) (result u64) (canon lift (core func $instance "run"))))"#
        );
        let component = Component::new(engine, wat::parse_str(component).unwrap()).unwrap();
        let mut store = Store::new(engine, ());
        // Never reached: nothing counts it up.
        store.set_epoch_deadline(1);
        let instance = Linker::new(engine).instantiate(&mut store, &component).unwrap();
        let run = instance.get_typed_func(&mut store, "run").unwrap();
        Self { store, run }
    }

    fn run(&mut self) -> Duration {
        time(|| self.run.call(&mut self.store, (ROUNDS,)).unwrap())
    }
}

/// Kernels, and what to write instead in each so that only the buffers tell how often a loop runs: others pay for their loops as a whole, which costs
/// nothing.
const METERED: &[(&str, &str, &str)] = &[
    ("matmul-naive", "k < n", "k < arrayLength(&a) / n"),
    ("matmul-tiled", "first < n", "first < arrayLength(&a) / n"),
    ("reduction", "i < 16u", "i < arrayLength(&a) / 262144u"),
    ("nbody", "i < bodies", "i < bodies"),
    ("int8", "k < words", "k < arrayLength(&a) / n"),
];

fn kernels(criterion: &mut Criterion) {
    support::note(open(&support::selector(), Tier::A).info());
    for (name, counted, metered) in METERED {
        let case = CASES.iter().find(|case| case.name == *name).unwrap();
        let text = case.wgsl.replacen(counted, metered, 1);
        let device = || open(&support::selector(), Tier::A);
        let on = RefCell::new(Run::of_text(device(), case, &text, true));
        let off = RefCell::new(Run::of_text(device(), case, &text, false));
        assert!(on.borrow_mut().result() == off.borrow_mut().result(), "{name}");
        assert!(on.borrow_mut().fuel() > off.borrow_mut().fuel(), "{name} has no loop that pays");
        let contenders: Vec<Contender<'_>> =
            vec![("on", Box::new(|| on.borrow_mut().once())), ("off", Box::new(|| off.borrow_mut().once()))];
        support::compare(criterion, &format!("kernel-fuel-{name}"), TURNS, contenders);
    }
}

criterion_group!(benches, wasm, kernels);
criterion_main!(benches);
