//! `cargo xtask fresh`: the README's commands on a Debian that has nothing but Rust, in several states that strangers' machines are in.

mod root;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use self::root::{Place, Setting};
use crate::steps::Steps;
use crate::{Failure, apt};

const USAGE: &str = "\
Usage: cargo xtask fresh [SUITE]... [--only VARIANT]... [--target FOLDER] [--clean]

Makes a minimal Debian with debootstrap for each variant, with a C compiler, sudo and this machine's Rust in it, and runs there what
the README says, to the letter. Needs root. Takes archives' and registries' addresses from this machine's own settings.

Suites: bookworm, trixie [default: both]

Variants, each in a root of its own:
  no-sudo      an ordinary user without sudo: set-up ends with everything that is missing
  no-network   root without a network: the same
  no-apt       root without apt: the same
  root         root, no package lists: the demo, the README's examples; in trixie also the tests across devices (another Mesa)
  sudo         a user with sudo at a terminal: the same; in bookworm also the whole `cargo xtask test`
  stale        root, old and incomplete package lists: the demo
  no-security  root, without the security archive: the demo (bookworm only: its newest compiler is 1.85 then)

All variants of a suite build in one target folder, one after the other, as otherwise each took its quarter of an hour: only the
first builds everything. What set-up installs, workloads and their standard library are got anew in each. Results of Debian 12 may
serve in 13, not the other way round.

Options:
  --only VARIANT   run only this one; may be given more than once
  --target FOLDER  build here, for instance in a copy of target/: the repository lies at the same path inside, so it is up to date
  --clean          remove the roots, logs and build results of the suites, and do nothing else
";

/// Debian releases that are tried.
const SUITES: [&str; 2] = ["bookworm", "trixie"];

/// A state that a machine is in, and what has to work there.
struct Variant {
    name: &'static str,
    suites: &'static [&'static str],
    setting: Setting,
    lists: PackageLists,
    /// Commands that make the state, run as root.
    prepare: &'static [&'static str],
    trials: &'static [(&'static [&'static str], Trial)],
}

/// Package lists as they are found.
#[derive(PartialEq, Eq)]
enum PackageLists {
    /// As in images for containers.
    None,
    /// Of the main archive alone, from two years ago, naming files that are gone.
    Stale,
}

/// What is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trial {
    Demo,
    /// What the README shows after the demo.
    Examples,
    Test,
    CrossDevice,
    /// Set-up ends with everything that is missing, and says this.
    Refused(&'static str),
}

const ROOT: Setting = Setting { as_root: true, without_network: false, without_apt: false, terminal: false };
const USER: Setting = Setting { as_root: false, ..ROOT };
const BOTH: &[&str] = &SUITES;

const VARIANTS: [Variant; 7] = [
    Variant {
        name: "no-sudo",
        suites: BOTH,
        setting: USER,
        lists: PackageLists::None,
        prepare: &["rm /etc/sudoers.d/renter"],
        trials: &[(BOTH, Trial::Refused("nothing can be installed: this is not root"))],
    },
    Variant {
        name: "no-network",
        suites: BOTH,
        setting: Setting { without_network: true, ..ROOT },
        lists: PackageLists::None,
        prepare: &[],
        trials: &[(BOTH, Trial::Refused("is there a network?"))],
    },
    Variant {
        name: "no-apt",
        suites: BOTH,
        setting: Setting { without_apt: true, ..ROOT },
        lists: PackageLists::None,
        prepare: &[],
        trials: &[(BOTH, Trial::Refused("this is no Debian-like system"))],
    },
    Variant {
        name: "root",
        suites: BOTH,
        setting: ROOT,
        lists: PackageLists::None,
        prepare: &[],
        trials: &[(BOTH, Trial::Demo), (BOTH, Trial::Examples), (&["trixie"], Trial::CrossDevice)],
    },
    Variant {
        name: "sudo",
        suites: BOTH,
        setting: Setting { terminal: true, ..USER },
        lists: PackageLists::None,
        prepare: &[],
        trials: &[(BOTH, Trial::Demo), (BOTH, Trial::Examples), (&["bookworm"], Trial::Test)],
    },
    Variant {
        name: "stale",
        suites: BOTH,
        setting: ROOT,
        lists: PackageLists::Stale,
        prepare: &[],
        trials: &[(BOTH, Trial::Demo)],
    },
    Variant {
        name: "no-security",
        suites: &["bookworm"],
        setting: ROOT,
        lists: PackageLists::None,
        prepare: &["sed -i /-security/d /etc/apt/sources.list"],
        trials: &[(BOTH, Trial::Demo)],
    },
];

/// Lists without those of the security archive, whose files the archive has deleted and whose hashes are others', and that were
/// fetched long ago.
const MAKE_STALE: &str = "\
cp /etc/apt/sources.list /tmp/sources.list && sed -i /-security/d /etc/apt/sources.list && apt-get -qq update && \
mv /tmp/sources.list /etc/apt/sources.list && cd /var/lib/apt/lists && \
sed -i -E 's,^(Filename: .*/(chromium-common|mesa-vulkan-drivers)_)[^_]*,\\1gone,' *_Packages && \
sed -i -E 's/^ [0-9a-f]{8}/ 00000000/' *_InRelease && touch -d '2 years ago' *_InRelease partial . && \
rm -f /var/cache/apt/*.bin";

/// Arguments, understood.
#[derive(Debug, Default, PartialEq, Eq)]
struct Request {
    suites: Vec<String>,
    only: Vec<String>,
    target: Option<PathBuf>,
    clean: bool,
    help: bool,
}

impl Request {
    fn parse(args: &[String]) -> Result<Self, Failure> {
        let mut request = Self::default();
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            let mut value = || args.next().cloned().ok_or_else(|| format!("{arg} needs a value\n\n{USAGE}"));
            match arg.as_str() {
                suite if SUITES.contains(&suite) => request.suites.push(suite.to_owned()),
                "--only" => request.only.push(value()?),
                "--target" => request.target = Some(value()?.into()),
                "--clean" => request.clean = true,
                "help" | "--help" | "-h" => request.help = true,
                unknown => return Err(format!("unknown argument {unknown:?}\n\n{USAGE}")),
            }
        }
        if let Some(unknown) = request.only.iter().find(|name| VARIANTS.iter().all(|variant| variant.name != **name)) {
            return Err(format!("there is no variant {unknown:?}\n\n{USAGE}"));
        }
        if request.suites.is_empty() {
            request.suites = SUITES.map(str::to_owned).to_vec();
        }
        if request.target.is_some() && request.suites.len() > 1 {
            return Err("--target is for one suite".to_owned());
        }
        Ok(request)
    }

    fn variants(&self, suite: &str) -> impl Iterator<Item = &'static Variant> {
        let is_asked_for = |variant: &Variant| self.only.is_empty() || self.only.iter().any(|it| it == variant.name);
        VARIANTS.iter().filter(move |variant| variant.suites.contains(&suite) && is_asked_for(variant))
    }
}

/// Tries every variant that was asked for, and says of each how it went.
pub fn run(args: &[String]) -> Result<ExitCode, Failure> {
    let request = Request::parse(args)?;
    if request.help {
        print!("{USAGE}");
        return Ok(ExitCode::SUCCESS);
    }
    if !apt::is_root() || !apt::is_here() {
        return Err("fresh needs root on a Debian-like system: it makes mounts, and Debian in a folder".to_owned());
    }
    let mut steps = Steps::default();
    for suite in &request.suites {
        let target = request.target.as_deref().map(std::path::absolute).transpose();
        let place = Place::new(suite, target.map_err(|error| error.to_string())?)?;
        if request.clean {
            place.remove()?;
            continue;
        }
        place.make_base()?;
        for variant in request.variants(suite) {
            steps.run(&format!("{suite} {}", variant.name), || variant.run(suite, &place));
        }
    }
    eprint!("\n{}", steps.summary());
    Ok(if steps.failed() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Variant {
    fn run(&self, suite: &str, place: &Place) -> Result<(), Failure> {
        let log = place.log(self.name);
        std::fs::write(&log, "").map_err(|error| format!("cannot write {}: {error}", log.display()))?;
        eprintln!("    everything that is printed there is in {}", log.display());
        place.make(self.name)?;
        let lists = match self.lists {
            PackageLists::None => "rm -rf /var/lib/apt/lists/*",
            PackageLists::Stale => MAKE_STALE,
        };
        for command in self.prepare.iter().chain([&lists]) {
            if !place.run(self.name, ROOT, command)? {
                return Err(format!("cannot prepare the root: {}", tail(&read(&log))));
            }
        }
        for (_, trial) in self.trials.iter().filter(|(suites, _)| suites.contains(&suite)) {
            let before = read(&log).len();
            let command = trial.command(place)?;
            let succeeded = place.run(self.name, self.setting, &command)?;
            let text = read(&log);
            let printed = text.get(before..).unwrap_or(&text);
            let found =
                trial.judge(succeeded, printed).map_err(|why| format!("{trial:?}: {why}\n{}", tail(printed)))?;
            eprintln!("    {trial:?}: {found}");
        }
        Ok(())
    }
}

impl Trial {
    fn command(self, place: &Place) -> Result<String, Failure> {
        let command = match self {
            Self::Demo => "cargo xtask demo".to_owned(),
            Self::Test => "cargo xtask test".to_owned(),
            Self::Refused(_) => "cargo xtask setup".to_owned(),
            // Where CI is set, a driver that is not seen is a failure.
            Self::CrossDevice => {
                "export CI=true && cargo test --package isobit-device --test dp32 --test arithmetic --test device \
                                  && cargo test --package isobit-cli --test examples"
                    .to_owned()
            }
            Self::Examples => {
                let readme = include_str!("../../README.md");
                let examples = examples(readme).ok_or("the README has no example of a workload any more")?;
                // As the help of `isobit run` has it.
                let device = "isobit run target/demo/mandelbrot.wasm -o out=/tmp/m.png --device swiftshader --receipt /tmp/r.json";
                // To sign a receipt one has a key.
                format!("set -ex\nisobit devices\nisobit keygen\n{device}\ncd ~\n{examples}")
            }
        };
        Ok(place.in_repository(&command))
    }

    /// What to say of it, or why it failed.
    fn judge(self, succeeded: bool, printed: &str) -> Result<String, String> {
        let has = |part: &str| match printed.contains(part) {
            true => Ok(()),
            false => Err(format!("it did not print {part:?}")),
        };
        if succeeded == matches!(self, Self::Refused(_)) {
            return Err(if succeeded { "it succeeded" } else { "it failed" }.to_owned());
        }
        match self {
            Self::Demo => {
                has("photo: all 3 providers make the same claim")?;
                has("mandelbrot: all 3 providers make the same claim")?;
                Ok("all 3 providers make the same claims".to_owned())
            }
            Self::Examples => {
                ["llvmpipe", "SwiftShader", "isobit CPU device"].into_iter().try_for_each(has)?;
                Ok("all work".to_owned())
            }
            Self::Test => {
                let is_result = |line: &&str| line.contains(" passed, ") && line.contains(" skipped");
                Ok(printed.lines().rev().find(is_result).ok_or("it printed no result")?.trim().to_owned())
            }
            Self::CrossDevice => {
                let passed = printed.lines().filter(|line| line.starts_with("test ") && line.ends_with(" ok")).count();
                if passed == 0 { Err("it ran no test".to_owned()) } else { Ok(format!("{passed} tests passed")) }
            }
            Self::Refused(reason) => {
                let missing =
                    ["lavapipe", "a compiler for wasm32", "the C library of wasm32", "SwiftShader", "a photograph"];
                [reason, "still missing"].into_iter().chain(missing).try_for_each(has)?;
                Ok("it said all that is missing".to_owned())
            }
        }
    }
}

/// The README's first commands for a workload, as they stand there. How to install the command is left out: it is on the PATH.
fn examples(readme: &str) -> Option<String> {
    let (_, section) = readme.split_once("\n## A workload\n")?;
    let (_, block) = section.split_once("```sh\n")?;
    let (block, _) = block.split_once("```")?;
    let commands: String =
        block.lines().filter(|line| !line.starts_with("cargo install ")).map(|line| format!("{line}\n")).collect();
    (!commands.is_empty()).then_some(commands)
}

fn read(log: &Path) -> String {
    std::fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

/// The last lines.
fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let last = lines.get(lines.len().saturating_sub(20)..).unwrap_or(&lines);
    last.iter().map(|line| format!("    | {line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[&str]) -> Result<Request, Failure> {
        Request::parse(&args.iter().map(|arg| (*arg).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn variants_are_chosen_by_name_and_suite() {
        let names = |request: &Request, suite: &str| request.variants(suite).map(|it| it.name).collect::<Vec<_>>();
        let all = parse(&[]).unwrap();
        assert_eq!(all.suites, SUITES);
        assert!(names(&all, "bookworm").contains(&"no-security"));
        assert!(!names(&all, "trixie").contains(&"no-security"));
        let some = parse(&["trixie", "--only", "root", "--only", "stale", "--target", "/t"]).unwrap();
        assert_eq!(some.suites, ["trixie"]);
        assert_eq!(names(&some, "trixie"), ["root", "stale"]);
        for wrong in [&["--only", "nothing"][..], &["buster"], &["--only"], &["--target", "/t"]] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn the_readme_has_the_examples_that_are_tried() {
        let found = examples(include_str!("../../README.md")).unwrap();
        assert!(found.contains("isobit new double && isobit build double"), "{found}");
        assert!(!found.contains("cargo install"), "{found}");
        let help = include_str!("../../runtime/cli/src/commands/run.rs");
        assert!(help.contains("--device swiftshader --receipt r.json"));
        assert_eq!(examples("# no such section\n"), None);
    }

    #[test]
    fn a_trial_is_judged_by_what_it_printed_too() {
        let both = "photo: all 3 providers make the same claim\nmandelbrot: all 3 providers make the same claim\n";
        assert!(Trial::Demo.judge(true, both).is_ok());
        assert!(Trial::Demo.judge(false, both).is_err());
        assert!(Trial::Demo.judge(true, &both.replace('3', "2")).is_err());
        let refused = Trial::Refused("no way");
        let text = "no way\nstill missing\nlavapipe\na compiler for wasm32-x\nthe C library of wasm32-x\nSwiftShader\na photograph\n";
        assert!(refused.judge(false, text).is_ok());
        assert!(refused.judge(true, text).is_err());
        assert!(refused.judge(false, &text.replace("lavapipe", "")).is_err());
        assert!(Trial::CrossDevice.judge(true, "running 0 tests\n").is_err());
        assert_eq!(Trial::CrossDevice.judge(true, "test a ... ok\n").unwrap(), "1 tests passed");
        assert_eq!(
            Trial::Test.judge(true, "7 passed, 0 failed, 1 skipped\n").unwrap(),
            "7 passed, 0 failed, 1 skipped"
        );
        assert!(Trial::Test.judge(true, "").is_err());
    }
}
