//! Whether a device is still to be waited for.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use isobit_job::{Fault, FaultKind};

/// How often [`Stop`] is asked while a device is waited for.
pub(crate) const ASK_EVERY: Duration = Duration::from_millis(50);

/// The check that is polled while a device is waited for, and between slices of long dispatches. A kind of fault gives the call
/// up with it, whatever the device is doing. By default it never does.
#[derive(Clone, Default)]
pub struct Stop(Option<Arc<dyn Fn() -> Option<FaultKind> + Send + Sync>>);

impl Stop {
    /// Stops when `asked` returns why.
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
