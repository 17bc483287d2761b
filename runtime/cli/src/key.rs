//! The secret key of this node: where its file is, how it is written and read.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use isobit_job::{NodeKey, SecretKey};

use crate::failure::Failure;

/// The most bytes that are read of a key file. A key file has 211.
const MAX_KEY_FILE: u64 = 4096;

/// Which key this node acts as.
#[derive(Clone, Debug, clap::Args)]
pub struct KeyArgs {
    /// File with this node's secret key [default: ~/.config/isobit/key]
    #[arg(long, value_name = "FILE", env = "ISOBIT_KEY", hide_env_values = true)]
    key: Option<PathBuf>,
}

impl KeyArgs {
    /// The key, from the file that was named or the usual one.
    pub fn load(&self) -> anyhow::Result<SecretKey> {
        let path = match &self.key {
            Some(path) => path.clone(),
            None => default_path()?,
        };
        read(&path)
    }

    /// Where the key is, or would be.
    pub fn path(&self) -> Option<PathBuf> {
        self.key.clone().or_else(|| default_path().ok())
    }

    /// As [`KeyArgs::load`], but no key if none was named and the usual file does not exist.
    pub fn find(&self) -> anyhow::Result<Option<SecretKey>> {
        if self.key.is_none() && !default_path().is_ok_and(|path| path.exists()) {
            return Ok(None);
        }
        self.load().map(Some)
    }
}

/// `$XDG_CONFIG_HOME/isobit/key`, or `~/.config/isobit/key`.
pub fn default_path() -> anyhow::Result<PathBuf> {
    // By the XDG specification, relative paths are ignored.
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let config = absolute("XDG_CONFIG_HOME").or_else(|| absolute("HOME").map(|home| home.join(".config")));
    match config {
        Some(config) => Ok(config.join("isobit").join("key")),
        None => Err(Failure::new("no place for the key: neither XDG_CONFIG_HOME nor HOME is set")
            .hint("name the file yourself")
            .into()),
    }
}

/// Reads a key file, refusing one that others can read too.
pub fn read(path: &Path) -> anyhow::Result<SecretKey> {
    let shown = path.display();
    let file = fs::File::open(path).map_err(|error| {
        let failure = Failure::new(format!("cannot read the key file {shown}: {error}"));
        match error.kind() {
            io::ErrorKind::NotFound => failure.hint(format!("make a key with `isobit keygen -o {shown}`")),
            _ => failure,
        }
    })?;
    refuse_if_shared(path, &file)?;
    let mut text = String::new();
    io::Read::read_to_string(&mut io::Read::take(file, MAX_KEY_FILE), &mut text)
        .with_context(|| format!("cannot read the key file {shown}"))?;
    parse(&text).with_context(|| format!("{shown} is not a key file"))
}

/// The one line that is neither empty nor a comment.
fn parse(text: &str) -> anyhow::Result<SecretKey> {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    match (lines.next(), lines.next()) {
        (Some(line), None) => Ok(line.parse::<SecretKey>()?),
        _ => Err(Failure::new("it has to hold one line of 64 hexadecimal digits").into()),
    }
}

#[cfg(unix)]
fn refuse_if_shared(path: &Path, file: &fs::File) -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = file.metadata().with_context(|| format!("cannot read {}", path.display()))?.permissions().mode();
    if mode & 0o077 != 0 {
        let message = format!("the key file {} can be used by others (mode {:04o})", path.display(), mode & 0o7777);
        return Err(Failure::new(message).hint(format!("run `chmod 600 {}`", path.display())).into());
    }
    Ok(())
}

#[cfg(not(unix))]
fn refuse_if_shared(_path: &Path, _file: &fs::File) -> anyhow::Result<()> {
    Ok(())
}

/// Writes a new key file that only its owner can read. The file appears whole or not at all.
pub fn write(path: &Path, key: &SecretKey, overwrite: bool) -> anyhow::Result<NodeKey> {
    let shown = path.display();
    // Only a regular file is replaced, nothing else. If the path is a link, the file that it leads to is replaced.
    let path = &match fs::metadata(path) {
        Ok(found) if !found.is_file() => {
            return Err(Failure::new(format!("{shown} is no regular file")).hint("name a file for the key").into());
        }
        Ok(_) if overwrite => fs::canonicalize(path).with_context(|| format!("cannot write the key file {shown}"))?,
        _ => path.to_owned(),
    };
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    // Temporary files have mode 0600 from the start.
    let mut file =
        tempfile::NamedTempFile::new_in(folder).with_context(|| format!("cannot write in {}", folder.display()))?;
    let public = key.public();
    write!(
        file,
        "# isobit secret key: whoever has these digits can act as this node\n# public key: {public}\n{}\n",
        key.to_hex()
    )
    .and_then(|()| file.as_file().sync_all())
    .with_context(|| format!("cannot write the key file {shown}"))?;
    let written = if overwrite { file.persist(path) } else { file.persist_noclobber(path) };
    written.map_err(|error| match error.error.kind() {
        io::ErrorKind::AlreadyExists => Failure::new(format!("{shown} exists already"))
            .hint("a lost key cannot be made again; give --force to overwrite it"),
        _ => Failure::new(format!("cannot write the key file {shown}: {}", error.error)),
    })?;
    Ok(public)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_back_as_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/key");
        let key = SecretKey::generate();
        write(&path, &key, false).unwrap();
        assert_eq!(read(&path).unwrap().public(), key.public());
    }

    #[test]
    fn a_key_is_overwritten_only_when_asked() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let (first, second) = (SecretKey::generate(), SecretKey::generate());
        write(&path, &first, false).unwrap();
        assert!(write(&path, &second, false).unwrap_err().to_string().contains("exists already"));
        assert_eq!(read(&path).unwrap().public(), first.public());
        write(&path, &second, true).unwrap();
        assert_eq!(read(&path).unwrap().public(), second.public());
    }

    #[cfg(unix)]
    #[test]
    fn a_key_replaces_no_device_and_no_link() {
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (folder.path().join("key"), folder.path().join("link"));
        let (first, second) = (SecretKey::generate(), SecretKey::generate());
        write(&path, &first, false).unwrap();
        std::os::unix::fs::symlink("key", &link).unwrap();
        write(&link, &second, true).unwrap();
        assert!(link.symlink_metadata().unwrap().is_symlink());
        assert_eq!(read(&path).unwrap().public(), second.public());
        for place in [Path::new("/dev/null"), folder.path()] {
            assert!(write(place, &first, true).unwrap_err().to_string().contains("is no regular file"));
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_key_that_others_can_read_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        write(&path, &SecretKey::generate(), false).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(read(&path).err().unwrap().to_string().contains("mode 0644"));
    }

    #[test]
    fn what_is_no_key_is_refused() {
        for text in ["", "# only a comment\n", "beef", "a\nb\n"] {
            assert!(parse(text).is_err(), "{text:?}");
        }
    }
}
