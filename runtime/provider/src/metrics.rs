//! What a provider does and has done, in the text format of OpenMetrics, which Prometheus reads.

use crate::monitor::JobState;
use crate::shared::Shared;
use crate::status::{DeviceStatus, Status};
use crate::worker::DeviceSummary;
use isobit_job::Profile;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

/// The media type of [`text`].
pub(crate) const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All metrics. They are gathered when they are asked for, so that nothing has to be kept in step.
pub(crate) fn text(shared: &Shared) -> String {
    let (status, monitor) = (Status::of(shared), &shared.monitor);
    let mut registry = Registry::with_prefix("isobit");
    let rules = isobit_sandbox::rules(Profile::Dp32).to_string();
    let build = vec![("version".to_owned(), env!("CARGO_PKG_VERSION").to_owned()), ("rules".to_owned(), rules)];
    registry.register("build", "What runs here", Info::new(build));
    let slots = Family::<Vec<(&str, String)>, Gauge>::default();
    for DeviceStatus { device: DeviceSummary { name, driver, backend, .. }, slots: number } in &status.devices {
        let labels = [("name", name), ("driver", driver), ("backend", backend)];
        let labels = labels.into_iter().map(|(name, value)| (name, value.clone())).collect();
        // There may be two that are called the same.
        slots.get_or_create(&labels).inc_by((*number).into());
    }
    registry.register("device_slots", "What jobs run on, and how many at once", slots);

    let ended = Family::<_, Counter>::default();
    for (end, number) in monitor.ends() {
        ended.get_or_create(&end).inc_by(number);
    }
    registry.register("jobs", "Jobs that have ended, by outcome", ended);
    let active = Family::<Vec<(&str, &str)>, Gauge>::default();
    for state in JobState::ALL {
        active.get_or_create(&vec![("state", state.name())]).set(signed(status.jobs_in(state)));
    }
    registry.register("active_jobs", "Jobs that are here now, by state", active);
    let workers = Family::<Vec<(&str, &str)>, Gauge>::default();
    workers.get_or_create(&vec![("state", "idle")]).set(status.workers.idle.into());
    workers.get_or_create(&vec![("state", "busy")]).set(status.workers.busy.into());
    registry.register("workers", "Worker processes", workers);

    let times = [
        ("job_wait_seconds", "From a job's arrival to its turn, of jobs with a claim", &monitor.waited),
        ("job_prepare_seconds", "From there to the guest's first instruction", &monitor.prepared),
        ("job_run_seconds", "From there to the job's end", &monitor.ran),
    ];
    for (name, help, histogram) in times {
        registry.register(name, help, histogram.clone());
    }
    let sums = [
        ("guest_fuel", "Fuel for guests' instructions that claims bill", &monitor.guest_fuel),
        ("kernel_fuel", "Fuel for dispatches that claims bill", &monitor.kernel_fuel),
        ("input_bytes", "Bytes of inputs that claims bill", &monitor.input_bytes),
        ("output_bytes", "Bytes of outputs that claims bill", &monitor.output_bytes),
    ];
    for (name, help, counter) in sums {
        registry.register(name, help, counter.clone());
    }
    let now: [(&str, &str, u64); 11] = [
        ("queue_length", "Jobs that wait for a slot", signed(status.jobs_in(JobState::Waiting)).unsigned_abs()),
        ("queue_limit", "Jobs that may wait", status.waiting_limit.into()),
        ("slots", "Jobs that may run at once", status.slots.into()),
        ("connections", "Open connections of renters", status.connections.into()),
        ("store_bytes", "Bytes of blobs that are kept", status.store.stored.get()),
        ("store_in_use_bytes", "Bytes of blobs that jobs use now", status.store.in_use.get()),
        ("store_limit_bytes", "The most bytes of blobs", status.store.limit.get()),
        (
            "device_memory_granted_bytes",
            "The most device memory that running jobs may take together",
            status.device_memory_granted.get(),
        ),
        ("resident_memory_bytes", "Memory of the supervisor's process", status.resident_memory.get()),
        ("start_time_seconds", "When the provider was started, since 1970", status.started_unix_ms.get() / 1000),
        ("draining", "1 if the provider has been asked to stop", status.draining.into()),
    ];
    for (name, help, value) in now {
        registry.register(name, help, ConstGauge::new(value));
    }
    let mut text = String::new();
    // Writing to a string does not fail.
    encode(&mut text, &registry).ok();
    text
}

fn signed(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
