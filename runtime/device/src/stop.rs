//! Whether a device is still to be waited for.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::DeviceFault;

/// How often it is asked while a device is waited for.
pub(crate) const ASK_EVERY: Duration = Duration::from_millis(50);

/// Asked while a device is waited for and between slices of long dispatches. Once it says yes, the call is given up with
/// [`DeviceFault::Stopped`], whatever the device is doing. By default it never does.
#[derive(Clone, Default)]
pub struct Stop(Option<Arc<dyn Fn() -> bool + Send + Sync>>);

impl Stop {
    /// Stops when `asked` returns true.
    pub fn when(asked: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(asked)))
    }

    pub(crate) fn check(&self) -> Result<(), DeviceFault> {
        match &self.0 {
            Some(asked) if asked() => Err(DeviceFault::Stopped),
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stop")
    }
}
