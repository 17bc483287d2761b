//! What a job's time went into, for people, in JSON, and as a trace that viewers open.

use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};

use isobit_device::{Activity, KernelTotals, Recording, Span, SpanKind, Totals};
use isobit_job::{Bytes, Fuel};
use serde::Serialize;
use serde_json::{Value, json};

use crate::escape;
use crate::table::Table;

/// What a device does besides running kernels, in the order in which it is shown.
const ACTIVITIES: [(Activity, &str, &str); 5] = [
    (Activity::Compile, "compile", "compiling kernels"),
    (Activity::Allocate, "allocate", "making buffers"),
    (Activity::Write, "write", "writing buffers"),
    (Activity::Read, "read", "reading buffers"),
    (Activity::Queue, "queue", "copies, clears, waits"),
];

/// The profile of a job.
#[derive(Serialize)]
pub struct Profiled {
    /// From the guest's first instruction until the device had nothing more to do.
    total_ns: u64,
    /// What is left of that without all below: the guest, and what the host does in its calls besides driving the device.
    guest_ns: u64,
    /// In the order of their first dispatches.
    kernels: Vec<Kernel>,
    /// What the device did besides running kernels.
    others: Vec<Other>,
    /// The file with the trace.
    trace: Option<String>,
    /// How many spans the trace lacks because there were too many.
    more_spans: u64,
    #[serde(skip)]
    started: Instant,
    #[serde(skip)]
    spans: Vec<Span>,
}

#[derive(Serialize)]
struct Kernel {
    entry_point: String,
    workgroup_size: [u32; 3],
    dispatches: u64,
    workgroups: u64,
    kernel_fuel: u64,
    time_ns: u64,
    /// Bytes of all ranges that were bound to the dispatches.
    bound_bytes: u64,
    /// Bytes of those that the kernel may write.
    writable_bytes: u64,
}

#[derive(Serialize)]
struct Other {
    activity: &'static str,
    #[serde(skip)]
    words: &'static str,
    count: u64,
    time_ns: u64,
    bytes: u64,
}

impl Profiled {
    /// `started` is when the guest began.
    pub fn new(recording: Recording, started: Instant, trace: Option<&Path>) -> Self {
        let Recording { kernels, others, spans, more_spans, until, .. } = recording;
        let kernels: Vec<_> = kernels.iter().map(Kernel::from).collect();
        let others: Vec<_> = ACTIVITIES
            .into_iter()
            .map(|(activity, name, words)| {
                let Totals { count, time, bytes } = others.get(&activity).copied().unwrap_or_default();
                Other { activity: name, words, count, time_ns: nanoseconds(time), bytes }
            })
            .collect();
        let total_ns = until.map_or(0, |until| nanoseconds(until.saturating_duration_since(started)));
        let of_device = kernels.iter().map(|kernel| kernel.time_ns).chain(others.iter().map(|other| other.time_ns));
        let guest_ns = of_device.fold(total_ns, u64::saturating_sub);
        let trace = trace.map(|path| path.display().to_string());
        Self { total_ns, guest_ns, kernels, others, trace, more_spans, started, spans }
    }

    /// The name of each kernel; those with the same one are numbered.
    fn names(&self) -> Vec<String> {
        let name = |at: usize, kernel: &Kernel| {
            let is_same = |other: &&Kernel| other.entry_point == kernel.entry_point;
            let before = self.kernels.iter().take(at).filter(is_same).count();
            match (kernel.entry_point.as_str(), self.kernels.iter().filter(is_same).count()) {
                ("", _) => "(others)".to_owned(),
                (name, 1) => name.to_owned(),
                (name, _) => format!("{name} #{}", before + 1),
            }
        };
        self.kernels.iter().enumerate().map(|(at, kernel)| name(at, kernel)).collect()
    }

    /// The spans in the Chrome trace event format: kernels, what else the device did, and the guest in between, one below the other.
    pub fn trace(&self) -> anyhow::Result<Vec<u8>> {
        let names = self.names();
        let threads = [(1, "guest"), (2, "kernels"), (3, "device, besides kernels")];
        let mut events: Vec<Value> = threads
            .iter()
            .map(|(thread, name)| {
                json!({ "name": "thread_name", "ph": "M", "pid": 1, "tid": thread, "args": { "name": name } })
            })
            .collect();
        let mut at = self.started;
        for Span { what, begun, time } in &self.spans {
            if *begun > at {
                events.push(self.event("guest", 1, at, begun.saturating_duration_since(at), json!({})));
            }
            at = at.max(*begun + *time);
            events.push(match *what {
                SpanKind::Dispatch { kernel, workgroups, fuel } => {
                    let name = names.get(kernel).map_or("(others)", String::as_str);
                    let args = json!({ "workgroups": workgroups, "kernel fuel": fuel });
                    self.event(name, 2, *begun, *time, args)
                }
                SpanKind::Other(activity) => {
                    let words = ACTIVITIES.iter().find(|(of, ..)| *of == activity).map_or("", |(_, _, words)| words);
                    self.event(words, 3, *begun, *time, json!({}))
                }
            });
        }
        let trace = json!({
            "displayTimeUnit": "ms",
            "otherData": { "spans left out": self.more_spans },
            "traceEvents": events,
        });
        Ok(serde_json::to_vec(&trace)?)
    }

    /// A complete event: its times are in microseconds since the guest began.
    fn event(&self, name: &str, thread: u32, begun: Instant, time: Duration, args: Value) -> Value {
        let since = begun.saturating_duration_since(self.started);
        let microseconds = |time: Duration| time.as_secs_f64() * 1e6;
        let (ts, dur) = (microseconds(since), microseconds(time));
        json!({ "name": name, "cat": "isobit", "ph": "X", "pid": 1, "tid": thread, "ts": ts, "dur": dur, "args": args })
    }

    fn share(&self, part: u64) -> String {
        let permille = u128::from(part).saturating_mul(1000).checked_div(u128::from(self.total_ns)).unwrap_or(0);
        format!("{}.{} %", permille / 10, permille % 10)
    }
}

impl From<&KernelTotals> for Kernel {
    fn from(kernel: &KernelTotals) -> Self {
        Self {
            entry_point: kernel.entry_point.clone(),
            workgroup_size: kernel.workgroup_size,
            dispatches: kernel.totals.count,
            workgroups: kernel.workgroups,
            kernel_fuel: kernel.fuel,
            time_ns: nanoseconds(kernel.totals.time),
            bound_bytes: kernel.totals.bytes,
            writable_bytes: kernel.writable_bytes,
        }
    }
}

impl fmt::Display for Profiled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.kernels.is_empty() {
            let mut table =
                Table::new(["kernel", "time", "share", "dispatches", "workgroups", "kernel fuel", "bound", "writable"]);
            let mut rows: Vec<_> = self.names().into_iter().zip(&self.kernels).collect();
            rows.sort_by_key(|(_, kernel)| std::cmp::Reverse(kernel.time_ns));
            for (name, kernel) in rows {
                table.row([
                    escape::line(&name).into_owned(),
                    shown(kernel.time_ns),
                    self.share(kernel.time_ns),
                    Fuel::saturating_from(kernel.dispatches).to_string(),
                    Fuel::saturating_from(kernel.workgroups).to_string(),
                    Fuel::saturating_from(kernel.kernel_fuel).to_string(),
                    Bytes::saturating_from(kernel.bound_bytes).to_string(),
                    Bytes::saturating_from(kernel.writable_bytes).to_string(),
                ]);
            }
            writeln!(f, "\n{table}")?;
        }
        let mut table = Table::new(["besides", "time", "share", "count", "bytes"]);
        for other in self.others.iter().filter(|other| other.count > 0) {
            let bytes = if other.bytes > 0 { Bytes::saturating_from(other.bytes).to_string() } else { String::new() };
            let count = Fuel::saturating_from(other.count).to_string();
            table.row([other.words.to_owned(), shown(other.time_ns), self.share(other.time_ns), count, bytes]);
        }
        table.row(["the guest".into(), shown(self.guest_ns), self.share(self.guest_ns), String::new(), String::new()]);
        table.row(["all".into(), shown(self.total_ns), String::new(), String::new(), String::new()]);
        write!(f, "{table}")?;
        if let Some(trace) = &self.trace {
            writeln!(f, "\ntrace    {trace}")?;
        }
        if self.more_spans > 0 {
            writeln!(f, "         without the last {} of its spans, which were too many", self.more_spans)?;
        }
        Ok(())
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// A time in the unit that suits it, to three digits or so.
fn shown(nanoseconds: u64) -> String {
    let tenths = |unit: u64, name: &str| {
        let tenths = nanoseconds / (unit / 10);
        format!("{}.{} {name}", tenths / 10, tenths % 10)
    };
    match nanoseconds {
        10_000_000_000.. => tenths(1_000_000_000, "s"),
        1_000_000.. => tenths(1_000_000, "ms"),
        _ => tenths(1_000, "µs"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_the_unit_that_suits_them() {
        let times = [(0, "0.0 µs"), (12_345, "12.3 µs"), (1_250_000, "1.2 ms"), (90_000_000_000, "90.0 s")];
        for (time, words) in times {
            assert_eq!(shown(time), words);
        }
    }

    fn span(what: SpanKind, begun: Instant, time: u64) -> Span {
        Span { what, begun, time: Duration::from_micros(time) }
    }

    /// Two kernels of one name, and a compilation before them.
    fn profiled(started: Instant) -> Profiled {
        let at = |time| started + Duration::from_micros(time);
        let kernel = |time| KernelTotals {
            entry_point: "main".to_owned(),
            totals: Totals { count: 1, time: Duration::from_micros(time), bytes: 2048 },
            ..KernelTotals::default()
        };
        let ran = |kernel| SpanKind::Dispatch { kernel, workgroups: [4, 1, 1], fuel: 9 };
        let compile = Totals { count: 1, time: Duration::from_micros(100), bytes: 0 };
        let recording = Recording {
            kernels: vec![kernel(10), kernel(290)],
            others: [(Activity::Compile, compile)].into(),
            spans: vec![
                span(SpanKind::Other(Activity::Compile), at(50), 100),
                span(ran(0), at(150), 10),
                span(ran(1), at(400), 290),
            ],
            until: Some(at(1000)),
            ..Recording::default()
        };
        Profiled::new(recording, started, None)
    }

    #[test]
    fn what_is_left_is_the_guests_and_kernels_of_one_name_are_told_apart() {
        let profiled = profiled(Instant::now());
        assert_eq!((profiled.total_ns, profiled.guest_ns), (1_000_000, 600_000));
        let text = profiled.to_string();
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[2].starts_with("main #2  290.0 µs  29.0 %"), "{text}");
        assert!(lines[3].starts_with("main #1  10.0 µs   1.0 %") && lines[3].contains("2 KiB"), "{text}");
        assert!(text.contains("the guest"), "{text}");
    }

    #[test]
    fn a_trace_has_every_span_and_the_guest_in_between() {
        let trace: Value = serde_json::from_slice(&profiled(Instant::now()).trace().unwrap()).unwrap();
        let events = trace["traceEvents"].as_array().unwrap();
        let spans: Vec<_> = events.iter().filter(|event| event["ph"] == "X").collect();
        let names: Vec<_> = spans.iter().map(|event| event["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["guest", "compiling kernels", "main #1", "guest", "main #2"]);
        let micros = |event: &Value, field: &str| event[field].as_f64().unwrap();
        let ends = spans.iter().map(|event| micros(event, "ts") + micros(event, "dur"));
        let starts = spans.iter().skip(1).map(|event| micros(event, "ts"));
        assert!(ends.zip(starts).all(|(end, start)| (end - start).abs() < 1e-6), "{trace}");
        assert_eq!(spans[2]["args"]["workgroups"], json!([4, 1, 1]));
    }
}
