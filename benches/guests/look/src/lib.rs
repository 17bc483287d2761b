//! Says that it is there, first of all, and how large its input `in` is, if it has one. What a job costs that does
//! nothing.

use isobit::Input;

#[isobit::main]
fn main() -> isobit::Result<()> {
    isobit::info!("here");
    if Input::names().iter().any(|name| name == "in") {
        isobit::info!("{} bytes", Input::open("in")?.size());
    }
    Ok(())
}
