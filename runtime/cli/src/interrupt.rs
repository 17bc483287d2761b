//! Requests to stop a command: Ctrl-C, a closed terminal, the system.

use std::io::Write as _;
#[cfg(unix)]
use std::task::Poll;
use std::time::Duration;

use crate::failure::Status;

/// How long a job may take to notice that it is cancelled.
const GRACE: Duration = Duration::from_secs(2);

/// The requests to stop that reach this process: the user presses Ctrl-C or closes the terminal, or the system asks the
/// process to end.
pub struct StopRequests {
    #[cfg(unix)]
    signals: Vec<tokio::signal::unix::Signal>,
    #[cfg(windows)]
    ctrl_c: Option<tokio::signal::windows::CtrlC>,
}

impl StopRequests {
    /// Starts to listen. From then on, none of these signals ends the process on its own. Under `nohup` the end of the
    /// terminal stays ignored.
    ///
    /// # Panics
    ///
    /// Panics outside of a tokio runtime.
    pub fn listen() -> StopRequests {
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};
            let hangup = (!is_ignored(libc::SIGHUP)).then(SignalKind::hangup);
            let kinds = [SignalKind::interrupt(), SignalKind::terminate()].into_iter().chain(hangup);
            StopRequests { signals: kinds.filter_map(|kind| signal(kind).ok()).collect() }
        }
        #[cfg(windows)]
        StopRequests { ctrl_c: tokio::signal::windows::ctrl_c().ok() }
    }

    /// Completes with the next request.
    pub async fn next(&mut self) {
        #[cfg(unix)]
        std::future::poll_fn(|context| {
            let received = self.signals.iter_mut().any(|signal| signal.poll_recv(context).is_ready());
            if received { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        #[cfg(windows)]
        match &mut self.ctrl_c {
            Some(ctrl_c) => drop(ctrl_c.recv().await),
            None => std::future::pending().await,
        }
    }
}

/// Whether the process was started with this signal ignored.
#[cfg(unix)]
#[allow(unsafe_code, reason = "only libc tells how a signal is handled")]
fn is_ignored(signal: libc::c_int) -> bool {
    let mut action = std::mem::MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: without a new action, `sigaction` only writes the current one to the pointer, and returns 0 if it has.
    unsafe {
        libc::sigaction(signal, std::ptr::null(), action.as_mut_ptr()) == 0
            && action.assume_init().sa_sigaction == libc::SIG_IGN
    }
}

/// Ends the process at once, without the exit handlers of drivers: those may crash while a kernel is still running, and
/// the exit status would then be a signal. Half-written files are removed.
#[allow(unsafe_code, reason = "only libc ends a process without its exit handlers")]
pub fn leave(status: Status) -> ! {
    isobit_renter::remove_parts();
    // The reader of stdout may be gone.
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

/// Asks a process that leads a group, and all in the group, to stop; elsewhere than on Unix, it is ended.
#[cfg_attr(unix, allow(unsafe_code, reason = "only libc sends a signal to a group"))]
pub fn ask_to_stop(child: &mut tokio::process::Child) {
    #[cfg(unix)]
    if let Some(group) = child.id().and_then(|id| i32::try_from(id).ok()) {
        // SAFETY: `kill` takes two numbers, and touches no memory of this process. The child has not been waited for, so the number is its own.
        unsafe {
            libc::kill(-group, libc::SIGTERM);
        }
    }
    #[cfg(not(unix))]
    child.start_kill().ok();
}

/// Calls `stop` when the process is asked to stop. Ends the process some seconds later, or at the next request.
pub fn stop_when_asked(stop: impl FnOnce() + Send + 'static) {
    when_asked(move || {
        stop();
        GRACE
    });
}

/// Ends the process at once when it is asked to stop. For when no job is left to cancel.
pub fn leave_when_asked() {
    when_asked(|| Duration::ZERO);
}

/// Calls `react` when the process is asked to stop. Ends the process after the time that `react` returns, or at the next
/// request. Listens from the moment this returns.
fn when_asked(react: impl FnOnce() -> Duration + Send + 'static) {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
    let mut requests = {
        let _context = runtime.enter();
        StopRequests::listen()
    };
    std::thread::spawn(move || {
        runtime.block_on(async {
            requests.next().await;
            let grace = react();
            tokio::select! {
                () = requests.next() => {}
                () = tokio::time::sleep(grace) => {}
            }
        });
        leave(Status::Cancelled);
    });
}
