//! The wishes of the guest in `tests/guests/hostile`: every call with wrong arguments, and what wants more than there may be.

use isobit_job::{LimitName, Trap, TrapCode};

use super::corpus::{Ends, Entry, FUEL, Guest, KERNEL_FUEL, code, limit, words};

fn wish(name: &'static str, ends: Ends) -> Entry {
    Entry::new(name, Guest::Wish(name), ends).fuel(1_000_000_000)
}

fn says(name: &'static str, message: &'static str) -> Entry {
    wish(name, Ends::Says(message))
}

/// An error of the guest's with a long name in it.
fn echoes(name: &'static str, before: &str, after: &str) -> Entry {
    wish(name, Ends::Traps(Trap::guest_error(&format!("{before}{}{after}", "a".repeat(1 << 20)))))
}

/// Kernel fuel for the dispatch that is in flight.
const BUSY: u64 = 1_000_000_000_000;

pub fn guests() -> Vec<Entry> {
    let mut all = vec![];
    all.extend(buffers());
    all.extend(bindings());
    all.extend(commands());
    all.extend(streams());
    all.extend(hoards());
    all.extend(tenants());
    all
}

fn buffers() -> Vec<Entry> {
    vec![
        says("buffer-of-nothing", "the buffer's size is 0 bytes; the least is 4"),
        says("buffer-of-three-bytes", "the buffer's size is 3 bytes; the least is 4"),
        says("buffer-of-five-bytes", "the buffer's size is 5, not a multiple of 4"),
        says("buffer-over-256-mib", "limit max-buffer-size exceeded: 268435460 asked for, at most 268435456 allowed"),
        says("buffer-of-all-there-is", "the buffer's size is 18446744073709551615, not a multiple of 4"),
        says(
            "buffer-of-all-words",
            "limit max-buffer-size exceeded: 18446744073709551612 asked for, at most 268435456 allowed",
        ),
        says("buffer-without-usage-bound", "binding 0 is storage, but the buffer was created without that usage"),
        says("write-at-2", "the offset of the write is 2, not a multiple of 4"),
        says("write-3-bytes", "the length of the write is 3, not a multiple of 4"),
        says("write-at-the-end", "the write of 4 bytes at offset 4096 ends beyond the buffer's 4096 bytes"),
        says("write-over-the-end", "the write of 8 bytes at offset 4092 ends beyond the buffer's 4096 bytes"),
        says(
            "write-that-overflows",
            "the write of 8 bytes at offset 18446744073709551612 ends beyond the buffer's 4096 bytes",
        ),
        says("write-nothing-beyond", "the write of 0 bytes at offset 4100 ends beyond the buffer's 4096 bytes"),
        says("read-at-2", "the offset of the read is 2, not a multiple of 4"),
        says("read-3-bytes", "length 3 is not a multiple of 4"),
        says("read-over-the-end", "the read of 8 bytes at offset 4092 ends beyond the buffer's 4096 bytes"),
        says(
            "read-that-overflows",
            "the read of 8 bytes at offset 18446744073709551612 ends beyond the buffer's 4096 bytes",
        ),
        says("read-all-there-is", "length 18446744073709551615 is not a multiple of 4"),
        says(
            "read-all-words",
            "the read of 18446744073709551612 bytes at offset 4 ends beyond the buffer's 4096 bytes",
        ),
        says("clear-at-2", "command 0: the offset of the clear is 2, not a multiple of 4"),
        says("clear-3-bytes", "command 0: the length of the clear is 3, not a multiple of 4"),
        says(
            "clear-over-the-end",
            "command 0: the clear of 8 bytes at offset 4092 ends beyond the buffer's 4096 bytes",
        ),
        says(
            "clear-that-overflows",
            "command 0: the clear of 8 bytes at offset 18446744073709551612 ends beyond the buffer's 4096 bytes",
        ),
        says(
            "clear-all-words",
            "command 0: the clear of 18446744073709551612 bytes at offset 8 ends beyond the buffer's 4096 bytes",
        ),
        says("load-beyond-the-input", "bytes 996 to 996 + 8 are not all in the input, which has 1000 bytes"),
        says(
            "load-that-overflows-the-input",
            "bytes 18446744073709551612 to 18446744073709551612 + 8 are not all in the input, which has 1000 bytes",
        ),
        says("load-all-there-is", "bytes 1 to 1 + 18446744073709551615 are not all in the input, which has 1000 bytes"),
        says(
            "load-a-part-of-a-word",
            "length 6 is not a multiple of 4, and the copy does not end at the end of the input",
        ),
        says("load-at-2", "the offset of the write is 2, not a multiple of 4"),
        says("load-over-the-end", "the write of 8 bytes at offset 4092 ends beyond the buffer's 4096 bytes"),
        says(
            "load-that-overflows",
            "the write of 8 bytes at offset 18446744073709551612 ends beyond the buffer's 4096 bytes",
        ),
        says(
            "append-at-2",
            "offset 2 is not a multiple of 4, or 4 bytes from there are not all in the buffer of 4096 bytes",
        ),
        says(
            "append-over-the-end",
            "offset 4092 is not a multiple of 4, or 5 bytes from there are not all in the buffer of 4096 bytes",
        ),
        says(
            "append-that-overflows",
            "offset 18446744073709551612 is not a multiple of 4, or 8 bytes from there are not all in the buffer of 4096 bytes",
        ),
        says(
            "append-all-there-is",
            "offset 0 is not a multiple of 4, or 18446744073709551615 bytes from there are not all in the buffer of 4096 bytes",
        ),
    ]
}

fn bindings() -> Vec<Entry> {
    vec![
        says("wgsl-of-1-mib-and-1", "limit wgsl-bytes exceeded: 1048577 asked for, at most 1048576 allowed"),
        says("wgsl-of-64-mib", "limit wgsl-bytes exceeded: 67108864 asked for, at most 1048576 allowed")
            .guest_memory(256),
        says("layout-with-a-binding-twice", "binding 7 appears twice in the layout"),
        says(
            "layout-with-the-last-binding",
            "limit max-bindings-per-bind-group exceeded: 4294967296 asked for, at most 1000 allowed",
        ),
        says(
            "layout-with-binding-1000",
            "limit max-bindings-per-bind-group exceeded: 1001 asked for, at most 1000 allowed",
        ),
        says(
            "layout-of-9-storage-buffers",
            "limit max-storage-buffers-per-shader-stage exceeded: 9 asked for, at most 8 allowed",
        ),
        says(
            "layout-of-13-uniform-buffers",
            "limit max-uniform-buffers-per-shader-stage exceeded: 13 asked for, at most 12 allowed",
        ),
        says(
            "layout-of-5-dynamic-storage-buffers",
            "limit max-dynamic-storage-buffers-per-pipeline-layout exceeded: 5 asked for, at most 4 allowed",
        ),
        says(
            "layout-of-9-dynamic-uniform-buffers",
            "limit max-dynamic-uniform-buffers-per-pipeline-layout exceeded: 9 asked for, at most 8 allowed",
        ),
        says(
            "layout-of-a-million-slots",
            "limit max-bindings-per-bind-group exceeded: 1000000 asked for, at most 1000 allowed",
        )
        .guest_memory(256),
        says(
            "layout-that-demands-all-there-is",
            "binding 0 has 4096 bytes, but the layout demands 18446744073709551615",
        ),
        says("group-of-nothing", "binding 0 of the layout is not bound"),
        says("group-with-a-binding-twice", "binding 0 is bound twice"),
        says("group-with-a-binding-too-many", "binding 4294967295 is not in the layout"),
        wish("group-of-a-million-entries", limit(LimitName::Handles)).guest_memory(256),
        says("bind-storage-as-uniform", "binding 0 is uniform, but the buffer was created without that usage"),
        says("bind-uniform-as-storage", "binding 0 is storage, but the buffer was created without that usage"),
        says("bind-at-4", "the offset of binding 0 is 4, not a multiple of 256"),
        says("bind-at-the-end", "binding 0 has no bytes"),
        says("bind-beyond-the-end", "binding 0 of 4 bytes at offset 8192 ends beyond the buffer's 4096 bytes"),
        says("bind-over-the-end", "binding 0 of 260 bytes at offset 3840 ends beyond the buffer's 4096 bytes"),
        says(
            "bind-that-overflows",
            "binding 0 of 256 bytes at offset 18446744073709551360 ends beyond the buffer's 4096 bytes",
        ),
        says(
            "bind-all-there-is",
            "binding 0 of 18446744073709551615 bytes at offset 0 ends beyond the buffer's 4096 bytes",
        ),
        says("bind-nothing", "binding 0 has no bytes"),
        says("bind-6-bytes", "the size of binding 0 is 6, not a multiple of 4"),
        says(
            "bind-over-64-kib-as-uniform",
            "limit max-uniform-buffer-binding-size exceeded: 65540 asked for, at most 65536 allowed",
        ),
        says(
            "bind-over-128-mib-as-storage",
            "limit max-storage-buffer-binding-size exceeded: 134217732 asked for, at most 134217728 allowed",
        )
        .device_memory(256),
        says("pipeline-without-its-entry-point", "the shader has no compute entry point `paste`; it has: copy"),
        echoes("pipeline-with-an-endless-name", "the shader has no compute entry point `", "`; it has: copy"),
        says("pipeline-with-an-unknown-constant", "the shader has no override `seale`; it has `scale`"),
        says("pipeline-with-a-constant-twice", "the override `scale` is given a value twice; give it one"),
        says(
            "pipeline-with-nan-as-constant",
            "the value NaN of the override `scale` does not fit its type, u32; give it a number from 0 to 4294967295",
        ),
        says(
            "pipeline-with-a-negative-constant",
            "the value -1 of the override `scale` does not fit its type, u32; give it a number from 0 to 4294967295",
        ),
        says(
            "pipeline-with-an-infinite-constant",
            "the value inf of the override `scale` does not fit its type, u32; give it a number from 0 to 4294967295",
        ),
        says("pipeline-with-a-million-constants", "the shader has no override `x`; it has `scale`").guest_memory(256),
        says("pipeline-of-4-groups", "limit max-bind-groups exceeded: 4 asked for, at most 3 allowed"),
        says("pipeline-of-nothing", "the shader uses @group(0) @binding(0), which is not in the layout"),
        says(
            "pipeline-with-another-type",
            "@group(0) @binding(0) is read-only-storage in the shader but storage in the layout",
        ),
        says("layout-of-group-3", "limit max-bind-groups exceeded: 4 asked for, at most 3 allowed"),
        says("layout-of-the-last-group", "limit max-bind-groups exceeded: 4294967296 asked for, at most 3 allowed"),
    ]
}

fn commands() -> Vec<Entry> {
    vec![
        says("copy-within-a-buffer", "command 0: source and destination of a copy are the same buffer"),
        says("copy-from-2", "command 0: the offset of the copy's source is 2, not a multiple of 4"),
        says("copy-to-2", "command 0: the offset of the copy's destination is 2, not a multiple of 4"),
        says("copy-3-bytes", "command 0: the length of the copy's source is 3, not a multiple of 4"),
        says(
            "copy-from-over-the-end",
            "command 0: the copy's source of 8 bytes at offset 4092 ends beyond the buffer's 4096 bytes",
        ),
        says(
            "copy-to-over-the-end",
            "command 0: the copy's destination of 8 bytes at offset 4092 ends beyond the buffer's 4096 bytes",
        ),
        says(
            "copy-that-overflows-its-source",
            "command 0: the copy's source of 8 bytes at offset 18446744073709551612 ends beyond the buffer's 4096 bytes",
        ),
        says(
            "copy-that-overflows-its-destination",
            "command 0: the copy's destination of 8 bytes at offset 18446744073709551612 ends beyond the buffer's 4096 bytes",
        ),
        says(
            "copy-all-words",
            "command 0: the copy's source of 18446744073709551612 bytes at offset 4 ends beyond the buffer's 4096 bytes",
        ),
        says(
            "clear-in-an-encoder-that-overflows",
            "command 0: the clear of 8 bytes at offset 18446744073709551612 ends beyond the buffer's 4096 bytes",
        ),
        says("copy-inside-a-pass", "command 1: a compute pass is still open; end it first"),
        says("clear-inside-a-pass", "command 1: a compute pass is still open; end it first"),
        says("two-passes-at-once", "command 1: a compute pass is still open; end it first"),
        says("finish-with-an-open-pass", "the compute pass was not ended"),
        wish("record-after-finish", Ends::Completes),
        wish("submit-nothing", Ends::Completes),
        says("dispatch-without-a-pipeline", "command 1: no pipeline is set for the dispatch"),
        says("dispatch-without-a-group", "command 2: the pipeline needs bind group 0, and none is set"),
        says(
            "dispatch-65536-workgroups",
            "limit max-compute-workgroups-per-dimension exceeded: 65536 asked for, at most 65535 allowed",
        ),
        says(
            "dispatch-as-many-as-there-are",
            "limit max-compute-workgroups-per-dimension exceeded: 4294967295 asked for, at most 65535 allowed",
        ),
        says("set-group-3", "limit max-bind-groups exceeded: 4 asked for, at most 3 allowed"),
        says("set-the-last-group", "limit max-bind-groups exceeded: 4294967296 asked for, at most 3 allowed"),
        says("no-dynamic-offsets", "command 2: 0 dynamic offsets given for a group with 2"),
        says("a-dynamic-offset-too-many", "command 2: 3 dynamic offsets given for a group with 2"),
        says("a-million-dynamic-offsets", "limit dynamic-offsets exceeded: 1000000 asked for, at most 20 allowed"),
        says("dynamic-offset-of-4", "command 2: the dynamic offset of binding 0 is 4, not a multiple of 256"),
        says(
            "dynamic-offset-beyond-the-end",
            "command 2: the dynamic offset of binding 1 is 4096, which moves 256 bytes at 0 beyond the buffer's 4096",
        ),
        says(
            "the-last-dynamic-offset",
            "command 2: the dynamic offset of binding 0 is 4294967040, which moves 256 bytes at 0 beyond the buffer's 4096",
        ),
        says(
            "bind-less-than-the-kernel-needs",
            "command 3: @group(0) @binding(0) has 60 bytes bound, but the shader needs 64",
        ),
        says(
            "bind-a-buffer-as-read-and-written",
            "command 3: a buffer is bound as read-only-storage and as storage in one dispatch",
        ),
        says(
            "overlap-by-dynamic-offsets",
            "command 3: overlapping ranges of a buffer are bound as storage in one dispatch",
        ),
        says("a-group-of-another-layout", "command 3: bind group 0 has another layout than the pipeline"),
    ]
}

fn streams() -> Vec<Entry> {
    let name = "` is no name for an input or output: 1 to 64 of a-z, 0-9, `.`, `_`, `-`, with a letter or digit first";
    vec![
        says("read-an-input-beyond-its-end", "[0, 0, 1, 0]"),
        echoes("open-an-input-of-1-mib-of-name", "the job has no input `", "`"),
        says(
            "output-outside-of-the-folder",
            "`../../etc/passwd` is no name for an input or output: 1 to 64 of a-z, 0-9, `.`, `_`, `-`, with a letter or digit first",
        ),
        says(
            "output-with-a-nul",
            "`out\0` is no name for an input or output: 1 to 64 of a-z, 0-9, `.`, `_`, `-`, with a letter or digit first",
        ),
        echoes("output-of-a-name-of-1-mib", "`", name),
        says("output-twice", "output `out` was created before; outputs are written once"),
        wish("parameter-of-1-mib-of-name", Ends::Completes),
    ]
}

/// What the guest's busy kernel makes of an invocation's number.
fn turned(number: u32) -> u32 {
    (0..1000).fold(number, |sum, _| sum.wrapping_mul(1_664_525).wrapping_add(1_013_904_223))
}

fn hoards() -> Vec<Entry> {
    vec![
        wish("a-million-handles", limit(LimitName::Handles)).fuel(100_000_000_000),
        wish("a-hundred-thousand-buffers", limit(LimitName::Handles)).fuel(100_000_000_000).long(),
        wish("buffers-dropped-at-once", Ends::Completes),
        wish("a-million-encoders-dropped", Ends::Completes).fuel(100_000_000_000),
        wish("a-hundred-thousand-groups", limit(LimitName::Handles)).fuel(100_000_000_000).long(),
        says("pipelines-without-end", "limit host-memory exceeded: 537719808 asked for, at most 536870912 allowed")
            .fuel(100_000_000_000),
        says("commands-without-end", "limit host-memory exceeded: 536871168 asked for, at most 536870912 allowed")
            .fuel(100_000_000_000),
        says(
            "device-memory-without-end",
            "out of device memory: 1048576 bytes asked for, 67108864 of 67108864 in use; use smaller buffers or raise the job's limit device-memory",
        ),
        wish("guest-memory-without-end", limit(LimitName::GuestMemory)),
        wish("more-than-fits-is-read", limit(LimitName::GuestMemory)).guest_memory(32),
        says("output-without-end", "limit output-bytes exceeded: 2097152 asked for, at most 1048576 allowed"),
        says("outputs-without-end", "limit outputs exceeded: 9 asked for, at most 8 allowed"),
        wish("an-output-of-nothing-a-million-times", Ends::Completes).fuel(100_000_000_000),
        wish("log-lines-without-end", FUEL).fuel(10_000_000),
        wish("one-log-line-of-64-mib", Ends::Completes).guest_memory(256),
        wish("progress-without-end", FUEL).fuel(10_000_000),
        wish("panic-in-flight", code(TrapCode::Unreachable)).kernel_fuel(BUSY),
        wish("trap-in-flight", code(TrapCode::Unreachable)).kernel_fuel(BUSY),
        says("an-error-in-flight", "with a dispatch in flight").kernel_fuel(BUSY),
        wish("return-in-flight", Ends::Completes).kernel_fuel(BUSY),
        wish("no-fuel-in-flight", FUEL).fuel(100_000_000).kernel_fuel(BUSY),
        wish("drop-everything-in-flight", words(&[turned(63)])),
        wish("submit-without-end", KERNEL_FUEL),
        wish("an-error-of-4-mib", Ends::Traps(Trap::guest_error(&"ä".repeat(2 << 20)))),
        says("an-error-of-control-characters", "\u{1b}[2J\u{7}\r\0\u{202e}job: finished"),
    ]
}

/// Two tenants of one device, one after the other.
fn tenants() -> Vec<Entry> {
    vec![
        wish("leave-marks", Ends::Completes).kernel_fuel(1_000_000_000),
        wish("look-for-marks", Ends::Gives(b"buffers 0, workgroup 0, private 0, function 0".to_vec()))
            .kernel_fuel(1_000_000_000),
    ]
}
