//! Files that appear whole or not at all.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use tempfile::NamedTempFile;

/// A file that has its name only once it is complete.
pub struct NewFile {
    temporary: NamedTempFile,
    path: PathBuf,
}

impl NewFile {
    /// Begins a file, and makes its folder if that is missing: what stands in the way is found here.
    pub fn create(path: &Path) -> anyhow::Result<Self> {
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let begin = || -> io::Result<NamedTempFile> {
            fs::create_dir_all(folder)?;
            // Temporary files are private by default; these are as public as any that is built.
            #[cfg(unix)]
            let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o666);
            #[cfg(not(unix))]
            let permissions = fs::metadata(folder)?.permissions();
            tempfile::Builder::new().permissions(permissions).tempfile_in(folder)
        };
        let temporary = begin().with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self { temporary, path: path.to_owned() })
    }

    /// Fills it, and gives it its name.
    pub fn keep(mut self, bytes: &[u8]) -> anyhow::Result<()> {
        let written = self.temporary.write_all(bytes);
        let kept = written.and_then(|()| Ok(self.temporary.persist(&self.path).map(drop)?));
        kept.with_context(|| format!("cannot write {}", self.path.display()))
    }
}
