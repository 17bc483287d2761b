//! Which Vulkan drivers a machine has, and where what set-up fetches is kept. Shared with the support code
//! of the tests of the whole, so that processes which they start see all drivers. Tests that open devices themselves see what the
//! environment names: all drivers under `cargo xtask test`, or after `eval "$(cargo xtask env)"`; they say what they miss.

use std::fs;
use std::path::{Path, PathBuf};

/// Where the Vulkan loader looks for drivers, except the user's own folders.
const DRIVER_FOLDERS: [&str; 4] =
    ["/etc/vulkan/icd.d", "/usr/local/etc/vulkan/icd.d", "/usr/share/vulkan/icd.d", "/usr/local/share/vulkan/icd.d"];

/// The file that tells the loader of SwiftShader.
const SWIFTSHADER_MANIFEST: &str = "vk_swiftshader_icd.json";

/// Where browsers and editors that carry SwiftShader keep it.
const SWIFTSHADER_FOLDERS: [&str; 5] = [
    "/usr/lib/chromium",
    "/usr/lib/chromium-browser",
    "/opt/google/chrome",
    "/usr/share/code",
    "/snap/chromium/current/usr/lib/chromium-browser",
];

/// Where set-up keeps what it fetches: `$XDG_CACHE_HOME/isobit` or `~/.cache/isobit`. Outside the repository, so that
/// every clone on the machine shares it.
pub fn cache() -> PathBuf {
    // The XDG specification has relative paths ignored.
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")));
    cache.unwrap_or_else(std::env::temp_dir).join("isobit")
}

/// The folder for SwiftShader's two files.
pub fn swiftshader_folder() -> PathBuf {
    cache().join("drivers").join("swiftshader")
}

/// A photograph in the public domain, 512 by 512 pixels, once set-up has fetched it.
pub fn photograph() -> PathBuf {
    cache().join("pictures").join("astronaut.png")
}

/// SwiftShader's manifest, from the cache or from a program that carries it.
pub fn swiftshader() -> Option<PathBuf> {
    let folders = std::iter::once(swiftshader_folder()).chain(SWIFTSHADER_FOLDERS.map(PathBuf::from));
    folders
        .filter(|folder| folder.join("libvk_swiftshader.so").is_file())
        .map(|folder| folder.join(SWIFTSHADER_MANIFEST))
        .find(|manifest| manifest.is_file())
}

/// The manifests of all installed drivers, sorted.
pub fn installed() -> Vec<PathBuf> {
    let mut manifests: Vec<PathBuf> =
        DRIVER_FOLDERS.iter().flat_map(|folder| manifests_in(Path::new(folder))).collect();
    manifests.sort();
    manifests
}

fn manifests_in(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    entries
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .collect()
}

/// The variables that make the Vulkan loader see every driver, SwiftShader included, where the user has not
/// chosen drivers.
pub fn variables() -> Vec<(&'static str, String)> {
    // Loaders before 1.3.207 know only the second name.
    const NAMES: [&str; 2] = ["VK_DRIVER_FILES", "VK_ICD_FILENAMES"];
    // Mesa's layer for choosing a device asks a display server, and complains on stderr where there is none.
    let mut variables = vec![("NODEVICE_SELECT", "1".to_owned())];
    let chosen = NAMES.iter().any(|name| std::env::var_os(name).is_some());
    if let Some(swiftshader) = swiftshader().filter(|_| !chosen) {
        let list: Vec<String> =
            installed().into_iter().chain([swiftshader]).map(|path| path.display().to_string()).collect();
        variables.extend(NAMES.map(|name| (name, list.join(":"))));
    }
    variables
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variables_name_only_files_that_exist() {
        for (name, list) in variables().into_iter().filter(|(name, _)| name.starts_with("VK_")) {
            assert!(list.split(':').all(|path| Path::new(path).is_file()), "{name}={list}");
        }
    }
}
