//! Every guest example from end to end: on every device, here and at providers over QUIC, its outputs compared with
//! an independent computation. An example without a test does not compile.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests may panic")]
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "references compute in many widths"
)]

mod support;

#[path = "examples/alignments.rs"]
mod alignments;
#[path = "examples/llm.rs"]
mod llm;
#[path = "examples/network.rs"]
mod network;
#[path = "examples/rays.rs"]
mod rays;
#[path = "examples/reference.rs"]
mod reference;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use reference::Picture;
use support::{Ended, Provider, TestDevice, data, data_files, devices, eventually, guest, isobit, photograph, stats};
use tempfile::TempDir;

include!(concat!(env!("OUT_DIR"), "/examples.rs"));

macro_rules! assert_test_exists {
    ($name:ident) => {
        #[expect(unused_imports, reason = "here to assert that there is a test of this name")]
        use self::$name as _;
    };
}

for_each_example!(assert_test_exists);

/// A job that runs everywhere: on every device with `isobit run`, and on every device at a provider.
struct Job {
    workload: PathBuf,
    args: Vec<String>,
    outputs: Vec<&'static str>,
    folder: TempDir,
}

/// One run of it.
struct Ran {
    device: TestDevice,
    /// The claim's hash.
    claim: String,
    kernel_fuel: u64,
    outputs: BTreeMap<&'static str, PathBuf>,
    receipt: PathBuf,
}

impl Job {
    fn new(example: &str, args: &[&str], outputs: &[&'static str]) -> Job {
        let args = args.iter().map(|arg| (*arg).to_owned()).collect();
        Job { workload: guest(example), args, outputs: outputs.to_vec(), folder: tempfile::tempdir().unwrap() }
    }

    /// Adds an input with this content.
    fn input(mut self, name: &str, content: &[u8]) -> Job {
        let path = self.folder.path().join(name);
        fs::write(&path, content).unwrap();
        self.args.extend(["-i".to_owned(), format!("{name}={}", path.display())]);
        self
    }

    /// Under profile dp32 there is one claim, wherever the job runs.
    fn run_everywhere(&self) -> Vec<Ran> {
        self.agreed(devices().into_iter().flat_map(|device| [self.run_here(&device), self.submit(&device)]).collect())
    }

    /// On every device here, for long jobs, which would keep others waiting at a provider.
    fn run_on_all_devices(&self) -> Vec<Ran> {
        self.agreed(devices().iter().map(|device| self.run_here(device)).collect())
    }

    /// Runs that make one claim.
    fn agreed(&self, runs: Vec<Ran>) -> Vec<Ran> {
        let claims: Vec<(&str, &str)> = runs.iter().map(|ran| (ran.device.name.as_str(), ran.claim.as_str())).collect();
        assert!(claims.iter().all(|(_, claim)| *claim == claims[0].1), "{:?}: {claims:#?}", self.args);
        runs
    }

    /// `isobit run`.
    fn run_here(&self, device: &TestDevice) -> Ran {
        let key = self.folder.path().join("key");
        if !key.exists() {
            assert!(isobit().args(["keygen", "-q", "-o"]).arg(&key).output().unwrap().status.success());
        }
        let mut run = isobit();
        run.arg("run").arg(&self.workload).args(["--device", &device.index, "--json", "--key"]).arg(key);
        self.finish(run, device, "here")
    }

    /// `isobit submit`, to a provider on this device.
    fn submit(&self, device: &TestDevice) -> Ran {
        let provider = Provider::shared(&device.index);
        let ran = self.finish(provider.submit(&self.workload), device, "there");
        provider.settles();
        ran
    }

    fn finish(&self, mut command: std::process::Command, device: &TestDevice, place: &str) -> Ran {
        let folder = self.folder.path().join(format!("{place}-{}", device.index));
        fs::create_dir_all(&folder).unwrap();
        let outputs: BTreeMap<_, _> = self.outputs.iter().map(|name| (*name, folder.join(name))).collect();
        for (name, path) in &outputs {
            command.arg("-o").arg(format!("{name}={}", path.display()));
        }
        let receipt = folder.join("receipt.json");
        command.args(&self.args).arg("--receipt").arg(&receipt);
        let answer = Ended::from(command.output().unwrap()).done();
        assert_eq!(answer["outcome"]["status"], "completed");
        assert_eq!(answer["observed"]["device"], device.name.as_str());
        // Output, receipt, and nothing that is half done.
        assert_eq!(fs::read_dir(&folder).unwrap().count(), outputs.len() + 1);
        let ran = Ran {
            device: device.clone(),
            claim: answer["claim"].as_str().unwrap().to_owned(),
            kernel_fuel: answer["cost"]["kernel-fuel"].as_u64().unwrap(),
            outputs,
            receipt,
        };
        ran.verify(&[]).done();
        ran
    }
}

impl Ran {
    fn bytes(&self, output: &str) -> Vec<u8> {
        fs::read(&self.outputs[output]).unwrap()
    }

    /// `isobit verify` of its receipt against its outputs, with these arguments besides.
    fn verify(&self, args: &[&str]) -> Ended {
        let mut verify = isobit();
        verify.arg("verify").arg(&self.receipt).arg("--json").args(args);
        for (name, path) in &self.outputs {
            verify.arg("-o").arg(format!("{name}={}", path.display()));
        }
        verify.output().unwrap().into()
    }
}

/// Asserts that the receipt of each run holds when the job is run again on another device.
fn assert_holds_elsewhere(job: &Job, runs: &[Ran]) {
    let workload = job.workload.to_str().unwrap();
    let inputs: Vec<&str> = job.args.iter().skip_while(|arg| *arg != "-i").map(String::as_str).collect();
    for ran in runs {
        let Some(other) = runs.iter().find(|other| other.device.index != ran.device.index) else { continue };
        let rerun = ["--rerun", workload, "--device", &other.device.index];
        let answer = ran.verify(&[&rerun[..], &inputs].concat()).done();
        assert_eq!(answer["checked"].as_array().unwrap().last().unwrap(), "rerun");
    }
}

#[test]
fn photo() {
    let photograph = photograph().expect("no photograph: run `cargo xtask setup`");
    let original = Picture::read(&photograph);
    let photograph = format!("photo={}", photograph.display());

    let blurred = original.blur(3);
    for ran in Job::new("photo", &["-i", &photograph, "-p", "radius=3", "-p", "strength=0"], &["out"]).run_everywhere()
    {
        let found = Picture::read(&ran.outputs["out"]);
        // The first of two passes may round to the other side, and so may the second.
        found.assert_close(&blurred, 1, "blurred");
        assert!(ran.kernel_fuel >= 3 * original.pixels.len() as u64);
    }

    let inked = blurred.ink_edges(1.0);
    let job = Job::new("photo", &["-i", &photograph], &["out"]);
    let runs = job.run_everywhere();
    for ran in &runs {
        // An eighth of the gradient's range is one level of the blurred picture, and ink is steep where edges begin.
        Picture::read(&ran.outputs["out"]).assert_close(&inked, 20, "inked");
    }
    assert_holds_elsewhere(&job, &runs);
}

#[test]
fn matmul() {
    // Not a multiple of the tile, so that the kernel's borders are tried too.
    let n = 70;
    let (a, b) = (reference::made_up_matrix("a", n), reference::made_up_matrix("b", n));
    for ran in Job::new("matmul", &["-p", "n=70", "-p", "check=1"], &["c"]).run_everywhere() {
        reference::assert_is_product(&ran.bytes("c"), &a, &b, n);
    }

    // Of whole numbers the product is exact.
    let whole = |factor: usize| -> Vec<f32> { (0..n * n).map(|i| ((i * factor) % 17) as f32 - 8.0).collect() };
    let (a, b) = (whole(3), whole(5));
    let bytes = |matrix: &[f32]| -> Vec<u8> { matrix.iter().flat_map(|value| value.to_le_bytes()).collect() };
    let job = Job::new("matmul", &["-p", "n=70"], &["c"]).input("a", &bytes(&a)).input("b", &bytes(&b));
    let product: Vec<f32> = reference::product(&a, &b, n).iter().map(|value| *value as f32).collect();
    let runs = job.run_everywhere();
    for ran in &runs {
        assert!(ran.bytes("c") == bytes(&product), "on {}", ran.device.name);
    }
    assert_holds_elsewhere(&job, &runs);
}

#[test]
fn mandelbrot() {
    let view = ["-p", "width=200", "-p", "height=130", "-p", "iterations=200", "-p", "x=-0.743643887"];
    let job = Job::new("mandelbrot", &[&view[..], &["-p", "y=0.131825904", "-p", "zoom=40"]].concat(), &["out"]);
    let runs = job.run_everywhere();
    for ran in &runs {
        let picture = Picture::read(&ran.outputs["out"]);
        assert_eq!((picture.width, picture.height), (200, 130));
        let set = reference::Mandelbrot::new(200, 130, 200, "-0.743643887", "0.131825904", 40);
        for y in (0..130).step_by(3) {
            for x in (0..200).step_by(3) {
                assert_eq!(picture.pixel(x, y), set.pixel(x, y), "at {x}, {y} on {}", ran.device.name);
            }
        }
    }
    assert_holds_elsewhere(&job, &runs);
}

#[test]
fn nbody() {
    const BODIES: usize = 50;
    let floats = |ran: &Ran| -> Vec<f32> {
        ran.bytes("bodies").as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
    };
    // A few steps, before chaos sets in, against f64.
    let job = Job::new("nbody", &["-p", "bodies=150", "-p", "steps=20", "-p", "check=1"], &["bodies"]);
    let mut expected = reference::Bodies::<f64>::new(150, 1);
    expected.run(20, 1.0 / 128.0);
    for ran in job.run_everywhere() {
        let found = floats(&ran);
        assert_eq!(found.len(), 8 * 150);
        let expected = expected.positions.iter().zip(&expected.velocities);
        for (body, (position, velocity)) in found.chunks(8).zip(expected) {
            assert_eq!((body[3], body[7]), (1.0 / 150.0, 0.0));
            let off = |found: &[f32], expected: &[f64; 3]| -> f64 {
                found.iter().zip(expected).map(|(a, b)| (f64::from(*a) - b).abs()).fold(0.0, f64::max)
            };
            assert!(off(&body[..3], position) < 1e-5, "{body:?} instead of {position:?} on {}", ran.device.name);
            assert!(off(&body[4..7], velocity) < 1e-5, "{body:?} instead of {velocity:?} on {}", ran.device.name);
        }
    }

    // Ten thousand steps, to the bit.
    let run = |bodies: &mut reference::Bodies<f32>| bodies.run(10_000, 1.0 / 128.0);
    let mut expected = reference::Bodies::<f32>::new(BODIES, 7);
    run(&mut expected);
    // One bit of one coordinate, and nothing is where it was.
    let mut nudged = reference::Bodies::<f32>::new(BODIES, 7);
    nudged.positions[0][0] = nudged.positions[0][0].next_up();
    run(&mut nudged);
    let apart = expected.positions.iter().zip(&nudged.positions).map(|(a, b)| (a[0] - b[0]).abs());
    assert!(apart.sum::<f32>() / BODIES as f32 > 0.1);

    let size = format!("bodies={BODIES}");
    let job = Job::new("nbody", &["-p", "steps=10000", "-p", &size, "-p", "seed=7", "-p", "check=1"], &["bodies"]);
    let runs = job.run_everywhere();
    for ran in &runs {
        for (body, (position, velocity)) in
            floats(ran).chunks(8).zip(expected.positions.iter().zip(&expected.velocities))
        {
            assert_eq!((&body[..3], &body[4..7]), (&position[..], &velocity[..]), "on {}", ran.device.name);
        }
    }
}

#[test]
fn fft() {
    let points = |bytes: &[u8]| -> Vec<[f32; 2]> {
        let mut floats = bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes));
        std::iter::from_fn(|| Some([floats.next()?, floats.next()?])).collect()
    };
    let wide = |points: &[[f32; 2]]| -> Vec<[f64; 2]> { points.iter().map(|point| point.map(f64::from)).collect() };
    // An odd and an even number of twos, several signals, and the shortest there are.
    for (n, batch) in [(1, 3), (2, 1), (1024, 1), (512, 5)] {
        let mut numbers = reference::made_up(n * batch);
        let signal: Vec<[f32; 2]> = (0..n * batch).map(|_| [(); 2].map(|()| numbers.next().unwrap())).collect();
        let bytes: Vec<u8> = signal.iter().flatten().flat_map(|value| value.to_le_bytes()).collect();
        let (n_is, batch_is) = (format!("n={n}"), format!("batch={batch}"));
        let job = Job::new("fft", &["-p", &n_is, "-p", &batch_is], &["spectrum", "signal"]).input("signal", &bytes);
        let spectrum: Vec<[f64; 2]> = signal
            .chunks(n as usize)
            .flat_map(|signal| (0..signal.len()).map(|k| reference::frequency(signal, k)))
            .collect();
        let runs = job.run_everywhere();
        for ran in &runs {
            // Each of the passes rounds a few times.
            let most = f64::from(f32::EPSILON) * f64::from(4 + 2 * n.ilog2());
            let off = reference::distance(&points(&ran.bytes("spectrum")), &spectrum);
            assert!(off <= most, "{n} points, {off} off on {}", ran.device.name);
            let off = reference::distance(&points(&ran.bytes("signal")), &wide(&signal));
            assert!(off <= 2.0 * most, "{n} points there and back, {off} off on {}", ran.device.name);
        }
        if batch == 5 {
            assert_holds_elsewhere(&job, &runs);
        }
    }

    // The largest, of a signal that it makes up.
    let signal: Vec<f32> = reference::made_up(1).take(2 << 20).collect();
    let signal: Vec<[f32; 2]> = signal.as_chunks().0.to_vec();
    let some = [0, 1, 77_777, 1 << 19, (1 << 20) - 1];
    let expected = some.map(|k| reference::frequency(&signal, k));
    let job = Job::new("fft", &["-p", "n=1048576"], &["spectrum", "signal"]);
    let runs = job.run_everywhere();
    for ran in &runs {
        let found = points(&ran.bytes("spectrum"));
        assert_eq!(found.len(), 1 << 20);
        let off = reference::distance(&some.map(|k| found[k]), &expected);
        assert!(off <= 1e-5, "{off} off on {}", ran.device.name);
        let off = reference::distance(&points(&ran.bytes("signal")), &wide(&signal));
        assert!(off <= 1e-5, "{off} off on {}", ran.device.name);
    }
}

#[test]
fn search() {
    // Patterns of one word and of many, on their borders; letters that match nothing; ends of records, which no match reaches over.
    let genome = alignments::made_up_genome();
    let reads = alignments::made_up_reads(&genome);
    let job = Job::new("search", &["-p", "errors=50"], &["alignments"])
        .input("genome", &alignments::fasta(&genome))
        .input("reads", &alignments::fasta(&reads));
    let runs = job.run_everywhere();
    alignments::check(&runs[0].bytes("alignments"), &genome, &reads, 50, |_| true);
    assert_holds_elsewhere(&job, &runs);

    // The first of real reads.
    let files = data_files(&data::LAMBDA);
    let (genome, reads) = (alignments::read(&files[0]), alignments::read(&files[1]));
    let inputs = [format!("genome={}", files[0].display()), format!("reads={}", files[1].display())];
    let some = ["-i", &inputs[0], "-i", &inputs[1], "-p", "skip=5", "-p", "count=10"];
    let job = Job::new("search", &some, &["alignments"]);
    for device in devices() {
        let sam = job.run_here(&device).bytes("alignments");
        assert_eq!(alignments::check(&sam, &genome, &reads[5..15], 20, |_| true), 10, "on {}", device.name);
    }
}

#[test]
#[ignore = "long: two thousand reads on every device, some minutes on the CPU device, and ten thousand on one"]
fn search_finds_all_reads() {
    let files = data_files(&data::LAMBDA);
    let (genome, reads) = (alignments::read(&files[0]), alignments::read(&files[1]));
    let inputs = [format!("genome={}", files[0].display()), format!("reads={}", files[1].display())];
    let all = ["-i", &inputs[0], "-i", &inputs[1]];
    let job = Job::new("search", &[&all[..], &["-p", "count=2000"]].concat(), &["alignments"]);
    let runs = job.run_on_all_devices();
    let found = alignments::check(&runs[0].bytes("alignments"), &genome, &reads[..2000], 20, |index| index % 20 == 0);
    assert!(found > 1900, "{found} of 2000");

    let device = devices().into_iter().find(|device| device.name.contains("llvmpipe")).unwrap();
    let job = Job::new("search", &all, &["alignments"]);
    let ran = job.run_here(&device);
    // The edits of each are counted again; that there is no better place is looked for of some.
    let found = alignments::check(&ran.bytes("alignments"), &genome, &reads, 20, |index| index % 100 == 99);
    assert!(found > 9500, "{found} of {}", reads.len());
}

#[test]
fn stream() {
    const CHUNK: usize = 64 << 10;
    for size in [0, 1, 5, CHUNK, CHUNK + 1] {
        let content = reference::noise(size);
        let job = Job::new("stream", &["-p", "chunk=65536"], &["out"]).input("in", &content);
        let runs = job.run_everywhere();
        for ran in &runs {
            assert!(ran.bytes("out") == content, "{size} bytes on {}", ran.device.name);
        }
        if size == 5 {
            assert_holds_elsewhere(&job, &runs);
        }
    }
}

/// The handwritten digits: 8 x 8 numbers and what each is.
fn digits() -> String {
    fs::read_to_string(&data_files(&data::DIGITS)[0]).unwrap()
}

/// Trains, and returns what ran, with the folder that its outputs are in.
fn trained(samples: &[u8], checkpoint: Option<&[u8]>, args: &[&str], output: &'static str) -> Job {
    let outputs: &[&'static str] = if output == "checkpoint" { &["checkpoint", "log"] } else { &["gradients"] };
    let job = Job::new("train", args, outputs).input("samples", samples);
    if let Some(checkpoint) = checkpoint { job.input("checkpoint", checkpoint) } else { job }
}

#[test]
fn train() {
    let all = digits();
    let lavapipe = devices().into_iter().find(|device| device.name.contains("llvmpipe")).unwrap();
    let some: String = all.split_inclusive('\n').take(100).collect();
    let bytes = some.as_bytes();
    let (train, _) = network::samples(&some);

    for optimizer in ["optimizer=adam", "optimizer=sgd"] {
        let settings = ["-p", optimizer, "-p", "hidden=9,7", "-p", "batch=7", "-p", "seed=3"];
        // Within an epoch, and not at its end: 80 samples are 11 batches.
        let with_steps = |steps: &'static str| [&settings[..], &["-p", steps]].concat();
        let whole = trained(bytes, None, &with_steps("steps=40"), "checkpoint");
        let runs = if optimizer.ends_with("adam") { whole.run_everywhere() } else { vec![whole.run_here(&lavapipe)] };
        let first = trained(bytes, None, &with_steps("steps=17"), "checkpoint");
        let stopped = first.run_here(&lavapipe).bytes("checkpoint");
        let second = trained(bytes, Some(&stopped), &["-p", "steps=40"], "checkpoint");
        // On the CPU device, which did not begin it.
        let went_on = second.run_here(devices().last().unwrap()).bytes("checkpoint");
        assert!(went_on == runs[0].bytes("checkpoint") && went_on != stopped, "{optimizer}");
    }

    // Of all samples at once, as then their order is no matter: at first, and after some steps.
    let settings = ["-p", "hidden=9,7", "-p", "batch=80"];
    for steps in ["steps=0", "steps=25"] {
        let job = trained(bytes, None, &[&settings[..], &["-p", steps]].concat(), "checkpoint");
        let checkpoint = job.run_here(&lavapipe).bytes("checkpoint");
        let job = trained(bytes, Some(&checkpoint), &["-p", "gradients=1"], "gradients");
        let gradients = network::tensors(&job.run_here(&lavapipe).bytes("gradients"));
        network::Network::new(&network::tensors(&checkpoint)).assert_gradients(&gradients, &train);
    }

    let job = trained(all.as_bytes(), None, &[], "checkpoint");
    assert_learned(&job.run_here(&lavapipe), &all);
}

#[test]
#[ignore = "long: some minutes on the CPU device"]
fn train_learns_the_same_everywhere() {
    let all = digits();
    for settings in [&["-p", "steps=1760"][..], &["-p", "optimizer=sgd"], &["-p", "hidden=64,64"]] {
        let job = trained(all.as_bytes(), None, settings, "checkpoint");
        for ran in job.run_on_all_devices() {
            assert_learned(&ran, &all);
        }
    }
}

/// Asserts that a network tells digits apart that it was not trained with, and that the log says how well.
fn assert_learned(ran: &Ran, samples: &str) {
    let (_, test) = network::samples(samples);
    let accuracy = network::Network::new(&network::tensors(&ran.bytes("checkpoint"))).accuracy(&test);
    assert!(accuracy >= 0.96, "{accuracy} on {}", ran.device.name);
    let log = String::from_utf8(ran.bytes("log")).unwrap();
    assert_eq!(log.trim_end().rsplit(',').next().unwrap(), format!("{accuracy:.4}"));
}

#[test]
fn render() {
    // Which thing is seen where, with everything shining: a small mesh.
    let (torus, scene) = (rays::torus(24, 12), rays::World::scene());
    let size = ["-p", "width=60", "-p", "height=40", "-p", "samples=3"];
    let job = Job::new("render", &size, &["out"]).input("mesh", torus.as_bytes()).input("scene", scene.as_bytes());
    let runs = job.run_everywhere();
    let (checked, of_mesh) = rays::World::new(&torus).check(&Picture::read(&runs[0].outputs["out"]));
    assert!(checked > 1000 && of_mesh > 150, "{checked} pixels checked, {of_mesh} of the mesh");

    // ... and a large one, on the CPU device.
    let cpu = devices().pop().unwrap();
    let bunny = fs::read_to_string(&data_files(&data::BUNNY)[0]).unwrap();
    let size = ["-p", "width=30", "-p", "height=20", "-p", "samples=2"];
    let job = Job::new("render", &size, &["out"]).input("mesh", bunny.as_bytes()).input("scene", scene.as_bytes());
    let ran = job.run_here(&cpu);
    let (checked, of_mesh) = rays::World::new(&bunny).check(&Picture::read(&ran.outputs["out"]));
    assert!(checked > 200 && of_mesh > 25, "{checked} pixels checked, {of_mesh} of the mesh");

    // Where all that comes from anywhere is equally bright, nothing can be told from the sky that scatters all light: none is lost, and none is made.
    let furnace = "camera from 0 1 5 to 0 0.5 0 angle 40 lens 0.1\nsky horizon 0.4 0.4 0.4 zenith 0.4 0.4 0.4\n\
                   material white diffuse 1 1 1\nmaterial mirror metal 1 1 1 rough 0\nmaterial glass glass 1 1 1 index 1.5\n\
                   floor white height 0\nsphere mirror at -1 0.6 0 radius 0.5\nsphere glass at 0 0.6 0.5 radius 0.5\n\
                   mesh white at 1.2 0.05 0 height 0.8 turn 30\n";
    let size = ["-p", "width=30", "-p", "height=20", "-p", "samples=3", "-p", "bounces=256"];
    let job = Job::new("render", &size, &["out"]).input("mesh", rays::cube().as_bytes());
    let job = job.input("scene", furnace.as_bytes());
    let picture = Picture::read(&job.run_here(&cpu).outputs["out"]);
    let expected = rays::developed([0.4; 3]);
    for (index, pixel) in picture.pixels.iter().enumerate() {
        let off = pixel.iter().zip(expected).map(|(a, b)| a.abs_diff(b)).max().unwrap();
        assert!(off <= 1, "{pixel:?} instead of {expected:?} at pixel {index}");
    }
}

#[test]
fn tiles_of_a_picture_join_without_a_seam() {
    // All kinds of surfaces, sun, lens, and a frame that is not the first.
    let torus = rays::torus(12, 8);
    let tile = |args: &[&str], device: &TestDevice| {
        let picture = ["-p", "width=48", "-p", "height=30", "-p", "frame=5", "-p", "samples=5"];
        let job = Job::new("render", &[&picture[..], args].concat(), &["out"]).input("mesh", torus.as_bytes());
        Picture::read(&job.run_here(device).outputs["out"])
    };
    let devices = devices();
    let whole = tile(&[], &devices[0]);
    let columns = [(0, 17), (17, 31)];
    let rows = [(0, 9), (9, 21)];
    let tiles = rows.iter().flat_map(|row| columns.iter().map(move |column| (column, row)));
    // Each of another device than the one before.
    for (((x, w), (y, h)), device) in tiles.zip(devices.iter().cycle()) {
        let [left, top] = [("x", x), ("y", y)].map(|(name, value)| format!("{name}={value}"));
        let [wide, high] = [("w", w), ("h", h)].map(|(name, value)| format!("{name}={value}"));
        let part = tile(&["-p", &left, "-p", &top, "-p", &wide, "-p", &high], device);
        assert_eq!((part.width, part.height), (*w, *h));
        for (row, column) in (0..*h).flat_map(|row| (0..*w).map(move |column| (row, column))) {
            let expected = whole.pixel(x + column, y + row);
            assert_eq!(part.pixel(column, row), expected, "{column}, {row} of the tile at {x}, {y} on {}", device.name);
        }
    }
    assert!(whole.pixels.iter().collect::<std::collections::HashSet<_>>().len() > 500);
}

#[test]
#[ignore = "long: a picture of three bunnies on every device, some minutes on the CPU device"]
fn render_draws_the_same_picture_everywhere() {
    let mesh = format!("mesh={}", data_files(&data::BUNNY)[0].display());
    let size = ["-p", "width=320", "-p", "height=200", "-p", "samples=16"];
    let job = Job::new("render", &[&["-i", &mesh], &size[..]].concat(), &["out"]);
    job.run_on_all_devices();
}

#[test]
fn stream_copies_100_mb_in_bounded_memory() {
    const SIZE: usize = 100_000_000;
    let content = reference::noise(SIZE);
    let limits = ["--guest-memory", "4MiB", "--device-memory", "64MiB"];
    let job = Job::new("stream", &limits, &["out"]).input("in", &content);
    for device in devices() {
        let provider = Provider::start(&device.index, &[]);
        let idle = stats(provider.workers()[0]).unwrap().memory;
        let supervisor = stats(provider.pid()).unwrap().memory;
        let (over, most) = (AtomicBool::new(false), AtomicU64::new(0));
        let ran = std::thread::scope(|scope| {
            scope.spawn(|| {
                eventually("the job's end", || {
                    let peaks = provider.workers().into_iter().filter_map(stats).map(|stats| stats.peak);
                    most.fetch_max(peaks.max().unwrap_or(0), Ordering::Relaxed);
                    over.load(Ordering::Relaxed).then_some(())
                });
            });
            let ran = job.finish(provider.submit(&job.workload), &device, "bounded");
            over.store(true, Ordering::Relaxed);
            ran
        });
        assert!(file_is(&ran.outputs["out"], &content), "on {}", device.name);
        // Half of what passes through: two buffers of 8 MiB, staging memory, and the code to run it all.
        let worker = most.load(Ordering::Relaxed).saturating_sub(idle);
        assert!(worker < (SIZE / 2) as u64, "the worker took {worker} bytes more than an idle one on {}", device.name);
        let supervisor = stats(provider.pid()).unwrap().peak.saturating_sub(supervisor);
        assert!(supervisor < SIZE as u64, "the supervisor took {supervisor} bytes more");
    }
}

fn file_is(path: &Path, content: &[u8]) -> bool {
    fs::read(path).unwrap() == content
}
