//! Debian's packages: installed ones, and single files out of ones that need not be installed.

use std::fs;
use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::Failure;

/// Whether this system has Debian's package tools.
pub fn is_here() -> bool {
    let found = |name: &str| Path::new("/usr/bin").join(name).is_file();
    found("apt-get") && found("dpkg-deb")
}

/// Whether the archives of this system have a package. Where nothing is known of any package, lists are fetched first.
pub fn knows(package: &str) -> bool {
    let shows = |package: &str| {
        let output = Command::new("apt-cache").args(["show", package]).stderr(Stdio::null()).output();
        output.is_ok_and(|output| output.status.success() && !output.stdout.is_empty())
    };
    let has_lists = || {
        let mut lists = fs::read_dir("/var/lib/apt/lists").into_iter().flatten().filter_map(Result::ok);
        lists.any(|list| list.file_name().to_string_lossy().contains("_Packages"))
    };
    shows(package) || (!has_lists() && update_lists() && shows(package))
}

/// Installs packages, as root or through sudo. The package lists are brought up to date only if that is what it takes.
pub fn install(packages: &[&str], yes: bool) -> Result<(), Failure> {
    let command = format!("apt-get install -y {}", packages.join(" "));
    let root = is_root();
    if !root && !yes && !agreed(&format!("Run `sudo {command}` now?"))? {
        return Err(format!("not installed; run this yourself: sudo {command}"));
    }
    let apt = |args: &[&str]| {
        let mut apt = if root { Command::new("apt-get") } else { sudo() };
        apt.env("DEBIAN_FRONTEND", "noninteractive").args(args).stdin(Stdio::null()).stdout(io::stderr());
        apt.status().is_ok_and(|status| status.success())
    };
    let mut args = vec!["install", "-y", "--no-install-recommends"];
    args.extend(packages);
    if apt(&args) || (apt(&["update"]) && apt(&args)) {
        return Ok(());
    }
    Err(format!("`{command}` failed; its messages are above"))
}

/// Fetches a package and unpacks some of its files into a folder, without installing it. The folder appears whole or
/// not at all.
pub fn unpack(package: &str, files: &[&str], folder: &Path) -> Result<(), Failure> {
    let work = folder.with_extension(format!("part-{}", std::process::id()));
    let result = unpack_in(&work, package, files, folder);
    // What is left of the work is worth nothing; a next run has its own folder.
    let _ = fs::remove_dir_all(&work);
    result
}

fn unpack_in(work: &Path, package: &str, files: &[&str], folder: &Path) -> Result<(), Failure> {
    let failed = |error: io::Error| format!("cannot unpack {package} in {}: {error}", work.display());
    let (download, tree, chosen) = (work.join("download"), work.join("tree"), work.join("chosen"));
    for made in [&download, &tree, &chosen] {
        fs::create_dir_all(made).map_err(failed)?;
    }
    let fetch = || {
        let mut apt = Command::new("apt-get");
        // Root's own folders are closed to the user that apt would otherwise become.
        let user: &[&str] = if is_root() { &["-o", "APT::Sandbox::User=root"] } else { &[] };
        succeeds(apt.args(["-qq", "download", package]).args(user).current_dir(&download))
    };
    let fetched = fetch() || (update_lists() && fetch());
    if !fetched {
        return Err(format!("`apt-get download {package}` failed; its messages are above"));
    }
    let archive = fs::read_dir(&download).map_err(failed)?.filter_map(Result::ok).map(|entry| entry.path()).next();
    let archive: PathBuf = archive.ok_or_else(|| format!("`apt-get download {package}` left no file"))?;
    if !succeeds(Command::new("dpkg-deb").arg("--extract").args([&archive, &tree])) {
        return Err(format!("cannot unpack {}", archive.display()));
    }
    for file in files {
        let from = tree.join(file);
        let name = from.file_name().ok_or_else(|| format!("{file} is no file"))?;
        fs::rename(&from, chosen.join(name)).map_err(|error| format!("no {file} in {package}: {error}"))?;
    }
    let _ = fs::remove_dir_all(folder);
    fs::rename(&chosen, folder).map_err(failed)
}

/// Brings the package lists up to date, if that needs no question.
fn update_lists() -> bool {
    let mut apt = if is_root() { Command::new("apt-get") } else { sudo_without_question() };
    succeeds(apt.args(["-qq", "update"]))
}

fn sudo() -> Command {
    if std::env::var_os("CI").is_some() {
        return sudo_without_question();
    }
    let mut sudo = Command::new("sudo");
    sudo.arg("apt-get");
    sudo
}

fn sudo_without_question() -> Command {
    let mut sudo = Command::new("sudo");
    sudo.args(["-n", "apt-get"]);
    sudo
}

fn succeeds(command: &mut Command) -> bool {
    command.stdin(Stdio::null()).stdout(io::stderr()).status().is_ok_and(|status| status.success())
}

fn is_root() -> bool {
    let output = Command::new("id").arg("-u").stderr(Stdio::null()).output();
    output.is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

/// Asks a question, if there is somebody to ask.
fn agreed(question: &str) -> Result<bool, Failure> {
    if !io::stdin().is_terminal() {
        return Ok(false);
    }
    eprint!("{question} [y/N] ");
    io::stderr().flush().map_err(|error| error.to_string())?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).map_err(|error| error.to_string())?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
