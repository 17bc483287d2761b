//! The last step of outputs and receipts: files are put in place; devices, named pipes and stdout are written into.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, IsTerminal, Read as _, Write};
use std::path::{Path, PathBuf};

use isobit_job::{Envelope, JobId};
use isobit_renter::{Kept, NotKept, Part, PlaceError, Places, Sink};

use crate::escape;
use crate::failure::{Failure, KeptFiles};
use crate::job_args::JobNames;
use crate::printer::Printer;

/// The most bytes that are shown on a terminal at once.
const PIECE: u64 = 64 << 10;

/// Checks all places of a job before it starts. `sources` are files besides the job's own that must not be overwritten.
pub fn check_places(
    names: &JobNames,
    receipt: Option<&isobit_renter::Destination>,
    workload: &Path,
    sources: &[(&str, PathBuf)],
    printer: &Printer,
) -> anyhow::Result<Places> {
    let inputs = names.inputs.iter().map(|(name, path)| (format!("input {name}"), path.clone()));
    let sources = sources.iter().map(|(name, path)| ((*name).to_owned(), path.clone()));
    let sources: Vec<_> = inputs.chain(sources).chain([("workload".to_owned(), workload.to_owned())]).collect();
    let places = Places::check(&names.outputs, receipt, &sources).map_err(refused)?;
    if printer.is_json() && places.use_stdout() {
        return Err(Failure::new("stdout cannot take both an output and the answer in JSON")
            .hint("leave --json, or give the output a file")
            .into());
    }
    Ok(places)
}

fn refused(error: PlaceError) -> anyhow::Error {
    Failure::new(error.to_string()).hint(error.hint()).into()
}

/// Puts outputs and receipt in their places. The error names those that could not be put there, and where they are.
pub fn keep(
    places: &Places,
    arrived: Option<Vec<Part>>,
    receipt: Option<&Envelope>,
    job: JobId,
    printer: &Printer,
) -> anyhow::Result<Kept> {
    let text = receipt.map(|envelope| format!("{}\n", envelope.to_json_pretty()));
    let kept = places.keep(arrived, text.as_deref(), job, &mut |sink, file| pour(sink, file, printer));
    kept.map_err(|error| not_kept(&error).into())
}

fn not_kept(error: &NotKept) -> Failure {
    let outputs = error.kept.outputs.iter().map(|(name, place)| (name.clone(), place.to_string()));
    let receipt = error.kept.receipt.as_ref().map(ToString::to_string);
    Failure::new(error.to_string()).hint(error.hint()).kept(KeptFiles { outputs: outputs.collect(), receipt })
}

/// Writes a file into stdout, stderr, a device or a named pipe. A reader that stops early is not an error.
fn pour(sink: &Sink, from: &mut File, printer: &Printer) -> io::Result<()> {
    let poured = match sink {
        Sink::Stdout => pour_into(from, &mut io::stdout().lock(), io::stdout().is_terminal()),
        Sink::Stderr => pour_into(from, &mut io::stderr().lock(), io::stderr().is_terminal()),
        Sink::Device(path) => {
            let mut device = open_device(path)?;
            let terminal = device.is_terminal();
            pour_into(from, &mut device, terminal)
        }
        Sink::Pipe(path) => pour_into(from, &mut open_pipe(path, printer)?, false),
    };
    match poured {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        poured => poured,
    }
}

/// Opens a device for writing. A terminal does not become this process's controlling terminal.
fn open_device(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, libc::O_NOCTTY);
    options.write(true).open(path)
}

/// Opens a named pipe. If it has no reader yet, prints a note and waits for one, as the shell does.
#[cfg(unix)]
fn open_pipe(path: &Path, printer: &Printer) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;

    match File::options().write(true).custom_flags(libc::O_NONBLOCK).open(path) {
        Err(error) if error.raw_os_error() == Some(libc::ENXIO) => {
            printer.note(format_args!("waiting until somebody reads {}", path.display()));
        }
        Err(error) => return Err(error),
        // There is a reader. The pipe is opened again in blocking mode, so that a full pipe waits for its reader.
        Ok(_) => {}
    }
    File::options().write(true).open(path)
}

/// Opens a named pipe as a device: other systems have no file type for pipes.
#[cfg(not(unix))]
fn open_pipe(path: &Path, _: &Printer) -> io::Result<File> {
    open_device(path)
}

/// Copies a file. On a terminal it is shown as escaped text, because a workload's bytes could control the terminal.
fn pour_into(from: &mut File, to: &mut dyn Write, terminal: bool) -> io::Result<()> {
    if !terminal {
        io::copy(from, to)?;
        return to.flush();
    }
    let mut reader = BufReader::new(from);
    let mut line = Vec::new();
    while reader.by_ref().take(PIECE).read_until(b'\n', &mut line)? > 0 {
        to.write_all(escape::lines(&String::from_utf8_lossy(&line)).as_bytes())?;
        line.clear();
    }
    to.flush()
}
