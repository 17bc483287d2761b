//! Bytes in and out, of every size and alignment, and in order with submitted work.

use std::io::{self, Read};
use std::thread;
use std::time::Duration;

use isobit_device::{BufferUsage, Readback, Source};
use isobit_job::FaultKind;

use crate::{MIB, fault_kind, on_every_device, storage, submit, values};

fn pattern(length: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_u32;
    let mut bytes = Vec::with_capacity(length);
    while bytes.len() < length {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        bytes.extend(state.to_be_bytes());
    }
    bytes.truncate(length);
    bytes
}

#[test]
fn a_new_buffer_is_zero() {
    on_every_device(|device| {
        for size in [4, 8, 60, MIB] {
            let buffer = device.create_buffer(size, BufferUsage::NONE).unwrap();
            let read = device.read(&buffer, 0, size).unwrap();
            assert_eq!(read.len() as u64, size);
            assert!(read.iter().all(|&byte| byte == 0));
        }
    });
}

#[test]
fn what_is_written_is_read_back_whatever_the_size() {
    on_every_device(|device| {
        let sizes = [4, 12, 4096, 64 << 10, (64 << 10) + 4, MIB + 12, (16 << 20) + 4, 100 << 20];
        for size in sizes {
            let bytes = pattern(size as usize);
            let buffer = device.create_buffer(size, BufferUsage::STORAGE).unwrap();
            device.write(&buffer, 0, Source::Slice(&bytes)).unwrap();
            assert!(*device.read(&buffer, 0, size).unwrap() == *bytes, "{size} bytes");
        }
    });
}

#[test]
fn parts_are_written_and_read_at_any_multiple_of_4() {
    on_every_device(|device| {
        let mut expected = pattern(300_000);
        let buffer = device.create_buffer(300_000, BufferUsage::STORAGE).unwrap();
        device.write(&buffer, 0, Source::Slice(&expected)).unwrap();
        for (offset, length) in [(4, 4), (12, 100_000), (100_004, 131_072), (299_996, 4)] {
            let part: Vec<u8> = pattern(length).iter().map(|byte| !byte).collect();
            device.write(&buffer, offset as u64, Source::Slice(&part)).unwrap();
            expected[offset..offset + length].copy_from_slice(&part);
        }
        for (offset, length) in [(0, 300_000), (4, 1), (12, 7), (99_996, 200_003), (299_996, 4)] {
            let read = device.read(&buffer, offset as u64, length as u64).unwrap();
            assert!(*read == expected[offset..offset + length], "{length} at {offset}");
        }
    });
}

#[test]
fn a_reader_is_read_straight_into_the_buffer() {
    on_every_device(|device| {
        for length in [5_usize, 70_001, (17 << 20) + 3] {
            let bytes = pattern(length);
            let padded = length.next_multiple_of(4) as u64;
            let buffer = device.create_buffer(padded, BufferUsage::STORAGE).unwrap();
            let mut reader = bytes.as_slice();
            let source = Source::Reader { reader: &mut reader, length: padded };
            device.write(&buffer, 0, source).unwrap();
            let read = device.read(&buffer, 0, padded).unwrap();
            assert!(read[..length] == bytes);
            assert!(read[length..].iter().all(|&byte| byte == 0), "padded with zeros");
        }
    });
}

struct Broken;

impl Read for Broken {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::Error::other("the disk is on fire"))
    }
}

#[test]
fn a_reader_that_fails_is_a_fault_and_the_device_lives_on() {
    on_every_device(|device| {
        for length in [16, MIB] {
            let buffer = device.create_buffer(length, BufferUsage::STORAGE).unwrap();
            let result = device.write(&buffer, 0, Source::Reader { reader: &mut Broken, length });
            assert_eq!(fault_kind(result), FaultKind::Storage);
            let mut short: &[u8] = &[1; 8];
            let result = device.write(&buffer, 0, Source::Reader { reader: &mut short, length });
            assert_eq!(fault_kind(result), FaultKind::Storage);
            let bytes = pattern(length as usize);
            device.write(&buffer, 0, Source::Slice(&bytes)).unwrap();
            assert!(*device.read(&buffer, 0, length).unwrap() == *bytes);
        }
    });
}

#[test]
fn writes_reads_and_commands_happen_in_the_order_of_the_calls() {
    on_every_device(|device| {
        let size = 2 * MIB;
        let a = device.create_buffer(size, BufferUsage::NONE).unwrap();
        let b = device.create_buffer(size, BufferUsage::NONE).unwrap();
        for round in 0..20_u8 {
            // Long and short writes, with the copies of earlier rounds still under way.
            device.write(&a, 0, Source::Slice(&vec![round; size as usize])).unwrap();
            device.write(&a, 8, Source::Slice(&[round ^ 0xff; 16])).unwrap();
            submit(device, |encoder| encoder.copy_buffer(&a, 0, &b, 0, size)).unwrap();
            device.write(&a, 0, Source::Slice(&vec![0xee; size as usize])).unwrap();
            submit(device, |encoder| encoder.clear_buffer(&b, 4, 4)).unwrap();
            if round % 5 == 4 {
                let read = device.read(&b, 0, size).unwrap();
                assert_eq!(read[..4], [round; 4]);
                assert_eq!(read[4..8], [0; 4]);
                assert_eq!(read[8..24], [round ^ 0xff; 16]);
                assert!(read[24..].iter().all(|&byte| byte == round));
            }
        }
        device.wait().unwrap();
    });
}

#[test]
fn readbacks_of_one_buffer_live_side_by_side_and_outlive_the_device() {
    let mut kept: Vec<(Readback, u32)> = Vec::new();
    let kept_cell = std::cell::RefCell::new(&mut kept);
    on_every_device(|device| {
        let buffer = storage(device, &[10, 11, 12, 13, 14, 15]);
        let first = device.read(&buffer, 0, 24).unwrap();
        let second = device.read(&buffer, 12, 8).unwrap();
        assert_eq!(values(&first), [10, 11, 12, 13, 14, 15]);
        assert_eq!(values(&second), [13, 14]);
        drop(first);
        assert_eq!(values(&second), [13, 14]);
        drop(buffer);
        kept_cell.borrow_mut().push((second, 13));
    });
    for (readback, first) in kept {
        assert_eq!(values(readback.as_ref())[0], first);
    }
}

#[test]
fn a_buffer_that_is_being_read_is_written_once_the_readback_is_dropped() {
    on_every_device(|device| {
        let buffer = storage(device, &[1, 2]);
        let readback = device.read(&buffer, 0, 8).unwrap();
        let reader = thread::spawn(move || {
            thread::sleep(Duration::from_millis(50));
            let seen = values(&readback);
            drop(readback);
            seen
        });
        device.write(&buffer, 0, Source::Slice(&[9; 8])).unwrap();
        assert_eq!(reader.join().unwrap(), [1, 2], "the readback does not change");
        assert_eq!(*device.read(&buffer, 0, 8).unwrap(), [9; 8]);
    });
}

#[test]
fn nothing_is_moved_for_a_length_of_0() {
    on_every_device(|device| {
        let buffer = storage(device, &[1]);
        device.write(&buffer, 4, Source::Slice(&[])).unwrap();
        assert!(device.read(&buffer, 4, 0).unwrap().is_empty());
        submit(device, |encoder| encoder.clear_buffer(&buffer, 4, 0)).unwrap();
        submit(device, |_| ()).unwrap();
        assert_eq!(values(&device.read(&buffer, 0, 4).unwrap()), [1]);
    });
}
