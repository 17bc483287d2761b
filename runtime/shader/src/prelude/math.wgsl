fn dp_remainder(x: f32, y: f32) -> f32 { return x - y * trunc(x / y); }
fn dp_dot_2(a: vec2f, b: vec2f) -> f32 { let p = a * b; return p.x + p.y; }
fn dp_dot_3(a: vec3f, b: vec3f) -> f32 { let p = a * b; return (p.x + p.y) + p.z; }
fn dp_dot_4(a: vec4f, b: vec4f) -> f32 { let p = a * b; return ((p.x + p.y) + p.z) + p.w; }
