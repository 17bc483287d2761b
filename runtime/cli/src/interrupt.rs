//! Ctrl-C.

use std::io::Write as _;
use std::time::Duration;

use isobit_sandbox::Interrupt;

use crate::failure::Status;

/// How long a job may take to notice that it is cancelled.
const GRACE: Duration = Duration::from_secs(2);

/// Completes when the user presses Ctrl-C or the system asks the process to end.
pub async fn asked_to_stop() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
            return;
        }
    }
    if tokio::signal::ctrl_c().await.is_err() {
        // Without signals there is nothing to wait for.
        std::future::pending::<()>().await;
    }
}

/// Ends the process at once, without what drivers have registered for its end: where a kernel is still running
/// beside that, they may crash, and the status would be a signal.
#[allow(unsafe_code, reason = "only libc ends a process without its exit handlers")]
pub fn leave(status: Status) -> ! {
    // Nobody may be reading any more.
    let _ = std::io::stdout().flush();
    let code = i32::from(status.code());
    #[cfg(unix)]
    // SAFETY: `_exit` takes a number and does not return; it runs nothing of this process.
    unsafe {
        libc::_exit(code)
    }
    #[cfg(not(unix))]
    std::process::exit(code)
}

/// Stops a job that runs in this process on Ctrl-C.
pub fn on_ctrl_c(job: Interrupt) {
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        if let Ok(runtime) = runtime {
            runtime.block_on(asked_to_stop());
            job.cancel();
            // A kernel cannot be stopped: it gets a moment to end, or until the user asks again.
            runtime.block_on(async {
                tokio::select! {
                    () = asked_to_stop() => {}
                    () = tokio::time::sleep(GRACE) => {}
                }
            });
            leave(Status::Cancelled);
        }
    });
}
