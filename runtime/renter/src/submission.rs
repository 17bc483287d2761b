//! A job spec together with the files that its hashes name.

use isobit_job::{Bytes, DeviceClass, Hash, JobSpec, Limits, Name, Profile, SpecError, Terms};
use isobit_store::{Outboard, SourceError, hash_file};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A job ready to be submitted, to any number of providers.
pub struct Submission {
    spec: JobSpec,
    sources: BTreeMap<Hash, Source>,
    terms: Terms,
}

/// A file, and the tree of hashes over it with which a provider checks every 16 KiB as they arrive.
pub(crate) struct Source {
    pub path: PathBuf,
    pub outboard: Outboard,
}

/// Why a submission cannot be put together.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the message of a variant says what it is")]
#[non_exhaustive]
pub enum SubmissionError {
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error(transparent)]
    Spec(#[from] SpecError),
}

impl Submission {
    /// Hashes workload and inputs, on all cores, and makes the spec, of class base. Blocks.
    ///
    /// # Errors
    /// A file cannot be read, or the spec breaks a bound that [`JobSpec::check`] checks.
    pub fn new(
        workload: &Path,
        inputs: &BTreeMap<Name, PathBuf>,
        params: BTreeMap<Name, String>,
        limits: Limits,
        profile: Profile,
    ) -> Result<Self, SubmissionError> {
        let mut sources = BTreeMap::new();
        let mut add = |path: &Path| -> Result<_, SourceError> {
            let (blob, outboard) = hash_file(path)?;
            sources.insert(blob.hash, Source { path: path.to_owned(), outboard });
            Ok(blob)
        };
        let workload = add(workload)?;
        let inputs =
            inputs.iter().map(|(name, path)| Ok((name.clone(), add(path)?))).collect::<Result<_, SourceError>>()?;
        let class = DeviceClass::default();
        let spec = JobSpec { workload, inputs, params, limits, profile, class };
        spec.check()?;
        Ok(Self { spec, sources, terms: Terms::default() })
    }

    /// The same job, but of this class of device.
    #[must_use]
    pub fn of_class(mut self, class: DeviceClass) -> Self {
        self.spec.class = class;
        self
    }

    /// The same job, for which no more than this is paid.
    #[must_use]
    pub fn with_terms(self, terms: Terms) -> Self {
        Self { terms, ..self }
    }

    /// What is paid for it at most.
    #[must_use]
    pub fn terms(&self) -> &Terms {
        &self.terms
    }

    /// The job.
    #[must_use]
    pub fn spec(&self) -> &JobSpec {
        &self.spec
    }

    /// The size of all blobs together, each counted once.
    #[must_use]
    pub fn size(&self) -> Bytes {
        self.spec.blobs().values().fold(Bytes::ZERO, |sum, blob| sum.saturating_add(blob.size))
    }

    pub(crate) fn source(&self, hash: &Hash) -> Option<&Source> {
        self.sources.get(hash)
    }
}
