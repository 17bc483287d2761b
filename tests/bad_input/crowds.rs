//! Peers that want all of a provider for themselves: with connections, packets, promises and patience.

use std::net::UdpSocket;
use std::time::Duration;

use isobit_job::{NodeAddr, NodeKey, SecretKey};
use isobit_transport::{CLOSE_NOT_ALLOWED, connect};
use isobit_wire::{BlobHeader, ToRenter, encode};
use quinn::{Connection, ConnectionError, Endpoint};

use super::client::{Client, encoded, spec};
use super::wire::Fresh;
use super::{ONE_JOB, Site, assert_serves, misbehave};
use crate::support::stats;

const MINUTE: Duration = Duration::from_secs(60);

/// Connections, each with a key of its own or all with one, on which nothing is said.
async fn idle(address: &str, count: usize, key: Option<&SecretKey>) -> Vec<(Endpoint, Connection)> {
    let address: NodeAddr = address.parse().unwrap();
    let mut idle = Vec::new();
    for _ in 0..count {
        let own = SecretKey::generate();
        idle.extend(connect(&address, key.unwrap_or(&own)).await);
    }
    idle
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_lock_nobody_out() {
    let site = Site::own(&ONE_JOB);
    assert_serves(&site.provider);
    let before = stats(site.provider.pid()).unwrap().memory;
    let strangers = idle(&site.provider.address, 300, None).await;
    let one_key = idle(&site.provider.address, 100, Some(&SecretKey::generate())).await;
    assert_serves(&site.provider);
    let took = stats(site.provider.pid()).unwrap().peak.saturating_sub(before);
    assert!(took < 64 << 20, "{took}");
    // The oldest of each crowd had to give way.
    assert!(strangers.iter().any(|(_, connection)| connection.close_reason().is_some()));
    assert!(one_key.iter().filter(|(_, connection)| connection.close_reason().is_none()).count() <= 32);
    drop((strangers, one_key));
    site.assert_unharmed();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_not_allowed_gets_no_place() {
    let allowed = SecretKey::generate().public().to_string();
    let site = Site::own(&["--allow", &allowed]);
    for (_, connection) in idle(&site.provider.address, 100, None).await {
        match tokio::time::timeout(MINUTE, connection.closed()).await.unwrap() {
            ConnectionError::ApplicationClosed(close) => assert_eq!(close.error_code, CLOSE_NOT_ALLOWED),
            other => panic!("{other}"),
        }
    }
    site.submit("behave", &[]).failed(2, &["does not take jobs from this key"]);
}

/// First packets of handshakes that are never answered, as whoever forges addresses sends them.
async fn first_packets(key: NodeKey, count: usize) -> Vec<Vec<u8>> {
    let sink = UdpSocket::bind("127.0.0.1:0").unwrap();
    sink.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let address = NodeAddr { host: "127.0.0.1".into(), port: sink.local_addr().unwrap().port(), key };
    let mut packets = Vec::new();
    for _ in 0..count {
        let address = address.clone();
        let attempt = tokio::spawn(async move { connect(&address, &SecretKey::generate()).await.map(drop) });
        let sink = sink.try_clone().unwrap();
        let packet = tokio::task::spawn_blocking(move || {
            let mut bytes = vec![0; 2048];
            let (length, _) = sink.recv_from(&mut bytes).unwrap();
            bytes.truncate(length);
            bytes
        });
        packets.push(packet.await.unwrap());
        attempt.abort();
    }
    packets
}

#[tokio::test(flavor = "multi_thread")]
async fn forged_handshakes_lock_nobody_out() {
    let site = Site::own(&ONE_JOB);
    assert_serves(&site.provider);
    let (address, key) = site.provider.address.split_once('#').unwrap();
    let packets = first_packets(key.parse().unwrap(), 200).await;
    // The ports of sockets that are closed stand for addresses of others.
    for packet in &packets {
        UdpSocket::bind("127.0.0.1:0").unwrap().send_to(packet, address).unwrap();
    }
    assert_serves(&site.provider);
    site.assert_unharmed();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_trickles_holds_no_slot() {
    let (site, job) = (Site::own(&ONE_JOB), Fresh::new());
    let (client, header, bytes) = job.submit(&site).await;
    let stream = client.open(&[&encode(&header).unwrap(), &bytes[..100_000]].concat()).await;
    assert_serves(&site.provider);
    drop((stream, client));
    site.assert_unharmed();
}

/// The hash and the size of an input are in every receipt.
#[tokio::test(flavor = "multi_thread")]
async fn a_renter_with_too_many_uploads_is_told_which_limit() {
    let site = Site::own(&ONE_JOB);
    let (key, job) = (SecretKey::generate(), spec("behave", &[], &[]));
    let mut waiting = Vec::new();
    for _ in 0..8 {
        let mut client = Client::submit_as(&site.provider, &key, &job, MINUTE).await;
        assert_eq!(client.missing().await.len(), 1);
        waiting.push(client);
    }
    let last = Client::submit_as(&site.provider, &key, &job, MINUTE).await.last().await;
    let ToRenter::Rejected(rejection) = last else { panic!("{last:?}") };
    assert_eq!(rejection.to_string(), "limit `uploads` of the provider is reached: 8 of 8 in use");
    // It is that renter's limit and nobody else's.
    assert_serves(&site.provider);
    drop(waiting);
    site.assert_unharmed();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_is_no_key_to_the_renters_inputs() {
    let (site, job) = (Site::own(&[]), Fresh::new());
    let (blob, bytes) = encoded(&job.input);
    let (mut owner, header, _) = job.submit(&site).await;
    owner.upload(&header, &bytes).await;
    assert!(matches!(owner.last().await, ToRenter::Finished { .. }));

    // Another key knows the job spec, and is asked for all of it.
    let mut thief = Client::submit(&site.provider, &job.spec, MINUTE).await;
    let asked = thief.missing().await;
    let (workload, _) = encoded(&misbehave());
    assert!(asked.contains(&blob.hash) && asked.contains(&workload.hash), "{asked:?}");
    let upload = thief.open(&encode(&BlobHeader { job: 0, blob }).unwrap()).await;
    drop((upload, thief));

    // The owner is asked for nothing that it has sent before.
    let mut again = Client::submit_as(&site.provider, &owner.key, &job.spec, MINUTE).await;
    assert_eq!(again.missing().await, []);
    assert!(matches!(again.last().await, ToRenter::Finished { .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_asked_for_is_not_kept_in_memory() {
    let site = Site::own(&[]);
    assert_serves(&site.provider);
    let before = stats(site.provider.pid()).unwrap().memory;
    let crowd = idle(&site.provider.address, 60, None).await;
    let mut streams = Vec::new();
    for (_, connection) in &crowd {
        let (mut control, receive) = connection.open_bi().await.unwrap();
        // A frame that is announced and never ends, and no stream for bulk data.
        let head = 500_000_u32.to_le_bytes();
        let noise = vec![7; 32 << 20];
        // What the provider does not take stays here.
        let pushed = async {
            control.write_all(&head).await.ok();
            control.write_all(&noise).await.ok();
        };
        tokio::time::timeout(Duration::from_millis(100), pushed).await.ok();
        let bulk = tokio::time::timeout(Duration::from_millis(10), connection.open_uni()).await;
        assert!(!matches!(bulk, Ok(Ok(_))), "no stream for bulk data before a job is accepted");
        streams.push((control, receive));
    }
    let took = stats(site.provider.pid()).unwrap().peak.saturating_sub(before);
    assert!(took < 128 << 20, "{took}");
    drop((streams, crowd));
    site.assert_unharmed();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes half a minute: the provider is patient"]
async fn a_renter_that_does_not_read_does_not_keep_its_slot() {
    let site = Site::own(&ONE_JOB);
    let spec = spec("pour", &[("bytes", "200000000")], &[]);
    let mut client = Client::submit(&site.provider, &spec, Duration::from_secs(3000)).await;
    client.bring_workload().await;
    client.hear_of(|message| matches!(message, ToRenter::Output { .. }).then_some(())).await;
    tokio::time::sleep(Duration::from_secs(40)).await;
    assert_serves(&site.provider);
    assert!(client.connection.close_reason().is_none(), "it has not left, it only does not read");
}
