//! The command `isobit` as its users meet it: help, exit statuses, keys, and a workload from nothing.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests may panic")]

mod support;

use std::fs;
use std::path::Path;
use std::process::Output;

use support::{isobit, json};

/// Runs `isobit` with these arguments.
fn run(args: &[&str]) -> Output {
    isobit().args(args).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// The names of all commands that `isobit --help` lists.
fn commands() -> Vec<String> {
    let help = stdout(&run(&["--help"]));
    let (_, list) = help.split_once("Commands:\n").unwrap();
    let lines = list.lines().take_while(|line| !line.is_empty()).filter(|line| !line.starts_with("   "));
    lines.map(|line| line.split_whitespace().next().unwrap().to_owned()).filter(|name| name != "help").collect()
}

#[test]
fn every_command_has_help_that_ends_with_an_example() {
    let commands = commands();
    assert!(commands.len() >= 7, "{commands:?}");
    for command in commands {
        let output = run(&[&command, "--help"]);
        assert_eq!(output.status.code(), Some(0), "{command}");
        let help = stdout(&output);
        let (_, examples) = help.rsplit_once("Examples:\n").unwrap_or_else(|| panic!("{command}: no examples"));
        assert!(examples.contains(&format!("isobit {command}")), "{command}: {examples}");
    }
}

#[test]
fn the_help_says_what_the_exit_statuses_mean() {
    let help = stdout(&run(&["--help"]));
    let (_, statuses) = help.split_once("Exit status:\n").unwrap();
    for status in ["0 ", "1 ", "2 ", "3 ", "130 "] {
        assert!(statuses.lines().any(|line| line.trim_start().starts_with(status)), "{status}");
    }
}

#[test]
fn the_help_lists_limits_and_nothing_else_under_their_heading() {
    for command in ["run", "submit"] {
        let help = stdout(&run(&[command, "--help"]));
        let (options, limits) = help.split_once("Limits:\n").unwrap();
        let (_, options) = options.split_once("Options:\n").unwrap();
        let (limits, _) = limits.split_once("Global options:\n").unwrap();
        let flags = |text: &str| -> Vec<String> {
            text.split_whitespace().filter(|word| word.starts_with("--")).map(str::to_owned).collect()
        };
        let named = ["--guest-memory", "--device-memory", "--fuel", "--kernel-fuel", "--output-bytes", "--outputs"];
        assert_eq!(flags(limits), named, "{help}");
        for flag in ["--receipt", "--key", if command == "run" { "--device" } else { "--to" }] {
            assert!(flags(options).iter().any(|listed| listed == flag), "{command} {flag}: {help}");
        }
    }
}

#[test]
fn bad_usage_ends_with_status_2_and_leaves_stdout_alone() {
    for args in [&["bogus"][..], &["keygen", "--bogus"], &["inspect"], &[]] {
        let output = run(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert_eq!(stdout(&output), "", "{args:?}");
    }
}

#[test]
fn bad_usage_with_json_is_told_in_json() {
    let output = run(&["keygen", "--bogus", "--json"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(json(&output)["error"]["message"].as_str().unwrap().contains("--bogus"));
}

#[test]
fn an_error_has_a_message_and_a_hint_on_stderr_or_in_json() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().to_str().unwrap();
    let output = run(&["build", dir]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(stdout(&output), "");
    let lines = stderr(&output);
    let mut lines = lines.lines();
    assert!(lines.next().unwrap().starts_with("error: there is no Cargo.toml in"));
    assert!(lines.next().unwrap().starts_with("hint: "));

    let output = run(&["build", dir, "--json"]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(stderr(&output), "");
    let error = &json(&output)["error"];
    assert!(error["message"].as_str().unwrap().starts_with("there is no Cargo.toml"));
    assert!(error["hint"].as_str().unwrap().contains("isobit new"));
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    use std::process::Stdio;
    let mut child =
        isobit().args(["completions", "bash"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(stderr(&output), "");
}

#[cfg(unix)]
#[test]
fn a_new_key_is_private_and_printed_by_its_public_half() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    let output = run(&["keygen", "-o", path.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let public = stdout(&output).trim_end().to_owned();
    assert_eq!(public.len(), 64);
    assert!(fs::read_to_string(&path).unwrap().contains(&public));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
}

#[test]
fn a_key_that_exists_is_kept_unless_forced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    let path = path.to_str().unwrap();
    assert_eq!(run(&["keygen", "-o", path]).status.code(), Some(0));
    let first = fs::read(path).unwrap();

    let output = run(&["keygen", "-o", path]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("exists already"));
    assert!(stderr(&output).contains("--force"));
    assert_eq!(fs::read(path).unwrap(), first);

    assert_eq!(run(&["keygen", "-o", path, "--force"]).status.code(), Some(0));
    assert_ne!(fs::read(path).unwrap(), first);
}

#[test]
fn without_a_name_the_key_goes_to_the_users_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let output = isobit().args(["keygen", "--json"]).env("XDG_CONFIG_HOME", folder.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let file = folder.path().join("isobit").join("key");
    assert_eq!(Path::new(json(&output)["file"].as_str().unwrap()), file);
    assert!(file.is_file());
}

#[test]
fn completions_and_manual_pages_are_generated() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let output = run(&["completions", shell]);
        assert_eq!(output.status.code(), Some(0), "{shell}");
        assert!(stdout(&output).contains("keygen"), "{shell}");
    }
    assert!(stdout(&run(&["man"])).contains(".TH isobit 1"));

    let folder = tempfile::tempdir().unwrap();
    assert_eq!(run(&["man", "-o", folder.path().to_str().unwrap()]).status.code(), Some(0));
    assert!(folder.path().join("isobit.1").is_file());
    for command in commands() {
        let page = fs::read_to_string(folder.path().join(format!("isobit-{command}.1"))).unwrap();
        assert!(page.contains("Examples"), "{command}");
    }
    assert!(folder.path().join("isobit-config-show.1").is_file());
}

#[test]
fn what_is_no_workload_is_refused_with_what_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let inspect = |name: &str, content: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, content).unwrap();
        run(&["inspect", path.to_str().unwrap()])
    };
    let module = inspect("module.wasm", b"\0asm\x01\0\0\0");
    assert_eq!(module.status.code(), Some(1));
    assert!(stderr(&module).contains("if it is a WASI program"), "{}", stderr(&module));
    // Magic, version 13, layer 1: an empty component.
    let component = inspect("component.wasm", b"\0asm\x0d\0\x01\0");
    assert_eq!(component.status.code(), Some(1));
    assert!(stderr(&component).contains("isobit:compute/workload"), "{}", stderr(&component));
    for (content, what) in [
        (&b"hello"[..], "it is text; build a workload with `isobit build`"),
        (b"@compute @workgroup_size(1) fn main() {}", "it is a kernel in WGSL; look at it with `isobit check`"),
        (b"\x89PNG\r\n\x1a\n", "it is a PNG picture"),
        (b"", "the file is empty"),
        (b"\x01\x02\x03\x04\x05\x06\x07\x08", "it does not begin as WebAssembly does"),
    ] {
        let output = inspect("other.wasm", content);
        assert_eq!(output.status.code(), Some(1));
        let said = stderr(&output);
        // A sentence, not a dump of bytes.
        assert!(said.contains(what) && !said.contains("0x") && !said.contains('['), "{said}");
    }
    assert_eq!(run(&["inspect", "no such file"]).status.code(), Some(2));
    // What cannot be run is bad usage, and a file without end is not read to it.
    let path = folder.path().join("other.wasm");
    assert_eq!(run(&["run", path.to_str().unwrap()]).status.code(), Some(2));
    let endless = run(&["run", "/dev/zero"]);
    assert_eq!(endless.status.code(), Some(2));
    assert!(stderr(&endless).contains("at most 67108864 are allowed"), "{}", stderr(&endless));
    let folder = run(&["run", folder.path().to_str().unwrap()]);
    assert!(stderr(&folder).contains("is a folder, not a file"), "{}", stderr(&folder));
}

#[test]
fn a_new_workload_builds_and_runs_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("my-blur");
    let output = run(&["new", dir.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(fs::read_to_string(dir.join("Cargo.toml")).unwrap().contains("name = \"my-blur\""));

    let component = support::build(&dir, "my-blur");
    let output = run(&["inspect", component.to_str().unwrap(), "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let found = json(&output);
    assert_eq!(found["exports"], serde_json::json!(["run"]));
    assert_eq!(found["size"], fs::metadata(&component).unwrap().len());
    let imports = found["imports"].as_array().unwrap();
    assert!(imports.iter().all(|import| import.as_str().unwrap().starts_with("isobit:compute/")), "{imports:?}");
    let text = stdout(&run(&["inspect", component.to_str().unwrap()]));
    assert!(text.contains(found["hash"].as_str().unwrap()), "{text}");
    // A renter's home folder is nobody's business.
    let home = std::env::var("HOME").unwrap();
    let bytes = fs::read(&component).unwrap();
    assert!(!bytes.windows(home.len()).any(|window| window == home.as_bytes()), "{home} is in the workload");

    let out = folder.path().join("out.txt");
    for device in ["best", "cpu"] {
        let assignment = format!("out={}", out.display());
        let args = ["run", component.to_str().unwrap(), "-o", &assignment, "-p", "count=3", "--device", device];
        let output = run(&args);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        assert_eq!(fs::read_to_string(&out).unwrap(), "0\n2\n4\n");
        fs::remove_file(&out).unwrap();
    }

    // A machine without any driver.
    let assignment = format!("out={}", out.display());
    let mut bare = isobit();
    bare.args(["run", component.to_str().unwrap(), "-o", &assignment, "-p", "count=3", "--json"]);
    for variable in ["VK_DRIVER_FILES", "VK_ICD_FILENAMES"] {
        bare.env(variable, "/no/such/driver.json");
    }
    let output = bare.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(json(&output)["observed"]["device"], "isobit CPU device");
    assert_eq!(fs::read_to_string(&out).unwrap(), "0\n2\n4\n");

    // The compiler's own messages reach the user.
    fs::write(dir.join("src/lib.rs"), "fn broken( {}").unwrap();
    let broken = isobit().arg("build").arg(&dir).env("CARGO_TARGET_DIR", support::target_dir()).output().unwrap();
    assert_eq!(broken.status.code(), Some(2));
    assert!(stderr(&broken).contains("unclosed delimiter"), "{}", stderr(&broken));
    assert!(stderr(&broken).contains("error: my-blur does not compile"), "{}", stderr(&broken));
    assert_eq!(stdout(&broken), "");
}

#[test]
fn a_crate_without_the_sdk_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    fs::create_dir(dir.join("src")).unwrap();
    fs::write(dir.join("src/lib.rs"), "#[unsafe(no_mangle)] pub extern \"C\" fn add(a: u32) -> u32 { a + 1 }").unwrap();
    let manifest = "[package]\nname = \"plain\"\nedition = \"2024\"\n[workspace]\n";
    let build = || {
        let mut build = isobit();
        build.arg("build").arg(dir).arg("-o").arg(dir.join("out.wasm"));
        build.env("CARGO_TARGET_DIR", support::target_dir()).output().unwrap()
    };

    fs::write(dir.join("Cargo.toml"), manifest).unwrap();
    let output = build();
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("crate-type = [\"cdylib\"]"), "{}", stderr(&output));

    fs::write(dir.join("Cargo.toml"), format!("{manifest}[lib]\ncrate-type = [\"cdylib\"]\n")).unwrap();
    let output = build();
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("is not a workload"), "{}", stderr(&output));
    assert!(!dir.join("out.wasm").exists());
}

#[test]
fn a_new_workload_never_goes_into_a_folder_that_is_in_use() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("thesis.txt"), "years of work").unwrap();
    let output = run(&["new", folder.path().to_str().unwrap(), "--name", "x"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("is not empty"));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

/// Runs `isobit check` on a kernel.
fn check(wgsl: &str, args: &[&str]) -> Output {
    check_bytes(wgsl.as_bytes(), args)
}

fn check_bytes(kernel: &[u8], args: &[&str]) -> Output {
    use std::io::Write as _;
    use std::process::Stdio;

    let mut check = isobit();
    check.args(["check", "-"]).args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = check.spawn().unwrap();
    // It may refuse without reading.
    let _ = child.stdin.take().unwrap().write_all(kernel);
    child.wait_with_output().unwrap()
}

const KERNEL: &str = "
override width: u32;
@group(0) @binding(1) var<storage, read_write> data: array<f32>;
@group(1) @binding(0) var<uniform> scale: vec4f;
@compute @workgroup_size(width)
fn scaled(@builtin(global_invocation_id) id: vec3u) { data[id.x] = sin(data[id.x]) * scale.x; }
";

#[test]
fn a_reproducible_kernel_is_shown_with_what_it_binds_and_costs() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kernel.wgsl");
    fs::write(&path, KERNEL).unwrap();
    let path = path.to_str().unwrap();

    let output = run(&["check", path, "--override", "width=32", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let answer = json(&output);
    assert_eq!(answer["accepted"], true);
    let entry_point = &answer["entry_points"][0];
    assert_eq!(entry_point["name"], "scaled");
    assert_eq!(entry_point["workgroup_size"], serde_json::json!([32, 1, 1]));
    assert!(entry_point["invocation_cost"].as_u64().unwrap() > 20, "{entry_point}");
    assert_eq!(entry_point["bindings"][0]["kind"], "read-write storage");
    assert_eq!(entry_point["bindings"][1]["group"], 1);

    let output = run(&["check", path, "--override", "width=32"]);
    let text = stdout(&output);
    assert!(text.starts_with("proved: each operation has one result on every device (dp32/2)"), "{text}");
    assert!(text.contains("not proved   data (group 0, binding 1) is stored to"), "{text}");
    assert_eq!(entry_point["not_proved"][0]["variable"], "data");
    let output = run(&["check", path, "--override", "width=32", "--profile", "native"]);
    assert!(stdout(&output).contains("each device may round in its own way"), "{}", stdout(&output));

    let output = run(&["check", path, "--override", "width=32", "--profile", "native", "--emit"]);
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn the_cost_of_loops_is_told_by_the_turn_and_with_their_place() {
    let body = "for (var i = 0u; i < 100000u; i++) {\n  data[i] = 1u;\n  while (data[i] < 3u) { data[i] += 1u; }\n}\n\
        for (var k = 0u; k < 10u; k++) { data[k] = k; }";
    let wgsl = format!(
        "@group(0) @binding(0) var<storage, read_write> data: array<u32>;\n\
        @compute @workgroup_size(1) fn main() {{\n{body}\n}}"
    );
    let answer = json(&check(&wgsl, &["--json"]));
    let entry_point = &answer["entry_points"][0];
    let loops = entry_point["loops"].as_array().unwrap();
    let places: Vec<_> = loops.iter().map(|it| (it["line"].as_u64(), it["column"].as_u64())).collect();
    assert_eq!(places, [(Some(3), Some(1)), (Some(5), Some(3))]);
    let [outer, inner] = [0, 1].map(|index| loops[index]["iteration_cost"].as_u64().unwrap());
    let invocation = entry_point["invocation_cost"].as_u64().unwrap();
    // Ten turns are known, and in it.
    assert!(outer > 5 && inner > 5 && invocation > 40, "{entry_point}");
    let text = stdout(&check(&wgsl, &[]));
    let cost = format!(
        "cost         {invocation} per invocation, and\n             {outer} per iteration of the loop at 3:1\n             \
        {inner} per iteration of the loop at 5:3\n"
    );
    assert!(text.contains(&cost), "{text}");
}

/// A sum over the workgroup; the line before the last is right only with a barrier.
const SUM: &str = "
@group(0) @binding(0) var<storage, read> data: array<u32>;
@group(0) @binding(1) var<storage, read_write> sums: array<u32>;
var<workgroup> part: array<u32, 32>;
@compute @workgroup_size(32)
fn sum(@builtin(global_invocation_id) at: vec3u, @builtin(local_invocation_index) i: u32, @builtin(workgroup_id) group: vec3u) {
    part[i] = data[at.x];
    BARRIER
    if i == 0u { for (var k = 1u; k < 32u; k++) { part[0] += part[k]; } sums[group.x] = part[0]; }
}";

#[test]
fn races_are_looked_for_on_made_up_inputs() {
    let right = SUM.replace("BARRIER", "workgroupBarrier();");
    let output = check(&right, &["--detect-races"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let text = stdout(&output);
    for words in [
        "not proved",
        "made-up inputs; others may",
        "tried        3 x 1 x 1 workgroups on buffers of: zeros; ",
        "races        none",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }

    let racy = SUM.replace("BARRIER", "");
    let output = check(&racy, &["--detect-races", "--workgroups", "2", "--json"]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let races = json(&output)["entry_points"][0]["races"].clone();
    assert_eq!((&races["workgroups"], races["tried"].as_array().unwrap().len()), (&serde_json::json!([2, 1, 1]), 5));
    assert_eq!(races["found"][0]["memory"]["variable"], "part", "{races}");
    assert!(stdout(&check(&racy, &["--detect-races"])).contains("race         `sum`: word "));

    // Invocations that meet only where the data sends them: with zeros and with small numbers.
    let scatter = "@group(0) @binding(0) var<storage, read> to: array<u32>;
        @group(0) @binding(1) var<storage, read_write> out: array<u32>;
        @compute @workgroup_size(8) fn scatter(@builtin(global_invocation_id) at: vec3u) { out[to[at.x]] = at.x; }";
    assert_eq!(check(scatter, &["--detect-races"]).status.code(), Some(1));

    // What does not end is not called free of races.
    let endless = "@group(0) @binding(0) var<storage, read_write> out: array<u32>;
        @compute @workgroup_size(1) fn main(@builtin(global_invocation_id) at: vec3u) { while out[at.x] < 100u { out[at.x + 9u] = 1u; } }";
    let output = check(endless, &["--detect-races", "--json"]);
    assert_eq!(output.status.code(), Some(2), "{}", stdout(&output));
    assert!(json(&output)["entry_points"][0]["races"]["ended_early"].as_str().unwrap().contains("kernel fuel"));

    for wrong in ["", "0x1", "1,2,3,4", "-1"] {
        assert_eq!(check(&right, &["--detect-races", &format!("--workgroups={wrong}")]).status.code(), Some(2));
    }
    let output = check(&right, &["--detect-races", "--workgroups", "70000"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("max-compute-workgroups-per-dimension"), "{}", stderr(&output));
    assert_eq!(check(&right, &["--detect-races", "--profile", "native"]).status.code(), Some(2));
}

const TWO_ENTRY_POINTS: &str = "
@group(0) @binding(0) var<storage, read_write> data: array<f32>;
@compute @workgroup_size(8) fn first(@builtin(global_invocation_id) id: vec3u) { data[id.x] = cos(data[id.x]) % 3.0; }
@compute @workgroup_size(4) fn second() { for (var i = 0u; i < arrayLength(&data); i++) { data[i] /= 3.0; } }
";

#[test]
fn what_is_emitted_is_wgsl() {
    for form in ["--emit", "--emit=tier-a", "--emit=tier-b"] {
        for (name, size) in [("first", 8), ("second", 4)] {
            let output = check(TWO_ENTRY_POINTS, &["--entry-point", name, form]);
            assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
            let wgsl = stdout(&output);
            let module = naga::front::wgsl::parse_str(&wgsl).unwrap_or_else(|error| panic!("{form}: {error}\n{wgsl}"));
            let (flags, capabilities) = (naga::valid::ValidationFlags::all(), naga::valid::Capabilities::empty());
            naga::valid::Validator::new(flags, capabilities).validate(&module).unwrap();
            let [entry_point] = module.entry_points.as_slice() else { panic!("{wgsl}") };
            assert_eq!((entry_point.name.as_str(), entry_point.workgroup_size), (name, [size, 1, 1]));
            // All that keeps it from being checked again is the system's group.
            let again = check(&wgsl, &["--profile", "native"]);
            assert_eq!(again.status.code(), Some(1), "{form}");
            assert!(stderr(&again).starts_with("error: @group(3) is not available"), "{}", stderr(&again));
        }
    }

    let output = check(TWO_ENTRY_POINTS, &["--emit"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("hint: choose one with --entry-point: first, second"), "{}", stderr(&output));
    let output = check(TWO_ENTRY_POINTS, &["--entry-point", "third"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("it has: first, second"), "{}", stderr(&output));
}

#[test]
fn a_kernel_that_no_device_takes_is_refused_with_status_1() {
    const OUT: &str = "@group(0) @binding(0) var<storage, read_write> out: array<f32>;";
    let many: String =
        (1..=8).map(|i| format!("@group(1) @binding({i}) var<storage, read_write> o{i}: array<f32>;")).collect();
    let used: String = (1..=8).map(|i| format!("o{i}[0] = 1.0;")).collect();
    for (wgsl, reason, hint) in [
        (String::new(), "no compute entry point", "`@compute @workgroup_size(64)`"),
        ("fn f() {}".to_owned(), "no compute entry point", "`@compute @workgroup_size(64)`"),
        (
            format!("{OUT} @compute @workgroup_size(16, 64) fn main() {{ out[0] = 1.0; }}"),
            "max-compute-invocations-per-workgroup is 256, but 1024 was requested",
            "dispatch more workgroups",
        ),
        (
            format!(
                "{OUT} var<workgroup> t: array<f32, 100000>; @compute @workgroup_size(8) fn main() {{ out[0] = t[1]; }}"
            ),
            "max-compute-workgroup-storage-size is 16384, but 400000 was requested",
            "the rest in storage buffers",
        ),
        (
            format!("{OUT} {many} @compute @workgroup_size(8) fn main() {{ out[0] = 1.0; {used} }}"),
            "max-storage-buffers-per-shader-stage is 8, but 9 was requested",
            "into one buffer",
        ),
        (
            "@group(0) @binding(1000) var<storage, read_write> out: array<f32>;
            @compute @workgroup_size(1) fn main() { out[0] = 1.0; }"
                .to_owned(),
            "max-bindings-per-bind-group is 1000, but 1001 was requested",
            "from 0",
        ),
        (
            "@group(0) @binding(0) var<storage, read_write> out: array<f32, 40000000>;
            @compute @workgroup_size(1) fn main() { out[0] = 1.0; }"
                .to_owned(),
            "max-storage-buffer-binding-size is 134217728, but 160000000 was requested",
            "several buffers",
        ),
    ] {
        for profile in ["dp32", "native"] {
            let output = check(&wgsl, &["--profile", profile]);
            assert_eq!(output.status.code(), Some(1), "{wgsl}");
            let lines = stderr(&output);
            let mut lines = lines.lines();
            assert!(lines.next().unwrap().ends_with(reason), "{}", stderr(&output));
            let last = lines.next().unwrap();
            assert!(last.starts_with("hint: ") && last.contains(hint), "{}", stderr(&output));
        }
        let problem = json(&check(&wgsl, &["--json"]))["problem"].clone();
        assert!(problem["reason"].as_str().unwrap().ends_with(reason), "{problem}");
        assert!(problem["help"].as_str().unwrap().contains(hint), "{problem}");
    }
}

#[test]
fn values_of_overrides_that_do_not_fit_end_with_status_2_and_what_would_fit() {
    for (given, message, hint) in [
        (&[][..], "the override `width` has no value", "--override NAME=VALUE"),
        (&["height=3"], "the shader has no override `height`", "it has `width`"),
        (&["width=NaN"], "the value NaN of the override `width` does not fit its type, u32", "from 0 to 4294967295"),
        (&["width=-1"], "the value -1 of the override `width` does not fit its type, u32", "from 0 to 4294967295"),
        (&["width=0"], "a side of the workgroup is not positive", "at least 1"),
        (&["width=1", "width=2"], "the override `width` is given a value twice", "give it one"),
    ] {
        let args: Vec<&str> = given.iter().flat_map(|given| ["--override", given]).collect();
        let output = check(KERNEL, &args);
        assert_eq!(output.status.code(), Some(2), "{given:?}");
        // With a hint, or drawn where it stands with help.
        let expected = format!("error: {message}\n");
        assert!(stderr(&output).starts_with(&expected) && stderr(&output).contains(hint), "{}", stderr(&output));
    }
    // These are values that fit; what they make of the kernel does not.
    for width in ["width=300", "width=300000"] {
        let output = check(KERNEL, &["--override", width]);
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr(&output).contains("hint: ") && stderr(&output).contains("256"), "{}", stderr(&output));
    }
}

#[test]
fn a_kernel_that_is_not_reproducible_is_refused_with_status_1_and_the_place() {
    let refused = "var<workgroup> next: atomic<u32>;\n@compute @workgroup_size(1)\n\
        fn main() { var mine = atomicAdd(&next, 1u); atomicStore(&next, mine); }";
    let output = check(refused, &[]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(stdout(&output), "");
    let message = stderr(&output);
    assert!(message.starts_with("error: the value before an atomic"), "{message}");
    assert!(message.contains("┌─ stdin:3:24\n") && message.contains('^') && message.contains("help: "), "{message}");

    let output = check(refused, &["--json"]);
    assert_eq!(output.status.code(), Some(1));
    let answer = json(&output);
    assert_eq!(answer["accepted"], false);
    let problem = &answer["problem"];
    assert_eq!((&problem["line"], &problem["column"]), (&3.into(), &24.into()));
    let reason = problem["reason"].as_str().unwrap();
    assert!(reason.starts_with("the value before an atomic") && !reason.contains('\n'), "{problem}");
    assert!(problem["help"].as_str().unwrap().starts_with("use the atomic without its result"), "{problem}");
    assert!(problem["rendered"].as_str().unwrap().contains("┌─ stdin:3:24\n"), "{problem}");

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("next.wgsl");
    fs::write(&path, refused).unwrap();
    let path = path.to_str().unwrap();
    assert!(stderr(&run(&["check", path])).contains(&format!("┌─ {path}:3:24\n")));

    assert_eq!(check(refused, &["--profile", "native"]).status.code(), Some(0));
    assert_eq!(run(&["check", "missing.wgsl"]).status.code(), Some(2));
    let binary = check_bytes(b"\xff\x00", &[]);
    assert_eq!((binary.status.code(), stderr(&binary).as_str()), (Some(2), "error: stdin is not text\n"));
}
