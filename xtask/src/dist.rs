//! `cargo xtask dist`: a Debian package and a tarball for this machine's kind, and a check that both work from where they were unpacked.
//!
//! `dpkg-deb` makes the package: it is on every Debian, is what unpacks it, and is no dependency of this crate. What is in it beside the program lies in `dist/`.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::steps::{Steps, cargo, check};
use crate::{Failure, Options};

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The package's own version, beside the program's.
const REVISION: &str = "1";

const MAINTAINER: &str = "isobit developers <isobit@isobit.dev>";

/// The files in a package that its owner may change, and that an update leaves alone.
const CONFFILES: &str = "/etc/isobit/provider.toml\n";

/// What a package has to say about itself.
const FIELDS: [&str; 10] = [
    "Package",
    "Version",
    "Architecture",
    "Maintainer",
    "Installed-Size",
    "Depends",
    "Section",
    "Priority",
    "Homepage",
    "Description",
];

/// Builds the program, and packs it; checks both packages if asked to.
pub fn run(options: &Options) -> Result<(), Failure> {
    let is = |flag: &str| options.rest.iter().any(|word| word == flag);
    let dist = Dist::new(is("--debug"))?;
    let mut steps = Steps::default();
    let packed = steps.run("program", || dist.build())
        && steps.run("files", || dist.stage())
        && steps.run("package", || dist.package())
        && steps.run("tarball", || dist.tarball());
    if packed && is("--check") {
        for (name, step) in CHECKS {
            steps.run(name, || step(&dist));
        }
    }
    eprint!("\n{}", steps.summary());
    if steps.failed() > 0 {
        return Err(format!("failed: {}", steps.failed()));
    }
    println!("{}\n{}", dist.deb().display(), dist.tar().display());
    Ok(())
}

struct Dist {
    debug: bool,
    /// `target/dist`
    folder: PathBuf,
    /// Seconds since 1970 of the last commit: all files have that time, so that the same source makes the same package.
    time: String,
    architecture: String,
}

type Check = fn(&Dist) -> Result<(), Failure>;

const CHECKS: [(&str, Check); 5] = [
    ("what the package says", Dist::check_fields),
    ("unit", Dist::check_unit),
    ("scripts", Dist::check_scripts),
    ("package in a root of its own", Dist::check_package),
    ("tarball in a folder of its own", Dist::check_tarball),
];

impl Dist {
    fn new(debug: bool) -> Result<Self, Failure> {
        let folder = target().join("dist");
        let time = said(Command::new("git").args(["log", "-1", "--format=%ct"]).current_dir(root()))?;
        let architecture = said(Command::new("dpkg").arg("--print-architecture"))
            .map_err(|error| format!("{error}; packages are made on Debian, or where dpkg is installed"))?;
        Ok(Self { debug, folder, time, architecture })
    }

    fn stage_folder(&self) -> PathBuf {
        self.folder.join("stage")
    }

    fn deb(&self) -> PathBuf {
        self.folder.join(format!("isobit_{VERSION}-{REVISION}_{}.deb", self.architecture))
    }

    /// The tarball's name without its ending, which is the folder in it too.
    fn tar_name(&self) -> String {
        format!("isobit-{VERSION}-{}-linux", std::env::consts::ARCH)
    }

    fn tar(&self) -> PathBuf {
        self.folder.join(format!("{}.tar.gz", self.tar_name()))
    }

    /// The program as cargo left it.
    fn program(&self) -> PathBuf {
        target().join(if self.debug { "debug" } else { "release" }).join("isobit")
    }

    fn build(&self) -> Result<(), Failure> {
        let mut build = cargo(&["build", "--locked", "--package", "isobit-cli", "--bin", "isobit"]);
        check(build.args((!self.debug).then_some("--release")))
    }

    /// Puts all files where the package has them.
    fn stage(&self) -> Result<(), Failure> {
        let stage = self.stage_folder();
        remove(&self.folder)?;
        let program = stage.join("usr/bin/isobit");
        copy(&self.program(), &program, 0o755)?;
        let own = |name: &str| root().join("dist").join(name);
        copy(&own("isobit.service"), &stage.join("usr/lib/systemd/system/isobit.service"), 0o644)?;
        copy(&own("isobit.sysusers"), &stage.join("usr/lib/sysusers.d/isobit.conf"), 0o644)?;
        copy(&own("provider.toml"), &stage.join("etc/isobit/provider.toml"), 0o644)?;
        let documents = stage.join("usr/share/doc/isobit");
        copy(&own("copyright"), &documents.join("copyright"), 0o644)?;
        for name in ["README.md", "SECURITY.md", "SPECIFICATION.md"] {
            copy(&root().join(name), &documents.join(name), 0o644)?;
        }
        copy(&root().join("CHANGELOG.md"), &documents.join("changelog"), 0o644)?;
        write(&documents.join("changelog.Debian"), &self.changelog()?, 0o644)?;
        let pages = stage.join("usr/share/man/man1");
        said(Command::new(&program).args(["man", "-o"]).arg(&pages))?;
        for (shell, place) in [
            ("bash", "usr/share/bash-completion/completions/isobit"),
            ("zsh", "usr/share/zsh/vendor-completions/_isobit"),
            ("fish", "usr/share/fish/vendor_completions.d/isobit.fish"),
        ] {
            write(&stage.join(place), &said(Command::new(&program).args(["completions", shell]))?, 0o644)?;
        }
        let mut gzip = Command::new("gzip");
        gzip.arg("-9n").args(files(&pages)?).args(["changelog", "changelog.Debian"].map(|name| documents.join(name)));
        said(&mut gzip)?;
        for page in files(&pages)? {
            set_mode(&page, 0o644)?;
        }
        Ok(())
    }

    /// The package's own history: one entry, of the last commit.
    fn changelog(&self) -> Result<String, Failure> {
        let mut date = Command::new("date");
        let date = said(date.env("LC_ALL", "C").args(["-u", "-R", "-d", &format!("@{}", self.time)]))?;
        Ok(format!(
            "isobit ({VERSION}-{REVISION}) unstable; urgency=medium\n\n  * What is new stands in changelog.gz.\n\n -- {MAINTAINER}  {date}\n"
        ))
    }

    fn package(&self) -> Result<(), Failure> {
        let stage = self.stage_folder();
        let control = stage.join("DEBIAN");
        let program = fs::read(stage.join("usr/bin/isobit")).map_err(|error| error.to_string())?;
        let glibc = newest_glibc(&program).ok_or("the program names no version of glibc")?;
        let kib = said(Command::new("du").args(["-sk", "--apparent-size"]).arg(&stage))?;
        let kib = kib.split_whitespace().next().unwrap_or("0");
        write(&control.join("control"), &control_file(&self.architecture, kib, &glibc), 0o644)?;
        write(&control.join("conffiles"), CONFFILES, 0o644)?;
        for script in ["postinst", "prerm", "postrm"] {
            copy(&root().join("dist").join(script), &control.join(script), 0o755)?;
        }
        let sums = said(
            Command::new("sh").current_dir(&stage).args(["-c", "find usr -type f | LC_ALL=C sort | xargs md5sum"]),
        )?;
        write(&control.join("md5sums"), &format!("{sums}\n"), 0o644)?;
        let mut build = Command::new("dpkg-deb");
        build.env("SOURCE_DATE_EPOCH", &self.time).args(["--root-owner-group", "--build"]);
        // A program for a trial is large, and nobody keeps it.
        build.args(self.debug.then_some("-Zgzip").into_iter().chain(self.debug.then_some("-z1")));
        said(build.arg(&stage).arg(self.deb()))?;
        remove(&control)
    }

    /// The same files for other systems, below one folder, as they would lie below `/usr/local`.
    fn tarball(&self) -> Result<(), Failure> {
        let (stage, top) = (self.stage_folder(), self.folder.join(self.tar_name()));
        for (from, to) in [
            ("usr/bin", "bin"),
            ("usr/share", "share"),
            ("usr/lib/systemd", "lib/systemd"),
            ("usr/lib/sysusers.d", "lib/sysusers.d"),
            ("etc", "etc"),
        ] {
            let (from, to) = (stage.join(from), top.join(to));
            fs::create_dir_all(to.parent().unwrap_or(&top)).map_err(|error| error.to_string())?;
            said(Command::new("cp").arg("-a").arg(from).arg(to))?;
        }
        fs::remove_file(top.join("share/doc/isobit/changelog.Debian.gz")).map_err(|error| error.to_string())?;
        copy(&root().join("LICENSE"), &top.join("LICENSE"), 0o644)?;
        copy(&root().join("README.md"), &top.join("README.md"), 0o644)?;
        let mut tar = Command::new("tar");
        tar.args(["--sort=name", "--owner=0", "--group=0", "--numeric-owner", &format!("--mtime=@{}", self.time)]);
        tar.args(["--use-compress-program", if self.debug { "gzip -1n" } else { "gzip -9n" }]);
        said(tar.arg("-C").arg(&self.folder).arg("-cf").arg(self.tar()).arg(self.tar_name()))?;
        remove(&top)
    }

    fn check_fields(&self) -> Result<(), Failure> {
        said(Command::new("dpkg-deb").arg("--info").arg(self.deb()))?;
        for field in FIELDS {
            if said(Command::new("dpkg-deb").arg("--field").arg(self.deb()).arg(field))?.is_empty() {
                return Err(format!("the package says nothing in {field}"));
            }
        }
        let contents = said(Command::new("dpkg-deb").arg("--contents").arg(self.deb()))?;
        for line in contents.lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [mode, owner, .., path] = words.as_slice() else { return Err(format!("cannot read {line:?}")) };
            if *owner != "root/root" {
                return Err(format!("{path} belongs to {owner}"));
            }
            if mode.get(7..).is_some_and(|others| others.contains('w')) || mode.contains('s') {
                return Err(format!("{path} has the mode {mode}"));
            }
        }
        for path in CONFFILES.lines() {
            if !contents.contains(&format!(".{path}\n")) {
                return Err(format!("{path} is not in the package"));
            }
        }
        Ok(())
    }

    /// Has systemd look at the unit, with the program in its place, where there is one.
    fn check_unit(&self) -> Result<(), Failure> {
        if Command::new("systemd-analyze").arg("--version").output().is_err() {
            println!("SKIP: there is no systemd-analyze to look at the unit");
            return Ok(());
        }
        let stage = self.stage_folder();
        let unit = fs::read_to_string(stage.join("usr/lib/systemd/system/isobit.service"));
        let unit = unit.map_err(|error| error.to_string())?;
        // The program is where it was staged, and the unit's user is not on this machine.
        let unit = unit.replace("/usr/bin/isobit", &stage.join("usr/bin/isobit").display().to_string());
        let copy = self.folder.join("isobit.service");
        write(&copy, &unit.replace("Documentation=man:isobit-serve(1)\n", ""), 0o644)?;
        let output = Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&copy).output();
        let output = output.map_err(|error| format!("cannot start systemd-analyze: {error}"))?;
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        // Of other units of this machine, and of what this machine lacks.
        let wrong: Vec<&str> = text.lines().filter(|line| line.contains("isobit")).collect();
        if !wrong.is_empty() {
            return Err(format!("systemd refuses the unit:\n{}", wrong.join("\n")));
        }
        let security = Command::new("systemd-analyze").args(["security", "--offline=true"]).arg(&copy).output();
        if let Ok(security) = security {
            let text = String::from_utf8_lossy(&security.stdout).into_owned();
            let level = text.lines().rev().find(|line| line.contains("exposure level")).unwrap_or("no exposure level");
            println!("{}", level.trim());
        }
        Ok(())
    }

    fn check_scripts(&self) -> Result<(), Failure> {
        for script in ["postinst", "prerm", "postrm"] {
            said(Command::new("sh").arg("-n").arg(root().join("dist").join(script)))?;
        }
        Ok(())
    }

    /// Installs the package in a root that has nothing else, as far as this user may, and runs it from there.
    fn check_package(&self) -> Result<(), Failure> {
        let test_root = self.folder.join("root");
        remove(&test_root)?;
        for folder in ["var/lib/dpkg/info", "var/lib/dpkg/updates", "etc"] {
            fs::create_dir_all(test_root.join(folder)).map_err(|error| error.to_string())?;
        }
        for file in ["var/lib/dpkg/status", "var/lib/dpkg/available"] {
            write(&test_root.join(file), "", 0o644)?;
        }
        let dpkg = |args: &[&str], what: &Path| {
            let mut dpkg = Command::new("dpkg");
            dpkg.arg(format!("--root={}", test_root.display()));
            dpkg.args(["--force-script-chrootless", "--force-depends", "--force-not-root", "--log=/dev/null"]);
            said(dpkg.args(args).arg(what))
        };
        let is_root = said(Command::new("id").arg("-u"))? == "0";
        if !is_root || Command::new("systemd-sysusers").arg("--version").output().is_err() {
            println!("SKIP: only root, with systemd, can install: the package is unpacked");
            said(Command::new("dpkg-deb").arg("--extract").arg(self.deb()).arg(&test_root))?;
            return Trial::new(self, &test_root.join("usr/bin/isobit"))?.run();
        }
        dpkg(&["--install"], &self.deb())?;
        let users = fs::read_to_string(test_root.join("etc/passwd")).unwrap_or_default();
        if !users.lines().any(|line| line.starts_with("isobit:")) {
            return Err(format!("the package has made no user: {users:?}"));
        }
        // What dpkg has noted is what is there.
        let changed = dpkg(&["--verify"], Path::new("isobit"))?;
        if !changed.is_empty() {
            return Err(format!("what is installed is not what is packed:\n{changed}"));
        }
        Trial::new(self, &test_root.join("usr/bin/isobit"))?.run()?;
        let state = test_root.join("var/lib/isobit");
        fs::create_dir_all(&state).map_err(|error| error.to_string())?;
        dpkg(&["--remove"], Path::new("isobit"))?;
        if test_root.join("usr/bin/isobit").exists()
            || !test_root.join("etc/isobit/provider.toml").exists()
            || !state.exists()
        {
            return Err("removing the package has to leave settings and state, and nothing else".to_owned());
        }
        dpkg(&["--purge"], Path::new("isobit"))?;
        match state.exists() || test_root.join("etc/isobit").exists() {
            true => Err("purging the package has left something".to_owned()),
            false => Ok(()),
        }
    }

    fn check_tarball(&self) -> Result<(), Failure> {
        let folder = self.folder.join("untarred");
        remove(&folder)?;
        fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
        said(Command::new("tar").arg("-C").arg(&folder).arg("-xf").arg(self.tar()))?;
        let top = folder.join(self.tar_name());
        for file in ["README.md", "LICENSE", "share/man/man1/isobit-serve.1.gz", "lib/systemd/system/isobit.service"] {
            if !top.join(file).is_file() {
                return Err(format!("{file} is not in the tarball"));
            }
        }
        Trial::new(self, &top.join("bin/isobit"))?.run()
    }
}

/// A program that was unpacked, tried with nothing of this user's.
struct Trial {
    program: PathBuf,
    home: PathBuf,
}

impl Trial {
    fn new(dist: &Dist, program: &Path) -> Result<Self, Failure> {
        let home = dist.folder.join("home");
        remove(&home)?;
        fs::create_dir_all(&home).map_err(|error| error.to_string())?;
        Ok(Self { program: program.to_owned(), home })
    }

    fn isobit(&self, args: &[&str]) -> Command {
        let mut isobit = Command::new(&self.program);
        isobit.args(args).current_dir(&self.home).stdin(Stdio::null());
        isobit.env("XDG_CONFIG_HOME", self.home.join("config")).env("XDG_DATA_HOME", self.home.join("data"));
        isobit.env("XDG_CACHE_HOME", self.home.join("cache")).env_remove("ISOBIT_KEY").env_remove("ISOBIT_LOG");
        isobit
    }

    /// Its version, its view of this machine, and a job at a provider that it is itself.
    fn run(&self) -> Result<(), Failure> {
        let version = said(&mut self.isobit(&["--version"]))?;
        if version != format!("isobit {VERSION}") {
            return Err(format!("the program says that it is {version}"));
        }
        said(&mut self.isobit(&["doctor", "--device", "cpu"]))?;
        // Built by this very program; the build's folders are those of the user who calls, so that little has to be built.
        let workload = self.home.join("workload.wasm").display().to_string();
        let source = root().join("guest-examples/mandelbrot").display().to_string();
        said(self.isobit(&["build", &source, "-o", &workload]).env_remove("XDG_CACHE_HOME"))?;
        said(&mut self.isobit(&["keygen", "-o", "key"]))?;
        let serve =
            ["serve", "--device", "cpu", "--listen", "127.0.0.1:0", "--key", "key", "--data-dir", "provider", "-q"];
        let mut provider = Serving::start(&mut self.isobit(&serve))?;
        let to = provider.address.clone();
        said(&mut self.isobit(&["submit", &workload, "--to", &to, "-o", "out=out.png", "--receipt", "receipt.json"]))?;
        said(&mut self.isobit(&["verify", "receipt.json", "--outputs", "out=out.png"]))?;
        let status = said(&mut self.isobit(&["status", "provider"]))?;
        if !status.contains("1 completed") {
            return Err(format!("the provider does not tell of its job:\n{status}"));
        }
        provider.stop()
    }
}

/// A provider process. Dropping it ends it.
struct Serving {
    process: Child,
    address: String,
}

impl Serving {
    fn start(serve: &mut Command) -> Result<Self, Failure> {
        let mut process = serve.stdout(Stdio::piped()).spawn().map_err(|error| format!("no provider: {error}"))?;
        let stdout = process.stdout.take();
        let mut serving = Self { process, address: String::new() };
        let mut line = String::new();
        stdout.map(BufReader::new).and_then(|mut stdout| stdout.read_line(&mut line).ok());
        serving.address = line.trim().to_owned();
        if serving.address.is_empty() { Err("the provider did not start".to_owned()) } else { Ok(serving) }
    }

    /// Asks it to stop, as systemd does, and waits for its end.
    fn stop(&mut self) -> Result<(), Failure> {
        said(Command::new("kill").arg(self.process.id().to_string()))?;
        match self.process.wait() {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(format!("the provider, asked to stop, ended with {status}")),
            Err(error) => Err(error.to_string()),
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // One that has ended by itself needs no killing.
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

fn control_file(architecture: &str, kib: &str, glibc: &str) -> String {
    format!(
        "\
Package: isobit
Version: {VERSION}-{REVISION}
Architecture: {architecture}
Maintainer: {MAINTAINER}
Installed-Size: {kib}
Depends: libc6 (>= {glibc}), libgcc-s1, systemd | systemd-standalone-sysusers
Recommends: libvulkan1, mesa-vulkan-drivers
Section: net
Priority: optional
Homepage: https://isobit.dev
Description: rents out GPUs to strangers, safely
 Renters compile GPU work to a WebAssembly component; providers run it in a
 sandbox. The results are the same bits on every device, and come with a signed
 receipt, so that anyone can check them by hash.
 .
 This package has the command for both, and a hardened service for providers,
 which is neither enabled nor started: see isobit-serve(1).
"
    )
}

/// The newest version of glibc of which the program needs something: the versions stand in its dynamic symbols' names.
fn newest_glibc(program: &[u8]) -> Option<String> {
    const NAME: &[u8] = b"GLIBC_2.";
    let found = program.windows(NAME.len()).enumerate().filter(|(_, window)| *window == NAME);
    let minor = found.filter_map(|(at, _)| {
        let digits = program.get(at + NAME.len()..)?.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let digits = program.get(at + NAME.len()..at + NAME.len() + digits)?;
        std::str::from_utf8(digits).ok()?.parse::<u32>().ok()
    });
    minor.max().map(|minor| format!("2.{minor}"))
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn target() -> PathBuf {
    let chosen = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let target = chosen.unwrap_or_else(|| root().join("target"));
    std::path::absolute(&target).unwrap_or(target)
}

/// What a command prints, without white space around it. It has to succeed.
fn said(command: &mut Command) -> Result<String, Failure> {
    let name = command.get_program().to_string_lossy().into_owned();
    let args: Vec<_> = command.get_args().map(|arg| arg.to_string_lossy().into_owned()).collect();
    let output = command.output().map_err(|error| format!("cannot start {name}: {error}"))?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        return Err(format!("`{name} {}`: {}: {}", args.join(" "), output.status, stderr.trim()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn files(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let list = fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut files: Vec<PathBuf> = list.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect();
    files.sort();
    Ok(files)
}

fn copy(from: &Path, to: &Path, mode: u32) -> Result<(), Failure> {
    let content = fs::read(from).map_err(|error| format!("cannot read {}: {error}", from.display()))?;
    write_bytes(to, &content, mode)
}

fn write(path: &Path, text: &str, mode: u32) -> Result<(), Failure> {
    write_bytes(path, text.as_bytes(), mode)
}

fn write_bytes(path: &Path, content: &[u8], mode: u32) -> Result<(), Failure> {
    let failed = |error: std::io::Error| format!("cannot write {}: {error}", path.display());
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    fs::write(path, content).map_err(failed)?;
    set_mode(path, mode)
}

fn set_mode(path: &Path, mode: u32) -> Result<(), Failure> {
    let set = fs::set_permissions(path, fs::Permissions::from_mode(mode));
    set.map_err(|error| format!("cannot change {}: {error}", path.display()))
}

/// Removes a folder with all in it, if it is there.
fn remove(folder: &Path) -> Result<(), Failure> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(format!("cannot remove {}: {error}", folder.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_glibc_is_found_by_number() {
        assert_eq!(newest_glibc(b"\0GLIBC_2.4\0GLIBC_2.34\0GLIBC_2.9\0").as_deref(), Some("2.34"));
        assert_eq!(newest_glibc(b"GLIBC_2.17").as_deref(), Some("2.17"));
        assert_eq!(newest_glibc(b"GLIBC_PRIVATE, GLIBC_2."), None);
    }

    #[test]
    fn the_control_file_has_every_field_and_short_lines() {
        let control = control_file("amd64", "1", "2.36");
        for field in FIELDS {
            let lines = control.lines().filter(|line| line.starts_with(&format!("{field}: "))).count();
            assert_eq!(lines, 1, "{field} in {control}");
        }
        // dpkg takes an empty line for the end of a package's fields.
        assert!(control.lines().all(|line| !line.is_empty() && line.len() <= 80), "{control}");
    }

    #[test]
    fn the_unit_names_what_the_package_has() {
        let read = |name: &str| fs::read_to_string(root().join("dist").join(name)).unwrap();
        let (unit, settings, users) = (read("isobit.service"), read("provider.toml"), read("isobit.sysusers"));
        assert!(unit.contains("--config /etc/isobit/provider.toml") && CONFFILES.contains("/etc/isobit/provider.toml"));
        assert!(unit.contains("User=isobit\n") && users.contains("\nu isobit "));
        // What the settings name is what the unit lets be written.
        assert!(unit.contains("\nStateDirectory=isobit\n"));
        for place in ["data-dir = \"/var/lib/isobit\"", "key = \"/var/lib/isobit/key\""] {
            assert!(settings.contains(place), "{place}");
        }
        for hardening in
            ["ProtectSystem=strict", "NoNewPrivileges=yes", "CapabilityBoundingSet=", "DevicePolicy=closed"]
        {
            assert!(unit.lines().any(|line| line == hardening), "{hardening}");
        }
    }
}
