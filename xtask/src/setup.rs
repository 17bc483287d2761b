//! What this repository's demo and tests need on a machine, and how each of it gets there.
//!
//! What is missing is said first, all of it. Then who may install is found out, the package lists are refreshed if they are old or
//! incomplete, things are installed, and what was got is looked at: all before anything is built.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::apt::{Admin, Lists};
use crate::{Failure, Options, apt, compiler, drivers};

/// One thing that is needed.
struct Need {
    what: &'static str,
    why: &'static str,
    /// Looks for it; or says what is wrong, in a few words.
    look: fn() -> Result<(), String>,
    source: Source,
    /// Whether tests and demo work without it, if less well.
    optional: bool,
}

/// How a need is met.
enum Source {
    /// By installing Debian packages.
    Packages(&'static [&'static str]),
    /// By the Debian packages that fit this system's archives: see [`compiler::packages`].
    Compiler,
    /// By files out of a Debian package, put into a folder.
    Files {
        package: &'static str,
        files: &'static [&'static str],
        folder: fn() -> PathBuf,
        /// Where programs that are installed may have the same files.
        carriers: &'static [&'static str],
    },
}

/// What a machine needs, and why.
const NEEDS: [Need; 6] = [
    Need {
        what: "the Vulkan loader",
        why: "finds the drivers",
        look: || is(has_loader()),
        source: Source::Packages(&["libvulkan1"]),
        optional: false,
    },
    Need {
        what: "lavapipe",
        why: "a Vulkan driver that needs no GPU",
        look: || is(has_lavapipe()),
        source: Source::Packages(&["mesa-vulkan-drivers"]),
        optional: false,
    },
    Need {
        what: "a compiler for wasm32-unknown-unknown",
        why: "compiles workloads; rustup may not install the target here",
        look: compiler::look,
        source: Source::Compiler,
        optional: false,
    },
    Need {
        what: "the C library of wasm32-wasip1",
        why: "for workloads that want more of Rust's standard library; rustup may not install the target here",
        look: compiler::look_for_wasi,
        source: Source::Packages(&["wasi-libc"]),
        optional: false,
    },
    Need {
        what: "SwiftShader",
        why: "a second driver of another make, to compare results with; from the package chromium-common, not installed",
        look: || is(drivers::has_swiftshader()),
        source: Source::Files {
            package: "chromium-common",
            files: &drivers::SWIFTSHADER_FILES,
            folder: drivers::swiftshader_folder,
            carriers: &drivers::SWIFTSHADER_FOLDERS,
        },
        // Ubuntu has no such package. Comparisons between two drivers are skipped then.
        optional: true,
    },
    Need {
        what: "a photograph",
        why: "NASA's astronaut.png, public domain, to try image processing on; from the package python3-skimage, not installed",
        look: || is(drivers::photograph().is_file()),
        source: Source::Files {
            package: "python3-skimage",
            files: &["usr/lib/python3/dist-packages/skimage/data/astronaut.png"],
            folder: pictures,
            carriers: &[],
        },
        optional: false,
    },
];

/// What fetching data needs: see [`crate::fetch`].
const PIP: [Need; 1] = [Need {
    what: "pip for Python 3",
    why: "downloads real data to work on",
    look: || is(has_pip()),
    source: Source::Packages(&["python3-pip"]),
    optional: false,
}];

/// A need that is not met, and what is wrong.
struct Missing {
    need: &'static Need,
    found: String,
}

/// Installs what is missing, saying what and why.
pub fn run(options: &Options) -> Result<(), Failure> {
    let mut missing = look(&NEEDS);
    if missing.iter().any(Missing::is_for_rustup) && compiler::rustup_may_install() {
        eprintln!("set-up: having rustup install the targets {}", compiler::TARGETS.join(" and "));
        compiler::add_targets();
        missing = look(&NEEDS);
    }
    get_all(&missing, &NEEDS, options)?;
    let shown = show_swiftshader(&drivers::swiftshader_folder(), &drivers::swiftshader_manifest())?;
    if missing.is_empty() && !shown {
        eprintln!("set-up: everything is here");
    }
    Ok(())
}

/// Installs pip where there is none.
pub fn pip(options: &Options) -> Result<(), Failure> {
    get_all(&look(&PIP), &PIP, options)
}

/// Says what is missing of some needs, and gets it.
fn get_all(missing: &[Missing], needs: &'static [Need], options: &Options) -> Result<(), Failure> {
    if missing.is_empty() {
        return Ok(());
    }
    eprintln!("set-up: missing on this machine:");
    for it in missing {
        let found = if it.found.is_empty() { String::new() } else { format!(": {}", it.found) };
        eprintln!("  {}{found} ({})", it.need.what, it.need.why);
    }
    get(missing, options.yes)?;
    verify(needs)
}

/// What is missing now of these needs.
fn look(needs: &'static [Need]) -> Vec<Missing> {
    let missing = needs.iter().filter_map(|need| Some(Missing { need, found: (need.look)().err()? }));
    missing.collect()
}

fn get(missing: &[Missing], yes: bool) -> Result<(), Failure> {
    if !apt::is_here() {
        let text = by_hand("this is no Debian-like system, so please install by hand", missing);
        if missing.iter().any(|it| !it.need.optional) {
            return Err(text);
        }
        eprintln!("{text}");
        return Ok(());
    }
    let needs_packages = missing.iter().any(|it| !matches!(it.need.source, Source::Files { .. }));
    let lists = apt::lists();
    let admin = if needs_packages { admin(missing, &lists, yes).map(Some)? } else { Admin::find().ok() };
    refresh(admin, &lists, missing)?;
    if let Some(admin) = admin.filter(|_| needs_packages) {
        let packages = packages(missing).map_err(|refusal| too_old(&refusal, admin, missing))?;
        eprintln!("set-up: installing {}", packages.join(" "));
        apt::install(admin, &packages).map_err(|failure| by_hand(&failure, missing))?;
    }
    for it in missing {
        it.fetch().map_err(|failure| by_hand(&failure, missing))?;
    }
    Ok(())
}

/// Who installs, after having been asked.
fn admin(missing: &[Missing], lists: &Lists, yes: bool) -> Result<Admin, Failure> {
    let admin = Admin::find().map_err(|why| by_hand(&format!("nothing can be installed: {why}"), missing))?;
    let packages = packages(missing).unwrap_or_else(|_| vec!["a compiler"]);
    let update = if *lists == Lists::Current { "" } else { "refresh the package lists and " };
    let question = format!("Use sudo to {update}install {}?", packages.join(" "));
    match apt::agreed(admin, yes, &question)? {
        true => Ok(admin),
        false => Err(by_hand("nothing was installed, as nobody agreed (`--yes` does)", missing)),
    }
}

/// Refreshes the package lists if they are old or incomplete.
fn refresh(admin: Option<Admin>, lists: &Lists, missing: &[Missing]) -> Result<(), Failure> {
    let state = match lists {
        Lists::Current => return Ok(()),
        Lists::Old { days: 0 } => "are from another day".to_owned(),
        Lists::Old { days: 1 } => "are a day old".to_owned(),
        Lists::Old { days } => format!("are {days} days old"),
        Lists::Incomplete { missing } => format!("are incomplete: there is none of {missing}"),
    };
    match admin {
        Some(admin) => {
            eprintln!("set-up: the package lists {state}; refreshing them");
            apt::refresh(admin).map_err(|failure| by_hand(&failure, missing))
        }
        None => {
            eprintln!("set-up: the package lists {state}, and this is not root; going on with them");
            Ok(())
        }
    }
}

/// Whether all that is needed is here now, and will do.
fn verify(needs: &'static [Need]) -> Result<(), Failure> {
    match look(needs).into_iter().find(|it| !it.need.optional) {
        None => Ok(()),
        Some(Missing { need, found }) => {
            let found = if found.is_empty() { String::new() } else { format!(": {found}") };
            Err(format!(
                "what was installed will not do for {}{found}\nhint: see which archive it came from with `apt-cache policy`; \
                 with rustup, `rustup target add {}` brings a compiler, too",
                need.what,
                compiler::TARGETS.join(" "),
            ))
        }
    }
}

/// The packages to install.
fn packages(missing: &[Missing]) -> Result<Vec<&'static str>, String> {
    let mut packages = Vec::new();
    for it in missing {
        match it.need.source {
            Source::Packages(names) => packages.extend(names),
            Source::Compiler => packages.extend(compiler::packages()?),
            Source::Files { .. } => {}
        }
    }
    Ok(packages)
}

/// What to do where the archives have nothing new enough. Said before anything is installed.
fn too_old(refusal: &str, admin: Admin, missing: &[Missing]) -> Failure {
    let advice = format!(
        "{refusal}\nhint: Debian 12 and 13 and their security archives have one; enable those and run `{}apt-get update`",
        admin.prefix()
    );
    by_hand(&advice, missing)
}

impl Missing {
    fn is_for_rustup(&self) -> bool {
        matches!(self.need.source, Source::Compiler) || self.need.what.contains(compiler::TARGETS[1])
    }

    fn fetch(&self) -> Result<(), Failure> {
        let Source::Files { package, files, folder, carriers } = self.need.source else { return Ok(()) };
        let what = self.need.what;
        if let Some(carrier) = carriers.iter().map(Path::new).find(|carrier| has_all(carrier, files)) {
            eprintln!("set-up: copying {what} from {} into {}", carrier.display(), folder().display());
            return copy(carrier, files, &folder());
        }
        if self.need.optional && apt::candidates(&[package]).is_empty() {
            eprintln!("set-up: going on without {what}: the archives of this system have no package {package}");
            return Ok(());
        }
        let folder = folder();
        eprintln!("set-up: fetching {what} from the package {package} into {}", folder.display());
        apt::unpack(package, files, &folder)
    }
}

/// Tells the Vulkan loader of SwiftShader, if set-up has brought it and nobody else tells of it. Whether there was something to do.
fn show_swiftshader(folder: &Path, manifest: &Path) -> Result<bool, Failure> {
    let Ok(original) = fs::read(folder.join("vk_swiftshader_icd.json")) else { return Ok(false) };
    if drivers::is_swiftshader_installed() {
        return Ok(false);
    }
    let failed = |error: &dyn std::fmt::Display| format!("cannot write {}: {error}", manifest.display());
    let mut text: Value = serde_json::from_slice(&original).map_err(|error| failed(&error))?;
    let library = folder.join("libvk_swiftshader.so").display().to_string();
    text.pointer_mut("/ICD/library_path")
        .map(|path| *path = library.into())
        .ok_or_else(|| failed(&"it names no library"))?;
    let text = format!("{text:#}\n");
    if fs::read_to_string(manifest).is_ok_and(|present| present == text) {
        return Ok(false);
    }
    let write = || -> std::io::Result<()> {
        fs::create_dir_all(manifest.parent().unwrap_or(Path::new(".")))?;
        fs::write(manifest, text)
    };
    write().map_err(|error| failed(&error))?;
    eprintln!(
        "set-up: wrote {}, by which your Vulkan programs see SwiftShader; delete it to hide it",
        manifest.display()
    );
    Ok(true)
}

/// The name of a file of a package's.
fn name(file: &str) -> &str {
    file.rsplit('/').next().unwrap_or(file)
}

fn has_all(folder: &Path, files: &[&str]) -> bool {
    files.iter().all(|file| folder.join(name(file)).is_file())
}

fn copy(from: &Path, files: &[&str], to: &Path) -> Result<(), Failure> {
    let copy = || -> std::io::Result<()> {
        fs::create_dir_all(to)?;
        files.iter().try_for_each(|file| fs::copy(from.join(name(file)), to.join(name(file))).map(|_| ()))
    };
    copy().map_err(|error| format!("cannot copy from {} to {}: {error}", from.display(), to.display()))
}

/// Everything that is missing and how it can be got, below the reason why set-up ends here.
fn by_hand(reason: &str, missing: &[Missing]) -> Failure {
    let mut text = format!("{reason}\nstill missing, and how to get it:\n");
    let mut all: Vec<&str> = Vec::new();
    for it in missing {
        let how = match it.need.source {
            Source::Packages(packages) => {
                all.extend(packages);
                format!("what Debian has in {}", packages.join(", "))
            }
            Source::Compiler => {
                // Without lists nothing is known; then these are Debian 12's.
                let packages = compiler::packages().unwrap_or_else(|_| compiler::SOURCE.to_vec());
                all.extend(&packages);
                format!("version {} or later, as Debian has it in {}", compiler::oldest(), packages.join(", "))
            }
            Source::Files { package, files, folder, .. } => {
                format!("{} (Debian has it in {package}), into {}", files.join(" and "), folder().display())
            }
        };
        text.push_str(&format!("  {}: {how}\n", it.need.what));
    }
    if !all.is_empty() && apt::is_here() {
        text.push_str(&format!("As an administrator: apt-get update && {}\n", apt::install_command(Admin::Root, &all)));
    }
    if missing.iter().any(Missing::is_for_rustup) {
        text.push_str(&format!(
            "For the compiler and its C library, `rustup target add {}` does as well.\n",
            compiler::TARGETS.join(" ")
        ));
    }
    text
}

/// A thing is here, or there is nothing to say of it but that it is not.
fn is(here: bool) -> Result<(), String> {
    if here { Ok(()) } else { Err(String::new()) }
}

fn pictures() -> PathBuf {
    drivers::photograph().parent().map(Path::to_owned).unwrap_or_default()
}

fn has_loader() -> bool {
    let folders = ["/usr/lib", "/usr/lib64", "/usr/local/lib", "/lib"].map(PathBuf::from);
    // Debian's folder per architecture, such as /usr/lib/x86_64-linux-gnu.
    let nested = fs::read_dir("/usr/lib").into_iter().flatten().filter_map(Result::ok).map(|entry| entry.path());
    folders.into_iter().chain(nested).any(|folder| folder.join("libvulkan.so.1").exists())
}

fn has_pip() -> bool {
    apt::output(Command::new("python3").args(["-m", "pip", "--version"])).is_some()
}

fn has_lavapipe() -> bool {
    let is_lavapipe =
        |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("lvp_icd"));
    drivers::installed().iter().any(is_lavapipe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_cannot_install_is_told_everything_that_is_missing() {
        let all: Vec<Missing> = NEEDS.iter().map(|need| Missing { need, found: "there is none".to_owned() }).collect();
        let text = by_hand("no network", &all);
        assert!(text.starts_with("no network\n"), "{text}");
        for need in &NEEDS {
            assert!(text.contains(need.what), "{text}");
        }
        for part in [
            "rustup target add",
            "mesa-vulkan-drivers",
            "lld-19",
            "wasi-libc",
            "libvk_swiftshader.so",
            "1.85.0 or later",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }

    #[test]
    fn only_what_needs_an_administrator_is_asked_of_one() {
        let file = NEEDS.iter().filter(|need| matches!(need.source, Source::Files { .. }));
        let missing: Vec<Missing> = file.map(|need| Missing { need, found: String::new() }).collect();
        assert_eq!(missing.len(), 2);
        assert!(packages(&missing).unwrap().is_empty());
        assert!(!by_hand("because", &missing).contains("As an administrator"));
    }

    #[test]
    fn the_loader_is_told_of_swiftshader_once_and_where_it_is() {
        if drivers::is_swiftshader_installed() {
            println!("SKIP: this system tells of SwiftShader itself");
            return;
        }
        let root = std::env::temp_dir().join(format!("isobit-setup-{}", std::process::id()));
        let (folder, manifest) = (root.join("swiftshader"), root.join("icd.d/isobit-swiftshader.json"));
        assert_eq!(show_swiftshader(&folder, &manifest), Ok(false), "there is nothing to tell of");
        fs::create_dir_all(&folder).unwrap();
        let original = r#"{"file_format_version": "1.0.0", "ICD": {"library_path": "./libvk_swiftshader.so", "api_version": "1.0.5"}}"#;
        fs::write(folder.join("vk_swiftshader_icd.json"), original).unwrap();
        assert_eq!(show_swiftshader(&folder, &manifest), Ok(true));
        let written: Value = serde_json::from_slice(&fs::read(&manifest).unwrap()).unwrap();
        assert_eq!(written["ICD"]["library_path"], folder.join("libvk_swiftshader.so").display().to_string());
        assert_eq!(written["ICD"]["api_version"], "1.0.5");
        assert_eq!(show_swiftshader(&folder, &manifest), Ok(false), "it was told already");
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn files_are_copied_by_their_names() {
        let root = std::env::temp_dir().join(format!("isobit-copy-{}", std::process::id()));
        let files = ["usr/lib/a.so", "usr/share/b.json"];
        let (from, to) = (root.join("from"), root.join("to"));
        fs::create_dir_all(&from).unwrap();
        fs::write(from.join("a.so"), "a").unwrap();
        assert!(!has_all(&from, &files));
        fs::write(from.join("b.json"), "b").unwrap();
        assert!(has_all(&from, &files));
        copy(&from, &files, &to).unwrap();
        assert!(has_all(&to, &files));
        fs::remove_dir_all(root).unwrap();
    }
}
