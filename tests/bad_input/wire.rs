//! Renters that break the protocol, send wrong bytes, or take their time.

use std::net::UdpSocket;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use isobit_job::{FaultKind, Hash, JobSpec, Limits, Outcome, Profile, SecretKey};
use isobit_renter::{Submission, SubmitError, submit};
use isobit_transport::{RESET_ABANDONED, read_header};
use isobit_wire::{
    BlobHeader, FrameDecoder, MAX_FRAME, MAX_HEADER, OutputHeader, PROTOCOL, Rejection, ToProvider, ToRenter, encode,
};

use super::client::{Client, encoded, spec};
use super::{ONE_JOB, Site, assert_serves, misbehave};
use crate::support::{Provider, eventually, has_ended, stats};

const MINUTE: Duration = Duration::from_secs(60);

/// A job with an input that no provider has.
pub struct Fresh {
    folder: Arc<tempfile::TempDir>,
    pub input: PathBuf,
    pub spec: JobSpec,
}

impl Fresh {
    pub fn new() -> Fresh {
        Fresh::doing("behave")
    }

    /// One that makes the guest do this.
    pub fn doing(wish: &str) -> Fresh {
        let folder = tempfile::tempdir().unwrap();
        let input = folder.path().join("input");
        let seed = SecretKey::generate().to_bytes();
        std::fs::write(&input, seed.repeat(10_000)).unwrap();
        let spec = spec(wish, &[], &[("fresh", &input)]);
        Fresh { folder: folder.into(), input, spec }
    }

    /// A job with the same input that does nothing wrong.
    pub fn doing_no_wrong(&self) -> Fresh {
        let spec = spec("behave", &[], &[("fresh", &self.input)]);
        Fresh { folder: Arc::clone(&self.folder), input: self.input.clone(), spec }
    }

    /// Submits it, with the workload but without the input.
    pub async fn submit(&self, site: &Site) -> (Client, BlobHeader, Vec<u8>) {
        self.submit_to(&site.provider).await
    }

    pub async fn submit_to(&self, provider: &Provider) -> (Client, BlobHeader, Vec<u8>) {
        let mut client = Client::submit(provider, &self.spec, MINUTE).await;
        let (blob, bytes) = encoded(&self.input);
        let others: Vec<_> = client.missing().await.into_iter().filter(|hash| *hash != blob.hash).collect();
        self.bring(&client, &others).await;
        (client, BlobHeader { job: 0, blob }, bytes)
    }

    /// Sends those of its blobs that a provider is missing.
    pub async fn bring(&self, client: &Client, missing: &[Hash]) {
        for path in [&misbehave(), &self.input] {
            let (blob, bytes) = encoded(path);
            if missing.contains(&blob.hash) {
                client.upload(&BlobHeader { job: 0, blob }, &bytes).await;
            }
        }
    }
}

/// Asserts that the job was refused for a bad blob, and why.
async fn assert_bad_blob(client: &mut Client, expected: Hash, why: &str) {
    match client.last().await {
        ToRenter::Rejected(Rejection::BadBlob { hash, reason }) => {
            assert_eq!(hash, expected);
            assert!(reason.contains(why), "{reason}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blob_with_one_flipped_byte_is_refused_where_it_is_wrong() {
    let (site, job) = (Site::shared(), Fresh::new());
    let (mut client, header, mut bytes) = job.submit(&site).await;
    let place = bytes.len() - 100_000;
    bytes[place] ^= 1;
    client.upload(&header, &bytes).await;
    // 320 000 bytes in groups of 16 KiB: the wrong byte is in the group from 212 992, give or take the inner hashes.
    assert_bad_blob(&mut client, header.blob.hash, "wrong data at byte ").await;
    site.assert_unharmed();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_truncated_upload_is_refused() {
    let (site, job) = (Site::shared(), Fresh::new());
    let (mut client, header, bytes) = job.submit(&site).await;
    client.upload(&header, &bytes[..200_000]).await;
    assert_bad_blob(&mut client, header.blob.hash, "truncated after byte ").await;

    let (mut client, header, bytes) = job.submit(&site).await;
    let mut stream = client.open(&[&encode(&header).unwrap(), &bytes[..200_000]].concat()).await;
    eventually("the upload's beginning", || (!site.provider.temporary_files().is_empty()).then_some(()));
    stream.reset(RESET_ABANDONED).unwrap();
    assert_bad_blob(&mut client, header.blob.hash, "the upload broke off").await;
    site.assert_unharmed();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_goes_on_after_its_end_is_refused() {
    let (site, job) = (Site::shared(), Fresh::new());
    let (mut client, header, bytes) = job.submit(&site).await;
    client.upload(&header, &[&bytes[..], b"and more"].concat()).await;
    assert_bad_blob(&mut client, header.blob.hash, "data after its end").await;
    site.assert_unharmed();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blob_that_nobody_asked_for_is_refused() {
    let (site, job) = (Site::shared(), Fresh::new());
    let other = Fresh::new();
    let (mut client, header, _) = job.submit(&site).await;
    let (blob, bytes) = encoded(&other.input);
    assert_ne!(blob, header.blob);
    client.upload(&BlobHeader { job: 0, blob }, &bytes).await;
    assert_bad_blob(&mut client, blob.hash, "it was not asked for").await;

    // The right hash with another size is as wrong.
    let (mut client, mut header, bytes) = job.submit(&site).await;
    header.blob.size = 17_u32.into();
    client.upload(&header, &bytes).await;
    assert_bad_blob(&mut client, header.blob.hash, "its size is not the job spec's").await;
    site.assert_unharmed();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blob_for_a_job_that_is_not_there_is_not_taken() {
    let (site, job) = (Site::shared(), Fresh::new());
    let (client, header, bytes) = job.submit(&site).await;
    let stray = encode(&BlobHeader { job: 99, ..header }).unwrap();
    let stream = client.open(&[&stray, &bytes[..]].concat()).await;
    assert_eq!(stream.stopped().await.unwrap(), Some(RESET_ABANDONED));
    drop(client);
    site.assert_unharmed();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renter_that_leaves_in_the_middle_of_an_upload_leaves_nothing() {
    let (site, job) = (Site::own(&ONE_JOB), Fresh::new());
    let (client, header, bytes) = job.submit(&site).await;
    let stream = client.open(&[&encode(&header).unwrap(), &bytes[..200_000]].concat()).await;
    eventually("the upload's beginning", || (!site.provider.temporary_files().is_empty()).then_some(()));
    client.connection.close(isobit_transport::CLOSE_DONE, b"gone");
    drop((client, stream));
    // The temporary file goes when the place is free again.
    site.assert_unharmed();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes half a minute: the provider is patient"]
async fn a_renter_that_never_sends_its_blobs_does_not_keep_its_place() {
    let (site, job) = (Site::own(&ONE_JOB), Fresh::new());
    let (mut client, header, _) = job.submit(&site).await;
    let start = Instant::now();
    tokio::time::sleep(Duration::from_secs(25)).await;
    assert_bad_blob(&mut client, header.blob.hash, "its upload did not begin within 30 s").await;
    assert!(start.elapsed() > Duration::from_secs(29));
    site.assert_unharmed();
}

#[tokio::test(flavor = "multi_thread")]
async fn random_bytes_close_the_connection_and_nothing_more() {
    let (site, job) = (Site::shared(), Fresh::new());
    let noise: Vec<u8> = (0..1_000_u32).map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes()[3]).collect();
    let frame = |body: &[u8]| [&u32::try_from(body.len()).unwrap().to_le_bytes(), body].concat();
    for bytes in [noise.clone(), vec![0xff; 64], frame(&noise), frame(&[]), frame(&[9; 40])] {
        let mut client = Client::connect(&site.provider).await;
        client.send.write_all(&bytes).await.unwrap();
        assert!(!client.closed().await.is_empty());

        // Streams of bulk data are possible once blobs have been asked for.
        let (client, _, _) = job.submit(&site).await;
        let _stream = client.open(&bytes).await;
        assert_eq!(client.closed().await, "a stream with a broken header");
    }
    site.assert_unharmed();
}

/// How far the conversation has come when a renter breaks it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Nothing was said.
    Silent,
    Greeted,
    /// The provider waits for a blob.
    Uploading,
    /// The job's guest runs.
    Running,
}

/// A frame with this content.
fn framed(content: &[u8]) -> Vec<u8> {
    [&u32::try_from(content.len()).unwrap().to_le_bytes(), content].concat()
}

/// What is no message at any stage: what it is, its bytes, and words of the reason for which the connection is closed.
fn broken_frames() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let cancel = encode(&ToProvider::Cancel).unwrap();
    let log = ToRenter::log(isobit_job::LogLevel::Info, "a message of the other side");
    vec![
        ("an empty frame", framed(&[]), "a frame that is not a message"),
        ("an unknown message", framed(&[3]), "a frame that is not a message"),
        ("a message of the other side", encode(&log).unwrap(), "a frame that is not a message"),
        ("a message that ends early", framed(&[0, 4, 200]), "a frame that is not a message"),
        ("a text that is not one", framed(&[0, 4, 2, 0xff, 0xfe]), "a frame that is not a message"),
        ("a number without an end", framed(&[0xff; 12]), "a frame that is not a message"),
        ("bytes after a message", framed(&[&cancel[4..], &[0]].concat()), "1 bytes after its message"),
        ("a frame that is a byte too long", framed(&vec![0; MAX_FRAME + 1]), "the most here is 524288"),
        ("the longest length", vec![0xff; 4], "a frame of 4294967295 bytes"),
        ("a name that is a byte too long", encode(&hello(&"n".repeat(257))).unwrap(), "`software` has length 257"),
    ]
}

fn hello(software: &str) -> ToProvider {
    ToProvider::Hello { protocol: PROTOCOL, software: software.into() }
}

/// Messages that do not belong at a stage, because they came before or come too early.
fn out_of_order(stage: Stage, submit: &ToProvider) -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let frame = |message: &ToProvider| encode(message).unwrap();
    let belongs_not = "does not belong";
    let (again, cancel) = (frame(&hello("by hand")), frame(&ToProvider::Cancel));
    match stage {
        Stage::Silent => {
            vec![("a job before a greeting", frame(submit), belongs_not), ("an end before", cancel, belongs_not)]
        }
        Stage::Greeted => vec![
            ("the greeting replayed", again, belongs_not),
            ("an end before a job", cancel, belongs_not),
            ("the job twice", frame(submit).repeat(2), belongs_not),
        ],
        Stage::Uploading | Stage::Running => vec![
            ("the greeting replayed", again, belongs_not),
            ("the job replayed", frame(submit), belongs_not),
            ("the beginning replayed", [again_hello(), frame(submit)].concat(), belongs_not),
        ],
    }
}

fn again_hello() -> Vec<u8> {
    encode(&hello("by hand")).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_broken_frame_at_every_stage_closes_its_connection_and_nothing_more() {
    let site = Site::on("cpu", &ONE_JOB);
    for stage in [Stage::Silent, Stage::Greeted, Stage::Uploading, Stage::Running] {
        let job = Fresh::doing(if stage == Stage::Running { "spin" } else { "behave" });
        let submit = ToProvider::Submit { spec_json: job.spec.canonical(), deadline_ms: 60_000 };
        // Each of these takes a worker.
        let most = if stage == Stage::Running { 2 } else { usize::MAX };
        for (what, bytes, why) in out_of_order(stage, &submit).into_iter().chain(broken_frames().into_iter().take(most))
        {
            let mut client = match stage {
                Stage::Silent => Client::connect(&site.provider).await,
                Stage::Greeted => {
                    let mut client = Client::connect(&site.provider).await;
                    client.say(&hello("by hand")).await;
                    assert!(matches!(client.hear().await, ToRenter::Welcome { .. }));
                    client
                }
                Stage::Uploading => job.submit(&site).await.0,
                Stage::Running => {
                    let (mut client, header, bytes) = submitted_when_free(&site, &job).await;
                    client.upload(&header, &bytes).await;
                    client.hear_of(|message| matches!(message, ToRenter::Log { .. }).then_some(())).await;
                    client
                }
            };
            // The provider may have closed the connection before the last of them.
            client.send.write_all(&bytes).await.ok();
            let reason = client.closed().await;
            assert!(reason.contains(why), "{stage:?}, {what}: {reason}");
        }
    }
    site.assert_unharmed();
}

/// The end of a job frees its place a moment after its connection was closed.
async fn submitted_when_free(site: &Site, job: &Fresh) -> (Client, BlobHeader, Vec<u8>) {
    loop {
        let mut client = Client::submit(&site.provider, &job.spec, MINUTE).await;
        let asked = client
            .hear_of(|message| match message {
                ToRenter::Missing { blobs } => Some(Some(blobs.clone())),
                ToRenter::Rejected(Rejection::Full { .. }) => Some(None),
                _ => None,
            })
            .await;
        if let Some(missing) = asked {
            let (blob, bytes) = encoded(&job.input);
            let others: Vec<_> = missing.into_iter().filter(|hash| *hash != blob.hash).collect();
            job.bring(&client, &others).await;
            return (client, BlobHeader { job: 0, blob }, bytes);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_that_breaks_off_costs_its_job_and_not_the_connection() {
    let site = Site::shared();
    let job = Fresh::new();
    let submit = ToProvider::Submit { spec_json: job.spec.canonical(), deadline_ms: 60_000 };
    let whole = [again_hello(), encode(&submit).unwrap()].concat();
    // Within the first length, within a frame, between two, and within the last.
    for length in [2, 7, again_hello().len(), whole.len() - 1] {
        let mut client = Client::connect(&site.provider).await;
        client.send.write_all(&whole[..length]).await.unwrap();
        client.send.finish().unwrap();
        let answer = client.rest().await;
        let greeted = FrameDecoder::<ToRenter>::new().decode(&mut answer.as_slice()).unwrap();
        assert_eq!(matches!(greeted, Some(ToRenter::Welcome { .. })), length >= again_hello().len());
        assert!(client.connection.close_reason().is_none());
    }
    site.assert_unharmed();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: a job spec has 10 s to come"]
async fn half_open_jobs_are_given_up() {
    let site = Site::shared();
    let mut client = Client::connect(&site.provider).await;
    client.say(&hello("by hand")).await;
    assert!(matches!(client.hear().await, ToRenter::Welcome { .. }));
    assert!(client.rest().await.is_empty());
    site.assert_unharmed();
}

#[tokio::test(flavor = "multi_thread")]
async fn every_broken_header_of_a_blob_closes_its_connection() {
    let (site, job) = (Site::shared(), Fresh::new());
    let good = encode(&BlobHeader { job: 0, blob: encoded(&job.input).0 }).unwrap();
    let content = &good[4..];
    for (what, bytes) in [
        ("empty", framed(&[])),
        ("a byte short", framed(&content[..content.len() - 1])),
        ("a byte over", framed(&[content, &[0]].concat())),
        ("too long", framed(&[content, &vec![0; MAX_HEADER]].concat())),
        ("a size beyond all", framed(&[&content[..33], &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]].concat())),
        ("cut off", good[..20].to_vec()),
    ] {
        let (client, _, _) = job.submit(&site).await;
        let mut stream = client.open(&bytes).await;
        stream.finish().ok();
        assert_eq!(client.closed().await, "a stream with a broken header", "{what}");
    }

    // A blob that comes twice is not asked for the second time.
    let (mut client, header, bytes) = job.submit(&site).await;
    let _half = client.open(&[&encode(&header).unwrap(), &bytes[..100_000]].concat()).await;
    client.upload(&header, &bytes).await;
    assert_bad_blob(&mut client, header.blob.hash, "it was not asked for").await;
    site.assert_unharmed();
}

#[tokio::test(flavor = "multi_thread")]
async fn another_protocol_version_is_refused_with_both() {
    let site = Site::shared();
    let mut client = Client::connect(&site.provider).await;
    // The session would not let it out, nor take the answer.
    let hello = ToProvider::Hello { protocol: 99, software: "from the future".into() };
    client.send.write_all(&encode(&hello).unwrap()).await.unwrap();
    let answer = client.rest().await;
    let answer = FrameDecoder::<ToRenter>::new().decode(&mut answer.as_slice()).unwrap();
    let refused = Rejection::UnsupportedProtocol { offered: 99, supported: PROTOCOL };
    assert_eq!(answer, Some(ToRenter::Rejected(refused)));
    assert_serves(&site.provider);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_spec_that_is_none_is_refused() {
    let (site, job) = (Site::shared(), Fresh::new());
    let text = String::from_utf8(job.spec.canonical()).unwrap();
    for broken in ["", "{}", "[[[[", &text.replace("job/1", "job/9"), &text.replace("\"params\"", "\"parms\"")] {
        let mut client = Client::connect(&site.provider).await;
        client.say(&ToProvider::Hello { protocol: PROTOCOL, software: "by hand".into() }).await;
        client.say(&ToProvider::Submit { spec_json: broken.into(), deadline_ms: 1000 }).await;
        let last = client.last().await;
        assert!(matches!(&last, ToRenter::Rejected(Rejection::InvalidSpec(_))), "{broken}: {last:?}");
    }
    site.assert_unharmed();
}

#[tokio::test(flavor = "multi_thread")]
async fn packets_that_are_no_quic_are_ignored() {
    let site = Site::shared();
    let (address, _) = site.provider.address.split_once('#').unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    for size in [0, 1, 40, 1200, 1472] {
        for first in [0x00, 0x40, 0xc0, 0xff] {
            socket.send_to(&vec![first; size], address).unwrap();
        }
    }
    site.assert_unharmed();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_input_that_changes_after_it_was_hashed_is_not_sent() {
    let (site, job) = (Site::shared(), Fresh::new());
    let inputs = [("fresh".parse().unwrap(), job.input.clone())].into();
    let params = [("do".parse().unwrap(), "behave".to_owned())].into();
    let submission = Submission::new(&misbehave(), &inputs, params, Limits::default(), Profile::default()).unwrap();
    let submission = Arc::new(submission);
    let address = site.provider.address.parse().unwrap();
    let key = SecretKey::generate();
    let never = std::future::pending::<()>;
    let wanted = Default::default();

    let modified = std::fs::metadata(&job.input).unwrap().modified().unwrap();
    let mut content = std::fs::read(&job.input).unwrap();
    content[150_000] ^= 1;
    std::fs::write(&job.input, &content).unwrap();
    let later = SystemTime::now() + Duration::from_secs(2);
    std::fs::File::options().write(true).open(&job.input).unwrap().set_modified(later).unwrap();
    let error = submit(&address, &key, &submission, MINUTE, &wanted, |_| {}, never()).await.unwrap_err();
    assert!(matches!(&error, SubmitError::Source(_)), "{error}");
    assert!(error.to_string().contains("changed while it was being sent"), "{error}");

    // A change that hides behind the old time is found out by the provider.
    std::fs::File::options().write(true).open(&job.input).unwrap().set_modified(modified).unwrap();
    let error = submit(&address, &key, &submission, MINUTE, &wanted, |_| {}, never()).await.unwrap_err();
    assert!(matches!(&error, SubmitError::Rejected(Rejection::BadBlob { .. })), "{error}");
    assert!(error.to_string().contains("wrong data at byte 147456"), "{error}");
    site.assert_unharmed();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_renter_costs_the_provider_no_memory_and_gets_its_output() {
    const SIZE: usize = 200_000_000;
    let site = Site::own(&ONE_JOB);
    assert_serves(&site.provider);
    let supervisor = stats(site.provider.pid()).unwrap().memory;
    let idle = stats(site.provider.workers()[0]).unwrap().memory;

    let spec = spec("pour", &[("bytes", &SIZE.to_string())], &[]);
    let mut client = Client::submit(&site.provider, &spec, MINUTE).await;
    client.bring_workload().await;
    client.hear_of(|message| matches!(message, ToRenter::Output { .. }).then_some(())).await;
    let worker = site.provider.workers()[0];
    until_it_rests(worker).await;

    let took = |pid, before: u64| stats(pid).unwrap().peak.saturating_sub(before);
    // QUIC's window of 16 MiB is under way; 256 KiB pieces, a pipe of 1 MiB and the guest's memory add little.
    assert!(took(site.provider.pid(), supervisor) < 64 << 20, "{}", took(site.provider.pid(), supervisor));
    assert!(took(worker, idle) < 64 << 20, "{}", took(worker, idle));

    let mut output = client.connection.accept_uni().await.unwrap();
    let header: OutputHeader = read_header(&mut output).await.unwrap();
    assert_eq!(header, OutputHeader { job: 0, index: 0 });
    let bytes = output.read_to_end(SIZE + 1).await.unwrap();
    assert_eq!(bytes.len(), SIZE);
    let ToRenter::Finished { envelope_json, .. } = client.last().await else { panic!() };
    let receipt = isobit_job::Envelope::from_json(&envelope_json).unwrap().verify().unwrap();
    assert_eq!(receipt.claim.outcome, Outcome::Completed);
    assert_eq!(receipt.claim.outputs.values().next().unwrap().hash, Hash::of(&bytes));
    assert!(took(site.provider.pid(), supervisor) < 96 << 20);
    drop(client);
    site.assert_unharmed();
}

/// Waits until a process has used no processor time for half a second.
async fn until_it_rests(pid: u32) {
    let time = || {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        // utime and stime are the fields 14 and 15; the name, which may hold spaces, is the second.
        let (_, rest) = stat.rsplit_once(") ").unwrap();
        rest.split(' ').skip(11).take(2).map(str::to_owned).collect::<Vec<_>>()
    };
    let start = Instant::now();
    let mut before = time();
    loop {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let now = time();
        if now == before {
            return;
        }
        assert!(start.elapsed() < MINUTE, "the worker never waited");
        before = now;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renter_that_does_not_listen_is_given_up_at_the_deadline() {
    let site = Site::own(&ONE_JOB);
    let spec = spec("chatter", &[], &[]);
    let mut client = Client::submit(&site.provider, &spec, Duration::from_secs(2)).await;
    // From here on nobody reads the control stream, whose window the guest's long lines soon fill.
    client.bring_workload().await;
    let worker = site.provider.workers()[0];
    let start = Instant::now();
    while !has_ended(worker) {
        assert!(start.elapsed() < Duration::from_secs(15), "the job is stuck");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    site.assert_unharmed();
    drop(client);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renter_that_does_not_take_its_output_is_given_up_at_the_deadline() {
    let site = Site::own(&ONE_JOB);
    assert_serves(&site.provider);
    let spec = spec("pour", &[("bytes", "200000000")], &[]);
    let mut client = Client::submit(&site.provider, &spec, Duration::from_secs(1)).await;
    client.bring_workload().await;
    let last = client.last().await;
    assert!(matches!(&last, ToRenter::Faulted(fault) if fault.kind == FaultKind::Deadline), "{last:?}");
    site.assert_unharmed();
}
