//! The workload of a kernel alone, made from its text whenever it is needed. It is the same bytes in every isobit of one version, so that anybody can
//! run such a job again.

use isobit_sandbox::Workload;
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::{Resolve, SourceMap};

/// The guest.
const GUEST: &str = include_str!("guest.wat");

/// The contract that it is written to.
const CONTRACT: [(&str, &str); 4] = [
    ("gpu.wit", include_str!("../../../../wit/gpu.wit")),
    ("io.wit", include_str!("../../../../wit/io.wit")),
    ("report.wit", include_str!("../../../../wit/report.wit")),
    ("world.wit", include_str!("../../../../wit/world.wit")),
];

/// The component.
///
/// # Errors
/// None, as a test shows; it cannot be proved here.
pub fn workload() -> anyhow::Result<Workload> {
    let mut module = wat::parse_str(GUEST)?;
    let mut sources = SourceMap::default();
    for (name, text) in CONTRACT {
        sources.push_str(name, text);
    }
    let mut resolve = Resolve::default();
    let contract = sources.parse().map_err(|(_, error)| error)?;
    let package = resolve.push_group(contract)?;
    let world = resolve.select_world(&[package], Some("workload"))?;
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)?;
    let component = ComponentEncoder::default().validate(true).module(&module)?.encode()?;
    Ok(Workload::parse(component)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_workload_is_one_and_says_what_it_takes() {
        let made = workload().unwrap();
        assert_eq!(made.blob(), workload().unwrap().blob());
        let params: Vec<_> = made.takes().params.keys().map(ToString::to_string).collect();
        assert_eq!(params, ["entry-point", "outputs", "overrides", "workgroups", "zeros"]);
    }
}
