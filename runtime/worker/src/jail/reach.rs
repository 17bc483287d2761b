//! What a worker may reach of the file system.

use std::fs;
use std::path::{Path, PathBuf};

/// Where libraries, drivers and their settings are, and what both learn of the machine. Read only.
const READ: [&str; 12] = [
    "/usr",
    "/lib",
    "/lib64",
    "/opt",
    "/nix",
    "/run/opengl-driver",
    "/etc/ld.so.cache",
    "/etc/vulkan",
    "/etc/drirc",
    "/etc/nvidia",
    "/etc/alternatives",
    "/etc/localtime",
];

/// What drivers and the language's runtime read of the system. Of `/proc` only this process: what others are is not its business.
const SYSTEM: [&str; 9] = [
    "/sys",
    "/proc/self",
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/modules",
    "/proc/filesystems",
    "/proc/sys",
    "/proc/driver",
];

/// What programs expect in any process, and the folder and node of AMD's and Intel's GPUs.
const DEVICES: [&str; 5] = ["/dev/dri", "/dev/kfd", "/dev/null", "/dev/zero", "/dev/urandom"];

/// The paths that a worker may reach. What is not there needs no permission.
pub(crate) struct Reach {
    /// Read only.
    pub read: Vec<PathBuf>,
    /// The system's own files: they are what they are, wherever they are mounted.
    pub system: Vec<PathBuf>,
    /// Device nodes.
    pub devices: Vec<PathBuf>,
}

impl Reach {
    /// What every worker reaches, and these folders and files besides.
    pub(crate) fn with(more: &[PathBuf]) -> Self {
        let own = READ.iter().map(PathBuf::from).chain(more.iter().cloned()).filter(|path| path.is_absolute());
        Self { read: own.collect(), system: SYSTEM.map(PathBuf::from).to_vec(), devices: devices() }
    }
}

/// The device nodes that GPUs are driven by. NVIDIA has one for each GPU, and some for all.
fn devices() -> Vec<PathBuf> {
    let nvidia = fs::read_dir("/dev").into_iter().flatten().filter_map(Result::ok).map(|entry| entry.path());
    let is_nvidia = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("nvidia"));
    DEVICES.iter().map(PathBuf::from).chain(nvidia.filter(is_nvidia)).filter(|path| path.exists()).collect()
}

/// Where a user's own drivers may lie, as the Vulkan loader looks for them.
pub(crate) fn drivers_folders() -> Vec<PathBuf> {
    let set = |name: &str| std::env::var_os(name).into_iter();
    let lists =
        ["VK_DRIVER_FILES", "VK_ICD_FILENAMES", "VK_ADD_DRIVER_FILES", "LD_LIBRARY_PATH"].into_iter().flat_map(set);
    let listed: Vec<PathBuf> = lists.flat_map(|list| std::env::split_paths(&list).collect::<Vec<_>>()).collect();
    let home = set("HOME").map(PathBuf::from);
    let data = home.flat_map(|home| [home.join(".local/share/vulkan"), home.join(".config/vulkan")]);
    let data =
        data.chain(set("XDG_DATA_HOME").chain(set("XDG_CONFIG_HOME")).map(|folder| Path::new(&folder).join("vulkan")));
    listed.iter().map(|path| beside(path)).chain(data).collect()
}

/// The folder of a file that a list of drivers names: a manifest names a library next to it. The root is not opened for it.
fn beside(path: &Path) -> PathBuf {
    let folder = if path.is_dir() { Some(path) } else { path.parent() };
    folder.filter(|folder| folder.parent().is_some()).unwrap_or(path).to_owned()
}
