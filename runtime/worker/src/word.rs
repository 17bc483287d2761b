//! What a parent checks of a worker's word, be it a provider or `isobit run`: the worker has run strangers' code.

use crate::ChannelError;
use isobit_job::{Bytes, Ended, JobSpec, Name, Unread};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The bytes left of a job's limit on output. The worker counts them too, but is not trusted.
#[derive(Clone, Debug)]
pub struct Budget {
    left: Arc<AtomicU64>,
    whole: Bytes,
}

impl Budget {
    /// All of the limit.
    #[must_use]
    pub fn new(bytes: Bytes) -> Self {
        Self { left: Arc::new(AtomicU64::new(bytes.get())), whole: bytes }
    }

    /// A budget of the same size of which nothing is taken.
    #[must_use]
    pub fn anew(&self) -> Self {
        Self::new(self.whole)
    }

    /// Takes these bytes. False if there are fewer.
    #[must_use]
    pub fn take(&self, bytes: u64) -> bool {
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes)).is_ok()
    }
}

/// The name and the pipe of an output, of a job that has `begun` so many.
///
/// # Errors
/// They are none, or the job may have no more outputs.
pub fn output(name: &str, files: Vec<OwnedFd>, begun: u32, spec: &JobSpec) -> Result<(Name, OwnedFd), ChannelError> {
    let (Ok(name), Some(pipe)) = (name.parse::<Name>(), files.into_iter().next()) else {
        return Err(ChannelError::Broken("an output without a name or a pipe"));
    };
    if begun >= spec.limits.outputs {
        return Err(ChannelError::Broken("more outputs than the job may have"));
    }
    Ok((name, pipe))
}

/// What a run left unread, of the names that its spec has.
///
/// # Errors
/// The run went by other rules than this build's: what is wrong, in words.
pub fn unread(ended: &Ended, spec: &JobSpec) -> Result<Unread, String> {
    let (own, stated) = (isobit_sandbox::rules(spec.profile), ended.rules);
    if own != stated {
        return Err(format!("the worker states the rules {stated}, and they are {own}"));
    }
    let mut unread = ended.unread.clone();
    unread.params.retain(|name| spec.params.contains_key(name));
    unread.inputs.retain(|name| spec.inputs.contains_key(name));
    Ok(unread)
}
