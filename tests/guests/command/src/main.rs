//! Tries the files, streams and arguments of a WASI command. The first argument says what.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "this program tests its host")]

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.first().map(String::as_str) {
        Some("tell") => tell(&args),
        Some("tree") => tree(Path::new("/in"), 0),
        Some("copy") => copy(),
        Some("breaches") => breaches(),
        Some("too-much") => return too_much(),
        Some("exit") => return ExitCode::from(3),
        other => panic!("{other:?} is nothing to try"),
    }
    ExitCode::SUCCESS
}

/// All that the program was told.
fn tell(args: &[String]) {
    println!("args {args:?}");
    println!("vars {:?}", std::env::vars().collect::<Vec<_>>());
    let mut input = String::new();
    io::stdin().read_to_string(&mut input).unwrap();
    println!("stdin {input:?}");
    eprintln!("for the log");
}

/// All files, with what is in them.
fn tree(folder: &Path, depth: usize) {
    let mut entries: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        let (indent, name) = ("  ".repeat(depth), path.file_name().unwrap().to_string_lossy());
        let found = fs::metadata(&path).unwrap();
        if found.is_dir() {
            println!("{indent}{name}/");
            tree(&path, depth + 1);
        } else if let Ok(text) = fs::read_to_string(&path) {
            assert_eq!(found.len(), text.len() as u64);
            println!("{indent}{name} {text:?}");
        } else {
            println!("{indent}{name} of {} bytes", found.len());
        }
    }
}

/// Standard input to an output and to standard output, by pieces; and a part of it from the middle.
fn copy() {
    let mut out = File::create("/out/copy").unwrap();
    let mut piece = vec![0; 100_000];
    loop {
        let read = io::stdin().read(&mut piece).unwrap();
        if read == 0 {
            break;
        }
        out.write_all(&piece[..read]).unwrap();
        io::stdout().write_all(&piece[..read]).unwrap();
    }
    let mut input = File::open("/in/stdin").unwrap();
    input.seek(SeekFrom::Start(1_000_000)).unwrap();
    let mut part = [0; 1000];
    input.read_exact(&mut part).unwrap();
    fs::write("/out/part", part).unwrap();
}

/// What is not permitted, and how it is told.
fn breaches() {
    let tried: [(&str, io::Result<()>); 12] = [
        ("read what is not there", File::open("/in/nothing").map(drop)),
        ("write an input", OpenOptions::new().write(true).open("/in/text").map(drop)),
        ("make an input", File::create("/in/new").map(drop)),
        ("leave the folder", File::open("/in/../../etc/passwd").map(drop)),
        ("leave it absolutely", File::open("/etc/passwd").map(drop)),
        ("remove an input", fs::remove_file("/in/text")),
        ("make a folder", fs::create_dir("/out/folder")),
        ("a name that no output has", File::create("/out/Ä").map(drop)),
        ("standard output again", OpenOptions::new().create_new(true).write(true).open("/out/stdout").map(drop)),
        ("rename", fs::write("/out/a", "a").and_then(|()| fs::rename("/out/a", "/out/b"))),
        ("read an output", fs::read("/out/a").map(drop)),
        ("change what was written", {
            let mut file = File::create("/out/c").unwrap();
            file.write_all(b"written").unwrap();
            file.seek(SeekFrom::Start(0)).and_then(|_| file.write_all(b"W"))
        }),
    ];
    for (what, result) in tried {
        println!("{what}: {}", result.err().map_or_else(|| "done".to_owned(), |error| error.to_string()));
    }
}

/// Writes until the limit of outputs, and goes on.
fn too_much() -> ExitCode {
    let mut out = File::create("/out/much").unwrap();
    let mut written = 0_u64;
    loop {
        match out.write(&[7; 4096]) {
            Ok(count) => written += count as u64,
            Err(error) => {
                eprintln!("after {written} bytes: {error}");
                return ExitCode::FAILURE;
            }
        }
    }
}
