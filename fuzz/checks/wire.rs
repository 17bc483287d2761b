//! What travels between nodes: whatever the bytes are, and however they are split, there is an answer, and the same one.

use isobit_wire::{
    BlobHeader, Frame, FrameDecoder, OutputHeader, PROTOCOL, ProtocolError, ProviderSession, RenterSession, ToProvider,
    ToRenter, encode,
};
use std::fmt::Debug;

/// The first byte says who reads, the second how the rest is split.
pub fn check(data: &[u8]) {
    let [reader, step, bytes @ ..] = data else { return };
    let step = usize::from(*step).max(1);
    match reader % 6 {
        0 => frames::<ToProvider>(bytes, step),
        1 => frames::<ToRenter>(bytes, step),
        2 => frames::<BlobHeader>(bytes, step),
        3 => frames::<OutputHeader>(bytes, step),
        4 => {
            let [mut whole, mut split] = [0; 2].map(|_| ProviderSession::new());
            same(|bytes| whole.receive(bytes), |bytes| split.receive(bytes), bytes, step);
        }
        _ => {
            // How far the renter has come; it has said as much before anything is received.
            let said = usize::from(reader / 6 % 4);
            let [mut whole, mut split] = [0; 2].map(|_| RenterSession::new());
            let hello = ToProvider::Hello { protocol: PROTOCOL, software: String::new() };
            let submit = ToProvider::Submit { spec_json: Vec::new(), deadline_ms: 1 };
            for message in [hello, submit, ToProvider::Cancel].iter().take(said) {
                assert!(whole.send(message).is_ok() && split.send(message).is_ok());
            }
            same(|bytes| whole.receive(bytes), |bytes| split.receive(bytes), bytes, step);
        }
    }
}

fn frames<M: Frame + Debug>(bytes: &[u8], step: usize) {
    let decode = |pieces: &mut dyn Iterator<Item = &[u8]>| {
        let (mut decoder, mut found) = (FrameDecoder::<M>::new(), Vec::new());
        for mut piece in pieces {
            loop {
                match decoder.decode(&mut piece) {
                    Ok(Some(message)) => found.push(message),
                    Ok(None) => break,
                    Err(error) => return (found, Some(error)),
                }
            }
            assert!(piece.is_empty());
        }
        let end = decoder.finish().err();
        (found, end)
    };
    let (whole, split) = (decode(&mut std::iter::once(bytes)), decode(&mut bytes.chunks(step)));
    assert_eq!(format!("{whole:?}"), format!("{split:?}"));
    for message in whole.0 {
        // Numbers may be written longer than they need; what this side writes is read as the same.
        let Ok(frame) = encode(&message) else { panic!("it was read, and cannot be written: {message:?}") };
        let again = FrameDecoder::<M>::new().decode(&mut frame.as_slice());
        assert_eq!(format!("{again:?}"), format!("Ok(Some({message:?}))"));
    }
}

/// Asserts that a session takes the same from the bytes however they are split, and that it takes nothing after an error.
fn same<M: Debug>(
    mut whole: impl FnMut(&[u8]) -> Result<Vec<M>, ProtocolError>,
    mut split: impl FnMut(&[u8]) -> Result<Vec<M>, ProtocolError>,
    bytes: &[u8],
    step: usize,
) {
    let at_once = whole(bytes);
    let mut pieces = Vec::new();
    let failed = bytes.chunks(step).find_map(|piece| match split(piece) {
        Ok(messages) => {
            pieces.extend(messages);
            None
        }
        Err(error) => Some(error),
    });
    match (at_once, failed) {
        (Ok(messages), None) => assert_eq!(format!("{messages:?}"), format!("{pieces:?}")),
        (Err(error), Some(failed)) => {
            assert_eq!(format!("{error:?}"), format!("{failed:?}"));
            assert!(matches!(whole(&[]), Err(ProtocolError::Failed)));
            assert!(matches!(split(&[]), Err(ProtocolError::Failed)));
        }
        other => panic!("{other:?}"),
    }
}
