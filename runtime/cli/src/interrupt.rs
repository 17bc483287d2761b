//! Ctrl-C.

use isobit_sandbox::Interrupt;

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
            // A kernel cannot be stopped: who asks twice does not want to wait for it.
            runtime.block_on(asked_to_stop());
            std::process::exit(i32::from(crate::failure::Status::Cancelled.code()));
        }
    });
}
