//! What asks a command to stop: Ctrl-C, a closed terminal, the system.

use std::io::Write as _;
use std::time::Duration;

use isobit_sandbox::Interrupt;

use crate::failure::Status;

/// How long a job may take to notice that it is cancelled.
const GRACE: Duration = Duration::from_secs(2);

/// Completes when the user presses Ctrl-C or closes the terminal, or the system asks the process to end.
pub async fn asked_to_stop() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let terminate = signal(SignalKind::terminate());
        // Under `nohup` the end of the terminal is none of our business.
        let hangup = (!is_ignored(libc::SIGHUP)).then(|| signal(SignalKind::hangup()));
        let (mut terminate, mut hangup) = (terminate.ok(), hangup.and_then(Result::ok));
        let received = async |signal: &mut Option<tokio::signal::unix::Signal>| match signal {
            Some(signal) => drop(signal.recv().await),
            None => std::future::pending().await,
        };
        tokio::select! {
            Ok(()) = tokio::signal::ctrl_c() => {}
            () = received(&mut terminate) => {}
            () = received(&mut hangup) => {}
        }
    }
    #[cfg(not(unix))]
    if tokio::signal::ctrl_c().await.is_err() {
        // Without signals there is nothing to wait for.
        std::future::pending::<()>().await;
    }
}

/// Whether the process was started with this signal ignored.
#[cfg(unix)]
#[allow(unsafe_code, reason = "only libc tells how a signal is handled")]
fn is_ignored(signal: libc::c_int) -> bool {
    let mut action = std::mem::MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: without a new action, `sigaction` only writes the one in force to where it is told, and says whether it has.
    unsafe {
        libc::sigaction(signal, std::ptr::null(), action.as_mut_ptr()) == 0
            && action.assume_init().sa_sigaction == libc::SIG_IGN
    }
}

/// Ends the process at once, without what drivers have registered for its end: where a kernel is still running
/// beside that, they may crash, and the status would be a signal. Half-written files go.
#[allow(unsafe_code, reason = "only libc ends a process without its exit handlers")]
pub fn leave(status: Status) -> ! {
    isobit_renter::remove_parts();
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

/// Stops a job that runs in this process when the process is asked to stop.
pub fn stop_job(job: Interrupt) {
    when_asked(move || {
        job.cancel();
        // A kernel cannot be stopped: it gets a moment to end.
        GRACE
    });
}

/// Ends the process when it is asked to stop: while nothing is left that could be told of it.
pub fn leave_when_asked() {
    when_asked(|| Duration::ZERO);
}

/// Calls `react` when the process is asked to stop, and ends it after the time that it returns, or when it is asked again.
fn when_asked(react: impl FnOnce() -> Duration + Send + 'static) {
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        if let Ok(runtime) = runtime {
            runtime.block_on(asked_to_stop());
            let grace = react();
            runtime.block_on(async {
                tokio::select! {
                    () = asked_to_stop() => {}
                    () = tokio::time::sleep(grace) => {}
                }
            });
            leave(Status::Cancelled);
        }
    });
}
