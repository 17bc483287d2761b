//! The job spec: everything that decides what a job does, and nothing else. Its hash names the job.

use std::collections::BTreeMap;

use crate::canonical::{self, tag, unique_keys};
use crate::{Blob, DeviceClass, Hash, Limits, Name, Profile, UnknownClass, UnknownProfile, hash};

/// The most inputs a job has.
pub const MAX_INPUTS: usize = 256;
/// The most parameters a job has.
pub const MAX_PARAMS: usize = 256;
/// The most bytes a parameter's value has: 4 KiB.
pub const MAX_PARAM: usize = 4 * 1024;
/// What compiling a byte of the workload costs in guest fuel: about what it takes, see BENCHMARKS.md. It is charged also where a provider has the
/// code already, because a claim must not depend on that.
pub const COMPILE_FUEL_PER_BYTE: u64 = 20_000;
/// The most bytes a job spec has as JSON: 256 KiB.
pub const MAX_SPEC_JSON: usize = 256 * 1024;

hash::id! {
    /// The name of a job: the BLAKE3 hash of its spec's canonical bytes.
    JobId
}

tag!(JobTag, "job/1");

/// What to run, on what, under which limits.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "Document", into = "Document")]
pub struct JobSpec {
    /// The workload: a WebAssembly component.
    pub workload: Blob,
    /// The inputs by name; at most [`MAX_INPUTS`].
    pub inputs: BTreeMap<Name, Blob>,
    /// The parameters by name; at most [`MAX_PARAMS`], each value at most [`MAX_PARAM`] bytes.
    pub params: BTreeMap<Name, String>,
    /// What the job may use.
    pub limits: Limits,
    /// The arithmetic rules it runs under.
    pub profile: Profile,
    /// The class of device that it needs.
    pub class: DeviceClass,
}

/// Why a job spec is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the message of a variant says what it is")]
#[non_exhaustive]
pub enum SpecError {
    /// The JSON, canonical or as received, is too long.
    #[error("the job spec has {found} bytes; the most is {MAX_SPEC_JSON}: pass large values as inputs")]
    TooLarge { found: usize },
    #[error("the job spec cannot be read: {message}")]
    Json { message: String },
    #[error("the job has {found} inputs; the most is {MAX_INPUTS}")]
    TooManyInputs { found: usize },
    #[error("the job has {found} parameters; the most is {MAX_PARAMS}")]
    TooManyParams { found: usize },
    #[error("parameter `{name}` has {found} bytes; the most is {MAX_PARAM}: pass large values as inputs")]
    ParamTooLong { name: Name, found: usize },
    /// A limit is over what any provider can grant.
    #[error("limit `{limit}` is {found}; the most is {maximum}")]
    Limit { limit: &'static str, found: u64, maximum: u64 },
    #[error("compiling the workload's {size} bytes costs {needed} fuel; the job has {found}: raise its limit `fuel`")]
    FuelToCompile { size: u64, needed: u64, found: u64 },
    #[error("blob {hash} appears with two sizes")]
    ConflictingSizes { hash: Hash },
    #[error(transparent)]
    Profile(#[from] UnknownProfile),
    #[error(transparent)]
    Class(#[from] UnknownClass),
}

/// The JSON form of a job spec: with its type tag, and with profile and class as text. An unknown one then has an error of
/// its own.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    isobit: JobTag,
    workload: Blob,
    #[serde(deserialize_with = "unique_keys")]
    inputs: BTreeMap<Name, Blob>,
    #[serde(deserialize_with = "unique_keys")]
    params: BTreeMap<Name, String>,
    limits: Limits,
    profile: String,
    class: String,
}

impl From<JobSpec> for Document {
    fn from(spec: JobSpec) -> Document {
        let JobSpec { workload, inputs, params, limits, profile, class } = spec;
        let (profile, class) = (profile.to_string(), class.to_string());
        Document { isobit: JobTag::Tag, workload, inputs, params, limits, profile, class }
    }
}

impl TryFrom<Document> for JobSpec {
    type Error = SpecError;

    fn try_from(document: Document) -> Result<JobSpec, SpecError> {
        let Document { isobit: JobTag::Tag, workload, inputs, params, limits, profile, class } = document;
        let (profile, class) = (profile.parse()?, class.parse()?);
        let spec = JobSpec { workload, inputs, params, limits, profile, class };
        spec.check_parts()?;
        Ok(spec)
    }
}

impl JobSpec {
    /// Reads a job spec from JSON. Every field has to be there, and no other; the JSON need not be canonical.
    ///
    /// # Errors
    /// The JSON is not a job spec, or breaks a bound that [`JobSpec::check`] checks.
    pub fn from_json(json: &[u8]) -> Result<JobSpec, SpecError> {
        if json.len() > MAX_SPEC_JSON {
            return Err(SpecError::TooLarge { found: json.len() });
        }
        let document: Document =
            serde_json::from_slice(json).map_err(|error| SpecError::Json { message: error.to_string() })?;
        let spec = JobSpec::try_from(document)?;
        spec.check()?;
        Ok(spec)
    }

    /// The canonical bytes (RFC 8785), which are also the form a spec is sent in.
    pub fn canonical(&self) -> Vec<u8> {
        canonical::to_vec(self)
    }

    /// The job's name.
    pub fn id(&self) -> JobId {
        JobId(Hash::of(&self.canonical()))
    }

    /// Checks the bounds that hold at every provider. [`JobSpec::from_json`] accepts the canonical bytes of every spec that
    /// passes.
    ///
    /// # Errors
    /// The first bound that is broken.
    pub fn check(&self) -> Result<(), SpecError> {
        self.check_parts()?;
        match self.canonical().len() {
            found if found > MAX_SPEC_JSON => Err(SpecError::TooLarge { found }),
            _ => Ok(()),
        }
    }

    fn check_parts(&self) -> Result<(), SpecError> {
        if self.inputs.len() > MAX_INPUTS {
            return Err(SpecError::TooManyInputs { found: self.inputs.len() });
        }
        if self.params.len() > MAX_PARAMS {
            return Err(SpecError::TooManyParams { found: self.params.len() });
        }
        if let Some((name, value)) = self.params.iter().find(|(_, value)| value.len() > MAX_PARAM) {
            return Err(SpecError::ParamTooLong { name: name.clone(), found: value.len() });
        }
        let blobs = self.blobs();
        let differs = |blob: &&Blob| blobs.get(&blob.hash) != Some(blob);
        if let Some(blob) = std::iter::once(&self.workload).chain(self.inputs.values()).find(differs) {
            return Err(SpecError::ConflictingSizes { hash: blob.hash });
        }
        self.limits.check()?;
        match (self.limits.fuel.get(), self.compile_fuel()) {
            (found, needed) if found < needed => {
                Err(SpecError::FuelToCompile { size: self.workload.size.get(), needed, found })
            }
            _ => Ok(()),
        }
    }

    /// What compiling the workload costs, part of the guest fuel of every run: [`COMPILE_FUEL_PER_BYTE`].
    pub fn compile_fuel(&self) -> u64 {
        self.workload.size.get().saturating_mul(COMPILE_FUEL_PER_BYTE)
    }

    /// The workload and the inputs, each hash once. A provider needs all of them before it can run the job.
    pub fn blobs(&self) -> BTreeMap<Hash, Blob> {
        std::iter::once(&self.workload).chain(self.inputs.values()).map(|blob| (blob.hash, *blob)).collect()
    }
}
