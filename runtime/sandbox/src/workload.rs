//! A workload's bytes, looked at but not compiled: is it a component, does it export the world, what
//! does it import. Cheap enough for a renter to do before anything is sent.

use isobit_job::{Blob, Bytes, Hash};
use wasmparser::{ComponentExternalKind, Encoding, Parser, Payload};

/// Interfaces that a provider offers, by prefix.
const OFFERED: [&str; 9] = [
    "isobit:compute/io@0.1",
    "isobit:compute/gpu@0.1",
    "isobit:compute/report@0.1",
    "wasi:cli/",
    "wasi:clocks/",
    "wasi:filesystem/",
    "wasi:io/",
    "wasi:random/",
    // Linked, for the standard library names them; every address is refused.
    "wasi:sockets/",
];

/// The most bytes a workload may have: 64 MiB. A stripped Rust guest has 0.1 to 2 MiB.
pub const MAX_WORKLOAD: u64 = 64 << 20;

/// A component that exports the world `isobit:compute/workload`, as far as its names tell. Types are
/// checked when it is compiled.
#[derive(Clone)]
pub struct Workload {
    bytes: Vec<u8>,
    blob: Blob,
    imports: Vec<String>,
    exports: Vec<String>,
}

/// Why bytes are not a workload.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WorkloadError {
    /// Not WebAssembly, or broken.
    #[error("not a WebAssembly component: {0}")]
    NotWasm(String),
    /// A core module.
    #[error("this is a core WebAssembly module, not a component; build it with `isobit build`")]
    CoreModule,
    /// The world's export is missing.
    #[error(
        "the component does not export `run`, so it is not of the world isobit:compute/workload; it exports: {found}"
    )]
    NotTheWorld {
        /// What it exports instead.
        found: String,
    },
    /// It wants something that no provider offers.
    #[error("the component imports `{0}`, which the world isobit:compute/workload does not offer")]
    UnknownImport(String),
    /// Larger than allowed.
    #[error("the workload has {size} bytes; at most {MAX_WORKLOAD} are allowed")]
    TooLarge {
        /// Its size in bytes.
        size: u64,
    },
}

impl Workload {
    /// Looks through a component's sections.
    ///
    /// # Errors
    /// Says what keeps the bytes from being a workload.
    pub fn parse(bytes: Vec<u8>) -> Result<Self, WorkloadError> {
        let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if size > MAX_WORKLOAD {
            return Err(WorkloadError::TooLarge { size });
        }
        let size = Bytes::try_from(size).map_err(|_| WorkloadError::TooLarge { size })?;
        let (imports, exports) = names(&bytes)?;
        let blob = Blob { hash: Hash::of(&bytes), size };
        let workload = Self { bytes, blob, imports, exports };
        workload.check_world()?;
        Ok(workload)
    }

    fn check_world(&self) -> Result<(), WorkloadError> {
        if let Some(import) = self.imports.iter().find(|name| !OFFERED.iter().any(|offered| name.starts_with(offered)))
        {
            return Err(WorkloadError::UnknownImport(import.clone()));
        }
        if !self.exports.iter().any(|name| name == "run") {
            let found = if self.exports.is_empty() { "nothing".to_owned() } else { self.exports.join(", ") };
            return Err(WorkloadError::NotTheWorld { found });
        }
        Ok(())
    }

    /// The component's bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Hash and size, as they stand in a job spec.
    #[must_use]
    pub fn blob(&self) -> Blob {
        self.blob
    }

    /// Names of the imported interfaces, in file order.
    #[must_use]
    pub fn imports(&self) -> &[String] {
        &self.imports
    }

    /// Names of the exports, in file order.
    #[must_use]
    pub fn exports(&self) -> &[String] {
        &self.exports
    }
}

/// Import and export names of the outermost component.
fn names(bytes: &[u8]) -> Result<(Vec<String>, Vec<String>), WorkloadError> {
    let broken = |error: wasmparser::BinaryReaderError| WorkloadError::NotWasm(error.to_string());
    let (mut imports, mut exports) = (Vec::new(), Vec::new());
    let mut depth = 0_u32;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.map_err(broken)? {
            Payload::Version { encoding: Encoding::Module, .. } if depth == 0 => return Err(WorkloadError::CoreModule),
            Payload::Version { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 1 => {
                for import in section {
                    imports.push(import.map_err(broken)?.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(section) if depth == 1 => {
                for export in section {
                    let export = export.map_err(broken)?;
                    if matches!(export.kind, ComponentExternalKind::Func | ComponentExternalKind::Instance) {
                        exports.push(export.name.name.to_owned());
                    }
                }
            }
            _ => {}
        }
    }
    Ok((imports, exports))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_core_module_is_refused_with_advice() {
        let module = wat::parse_str("(module)").unwrap();
        let error = Workload::parse(module).err().unwrap();
        assert!(error.to_string().contains("isobit build"), "{error}");
    }

    #[test]
    fn random_bytes_are_refused() {
        assert!(matches!(Workload::parse(b"hello world".to_vec()), Err(WorkloadError::NotWasm(_))));
        assert!(matches!(Workload::parse(Vec::new()), Err(WorkloadError::NotWasm(_))));
    }

    #[test]
    fn a_component_of_another_world_is_refused_by_name() {
        let component = wat::parse_str("(component)").unwrap();
        let error = Workload::parse(component).err().unwrap();
        assert!(error.to_string().contains("exports: nothing"), "{error}");
        let component = wat::parse_str(r#"(component (import "wasi:http/types@0.2.0" (instance)))"#).unwrap();
        assert!(matches!(Workload::parse(component), Err(WorkloadError::UnknownImport(name)) if name.contains("http")));
    }
}
