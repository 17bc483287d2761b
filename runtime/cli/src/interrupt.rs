//! Ctrl-C.

use isobit_sandbox::Interrupt;
use std::time::Duration;

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
            std::process::exit(i32::from(crate::failure::Status::Cancelled.code()));
        }
    });
}
