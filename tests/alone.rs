//! A kernel alone, without a guest: `isobit run kernel.wgsl`. Its results against those computed here, on every device and at a provider, with one
//! claim; and what is said of what does not fit.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests may panic")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use support::{Ended, Provider, devices, isobit};
use tempfile::TempDir;

/// Adds a scaled vector to another, with every kind of binding, in two groups. Line 8 has the entry point.
const SAXPY: &str = "\
struct Factors { a: f32, offset: u32, c: f32, d: f32 }
override scale: f32 = 1.0;
override count_twice: bool = false;
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(1) @binding(3) var<uniform> factors: Factors;
@group(1) @binding(4) var<storage, read_write> counts: array<atomic<u32>>;
@compute @workgroup_size(64)
fn saxpy(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= arrayLength(&x) { return; }
    y[id.x] = fma(factors.a, x[id.x], scale) + f32(factors.offset);
    atomicAdd(&counts[id.x % 4u], select(1u, 2u, count_twice));
}
@compute @workgroup_size(1)
fn other() { y[0] = 1.0; }
";

struct Files(TempDir);

impl Files {
    fn new() -> Self {
        let files = Self(tempfile::tempdir().unwrap());
        files.write("kernel.wgsl", SAXPY.as_bytes());
        files.write("x.bin", &numbers().flat_map(f32::to_le_bytes).collect::<Vec<_>>());
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, content: &[u8]) -> PathBuf {
        fs::write(self.path(name), content).unwrap();
        self.path(name)
    }

    /// Adds the whole job to a command, in the folder of the files.
    fn job<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.current_dir(self.0.path()).args([
            "--bind=0=x.bin",
            "--bind=1=zeros:4000",
            "--bind=1.3=f32:0.5,0,0,0",
            "--bind=1.4=u32:0,0,0,10",
            "--workgroups=16",
            "--entry-point=saxpy",
            "--override=scale=1.5e-3",
            "--override=count_twice=true",
            "-o=1=y.bin",
            "-o=1.4=counts.bin",
        ])
    }

    fn run(&self, args: &[&str]) -> Ended {
        isobit().current_dir(self.0.path()).args(["run", "kernel.wgsl"]).args(args).output().unwrap().into()
    }

    /// Asserts the results of the whole job.
    fn assert_computed(&self) {
        let expected: Vec<u8> = numbers().map(|x| 0.5_f32.mul_add(x, 1.5e-3)).flat_map(f32::to_le_bytes).collect();
        assert!(fs::read(self.path("y.bin")).unwrap() == expected);
        let counts: Vec<u8> = [500_u32, 500, 500, 510].into_iter().flat_map(u32::to_le_bytes).collect();
        assert_eq!(fs::read(self.path("counts.bin")).unwrap(), counts);
        for output in ["y.bin", "counts.bin"] {
            fs::remove_file(self.path(output)).unwrap();
        }
    }
}

fn numbers() -> impl Iterator<Item = f32> {
    (0..1000_u16).map(|i| f32::from(i) * 0.37 - 100.0)
}

#[test]
fn a_kernel_alone_has_one_claim_on_every_device_and_at_a_provider() {
    let files = Files::new();
    let mut claims = Vec::new();
    for device in devices() {
        let mut run = isobit();
        run.args(["run", "kernel.wgsl", "--json", "--device", &device.index]);
        let answer = Ended::from(files.job(&mut run).output().unwrap()).done();
        assert_eq!(answer["observed"]["device"], device.name.as_str());
        assert!(answer["cost"]["kernel-fuel"].as_u64().unwrap() > 16 * 64, "{answer}");
        files.assert_computed();
        claims.push(answer["claim"].clone());
    }
    let provider = Provider::start("cpu", &[]);
    let mut submit = provider.submit(Path::new("kernel.wgsl"));
    let answer = Ended::from(files.job(&mut submit).args(["--receipt", "r.json"]).output().unwrap()).done();
    files.assert_computed();
    claims.push(answer["claim"].clone());
    assert!(claims.windows(2).all(|pair| pair[0] == pair[1]), "{claims:?}");
    // The receipt says what ran, and anybody can run it again.
    let shown: Ended = isobit().arg("show").arg(files.path("r.json")).output().unwrap().into();
    shown.failed(
        0,
        &["workgroups=16,1,1", "zeros=0.1=4000", "overrides=scale=0.0015 count_twice=1", "input     kernel  "],
    );
    let lists = [("1.3", &[0.5_f32, 0.0, 0.0, 0.0].map(f32::to_bits)), ("1.4", &[0, 0, 0, 10])];
    let mut verify = isobit();
    verify.current_dir(files.0.path()).args([
        "verify",
        "r.json",
        "--rerun",
        "kernel.wgsl",
        "--device",
        "cpu",
        "-i",
        "0.0=x.bin",
    ]);
    for (name, words) in lists {
        let path = files.write(name, &words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<_>>());
        verify.arg("-i").arg(format!("{name}={}", path.display()));
    }
    Ended::from(verify.output().unwrap()).failed(0, &[]);
    let quote: Ended = isobit()
        .current_dir(files.0.path())
        .args(["quote", &provider.address, "--workload", "kernel.wgsl", "-i", "x=x.bin"])
        .output()
        .unwrap()
        .into();
    quote.failed(0, &["runs at once"]);
}

#[test]
fn numbers_of_overrides_are_what_they_are_called() {
    let files = Files::new();
    let values = ["0.1", "-2.5e-7", "16777217", "1e22", "9007199254740991", "-0.0"];
    let declared: String = (0..values.len()).map(|i| format!("override v{i}: f32;\n")).collect();
    let stored: String = (0..values.len()).map(|i| format!("out[{i}] = v{i};\n")).collect();
    files.write(
        "kernel.wgsl",
        format!(
            "{declared}@group(0) @binding(0) var<storage, read_write> out: array<f32>;
            @compute @workgroup_size(1) fn main() {{ {stored} }}"
        )
        .as_bytes(),
    );
    let overrides: Vec<String> =
        (0..).zip(values).map(|(i, value): (u32, _)| format!("--override=v{i}={value}")).collect();
    let mut args = vec!["--device=cpu", "--bind=0=zeros:24", "--workgroups=1", "-o=0=out.bin"];
    args.extend(overrides.iter().map(String::as_str));
    files.run(&args).failed(0, &[]);
    let expected: Vec<u8> = values.iter().flat_map(|value| value.parse::<f32>().unwrap().to_le_bytes()).collect();
    assert_eq!(fs::read(files.path("out.bin")).unwrap(), expected);
}

#[test]
fn a_mistake_in_the_kernel_is_shown_in_its_file() {
    let files = Files::new();
    files.write("kernel.wgsl", SAXPY.replace("select(1u", "seelct(1u").as_bytes());
    let ended = files.run(&["--workgroups", "1"]);
    ended.failed(2, &["kernel.wgsl:12:", "atomicAdd(&counts[id.x % 4u], seelct(1u, 2u, count_twice));", "^"]);
    files.write("kernel.wgsl", b"\x89PNG\r\n\x1a\n\xff\xfe");
    files.run(&["--workgroups", "1"]).failed(2, &["kernel.wgsl is not text"]);
    files.write("kernel.wgsl", b"fn main() {}");
    files.run(&["--workgroups", "1"]).failed(2, &["no compute entry point"]);
    fs::remove_file(files.path("kernel.wgsl")).unwrap();
    files.run(&["--workgroups", "1"]).failed(2, &["cannot read kernel.wgsl: No such file"]);
}

#[test]
fn what_does_not_fit_the_kernel_is_told_before_anything_runs() {
    let files = Files::new();
    files.write("empty.bin", b"");
    let saxpy = ["--entry-point=saxpy", "--workgroups=16"];
    let all = ["--bind=0=x.bin", "--bind=1=zeros:4000", "--bind=1.3=zeros:16", "--bind=1.4=zeros:16"];
    let with = |replaced: &[&'static str]| -> Vec<&'static str> {
        let of = |bind: &&str| bind.split('=').nth(1).unwrap().to_owned();
        let kept = all
            .iter()
            .filter(|bind| !replaced.iter().any(|other| other.starts_with("--bind") && of(other) == of(bind)));
        saxpy.iter().chain(kept).chain(replaced).copied().collect()
    };
    for (args, words) in [
        (vec!["--workgroups=1"], &["several entry points: saxpy, other", "hint: choose one with --entry-point"][..]),
        (vec!["--workgroups=1", "--entry-point=daxpy"], &["no compute entry point `daxpy`", "saxpy"]),
        (
            vec!["--entry-point=other"],
            &["how many workgroups are to run?", "hint: add --workgroups X[,Y[,Z]]; one of this kernel has 1x1x1"],
        ),
        (
            saxpy.to_vec(),
            &[
                "the kernel's binding 0.0 is given nothing: read-only storage, at least 4 B",
                "hint: add --bind 0.0=FILE",
            ],
        ),
        (
            with(&["--bind=2=zeros:4"]),
            &[
                "`saxpy` has no binding 0.2",
                "hint: it binds 0.0 (read-only storage), 0.1 (read-write storage), 1.3 (uniform)",
            ],
        ),
        (with(&["--bind=1.3=f32:1,2"]), &["the binding 1.3 needs 16 B in the kernel, and the list of numbers has 8 B"]),
        (
            with(&["--bind=1.3=zeros:128KiB"]),
            &["the binding 1.3 is given 128 KiB: the zeros", "a uniform binding has at most 64 KiB"],
        ),
        (
            with(&["--bind=1=zeros:200MiB"]),
            &["the binding 0.1 is given 200 MiB", "at most 128 MiB", "hint: add --class large"],
        ),
        (with(&["--bind=0=empty.bin"]), &["the binding 0.0 is given no bytes: empty.bin"]),
        (with(&["--bind=0=nothing.bin"]), &["cannot read nothing.bin", "hint: bind a file, zeros:BYTES"]),
        (with(&["--bind=0=."]), &[". is not a regular file"]),
        (with(&["-o=0=out.bin"]), &["the binding 0.0 is read-only storage, so the kernel writes nothing to it"]),
        (with(&["-o=7=out.bin"]), &["`saxpy` has no binding 0.7"]),
        (with(&["-o=out=out.bin"]), &["`out` is no binding", "-o 1=out.bin"]),
        (with(&["-o=1=a.bin", "-o=0.1=b.bin"]), &["the output 0.1 is given twice"]),
        (with(&["--bind=0.0=x.bin", "--bind=0=x.bin"]), &["the binding 0.0 is given twice"]),
        (with(&["--override=scle=1"]), &["no override `scle`", "`scale`"]),
        (with(&["--override=scale=0.30000000000000004"]), &["`scale` has more digits"]),
        (with(&["-i", "x=x.bin"]), &["a kernel alone takes no -i and no -p"]),
        (with(&["--bind=0=zeros:3"]), &["3 bytes are no whole words"]),
        (with(&["--bind=zero=x.bin"]), &["`zero` is no binding"]),
        (with(&["-o=1=x.bin"]), &["x.bin", "input"]),
    ] {
        files.run(&args).failed(2, words);
    }
    // Flags of a kernel for a workload.
    let workload = support::test_guest("large");
    let ended: Ended = isobit().arg("run").arg(&workload).args(["--bind", "0=x.bin"]).output().unwrap().into();
    ended.failed(2, &["--bind is for a kernel, and ", " is a workload"]);
    // Workgroups beyond the limit are a mistake that the claim tells of.
    let mut args = with(&["--device=cpu"]);
    args[1] = "--workgroups=65536";
    files
        .run(&args)
        .failed(1, &["limit max-compute-workgroups-per-dimension exceeded: 65536 asked for, at most 65535 allowed"]);
}

#[test]
fn the_workload_of_a_kernel_alone_says_what_it_does_not_take() {
    // As a job that somebody makes by hand: the workload is known from a receipt's job, here by running it as it is.
    let files = Files::new();
    let provider = Provider::start("cpu", &[]);
    let mut submit = provider.submit(Path::new("kernel.wgsl"));
    Ended::from(files.job(&mut submit).output().unwrap()).done();
    let workload = fs::read_dir(provider.data().join("store/blobs"))
        .unwrap()
        .flat_map(|folder| fs::read_dir(folder.unwrap().path()).unwrap())
        .map(|file| file.unwrap().path())
        .find(|path| fs::read(path).unwrap().starts_with(b"\0asm"))
        .unwrap();
    let component = files.path("alone.wasm");
    fs::copy(&workload, &component).unwrap();
    let run = |args: &[&str]| -> Ended {
        let mut run = isobit();
        run.current_dir(files.0.path()).args(["run", "alone.wasm", "--device", "cpu", "-i", "kernel=kernel.wgsl"]);
        run.args(["-p", "entry-point=other"]).args(args).output().unwrap().into()
    };
    let taken = |name: &str| format!("the parameter or input `{name}` is not as this workload takes it");
    run(&["-p", "workgroups=1,1,1", "-p", "zeros=0.1=4", "-o", "0.1=o.bin", "-p", "outputs=0.1"]).failed(0, &[]);
    assert_eq!(fs::read(files.path("o.bin")).unwrap(), 1.0_f32.to_le_bytes());
    for (args, words) in [
        (&["-p", "zeros=0.1=4"][..], taken("workgroups")),
        (&["-p", "zeros=0.1=4", "-p", "workgroups=1"], taken("workgroups")),
        (&["-p", "zeros=0.1=4", "-p", "workgroups=1,1,99999999999"], taken("workgroups")),
        (&["-p", "zeros=0.1=4,", "-p", "workgroups=1,1,1"], taken("zeros")),
        (&["-p", "zeros=0.1=4 0.1=8", "-p", "workgroups=1,1,1"], taken("zeros")),
        (&["-p", "zeros=0.1=4", "-p", "workgroups=1,1,1", "-p", "outputs=0.2"], taken("outputs")),
        (&["-p", "zeros=0.1=4", "-p", "workgroups=1,1,1", "-p", "overrides=scale"], taken("overrides")),
        (&["-p", "zeros=0.1=4", "-p", "workgroups=1,1,1", "-i", "x=x.bin"], taken("x")),
        (&["-p", "workgroups=1,1,1"], "bind group 0".to_owned()),
        (&["-p", "zeros=0.1=3", "-p", "workgroups=1,1,1"], "the buffer's size is 3 bytes; the least is 4".to_owned()),
        (
            &["-p", "zeros=0.1=2000000000", "-p", "workgroups=1,1,1"],
            "limit max-buffer-size exceeded: 2000000000 asked for, at most 268435456 allowed".to_owned(),
        ),
        (
            &["-p", "zeros=0.1=2000000", "-p", "workgroups=1,1,1", "--device-memory", "1MiB"],
            "out of device memory: 2000000 asked for, 0 in use of 1048576".to_owned(),
        ),
    ] {
        run(args).failed(1, &[&words]);
    }
    let spaces = "0.1=4 ".repeat(600);
    run(&["-p", &format!("zeros={spaces}"), "-p", "workgroups=1,1,1"]).failed(1, &[&taken("zeros")]);
}
