//! A workload's bytes, parsed but not compiled: whether it is a component, whether it exports the world, and
//! what it imports. Cheap enough for a renter to do before anything is sent.

use crate::bounds::{Bounds, Refused, TooComplex};
use crate::takes::{self, Takes};
use isobit_job::{Blob, Bytes, Hash};
use semver::{Version, VersionReq};
use wasmparser::{ComponentExternalKind, Encoding, Parser, Payload};

/// Interfaces that a provider offers, each with the versions that are accepted, by the rules of semantic versioning. A name
/// that ends with a slash stands for all interfaces of the package.
const OFFERED: [(&str, &str); 9] = [
    ("isobit:compute/io", "^0.1"),
    ("isobit:compute/gpu", "^0.1"),
    ("isobit:compute/report", "^0.1"),
    ("wasi:cli/", "^0.2"),
    ("wasi:clocks/", "^0.2"),
    ("wasi:filesystem/", "^0.2"),
    ("wasi:io/", "^0.2"),
    ("wasi:random/", "^0.2"),
    // Linked, because the standard library imports them; every address is refused.
    ("wasi:sockets/", "^0.2"),
];

/// Whether a provider offers the interface of this name and version.
fn is_offered(import: &str) -> bool {
    let Some((name, version)) = import.split_once('@') else { return false };
    let Ok(version) = Version::parse(version) else { return false };
    let names = |offered: &str| name == offered || (offered.ends_with('/') && name.starts_with(offered));
    let compatible = |required| VersionReq::parse(required).is_ok_and(|required| required.matches(&version));
    OFFERED.iter().any(|(offered, required)| names(offered) && compatible(*required))
}

/// The export that makes a component a command, before the version.
const COMMAND: &str = "wasi:cli/run@0.2.";

/// The most bytes a workload may have: 64 MiB. A stripped Rust guest has 0.1 to 2 MiB.
pub const MAX_WORKLOAD: u64 = 64 << 20;

/// A component that exports the world `isobit:compute/workload`, judged by names alone. Types are
/// checked when it is compiled.
#[derive(Clone)]
pub struct Workload {
    bytes: Vec<u8>,
    blob: Blob,
    imports: Vec<String>,
    exports: Vec<String>,
    takes: Takes,
    /// Instances of core modules.
    instances: u32,
}

/// Why bytes are not a workload.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the message of a variant says what it is")]
#[non_exhaustive]
pub enum WorkloadError {
    #[error("not a WebAssembly component: {0}")]
    NotWasm(String),
    #[error("this is a core WebAssembly module, not a component")]
    CoreModule,
    #[error(
        "the component does not export `run`, so it is not of the world isobit:compute/workload, and not wasi:cli/run either, so it is no command; it exports: {found}"
    )]
    NotTheWorld {
        /// The exports of the component, as a list in words.
        found: String,
    },
    #[error("the component imports `{0}`, which the world isobit:compute/workload does not offer")]
    UnknownImport(String),
    #[error(transparent)]
    TooComplex(TooComplex),
    #[error("the workload has {size} bytes or more; at most {MAX_WORKLOAD} are allowed")]
    TooLarge {
        /// In bytes.
        size: u64,
    },
}

impl Workload {
    /// Parses a component's sections.
    ///
    /// # Errors
    /// Fails if the bytes are not a workload; the error says why.
    pub fn parse(bytes: Vec<u8>) -> Result<Self, WorkloadError> {
        let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if size > MAX_WORKLOAD {
            return Err(WorkloadError::TooLarge { size });
        }
        let size = Bytes::try_from(size).map_err(|_| WorkloadError::TooLarge { size })?;
        let Found { imports, exports, takes, instances } = look_through(&bytes)?;
        let blob = Blob { hash: Hash::of(&bytes), size };
        let workload = Self { bytes, blob, imports, exports, takes, instances };
        workload.check_world()?;
        Ok(workload)
    }

    /// Whether the bytes are a core module, of which [`parse`](Self::parse) makes nothing.
    #[must_use]
    pub fn is_core_module(bytes: &[u8]) -> bool {
        Parser::is_core_wasm(bytes)
    }

    fn check_world(&self) -> Result<(), WorkloadError> {
        if let Some(import) = self.imports.iter().find(|name| !is_offered(name)) {
            return Err(WorkloadError::UnknownImport(import.clone()));
        }
        if !self.exports.iter().any(|name| name == "run") && !self.is_command() {
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

    /// What the workload declares that it takes and makes.
    #[must_use]
    pub fn takes(&self) -> &Takes {
        &self.takes
    }

    /// Whether it is a WASI command: a program with `main`, with arguments, standard streams and files.
    #[must_use]
    pub fn is_command(&self) -> bool {
        let is_run = |name: &String| name.starts_with(COMMAND) && !name.ends_with('@');
        !self.exports.iter().any(|name| name == "run") && self.exports.iter().any(is_run)
    }

    /// How many instances of core modules it has.
    pub(crate) fn instances(&self) -> u32 {
        self.instances
    }
}

/// What was found in a component.
#[derive(Default)]
struct Found {
    imports: Vec<String>,
    exports: Vec<String>,
    takes: Takes,
    instances: u32,
}

/// Import and export names of the outermost component, and what its modules declare.
fn look_through(bytes: &[u8]) -> Result<Found, WorkloadError> {
    if !bytes.starts_with(MAGIC) {
        return Err(WorkloadError::NotWasm(what_it_seems(bytes)));
    }
    if bytes.get(4..8).is_some_and(|version| !VERSIONS.contains(&version)) {
        let reason = "it begins as WebAssembly does, but its version is none that is known here";
        return Err(WorkloadError::NotWasm(reason.to_owned()));
    }
    let broken = |error: wasmparser::BinaryReaderError| {
        let (at, of) = (error.offset(), bytes.len());
        WorkloadError::NotWasm(format!("it is damaged or cut short, at byte {at} of {of}: {}", error.message()))
    };
    let Found { mut imports, mut exports, mut takes, .. } = Found::default();
    let mut depth = 0_u32;
    let mut bounds = Bounds::default();
    for payload in Parser::new(0).parse_all(bytes) {
        let payload = payload.map_err(broken)?;
        bounds.count(&payload).map_err(|refused| match refused {
            Refused::TooComplex(error) => WorkloadError::TooComplex(error),
            Refused::Broken(error) => broken(error),
        })?;
        match payload {
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
            Payload::CustomSection(section) if section.name() == takes::SECTION => takes.read(section.data()),
            _ => {}
        }
    }
    Ok(Found { imports, exports, takes, instances: bounds.instances() })
}

/// The first bytes of WebAssembly.
const MAGIC: &[u8] = b"\0asm";

/// The bytes that follow: of a module, and of a component.
const VERSIONS: [&[u8]; 2] = [b"\x01\0\0\0", b"\x0d\0\x01\0"];

/// Says in words what a file that is not WebAssembly seems to be.
fn what_it_seems(bytes: &[u8]) -> String {
    const KNOWN: [(&[u8], &str); 6] = [
        (b"\x7fELF", "it is a program for this kind of machine; give what `isobit build` made"),
        (b"\x89PNG", "it is a PNG picture; inputs go after -i NAME="),
        (b"\xff\xd8\xff", "it is a JPEG picture; inputs go after -i NAME="),
        (b"PK\x03\x04", "it is a zip archive"),
        (b"\x1f\x8b", "it is compressed with gzip; unpack it first"),
        (b"(", "it may be WebAssembly in text form; only the binary form is taken"),
    ];
    if bytes.is_empty() {
        return "the file is empty".to_owned();
    }
    if let Some((_, what)) = KNOWN.iter().find(|(magic, _)| bytes.starts_with(magic)) {
        return (*what).to_owned();
    }
    match std::str::from_utf8(bytes) {
        Ok(text) if text.contains("@compute") => "it is a kernel in WGSL; look at it with `isobit check`".to_owned(),
        Ok(text) if !text.chars().any(|c| c.is_control() && !c.is_whitespace()) => {
            "it is text; build a workload with `isobit build`".to_owned()
        }
        _ => "it does not begin as WebAssembly does".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_version_of_an_interface_is_not_offered() {
        for offered in
            ["isobit:compute/gpu@0.1.0", "isobit:compute/io@0.1.7", "wasi:cli/stdout@0.2.6", "wasi:io/error@0.2.0"]
        {
            assert!(is_offered(offered), "{offered}");
        }
        for not in [
            "isobit:compute/gpu@0.10.0",
            "isobit:compute/gpu@0.2.0",
            "isobit:compute/gpu@1.0.0",
            "isobit:compute/gpu@0.1",
            "isobit:compute/gpu",
            "isobit:compute/gpus@0.1.0",
            "wasi:cli/stdout@0.3.0",
            "wasi:http/types@0.2.0",
            "",
        ] {
            assert!(!is_offered(not), "{not}");
        }
    }

    #[test]
    fn a_core_module_is_refused_as_one() {
        let module = wat::parse_str("(module)").unwrap();
        assert!(Workload::is_core_module(&module));
        assert!(matches!(Workload::parse(module), Err(WorkloadError::CoreModule)));
        assert!(!Workload::is_core_module(&wat::parse_str("(component)").unwrap()));
    }

    #[test]
    fn what_is_no_component_is_told_in_a_sentence() {
        for (bytes, what) in [
            (&b"hello world"[..], "it is text"),
            (b"@compute @workgroup_size(1) fn main() {}", "isobit check"),
            (b"(module)", "text form"),
            (b"", "empty"),
            (b"\x7fELF\x02\x01", "a program"),
            (b"\x89PNG\r\n\x1a\n", "a PNG picture"),
            (b"\x01\x02\x03", "does not begin"),
            (b"\0asm and then nothing", "its version is none that is known"),
            (b"\0asm", "damaged or cut short, at byte 4 of 4"),
            (b"\0asm\x0d\0\x01\0\x04\x7f", "damaged or cut short, at byte 10 of 10"),
        ] {
            let error = Workload::parse(bytes.to_vec()).err().unwrap().to_string();
            assert!(error.starts_with("not a WebAssembly component: ") && error.contains(what), "{error}");
            // No dump of what was read.
            assert!(!error.contains("0x"), "{error}");
        }
    }

    #[test]
    fn what_a_module_inside_says_that_it_takes_is_found() {
        let text = r#"(component
            (core module $m (func (export "run")) (@custom "isobit:takes" "param count how many\0ainput in\0a"))
            (core module (@custom "isobit:takes" "output out\0a") (@custom "other" "param other\0a"))
            (core instance $i (instantiate $m)) (func (export "run") (canon lift (core func $i "run"))))"#;
        let workload = Workload::parse(wat::parse_str(text).unwrap()).unwrap();
        let Takes { params, inputs, outputs } = workload.takes();
        assert_eq!(
            params.iter().map(|(name, text)| format!("{name}: {text}")).collect::<Vec<_>>(),
            ["count: how many"]
        );
        assert_eq!(inputs.keys().map(ToString::to_string).collect::<Vec<_>>(), ["in"]);
        assert_eq!(outputs.keys().map(ToString::to_string).collect::<Vec<_>>(), ["out"]);
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
