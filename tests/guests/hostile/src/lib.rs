//! Calls the host in one wrong way, chosen by the parameter `do`: the guests of the hostile corpus that need many calls. Those that need few are written by hand in
//! `tests/hostile`. An error of the host's is the error of the job, so that the corpus can state it.

#![allow(clippy::panic, clippy::unwrap_used, clippy::indexing_slicing, reason = "a guest that fails is the point")]
#![allow(clippy::unit_arg, reason = "a table of calls, of which some return nothing")]

mod calls;
mod hoards;
mod kernel;
mod tenants;

use isobit::Result;

#[isobit::main]
fn main() -> Result<()> {
    let wish: String = isobit::param("do")?.unwrap_or_default();
    let known = calls::call(&wish).or_else(|| hoards::hoard(&wish)).or_else(|| tenants::tenant(&wish));
    known.unwrap_or_else(|| match wish.as_str() {
        "kernel" => kernel::run(),
        _ => Err(format!("nothing is known of do={wish}").into()),
    })
}
