// Rows of blocks as files have them, into the layout that the products read: tiles of 32 rows, in which word w of block b of row r is at
// (b * WORDS + w) * 32 + r. So neighbouring invocations, which compute neighbouring rows, read neighbouring words, and whoever walks along
// the rows of a tile reads all of its memory in order.
//
// A block in the file is a header of HEADER bytes, 0, 2 or 4, and then whole words; here each is a word of its own. Blocks start on
// a multiple of 2 bytes.

override HEADER: u32;
override WORDS: u32;

struct Shape {
    // Rows in `raw`, and where the first of them goes.
    rows: u32,
    first: u32,
    // Blocks in a row.
    blocks: u32,
}

@group(0) @binding(0) var<storage, read> raw: array<u32>;
@group(0) @binding(1) var<storage, read_write> packed: array<u32>;
@group(0) @binding(2) var<uniform> shape: Shape;

// The word that starts at half word `at`.
fn word_at(at: u32) -> u32 {
    let low = raw[at / 2u];
    if at % 2u == 0u {
        return low;
    }
    return (low >> 16u) | (raw[at / 2u + 1u] << 16u);
}

@compute @workgroup_size(64)
fn repack(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= shape.rows {
        return;
    }
    // In half words.
    let header = HEADER / 2u;
    let row = shape.first + id.x;
    let block = header + 2u * select(WORDS, WORDS - 1u, HEADER > 0u);
    for (var b = id.y; b < shape.blocks; b += 64u) {
        let start = (id.x * shape.blocks + b) * block;
        for (var w = 0u; w < WORDS; w++) {
            var word = 0u;
            if HEADER == 0u {
                word = word_at(start + 2u * w);
            } else if w > 0u {
                word = word_at(start + header + 2u * (w - 1u));
            } else if HEADER == 4u {
                word = word_at(start);
            } else {
                word = word_at(start) & 0xffffu;
            }
            packed[((row / 32u * shape.blocks + b) * WORDS + w) * 32u + row % 32u] = word;
        }
    }
}
