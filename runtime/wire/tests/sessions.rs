//! Two sessions talk to each other, and hostile ones to one of ours.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests may panic")]

use isobit_job::{
    Bytes, Currency, Demand, DeviceClass, Fault, FaultKind, Hash, Limits, LogLevel, MAX_OUTPUTS, MAX_SPEC_JSON, Name,
    Prices, Profile, Terms, TooExpensive, Unread,
};
use isobit_wire::{
    BlobHeader, FrameDecoder, FrameError, MAX_FRAME, MAX_HEADER, MAX_LOG, MAX_PROGRESS, MAX_TEXT, OutputHeader,
    PROTOCOL, ProtocolError, ProviderSession, Quote, Rejection, RenterSession, ToProvider, ToRenter, encode,
};
use proptest::prelude::*;

fn hello() -> ToProvider {
    ToProvider::Hello { protocol: PROTOCOL, software: "isobit 0.1.0".to_owned() }
}

fn submit() -> ToProvider {
    ToProvider::Submit { spec_json: b"{}".to_vec(), deadline_ms: 60_000 }
}

fn terms() -> ToProvider {
    ToProvider::Terms(Terms { max_price: Some(prices()), budget: "1EUR".parse().ok() })
}

fn ask() -> ToProvider {
    let (size, limits, profile, class) = (Bytes::mib(1), Limits::default(), Profile::Dp32, DeviceClass::Large);
    ToProvider::Ask {
        demand: Demand { limits, profile, class, workload: size, inputs: size, blobs: size },
        deadline_ms: 60_000,
    }
}

fn prices() -> Prices {
    "guest-fuel=0.001,currency=EUR".parse().unwrap()
}

fn quote() -> ToRenter {
    ToRenter::Quote(Box::new(Quote {
        prices: Some(prices()),
        refusal: Some(Rejection::Full { running: 1, queued: 16 }),
        deadline_ms: 60_000,
        device: "llvmpipe".to_owned(),
        classes: DeviceClass::ALL.into(),
        slots: 1,
        running: 1,
        waiting: 16,
        places: 16,
        position: 17,
    }))
}

fn welcome() -> ToRenter {
    ToRenter::Welcome { protocol: PROTOCOL, software: "isobit 0.1.0".to_owned() }
}

fn missing() -> ToRenter {
    ToRenter::Missing { blobs: vec![Hash::of(b"a"), Hash::of(b"b")] }
}

fn queued() -> ToRenter {
    ToRenter::Queued { position: 1, reason: "one job is running".to_owned() }
}

fn accepted() -> ToRenter {
    ToRenter::Accepted { deadline_ms: 60_000 }
}

fn running() -> ToRenter {
    ToRenter::Running { device: "llvmpipe".to_owned() }
}

fn output(index: u32) -> ToRenter {
    ToRenter::Output { index, name: format!("out{index}").parse().unwrap() }
}

fn finished(outputs: u32) -> ToRenter {
    ToRenter::Finished { envelope_json: b"{}".to_vec(), outputs }
}

fn faulted() -> ToRenter {
    ToRenter::Faulted(Fault::new(FaultKind::DeviceLost, "gone"))
}

/// Two sessions after `Hello`, `Submit` and these messages of the provider.
fn after(messages: &[ToRenter]) -> (RenterSession, ProviderSession) {
    let (mut renter, mut provider) = (RenterSession::new(), ProviderSession::new());
    for message in [hello(), submit()] {
        assert_eq!(provider.receive(&renter.send(&message).unwrap()).unwrap(), [message]);
    }
    for message in messages {
        assert_eq!(renter.receive(&provider.send(message).unwrap()).unwrap(), std::slice::from_ref(message));
    }
    (renter, provider)
}

#[test]
fn a_whole_job_passes_and_ends_cleanly() {
    let (mut renter, mut provider) = after(&[
        welcome(),
        missing(),
        queued(),
        queued(),
        accepted(),
        running(),
        ToRenter::log(LogLevel::Info, "hello"),
        output(0),
        ToRenter::progress(0.5, "half"),
        output(1),
        finished(2),
    ]);
    assert!(renter.is_over() && provider.is_over());
    assert_eq!((renter.end(), provider.end()), (Ok(()), Ok(())));
}

#[test]
fn a_job_whose_blobs_are_all_there_may_start_at_once() {
    after(&[welcome(), accepted(), running(), finished(0)]);
}

#[test]
fn terms_come_before_the_job_and_prices_before_all_that_is_said_of_it() {
    let (mut renter, mut provider) = (RenterSession::new(), ProviderSession::new());
    for message in [hello(), terms(), submit()] {
        assert_eq!(provider.receive(&renter.send(&message).unwrap()).unwrap(), [message]);
    }
    for message in [welcome(), ToRenter::Prices(prices()), missing(), accepted()] {
        assert_eq!(renter.receive(&provider.send(&message).unwrap()).unwrap(), [message]);
    }
    assert!(matches!(renter.send(&terms()), Err(ProtocolError::OutOfOrder { .. })));
    for path in
        [vec![], vec![welcome(), missing()], vec![welcome(), ToRenter::Prices(prices())], vec![welcome(), accepted()]]
    {
        let (_, mut provider) = after(&path);
        let sent = provider.send(&ToRenter::Prices(prices()));
        assert!(matches!(sent, Err(ProtocolError::OutOfOrder { message: "Prices", .. })), "{path:?}");
    }
}

#[test]
fn whoever_asks_gets_a_quote_and_nothing_else() {
    let (mut renter, mut provider) = (RenterSession::new(), ProviderSession::new());
    for message in [hello(), ask()] {
        assert_eq!(provider.receive(&renter.send(&message).unwrap()).unwrap(), [message]);
    }
    for message in [submit(), terms(), ask(), ToProvider::Cancel] {
        assert!(matches!(renter.send(&message), Err(ProtocolError::OutOfOrder { .. })), "{message:?}");
    }
    renter.receive(&provider.send(&welcome()).unwrap()).unwrap();
    for message in [missing(), queued(), accepted(), faulted(), ToRenter::Prices(prices())] {
        let place = "between `Ask` and `Quote`";
        let expected = Err(ProtocolError::OutOfOrder { message: message.name(), place });
        assert_eq!(provider.send(&message).map(drop), expected);
    }
    renter.receive(&provider.send(&quote()).unwrap()).unwrap();
    assert!(renter.is_over() && provider.is_over());
    // Nobody gets one who has not asked.
    let (_, mut provider) = after(&[welcome()]);
    assert!(provider.send(&quote()).is_err());
}

#[test]
fn a_job_may_be_rejected_until_it_runs_and_may_fault_until_it_ends() {
    let path = [welcome(), missing(), queued(), accepted(), running(), output(0)];
    for length in 0..=path.len() {
        let (mut renter, mut provider) = after(&path[..length]);
        let may_reject = length < 5;
        let rejection = provider.send(&ToRenter::Rejected(Rejection::NotAllowed));
        assert_eq!(rejection.is_ok(), may_reject, "after {length} messages");
        if let Ok(bytes) = rejection {
            renter.receive(&bytes).unwrap();
            assert!(renter.is_over());
        }

        let (mut renter, mut provider) = after(&path[..length]);
        let fault = provider.send(&faulted());
        assert_eq!(fault.is_ok(), length > 0, "after {length} messages");
        if let Ok(bytes) = fault {
            renter.receive(&bytes).unwrap();
            assert!(provider.is_over());
        }
    }
}

#[test]
fn a_message_out_of_order_neither_leaves_nor_enters() {
    let ends = [finished(0), faulted(), ToRenter::Rejected(Rejection::ShuttingDown)];
    let cases: Vec<(Vec<ToRenter>, ToRenter, &str)> = vec![
        (vec![], missing(), "between `Submit` and `Welcome`"),
        (vec![welcome()], welcome(), "between `Submit` and `Accepted`"),
        (vec![welcome()], running(), "between `Submit` and `Accepted`"),
        (vec![welcome(), missing()], missing(), "between `Submit` and `Accepted`"),
        (vec![welcome(), accepted()], queued(), "between `Accepted` and `Running`"),
        (vec![welcome(), accepted()], output(0), "between `Accepted` and `Running`"),
        (vec![welcome(), accepted()], finished(0), "between `Accepted` and `Running`"),
        (vec![welcome(), accepted(), running()], running(), "while the job runs"),
    ];
    let after_the_end =
        ends.iter().cloned().map(|end| (vec![welcome(), accepted(), running(), finished(0)], end, "after the end"));
    for (path, message, place) in cases.into_iter().chain(after_the_end) {
        let expected = Err(ProtocolError::OutOfOrder { message: message.name(), place });
        let (mut renter, mut provider) = after(&path);
        assert_eq!(provider.send(&message).map(drop), expected);
        assert_eq!(renter.receive(&encode(&message).unwrap()).map(drop), expected);
        assert_eq!(renter.receive(&[]), Err(ProtocolError::Failed));
    }
}

#[test]
fn the_renter_says_hello_then_submit_then_perhaps_cancel() {
    for (path, message) in [
        (vec![], submit()),
        (vec![], ToProvider::Cancel),
        (vec![hello()], hello()),
        (vec![hello()], ToProvider::Cancel),
        (vec![hello(), submit()], submit()),
        (vec![hello(), submit(), ToProvider::Cancel], ToProvider::Cancel),
    ] {
        let (mut renter, mut provider) = (RenterSession::new(), ProviderSession::new());
        for message in &path {
            provider.receive(&renter.send(message).unwrap()).unwrap();
        }
        assert!(matches!(renter.send(&message), Err(ProtocolError::OutOfOrder { .. })));
        assert!(matches!(provider.receive(&encode(&message).unwrap()), Err(ProtocolError::OutOfOrder { .. })));
        assert_eq!(provider.send(&welcome()), Err(ProtocolError::Failed));
    }
}

#[test]
fn a_cancel_that_crosses_with_the_end_is_dropped() {
    let (mut renter, mut provider) = after(&[welcome(), accepted(), running()]);
    let cancel = renter.send(&ToProvider::Cancel).unwrap();
    let end = provider.send(&finished(0)).unwrap();
    assert_eq!(provider.receive(&cancel), Ok(vec![]));
    assert_eq!(renter.receive(&end), Ok(vec![finished(0)]));
    assert!(matches!(renter.send(&ToProvider::Cancel), Err(ProtocolError::OutOfOrder { .. })));
}

#[test]
fn a_renter_of_another_version_is_told_so() {
    let mut provider = ProviderSession::new();
    let newer = ToProvider::Hello { protocol: PROTOCOL + 1, software: "isobit 9.0.0".to_owned() };
    assert_eq!(RenterSession::new().send(&newer), Err(ProtocolError::Version { found: PROTOCOL + 1 }));

    let greeting = [encode(&newer).unwrap(), encode(&submit()).unwrap()].concat();
    assert_eq!(provider.receive(&greeting).unwrap(), [newer, submit()]);
    assert_eq!(provider.send(&welcome()), Err(ProtocolError::Version { found: PROTOCOL + 1 }));
    let rejection = ToRenter::Rejected(Rejection::UnsupportedProtocol { offered: PROTOCOL + 1, supported: PROTOCOL });
    let bytes = provider.send(&rejection).unwrap();

    let mut renter = RenterSession::new();
    renter.send(&hello()).unwrap();
    assert_eq!(renter.receive(&bytes).unwrap(), [rejection]);
}

#[test]
fn a_provider_of_another_version_is_refused() {
    let mut renter = RenterSession::new();
    renter.send(&hello()).unwrap();
    let bytes = encode(&ToRenter::Welcome { protocol: PROTOCOL + 1, software: String::new() }).unwrap();
    assert_eq!(renter.receive(&bytes), Err(ProtocolError::Version { found: PROTOCOL + 1 }));
}

/// These bytes are for ever: they are how versions that do not understand each other find out.
#[test]
fn the_messages_that_tell_versions_apart_keep_their_bytes() {
    let hello = ToProvider::Hello { protocol: 300, software: "s".to_owned() };
    assert_eq!(encode(&hello).unwrap(), [5, 0, 0, 0, 0, 0xac, 2, 1, b's']);
    let welcome = ToRenter::Welcome { protocol: 1, software: "s".to_owned() };
    assert_eq!(encode(&welcome).unwrap(), [4, 0, 0, 0, 0, 1, 1, b's']);
    let rejected = ToRenter::Rejected(Rejection::UnsupportedProtocol { offered: 2, supported: 1 });
    assert_eq!(encode(&rejected).unwrap(), [4, 0, 0, 0, 1, 0, 2, 1]);
}

#[test]
fn what_is_over_a_bound_neither_leaves_nor_enters() {
    let refused = |path: &[ToRenter], message: ToRenter| {
        let (mut renter, mut provider) = after(path);
        let error = provider.send(&message).unwrap_err();
        assert_eq!(renter.receive(&encode(&message).unwrap()).unwrap_err().to_string(), error.to_string());
        error.to_string()
    };
    let job_runs = [welcome(), accepted(), running()];
    let log = ToRenter::Log { level: LogLevel::Info, message: "x".repeat(MAX_LOG + 1) };
    assert_eq!(refused(&job_runs, log), "`message` has length 8193; the most is 8192");
    let progress = |fraction, message: String| ToRenter::Progress { fraction, message };
    assert_eq!(
        refused(&job_runs, progress(0.5, "x".repeat(MAX_PROGRESS + 1))),
        "`message` has length 257; the most is 256"
    );
    assert_eq!(refused(&job_runs, progress(f32::NAN, String::new())), "progress of NaN; it goes from 0 to 1");
    assert_eq!(refused(&job_runs, progress(1.5, String::new())), "progress of 1.5; it goes from 0 to 1");
    assert_eq!(refused(&job_runs, output(1)), "output 1 where 0 comes next; the most is 256 outputs");
    assert_eq!(refused(&job_runs, finished(1)), "output 1 where 0 comes next; the most is 256 outputs");
    let rejection = ToRenter::Rejected(Rejection::InvalidSpec("x".repeat(MAX_TEXT + 1)));
    assert_eq!(refused(&[], rejection), "`rejection` has length 4097; the most is 4096");
    let missing = |blobs| refused(&[welcome()], ToRenter::Missing { blobs });
    assert_eq!(missing(vec![]), "a list of missing blobs that is empty or names one twice");
    assert_eq!(missing(vec![Hash::of(b"a"); 2]), "a list of missing blobs that is empty or names one twice");
    assert_eq!(missing(vec![Hash::of(b"a"); 258]), "`blobs` has length 258; the most is 257");

    let mut renter = RenterSession::new();
    renter.send(&hello()).unwrap();
    let long = ToProvider::Submit { spec_json: vec![b' '; MAX_SPEC_JSON + 1], deadline_ms: 0 };
    assert!(matches!(renter.send(&long), Err(ProtocolError::TooLong { field: "spec_json", .. })));
}

#[test]
fn a_job_has_256_outputs_at_most_and_no_name_twice() {
    let (mut renter, mut provider) = after(&[welcome(), accepted(), running(), output(0)]);
    let again = ToRenter::Output { index: 1, name: "out0".parse().unwrap() };
    assert!(matches!(provider.send(&again), Err(ProtocolError::OutputTwice { .. })));
    // What was refused left no trace.
    for index in 1..u32::try_from(MAX_OUTPUTS).unwrap() {
        renter.receive(&provider.send(&output(index)).unwrap()).unwrap();
    }
    assert!(matches!(provider.send(&output(256)), Err(ProtocolError::OutputIndex { .. })));
    renter.receive(&provider.send(&finished(256)).unwrap()).unwrap();
}

#[test]
fn a_job_that_is_restarted_announces_its_outputs_anew_and_is_not_restarted_again() {
    let restarted = ToRenter::restarted("isobit CPU device", "the driver left a loop");
    let (mut renter, mut provider) =
        after(&[welcome(), accepted(), running(), output(0), output(1), restarted.clone()]);
    assert!(matches!(provider.send(&restarted), Err(ProtocolError::OutOfOrder { message: "Restarted", .. })));
    // Streams of void outputs may still be on their way: no index is used twice.
    assert!(matches!(provider.send(&output(0)), Err(ProtocolError::OutputIndex { found: 0, expected: 2 })));
    let again = ToRenter::Output { index: 2, name: "out0".parse().unwrap() };
    renter.receive(&provider.send(&again).unwrap()).unwrap();
    assert!(matches!(provider.send(&finished(3)), Err(ProtocolError::OutputIndex { found: 3, expected: 1 })));
    renter.receive(&provider.send(&finished(1)).unwrap()).unwrap();
    // Before it runs there is nothing to begin anew.
    let (_, mut provider) = after(&[welcome(), accepted()]);
    assert!(provider.send(&restarted).is_err());
}

#[test]
fn the_constructors_cut_what_a_guest_says_to_what_is_allowed() {
    let (mut renter, mut provider) = after(&[welcome(), accepted(), running()]);
    let long = "\u{20ac}".repeat(10_000);
    for message in [
        ToRenter::log(LogLevel::Error, &long),
        ToRenter::progress(f32::INFINITY, &long),
        ToRenter::progress(f32::NAN, ""),
        ToRenter::progress(-1.0, ""),
        ToRenter::restarted(&long, &long),
        ToRenter::Faulted(Fault::new(FaultKind::Internal, &long)),
    ] {
        renter.receive(&provider.send(&message).unwrap()).unwrap();
    }
}

#[test]
fn a_stream_that_ends_early_says_where() {
    let (mut renter, mut provider) = after(&[welcome()]);
    assert_eq!(renter.end().unwrap_err().to_string(), "the peer left between `Submit` and `Accepted`");
    provider.receive(&[9]).unwrap();
    assert_eq!(provider.end(), Err(ProtocolError::Frame(FrameError::Truncated { found: 1 })));
    assert_eq!(provider.receive(&[]), Err(ProtocolError::Failed));
}

#[test]
fn the_longest_spec_and_receipt_fit_a_frame() {
    let mut renter = RenterSession::new();
    renter.send(&hello()).unwrap();
    renter.send(&ToProvider::Submit { spec_json: vec![b' '; MAX_SPEC_JSON], deadline_ms: u64::MAX }).unwrap();
    // 496 KiB: the bound that isobit-job keeps for its longest receipt.
    let (_, mut provider) = after(&[welcome(), accepted(), running()]);
    provider.send(&ToRenter::Finished { envelope_json: vec![b' '; 496 * 1024], outputs: 0 }).unwrap();
    let (_, mut provider) = after(&[welcome(), accepted(), running()]);
    let too_long = ToRenter::Finished { envelope_json: vec![b' '; MAX_FRAME], outputs: 0 };
    assert!(matches!(provider.send(&too_long), Err(ProtocolError::Frame(FrameError::TooLong { .. }))));
}

#[test]
fn a_streams_header_leaves_the_bytes_behind_it() {
    let header = OutputHeader { job: 7, index: 3 };
    let bytes = [encode(&header).unwrap(), b"bytes of the output".to_vec()].concat();
    let mut decoder = FrameDecoder::<OutputHeader>::new();
    let mut input = bytes.as_slice();
    assert_eq!(decoder.decode(&mut input), Ok(Some(header)));
    assert_eq!(input, b"bytes of the output");

    let mut decoder = FrameDecoder::<BlobHeader>::new();
    let long = FrameError::TooLong { found: 1025, maximum: MAX_HEADER };
    assert_eq!(decoder.decode(&mut [1, 4, 0, 0].as_slice()), Err(long));
}

#[test]
fn every_reason_comes_with_words_and_a_hint() {
    let rejections = [
        Rejection::UnsupportedProtocol { offered: 2, supported: 1 },
        Rejection::NotAllowed,
        Rejection::Full { running: 1, queued: 2 },
        Rejection::LimitTooHigh { limit: "fuel".to_owned(), maximum: 1, requested: 2 },
        Rejection::InvalidSpec("no".to_owned()),
        Rejection::BadBlob { hash: Hash::of(b""), reason: "cut short".to_owned() },
        Rejection::NoRoom { needed: 2.into(), available: 1.into() },
        Rejection::StoreShare { needed: 2.into(), in_use: 1.into(), maximum: 2.into() },
        Rejection::NotAWorkload("no component".to_owned()),
        Rejection::ShuttingDown,
        Rejection::LimitReached { limit: "uploads".to_owned(), maximum: 8, used: 8 },
        Rejection::TooExpensive(TooExpensive::Currency { asked: prices().currency, offered: Currency::default() }),
    ];
    for rejection in rejections {
        let text = rejection.to_string();
        assert!(text.starts_with(char::is_lowercase) && !rejection.hint().is_empty(), "{text}");
        after(&[ToRenter::Rejected(rejection)]);
    }
}

fn to_provider() -> impl Strategy<Value = ToProvider> {
    prop_oneof![
        4 => Just(hello()),
        4 => Just(submit()),
        4 => Just(ToProvider::Cancel),
        1 => Just(terms()),
        1 => Just(ask()),
    ]
}

/// Messages of the provider; the stages of a job more often than the ends.
fn to_renter() -> impl Strategy<Value = ToRenter> {
    let name = "[a-c]".prop_map(|text| text.parse::<Name>().unwrap());
    prop_oneof![
        4 => Just(welcome()),
        2 => Just(missing()),
        2 => Just(queued()),
        4 => Just(accepted()),
        1 => Just(ToRenter::restarted("isobit CPU device", "it left a loop")),
        1 => Just(ToRenter::Unread(Unread::default())),
        4 => Just(running()),
        4 => (0u32..4, name).prop_map(|(index, name)| ToRenter::Output { index, name }),
        2 => (any::<f32>(), ".{0,9}").prop_map(|(fraction, message)| ToRenter::progress(fraction, &message)),
        2 => ".{0,9}".prop_map(|message| ToRenter::log(LogLevel::Debug, &message)),
        2 => (0u32..4).prop_map(finished),
        1 => Just(ToRenter::Rejected(Rejection::NotAllowed)),
        1 => Just(ToRenter::Prices(prices())),
        1 => Just(quote()),
        1 => Just(faulted()),
    ]
}

/// What may happen next: one side tries to say something, or some bytes arrive at the other.
#[derive(Debug, Clone)]
enum Step {
    Renter(ToProvider),
    Provider(ToRenter),
    ArriveAtProvider(usize),
    ArriveAtRenter(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        1 => to_provider().prop_map(Step::Renter),
        4 => to_renter().prop_map(Step::Provider),
        2 => (0usize..60).prop_map(Step::ArriveAtProvider),
        2 => (0usize..60).prop_map(Step::ArriveAtRenter),
    ]
}

proptest! {
    /// The property that makes the protocol one: whatever a session lets its owner say, the peer's session takes,
    /// however messages cross and bytes are split.
    #[test]
    fn what_one_side_may_say_the_other_takes(steps in prop::collection::vec(step(), 0..300)) {
        let (mut renter, mut provider) = (RenterSession::new(), ProviderSession::new());
        let (mut up, mut down) = (Vec::new(), Vec::new());
        let (mut said, mut heard) = (Vec::new(), Vec::new());
        for step in steps {
            match step {
                Step::Renter(message) => up.extend(renter.send(&message).unwrap_or_default()),
                Step::Provider(message) => {
                    if let Ok(bytes) = provider.send(&message) {
                        down.extend(bytes);
                        said.push(message);
                    }
                }
                Step::ArriveAtProvider(count) => {
                    let bytes: Vec<u8> = up.drain(..count.min(up.len())).collect();
                    prop_assert!(provider.receive(&bytes).is_ok());
                }
                Step::ArriveAtRenter(count) => {
                    let bytes: Vec<u8> = down.drain(..count.min(down.len())).collect();
                    heard.extend(renter.receive(&bytes).unwrap());
                }
            }
        }
        heard.extend(renter.receive(&down).unwrap());
        prop_assert!(provider.receive(&up).is_ok());
        prop_assert_eq!(said, heard);
        prop_assert_eq!(renter.is_over(), provider.is_over());
    }

    #[test]
    fn random_bytes_are_an_error_or_wait_for_more_and_never_a_panic(
        bytes in prop::collection::vec(prop_oneof![any::<u8>(), 0u8..12], 0..400),
    ) {
        let (mut renter, mut provider) = after(&[welcome(), accepted(), running()]);
        let _ = renter.receive(&bytes);
        let _ = provider.receive(&bytes);
        let mut provider = ProviderSession::new();
        let _ = provider.receive(&bytes);
        let _ = FrameDecoder::<BlobHeader>::new().decode(&mut bytes.as_slice());
    }

    #[test]
    fn a_frame_around_random_bytes_is_an_error_or_a_legal_message(body in prop::collection::vec(any::<u8>(), 0..100)) {
        let mut frame = u32::try_from(body.len()).unwrap().to_le_bytes().to_vec();
        frame.extend(body);
        let (mut renter, _) = after(&[welcome(), accepted(), running()]);
        if let Ok(messages) = renter.receive(&frame) {
            prop_assert_eq!(messages.len(), 1);
        }
    }
}
