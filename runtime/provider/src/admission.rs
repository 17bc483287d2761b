//! Who may submit, and how much a job may ask for.

use isobit_job::{Bytes, Demand, Fuel, Limits, NodeKey, Profile};
use isobit_wire::Rejection;
use std::collections::BTreeSet;
use std::time::Duration;

/// Who may submit jobs.
#[derive(Clone, Debug, Default)]
pub enum Admission {
    /// Anyone who can reach the port.
    #[default]
    Open,
    /// Only renters with these keys.
    Only(BTreeSet<NodeKey>),
}

/// The most that a job may ask for.
#[derive(Clone, Debug)]
pub struct Ceiling {
    /// Upper bounds of the job's own limits.
    pub limits: Limits,
    /// Whether kernels may run as written. Profile native bounds neither their time nor what drivers make of them.
    pub native: bool,
    /// Bytes of all blobs of a job together.
    pub blob_bytes: Bytes,
    /// Time from the start of a run until it is given up.
    pub deadline: Duration,
}

impl Default for Ceiling {
    fn default() -> Self {
        let limits = Limits {
            guest_memory: Limits::MAX_GUEST_MEMORY,
            device_memory: Bytes::mib(4 << 10),
            // Some hours, or an hour after the largest workload was compiled.
            fuel: Fuel::saturating_from(10_000_000_000_000),
            output_bytes: Bytes::mib(64 << 10),
            outputs: 256,
            ..Limits::default()
        };
        Self { limits, native: false, blob_bytes: Bytes::mib(32 << 10), deadline: Duration::from_secs(3600) }
    }
}

impl Admission {
    /// Whether this renter may submit.
    pub(crate) fn allows(&self, renter: &NodeKey) -> bool {
        match self {
            Self::Only(keys) => keys.contains(renter),
            Self::Open => true,
        }
    }
}

impl Ceiling {
    /// Whether a job that asks for this may run. Needs no blobs, so it is called before any is sent.
    pub(crate) fn check(&self, demand: &Demand) -> Result<(), Rejection> {
        if demand.profile == Profile::Native && !self.native {
            return Err(Rejection::ProfileNotOffered(demand.profile));
        }
        let (asked, most) = (&demand.limits, &self.limits);
        let pairs = [
            ("guest-memory", asked.guest_memory.get(), most.guest_memory.get()),
            ("device-memory", asked.device_memory.get(), most.device_memory.get()),
            ("fuel", asked.fuel.get(), most.fuel.get()),
            ("kernel-fuel", asked.kernel_fuel.get(), most.kernel_fuel.get()),
            ("output-bytes", asked.output_bytes.get(), most.output_bytes.get()),
            ("outputs", asked.outputs.into(), most.outputs.into()),
            ("blob-bytes", demand.blobs.get(), self.blob_bytes.get()),
            ("workload-bytes", demand.workload.get(), isobit_sandbox::MAX_WORKLOAD),
        ];
        match pairs.into_iter().find(|(_, requested, maximum)| requested > maximum) {
            Some((limit, requested, maximum)) => {
                Err(Rejection::LimitTooHigh { limit: limit.to_owned(), maximum, requested })
            }
            None => Ok(()),
        }
    }
}
