//! Peers that want all of a provider for themselves: with connections, packets, promises and patience.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use isobit_job::{NodeAddr, NodeKey, SecretKey};
use isobit_transport::{CLOSE_NOT_ALLOWED, connect, connect_through, open};
use isobit_wire::{BlobHeader, Rejection, ToProvider, ToRenter, encode};
use quinn::{Connection, ConnectionError, Endpoint};

use super::client::{Client, encoded, spec};
use super::wire::Fresh;
use super::{ONE_JOB, Outputs, Site, assert_behaved, assert_serves, misbehave};
use crate::support::{Ended, Provider, eventually, stats};

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

/// Connections from an address of this machine, each with a key of its own.
async fn idle_from(host: Ipv4Addr, address: &str, count: usize) -> (Endpoint, Vec<Connection>) {
    let NodeAddr { port, key, .. } = address.parse().unwrap();
    let (endpoint, provider) = (open((host, 0).into()).unwrap(), ([127, 0, 0, 1], port).into());
    let mut idle = Vec::new();
    for _ in 0..count {
        idle.push(connect_through(&endpoint, provider, key, &SecretKey::generate()).await.unwrap());
    }
    (endpoint, idle)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: a thousand handshakes"]
async fn a_thousand_idle_connections_cost_a_bounded_amount_of_memory() {
    let site = Site::own(&ONE_JOB);
    assert_serves(&site.provider);
    let before = stats(site.provider.pid()).unwrap().memory;
    let mut crowds = tokio::task::JoinSet::new();
    for host in 1..=10 {
        let address = site.provider.address.clone();
        crowds.spawn(async move { idle_from(Ipv4Addr::new(127, 0, 9, host), &address, 100).await });
    }
    let crowds = crowds.join_all().await;
    let took = stats(site.provider.pid()).unwrap().peak.saturating_sub(before);
    println!("1000 idle connections took {} KiB", took >> 10);
    let open = crowds.iter().flat_map(|(_, idle)| idle).filter(|connection| connection.close_reason().is_none());
    assert_eq!(open.count(), 1000);
    assert!(took < 128 << 20, "{took}");
    assert_serves(&site.provider);
    drop(crowds);
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

/// The source and destination in the first packets of a QUIC connection (RFC 8999), which both name it.
fn connection_ids(packet: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let (length, rest) = packet.get(5..)?.split_first()?;
    let (destination, rest) = rest.split_at_checked(usize::from(*length))?;
    let (length, rest) = rest.split_first()?;
    Some((rest.get(..usize::from(*length))?.to_vec(), destination.to_vec()))
}

/// Begins handshakes from an address of this machine, shows on request that it is there, and finishes none. Sends each again and again, so that a
/// place that has become free is taken. `proved` counts those that have shown it.
async fn begin_handshakes(host: Ipv4Addr, address: NodeAddr, count: usize, proved: Arc<AtomicUsize>) {
    let provider = SocketAddr::from(([127, 0, 0, 1], address.port));
    let inner = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let outer = tokio::net::UdpSocket::bind((host, 0)).await.unwrap();
    let here = inner.local_addr().unwrap();
    let mut clients = tokio::task::JoinSet::new();
    let endpoint = open(([127, 0, 0, 1], 0).into()).unwrap();
    for _ in 0..count {
        let (endpoint, key) = (endpoint.clone(), address.key);
        clients.spawn(async move { connect_through(&endpoint, here, key, &SecretKey::generate()).await.is_ok() });
    }
    // By their names for themselves: the last packet of each, and whether it carries the proof.
    let mut last: HashMap<Vec<u8>, Vec<u8>> = HashMap::new();
    let mut asked: HashMap<Vec<u8>, bool> = HashMap::new();
    let mut client = None;
    let mut again = tokio::time::interval(Duration::from_millis(300));
    let (mut from_clients, mut from_provider) = ([0; 2048], [0; 2048]);
    loop {
        tokio::select! {
            Ok((length, from)) = inner.recv_from(&mut from_clients) => {
                let packet = &from_clients[..length];
                client = Some(from);
                let Some((name, _)) = connection_ids(packet) else { continue };
                if asked.get(&name) == Some(&false) {
                    asked.insert(name.clone(), true);
                    proved.fetch_add(1, Ordering::Relaxed);
                }
                last.insert(name, packet.to_vec());
                outer.send_to(packet, provider).await.ok();
            }
            Ok((length, _)) = outer.recv_from(&mut from_provider) => {
                let packet = &from_provider[..length];
                // Of long headers, those with both bits of the type are Retry (RFC 9000).
                let is_retry = packet[0] & 0xb0 == 0xb0;
                if let Some(((_, name), client)) = connection_ids(packet).zip(client).filter(|_| is_retry) {
                    asked.entry(name).or_insert(false);
                    inner.send_to(packet, client).await.ok();
                }
            }
            _ = again.tick() => {
                for packet in last.values() {
                    outer.send_to(packet, provider).await.ok();
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_never_finishes_its_handshakes_locks_nobody_out() {
    let site = Site::own(&ONE_JOB);
    let proved = Arc::new(AtomicUsize::new(0));
    let address = site.provider.address.parse().unwrap();
    let crowd = tokio::spawn(begin_handshakes(Ipv4Addr::new(127, 0, 9, 9), address, 320, Arc::clone(&proved)));
    eventually("handshakes that wait for their end", || (proved.load(Ordering::Relaxed) > 280).then_some(()));
    assert_serves(&site.provider);
    assert!(!crowd.is_finished());
    crowd.abort();
    site.assert_unharmed();
}

#[tokio::test(flavor = "multi_thread")]
async fn many_keys_of_one_host_do_not_fill_the_queue() {
    let site = Site::on("cpu", &["--slots", "1", "--waiting", "3"]);
    let host = Ipv4Addr::new(127, 0, 9, 1);
    let mut crowd = Vec::new();
    for _ in 0..4 {
        let mut client = Client::submit_from(host, &site.provider, &spec("spin", &[], &[]), MINUTE).await;
        client.bring_workload().await;
        client.hear_of(|message| matches!(message, ToRenter::Log { .. } | ToRenter::Queued { .. }).then_some(())).await;
        crowd.push(client);
    }
    // One more of the host is turned away, and somebody else is not, who is next, too.
    let mut more = Client::submit_from(host, &site.provider, &spec("behave", &[], &[]), MINUTE).await;
    assert!(matches!(more.last().await, ToRenter::Rejected(Rejection::Full { .. })));
    let mut other = Client::submit(&site.provider, &spec("behave", &[], &[]), MINUTE).await;
    other.bring_workload().await;
    assert!(matches!(other.hear().await, ToRenter::Queued { position: 1, .. }));
    assert!(matches!(crowd.pop().unwrap().last().await, ToRenter::Rejected(Rejection::Full { .. })));
    crowd.remove(0).say(&ToProvider::Cancel).await;
    assert!(matches!(other.last().await, ToRenter::Finished { .. }));
    drop(crowd);
    site.assert_unharmed();
}

/// As many uploads as there are threads for blocking work.
#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_uploads_that_trickle_hold_no_thread() {
    // The most of an address, and the most streams of a connection.
    const JOBS: usize = 32;
    const BLOBS: usize = 16;
    let site = Site::own(&ONE_JOB);
    let folder = tempfile::tempdir().unwrap();
    let mut streams = Vec::new();
    let mut clients = Vec::new();
    for job in 0..JOBS {
        let names: Vec<String> = (1..BLOBS).map(|input| format!("input-{input}")).collect();
        let paths: Vec<_> = names.iter().map(|name| folder.path().join(format!("{job}-{name}"))).collect();
        for path in &paths {
            std::fs::write(path, SecretKey::generate().to_bytes().repeat(1000)).unwrap();
        }
        let inputs: Vec<_> = names.iter().map(String::as_str).zip(paths.iter().map(AsRef::as_ref)).collect();
        let job = spec("behave", &[], &inputs);
        let mut client = Client::submit_from(Ipv4Addr::new(127, 0, 9, 2), &site.provider, &job, MINUTE).await;
        assert_eq!(client.missing().await.len(), BLOBS);
        for path in paths.iter().chain([&misbehave()]) {
            let (blob, bytes) = encoded(path);
            let header = encode(&BlobHeader { job: 0, blob }).unwrap();
            // The stream of a hash tree begins with hashes, which are checked when they are whole.
            let stream = client.open(&[&header, &bytes[..40]].concat()).await;
            streams.push((stream, bytes.into_iter().skip(40)));
        }
        clients.push(client);
    }
    eventually("uploads", || (site.provider.temporary_files().len() == JOBS * BLOBS).then_some(()));
    let trickle = tokio::spawn(async move {
        let mut second = tokio::time::interval(Duration::from_secs(1));
        loop {
            second.tick().await;
            for (stream, rest) in &mut streams {
                stream.write_all(&[rest.next().unwrap()]).await.ok();
            }
        }
    });
    assert_serves_beside(&site.provider, JOBS * BLOBS);
    trickle.abort();
    drop(clients);
    site.assert_unharmed();
}

/// Submits a job that does nothing wrong while others upload, and asserts that all of them still do.
fn assert_serves_beside(provider: &Provider, uploads: usize) {
    let outputs = Outputs::new();
    let mut submit = provider.submit(&misbehave());
    submit.args(["-p", "do=behave", "-o", &outputs.out()]);
    Ended::from(submit.output().unwrap()).done();
    assert_behaved(&outputs.0.path().join("out"));
    assert!(provider.temporary_files().len() >= uploads, "{}", provider.log());
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
