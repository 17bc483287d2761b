//! Renters that break the protocol, send wrong bytes, or take their time.

use std::net::UdpSocket;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use isobit_job::{FaultKind, Hash, JobSpec, Limits, Outcome, Profile, SecretKey};
use isobit_renter::{Submission, SubmitError, submit};
use isobit_transport::{RESET_ABANDONED, read_header};
use isobit_wire::{BlobHeader, FrameDecoder, OutputHeader, PROTOCOL, Rejection, ToProvider, ToRenter, encode};

use super::client::{Client, encoded, spec};
use super::{ONE_JOB, Site, assert_serves, misbehave};
use crate::support::{eventually, has_ended, stats};

const MINUTE: Duration = Duration::from_secs(60);

/// A job with an input that no provider has.
pub struct Fresh {
    _folder: tempfile::TempDir,
    pub input: PathBuf,
    pub spec: JobSpec,
}

impl Fresh {
    pub fn new() -> Fresh {
        let folder = tempfile::tempdir().unwrap();
        let input = folder.path().join("input");
        let seed = SecretKey::generate().to_bytes();
        std::fs::write(&input, seed.repeat(10_000)).unwrap();
        let spec = spec("behave", &[], &[("fresh", &input)]);
        Fresh { _folder: folder, input, spec }
    }

    /// Submits it, with the workload but without the input.
    pub async fn submit(&self, site: &Site) -> (Client, BlobHeader, Vec<u8>) {
        let mut client = Client::submit(&site.provider, &self.spec, MINUTE).await;
        let (blob, bytes) = encoded(&self.input);
        for hash in client.missing().await {
            if hash != blob.hash {
                let (workload, bytes) = encoded(&misbehave());
                assert_eq!(hash, workload.hash);
                client.upload(&BlobHeader { job: 0, blob: workload }, &bytes).await;
            }
        }
        (client, BlobHeader { job: 0, blob }, bytes)
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

#[tokio::test(flavor = "multi_thread")]
async fn a_message_out_of_turn_closes_the_connection() {
    let (site, job) = (Site::shared(), Fresh::new());
    let hello = ToProvider::Hello { protocol: PROTOCOL, software: "by hand".into() };
    let submit = ToProvider::Submit { spec_json: job.spec.canonical(), deadline_ms: 1000 };
    for messages in [vec![&ToProvider::Cancel], vec![&submit], vec![&hello, &hello], vec![&hello, &submit, &submit]] {
        let mut client = Client::connect(&site.provider).await;
        for message in messages {
            // The provider may have closed the connection before the last of them.
            client.send.write_all(&encode(message).unwrap()).await.ok();
        }
        let reason = client.closed().await;
        assert!(reason.contains("does not belong"), "{reason}");
    }
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
    let submission = std::sync::Arc::new(submission);
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
