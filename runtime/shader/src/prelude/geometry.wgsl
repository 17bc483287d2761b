// Vectors and matrices: one fixed order of operations each, from the first component to the last.

fn dp_dot_2(a: vec2f, b: vec2f) -> f32 {
    let p = a * b;
    return p.x + p.y;
}

fn dp_dot_3(a: vec3f, b: vec3f) -> f32 {
    let p = a * b;
    return (p.x + p.y) + p.z;
}

fn dp_dot_4(a: vec4f, b: vec4f) -> f32 {
    let p = a * b;
    return ((p.x + p.y) + p.z) + p.w;
}

fn dp_cross(a: vec3f, b: vec3f) -> vec3f {
    return a.yzx * b.zxy - a.zxy * b.yzx;
}

// The square root of the dot product with itself: it overflows from 2^64 on, and loses accuracy below 2^-50.
fn dp_length_2(v: vec2f) -> f32 {
    return sqrt(dp_dot_2(v, v));
}

fn dp_length_3(v: vec3f) -> f32 {
    return sqrt(dp_dot_3(v, v));
}

fn dp_length_4(v: vec4f) -> f32 {
    return sqrt(dp_dot_4(v, v));
}

fn dp_distance_2(a: vec2f, b: vec2f) -> f32 {
    return dp_length_2(a - b);
}

fn dp_distance_3(a: vec3f, b: vec3f) -> f32 {
    return dp_length_3(a - b);
}

fn dp_distance_4(a: vec4f, b: vec4f) -> f32 {
    return dp_length_4(a - b);
}

// One division, whatever the number of components. A vector of length 0 gives NaN.
fn dp_normalize_2(v: vec2f) -> vec2f {
    return v * vec2f(1.0f / dp_length_2(v));
}

fn dp_normalize_3(v: vec3f) -> vec3f {
    return v * vec3f(1.0f / dp_length_3(v));
}

fn dp_normalize_4(v: vec4f) -> vec4f {
    return v * vec4f(1.0f / dp_length_4(v));
}

fn dp_face_forward_2(n: vec2f, i: vec2f, g: vec2f) -> vec2f {
    return select(-n, n, vec2<bool>(dp_dot_2(i, g) < 0.0f));
}

fn dp_face_forward_3(n: vec3f, i: vec3f, g: vec3f) -> vec3f {
    return select(-n, n, vec3<bool>(dp_dot_3(i, g) < 0.0f));
}

fn dp_face_forward_4(n: vec4f, i: vec4f, g: vec4f) -> vec4f {
    return select(-n, n, vec4<bool>(dp_dot_4(i, g) < 0.0f));
}

fn dp_reflect_2(i: vec2f, n: vec2f) -> vec2f {
    return i - vec2f(2.0f * dp_dot_2(n, i)) * n;
}

fn dp_reflect_3(i: vec3f, n: vec3f) -> vec3f {
    return i - vec3f(2.0f * dp_dot_3(n, i)) * n;
}

fn dp_reflect_4(i: vec4f, n: vec4f) -> vec4f {
    return i - vec4f(2.0f * dp_dot_4(n, i)) * n;
}

// k = 1 - eta² (1 - cosine²). Below 0 there is total reflection.
fn dp_refract_k(cosine: f32, eta: f32) -> f32 {
    return 1.0f - (eta * eta) * (1.0f - cosine * cosine);
}

fn dp_refract_2(i: vec2f, n: vec2f, eta: f32) -> vec2f {
    let cosine = dp_dot_2(n, i);
    let k = dp_refract_k(cosine, eta);
    let bent = vec2f(eta) * i - vec2f(eta * cosine + sqrt(k)) * n;
    return select(bent, vec2f(), vec2<bool>(k < 0.0f));
}

fn dp_refract_3(i: vec3f, n: vec3f, eta: f32) -> vec3f {
    let cosine = dp_dot_3(n, i);
    let k = dp_refract_k(cosine, eta);
    let bent = vec3f(eta) * i - vec3f(eta * cosine + sqrt(k)) * n;
    return select(bent, vec3f(), vec3<bool>(k < 0.0f));
}

fn dp_refract_4(i: vec4f, n: vec4f, eta: f32) -> vec4f {
    let cosine = dp_dot_4(n, i);
    let k = dp_refract_k(cosine, eta);
    let bent = vec4f(eta) * i - vec4f(eta * cosine + sqrt(k)) * n;
    return select(bent, vec4f(), vec4<bool>(k < 0.0f));
}

fn dp_determinant_2(m: mat2x2f) -> f32 {
    return m[0].x * m[1].y - m[1].x * m[0].y;
}

// The triple product of the columns.
fn dp_determinant_3(m: mat3x3f) -> f32 {
    return dp_dot_3(m[0], dp_cross(m[1], m[2]));
}

// By the 2×2 minors of the first two columns and those of the last two (Laplace).
fn dp_determinant_4(m: mat4x4f) -> f32 {
    let a = m[0].xxx * m[1].yzw - m[1].xxx * m[0].yzw;
    let b = m[0].yyz * m[1].zww - m[1].yyz * m[0].zww;
    let c = m[2].xxx * m[3].yzw - m[3].xxx * m[2].yzw;
    let d = m[2].yyz * m[3].zww - m[3].yyz * m[2].zww;
    let p = a * d.zyx;
    let q = b * c.zyx;
    return ((((p.x - p.y) + p.z) + q.x) - q.y) + q.z;
}
