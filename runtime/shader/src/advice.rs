//! Turns naga's errors into refusals, and adds what to write instead, which naga does not say.

use std::error::Error as _;

use naga::WithSpan;
use naga::front::wgsl::ParseError;
use naga::valid::ValidationError;

use crate::Refusal;
use crate::dp32::unavailable::{F16, F64, RAY, SUBGROUP};
use crate::text::Map;

/// The refusal for naga's parse error. `map` leads from places in the text that naga got to the guest's own.
pub(crate) fn of_parse(error: &ParseError, map: &Map) -> Refusal {
    Refusal {
        notes: error.notes().map(str::to_owned).collect(),
        help: advice(error.message()),
        labels: error.labels().map(|(span, text)| (map.back(span), text.to_owned())).collect(),
        ..Refusal::new(error.message())
    }
}

/// The refusal for naga's validation error on a module whose spans are already places in the guest's text.
pub(crate) fn of_validation(error: &WithSpan<ValidationError>) -> Refusal {
    let mut notes = Vec::new();
    let mut cause = error.as_inner().source();
    while let Some(next) = cause {
        notes.push(next.to_string());
        cause = next.source();
    }
    Refusal {
        help: notes.iter().find_map(|note| advice(note)),
        notes,
        labels: error.spans().cloned().collect(),
        ..Refusal::new(error.as_inner().to_string())
    }
}

/// What to write instead of something that naga does not accept, if `message` is about a known case.
fn advice(message: &str) -> Option<String> {
    let table = [
        ("f16", F16.help),
        ("f64", F64.help),
        ("subgroup", SUBGROUP.help),
        ("ray_query", RAY.help),
        ("push_constant", "pass small values in a buffer: `@group(0) @binding(0) var<uniform>`"),
        (
            "required alignment",
            "give array elements and struct members of `var<uniform>` 16 bytes, or use `var<storage>`",
        ),
        ("`Storage` address space, not", "give the array a length, or declare it as `var<storage>`"),
        ("`return` expression None", "end every path through the function with a `return` of its type"),
        ("conflict with other resource", "give each variable a `@group` and `@binding` of its own"),
        ("Abstract types may only appear", "give the literals a type: `0.0f`, `1u`, or `f32(...)` around the constant"),
        ("can't be passed into functions", "use the variable itself in the function"),
        ("Workgroup size is out of range", "no workgroup has more than 256 invocations; dispatch more workgroups"),
    ];
    table.iter().find(|(name, _)| message.contains(name)).map(|(_, help)| (*help).to_owned())
}
