//! Arguments that describe a job: `name=value` pairs and limits.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use isobit_job::{Bytes, DeviceClass, Fuel, Limits, Money, Name, Prices, Profile, Terms};
use isobit_renter::Destination;
use isobit_sandbox::{Takes, Workload};
use tempfile::TempDir;

use crate::failure::Failure;
use crate::kernel_args::KernelArgs;
use crate::printer::Printer;

/// One `name=value` from the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair<T> {
    /// The part before the first `=`.
    pub name: Name,
    /// The part after it.
    pub value: T,
}

/// Reads `name=path`, or `name=-` for standard output, for `-o`.
pub fn place_pair(text: &str) -> Result<Pair<Destination>, String> {
    file_pair(text).map(|Pair { name, value }| Pair { name, value: value.into() })
}

/// Reads a path, or `-` for standard output.
pub fn place(text: &str) -> Result<Destination, String> {
    if text.is_empty() { Err("no path".to_owned()) } else { Ok(PathBuf::from(text).into()) }
}

/// Reads `name=path` for a file that will be read.
pub fn path_pair(text: &str) -> Result<Pair<PathBuf>, String> {
    match file_pair(text)? {
        // An input is hashed first and then read in any order, which stdin does not allow.
        Pair { name, value } if value.as_os_str() == "-" => {
            Err(format!("stdin cannot be `{name}`: write it to a file first (one called - is ./-)"))
        }
        pair => Ok(pair),
    }
}

fn file_pair(text: &str) -> Result<Pair<PathBuf>, String> {
    let Pair { name, value } = pair(text, "path")?;
    if value.is_empty() {
        return Err(format!("no path after `{name}=`"));
    }
    Ok(Pair { name, value: PathBuf::from(value) })
}

/// Reads `name=value`, for `-p`. The value may be empty and may hold `=`.
pub fn text_pair(text: &str) -> Result<Pair<String>, String> {
    pair(text, "value")
}

fn pair(text: &str, what: &str) -> Result<Pair<String>, String> {
    let (name, value) = text.split_once('=').ok_or_else(|| format!("expected name={what}, without spaces"))?;
    let name = Name::from_str(name).map_err(|error| error.to_string())?;
    Ok(Pair { name, value: value.to_owned() })
}

/// All pairs by name. A name given twice is an error.
pub fn by_name<T>(what: &str, pairs: impl IntoIterator<Item = Pair<T>>) -> anyhow::Result<BTreeMap<Name, T>> {
    let mut named = BTreeMap::new();
    for Pair { name, value } in pairs {
        if named.contains_key(&name) {
            return Err(Failure::new(format!("the {what} {name} is given twice")).into());
        }
        named.insert(name, value);
    }
    Ok(named)
}

/// A length of time, written as `90s`, `10m`, `2h` or `500ms`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span(Duration);

impl From<Duration> for Span {
    fn from(duration: Duration) -> Self {
        Self(duration)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let milliseconds = self.0.as_millis();
        let units = [("h", 3_600_000), ("m", 60_000), ("s", 1000)];
        match units.into_iter().find(|(_, unit)| milliseconds.is_multiple_of(*unit)) {
            Some((name, unit)) => write!(f, "{}{name}", milliseconds / unit),
            None => write!(f, "{milliseconds}ms"),
        }
    }
}

impl From<Span> for Duration {
    fn from(span: Span) -> Self {
        span.0
    }
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let milliseconds = match unit {
            "ms" => 1,
            "s" | "" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => return Err(format!("`{unit}` is not a unit of time; write for example 90s, 10m or 2h")),
        };
        let number: u64 = number.parse().map_err(|_| "expected a number and a unit, for example 90s".to_owned())?;
        if number == 0 {
            return Err("it has to be longer than nothing".to_owned());
        }
        Ok(Self(Duration::from_millis(number.saturating_mul(milliseconds))))
    }
}

/// A job as the command line gives it.
#[derive(Clone, Debug, clap::Args)]
pub struct JobArgs {
    /// The workload, as `isobit build` makes it; or a kernel alone, in WGSL
    pub workload: PathBuf,
    /// An input; may be given again
    #[arg(short, long, value_name = "NAME=PATH", value_parser = path_pair)]
    pub input: Vec<Pair<PathBuf>>,
    /// Where an output goes, `-` for stdout; may be given again
    #[arg(short, long, value_name = "NAME=PATH", value_parser = place_pair)]
    pub output: Vec<Pair<Destination>>,
    /// A parameter; may be given again
    #[arg(short, long, value_name = "NAME=VALUE", value_parser = text_pair)]
    pub param: Vec<Pair<String>>,
    /// The arithmetic rules for kernels: dp32, the same bits on every device, or native, as the driver likes it
    #[arg(long, value_name = "PROFILE", default_value_t)]
    profile: Profile,
    /// The class of device that the job needs: base, which every device has, or large, with buffers and bindings of 1 GiB
    #[arg(long, value_name = "CLASS", default_value_t)]
    pub class: DeviceClass,
    /// Give the job up after this time
    #[arg(long, value_name = "TIME", default_value = "1h")]
    pub deadline: Span,
    #[command(flatten)]
    pub kernel: KernelArgs,
    #[command(flatten)]
    pub limits: LimitArgs,
    /// An environment variable of a WASI command; may be given again
    #[arg(long, value_name = "NAME=VALUE", value_parser = variable)]
    env: Vec<(String, String)>,
    /// The arguments of a WASI command
    #[arg(last = true, value_name = "ARG")]
    args: Vec<String>,
}

/// Reads `NAME=VALUE`.
fn variable(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected NAME=VALUE".to_owned()),
    }
}

impl JobArgs {
    /// The profile asked for. Warns about what is lost under profile native.
    pub fn profile(&self, printer: &Printer) -> Profile {
        if self.profile == Profile::Native {
            printer.warn(
                "profile native: devices may round floating point differently, so no other run can prove or refute this one's claim",
            );
        }
        self.profile
    }
}

/// What a job is made of.
pub struct JobFiles {
    pub workload: Workload,
    /// Where the workload is.
    pub path: PathBuf,
    pub names: JobNames,
    /// Holds files that were made for the job.
    pub folder: Option<TempDir>,
}

/// Writes a workload that was made here into a folder, and says where.
pub fn in_a_folder(workload: &Workload) -> std::io::Result<(TempDir, PathBuf)> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("workload.wasm");
    std::fs::write(&path, workload.bytes())?;
    Ok((folder, path))
}

/// What a job is given, by name.
pub struct JobNames {
    pub inputs: BTreeMap<Name, PathBuf>,
    pub outputs: BTreeMap<Name, Destination>,
    pub params: BTreeMap<Name, String>,
}

impl JobNames {
    /// Takes the names out of the arguments. Refuses names that the workload does not declare.
    pub fn new(args: &mut JobArgs, workload: &Workload, printer: &Printer) -> anyhow::Result<Self> {
        let inputs = by_name("input", std::mem::take(&mut args.input))?;
        let mut outputs = by_name("output", std::mem::take(&mut args.output))?;
        let mut params = by_name("parameter", std::mem::take(&mut args.param))?;
        if workload.is_command() {
            add_arguments(&mut params, std::mem::take(&mut args.args), std::mem::take(&mut args.env))?;
            if !printer.is_json() {
                outputs.entry("stdout".parse()?).or_insert_with(|| PathBuf::from("-").into());
            }
        } else if !args.args.is_empty() || !args.env.is_empty() {
            let failure = Failure::new("only a WASI command takes arguments and environment variables");
            return Err(failure
                .hint("`isobit inspect` shows what the workload takes; parameters go after -p NAME=")
                .into());
        }
        let Takes { params: known_params, inputs: known_inputs, outputs: known_outputs } = workload.takes();
        refuse_unknown("takes no parameter", params.keys(), known_params)?;
        refuse_unknown("takes no input", inputs.keys(), known_inputs)?;
        refuse_unknown("makes no output", outputs.keys(), known_outputs)?;
        Ok(Self { inputs, outputs, params })
    }
}

/// Writes the arguments and variables of a command as the parameters that stand for them.
fn add_arguments(
    params: &mut BTreeMap<Name, String>,
    args: Vec<String>,
    env: Vec<(String, String)>,
) -> anyhow::Result<()> {
    let variables: BTreeMap<_, _> = env.into_iter().collect();
    let written = [
        ("args", !args.is_empty(), serde_json::to_string(&args)?),
        ("env", !variables.is_empty(), serde_json::to_string(&variables)?),
    ];
    for (name, is_given, value) in written {
        if is_given && params.insert(name.parse()?, value).is_some() {
            return Err(Failure::new(format!("the parameter {name} is given in two ways")).into());
        }
    }
    Ok(())
}

/// Refuses a name that a workload does not declare. A workload that declares none may take any.
fn refuse_unknown<'a>(
    what: &str,
    mut given: impl Iterator<Item = &'a Name>,
    known: &BTreeMap<Name, String>,
) -> anyhow::Result<()> {
    let Some(name) = given.find(|name| !known.is_empty() && !known.contains_key(*name)) else { return Ok(()) };
    let known: Vec<_> = known.keys().map(Name::as_str).collect();
    let hint = format!("what it says of itself: {}; `isobit inspect` shows more", known.join(", "));
    Err(Failure::new(format!("the workload {what} `{name}`")).hint(hint).into())
}

/// The heading of [`LimitArgs`] in the help. Each argument names it, because `next_help_heading` would also apply to the
/// arguments after them.
const LIMITS: &str = "Limits";

/// What a job may use. Part of the job, so the same on every provider.
#[derive(Clone, Debug, clap::Args)]
pub struct LimitArgs {
    /// Memory of the guest, at most 4GiB
    #[arg(long, help_heading = LIMITS, value_name = "BYTES", default_value_t = Limits::default().guest_memory)]
    guest_memory: Bytes,
    /// Memory in device buffers
    #[arg(long, help_heading = LIMITS, value_name = "BYTES", default_value_t = Limits::default().device_memory)]
    device_memory: Bytes,
    /// Fuel for the guest's instructions, for example 10G
    #[arg(long, help_heading = LIMITS, value_name = "FUEL", default_value_t = Limits::default().fuel)]
    fuel: Fuel,
    /// Fuel for dispatches, for example 10G
    #[arg(long, help_heading = LIMITS, value_name = "FUEL", default_value_t = Limits::default().kernel_fuel)]
    kernel_fuel: Fuel,
    /// Bytes of all outputs together
    #[arg(long, help_heading = LIMITS, value_name = "BYTES", default_value_t = Limits::default().output_bytes)]
    output_bytes: Bytes,
    /// Number of outputs
    #[arg(long, help_heading = LIMITS, value_name = "COUNT", default_value_t = Limits::default().outputs)]
    outputs: u32,
}

impl From<LimitArgs> for Limits {
    fn from(args: LimitArgs) -> Self {
        let LimitArgs { guest_memory, device_memory, fuel, kernel_fuel, output_bytes, outputs } = args;
        Self { guest_memory, device_memory, fuel, kernel_fuel, output_bytes, outputs }
    }
}

/// What is paid for a job at most.
#[derive(Clone, Debug, clap::Args)]
pub struct TermArgs {
    /// Pay no more than these prices: guest-fuel=0.000005,kernel-fuel=0.05,in=0.001,out=0.01,currency=EUR; nothing for what is left out
    #[arg(long, value_name = "PRICES")]
    max_price: Option<Prices>,
    /// Run the job only where it costs no more than this by its limits, for example 1.5EUR
    #[arg(long, value_name = "MONEY")]
    budget: Option<Money>,
}

impl From<TermArgs> for Terms {
    fn from(args: TermArgs) -> Self {
        let TermArgs { max_price, budget } = args;
        Self { max_price, budget }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Command {
        #[arg(short, value_parser = path_pair)]
        input: Vec<Pair<PathBuf>>,
        #[arg(short, value_parser = text_pair)]
        param: Vec<Pair<String>>,
        #[command(flatten)]
        limits: LimitArgs,
    }

    fn parse(line: &str) -> Result<Command, String> {
        Command::try_parse_from(line.split(' ')).map_err(|error| error.to_string())
    }

    #[test]
    fn pairs_are_split_at_the_first_equals_sign() {
        let command = parse("x -i photo=a/b=c.png -p radius=3 -p empty= -p rule=a=b").unwrap();
        assert_eq!(command.input[0].value, PathBuf::from("a/b=c.png"));
        let params = by_name("parameter", command.param).unwrap();
        assert_eq!(params.get("radius").unwrap(), "3");
        assert_eq!(params.get("empty").unwrap(), "");
        assert_eq!(params.get("rule").unwrap(), "a=b");
    }

    #[test]
    fn a_pair_without_name_or_path_is_refused_with_what_is_wrong() {
        assert!(parse("x -i photo.png").unwrap_err().contains("expected name=path"));
        assert!(parse("x -p radius").unwrap_err().contains("expected name=value"));
        assert!(parse("x -i photo=-").unwrap_err().contains("stdin cannot be `photo`: write it to a file first"));
        assert!(parse("x -i photo=").unwrap_err().contains("no path after `photo=`"));
        assert!(parse("x -i Photo=a.png").unwrap_err().contains("found 'P'"));
    }

    #[test]
    fn a_name_given_twice_is_refused() {
        let error = by_name("input", [text_pair("a=1").unwrap(), text_pair("a=2").unwrap()]).unwrap_err();
        assert_eq!(error.to_string(), "the input a is given twice");
    }

    #[test]
    fn times_are_read_with_units() {
        let read = |text: &str| text.parse::<Span>().map(Duration::from);
        assert_eq!(read("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(read("10m"), Ok(Duration::from_secs(600)));
        assert_eq!(read("250ms"), Ok(Duration::from_millis(250)));
        for text in ["2h", "90s", "10m", "250ms"] {
            assert_eq!(text.parse::<Span>().map(|span| span.to_string()), Ok(text.to_owned()));
        }
        assert!(read("soon").is_err() && read("5 days").is_err() && read("").is_err() && read("0s").is_err());
    }

    #[test]
    fn limits_default_to_those_of_the_job_spec() {
        assert_eq!(Limits::from(parse("x").unwrap().limits), Limits::default());
    }

    #[test]
    fn limits_are_read_with_units() {
        let command = parse("x --guest-memory 64MiB --fuel 10G --outputs 2").unwrap();
        let limits = Limits::from(command.limits);
        assert_eq!(limits.guest_memory, Bytes::mib(64));
        assert_eq!(limits.fuel.get(), 10_000_000_000);
        assert_eq!(limits.outputs, 2);
        assert_eq!(limits.device_memory, Limits::default().device_memory);
        assert!(parse("x --guest-memory lots").unwrap_err().contains("64MiB"));
    }
}
