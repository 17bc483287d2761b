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
}

#[test]
fn devices_are_listed_with_whether_they_can_run_kernels() {
    let output = run(&["devices", "--json"]);
    let devices = json(&output)["devices"].as_array().unwrap().clone();
    assert_eq!(output.status.code(), Some(0));
    // The CPU device is always there.
    let last = devices.last().unwrap();
    assert_eq!((&last["kind"], &last["missing"]), (&"interpreter".into(), &serde_json::json!([])));
    assert_eq!(last["index"], devices.len() - 1);
    let table = stdout(&run(&["devices"]));
    for device in &devices {
        assert!(table.contains(device["name"].as_str().unwrap()), "{table}");
    }
}

#[test]
fn the_doctor_probes_a_device_and_the_list_shows_what_was_found() {
    let cache = tempfile::tempdir().unwrap();
    let run = |args: &[&str]| isobit().args(args).env("XDG_CACHE_HOME", cache.path()).output().unwrap();
    let llvmpipe = || {
        let devices = json(&run(&["devices", "--json"]))["devices"].as_array().unwrap().clone();
        devices.into_iter().find(|device| device["driver"] == "llvmpipe").unwrap()
    };
    assert_eq!(llvmpipe()["tier"], serde_json::Value::Null);
    assert!(stdout(&run(&["devices"])).contains("not probed"));

    let output = run(&["doctor", "--device", "llvmpipe", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(json(&output)["devices"][0]["tier"], "A");
    assert_eq!(llvmpipe()["tier"], "A");

    // As if the probe had found something.
    let folder = cache.path().join("isobit/probe");
    let verdict = fs::read_dir(folder).unwrap().next().unwrap().unwrap().path();
    let mut found: serde_json::Value = serde_json::from_slice(&fs::read(&verdict).unwrap()).unwrap();
    found["tier"] = "B".into();
    found["failure"] = serde_json::json!({ "check": "a product", "detail": "of 0x00800000 ..." });
    fs::write(&verdict, found.to_string()).unwrap();
    assert_eq!(llvmpipe()["failure"]["check"], "a product");
    assert!(stdout(&run(&["devices"])).contains("B: a product: of 0x00800000 ..."));

    let output = run(&["doctor", "--device", "no such device"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("hint:"), "{}", stderr(&output));
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
    assert!(stderr(&module).contains("isobit build"), "{}", stderr(&module));
    // Magic, version 13, layer 1: an empty component.
    let component = inspect("component.wasm", b"\0asm\x0d\0\x01\0");
    assert_eq!(component.status.code(), Some(1));
    assert!(stderr(&component).contains("isobit:compute/workload"), "{}", stderr(&component));
    assert_eq!(inspect("text.wasm", b"hello").status.code(), Some(1));
    assert_eq!(run(&["inspect", "no such file"]).status.code(), Some(2));
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
    assert!(stdout(&output).starts_with("the same bits on every device"), "{}", stdout(&output));
    let output = run(&["check", path, "--override", "width=32", "--profile", "native"]);
    assert!(stdout(&output).contains("each device may round in its own way"), "{}", stdout(&output));

    // Each form is WGSL that can be checked again, as far as the guest's bind groups go.
    for form in ["--emit", "--emit=tier-a", "--emit=tier-b"] {
        let output = run(&["check", path, "--override", "width=32", form]);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        assert!(stdout(&output).contains("@compute @workgroup_size(32, 1, 1)"), "{form}: {}", stdout(&output));
        assert!(stdout(&output).contains("@group(3) @binding(0)"), "{form}");
    }

    let output = run(&["check", path]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        stderr(&output).contains("width") && stderr(&output).contains("--override NAME=VALUE"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn a_kernel_that_is_not_reproducible_is_refused_with_status_1_and_the_place() {
    use std::io::Write as _;
    use std::process::Stdio;

    let refused = "var<workgroup> next: atomic<u32>;\n@compute @workgroup_size(1)\n\
        fn main() { var mine = atomicAdd(&next, 1u); atomicStore(&next, mine); }";
    let check = |args: &[&str]| {
        let mut child = isobit()
            .args(["check", "-"])
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(refused.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    };
    let output = check(&[]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(stdout(&output), "");
    let message = stderr(&output);
    assert!(message.starts_with("error: the value before an atomic"), "{message}");
    assert!(message.contains('^') && message.contains("help: "), "{message}");

    let output = check(&["--json"]);
    assert_eq!(output.status.code(), Some(1));
    let answer = json(&output);
    assert_eq!(answer["accepted"], false);
    assert_eq!((&answer["problem"]["line"], &answer["problem"]["column"]), (&3.into(), &24.into()));

    assert_eq!(check(&["--profile", "native"]).status.code(), Some(0));
    assert_eq!(check(&["--profile", "native", "--emit"]).status.code(), Some(2));
    assert_eq!(run(&["check", "missing.wgsl"]).status.code(), Some(2));
}
