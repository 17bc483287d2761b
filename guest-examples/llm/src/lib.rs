//! Has a language model go on from a prompt, and writes what it says to output `text` token by token.
//!
//! The model is a GGUF file of the architecture `llama`. Its tokenizer and its chat template are in the file too. Weights stay as
//! many bits each on the device as they have in the file.

mod chat;
mod config;
mod gguf;
mod model;
#[cfg(test)]
mod real;
mod sample;
mod stream;
mod tokenizer;

use std::io::{BufReader, Read as _, Write as _};

use isobit::{Input, Output};

use config::Config;
use gguf::Gguf;
use model::Model;
use sample::Sampler;
use stream::Utf8Stream;
use tokenizer::Tokenizer;

isobit::takes! {
    param "prompt": "what the model is asked; or an input of this name",
    param "system": "who the model is to be; the template's own words if it is not set",
    param "template": "none: the prompt is text to go on from, without the model's chat template",
    param "tokens": "the most tokens to make; 256 if it is not set",
    param "temperature": "0, which is also what it is if not set: always the most likely token; 1: as likely as the model has it",
    param "top-k": "draw only from so many of the most likely tokens; 0 if it is not set: from all",
    param "top-p": "of these, only from the most likely that together have this probability; 1 if it is not set",
    param "seed": "of what is drawn; 0 if it is not set",
    param "logits": "1: write the logits that each token was chosen by to output logits",
    input "model": "a GGUF file of the architecture llama",
    input "prompt": "what the model is asked, if it is long",
    output "text": "what the model says, UTF-8",
    output "logits": "for each step a little-endian f32 for each token, if asked for",
}

/// The most bytes of a prompt for each token of the model's context: no prompt that fits is longer.
const MOST_BYTES_PER_TOKEN: u64 = 256;

#[isobit::main]
fn main() -> isobit::Result<()> {
    let wanted: usize = isobit::param("tokens")?.unwrap_or(256);
    let mut sampler = sampler()?;
    let mut input = Input::open("model")?;
    let size = input.size();
    let gguf = gguf::read(BufReader::with_capacity(1 << 20, &mut input), size).map_err(|wrong| wrong.to_string())?;
    let config = Config::new(&gguf)?;
    let tokenizer = Tokenizer::new(&gguf)?;
    let prompt = tokenizer.encode(&prompt(&gguf, &tokenizer, config.context)?);
    let capacity = prompt.len().saturating_add(wanted);
    if prompt.is_empty() || capacity > config.context {
        return Err(format!(
            "the prompt has {} tokens and {wanted} may follow: there has to be one, and the model looks at {} at most",
            prompt.len(),
            config.context
        )
        .into());
    }
    let ends = ["tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id"];
    let ends: Vec<u32> = ends.iter().filter_map(|key| gguf.token(key, tokenizer.len())).collect();

    let mut model = Model::load(&gguf, &mut input, &config, tokenizer.len(), prompt.len(), capacity)?;
    isobit::info!("a prompt of {} tokens", prompt.len());
    let mut text = Utf8Stream::new(Output::create("text")?);
    let asks_for_logits = isobit::param("logits")?.unwrap_or(0_u8) != 0;
    let mut kept = asks_for_logits.then(|| Output::create("logits")).transpose()?;

    let mut next = prompt;
    for made in 0..wanted {
        let logits = model.read(&next)?;
        if let Some(kept) = &mut kept {
            kept.write_all(isobit::bytemuck::cast_slice(&logits))?;
        }
        let token = sampler.next(&logits);
        if ends.contains(&token) {
            break;
        }
        text.write(tokenizer.bytes(token))?;
        isobit::progress((made + 1) as f32 / wanted as f32, "writing");
        next = vec![token];
    }
    text.finish()
}

fn sampler() -> isobit::Result<Sampler> {
    let sampler = Sampler {
        temperature: isobit::param("temperature")?.unwrap_or(0.0),
        top_k: isobit::param("top-k")?.unwrap_or(0),
        top_p: isobit::param("top-p")?.unwrap_or(1.0),
        seed: isobit::param("seed")?.unwrap_or(0),
    };
    if !(0.0..=100.0).contains(&sampler.temperature) {
        return Err(format!("temperature is {}, but has to be from 0 to 100", sampler.temperature).into());
    }
    if !(0.0..=1.0).contains(&sampler.top_p) {
        return Err(format!("top-p is {}, but has to be from 0 to 1", sampler.top_p).into());
    }
    Ok(sampler)
}

/// The text that the model goes on from.
fn prompt(gguf: &Gguf, tokenizer: &Tokenizer, context: usize) -> isobit::Result<String> {
    let prompt = match isobit::param::<String>("prompt")? {
        Some(prompt) => prompt,
        None => {
            let mut input = Input::open("prompt")?;
            let most = u64::try_from(context).unwrap_or(u64::MAX).saturating_mul(MOST_BYTES_PER_TOKEN);
            if input.size() > most {
                return Err(format!(
                    "the prompt has {} bytes; the model cannot look at more than {most}",
                    input.size()
                )
                .into());
            }
            let mut text = String::new();
            input.read_to_string(&mut text)?;
            text
        }
    };
    match isobit::param::<String>("template")?.as_deref() {
        Some("none") => Ok(prompt),
        Some(other) => Err(format!("template is {other}; it can only be none").into()),
        None => {
            let named = |key| gguf.token(key, tokenizer.len()).and_then(|token| tokenizer.special_text(token));
            let special = chat::Special {
                bos: named("tokenizer.ggml.bos_token_id").unwrap_or_default(),
                eos: named("tokenizer.ggml.eos_token_id").unwrap_or_default(),
            };
            let system = isobit::param::<String>("system")?;
            Ok(chat::render(gguf.text("tokenizer.chat_template")?, system.as_deref(), &prompt, &special)?)
        }
    }
}
