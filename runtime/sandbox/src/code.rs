//! Compiled workloads on disk, one file per workload and engine. Loading machine code means running it, so on a
//! provider only the supervisor writes here: a worker compiles into a file without a name and stops; the
//! supervisor copies that file, and only then does the worker run the guest.

use crate::engine::{CompileError, CompiledWorkload, Sandbox, TrustedCode};
use crate::workload::Workload;

use isobit_job::Hash;
use std::fs::{self, File};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// The most bytes of all files together: 1 GiB, some thousand workloads.
pub const LIMIT: u64 = 1 << 30;

/// The most bytes of one workload's code: 256 MiB.
pub const MAX_CODE: u64 = 256 << 20;

/// The prefix of the names of files that are still being written.
const HALF_KEPT: &str = ".isobit-";

/// The folder of compiled workloads.
#[derive(Clone, Debug)]
pub struct CodeCache(PathBuf);

impl CodeCache {
    /// Opens the folder, and creates it if it does not exist.
    ///
    /// # Errors
    /// Fails if the folder cannot be created.
    pub fn open(dir: &Path) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        Ok(Self(dir.to_owned()))
    }

    /// The code of this workload for the engine of this key, if it has been compiled before and is as it was then. Code that is not is removed.
    pub fn get(&self, workload: Hash, key: &str) -> Option<File> {
        let path = self.path(workload, key);
        let mut file = File::open(&path).ok()?;
        let is_whole = fs::read_to_string(hash_path(&path)).ok().and_then(|text| text.trim().parse().ok())
            == Some(hash_of(&mut file).ok()?);
        if !is_whole {
            tracing::warn!(target: "isobit::sandbox", %workload, "compiled code was damaged, and is compiled again");
            self.forget(workload, key);
            return None;
        }
        file.rewind().ok()?;
        // Recently used code is kept; a clock that cannot be set only costs a compilation later.
        file.set_modified(SystemTime::now()).ok();
        Some(file)
    }

    /// An empty file without a name, to compile into.
    ///
    /// # Errors
    /// Fails if the file cannot be created.
    pub fn scratch(&self) -> io::Result<File> {
        tempfile::tempfile_in(&self.0)
    }

    /// Stores a copy of the code that a worker compiled.
    ///
    /// # Errors
    /// Fails if the copy cannot be written, or old files cannot be removed to make room.
    pub fn keep(&self, workload: Hash, key: &str, mut code: File) -> io::Result<()> {
        code.rewind()?;
        let mut copy = tempfile::Builder::new().prefix(HALF_KEPT).tempfile_in(&self.0)?;
        let copied = io::copy(&mut (&mut code).take(MAX_CODE + 1), copy.as_file_mut())?;
        if copied > MAX_CODE {
            return Err(io::Error::other(format!("the code has more than {MAX_CODE} bytes")));
        }
        let file = copy.as_file_mut();
        file.rewind()?;
        let hash = hash_of(file)?;
        file.sync_all()?;
        let path = self.path(workload, key);
        // The hash first: code without its hash is not used, and neither is code that is not of that hash.
        let mut note = tempfile::Builder::new().prefix(HALF_KEPT).tempfile_in(&self.0)?;
        writeln!(note, "{hash}")?;
        note.as_file().sync_all()?;
        note.persist(hash_path(&path)).map_err(|error| error.error)?;
        copy.persist(path).map_err(|error| error.error)?;
        self.trim()
    }

    /// Removes the code of a workload.
    pub fn forget(&self, workload: Hash, key: &str) {
        let path = self.path(workload, key);
        // What cannot be removed does not pass the check either.
        fs::remove_file(hash_path(&path)).ok();
        fs::remove_file(path).ok();
    }

    /// Loads the workload's code, or compiles the workload and stores its code. For a process without a separate
    /// supervisor, which trusts the code it compiled itself.
    ///
    /// # Errors
    /// Fails if the workload does not compile.
    pub fn load_or_compile(&self, sandbox: &Sandbox, workload: &Workload) -> Result<CompiledWorkload, CompileError> {
        let (hash, key) = (workload.blob().hash, sandbox.code_key());
        let cached = self.get(hash, key.as_str()).and_then(|file| sandbox.load(&TrustedCode::promise(file), hash).ok());
        if let Some(compiled) = cached {
            return Ok(compiled);
        }
        let compiled = sandbox.compile(workload)?;
        let kept = compiled.code().map_err(io::Error::other).and_then(|code| {
            let mut scratch = self.scratch()?;
            io::Write::write_all(&mut scratch, &code)?;
            self.keep(hash, key.as_str(), scratch)
        });
        if let Err(error) = kept {
            tracing::warn!(target: "isobit::sandbox", %error, "compiled code could not be kept");
        }
        Ok(compiled)
    }

    fn path(&self, workload: Hash, key: &str) -> PathBuf {
        self.0.join(format!("{workload}-{key}.cwasm"))
    }

    /// Removes the least recently used files until all fit.
    fn trim(&self) -> io::Result<()> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.0)? {
            let entry = entry?;
            // The user may have named a folder that holds other files too.
            let is_half_kept = entry.file_name().to_string_lossy().starts_with(HALF_KEPT);
            if !is_half_kept && entry.path().extension().is_none_or(|end| end != "cwasm") {
                continue;
            }
            let meta = entry.metadata()?;
            files.push((meta.modified()?, meta.len(), entry.path()));
        }
        files.sort();
        let mut total: u64 = files.iter().map(|(_, size, _)| size).sum();
        for (_, size, path) in files {
            if total <= LIMIT {
                break;
            }
            fs::remove_file(hash_path(&path)).ok();
            fs::remove_file(path)?;
            total = total.saturating_sub(size);
        }
        Ok(())
    }
}

/// The file with the hash of a file of code.
fn hash_path(code: &Path) -> PathBuf {
    code.with_extension("cwasm-hash")
}

fn hash_of(file: &mut File) -> io::Result<Hash> {
    let mut hasher = blake3::Hasher::new();
    io::copy(file, &mut hasher)?;
    Ok(Hash::from(hasher.finalize()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_found_again_under_the_same_key_only() {
        let dir = tempfile::tempdir().unwrap();
        let cache = CodeCache::open(dir.path()).unwrap();
        let workload = Hash::of(b"workload");
        assert!(cache.get(workload, "k").is_none());
        let mut scratch = cache.scratch().unwrap();
        scratch.write_all(b"code").unwrap();
        cache.keep(workload, "k", scratch).unwrap();
        let mut found = String::new();
        cache.get(workload, "k").unwrap().read_to_string(&mut found).unwrap();
        assert_eq!(found, "code");
        assert!(cache.get(workload, "other").is_none());
    }

    #[test]
    fn damaged_code_is_never_handed_out() {
        let dir = tempfile::tempdir().unwrap();
        let cache = CodeCache::open(dir.path()).unwrap();
        let workload = Hash::of(b"workload");
        let keep = |bytes: &[u8]| {
            let mut scratch = cache.scratch().unwrap();
            scratch.write_all(bytes).unwrap();
            cache.keep(workload, "k", scratch).unwrap();
        };
        let path = cache.path(workload, "k");
        let damages: [&dyn Fn(); 4] = [
            &|| fs::write(&path, b"codf").unwrap(),
            &|| fs::write(&path, b"").unwrap(),
            &|| fs::write(hash_path(&path), b"0").unwrap(),
            &|| fs::remove_file(hash_path(&path)).unwrap(),
        ];
        for damage in damages {
            keep(b"code");
            assert!(cache.get(workload, "k").is_some());
            damage();
            assert!(cache.get(workload, "k").is_none());
            assert!(!path.exists(), "it is compiled again");
        }
        // A power failure between the two files.
        keep(b"code");
        fs::write(hash_path(&path), Hash::of(b"newer code").to_string()).unwrap();
        assert!(cache.get(workload, "k").is_none());
    }

    #[test]
    fn what_is_not_the_caches_own_is_never_removed() {
        let dir = tempfile::tempdir().unwrap();
        let cache = CodeCache::open(dir.path()).unwrap();
        let thesis = dir.path().join("thesis.tex");
        // Sparse, and far over what the cache may take.
        File::create(&thesis).unwrap().set_len(2 * LIMIT).unwrap();
        let code = dir.path().join("old.cwasm");
        File::create(&code).unwrap().set_len(2 * LIMIT).unwrap();
        fs::create_dir(dir.path().join("figures")).unwrap();
        cache.trim().unwrap();
        assert!(thesis.is_file() && !code.exists());
    }
}
