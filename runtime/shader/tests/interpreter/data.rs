//! Vectors, matrices, arrays and structures.

use super::*;

#[test]
fn vectors_and_matrices_are_data() {
    let words = &small_words();
    map_all(
        "let v = vec4u(x, x + 1u, x + 2u, x + 3u); let w = v.wzyx * v.xxyy; r = w.x + 10u * w.y + 100u * w.z + w[x % 4u];",
        words,
        |x| {
            let v = [x, x + 1, x + 2, x + 3];
            let w = [v[3] * v[0], v[2] * v[0], v[1] * v[1], v[0] * v[1]];
            w[0] + 10 * w[1] + 100 * w[2] + w[x as usize % 4]
        },
    );
    map_all("var v = vec3u(1u, 2u, 3u); v[x % 3u] = x; v.y += 5u; r = v.x * 10000u + v.y * 100u + v.z;", words, |x| {
        let mut v = [1, 2, 3];
        v[x as usize % 3] = x;
        v[1] += 5;
        v[0] * 10000 + v[1] * 100 + v[2]
    });
    map_all(
        "var m = mat3x2f(1, 2, 3, 4, 5, 6); m[x % 3u] = vec2f(f32(x), 9.0); m[1u][x % 2u] = 8.0;
         let n = m; let c = n[(x + 1u) % 3u]; r = u32(c.x + 100.0 * c.y + 10000.0 * m[2].y);",
        words,
        |x| {
            let mut m = [[1, 2], [3, 4], [5, 6]];
            m[x as usize % 3] = [x, 9];
            m[1][x as usize % 2] = 8;
            let c = m[(x as usize + 1) % 3];
            c[0] + 100 * c[1] + 10000 * m[2][1]
        },
    );
    map_all("r = u32(all(vec3u(x) > vec3u(3u, 5u, 4u))) + 2u * u32(any(vec3u(x) == vec3u(3u, 5u, 4u)));", words, |x| {
        u32::from(x > 5) + 2 * u32::from((3..=5).contains(&x))
    });
    map_all("let v = select(vec2u(1u, 2u), vec2u(x), vec2u(x) > vec2u(4u, 9u)); r = v.x * 100u + v.y;", words, |x| {
        (if x > 4 { x } else { 1 }) * 100 + if x > 9 { x } else { 2 }
    });
}

#[test]
fn structures_and_arrays_are_copied_whole() {
    let wgsl = "
        struct Inner { a: vec3f, b: u32, c: array<vec2u, 2> }
        struct Outer { first: u32, inner: array<Inner, 2>, m: mat3x3f, tail: vec3u }
        @group(0) @binding(0) var<storage, read> source: array<Outer>;
        @group(0) @binding(1) var<storage, read_write> target_: array<Outer>;
        var<private> kept: array<Outer, 2>;
        fn change(given: Outer) -> Outer { var o = given; o.inner[1].c[0].y = 77u; o.tail.z += 1u; return o; }
        @compute @workgroup_size(1) fn main() {
            kept[1] = source[1];
            var local = kept;
            local[0] = source[0];
            let copy = local;
            target_[0] = change(copy[1]);
            target_[1] = local[0];
            target_[1].inner[0] = copy[1].inner[1];
            target_[1].m[2] = local[1].m[0];
        }";
    // Outer: first 0, inner 16 (32 + 16 = 48 bytes each... vec3f 0, b 12, c 16, size 32), m 80, tail 128; 144 bytes.
    let size = 36;
    let input: Vec<u32> = (0..2 * size).map(|x| x * 3 + 1).collect();
    let result = run(wgsl, &input, 2 * size as usize, [1, 1, 1]);
    let outer_words: Vec<usize> =
        [0].into_iter().chain(4..20).chain([20, 21, 22, 24, 25, 26, 28, 29, 30]).chain(32..35).collect();
    let mut expected = vec![0xdead_beef; 72];
    for &word in &outer_words {
        expected[word] = input[36 + word];
        expected[36 + word] = input[word];
    }
    expected[12 + 4 + 1] = 77;
    expected[34] += 1;
    for word in 0..8 {
        expected[36 + 4 + word] = input[36 + 12 + word];
    }
    for row in 0..3 {
        expected[36 + 28 + row] = input[36 + 20 + row];
    }
    assert_eq!(result, expected);
}

#[test]
fn constant_arrays_are_indexed() {
    map_all(
        "const TABLE = array<u32, 5>(2u, 3u, 5u, 7u, 11u); var copy = TABLE; copy[x % 5u] = 1u;
         let sum = copy[0] + copy[1] + copy[2] + copy[3] + copy[4]; r = TABLE[x % 5u] * 100u + sum + array(4u, 9u)[x % 2u];",
        &small_words(),
        |x| {
            let prime = [2, 3, 5, 7, 11][x as usize % 5];
            prime * 100 + 28 - prime + 1 + [4, 9][x as usize % 2]
        },
    );
}

#[test]
fn out_of_range_there_are_zeros_and_nothing_is_written() {
    let wgsl = format!(
        "{HEAD}
        var<workgroup> shared_: array<u32, 4>;
        var<workgroup> counts: array<atomic<u32>, 4>;
        @compute @workgroup_size(4) fn main(@builtin(local_invocation_index) i: u32) {{
            var mine = array<u32, 4>();
            mine[3] = 1u;
            var nested = array<array<u32, 2>, 2>();
            nested[i + 2u][0] = 7u;
            nested[0][i + 2u] = 7u;
            mine[i + 0xfffffff0u] = 5u;
            mine[source[1000000u] + 7u] += 2u;
            shared_[i * 100u] = i + 1u;
            atomicAdd(&counts[i + 4u], 9u);
            target_[i + 1000u] = 3u;
            target_[bitcast<u32>(-1i - i32(i))] = 4u;
            workgroupBarrier();
            if i == 0u {{
                let all = mine[0] + mine[3] + nested[0][0] + nested[1][0] + nested[1][1] + atomicLoad(&counts[3]);
                target_[0] = all + shared_[source[0] * 999u] * 10u + shared_[0] * 100u + source[i + 77u] * 1000u;
            }}
        }}"
    );
    assert_eq!(run(&wgsl, &[8, 9], 3, [1, 1, 1]), [1 + 100, 0xdead_beef, 0xdead_beef]);
}
