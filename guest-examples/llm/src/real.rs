//! Tests on the real file, and on broken copies of its head.

use std::fs::File;
use std::io::Read as _;

use crate::config::{Config, Tensors};
use crate::gguf::{self, Gguf};
use crate::tokenizer::Tokenizer;

#[allow(dead_code, reason = "shared with those who fetch")]
#[path = "../../../xtask/src/data.rs"]
mod data;
#[allow(dead_code, reason = "shared with those who set up")]
#[path = "../../../xtask/src/drivers.rs"]
mod drivers;

/// The bytes before the first tensor's.
const HEAD: usize = 1_785_664;

/// The head of the real file and the file's size, if it was fetched.
fn head() -> Option<(Vec<u8>, u64)> {
    let path = data::SMOLLM2.paths().remove(0);
    let Ok(mut file) = File::open(&path) else {
        let reason = format!("no {}: run `cargo xtask data`", path.display());
        assert!(std::env::var_os("CI").is_none(), "{reason}");
        println!("SKIP: {reason}");
        return None;
    };
    let mut head = vec![0; HEAD];
    file.read_exact(&mut head).unwrap();
    Some((head, file.metadata().unwrap().len()))
}

/// What the workload does with a head before it computes anything.
fn take(gguf: &Gguf, size: u64) -> Result<(Config, Tokenizer), String> {
    let config = Config::new(gguf)?;
    let tokenizer = Tokenizer::new(gguf)?;
    let mut tensors = Tensors::new(gguf, size);
    tensors.matrix("token_embd.weight", tokenizer.len(), config.width)?;
    for index in 0..config.layers {
        tensors.matrix(&format!("blk.{index}.ffn_down.weight"), config.width, config.inner)?;
        tensors.vector(&format!("blk.{index}.attn_norm.weight"), config.width)?;
    }
    Ok((config, tokenizer))
}

#[test]
fn texts_become_the_tokens_that_they_are() {
    let Some((head, size)) = head() else { return };
    let (config, tokenizer) = take(&gguf::read(head.as_slice(), size).unwrap(), size).unwrap();
    assert_eq!((config.layers, config.heads, config.key_heads, config.dimension), (30, 9, 3, 64));
    let expected: serde_json::Value = serde_json::from_str(include_str!("../reference/expected.json")).unwrap();
    let texts = expected["tokens"].as_array().unwrap();
    assert!(texts.len() >= 8);
    for text in texts {
        let (text, tokens) = (text[0].as_str().unwrap(), text[1].as_array().unwrap());
        let tokens: Vec<u64> = tokens.iter().map(|token| token.as_u64().unwrap()).collect();
        let found: Vec<u64> = tokenizer.encode(text).into_iter().map(u64::from).collect();
        assert_eq!(found, tokens, "{text:?}");
        let special = |token: &u64| u32::try_from(*token).is_ok_and(|token| tokenizer.special_text(token).is_some());
        if !tokens.iter().any(special) {
            let bytes: Vec<u8> =
                tokenizer.encode(text).iter().flat_map(|token| tokenizer.bytes(*token)).copied().collect();
            assert_eq!(String::from_utf8(bytes).unwrap(), text);
        }
    }
}

#[test]
fn broken_copies_of_a_real_head_are_refused_or_read() {
    let Some((head, size)) = head() else { return };
    let mut random = 1_u64;
    let mut next = |below: usize| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(random >> 33).unwrap() % below
    };
    let (mut refused, mut tensors) = (0, 0);
    for _ in 0..60 {
        let mut broken = head.clone();
        // Sizes and types lie at the ends: the first keys, and the tensors.
        let at = if next(2) == 0 { next(1600) } else { HEAD - 1 - next(19_000) };
        broken[at] ^= u8::try_from(1 + next(255)).unwrap();
        let result = gguf::read(broken.as_slice(), size).map_err(|wrong| wrong.to_string());
        if let Err(reason) = result.and_then(|gguf| take(&gguf, size)) {
            refused += 1;
            tensors += usize::from(reason.contains("tensor `") || reason.contains("byte "));
        }
        broken.truncate(next(HEAD));
        let length = u64::try_from(broken.len()).unwrap();
        gguf::read(broken.as_slice(), length).unwrap_err();
    }
    assert!(refused > 20 && tensors > 10, "{refused} refused, {tensors} of them for a tensor or a byte");
    // The file ends within the last tensors.
    let gguf = gguf::read(head.as_slice(), size).unwrap();
    let refusal = take(&gguf, size / 2).unwrap_err();
    assert!(refusal.contains("tensor `blk.") && refusal.contains("does not end within"), "{refusal}");
}
