//! Rules of the source tree that no compiler checks: imports have no circle, and what only Unix has stands behind a `cfg`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// The source of a crate, by path from its `src`.
fn sources(krate: &Path) -> BTreeMap<PathBuf, String> {
    let root = krate.join("src");
    let mut folders = vec![root.clone()];
    let mut found = BTreeMap::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|it| it == "rs") {
                found.insert(path.strip_prefix(&root).unwrap().to_owned(), fs::read_to_string(path).unwrap());
            }
        }
    }
    found
}

fn crates() -> Vec<PathBuf> {
    let runtime = fs::read_dir(Path::new(ROOT).join("runtime")).unwrap().map(|entry| entry.unwrap().path());
    let crates: Vec<_> = runtime.chain([Path::new(ROOT).join("sdk")]).filter(|it| it.join("src").is_dir()).collect();
    assert!(crates.len() > 10, "{crates:?}");
    crates
}

/// Lines of code, without comments and without the tests at the end of a file.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.lines().take_while(|line| *line != "#[cfg(test)]").filter(|line| !line.trim_start().starts_with("//"))
}

/// The module of a crate that a file belongs to: the first part of its path.
fn module(path: &Path) -> String {
    let first = path.components().next().unwrap().as_os_str().to_string_lossy();
    first.strip_suffix(".rs").unwrap_or(&first).to_owned()
}

/// What each module of a crate imports of the others.
fn imports(files: &BTreeMap<PathBuf, String>) -> BTreeMap<String, BTreeSet<String>> {
    let modules: BTreeSet<String> = files.keys().map(|path| module(path)).collect();
    let mut imports: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (path, text) in files {
        let own = module(path);
        if own == "lib" || own == "main" {
            continue;
        }
        let code: String = code(text).collect::<Vec<_>>().join("\n");
        for named in code.split("crate::").skip(1) {
            let end = if named.starts_with('{') { named.find("};") } else { named.find([':', ';', '(', ')', '<']) };
            let names = named.get(..end.unwrap_or(named.len())).unwrap_or_default();
            let words = names.split(|it: char| !it.is_alphanumeric() && it != '_');
            let found = words.filter(|word| modules.contains(*word) && **word != own).map(str::to_owned);
            imports.entry(own.clone()).or_default().extend(found);
        }
    }
    imports
}

/// A module that imports itself by way of others.
fn circle(imports: &BTreeMap<String, BTreeSet<String>>) -> Option<String> {
    imports
        .keys()
        .find(|start| {
            let mut open: Vec<&String> = imports.get(*start).into_iter().flatten().collect();
            let mut seen = BTreeSet::new();
            while let Some(next) = open.pop() {
                if seen.insert(next) {
                    open.extend(imports.get(next).into_iter().flatten());
                }
            }
            seen.contains(start)
        })
        .cloned()
}

#[test]
fn imports_within_a_crate_have_no_circle() {
    for krate in crates() {
        let imports = imports(&sources(&krate));
        if let Some(module) = circle(&imports) {
            panic!("{}: `{module}` imports itself by way of others: {imports:?}", krate.display());
        }
    }
    let file = |path: &str, text: &str| (PathBuf::from(path), text.to_owned());
    let circular = [
        file("a.rs", "use crate::b::{self, B};\n"),
        file("b/mod.rs", "mod inner;\n"),
        file("b/inner.rs", "use crate::{Thing, c};\n// use crate::d;\n"),
        file("c.rs", "fn f() { crate::a::g() }\n#[cfg(test)]\nuse crate::d;\n"),
        file("d.rs", "use crate::a;\n"),
    ];
    let found = imports(&circular.into_iter().collect());
    assert_eq!(circle(&found).as_deref(), Some("a"));
    assert!(!found["b"].contains("d") && !found["c"].contains("d"), "{found:?}");
}

/// A kernel without a meter ends when the driver likes: only measurements have such.
#[test]
fn nothing_that_runs_jobs_leaves_out_the_meter() {
    let mut named = BTreeSet::new();
    for krate in crates() {
        for (path, text) in sources(&krate) {
            if code(&text).any(|line| line.contains("_unmetered")) {
                named.insert(format!("{}/{}", krate.file_name().unwrap().display(), path.display()));
            }
        }
    }
    // Where it is made, and where a device takes it.
    assert_eq!(named.into_iter().collect::<Vec<_>>(), ["device/core/mod.rs", "shader/kernel.rs"]);
}

/// Files and crates that are compiled where their names say.
const GATED: [&str; 4] = [
    "runtime/provider/",
    "runtime/worker/",
    "runtime/cli/src/local/jailed.rs",
    "runtime/renter/src/destination/unix.rs",
];

/// What Unix, or only Linux, has.
const OF_UNIX: [&str; 6] = ["std::os::unix", "std::os::fd", "std::os::linux", "rustix::", "libc::", "signal::unix"];

/// The lines with something of Unix that no `cfg` above them, or above what they are in, excludes elsewhere.
fn ungated(text: &str) -> Vec<usize> {
    let lines: Vec<&str> = text.lines().collect();
    let indent = |line: &str| line.len() - line.trim_start().len();
    let is_gated = |at: usize| {
        let mut level = indent(lines[at]);
        // Attributes of the item at hand may follow; and so may its parameters.
        let (mut is_attached, mut in_signature) = (true, false);
        for line in lines[..at].iter().rev().filter(|line| !line.trim().is_empty()) {
            let (here, trimmed) = (indent(line), line.trim_start());
            let is_gate = trimmed.starts_with("#[cfg(unix)]") || trimmed.starts_with("#[cfg(target_os = \"linux\")]");
            if here < level {
                // What this is in.
                (level, is_attached, in_signature) = (here, true, trimmed.starts_with(')'));
            } else if here > level || !is_attached {
                is_attached &= in_signature;
            } else if is_gate {
                return true;
            } else if in_signature {
                in_signature = false;
            } else {
                is_attached = trimmed.starts_with("#[") || trimmed.starts_with("//");
            }
        }
        false
    };
    let of_unix = |line: &str| OF_UNIX.iter().any(|name| line.contains(name)) && !line.trim_start().starts_with("//");
    (0..lines.len()).filter(|at| of_unix(lines[*at]) && !is_gated(*at)).map(|at| at + 1).collect()
}

#[test]
fn what_only_unix_has_stands_behind_a_cfg() {
    const NONE: [usize; 0] = [];
    let mut wrong = Vec::new();
    let mut seen = 0;
    for krate in crates() {
        for (path, text) in sources(&krate) {
            let name = format!("runtime/{}/src/{}", krate.file_name().unwrap().display(), path.display());
            if GATED.iter().any(|gated| name.starts_with(gated)) {
                continue;
            }
            seen += text.lines().filter(|line| OF_UNIX.iter().any(|name| line.contains(name))).count();
            let code = text.split("#[cfg(test)]\n").next().unwrap_or_default();
            wrong.extend(ungated(code).into_iter().map(|line| format!("{name}:{line}")));
        }
    }
    assert!(wrong.is_empty(), "put these behind `#[cfg(unix)]`: {wrong:?}");
    assert!(seen > 10, "{seen}");
    assert_eq!(ungated("use std::os::unix::fs::FileExt;\n"), [1]);
    assert_eq!(ungated("#[cfg(unix)]\nuse std::os::unix::fs::FileExt;\n"), NONE);
    assert_eq!(ungated("#[cfg(unix)]\nfn f() {}\n\nfn g() {\n    libc::exit(0)\n}\n"), [5]);
    assert_eq!(ungated("#[cfg(unix)]\nfn f(\n    a: u32,\n) {\n    let b = a;\n    libc::exit(b)\n}\n"), NONE);
    assert_eq!(ungated("fn f() {\n    #[cfg(unix)]\n    let a = 1;\n    libc::exit(0)\n}\n"), [4]);
    assert_eq!(
        ungated("fn f() {\n    #[cfg(unix)]\n    {\n        let a = 1;\n        libc::exit(a)\n    }\n}\n"),
        NONE
    );
}
