// Edit distances between patterns and all parts of a text: Myers' bit-parallel algorithm, with Hyyrö's carry between words.
//
// An invocation takes one pattern along one chunk of the text. It holds a column of the matrix of distances as differences between
// neighbouring rows, a bit of `up` for +1 and a bit of `down` for -1, and goes from column to column with some twenty integer operations for 32
// rows. There are no atomics, and no invocation reads what another writes.

// Words of 32 bases that the patterns of a dispatch take. The guest writes another number here.
const WORDS = 4u;

const SIZE = 64u;

struct Chunk {
    // The letter to begin with: far enough before the first end for every alignment that could be best.
    start: u32,
    // Ends from here to `end` belong to the chunk.
    first: u32,
    end: u32,
}

struct Params {
    patterns: u32,
    // The chunks of this dispatch.
    first_chunk: u32,
    chunks: u32,
}

// The best of a pattern: its distance, and the letter after the end of the match.
struct Match {
    distance: u32,
    end: u32,
}

// Eight letters in a word: 0 to 3 for A, C, G and T, and 4 for what equals nothing.
@group(0) @binding(0) var<storage, read> text: array<u32>;
@group(0) @binding(1) var<storage, read> chunks: array<Chunk>;
@group(0) @binding(2) var<storage, read> lengths: array<u32>;
// Of each word of a pattern the low bits of its letters, the high bits, and which are letters at all.
@group(0) @binding(3) var<storage, read> planes: array<u32>;
// For each chunk of this dispatch, for each pattern.
@group(0) @binding(4) var<storage, read_write> found: array<Match>;
@group(0) @binding(5) var<storage, read_write> best: array<Match>;
@group(0) @binding(6) var<uniform> params: Params;

// An invocation for each chunk and pattern. Neighbours have the same chunk, and so read the same letters.
@compute @workgroup_size(SIZE)
fn search(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let i = id.y * groups.x * SIZE + id.x;
    if i >= params.chunks * params.patterns {
        return;
    }
    let pattern = i % params.patterns;
    var low: array<u32, WORDS>;
    var high: array<u32, WORDS>;
    var known: array<u32, WORDS>;
    var up: array<u32, WORDS>;
    var down: array<u32, WORDS>;
    for (var w = 0u; w < WORDS; w++) {
        low[w] = planes[(3u * w) * params.patterns + pattern];
        high[w] = planes[(3u * w + 1u) * params.patterns + pattern];
        known[w] = planes[(3u * w + 2u) * params.patterns + pattern];
        up[w] = 0xffffffffu;
    }
    let length = lengths[pattern];
    let last_bit = (length - 1u) % 32u;
    let chunk = chunks[params.first_chunk + i / params.patterns];

    var distance = length;
    var nearest = Match(0xffffffffu, 0u);
    for (var position = chunk.start; position < chunk.end; position++) {
        let letter = (text[position / 8u] >> (position % 8u * 4u)) & 7u;
        // All bits of a mask are what one bit of the letter is.
        let text_low = 0u - (letter & 1u);
        let text_high = 0u - ((letter >> 1u) & 1u);
        let text_known = (letter >> 2u) - 1u;
        // The differences along a row, between this column and the one before. A match may begin anywhere, so above the first row they are 0.
        var right = 0u;
        var left = 0u;
        var carry_right = 0u;
        var carry_left = 0u;
        for (var w = 0u; w < WORDS; w++) {
            let equal = known[w] & text_known & ~((low[w] ^ text_low) | (high[w] ^ text_high));
            let vertical = equal | down[w];
            let same = equal | carry_left;
            let horizontal = (((same & up[w]) + up[w]) ^ up[w]) | same;
            right = down[w] | ~(horizontal | up[w]);
            left = up[w] & horizontal;
            let shifted_right = (right << 1u) | carry_right;
            let shifted_left = (left << 1u) | carry_left;
            carry_right = right >> 31u;
            carry_left = left >> 31u;
            up[w] = shifted_left | ~(vertical | shifted_right);
            down[w] = shifted_right & vertical;
        }
        distance = distance + ((right >> last_bit) & 1u) - ((left >> last_bit) & 1u);
        if position >= chunk.first && distance < nearest.distance {
            nearest = Match(distance, position + 1u);
        }
    }
    found[i] = nearest;
}

// Takes the chunks of a dispatch together with what was best before them. Of equally good ends the first in the text stays.
@compute @workgroup_size(SIZE)
fn choose(@builtin(global_invocation_id) id: vec3<u32>) {
    let pattern = id.x;
    if pattern >= params.patterns {
        return;
    }
    var nearest = best[pattern];
    for (var chunk = 0u; chunk < params.chunks; chunk++) {
        let candidate = found[chunk * params.patterns + pattern];
        if candidate.distance < nearest.distance {
            nearest = candidate;
        }
    }
    best[pattern] = nearest;
}
