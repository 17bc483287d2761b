//! Checks of a receipt against local files.

use isobit_job::{Claim, Hash, Name};
use isobit_store::{SourceError, hash_file};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// A file that differs from the output in the claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputMismatch {
    /// The output.
    pub name: Name,
    /// The output's hash in the claim; none if the claim has no such output.
    pub claimed: Option<Hash>,
    /// The file's hash.
    pub found: Hash,
}

/// Compares files with the outputs that a claim names. An empty list means that all agree.
///
/// # Errors
/// A file cannot be read.
pub fn check_outputs(claim: &Claim, files: &BTreeMap<Name, PathBuf>) -> Result<Vec<OutputMismatch>, SourceError> {
    let mut mismatches = Vec::new();
    for (name, path) in files {
        let (found, _) = hash_file(path)?;
        let claimed = claim.outputs.get(name);
        if claimed != Some(&found) {
            mismatches.push(OutputMismatch {
                name: name.clone(),
                claimed: claimed.map(|blob| blob.hash),
                found: found.hash,
            });
        }
    }
    Ok(mismatches)
}
