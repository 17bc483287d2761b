//! The model on the device: its weights, the memory of the tokens so far, and the layers that compute with both.

use std::io::{Seek as _, SeekFrom};

use isobit::{Batch, Buffer, Input};
use isobit_nn::{
    Activations, Attention, AttentionShape, Cache, Columns, Gate, Linear, Network, Norm, Quantize, Rows, Weights,
};

use crate::config::{Config, Matrix, Tensors};
use crate::gguf::Gguf;

/// Tokens of a prompt that are computed together, at most.
const BATCH: usize = 256;

/// A model that has read some tokens.
pub struct Model {
    nn: Network,
    position: usize,
    capacity: usize,
    width: usize,
    tokens: Buffer<u32>,
    embed: Rows,
    layers: Vec<Layer>,
    hidden: Buffer<f32>,
    /// The row of `hidden` that the next token follows from.
    last: Buffer<f32>,
    norm: Norm,
    head: Linear,
    logits: Buffer<f32>,
    vocabulary: usize,
}

struct Layer {
    attention_norm: Norm,
    project: Vec<Linear>,
    attention: Attention,
    attended: Quantize,
    out: Linear,
    inner_norm: Norm,
    widen: Vec<Linear>,
    gate: Gate,
    narrow: Linear,
}

/// What the layers work on, one after the other.
struct Work {
    hidden: Buffer<f32>,
    normed: Activations,
    projected: Buffer<f32>,
    turns: Buffer<f32>,
    attended: Buffer<f32>,
    attended_in_blocks: Activations,
    widened: Buffer<f32>,
    gated: Activations,
}

/// Brings tensors to the device.
struct Loader<'a> {
    nn: &'a Network,
    input: &'a mut Input,
    tensors: Tensors<'a>,
    config: &'a Config,
}

impl Model {
    /// Brings a model to the device, with room for `capacity` tokens, of which the first `prompt` are known.
    pub fn load(
        gguf: &Gguf,
        input: &mut Input,
        config: &Config,
        vocabulary: usize,
        prompt: usize,
        capacity: usize,
    ) -> isobit::Result<Self> {
        let nn = Network::new()?;
        let size = input.size();
        let mut loader = Loader { nn: &nn, input, tensors: Tensors::new(gguf, size), config };
        let rows = prompt.clamp(1, BATCH);
        let work = Work::new(&nn, config, rows, capacity)?;
        let shape = AttentionShape {
            heads: config.heads,
            key_heads: config.key_heads,
            dimension: config.dimension,
            turned: config.turned,
            capacity,
        };
        let name = "token_embd.weight";
        let matrix = loader.tensors.matrix(name, vocabulary, config.width)?;
        let embeddings = loader.load(&[(name, matrix)])?;
        let mut layers = Vec::with_capacity(config.layers);
        for index in 0..config.layers {
            layers.push(loader.layer(index, &work, &shape)?);
            isobit::progress((index + 1) as f32 / config.layers as f32, "loading the model");
        }
        let tokens = nn.gpu().buffer(rows)?;
        let embed = Rows::new(&nn, &embeddings, &tokens, &work.hidden)?;
        let last = nn.gpu().buffer(config.width)?;
        let normed = Activations::new(&nn, 1, config.width)?;
        let gain = loader.vector("output_norm.weight", config.width)?;
        let norm = Norm::new(&nn, &last, &gain, config.epsilon, &normed)?;
        let pitch = vocabulary.next_multiple_of(4);
        let logits = nn.gpu().buffer(pitch)?;
        let columns = Columns { buffer: &logits, first: 0, pitch };
        // Many models have the same matrix for what goes in and what comes out.
        let name = "output.weight";
        let head = if loader.tensors.has(name) {
            let matrix = loader.tensors.matrix(name, vocabulary, config.width)?;
            Linear::new(&nn, &loader.load(&[(name, matrix)])?, &normed, columns, false)?
        } else {
            Linear::new(&nn, &embeddings, &normed, columns, false)?
        };
        loader.tensors.finish()?;
        let (hidden, width) = (work.hidden, config.width);
        Ok(Self {
            nn,
            position: 0,
            capacity,
            width,
            tokens,
            embed,
            layers,
            hidden,
            last,
            norm,
            head,
            logits,
            vocabulary,
        })
    }

    /// Reads tokens; the logits of all tokens that may follow. There have to be some, and room for them.
    pub fn read(&mut self, tokens: &[u32]) -> isobit::Result<Vec<f32>> {
        if tokens.is_empty() || tokens.len() > self.capacity - self.position {
            return Err(format!("{} tokens after {} of {}", tokens.len(), self.position, self.capacity).into());
        }
        for some in tokens.chunks(self.tokens.len()) {
            let (count, start) = (u32::try_from(some.len())?, u32::try_from(self.position)?);
            self.tokens.write(some)?;
            self.nn.start_step(count, start)?;
            let mut batch = self.nn.gpu().batch();
            self.embed.record(&mut batch, count)?;
            for layer in &self.layers {
                layer.record(&mut batch, count)?;
            }
            self.position += some.len();
            let end = some.len() * self.width;
            batch.copy(self.hidden.slice(end - self.width..end), self.last.slice(..))?;
            self.norm.record(&mut batch, 1)?;
            self.head.record(&mut batch, 1)?;
            batch.submit()?;
        }
        self.logits.slice(..self.vocabulary).read()
    }
}

impl Work {
    fn new(nn: &Network, config: &Config, rows: usize, capacity: usize) -> isobit::Result<Self> {
        let Config { width, inner, heads, key_heads, dimension, .. } = *config;
        let buffer = |columns: usize| nn.gpu().buffer(rows.saturating_mul(columns));
        Ok(Self {
            hidden: buffer(width)?,
            normed: Activations::new(nn, rows, width)?,
            projected: buffer((heads + 2 * key_heads).saturating_mul(dimension))?,
            turns: nn.gpu().buffer_from(&Attention::turns(capacity, config.turned, config.base))?,
            attended: buffer(heads * dimension)?,
            attended_in_blocks: Activations::new(nn, rows, heads * dimension)?,
            widened: buffer(2 * inner)?,
            gated: Activations::new(nn, rows, inner)?,
        })
    }
}

impl Loader<'_> {
    /// Matrices of one format, one below another.
    fn load(&mut self, matrices: &[(&str, Matrix)]) -> isobit::Result<Weights> {
        let Some((name, Matrix { format, columns, .. })) = matrices.first() else { return Err("no matrix".into()) };
        let parts: Vec<_> = matrices.iter().map(|(_, matrix)| matrix.part).collect();
        let loaded = Weights::load(self.nn, self.input, *format, *columns, &parts);
        loaded.map_err(|error| format!("tensor `{name}`: {error}").into())
    }

    fn vector(&mut self, name: &str, len: usize) -> isobit::Result<Buffer<f32>> {
        let offset = self.tensors.vector(name, len)?;
        let buffer = self.nn.gpu().buffer(len)?;
        self.input.seek(SeekFrom::Start(offset))?;
        buffer.load_from(self.input)?;
        Ok(buffer)
    }

    /// Products of the same activations, side by side in the rows of `out`. Those of one format become one product.
    fn products(
        &mut self,
        names_and_rows: &[(String, usize)],
        x: &Activations,
        columns: usize,
        out: &Buffer<f32>,
    ) -> isobit::Result<Vec<Linear>> {
        let mut matrices = Vec::new();
        for (name, rows) in names_and_rows {
            matrices.push((name.as_str(), self.tensors.matrix(name, *rows, columns)?));
        }
        let pitch = names_and_rows.iter().map(|(_, rows)| rows).sum();
        let mut first = 0;
        let mut products = Vec::new();
        for same in matrices.chunk_by(|(_, a), (_, b)| a.format == b.format) {
            let weights = self.load(same)?;
            products.push(Linear::new(self.nn, &weights, x, Columns { buffer: out, first, pitch }, false)?);
            first += weights.rows();
        }
        Ok(products)
    }

    /// A product that is added to the hidden state.
    fn added(&mut self, name: &str, columns: usize, x: &Activations, work: &Work) -> isobit::Result<Linear> {
        let width = self.config.width;
        let matrix = self.tensors.matrix(name, width, columns)?;
        let weights = self.load(&[(name, matrix)])?;
        Linear::new(self.nn, &weights, x, Columns { buffer: &work.hidden, first: 0, pitch: width }, true)
    }

    fn norm(&mut self, name: &str, work: &Work) -> isobit::Result<Norm> {
        let gain = self.vector(name, self.config.width)?;
        Norm::new(self.nn, &work.hidden, &gain, self.config.epsilon, &work.normed)
    }

    fn layer(&mut self, index: usize, work: &Work, shape: &AttentionShape) -> isobit::Result<Layer> {
        let Config { width, inner, heads, key_heads, dimension, .. } = *self.config;
        let name = |what: &str| format!("blk.{index}.{what}.weight");
        let projections = [
            (name("attn_q"), heads * dimension),
            (name("attn_k"), key_heads * dimension),
            (name("attn_v"), key_heads * dimension),
        ];
        let cache = Cache::new(self.nn, shape)?;
        Ok(Layer {
            attention_norm: self.norm(&name("attn_norm"), work)?,
            project: self.products(&projections, &work.normed, width, &work.projected)?,
            attention: Attention::new(self.nn, shape, &work.projected, &cache, &work.turns, &work.attended)?,
            attended: Quantize::new(self.nn, &work.attended, &work.attended_in_blocks)?,
            out: self.added(&name("attn_output"), heads * dimension, &work.attended_in_blocks, work)?,
            inner_norm: self.norm(&name("ffn_norm"), work)?,
            widen: self.products(
                &[(name("ffn_gate"), inner), (name("ffn_up"), inner)],
                &work.normed,
                width,
                &work.widened,
            )?,
            gate: Gate::new(self.nn, &work.widened, &work.gated)?,
            narrow: self.added(&name("ffn_down"), inner, &work.gated, work)?,
        })
    }
}

impl Layer {
    fn record(&self, batch: &mut Batch, tokens: u32) -> isobit::Result<()> {
        self.attention_norm.record(batch, tokens)?;
        for product in &self.project {
            product.record(batch, tokens)?;
        }
        self.attention.record(batch, tokens)?;
        self.attended.record(batch, tokens)?;
        self.out.record(batch, tokens)?;
        self.inner_norm.record(batch, tokens)?;
        for product in &self.widen {
            product.record(batch, tokens)?;
        }
        self.gate.record(batch, tokens)?;
        self.narrow.record(batch, tokens)
    }
}
