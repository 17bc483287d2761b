//! Asks the standard library for everything that differs between machines: time, randomness, files, sockets,
//! surroundings. What it is told goes to output `out`, so two runs agree only if they were told the same.
//!
//! For `wasm32-wasip1`.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::time::{Duration, Instant, SystemTime};

use isobit::Output;

#[isobit::main]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("a line on standard output");
    eprintln!("a line on standard error");
    let mut told = String::new();

    let args: Vec<String> = std::env::args().collect();
    let variables: Vec<(String, String)> = std::env::vars().collect();
    writeln!(told, "args {args:?}")?;
    writeln!(told, "vars {variables:?}")?;

    let start = Instant::now();
    std::thread::sleep(Duration::from_secs(3600));
    let slept = start.elapsed();
    writeln!(told, "slept {} s", slept.as_secs())?;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    writeln!(told, "now {now:?}")?;

    // The order is that of a hash with a random seed.
    let map: HashMap<u32, ()> = (0..100).map(|number| (number, ())).collect();
    let order: Vec<u32> = map.into_keys().collect();
    writeln!(told, "order {order:?}")?;

    for path in ["/etc/passwd", ".", "out", "/proc/self/status"] {
        writeln!(told, "read {path}: {}", denied(std::fs::read(path))?)?;
        writeln!(told, "list {path}: {}", denied(std::fs::read_dir(path))?)?;
        writeln!(told, "write {path}: {}", denied(std::fs::write(path, "mine"))?)?;
    }
    writeln!(told, "socket: {}", denied(std::net::TcpStream::connect("127.0.0.1:80"))?)?;
    writeln!(told, "listen: {}", denied(std::net::TcpListener::bind("127.0.0.1:0"))?)?;

    Output::create("out")?.write_all(told.as_bytes())?;
    Ok(())
}

/// The error that it is, in words; an error if it is none.
fn denied<T>(result: std::io::Result<T>) -> Result<String, &'static str> {
    match result {
        Ok(_) => Err("a guest was let out of the sandbox"),
        Err(error) => Ok(error.to_string()),
    }
}
