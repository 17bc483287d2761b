//! Layers of neural networks for isobit workloads, each a WGSL kernel beside this text.
//!
//! A layer is set up once, with the buffers that it reads and writes, and then recorded into a batch as often as it runs. All layers of
//! a network share one [`Step`] on the device: how many rows (tokens) of the activations count, and how many came before. What a layer
//! needs to know of a step it reads there, so a network is recorded in the same way for a long prompt and for a single token.
//!
//! ```no_run
//! use isobit_nn::{Activations, Columns, Format, Linear, Network, Norm, Part, Weights};
//!
//! # fn main() -> isobit::Result<()> {
//! let nn = Network::new()?;
//! let mut file = isobit::Input::open("model")?;
//! // 1536 rows of 576 weights of 4 bits each, from byte 4096 of the file on.
//! let weights = Weights::load(&nn, &mut file, Format::Q4_1, 576, &[Part { offset: 4096, rows: 1536 }])?;
//!
//! let most = 16;
//! let (hidden, gain) = (nn.gpu().buffer::<f32>(most * 576)?, nn.gpu().buffer_from(&[1.0_f32; 576])?);
//! let normed = Activations::new(&nn, most, 576)?;
//! let out = nn.gpu().buffer::<f32>(most * 1536)?;
//! let norm = Norm::new(&nn, &hidden, &gain, 1e-5, &normed)?;
//! let linear = Linear::new(&nn, &weights, &normed, Columns { buffer: &out, first: 0, pitch: 1536 }, false)?;
//!
//! let tokens = 3;
//! nn.start_step(tokens, 0)?;
//! let mut batch = nn.gpu().batch();
//! norm.record(&mut batch, tokens)?;
//! linear.record(&mut batch, tokens)?;
//! batch.submit()?;
//! # Ok(())
//! # }
//! ```
//!
//! # Accuracy
//!
//! Under profile dp32 every result is the same bits on every device. How near it is to the exact value depends on the layer:
//!
//! - [`Linear`] with weights of [`Format::F32`] or [`Format::F16`] multiplies and adds in f32, in an order that depends on the shape.
//! - [`Linear`] with quantized weights takes activations of 16 bits in blocks of 32 with a scale: a value is off by at most 1/65024 of
//!   the largest magnitude in its block. Within a block the product is exact in integers, as two products of bytes, which devices have
//!   instructions for and profile dp32 need not change; scaling and adding up blocks is f32. (llama.cpp rounds activations to 8 bits.
//!   With these, the logits of a small language model were off by 1.)
//! - [`Norm`], [`Gate`] and [`Attention`] are f32 throughout, with dp32's elementary functions.

mod activate;
mod attention;
mod linear;
mod network;
mod rows;
mod weights;

pub use activate::{Activations, Gate, Norm, Quantize};
pub use attention::{Attention, AttentionShape, Cache};
pub use linear::{Columns, Linear};
pub use network::{Network, Step};
pub use rows::Rows;
pub use weights::{Format, Part, Weights};
