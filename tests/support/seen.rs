//! Which drivers a test must see. Shared by all tests that run kernels, those of single crates included.

/// Says for each driver that set-up sees to, and that is not among the devices which a test has found, that it is skipped. Where `CI` is
/// set, that fails instead.
pub fn expect_drivers<'a>(names: impl IntoIterator<Item = &'a str>) {
    let names: Vec<&str> = names.into_iter().collect();
    for driver in ["llvmpipe", "SwiftShader"] {
        if names.iter().any(|name| name.contains(driver)) {
            continue;
        }
        let reason = format!("no {driver} among {names:?}: run `cargo xtask setup`");
        assert!(std::env::var_os("CI").is_none(), "{reason}");
        println!("SKIP: {reason}");
    }
}
