//! The settings of `isobit serve`, each stated once: its flag, its key in the file, its bounds, its default.
//!
//! Flags win over the environment, the environment over the file, the file over defaults.

use std::convert::Infallible;
use std::fmt::{self, Display};
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use isobit_device::{DeviceSelector, SpotChecks};
use isobit_job::{Bytes, NodeKey, PriceError, Prices};
use isobit_provider::Ceiling;
use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde_json::{Value, json};

use crate::addresses::listen_address;
use crate::failure::Failure;
use crate::job_args::Span;
use crate::key;

/// The most bytes of a file with settings.
pub const MAX_FILE: u64 = 1 << 20;

/// The most jobs that run at once on a device.
pub const MAX_SLOTS: u32 = 256;

/// The most jobs that may wait.
pub const MAX_WAITING: u32 = 10_000;

/// The environment's only setting: where the node's key is.
const KEY_VARIABLE: &str = "ISOBIT_KEY";

macro_rules! settings {
    ($($(#[$meta:meta])* $name:ident: $type:ty = $default:expr;)*) => {
        /// What flags or a file say. Each setting may be absent.
        #[derive(Clone, Debug, Default, clap::Args, serde::Deserialize)]
        #[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
        pub struct Given {
            $($(#[$meta])* #[serde(deserialize_with = "Setting::read")] pub $name: Option<$type>,)*
        }

        /// All settings, as they are in effect.
        #[derive(Clone, Debug)]
        pub struct Settings {
            $(pub $name: $type,)*
            /// Where each is from, in the order of the fields.
            origins: Vec<Origin>,
        }

        impl Settings {
            /// Takes each setting from the first layer that has it, or else its default.
            fn from_layers(mut layers: Vec<(Origin, Given)>) -> anyhow::Result<Self> {
                let mut origins = Vec::new();
                $(
                    let given = layers.iter_mut().find_map(|(origin, given)| Some((*origin, given.$name.take()?)));
                    let (origin, $name) = match given {
                        Some(given) => given,
                        None => (Origin::Default, $default),
                    };
                    origins.push(origin);
                )*
                Ok(Self { $($name,)* origins })
            }

            /// Every setting with its value and where that is from.
            pub fn list(&self) -> Vec<Listed> {
                let values = [$((stringify!($name), self.$name.shown()),)*];
                let listed = values.into_iter().zip(&self.origins);
                listed.map(|((name, value), from)| Listed { key: name.replace('_', "-"), value, from: *from }).collect()
            }
        }
    };
}

settings! {
    /// Where to listen; port 0 takes any [default: 127.0.0.1:4433]
    #[arg(long, value_name = "ADDRESS", value_parser = listen_address)]
    listen: SocketAddr = SocketAddr::from(([127, 0, 0, 1], 4433));
    /// Take jobs only from renters with these keys; without it, from anyone
    #[arg(long, value_name = "KEY", num_args = 1..)]
    allow: Vec<NodeKey> = Vec::new();
    /// A device: part of its name, its number in `isobit devices`, cpu, or all for all GPUs; may be given again. Without any driver best is cpu [default: best]
    #[arg(long, value_name = "DEVICE")]
    device: Vec<DeviceChoice> = vec![DeviceChoice::One(DeviceSelector::Best)];
    /// Folder for blobs and compiled workloads [default: ~/.local/share/isobit]
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf = default_data_dir()?;
    /// The most bytes of blobs kept there [default: 32GiB]
    #[arg(long, value_name = "BYTES")]
    store_limit: Bytes = Bytes::mib(32 << 10);
    /// Jobs that run at once on each device [default: 1]
    #[arg(long, value_name = "COUNT")]
    slots: Count<1, MAX_SLOTS> = Count(1);
    /// Jobs that may wait [default: 16]
    #[arg(long, value_name = "COUNT")]
    waiting: Count<0, MAX_WAITING> = Count(16);
    /// The longest that a job may run [default: 1h]
    #[arg(long, value_name = "TIME")]
    max_deadline: Span = Duration::from_secs(3600).into();
    /// The most device memory that a job may ask for [default: 4GiB]
    #[arg(long, value_name = "BYTES")]
    max_device_memory: Bytes = Ceiling::default().limits.device_memory;
    /// What jobs cost, for 10^9 guest fuel, 10^12 kernel fuel, a GiB in and a GiB out: guest-fuel=0.000005,kernel-fuel=0.05,in=0.001,out=0.01,currency=EUR.
    /// What is left out is free. May be given again. Receipts state the bill; no money moves
    #[arg(long, value_name = "PRICES")]
    price: Vec<PriceList> = Vec::new();
    /// How long jobs that run may take to end after the first request to stop [default: 10m]
    #[arg(long, value_name = "TIME")]
    drain_timeout: Span = Duration::from_secs(600).into();
    /// Workgroups of dp32 kernels to run again on the CPU, as far as a twentieth of the job's time allows: 1/1000, or off [default: 1/1000]
    #[arg(long, value_name = "SHARE")]
    spot_checks: SpotChecks = SpotChecks::default();
    /// Run jobs even where the system cannot close the jail that they run in
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    allow_weak_jail: bool = false;
    /// Take jobs of profile native too. Their kernels run as written: nothing but the deadline bounds their time
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    allow_native: bool = false;
    /// Serve metrics for Prometheus under http://ADDRESS/metrics, an address of loopback; port 0 takes any, off serves none [default: off]
    #[arg(long, value_name = "ADDRESS")]
    metrics: Metrics = Metrics(None);
    /// How to log on stderr: text, or json, an object a line with the job's name in `job` [default: text]
    #[arg(long, value_name = "FORMAT")]
    log_format: LogFormat = LogFormat::Text;
    /// File with this node's secret key; the variable ISOBIT_KEY names it too [default: ~/.config/isobit/key]
    #[arg(long, value_name = "FILE")]
    key: PathBuf = key::default_path()?;
}

/// What a provider serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeviceChoice {
    /// All GPUs; without any, all drivers that compute on the CPU; without any, the CPU device.
    All,
    One(DeviceSelector),
}

impl FromStr for DeviceChoice {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        if text == "all" { Ok(Self::All) } else { text.parse().map(Self::One) }
    }
}

impl Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::One(device) => device.fmt(f),
        }
    }
}

/// A price list, or a part of one: all parts together make a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PriceList(String);

impl FromStr for PriceList {
    type Err = PriceError;

    fn from_str(text: &str) -> Result<Self, PriceError> {
        text.parse::<Prices>()?;
        Ok(Self(text.to_owned()))
    }
}

impl Display for PriceList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where metrics are served, if they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metrics(Option<SocketAddr>);

impl Metrics {
    pub fn address(self) -> Option<SocketAddr> {
        self.0
    }
}

impl FromStr for Metrics {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "off" {
            return Ok(Self(None));
        }
        let address = text.parse().map_err(|_| format!("`{text}` is no address such as 127.0.0.1:9464, nor `off`"))?;
        Ok(Self(Some(address)))
    }
}

impl Display for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(address) => address.fmt(f),
            None => f.write_str("off"),
        }
    }
}

/// How a provider logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

impl FromStr for LogFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(format!("`{text}` is no format of the log: text or json")),
        }
    }
}

impl Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "text",
            Self::Json => "json",
        })
    }
}

/// Where a setting is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    Flag,
    Environment,
    File,
    Default,
}

/// A setting as it is shown.
#[derive(Debug, serde::Serialize)]
pub struct Listed {
    pub key: String,
    pub value: Value,
    pub from: Origin,
}

impl Settings {
    /// The settings that result from flags, the environment and a file.
    pub fn new(flags: Given, file: Option<Given>) -> anyhow::Result<Self> {
        let key = std::env::var_os(KEY_VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from);
        let environment = Given { key, ..Given::default() };
        let mut layers = vec![(Origin::Flag, flags), (Origin::Environment, environment)];
        layers.extend(file.map(|file| (Origin::File, file)));
        Self::from_layers(layers)
    }
}

/// Every setting with its default. The places that depend on the user are left out.
pub fn defaults() -> anyhow::Result<Vec<Listed>> {
    let places = Given { data_dir: Some(PathBuf::new()), key: Some(PathBuf::new()), ..Given::default() };
    let list = Settings::from_layers(vec![(Origin::Environment, places)])?.list();
    Ok(list.into_iter().filter(|listed| listed.from == Origin::Default).collect())
}

impl Given {
    /// Reads a file's text. `path` is named in errors, and relative paths in the file start in its folder.
    pub fn parse(path: &Path, bytes: &[u8]) -> anyhow::Result<Self> {
        const HINT: &str = "`isobit config example` prints every key with its form and its default";
        let shown = path.display();
        if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > MAX_FILE {
            let message = format!("{shown} is longer than {MAX_FILE} bytes, the most that is read of settings");
            return Err(Failure::new(message).hint(HINT).into());
        }
        let text = std::str::from_utf8(bytes).map_err(|error| {
            let line = line_of(bytes, error.valid_up_to());
            Failure::new(format!("{shown}:{line}: this is not text in UTF-8")).hint(HINT)
        })?;
        let refused = |error: &toml::de::Error| {
            let at = error.span().map_or(0, |span| span.start);
            let message = error.message().replace("unknown field", "unknown key").replace('\n', " ");
            // That message names the key itself.
            let key = key_at(text, at).filter(|_| !message.starts_with("unknown key"));
            let key = key.map_or_else(String::new, |key| format!("`{key}`: "));
            Failure::new(format!("{shown}:{}: {key}{}", line_of(bytes, at), message.trim_end())).hint(HINT)
        };
        let mut given: Self = toml::from_str(text).map_err(|error| refused(&error))?;
        let folder = path.parent().unwrap_or_else(|| Path::new(""));
        for path in [&mut given.data_dir, &mut given.key].into_iter().flatten() {
            *path = folder.join(&path);
        }
        Ok(given)
    }
}

/// The number of the line that holds the byte at `at`, counted from 1.
fn line_of(bytes: &[u8], at: usize) -> usize {
    bytes.iter().take(at).filter(|byte| **byte == b'\n').count() + 1
}

/// The key whose value the byte at `at` belongs to. None in a file that is no TOML.
fn key_at(text: &str, at: usize) -> Option<String> {
    let table = toml::de::DeTable::parse(text).ok()?;
    let found = table.get_ref().iter().find(|(_, value)| value.span().contains(&at))?;
    Some(found.0.get_ref().to_string())
}

/// A type of settings: how it stands in a file, and how it is shown.
trait Setting: Sized {
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Self>, D::Error>;

    fn shown(&self) -> Value;
}

/// Reads text in quotes, and whole numbers where `numbers` are taken too, as a flag reads its value.
struct Text<T> {
    expected: &'static str,
    numbers: bool,
    parse: fn(&str) -> Result<T, String>,
}

impl<T> Visitor<'_> for Text<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        (self.parse)(text).map_err(E::custom)
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<T, E> {
        if self.numbers {
            self.visit_str(&number.to_string())
        } else {
            Err(E::invalid_type(de::Unexpected::Signed(number), &self))
        }
    }
}

/// Parses as `FromStr`, with the error as text.
fn parse<T: FromStr<Err: Display>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: T::Err| error.to_string())
}

macro_rules! text_settings {
    ($($type:ty, $parse:expr, $expected:literal;)*) => {$(
        impl Setting for $type {
            fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Self>, D::Error> {
                deserializer.deserialize_any(Text { expected: $expected, numbers: false, parse: $parse }).map(Some)
            }

            fn shown(&self) -> Value {
                json!(self.to_string())
            }
        }
    )*};
}

text_settings! {
    SocketAddr, listen_address, "an address in quotes, such as \"0.0.0.0:4433\"";
    Span, parse, "a time in quotes, such as \"90s\" or \"10m\"";
    Metrics, parse, "an address in quotes, such as \"127.0.0.1:9464\", or \"off\"";
    LogFormat, parse, "\"text\" or \"json\"";
    SpotChecks, parse, "a share in quotes, such as \"1/1000\", or \"off\"";
}

impl Setting for Bytes {
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Self>, D::Error> {
        let expected = "a number of bytes, such as \"64MiB\" in quotes or 4096";
        deserializer.deserialize_any(Text { expected, numbers: true, parse }).map(Some)
    }

    fn shown(&self) -> Value {
        json!(self.to_string())
    }
}

impl Setting for bool {
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Self>, D::Error> {
        struct Switch;
        impl Visitor<'_> for Switch {
            type Value = bool;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("true or false")
            }

            fn visit_bool<E: de::Error>(self, value: bool) -> Result<bool, E> {
                Ok(value)
            }
        }
        deserializer.deserialize_any(Switch).map(Some)
    }

    fn shown(&self) -> Value {
        json!(self)
    }
}

impl Setting for PathBuf {
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Self>, D::Error> {
        let parse = |text: &str| match text {
            "" => Err("a path cannot be empty".to_owned()),
            text => Ok(Self::from(text)),
        };
        deserializer.deserialize_any(Text { expected: "a path in quotes", numbers: false, parse }).map(Some)
    }

    fn shown(&self) -> Value {
        json!(self.display().to_string())
    }
}

/// What is written in quotes, once or in a list.
impl<T: FromStr<Err: Display> + Display> Setting for Vec<T> {
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Self>, D::Error> {
        struct List<T>(PhantomData<T>);
        struct Item<T>(T);
        impl<'de, T: FromStr<Err: Display>> Deserialize<'de> for Item<T> {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any(Text { expected: "text in quotes", numbers: false, parse }).map(Item)
            }
        }
        impl<'de, T: FromStr<Err: Display>> Visitor<'de> for List<T> {
            type Value = Vec<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text in quotes, or a list, such as [\"one\", \"two\"]")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Vec<T>, E> {
                Ok(vec![parse(text).map_err(E::custom)?])
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, mut items: A) -> Result<Vec<T>, A::Error> {
                let mut list = Vec::new();
                while let Some(Item(item)) = items.next_element()? {
                    list.push(item);
                }
                Ok(list)
            }
        }
        deserializer.deserialize_any(List(PhantomData)).map(Some)
    }

    fn shown(&self) -> Value {
        self.iter().map(|item| json!(item.to_string())).collect()
    }
}

/// A whole number within bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count<const MIN: u32, const MAX: u32>(u32);

impl<const MIN: u32, const MAX: u32> Count<MIN, MAX> {
    /// The number.
    pub fn get(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl<const MIN: u32, const MAX: u32> FromStr for Count<MIN, MAX> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number: i128 = text.parse().map_err(|_| format!("expected a whole number from {MIN} to {MAX}"))?;
        let within = u32::try_from(number).ok().filter(|number| (MIN..=MAX).contains(number));
        within.map(Self).ok_or_else(|| format!("{number} is out of range: it has to be from {MIN} to {MAX}"))
    }
}

impl<const MIN: u32, const MAX: u32> Setting for Count<MIN, MAX> {
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Self>, D::Error> {
        struct Number<const MIN: u32, const MAX: u32>;
        impl<const MIN: u32, const MAX: u32> Visitor<'_> for Number<MIN, MAX> {
            type Value = Count<MIN, MAX>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a whole number from {MIN} to {MAX}")
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Count<MIN, MAX>, E> {
                number.to_string().parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Number).map(Some)
    }

    fn shown(&self) -> Value {
        json!(self.0)
    }
}

/// `$XDG_DATA_HOME/isobit`, or `~/.local/share/isobit`.
pub fn default_data_dir() -> anyhow::Result<PathBuf> {
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let data = absolute("XDG_DATA_HOME").or_else(|| absolute("HOME").map(|home| home.join(".local/share")));
    let data = data.ok_or_else(|| {
        Failure::new("no place for blobs: neither XDG_DATA_HOME nor HOME is set").hint("name a folder with --data-dir")
    })?;
    Ok(data.join("isobit"))
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser};

    use super::*;
    use crate::failure::Shown;

    #[derive(Parser)]
    struct Flags {
        #[command(flatten)]
        given: Given,
    }

    const EXAMPLE: &str = include_str!("../../../docs/provider.toml");

    fn flags(args: &[&str]) -> Given {
        Flags::try_parse_from(std::iter::once("serve").chain(args.iter().copied()))
            .unwrap_or_else(|error| panic!("{error}"))
            .given
    }

    fn file(text: &str) -> anyhow::Result<Given> {
        Given::parse(Path::new("/etc/isobit/provider.toml"), text.as_bytes())
    }

    fn refused(text: &str) -> String {
        let shown = Shown::from(&file(text).unwrap_err());
        assert!(shown.hint.unwrap().contains("isobit config example"), "{}", shown.message);
        shown.message
    }

    /// Without the environment, so that the tests do not depend on it.
    fn resolved(flags: Given, file: Given) -> Vec<Listed> {
        let places = Given { data_dir: Some("/data".into()), key: Some("/key".into()), ..Given::default() };
        let layers = vec![(Origin::Flag, flags), (Origin::File, file), (Origin::Environment, places)];
        Settings::from_layers(layers).unwrap().list()
    }

    fn one<'a>(list: &'a [Listed], key: &str) -> (&'a Value, Origin) {
        let listed = list.iter().find(|listed| listed.key == key).unwrap();
        (&listed.value, listed.from)
    }

    #[test]
    fn flags_win_over_the_file_and_the_file_over_defaults() {
        let file =
            file("slots = 3\nwaiting = 7\nallow-native = true\nstore-limit = \"1GiB\"\nmax-device-memory = 4096\n");
        let list = resolved(flags(&["--slots", "2", "--allow-native=false", "--allow-weak-jail"]), file.unwrap());
        assert_eq!(one(&list, "slots"), (&json!(2), Origin::Flag));
        assert_eq!(one(&list, "waiting"), (&json!(7), Origin::File));
        assert_eq!(one(&list, "allow-native"), (&json!(false), Origin::Flag));
        assert_eq!(one(&list, "allow-weak-jail"), (&json!(true), Origin::Flag));
        assert_eq!(one(&list, "store-limit"), (&json!("1 GiB"), Origin::File));
        assert_eq!(one(&list, "max-device-memory"), (&json!("4 KiB"), Origin::File));
        assert_eq!(one(&list, "max-deadline"), (&json!("1h"), Origin::Default));
    }

    #[test]
    fn every_setting_is_shown_and_every_default_in_the_help_is_the_one_in_effect() {
        let list = resolved(Given::default(), Given::default());
        let command = Flags::command();
        let arguments: Vec<_> = command.get_arguments().collect();
        assert_eq!(arguments.len(), list.len());
        for argument in arguments {
            let key = argument.get_long().unwrap();
            let help = argument.get_help().unwrap().to_string();
            let Some((_, default)) = help.split_once("[default: ") else { continue };
            let default = default.trim_end_matches(']');
            if !default.starts_with('~') {
                let given = resolved(flags(&[&format!("--{key}"), default]), Given::default());
                assert_eq!(one(&given, key).0, one(&list, key).0, "{key}");
            }
        }
    }

    #[test]
    fn the_example_has_every_key_with_its_default() {
        let lines = EXAMPLE.lines().filter_map(|line| line.strip_prefix('#')).filter(|line| !line.starts_with(' '));
        let text: String = lines.map(|line| format!("{line}\n")).collect();
        let (list, defaults) =
            (resolved(Given::default(), file(&text).unwrap()), resolved(Given::default(), Given::default()));
        for (found, default) in list.iter().zip(&defaults) {
            assert_eq!(found.from, Origin::File, "{} is missing", found.key);
            // These depend on the machine.
            if !["allow", "data-dir", "key"].contains(&found.key.as_str()) {
                assert_eq!(found.value, default.value, "{}", found.key);
            }
        }
        // As printed it sets nothing.
        assert!(resolved(Given::default(), file(EXAMPLE).unwrap()).iter().all(|listed| listed.from != Origin::File));
    }

    #[test]
    fn a_mistake_in_the_file_is_named_with_its_line_and_key() {
        for (text, words) in [
            ("slots = 1\nslot = 2\n", "provider.toml:2: unknown key `slot`, expected one of `listen`, `allow`"),
            ("\n\nslots = 0\n", "provider.toml:3: `slots`: 0 is out of range: it has to be from 1 to 256"),
            ("slots = 99999999999\n", "`slots`: 99999999999 is out of range"),
            ("slots = -1\n", "`slots`: -1 is out of range"),
            ("slots = \"four\"\n", "`slots`: invalid type: string \"four\", expected a whole number from 1 to 256"),
            ("slots = 1.5\n", "`slots`: invalid type: floating point `1.5`"),
            ("store-limit = \"lots\"\n", "`store-limit`: \"lots\" is not an amount"),
            ("store-limit = true\n", "expected a number of bytes, such as \"64MiB\" in quotes or 4096"),
            ("max-deadline = 90\n", "`max-deadline`: invalid type: integer `90`, expected a time in quotes"),
            ("max-deadline = \"0s\"\n", "`max-deadline`: it has to be longer than nothing"),
            ("allow-native = \"yes\"\n", "`allow-native`: invalid type: string \"yes\", expected true or false"),
            ("listen = \"localhost:1\"\n", "`listen`: `localhost` is no IP address of this machine"),
            ("allow = 1\n", "`allow`: invalid type: integer `1`, expected text in quotes, or a list"),
            ("device = [\"cpu\", 1]\n", "`device`: invalid type: integer `1`, expected text in quotes"),
            ("allow = [\n  \"beef\",\n]\n", "provider.toml:2: `allow`: "),
            ("data-dir = \"\"\n", "`data-dir`: a path cannot be empty"),
            ("slots = 1\nslots = 2\n", "provider.toml:2: "),
            ("[serve]\nslots = 1\n", "provider.toml:1: unknown key `serve`"),
            ("slots = \n", "provider.toml:1: "),
        ] {
            let message = refused(text);
            assert!(
                message.contains(words) && message.starts_with("/etc/isobit/provider.toml:"),
                "{text:?}: {message}"
            );
            assert!(!message.contains('\n'), "{message}");
        }
        let shown = |bytes: &[u8]| Given::parse(Path::new("p"), bytes).unwrap_err().to_string();
        assert_eq!(shown(b"slots = 1\n# \xff\n"), "p:2: this is not text in UTF-8");
        assert!(shown(&vec![b'\n'; (1 << 20) + 1]).contains("longer than 1048576 bytes"));
    }

    #[test]
    fn paths_in_the_file_start_in_its_folder() {
        let list = resolved(Given::default(), file("data-dir = \"data\"\nkey = \"/run/key\"\n").unwrap());
        assert_eq!(one(&list, "data-dir").0, &json!("/etc/isobit/data"));
        assert_eq!(one(&list, "key").0, &json!("/run/key"));
    }
}
