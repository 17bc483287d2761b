//! What little the guest computes with vectors. Kernels have their own.

/// A point, a direction or a colour.
pub type Vector = [f32; 3];

pub fn add([a, b, c]: Vector, [x, y, z]: Vector) -> Vector {
    [a + x, b + y, c + z]
}

pub fn sub([a, b, c]: Vector, [x, y, z]: Vector) -> Vector {
    [a - x, b - y, c - z]
}

pub fn scale(vector: Vector, factor: f32) -> Vector {
    vector.map(|value| value * factor)
}

pub fn dot([a, b, c]: Vector, [x, y, z]: Vector) -> f32 {
    a * x + b * y + c * z
}

pub fn cross([a, b, c]: Vector, [x, y, z]: Vector) -> Vector {
    [b * z - c * y, c * x - a * z, a * y - b * x]
}

pub fn length(vector: Vector) -> f32 {
    dot(vector, vector).sqrt()
}

/// The vector of length 1 in this direction; no vector has none.
pub fn normalize(vector: Vector) -> Vector {
    let length = length(vector);
    if length > 0.0 { scale(vector, 1.0 / length) } else { [0.0, 1.0, 0.0] }
}

/// Turned around the vertical axis.
pub fn turn([x, y, z]: Vector, degrees: f32) -> Vector {
    let (sin, cos) = degrees.to_radians().sin_cos();
    [cos * x + sin * z, y, cos * z - sin * x]
}
