//! Arguments of a kernel that is run alone.

use crate::kernel_file::{override_value, workgroups};
use crate::slot::{Bind, bind};

/// The heading of [`KernelArgs`] in the help.
const HEADING: &str = "A kernel alone";

/// How a kernel is run that comes without a workload.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct KernelArgs {
    /// What a binding of the kernel holds at first: a file, zeros:BYTES, or numbers as in f32:1,0.5 (also i32, u32); may be given again. The outputs are
    /// bindings too: -o [GROUP.]N=PATH
    #[arg(long, help_heading = HEADING, value_name = "[GROUP.]N=WHAT", value_parser = bind)]
    pub bind: Vec<Bind>,
    /// How many workgroups run
    #[arg(long, help_heading = HEADING, value_name = "X[,Y[,Z]]", value_parser = workgroups)]
    pub workgroups: Option<[u32; 3]>,
    /// The entry point, where there are several
    #[arg(long, help_heading = HEADING, value_name = "NAME")]
    pub entry_point: Option<String>,
    /// A value for an override; may be given again
    #[arg(long = "override", help_heading = HEADING, value_name = "NAME=VALUE", value_parser = override_value)]
    pub overrides: Vec<(String, f64)>,
}

impl KernelArgs {
    /// The flags that are given.
    pub fn given(&self) -> Vec<&'static str> {
        let flags = [
            ("--bind", !self.bind.is_empty()),
            ("--workgroups", self.workgroups.is_some()),
            ("--entry-point", self.entry_point.is_some()),
            ("--override", !self.overrides.is_empty()),
        ];
        flags.into_iter().filter(|(_, given)| *given).map(|(flag, _)| flag).collect()
    }
}
