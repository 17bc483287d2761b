// c = a * b for square matrices of f32, row by row in memory.
//
// A workgroup makes one tile of c. It walks along a row of tiles of a and down a column of tiles of b,
// each pair of which it first brings into workgroup memory: every element is then read once
// from device memory and 16 times from there.

const TILE = 16u;

struct Params {
    n: u32,
}

@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read> b: array<f32>;
@group(0) @binding(2) var<storage, read_write> c: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

var<workgroup> tile_a: array<array<f32, TILE>, TILE>;
var<workgroup> tile_b: array<array<f32, TILE>, TILE>;

@compute @workgroup_size(TILE, TILE)
fn multiply(
    @builtin(global_invocation_id) id: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
) {
    let n = params.n;
    let row = id.y;
    let column = id.x;
    var sum = 0.0;
    for (var first = 0u; first < n; first += TILE) {
        // Outside of the matrices there are zeros, which add nothing to the sum.
        let column_a = first + local.x;
        let row_b = first + local.y;
        var element_a = 0.0;
        if row < n && column_a < n {
            element_a = a[row * n + column_a];
        }
        var element_b = 0.0;
        if row_b < n && column < n {
            element_b = b[row_b * n + column];
        }
        tile_a[local.y][local.x] = element_a;
        tile_b[local.y][local.x] = element_b;
        workgroupBarrier();

        for (var k = 0u; k < TILE; k++) {
            sum += tile_a[local.y][k] * tile_b[k][local.x];
        }
        workgroupBarrier();
    }
    if row < n && column < n {
        c[row * n + column] = sum;
    }
}
