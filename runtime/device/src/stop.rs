//! The check whether to go on waiting for a device.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use isobit_job::{Fault, FaultKind};

/// How often [`Stop`] is polled while a device is waited for.
pub(crate) const ASK_EVERY: Duration = Duration::from_millis(50);

/// A check that is polled while a device is waited for, and between slices of long dispatches. If it returns a kind of fault,
/// the call fails with that, whatever the device is doing. The default never does.
#[derive(Clone, Default)]
pub struct Stop(Option<Arc<dyn Fn() -> Option<FaultKind> + Send + Sync>>);

impl Stop {
    /// Stops when `asked` returns a kind of fault.
    pub fn when(asked: impl Fn() -> Option<FaultKind> + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(asked)))
    }

    pub(crate) fn check(&self) -> Result<(), Fault> {
        match self.0.as_ref().and_then(|asked| asked()) {
            Some(kind) => Err(kind.into()),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stop")
    }
}
