//! `cargo xtask test`: everything that has to hold before a change is good.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, ExitCode, Stdio};

use crate::steps::{Steps, cargo, check, shown};
use crate::{Failure, Options, data, fetch, setup, systems};

/// Sets up and runs every check. The last line of the output is `N passed, N failed, N skipped`.
pub fn run(options: &Options) -> Result<ExitCode, Failure> {
    let mut steps = Steps::default();
    let mut tally = Tally::default();
    let is_set_up =
        steps.run("set-up", || setup::run(options)) && steps.run("data", || fetch::fetch(&data::ALL, options));
    if is_set_up {
        steps.run("formatting", || check(&mut cargo(&["fmt", "--all", "--check"])));
        let clippy = ["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"];
        steps.run("lints", || check(&mut cargo(&clippy)));
        steps.lint_for("Windows", systems::WINDOWS, &mut tally);
        let test = ["test", "--workspace", "--no-fail-fast"];
        steps.run_tests("tests", &mut tally, &[&test[..], &["--", "--show-output"]].concat());
        if options.long {
            // Whatever is not for macOS is seldom for Windows.
            steps.lint_for("macOS", systems::MACOS, &mut tally);
            let mut long = Tally::default();
            let only_long = ["--lib", "--bins", "--tests", "--", "--show-output", "--ignored"];
            steps.run_tests("long tests", &mut long, &[&test[..], &only_long].concat());
            tally.add_long(&long);
        }
        steps.run("documentation", || {
            check(cargo(&["doc", "--workspace", "--no-deps", "--quiet"]).env("RUSTDOCFLAGS", "-D warnings"))
        });
    }

    eprint!("\n{}", steps.summary());
    // A step that failed without a failing test, such as formatting, counts as one failure.
    let failed = tally.failed + steps.failed() - tally.failed_runs;
    println!("{} passed, {failed} failed, {} skipped", tally.passed, tally.skipped + tally.ignored);
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What test runs came to.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    passed: usize,
    failed: usize,
    ignored: usize,
    /// Lines `SKIP: reason` that tests printed.
    skipped: usize,
    /// Runs that failed because of failing tests.
    failed_runs: usize,
}

impl Tally {
    /// Counts a line of `cargo test`, if it is one to be counted.
    fn count(&mut self, line: &str) {
        if is_skip(line) {
            self.skipped += 1;
        }
        // test result: ok. 5 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s
        let Some(result) = line.trim().strip_prefix("test result: ") else { return };
        let Some((_, counts)) = result.split_once(". ") else { return };
        for count in counts.split("; ") {
            let Some((number, what)) = count.split_once(' ') else { continue };
            let Ok(number) = number.parse::<usize>() else { continue };
            match what {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" => self.ignored += number,
                _ => {}
            }
        }
    }

    /// Adds a run of the tests that were ignored before.
    fn add_long(&mut self, long: &Tally) {
        self.passed += long.passed;
        self.failed += long.failed;
        self.skipped += long.skipped;
        self.failed_runs += long.failed_runs;
        self.ignored = self.ignored.saturating_sub(long.passed + long.failed);
    }
}

fn is_skip(line: &str) -> bool {
    // With one test thread the line stands after `test name ... `.
    line.trim_start().starts_with("SKIP: ") || line.contains(" ... SKIP: ")
}

impl Steps {
    /// Lints for another system; without its standard library that is a skip.
    fn lint_for(&mut self, system: &str, triple: &str, tally: &mut Tally) {
        if systems::has_library(triple) {
            self.run(&format!("lints for {system}"), || systems::lint(triple));
        } else {
            println!(
                "SKIP: lints for {system}: no standard library of {triple}; `rustup target add {triple}` brings it"
            );
            tally.skipped += 1;
        }
    }

    fn run_tests(&mut self, name: &str, tally: &mut Tally, args: &[&str]) {
        let failed_before = tally.failed;
        let passed = self.run(name, || stream(&mut cargo(args), tally));
        if !passed && tally.failed > failed_before {
            tally.failed_runs += 1;
        }
    }
}

/// Runs `cargo test --show-output`, passing its lines on as they come.
fn stream(cargo: &mut Command, tally: &mut Tally) -> Result<(), Failure> {
    let mut child =
        cargo.stdout(Stdio::piped()).spawn().map_err(|error| format!("cannot start {}: {error}", shown(cargo)))?;
    let mut shortener = Shortener::default();
    for line in child.stdout.take().map(BufReader::new).into_iter().flat_map(|stdout| stdout.split(b'\n')) {
        let line = line.map_err(|error| format!("cannot read from cargo: {error}"))?;
        let line = String::from_utf8_lossy(&line);
        tally.count(&line);
        if shortener.shows(&line) {
            println!("{line}");
        }
    }
    match child.wait() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{}: {status}", shown(cargo))),
        Err(error) => Err(format!("cannot wait for cargo: {error}")),
    }
}

/// Leaves out what `--show-output` prints of tests that passed, except why something was skipped.
#[derive(Default)]
struct Shortener {
    in_successes: bool,
}

impl Shortener {
    fn shows(&mut self, line: &str) -> bool {
        match line {
            "successes:" => self.in_successes = true,
            "failures:" => self.in_successes = false,
            _ if line.starts_with("test result: ") => self.in_successes = false,
            _ => {}
        }
        !self.in_successes || is_skip(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "\
running 4 tests
test a ... ok
test b ... FAILED
test c ... ignored
test d ... ok

successes:

---- a stdout ----
SKIP: no second driver
chatter

successes:
    a
    d

failures:

---- b stdout ----
because

failures:
    b

test result: FAILED. 2 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s

running 2 tests
test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 3 filtered out; finished in 0.10s
";

    #[test]
    fn results_are_summed_and_skips_counted() {
        let mut tally = Tally::default();
        OUTPUT.lines().for_each(|line| tally.count(line));
        assert_eq!(tally, Tally { passed: 4, failed: 1, ignored: 1, skipped: 1, failed_runs: 0 });
    }

    #[test]
    fn long_tests_that_ran_are_no_longer_ignored() {
        let mut tally = Tally { passed: 4, ignored: 3, ..Tally::default() };
        tally.add_long(&Tally { passed: 1, failed: 1, ..Tally::default() });
        assert_eq!(tally, Tally { passed: 5, failed: 1, ignored: 1, ..Tally::default() });
    }

    #[test]
    fn only_skips_are_shown_of_tests_that_passed() {
        let mut shortener = Shortener::default();
        let shown: Vec<&str> = OUTPUT.lines().filter(|line| shortener.shows(line)).collect();
        assert!(shown.contains(&"SKIP: no second driver"));
        assert!(!shown.contains(&"chatter"));
        assert!(!shown.contains(&"    d"));
        assert!(shown.contains(&"because"));
        assert!(shown.contains(&"    b"));
        assert_eq!(shown.iter().filter(|line| line.starts_with("test result")).count(), 2);
    }
}
