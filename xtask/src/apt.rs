//! Debian's packages: installed ones, and single files out of ones that need not be installed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, SystemTime};

use crate::Failure;

/// Where apt keeps the lists of packages.
const LISTS: &str = "/var/lib/apt/lists";

/// Lists that are older are refreshed before anything is installed from them: archives delete what they have newer versions of.
const OLD: Duration = Duration::from_secs(24 * 60 * 60);

/// A network that is not there is found out soon, and not after apt's minutes.
const PATIENCE: [&str; 6] =
    ["-o", "Acquire::Retries=1", "-o", "Acquire::http::Timeout=20", "-o", "Acquire::https::Timeout=20"];

/// Whether this system has Debian's package tools.
pub fn is_here() -> bool {
    let found = |name: &str| Path::new("/usr/bin").join(name).is_file();
    found("apt-get") && found("apt-cache") && found("dpkg-deb")
}

/// Who may install here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admin {
    /// This process is root.
    Root,
    /// Through sudo, which may ask for a password where somebody sits at a terminal.
    Sudo { asks: bool },
}

impl Admin {
    /// Finds out, without asking anybody anything.
    pub fn find() -> Result<Self, Failure> {
        if is_root() {
            return Ok(Self::Root);
        }
        match runs(Command::new("sudo").args(["-n", "true"])) {
            Some(true) => Ok(Self::Sudo { asks: false }),
            Some(false) if io::stdin().is_terminal() && !is_ci() => Ok(Self::Sudo { asks: true }),
            Some(false) => Err("this is not root, and sudo wants a password that nobody is here to give".to_owned()),
            None => Err("this is not root, and there is no sudo".to_owned()),
        }
    }

    /// How somebody types what this one runs.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Root => "",
            Self::Sudo { .. } => "sudo ",
        }
    }

    fn command(self) -> Command {
        let mut apt = match self {
            Self::Root => Command::new("apt-get"),
            Self::Sudo { asks } => {
                let mut sudo = Command::new("sudo");
                sudo.args(if asks { &[][..] } else { &["-n"] });
                sudo.args(["DEBIAN_FRONTEND=noninteractive", "LC_ALL=C.UTF-8", "apt-get"]);
                sudo
            }
        };
        apt.env("DEBIAN_FRONTEND", "noninteractive").env("LC_ALL", "C.UTF-8").args(PATIENCE);
        apt
    }
}

/// Whether somebody agrees, where one has to be asked: not root, not `--yes`, not a machine.
pub fn agreed(admin: Admin, yes: bool, question: &str) -> Result<bool, Failure> {
    if admin == Admin::Root || yes || is_ci() {
        return Ok(true);
    }
    if !io::stdin().is_terminal() {
        return Ok(false);
    }
    eprint!("{question} [y/N] ");
    io::stderr().flush().map_err(|error| error.to_string())?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).map_err(|error| error.to_string())?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// What is to be said of the package lists.
#[derive(Debug, PartialEq, Eq)]
pub enum Lists {
    Current,
    Old { days: u64 },
    Incomplete { missing: String },
}

/// Whether the package lists are complete and not old.
pub fn lists() -> Lists {
    let configured = output(Command::new("apt-get").args(["update", "--print-uris"]));
    let present: BTreeSet<String> = fs::read_dir(LISTS)
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect();
    // apt dates lists as the archive does; the folders tell when it last looked.
    let looked = |folder: &str| fs::metadata(folder).and_then(|metadata| metadata.modified()).ok();
    let last = [LISTS.to_owned(), format!("{LISTS}/partial")].iter().filter_map(|folder| looked(folder)).max();
    judge(&configured.unwrap_or_default(), &present, last, SystemTime::now())
}

/// `configured` is what `apt-get update --print-uris` prints: `'URI' NAME SIZE`, an InRelease file for each source first.
fn judge(configured: &str, present: &BTreeSet<String>, last: Option<SystemTime>, now: SystemTime) -> Lists {
    let names = configured.lines().filter_map(|line| line.split_whitespace().nth(1));
    for release in names.filter_map(|name| name.strip_suffix("_InRelease")) {
        let has = |suffix: &str| present.contains(&format!("{release}_{suffix}"));
        let prefix = format!("{release}_");
        let has_packages = present.iter().any(|name| name.starts_with(&prefix) && name.contains("_Packages"));
        if !(has("InRelease") || has("Release")) || !has_packages {
            return Lists::Incomplete { missing: release.to_owned() };
        }
    }
    match last.map(|last| now.duration_since(last)) {
        Some(Ok(age)) if age <= OLD => Lists::Current,
        Some(Ok(age)) => Lists::Old { days: age.as_secs() / OLD.as_secs() },
        // The clock was set back, or nothing is known.
        _ => Lists::Old { days: 0 },
    }
}

/// Brings the package lists up to date. Where some archives cannot be reached the others still serve; where none can, that is an
/// error.
pub fn refresh(admin: Admin) -> Result<(), Failure> {
    let mut apt = admin.command();
    // sudo asks for its password on the terminal, not on these.
    let output = apt.args(["-q", "update", "-o", "APT::Update::Error-Mode=any"]).stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("cannot start apt-get: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let text = messages(&output);
    eprint!("{text}");
    if reaches_something(&text) {
        eprintln!("set-up: going on without the archives that could not be reached");
        return Ok(());
    }
    Err("no archive of packages could be reached; is there a network?".to_owned())
}

fn messages(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Whether `apt-get update` got an answer from any archive.
fn reaches_something(text: &str) -> bool {
    text.lines().any(|line| line.starts_with("Hit:") || line.starts_with("Get:"))
}

/// The versions of packages that apt would install now. A package that it does not know is not there.
pub fn candidates(packages: &[&str]) -> BTreeMap<String, String> {
    let policy = output(Command::new("apt-cache").arg("policy").args(packages).env("LC_ALL", "C.UTF-8"));
    parse_candidates(&policy.unwrap_or_default())
}

fn parse_candidates(text: &str) -> BTreeMap<String, String> {
    let mut candidates = BTreeMap::new();
    let mut package = "";
    for line in text.lines() {
        match line.trim().strip_prefix("Candidate: ") {
            Some(version) if version != "(none)" => {
                candidates.insert(package.to_owned(), version.to_owned());
            }
            None if !line.starts_with(' ') => package = line.trim_end_matches(':'),
            _ => {}
        }
    }
    candidates
}

/// Whether a package is installed.
pub fn is_installed(package: &str) -> bool {
    let status = output(Command::new("dpkg-query").args(["--show", "--showformat", "${db:Status-Abbrev}", package]));
    status.is_some_and(|status| status.starts_with("ii"))
}

/// The command that installs packages, as somebody types it. Nothing is ever removed for them.
pub fn install_command(admin: Admin, packages: &[&str]) -> String {
    format!("{}apt-get install --no-install-recommends --no-remove {}", admin.prefix(), packages.join(" "))
}

/// Installs packages.
pub fn install(admin: Admin, packages: &[&str]) -> Result<(), Failure> {
    let mut apt = admin.command();
    apt.args(["install", "-y", "-q", "--no-install-recommends", "--no-remove"]).args(packages);
    if succeeds(&mut apt) {
        return Ok(());
    }
    Err(format!("`{}` failed; its messages are above", install_command(admin, packages)))
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
    let chosen = work.join("chosen");
    fs::create_dir_all(&chosen).map_err(failed)?;
    let tree = extract(package, work)?;
    for file in files {
        let from = tree.join(file);
        let name = from.file_name().ok_or_else(|| format!("{file} is no file"))?;
        fs::rename(&from, chosen.join(name)).map_err(|error| format!("no {file} in {package}: {error}"))?;
    }
    let _ = fs::remove_dir_all(folder);
    fs::rename(&chosen, folder).map_err(failed)
}

/// Fetches a package and unpacks it into a folder within `work`, without installing it.
pub fn extract(package: &str, work: &Path) -> Result<PathBuf, Failure> {
    let failed = |error: io::Error| format!("cannot unpack {package} in {}: {error}", work.display());
    let (download, tree) = (work.join("download"), work.join("tree"));
    for made in [&download, &tree] {
        fs::create_dir_all(made).map_err(failed)?;
    }
    let mut apt = Command::new("apt-get");
    // Root's own folders are closed to the user that apt would otherwise become.
    let user: &[&str] = if is_root() { &["-o", "APT::Sandbox::User=root"] } else { &[] };
    if !succeeds(apt.args(["-qq", "download", package]).args(PATIENCE).args(user).current_dir(&download)) {
        return Err(format!(
            "`apt-get download {package}` failed; its messages are above\nhint: with old package lists, or none, `apt-get update` comes first"
        ));
    }
    let archive = fs::read_dir(&download).map_err(failed)?.filter_map(Result::ok).map(|entry| entry.path()).next();
    let archive: PathBuf = archive.ok_or_else(|| format!("`apt-get download {package}` left no file"))?;
    if !succeeds(Command::new("dpkg-deb").arg("--extract").args([&archive, &tree])) {
        return Err(format!("cannot unpack {}", archive.display()));
    }
    Ok(tree)
}

/// What a command prints, if it succeeds.
pub fn output(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn succeeds(command: &mut Command) -> bool {
    command.stdin(Stdio::null()).stdout(io::stderr()).status().is_ok_and(|status| status.success())
}

/// Whether a command succeeds, in silence; nothing where there is no such command.
fn runs(command: &mut Command) -> Option<bool> {
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.ok().map(|status| status.success())
}

fn is_ci() -> bool {
    std::env::var_os("CI").is_some()
}

/// Whether this process is root.
pub fn is_root() -> bool {
    output(Command::new("id").arg("-u")).is_some_and(|id| id == "0")
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIGURED: &str = "\
'http://a/debian/dists/x/InRelease' a_debian_dists_x_InRelease 0 
'http://a/security/dists/x-security/InRelease' a_security_dists_x-security_InRelease 0 
'http://a/debian/dists/x/main/binary-amd64/Packages.xz' a_debian_dists_x_main_binary-amd64_Packages 0 
";

    fn present(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn lists_are_refreshed_where_they_are_old_or_a_source_has_none() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(2_000_000_000);
        let hours_ago = |hours: u64| Some(now - Duration::from_secs(hours * 3600));
        let all = present(&[
            "a_debian_dists_x_InRelease",
            "a_debian_dists_x_main_binary-amd64_Packages",
            "a_security_dists_x-security_Release",
            "a_security_dists_x-security_main_binary-amd64_Packages.lz4",
            "lock",
        ]);
        assert_eq!(judge(CONFIGURED, &all, hours_ago(1), now), Lists::Current);
        assert_eq!(judge(CONFIGURED, &all, hours_ago(49), now), Lists::Old { days: 2 });
        assert_eq!(judge(CONFIGURED, &all, None, now), Lists::Old { days: 0 });
        assert_eq!(judge(CONFIGURED, &all, Some(now + OLD), now), Lists::Old { days: 0 });
        let lacks = |names: &[&str], missing: &str| {
            let judged = judge(CONFIGURED, &present(names), hours_ago(1), now);
            assert_eq!(judged, Lists::Incomplete { missing: missing.to_owned() }, "{names:?}");
        };
        lacks(&[], "a_debian_dists_x");
        // The lists of one source do not stand for those of another.
        let main = ["a_debian_dists_x_InRelease", "a_debian_dists_x_main_binary-amd64_Packages"];
        lacks(&main, "a_security_dists_x-security");
        lacks(&["a_debian_dists_x_InRelease", "a_security_dists_x-security_InRelease"], "a_debian_dists_x");
        let nothing_configured = judge("", &present(&[]), hours_ago(1), now);
        assert_eq!(nothing_configured, Lists::Current);
    }

    #[test]
    fn a_candidate_is_what_would_be_installed() {
        let text = "\
rustc-web:
  Installed: (none)
  Candidate: 1.96.0+dfsg1-1~deb12u2
  Version table:
     1.96.0+dfsg1-1~deb12u2 500
libnothing:
  Installed: (none)
  Candidate: (none)
lld-19:
  Installed: 1:19.1.7-3
  Candidate: 1:19.1.7-3
";
        let found = parse_candidates(text);
        assert_eq!(found.len(), 2);
        assert_eq!(found["rustc-web"], "1.96.0+dfsg1-1~deb12u2");
        assert_eq!(found["lld-19"], "1:19.1.7-3");
        assert!(parse_candidates("").is_empty());
    }

    #[test]
    fn one_archive_that_answers_is_enough() {
        assert!(reaches_something("Hit:1 http://a x InRelease\nErr:2 http://b y InRelease\n"));
        assert!(!reaches_something("Ign:1 http://a x InRelease\nErr:1 http://a x InRelease\n  no address\n"));
    }
}
