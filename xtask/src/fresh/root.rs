//! A Debian that has nothing but Rust: made by debootstrap in a folder, entered by chroot in namespaces of its own.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::apt::{self, Admin, Lists, output};
use crate::{Failure, drivers};

/// What stands for "Rust is installed, and nothing else": a C compiler to link with, certificates to fetch crates by, and sudo, which
/// some of the users there may use.
const INCLUDED: &str = "gcc,libc6-dev,ca-certificates,sudo";

/// The ordinary user.
pub const USER: &str = "renter";

/// Settings of apt that hold for every Debian on this machine: how archives are reached.
const APT_SETTINGS: [&str; 5] =
    ["Acquire::http", "Acquire::https", "Acquire::Check-", "Acquire::Retries", "Acquire::ForceIPv"];

/// Variables that hold for every cargo on this machine, if they are set.
const VARIABLES: [&str; 8] =
    ["http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR"];

/// Where a suite's roots, build results and logs are.
pub struct Place {
    suite: String,
    folder: PathBuf,
    repository: PathBuf,
    target: PathBuf,
    /// The Rust toolchain's folder.
    rust: PathBuf,
    /// Cargo's home.
    cargo: PathBuf,
}

/// Who runs a command in a root, and what is taken from there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Setting {
    pub as_root: bool,
    pub without_network: bool,
    pub without_apt: bool,
    /// Somebody sits at a terminal, and answers `y`.
    pub terminal: bool,
}

impl Place {
    /// The folders of a suite, made. `target` is where build results go, instead of a folder of the suite's own.
    pub fn new(suite: &str, target: Option<PathBuf>) -> Result<Self, Failure> {
        let all = drivers::cache().join("fresh");
        let folder = all.join(suite);
        let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let rust = output(Command::new("rustc").args(["--print", "sysroot"]).current_dir(&repository));
        let rust = rust.map(PathBuf::from).filter(|rust| rust.join("bin/cargo").is_file());
        let place = Self {
            suite: suite.to_owned(),
            target: target.unwrap_or_else(|| folder.join("target")),
            repository: repository.canonicalize().map_err(|error| format!("cannot find the repository: {error}"))?,
            rust: rust.ok_or("the Rust toolchain has no folder with cargo in it")?,
            cargo: cargo_home()?,
            folder,
        };
        // The mount point of build results has to be there, as the repository is read only inside.
        for made in [&place.folder, &place.target, &place.seed(), &place.repository.join("target")] {
            fs::create_dir_all(made).map_err(|error| format!("cannot make {}: {error}", made.display()))?;
        }
        Ok(place)
    }

    /// Where what was printed in a variant's root is kept.
    pub fn log(&self, variant: &str) -> PathBuf {
        self.folder.join(format!("{variant}.log"))
    }

    /// The root of a variant.
    fn root(&self, variant: &str) -> PathBuf {
        self.folder.join(format!("root-{variant}"))
    }

    /// Cargo's home inside: shared by all suites, so that nothing is fetched twice.
    fn seed(&self) -> PathBuf {
        self.folder.with_file_name("cargo")
    }

    /// Makes the suite's base if it is not there: a root as debootstrap makes it.
    pub fn make_base(&self) -> Result<(), Failure> {
        let base = self.root("base");
        if base.is_dir() {
            return Ok(());
        }
        if output(Command::new("debootstrap").arg("--version")).is_none() {
            if apt::lists() != Lists::Current {
                apt::refresh(Admin::Root)?;
            }
            apt::install(Admin::Root, &["debootstrap"])?;
        }
        let part = self.root("base.part");
        remove(&part)?;
        eprintln!("==> {}: debootstrap", self.suite);
        let mut debootstrap = Command::new("debootstrap");
        debootstrap.args(["--variant=minbase", "--merged-usr", &format!("--include={INCLUDED}"), &self.suite]);
        // Without one of this machine's, debootstrap knows where Debian is.
        debootstrap.arg(&part).args(mirror("Debian"));
        let log = self.log("debootstrap");
        let out = File::create(&log).map_err(|error| format!("cannot write {}: {error}", log.display()))?;
        let status = debootstrap.stdin(Stdio::null()).stdout(out).status();
        if !status.is_ok_and(|status| status.success()) {
            return Err(format!("debootstrap failed; see {}", log.display()));
        }
        self.configure(&part)?;
        fs::rename(&part, &base).map_err(|error| format!("cannot rename {}: {error}", part.display()))
    }

    /// How archives are reached, and who is there.
    fn configure(&self, root: &Path) -> Result<(), Failure> {
        let write = |path: &str, text: String| {
            let path = root.join(path);
            fs::write(&path, text).map_err(|error| format!("cannot write {}: {error}", path.display()))
        };
        let dump = output(Command::new("apt-config").arg("dump")).unwrap_or_default();
        write("etc/apt/apt.conf.d/90host", settings(&dump))?;
        let list = fs::read_to_string(root.join("etc/apt/sources.list")).unwrap_or_default();
        write("etc/apt/sources.list", sources(&list, mirror("Debian-Security").as_deref(), &self.suite)?)?;
        write(&format!("etc/sudoers.d/{USER}"), format!("{USER} ALL=(ALL) NOPASSWD: ALL\n"))?;
        for (from, to) in [("/etc/resolv.conf", "etc/resolv.conf"), ("/etc/hosts", "etc/hosts")] {
            // Where there is none there is nothing to be copied.
            let _ = fs::copy(from, root.join(to));
        }
        let certificates = "etc/ssl/certs/ca-certificates.crt";
        let _ = fs::copy(Path::new("/").join(certificates), root.join(certificates));
        let mut useradd = Command::new("chroot");
        useradd.arg(root).args(["useradd", "--create-home", "--shell", "/bin/bash", USER]);
        check(&mut useradd, "cannot make a user")
    }

    /// A new root for a variant. It is a copy of the base.
    pub fn make(&self, variant: &str) -> Result<(), Failure> {
        let root = self.root(variant);
        remove(&root)?;
        let mut copy = Command::new("cp");
        check(copy.args(["-a", "--reflink=auto"]).args([&self.root("base"), &root]), "cannot copy the base")?;
        self.seed_cargo()
    }

    /// Takes over what cargo has fetched outside, and its settings.
    fn seed_cargo(&self) -> Result<(), Failure> {
        for part in ["registry/index", "registry/cache", "config.toml"] {
            let (from, to) = (self.cargo.join(part), self.seed().join(part));
            if !from.exists() {
                continue;
            }
            let folder = to.parent().unwrap_or(&to);
            fs::create_dir_all(folder).map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
            let mut copy = Command::new("cp");
            check(copy.args(["-a", "--no-clobber"]).arg(&from).arg(folder), "cannot copy cargo's cache")?;
        }
        Ok(())
    }

    /// Removes everything of this suite. Build results that lie elsewhere stay.
    pub fn remove(&self) -> Result<(), Failure> {
        remove(&self.folder)
    }

    /// Runs a shell command in a variant's root, in the repository, and adds what it prints to the variant's log. Whether it succeeded.
    pub fn run(&self, variant: &str, setting: Setting, command: &str) -> Result<bool, Failure> {
        let user = if setting.as_root { "root" } else { USER };
        self.give_to(user)?;
        let log = self.log(variant);
        let open = || File::options().create(true).append(true).open(&log);
        let (out, err) = open().and_then(|out| Ok((out.try_clone()?, out))).map_err(|error| error.to_string())?;
        let mut enter = self.enter(variant, user, setting);
        enter.args(["/usr/bin/env", "-i"]).args(self.variables(user));
        match setting.terminal {
            false => enter.args(["sh", "-c", command]).stdin(Stdio::null()),
            // `script` is a terminal. The answer waits there until it is asked for.
            true => {
                enter.args(["sh", "-c", "printf 'y\\n' | script -qefc \"$0\" /dev/null", command]).stdin(Stdio::null())
            }
        };
        let status =
            enter.stdout(out).stderr(err).status().map_err(|error| format!("cannot start unshare: {error}"))?;
        Ok(status.success())
    }

    /// Everything that a command inside writes to belongs to its user.
    fn give_to(&self, user: &str) -> Result<(), Failure> {
        let id = if user == "root" { "0:0" } else { "1000:1000" };
        let mut chown = Command::new("chown");
        check(chown.args(["-R", "-h", id]).args([&self.target, &self.seed()]), "cannot change the owner")
    }

    /// The command that enters a root; what it runs there is to be added.
    fn enter(&self, variant: &str, user: &str, setting: Setting) -> Command {
        // Should xtask be killed, what it started does not go on.
        let mut enter = Command::new("setpriv");
        enter.args(["--pdeathsig", "KILL", "unshare", "--mount", "--propagation", "private"]);
        enter.args(["--pid", "--fork", "--kill-child"]);
        if setting.without_network {
            enter.arg("--net");
        }
        enter.args(["sh", "-c", include_str!("enter.sh"), "enter.sh"]);
        enter.args([&self.root(variant), &self.repository, &self.target, &self.rust, &self.cargo, &self.seed()]);
        enter.args([user, if setting.without_apt { "yes" } else { "no" }]);
        enter
    }

    fn variables(&self, user: &str) -> Vec<String> {
        let home = if user == "root" { "/root".to_owned() } else { format!("/home/{user}") };
        let system = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
        let mut variables = vec![
            format!("PWD={}", self.repository.display()),
            format!("PATH={}/bin:{}/target/debug:{system}", self.rust.display(), self.repository.display()),
            format!("CARGO_HOME={}", self.cargo.display()),
            format!("HOME={home}"),
            format!("USER={user}"),
            "LANG=C.UTF-8".to_owned(),
            "TERM=dumb".to_owned(),
        ];
        variables.extend(VARIABLES.iter().filter_map(|name| Some(format!("{name}={}", std::env::var(name).ok()?))));
        variables
    }

    /// The command that goes to the repository first.
    pub fn in_repository(&self, command: &str) -> String {
        format!("cd '{}' && {command}", self.repository.display())
    }
}

fn cargo_home() -> Result<PathBuf, Failure> {
    let set = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = set.or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cargo")));
    home.filter(|home| home.is_dir()).ok_or_else(|| "cargo has no home folder here".to_owned())
}

/// The archive that this machine uses for Debian or its security updates, if it uses any.
fn mirror(label: &str) -> Option<String> {
    let mut apt = Command::new("apt-get");
    apt.args(["indextargets", "--format", "$(REPO_URI)", "Created-By: Packages", &format!("Label: {label}")]);
    let uris = output(&mut apt)?;
    uris.lines().next().map(|uri| uri.trim_end_matches('/').to_owned()).filter(|uri| !uri.is_empty())
}

/// Debian's usual three sources, one a line, the security updates last. `made` is what debootstrap wrote.
fn sources(made: &str, security: Option<&str>, suite: &str) -> Result<String, Failure> {
    let uri = made.split_whitespace().nth(1).ok_or("debootstrap wrote no source of packages")?;
    let security = security.map_or_else(|| format!("{}-security", uri.trim_end_matches('/')), str::to_owned);
    Ok(format!("deb {uri} {suite} main\ndeb {uri} {suite}-updates main\ndeb {security} {suite}-security main\n"))
}

/// The lines of `apt-config dump` that say how archives are reached.
fn settings(dump: &str) -> String {
    let holds = |line: &&str| APT_SETTINGS.iter().any(|name| line.starts_with(name));
    dump.lines().filter(holds).map(|line| format!("{line}\n")).collect()
}

/// Removes a folder, unless something is mounted below: then it may hold what is not ours.
fn remove(folder: &Path) -> Result<(), Failure> {
    match folder.symlink_metadata() {
        Ok(metadata) if metadata.is_dir() => {}
        Ok(_) => return Err(format!("cannot remove {}: it is no folder", folder.display())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(format!("cannot remove {}: {error}", folder.display())),
    }
    // Mounts are listed by their real places.
    let folder = folder.canonicalize().map_err(|error| format!("cannot remove {}: {error}", folder.display()))?;
    let mounts = fs::read_to_string("/proc/self/mountinfo").map_err(|error| format!("cannot see mounts: {error}"))?;
    if let Some(mount) = mounted_below(&mounts, &folder) {
        return Err(format!("{mount} is mounted, so {} is not removed; unmount it first", folder.display()));
    }
    let mut rm = Command::new("rm");
    check(rm.args(["-rf", "--one-file-system", "--"]).arg(&folder), "cannot remove an old root")
}

/// Something that is mounted at or below a folder. Spaces in paths are written as `\040` there.
fn mounted_below(mounts: &str, folder: &Path) -> Option<String> {
    let points = mounts.lines().filter_map(|line| line.split(' ').nth(4)).map(|point| point.replace("\\040", " "));
    points.into_iter().find(|point| Path::new(point).starts_with(folder))
}

fn check(command: &mut Command, failure: &str) -> Result<(), Failure> {
    match command.stdin(Stdio::null()).status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{failure}: {:?} ended with {status}", command.get_program())),
        Err(error) => Err(format!("{failure}: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_removed_while_something_is_mounted_in_it() {
        let mounts = "22 1 254:0 / / rw - ext4 /dev/vda rw\n36 22 0:5 / /a/fresh/root-x/dev rw - tmpfs tmpfs rw\n\
                      37 22 0:5 / /b\\040c/d rw - tmpfs tmpfs rw\n";
        assert_eq!(mounted_below(mounts, Path::new("/a/fresh")).as_deref(), Some("/a/fresh/root-x/dev"));
        assert_eq!(mounted_below(mounts, Path::new("/a/fresh/root-x/dev")).as_deref(), Some("/a/fresh/root-x/dev"));
        assert_eq!(mounted_below(mounts, Path::new("/a/fresh/root")), None);
        assert_eq!(mounted_below(mounts, Path::new("/b c")).as_deref(), Some("/b c/d"));
    }

    #[test]
    fn the_three_sources_come_from_what_this_machine_uses() {
        let made = "deb http://mirror.example/debian trixie main\n";
        let text = sources(made, None, "trixie").unwrap();
        assert_eq!(text.lines().count(), 3);
        assert!(text.ends_with("deb http://mirror.example/debian-security trixie-security main\n"), "{text}");
        let text = sources(made, Some("http://other.example/sec"), "trixie").unwrap();
        assert!(text.contains("deb http://other.example/sec trixie-security main\n"), "{text}");
        assert!(sources("", None, "trixie").is_err());
    }

    #[test]
    fn only_how_archives_are_reached_is_taken_over() {
        let dump = "APT::Architecture \"amd64\";\nAcquire::http::Proxy \"http://proxy:3128\";\nAcquire::GzipIndexes \"true\";\n\
                    Acquire::Check-Valid-Until \"false\";\nDPkg::Post-Invoke:: \"rm -rf x\";\n";
        assert_eq!(
            settings(dump),
            "Acquire::http::Proxy \"http://proxy:3128\";\nAcquire::Check-Valid-Until \"false\";\n"
        );
    }
}
