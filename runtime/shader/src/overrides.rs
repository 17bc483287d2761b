//! Values for overrides: checks that they fit, and turns naga's errors about them into refusals.

use std::collections::HashMap;

use naga::back::PipelineConstants;
use naga::back::pipeline_constants::PipelineConstantError;
use naga::{Module, Override, Scalar, TypeInner};

use crate::refusal::Refusal;
use crate::{advice, text};

/// The values, by name, of the overrides in an entry point's `module`. Values of other overrides in `parsed`, the whole
/// text, are checked and left out. Refused: a name that no override has, a name given twice, a value that its type does not
/// hold.
pub(crate) fn values(
    parsed: &Module,
    module: &Module,
    constants: &[(String, f64)],
) -> Result<PipelineConstants, Refusal> {
    let mut values = PipelineConstants::default();
    let find = |module: &Module, name: &str| {
        let mut overrides = module.overrides.iter().map(|(_, found)| found.clone());
        overrides.find(|found| key(found).as_deref() == Some(name))
    };
    for (name, value) in constants {
        let found = find(parsed, name).ok_or_else(|| unknown(parsed, name))?;
        check_value(parsed, &found, name, *value)?;
        if values.insert(name.clone(), *value).is_some() {
            return Err(Refusal::with_help(format!("the override `{name}` is given a value twice"), "give it one"));
        }
    }
    values.retain(|name, _| find(module, name).is_some());
    Ok(values)
}

/// The values by the identifiers of their overrides in `module`, whether they were given by `@id` or not.
pub(crate) fn by_name(module: &Module, values: &PipelineConstants) -> HashMap<String, f64> {
    let given = module.overrides.iter().filter_map(|(_, found)| {
        let value = values.get(&key(found)?)?;
        Some((found.name.clone()?, *value))
    });
    given.collect()
}

/// The name under which an override gets its value: its `@id` if it has one, its identifier otherwise.
fn key(found: &Override) -> Option<String> {
    found.id.map(|id| id.to_string()).or_else(|| found.name.clone())
}

fn unknown(module: &Module, name: &str) -> Refusal {
    let by_name = module.overrides.iter().find(|(_, found)| found.name.as_deref() == Some(name));
    if let Some((_, Override { id: Some(id), .. })) = by_name {
        return Refusal::with_help(format!("the override `{name}` has an @id"), format!("give its value to `{id}`"));
    }
    let known: Vec<String> = module
        .overrides
        .iter()
        .filter_map(|(_, found)| match (found.id, found.name.as_deref()) {
            (Some(id), Some(name)) => Some(format!("`{id}` ({name})")),
            _ => key(found).map(|key| format!("`{key}`")),
        })
        .collect();
    let help = match known.as_slice() {
        [] => "it has none".to_owned(),
        known => format!("it has {}", known.join(", ")),
    };
    Refusal::with_help(format!("the shader has no override `{name}`"), help)
}

fn check_value(module: &Module, found: &Override, name: &str, value: f64) -> Result<(), Refusal> {
    let TypeInner::Scalar(scalar) = module.types[found.ty].inner else { return Ok(()) };
    let (ty, least, most, range) = match scalar {
        Scalar::I32 => ("i32", f64::from(i32::MIN), f64::from(i32::MAX), "from -2147483648 to 2147483647"),
        Scalar::U32 => ("u32", 0.0, f64::from(u32::MAX), "from 0 to 4294967295"),
        Scalar::F32 => ("f32", f64::from(f32::MIN), f64::from(f32::MAX), "between -3.4e38 and 3.4e38"),
        _ => return Ok(()),
    };
    // As in WebGPU, the fraction is cut off.
    let compared = if scalar == Scalar::F32 { value } else { value.trunc() };
    if (least..=most).contains(&compared) {
        return Ok(());
    }
    let reason = format!("the value {value} of the override `{name}` does not fit its type, {ty}");
    Err(Refusal::with_help(reason, format!("give it a number {range}")))
}

/// Why overrides could not be resolved.
pub(crate) fn refused(module: &Module, error: &PipelineConstantError) -> Refusal {
    match error {
        PipelineConstantError::MissingValue(key_of) => {
            let id = key_of.parse().ok();
            let found = module.overrides.iter().find(|(_, found)| id.is_some() && found.id == id);
            let name = found.and_then(|(_, found)| found.name.as_deref());
            let name = name.map_or_else(|| format!("`{key_of}`"), |name| format!("`{key_of}` ({name})"));
            Refusal { is_about_values: true, ..Refusal::new(format!("the override {name} has no value")) }
        }
        PipelineConstantError::NegativeWorkgroupSize => text::not_positive(None),
        PipelineConstantError::ValidationError(error) => advice::of_validation(error),
        other => Refusal::new(other.to_string()),
    }
}
