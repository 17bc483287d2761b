//! Parameters and inputs that a workload did not read, most often because a name is misspelled.

use crate::{MAX_INPUTS, MAX_PARAMS, Name};

/// Parameters and inputs of a job that its workload did not read. Not part of the claim, because it says nothing about the
/// result.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unread {
    /// Parameters whose value was not asked for; at most [`MAX_PARAMS`].
    pub params: Vec<Name>,
    /// Inputs that were not opened; at most [`MAX_INPUTS`].
    pub inputs: Vec<Name>,
}

impl Unread {
    /// Whether everything was read.
    pub fn is_empty(&self) -> bool {
        self.params.is_empty() && self.inputs.is_empty()
    }

    /// Cuts both lists to the most names that a job can have: a worker or a provider may send more.
    #[must_use]
    pub fn bounded(mut self) -> Unread {
        self.params.truncate(MAX_PARAMS);
        self.inputs.truncate(MAX_INPUTS);
        self
    }
}
