//! Hostile kernels: `isobit check` answers within a second of computing, in bounded memory, with a status that says no.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

/// Gives a kernel to `isobit check`, with little memory and time to compute.
fn check(kernel: &str) -> Output {
    // In KiB of address space, of which the compiler's stack is 256 MiB, and seconds of the processor.
    let mut child = Command::new("sh")
        .args(["-c", "ulimit -v 1500000; ulimit -t 2; exec \"$0\" check -", env!("CARGO_BIN_EXE_isobit")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let kernel = kernel.to_owned();
    // It need not read all.
    let writer = std::thread::spawn(move || drop(stdin.write_all(kernel.as_bytes())));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output
}

#[test]
fn hostile_kernels_get_an_answer_in_bounded_time_and_memory() {
    let main = "@group(0) @binding(0) var<storage, read_write> out: array<u32>;
        @compute @workgroup_size(64) fn main(@builtin(local_invocation_index) i: u32)";
    let repeated = |open: &str, close: &str| format!("{}1{}", open.repeat(100_000), close.repeat(100_000));
    let deep = (1..20_000).map(|level| format!("struct S{level} {{ s: S{} }} ", level - 1)).collect::<String>();
    let chain =
        |kind: &str| (0..20_000).map(|at| format!("if i == {at}u {{ out[0] = {at}u; }} {kind} ")).collect::<String>();
    let kernels = [
        ("10 MB", "a".repeat(10_000_000)),
        ("parentheses", format!("{main} {{ out[0] = {}; }}", repeated("(", ")"))),
        ("generics", format!("var<private> a: {};", repeated("array<", ",1>"))),
        ("types", format!("struct S0 {{ a: u32 }} {deep} {main} {{ }}")),
        ("recursion", format!("fn f() {{ g(); }} fn g() {{ f(); }} {main} {{ f(); }}")),
        ("memory", format!("var<private> a: array<u32, 1073741824>; {main} {{ a[i] = 1u; out[0] = a[0]; }}")),
        ("ifs", format!("{main} {{ {} {{ }} }}", chain("else"))),
        (
            "values",
            format!(
                "@group(0) @binding(1) var<storage, read_write> a: array<array<f32, 1024>>; {main} {{ {} }}",
                "a[i] = a[i + 1u];".repeat(300)
            ),
        ),
        ("calls", {
            let levels: String =
                (1..60).map(|level| format!("fn f{level}() {{ f{0}(); f{0}(); }} ", level - 1)).collect();
            format!("{main} {{ f59(); }} fn f0() {{ out[0] = 1u; }} {levels}")
        }),
    ];
    for (what, kernel) in kernels {
        let output = check(&kernel);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{what}: {:?} {said}", output.status);
        assert!(said.len() < 64 << 10 && said.starts_with("error: "), "{what}: {said}");
    }
}
