//! Scratch.
use naga::valid::*;
fn main() {
    std::thread::Builder::new()
        .stack_size(1 << 30)
        .spawn(|| {
            for path in std::env::args().skip(1) {
                let text = std::fs::read_to_string(&path).unwrap();
                let t = std::time::Instant::now();
                let m = naga::front::wgsl::parse_str(&text);
                print!("{path}: parse {:?}", t.elapsed());
                if let Ok(m) = m {
                    let t = std::time::Instant::now();
                    let i = Validator::new(ValidationFlags::all(), Capabilities::empty()).validate(&m);
                    print!(" validate {:?} {}", t.elapsed(), i.is_ok());
                }
                println!();
            }
        })
        .unwrap()
        .join()
        .unwrap();
}
