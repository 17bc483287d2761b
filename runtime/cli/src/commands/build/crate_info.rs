//! What cargo knows of the crate to build.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::Context as _;
use serde::Deserialize;
use serde_json::Value;

use super::Target;
use super::toolchain::Toolchain;
use crate::failure::Failure;

/// The crate to build.
#[derive(Debug)]
pub struct CrateInfo {
    /// The package's name.
    pub name: String,
    /// The folder of the crate's workspace; the crate's own folder if it belongs to no other.
    pub workspace: PathBuf,
    /// Whether it is a program with `main`, and not a library for the world.
    pub is_program: bool,
    id: String,
    target_dir: PathBuf,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    target_directory: PathBuf,
    workspace_root: PathBuf,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
    manifest_path: PathBuf,
    targets: Vec<CargoTarget>,
}

#[derive(Deserialize)]
struct CargoTarget {
    kind: Vec<String>,
    crate_types: Vec<String>,
}

impl Package {
    fn has_cdylib(&self) -> bool {
        self.targets.iter().any(CargoTarget::is_cdylib)
    }

    fn programs(&self) -> usize {
        self.targets.iter().filter(|target| target.is_program()).count()
    }
}

impl CargoTarget {
    fn is_program(&self) -> bool {
        self.kind.iter().any(|kind| kind == "bin")
    }

    fn is_cdylib(&self) -> bool {
        self.crate_types.iter().any(|kind| kind == "cdylib")
    }
}

/// Asks cargo about the crate in `dir`.
pub fn read(toolchain: &Toolchain, dir: &Path, flags: &[&str]) -> anyhow::Result<CrateInfo> {
    let mut cargo = toolchain.cargo(dir);
    cargo.args(["metadata", "--no-deps", "--format-version=1"]).args(flags);
    let output = cargo.stdin(Stdio::null()).stderr(Stdio::inherit()).output().context("cannot start cargo")?;
    if !output.status.success() {
        return Err(Failure::new(format!("cargo cannot read the crate in {}", dir.display()))
            .hint("cargo's messages are above")
            .into());
    }
    let metadata: Metadata = serde_json::from_slice(&output.stdout).context("cannot understand `cargo metadata`")?;
    let manifest = dir.join("Cargo.toml").canonicalize().with_context(|| format!("cannot use {}", dir.display()))?;
    choose(metadata, &manifest)
}

fn choose(metadata: Metadata, manifest: &Path) -> anyhow::Result<CrateInfo> {
    // cargo keeps symbolic links in the path as they were given.
    let is_it = |package: &Package| package.manifest_path.canonicalize().is_ok_and(|path| path == manifest);
    match metadata.packages.iter().position(is_it).and_then(|at| metadata.packages.get(at)) {
        None => {
            let members: Vec<&str> = metadata
                .packages
                .iter()
                .filter(|package| package.has_cdylib())
                .map(|package| package.name.as_str())
                .collect();
            let hint = if members.is_empty() {
                "name the folder of a crate".to_owned()
            } else {
                format!("name the folder of one of: {}", members.join(", "))
            };
            Err(Failure::new("this is a workspace, not a crate").hint(hint).into())
        }
        Some(package) if !package.has_cdylib() && package.programs() != 1 => {
            let (name, programs) = (&package.name, package.programs());
            let hint = "put `[lib]` and `crate-type = [\"cdylib\"]` into its Cargo.toml, or one src/main.rs beside it";
            Err(Failure::new(format!("the crate {name} has no library of type cdylib, and {programs} programs"))
                .hint(hint)
                .into())
        }
        Some(package) => {
            let Package { name, id, .. } = package;
            let (name, id, is_program) = (name.clone(), id.clone(), !package.has_cdylib());
            Ok(CrateInfo {
                name,
                is_program,
                id,
                target_dir: metadata.target_directory,
                workspace: metadata.workspace_root,
            })
        }
    }
}

/// The crate and those of its dependencies that lie in a folder of the user's, not in a registry or a repository: their
/// sources may change without a new version.
pub fn local_packages(
    toolchain: &Toolchain,
    dir: &Path,
    info: &CrateInfo,
    target: Target,
    flags: &[&str],
) -> anyhow::Result<Vec<String>> {
    let mut cargo = toolchain.cargo(dir);
    cargo.args(["tree", "--package", &info.id, "--target", target.triple(), "--edges", "normal,build"]);
    cargo.args(["--prefix", "none", "--format", "{p}"]).args(flags);
    let output = cargo.stdin(Stdio::null()).stderr(Stdio::inherit()).output().context("cannot start cargo")?;
    if !output.status.success() {
        return Err(Failure::new(format!("cargo cannot find what {} is built from", info.name))
            .hint("cargo's messages are above")
            .into());
    }
    let mut packages: Vec<String> =
        String::from_utf8_lossy(&output.stdout).lines().filter_map(local_package).map(str::to_owned).collect();
    packages.sort();
    packages.dedup();
    Ok(packages)
}

/// The package's name, if it lies in a folder: `NAME vVERSION (proc-macro) (/FOLDER)`, where the second part may be missing.
fn local_package(line: &str) -> Option<&str> {
    let (name, rest) = line.split_once(' ')?;
    let (_, folder) = rest.trim_end_matches(" (*)").split_once(" (")?;
    let folder = folder.strip_prefix("proc-macro) (").unwrap_or(folder);
    Path::new(folder.strip_suffix(')')?).is_absolute().then_some(name)
}

impl CrateInfo {
    /// Whether the user has chosen a folder for build results, by a setting of cargo's or in the environment.
    pub fn has_chosen_target_dir(&self) -> bool {
        self.target_dir != self.workspace.join("target")
    }

    /// Where the component goes by default.
    pub fn default_output(&self) -> PathBuf {
        self.target_dir.join("isobit").join(format!("{}.wasm", self.name))
    }

    /// The crate's module, if this message of cargo's is about it.
    pub fn module_of(&self, message: &Value) -> Option<PathBuf> {
        #[derive(Deserialize)]
        struct Artifact {
            reason: String,
            package_id: String,
            target: CargoTarget,
            filenames: Vec<PathBuf>,
        }
        let artifact = Artifact::deserialize(message).ok()?;
        let is_module = |file: &PathBuf| file.extension().is_some_and(|extension| extension == "wasm");
        let is_it = if self.is_program { artifact.target.is_program() } else { artifact.target.is_cdylib() };
        (artifact.reason == "compiler-artifact" && artifact.package_id == self.id && is_it)
            .then(|| artifact.filenames.into_iter().find(is_module))
            .flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_crates_own_module_is_taken() {
        let info = CrateInfo {
            name: "blur".into(),
            is_program: false,
            id: "path+file:///blur#0.1.0".into(),
            target_dir: "/blur/target".into(),
            workspace: "/blur".into(),
        };
        assert!(!info.has_chosen_target_dir());
        let message = |id: &str, kind: &str| {
            serde_json::json!({
                "reason": "compiler-artifact", "package_id": id, "target": { "kind": [kind], "crate_types": [kind] },
                "filenames": ["/t/blur.d", "/t/blur.wasm"],
            })
        };
        assert_eq!(info.module_of(&message(&info.id, "cdylib")), Some("/t/blur.wasm".into()));
        assert_eq!(info.module_of(&message(&info.id, "lib")), None);
        assert_eq!(info.module_of(&message("other", "cdylib")), None);
        assert_eq!(info.module_of(&message(&info.id, "bin")), None);
        assert_eq!(info.module_of(&serde_json::json!({ "reason": "build-finished", "success": true })), None);
        let program = CrateInfo { is_program: true, ..info };
        assert_eq!(program.module_of(&message(&program.id, "bin")), Some("/t/blur.wasm".into()));
        assert_eq!(program.module_of(&message(&program.id, "cdylib")), None);
    }

    #[test]
    #[cfg(unix)]
    fn only_packages_in_folders_are_local() {
        for (line, name) in [
            ("blur v0.1.0 (/home/me/blur)", Some("blur")),
            ("isobit-macros v0.1.0 (proc-macro) (/home/me/a (b)/macros)", Some("isobit-macros")),
            ("isobit-sdk v0.1.0 (/home/me/sdk) (*)", Some("isobit-sdk")),
            ("bytemuck v1.25.2", None),
            ("quote v1.0.47 (*)", None),
            ("serde_derive v1.0.229 (proc-macro)", None),
            ("serde_derive v1.0.229 (proc-macro) (*)", None),
            ("one v1.0.0 (https://example.org/one#0123abcd)", None),
            ("two v1.0.0 (registry `ours`)", None),
            ("", None),
        ] {
            assert_eq!(local_package(line), name, "{line}");
        }
    }
}
