//! Which Vulkan drivers a machine has, and where what set-up fetches is kept. Shared with the support code of the tests of the
//! whole.
//!
//! The Vulkan loader looks for drivers in folders of the system and in one of the user's own. Set-up puts SwiftShader into that one,
//! so every program of the user's sees it, without any variable.

use std::fs;
use std::path::{Path, PathBuf};

/// Where the Vulkan loader looks for drivers, except the user's own folder.
const DRIVER_FOLDERS: [&str; 4] =
    ["/etc/vulkan/icd.d", "/usr/local/etc/vulkan/icd.d", "/usr/share/vulkan/icd.d", "/usr/local/share/vulkan/icd.d"];

/// SwiftShader, and the file that tells the loader of it, as programs that carry them name them.
pub const SWIFTSHADER_FILES: [&str; 2] =
    ["usr/lib/chromium/libvk_swiftshader.so", "usr/lib/chromium/vk_swiftshader_icd.json"];

/// Where browsers and editors that carry SwiftShader keep it.
pub const SWIFTSHADER_FOLDERS: [&str; 5] = [
    "/usr/lib/chromium",
    "/usr/lib/chromium-browser",
    "/opt/google/chrome",
    "/usr/share/code",
    "/snap/chromium/current/usr/lib/chromium-browser",
];

/// Where set-up keeps pictures: `$XDG_CACHE_HOME/isobit` or `~/.cache/isobit`. Outside the repository, so that
/// every clone on the machine shares it.
pub fn cache() -> PathBuf {
    home("XDG_CACHE_HOME", ".cache").join("isobit")
}

/// A folder of the user's. The XDG specification has relative paths ignored.
fn home(variable: &str, below_home: &str) -> PathBuf {
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute(variable).or_else(|| absolute("HOME").map(|home| home.join(below_home))).unwrap_or_else(std::env::temp_dir)
}

/// The user's own folder of the Vulkan loader's: `$XDG_DATA_HOME/vulkan` or `~/.local/share/vulkan`.
fn user_vulkan() -> PathBuf {
    home("XDG_DATA_HOME", ".local/share").join("vulkan")
}

/// The folder for SwiftShader's two files.
pub fn swiftshader_folder() -> PathBuf {
    user_vulkan().join("swiftshader")
}

/// The file that tells the Vulkan loader of SwiftShader.
pub fn swiftshader_manifest() -> PathBuf {
    user_vulkan().join("icd.d").join("isobit-swiftshader.json")
}

/// Whether SwiftShader is here: where set-up puts it, or installed as drivers usually are.
pub fn has_swiftshader() -> bool {
    let ours = SWIFTSHADER_FILES.iter().filter_map(|file| Path::new(file).file_name());
    is_swiftshader_installed() || ours.into_iter().all(|name| swiftshader_folder().join(name).is_file())
}

/// Whether the system's own folders tell of SwiftShader; telling the loader again would list it twice.
pub fn is_swiftshader_installed() -> bool {
    let names = |path: &PathBuf| path.file_name().map(|name| name.to_string_lossy().to_lowercase());
    installed().iter().filter_map(names).any(|name| name.contains("swiftshader"))
}

/// A photograph in the public domain, 512 by 512 pixels, once set-up has fetched it.
pub fn photograph() -> PathBuf {
    cache().join("pictures").join("astronaut.png")
}

/// The manifests of all drivers that are installed on the system, sorted.
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
