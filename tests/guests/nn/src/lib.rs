//! Runs one layer of isobit-nn on input `x`, and writes what it makes to output `out`, both f32.
//!
//! A step has `tokens` rows; what comes before, and in which format weights are, depends on the layer.

use isobit::{Buffer, Gpu, Input, Output};
use isobit_nn::{
    Activations, Attention, AttentionShape, Cache, Columns, Format, Gate, Linear, Network, Norm, Part, Quantize, Rows,
    Weights,
};

#[isobit::main]
fn main() -> isobit::Result<()> {
    let nn = Network::new()?;
    let x = read::<f32>("x")?;
    let out = match isobit::param::<String>("layer")?.as_deref() {
        Some("linear") => linear(&nn, &x)?,
        Some("rows") => rows(&nn, &x)?,
        Some("norm") => norm(&nn, &x)?,
        Some("gate") => gate(&nn, &x)?,
        Some("attention") => attention(&nn, &x)?,
        _ => return Err("no such layer".into()),
    };
    Output::create("out")?.append_from(&out)
}

fn number(name: &str) -> isobit::Result<usize> {
    Ok(isobit::param(name)?.ok_or_else(|| format!("set {name}"))?)
}

fn tokens() -> isobit::Result<u32> {
    Ok(u32::try_from(number("tokens")?)?)
}

fn read<T: isobit::Pod>(name: &str) -> isobit::Result<Buffer<T>> {
    let mut input = Input::open(name)?;
    let buffer = Gpu::new().buffer(usize::try_from(input.size()).unwrap_or(usize::MAX) / size_of::<T>())?;
    buffer.load_from(&mut input)?;
    Ok(buffer)
}

fn weights(nn: &Network) -> isobit::Result<Weights> {
    let format = match isobit::param::<String>("format")?.as_deref() {
        Some("F32") => Format::F32,
        Some("F16") => Format::F16,
        Some("Q8_0") => Format::Q8_0,
        Some("Q4_0") => Format::Q4_0,
        Some("Q4_1") => Format::Q4_1,
        _ => return Err("no such format".into()),
    };
    let (rows, columns) = (number("rows")?, number("columns")?);
    let row = format.row_bytes(columns).ok_or("no whole blocks")?;
    // Two parts, after two bytes of no matter, so that rows start in the middle of a word of the file.
    let first = rows / 3;
    let skipped = u64::try_from(2 + first * row)?;
    let parts = [Part { offset: 2, rows: first }, Part { offset: skipped, rows: rows - first }];
    Weights::load(nn, &mut Input::open("weights")?, format, columns, &parts)
}

/// `x * transpose(W)`, added to ones, in the middle of rows that are 8 longer.
fn linear(nn: &Network, x: &Buffer<f32>) -> isobit::Result<Buffer<f32>> {
    let (weights, count) = (weights(nn)?, number("tokens")?);
    let activations = Activations::new(nn, count, weights.columns())?;
    let pitch = weights.pitch() + 8;
    let out = nn.gpu().buffer_from(&vec![1.0_f32; count * pitch])?;
    let quantize = Quantize::new(nn, x, &activations)?;
    let columns = Columns { buffer: &out, first: 4, pitch };
    let linear = Linear::new(nn, &weights, &activations, columns, true)?;
    nn.start_step(tokens()?, 0)?;
    let mut batch = nn.gpu().batch();
    quantize.record(&mut batch, tokens()?)?;
    linear.record(&mut batch, tokens()?)?;
    batch.submit()?;
    Ok(out)
}

/// The rows of W whose numbers are in input `wanted`.
fn rows(nn: &Network, _: &Buffer<f32>) -> isobit::Result<Buffer<f32>> {
    let weights = weights(nn)?;
    let wanted = read::<u32>("wanted")?;
    let out = nn.gpu().buffer(wanted.len() * weights.columns())?;
    let rows = Rows::new(nn, &weights, &wanted, &out)?;
    let count = u32::try_from(wanted.len())?;
    nn.start_step(count, 0)?;
    let mut batch = nn.gpu().batch();
    rows.record(&mut batch, count)?;
    batch.submit()?;
    Ok(out)
}

fn norm(nn: &Network, x: &Buffer<f32>) -> isobit::Result<Buffer<f32>> {
    let gain = read::<f32>("gain")?;
    let activations = Activations::new(nn, number("tokens")?, gain.len())?;
    let norm = Norm::new(nn, x, &gain, 1e-5, &activations)?;
    nn.start_step(tokens()?, 0)?;
    let mut batch = nn.gpu().batch();
    norm.record(&mut batch, tokens()?)?;
    batch.submit()?;
    whole(nn, &activations, x.len())
}

fn gate(nn: &Network, x: &Buffer<f32>) -> isobit::Result<Buffer<f32>> {
    let columns = x.len() / 2 / number("tokens")?;
    let activations = Activations::new(nn, number("tokens")?, columns)?;
    let gate = Gate::new(nn, x, &activations)?;
    nn.start_step(tokens()?, 0)?;
    let mut batch = nn.gpu().batch();
    gate.record(&mut batch, tokens()?)?;
    batch.submit()?;
    whole(nn, &activations, x.len() / 2)
}

/// The values without what is beyond the last row.
fn whole(nn: &Network, activations: &Activations, len: usize) -> isobit::Result<Buffer<f32>> {
    nn.gpu().buffer_from(&activations.values().slice(..len).read()?)
}

/// In two steps: the first `before` rows of x, then the rest. Returns the results of all.
fn attention(nn: &Network, x: &Buffer<f32>) -> isobit::Result<Buffer<f32>> {
    let (heads, key_heads, dimension) = (number("heads")?, number("key-heads")?, number("dimension")?);
    let row = (heads + 2 * key_heads) * dimension;
    let count = x.len() / row;
    let shape = AttentionShape { heads, key_heads, dimension, turned: number("turned")?, capacity: count };
    let turns = nn.gpu().buffer_from(&Attention::turns(count, shape.turned, 10_000.0))?;
    let (projected, out) = (nn.gpu().buffer(count * row)?, nn.gpu().buffer(count * heads * dimension)?);
    let attention = Attention::new(nn, &shape, &projected, &Cache::new(nn, &shape)?, &turns, &out)?;
    let mut all = Vec::new();
    let before = number("before")?;
    for (start, end) in [(0, before), (before, count)] {
        let tokens = u32::try_from(end - start)?;
        nn.start_step(tokens, u32::try_from(start)?)?;
        let mut batch = nn.gpu().batch();
        batch.copy(x.slice(start * row..end * row), projected.slice(..))?;
        attention.record(&mut batch, tokens)?;
        batch.submit()?;
        all.extend(out.slice(..(end - start) * heads * dimension).read()?);
    }
    nn.gpu().buffer_from(&all)
}
