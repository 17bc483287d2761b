//! The claim: what a run asserts. It holds nothing that may differ between honest runs, so two claims about one job
//! are compared byte by byte.

use std::collections::BTreeMap;

use crate::canonical::{self, tag, unique_keys};
use crate::{Blob, Bytes, Fuel, Hash, JobId, Name, Rules, Unread, hash};

/// The most outputs a job has.
pub const MAX_OUTPUTS: u64 = 256;
/// The most bytes of a guest's error message that a claim holds: 4 KiB. [`Trap::guest_error`] cuts to it.
pub const MAX_GUEST_ERROR: usize = 4 * 1024;

hash::id! {
    /// The name of a claim: the BLAKE3 hash of its canonical bytes.
    ClaimId
}

tag!(ClaimTag, "claim/2");

/// What a run of a job asserts.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "Document", into = "Document")]
pub struct Claim {
    /// The job that was run.
    pub job: JobId,
    /// The rules of the run.
    pub rules: Rules,
    /// How it ended.
    pub outcome: Outcome,
    /// The outputs by name; empty if the run trapped.
    pub outputs: BTreeMap<Name, Blob>,
    /// What it cost.
    pub cost: Cost,
    /// The root of its trace, if it was traced.
    pub trace: Option<Hash>,
}

/// What a run cost: all that may be billed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Cost {
    /// Fuel for the guest's own instructions.
    pub guest_fuel: Fuel,
    /// Fuel for dispatches.
    pub kernel_fuel: Fuel,
    /// Bytes of all inputs that the job spec names.
    pub input_bytes: Bytes,
    /// Bytes that were appended to outputs.
    pub output_bytes: Bytes,
}

/// How a run ended and what it cost: a claim's content without the job and its outputs.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ended {
    /// The rules of the run.
    pub rules: Rules,
    /// Completed or trapped.
    pub outcome: Outcome,
    /// What it cost.
    pub cost: Cost,
    /// Parameters and inputs that the workload did not read. Not part of the claim.
    pub unread: Unread,
}

impl Ended {
    /// The claim about this job with these outputs. If the run trapped, the claim has no outputs.
    pub fn claim(self, job: JobId, outputs: BTreeMap<Name, Blob>) -> Claim {
        let Ended { rules, outcome, cost, unread: _ } = self;
        let outputs = if outcome == Outcome::Completed { outputs } else { BTreeMap::new() };
        Claim { job, rules, outcome, outputs, cost, trace: None }
    }
}

/// How a run ended, as far as that follows from the job. A run that ended for another reason, a [`Fault`](crate::Fault),
/// has no outcome and no claim.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(remote = "Self", tag = "status", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Outcome {
    /// The guest returned without an error.
    Completed,
    /// The guest was stopped, or returned an error.
    Trapped(Trap),
}

/// Why a run was stopped.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(tag = "cause", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Trap {
    /// A WebAssembly instruction trapped.
    GuestTrap {
        /// Which trap.
        code: TrapCode,
    },
    /// The guest's fuel ran out.
    Fuel,
    /// The fuel for dispatches ran out.
    KernelFuel,
    /// A limit, other than fuel, was reached in a way that the guest cannot handle.
    Limit {
        /// Which limit.
        limit: LimitName,
    },
    /// The guest returned an error.
    GuestError {
        /// The guest's message, cut to [`MAX_GUEST_ERROR`] bytes.
        message: String,
    },
}

/// Defines an enum whose variants have the same names in JSON and in `Display`.
macro_rules! named {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident => $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
        pub enum $name {
            $($(#[$variant_doc])* #[serde(rename = $text)] $variant,)*
        }

        impl $name {
            /// All variants.
            pub const ALL: &[$name] = &[$($name::$variant,)*];
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(match self { $($name::$variant => $text,)* })
            }
        }
    };
}

named! {
    /// Why a WebAssembly instruction trapped.
    TrapCode {
        /// An `unreachable` instruction: a panic, mostly.
        Unreachable => "unreachable",
        /// A load or store outside of linear memory.
        MemoryOutOfBounds => "memory-out-of-bounds",
        /// An access outside of a table.
        TableOutOfBounds => "table-out-of-bounds",
        /// An indirect call through a table element that is null.
        IndirectCallToNull => "indirect-call-to-null",
        /// An indirect call of a function that has another type.
        BadSignature => "bad-signature",
        /// A quotient that its type cannot hold.
        IntegerOverflow => "integer-overflow",
        /// A division by zero.
        IntegerDivisionByZero => "integer-division-by-zero",
        /// A conversion of a number that the integer type cannot hold.
        BadConversionToInteger => "bad-conversion-to-integer",
        /// An atomic operation at an address that is not aligned.
        UnalignedAtomic => "unaligned-atomic",
        /// An atomic wait on memory that no other thread can reach.
        AtomicWait => "atomic-wait",
        /// A breach of the component model's canonical ABI: the guest's bindings are broken.
        ComponentAbi => "component-abi",
    }
}

named! {
    /// A limit that traps.
    LimitName {
        /// [`Limits::guest_memory`](crate::Limits::guest_memory): the guest ended after its last request
        /// for memory was refused.
        GuestMemory => "guest-memory",
        /// How deep calls may go, all functions by their size.
        CallDepth => "call-depth",
        /// Handles of all kinds that a guest may hold at once.
        Handles => "handles",
        /// Bytes that one host call may pass.
        HostCallBytes => "host-call-bytes",
    }
}

impl Trap {
    /// A guest's error, cut to [`MAX_GUEST_ERROR`] bytes between two characters. All providers have to cut in the same way,
    /// because the message is part of the claim.
    pub fn guest_error(message: &str) -> Trap {
        let end = message.floor_char_boundary(MAX_GUEST_ERROR);
        Trap::GuestError { message: message.get(..end).unwrap_or_default().to_owned() }
    }

    fn check(&self) -> Result<(), ClaimError> {
        match self {
            Trap::GuestError { message } if message.len() > MAX_GUEST_ERROR => {
                Err(ClaimError::TooLong { field: "message", found: message.len(), maximum: MAX_GUEST_ERROR })
            }
            _ => Ok(()),
        }
    }
}

impl std::fmt::Display for Trap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Trap::GuestTrap { code } => write!(f, "the guest trapped: {code}"),
            Trap::Fuel => f.write_str("the guest ran out of fuel"),
            Trap::KernelFuel => f.write_str("the kernels ran out of fuel"),
            Trap::Limit { limit } => write!(f, "limit `{limit}` was reached"),
            Trap::GuestError { message } => write!(f, "the guest returned an error: {message}"),
        }
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Outcome::Completed => f.write_str("completed"),
            Outcome::Trapped(trap) => write!(f, "trapped: {trap}"),
        }
    }
}

// Formats that are not self-describing, such as postcard, cannot read the tagged form back. There, an outcome is written as
// its JSON text.
impl serde::Serialize for Outcome {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            return Outcome::serialize(self, serializer);
        }
        let mut json = Vec::new();
        Outcome::serialize(self, &mut serde_json::Serializer::new(&mut json)).map_err(serde::ser::Error::custom)?;
        serializer.serialize_str(&String::from_utf8(json).map_err(serde::ser::Error::custom)?)
    }
}

impl<'de> serde::Deserialize<'de> for Outcome {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Outcome, D::Error> {
        if deserializer.is_human_readable() {
            return Outcome::deserialize(deserializer);
        }
        let json = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        Outcome::deserialize(&mut serde_json::Deserializer::from_str(&json)).map_err(serde::de::Error::custom)
    }
}

/// Why a claim is not valid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the message of a variant says what it is")]
#[non_exhaustive]
pub enum ClaimError {
    #[error("the claim has {found} outputs although the run trapped; it has to have none")]
    OutputsOfTrapped { found: usize },
    #[error("the claim has {found} outputs; the most is {MAX_OUTPUTS}")]
    TooManyOutputs { found: usize },
    #[error("`{field}` of the claim's outcome has {found} bytes; the most is {maximum}")]
    TooLong { field: &'static str, found: usize, maximum: usize },
}

/// The result of [`Claim::compare`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Comparison {
    /// They are the same, byte by byte.
    Same,
    /// They have the same rules and differ in these fields, sorted by path. There is at least one.
    Different(Vec<Difference>),
    /// They have different rules, so nothing follows from any other difference between them, or from its absence.
    NotComparable {
        /// The rules of the first claim.
        left: Rules,
        /// The rules of the second claim.
        right: Rules,
    },
}

/// A field in which two claims differ.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Difference {
    /// The field's path in the JSON form, for example `outputs.out.hash`.
    pub field: String,
    /// Its value in the first claim, or `none`.
    pub left: String,
    /// Its value in the second claim, or `none`.
    pub right: String,
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {} is not {}", self.field, self.left, self.right)
    }
}

#[derive(serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    isobit: ClaimTag,
    job: JobId,
    rules: Rules,
    outcome: Outcome,
    #[serde(deserialize_with = "unique_keys")]
    outputs: BTreeMap<Name, Blob>,
    cost: Cost,
    trace: Option<Hash>,
}

impl From<Claim> for Document {
    fn from(claim: Claim) -> Document {
        let Claim { job, rules, outcome, outputs, cost, trace } = claim;
        Document { isobit: ClaimTag::Tag, job, rules, outcome, outputs, cost, trace }
    }
}

impl TryFrom<Document> for Claim {
    type Error = ClaimError;

    fn try_from(document: Document) -> Result<Claim, ClaimError> {
        let Document { isobit: ClaimTag::Tag, job, rules, outcome, outputs, cost, trace } = document;
        let claim = Claim { job, rules, outcome, outputs, cost, trace };
        claim.check()?;
        Ok(claim)
    }
}

impl Claim {
    /// The canonical bytes (RFC 8785).
    pub fn canonical(&self) -> Vec<u8> {
        canonical::to_vec(self)
    }

    /// The claim's name, on which two honest runs of a job agree.
    pub fn id(&self) -> ClaimId {
        ClaimId(Hash::of(&self.canonical()))
    }

    /// Checks the rules that hold for every claim, whatever its job.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn check(&self) -> Result<(), ClaimError> {
        let found = self.outputs.len();
        match &self.outcome {
            Outcome::Trapped(_) if found > 0 => Err(ClaimError::OutputsOfTrapped { found }),
            Outcome::Trapped(trap) => trap.check(),
            Outcome::Completed => match u64::try_from(found) {
                Ok(0..=MAX_OUTPUTS) => Ok(()),
                _ => Err(ClaimError::TooManyOutputs { found }),
            },
        }
    }

    /// Compares two claims. Claims under different rules are not comparable, whatever else they hold; different rules are
    /// never reported as a difference.
    ///
    /// ```
    /// # use isobit_job::{Blob, Claim, Comparison, Cost, Hash, JobId, Outcome, Profile, Rules};
    /// let claim = |output: &[u8], pass_version| Claim {
    ///     job: JobId(Hash::of(b"job")),
    ///     rules: Rules::of(Profile::Dp32, pass_version, 1),
    ///     outcome: Outcome::Completed,
    ///     outputs: [("out".parse().unwrap(), Blob::of(output))].into(),
    ///     cost: Cost::default(),
    ///     trace: None,
    /// };
    /// let Comparison::Different(differences) = claim(b"a", 1).compare(&claim(b"b", 1)) else { panic!() };
    /// assert_eq!(differences.len(), 1);
    /// assert_eq!(differences[0].field, "outputs.out.hash");
    /// assert_eq!(differences[0].left, Hash::of(b"a").to_string());
    ///
    /// assert!(matches!(claim(b"a", 1).compare(&claim(b"b", 2)), Comparison::NotComparable { .. }));
    /// ```
    pub fn compare(&self, other: &Claim) -> Comparison {
        if self.rules != other.rules {
            return Comparison::NotComparable { left: self.rules, right: other.rules };
        }
        let (left, right) = (self.fields(), other.fields());
        let none = || "none".to_owned();
        let names = left.keys().chain(right.keys().filter(|name| !left.contains_key(*name)));
        let mut differences: Vec<_> = names
            .filter(|name| left.get(*name) != right.get(*name))
            .map(|name| Difference {
                field: name.clone(),
                left: left.get(name).cloned().unwrap_or_else(none),
                right: right.get(name).cloned().unwrap_or_else(none),
            })
            .collect();
        differences.sort_by(|a, b| a.field.cmp(&b.field));
        if differences.is_empty() { Comparison::Same } else { Comparison::Different(differences) }
    }

    /// All fields of the claim except its rules, as text by path.
    fn fields(&self) -> BTreeMap<String, String> {
        let Claim { job, rules: _, outcome, outputs, cost, trace } = self;
        let mut fields = BTreeMap::from([
            ("job".to_owned(), job.to_string()),
            ("outcome".to_owned(), outcome.to_string()),
            ("cost.guest-fuel".to_owned(), cost.guest_fuel.to_string()),
            ("cost.kernel-fuel".to_owned(), cost.kernel_fuel.to_string()),
            ("cost.input-bytes".to_owned(), cost.input_bytes.get().to_string()),
            ("cost.output-bytes".to_owned(), cost.output_bytes.get().to_string()),
        ]);
        fields.extend(trace.map(|root| ("trace".to_owned(), root.to_string())));
        for (name, Blob { hash, size }) in outputs {
            fields.insert(format!("outputs.{name}.hash"), hash.to_string());
            fields.insert(format!("outputs.{name}.size"), size.get().to_string());
        }
        fields
    }
}
