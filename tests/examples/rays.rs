//! What the example render draws, where that can be told without following light: which thing a ray meets first, with all triangles tried in f64, and what a scene looks
//! like in which all things are as bright as the sky.

use super::reference::Picture;

type Vector = [f64; 3];

fn add(a: Vector, b: Vector) -> Vector {
    [a[0] + b[0], a[1] + b[1], a[2] + b[2]]
}

fn sub(a: Vector, b: Vector) -> Vector {
    [a[0] - b[0], a[1] - b[1], a[2] - b[2]]
}

fn scale(a: Vector, factor: f64) -> Vector {
    a.map(|value| value * factor)
}

fn dot(a: Vector, b: Vector) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

fn cross(a: Vector, b: Vector) -> Vector {
    [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
}

fn normalize(a: Vector) -> Vector {
    scale(a, 1.0 / dot(a, a).sqrt())
}

/// The pixel that light of this brightness makes: Narkowicz's curve, then sRGB.
pub fn developed(light: [f64; 3]) -> [u8; 4] {
    let channel = |light: f64| {
        let curve = light * (2.51 * light + 0.03) / (light * (2.43 * light + 0.59) + 0.14);
        let linear = curve.clamp(0.0, 1.0);
        let value = if linear <= 0.003_130_8 { 12.92 * linear } else { 1.055 * linear.powf(1.0 / 2.4) - 0.055 };
        (255.0 * value).round() as u8
    };
    let [r, g, b] = light.map(channel);
    [r, g, b, 255]
}

/// A torus of this many parts around and along, standing on its edge.
pub fn torus(around: usize, along: usize) -> String {
    let turn = |part: usize, parts: usize| (part as f64 / parts as f64 * std::f64::consts::TAU).sin_cos();
    let mut text = String::from("# a torus\no torus\n");
    for i in 0..around {
        for j in 0..along {
            let ((sin, cos), (out, up)) = (turn(i, around), turn(j, along));
            let radius = 1.0 + 0.35 * out;
            text += &format!("v {} {} {}\n", radius * cos, radius * sin, 0.35 * up);
        }
    }
    for i in 0..around {
        for j in 0..along {
            let corner = |i: usize, j: usize| (i % around) * along + j % along + 1;
            let corners = [corner(i, j), corner(i + 1, j), corner(i + 1, j + 1), corner(i, j + 1)];
            text += &format!("f {} {} {} {}\n", corners[0], corners[1], corners[2], corners[3]);
        }
    }
    text
}

/// A cube whose faces are flat.
pub fn cube() -> String {
    let mut text = String::new();
    for corner in 0..8 {
        let side = |bit: u32| if corner >> bit & 1 == 0 { -1 } else { 1 };
        text += &format!("v {} {} {}\n", side(0), side(1), side(2));
    }
    text += "vn -1 0 0\nvn 1 0 0\nvn 0 -1 0\nvn 0 1 0\nvn 0 0 -1\nvn 0 0 1\n";
    for (normal, corners) in
        [[1, 5, 7, 3], [2, 4, 8, 6], [1, 2, 6, 5], [3, 7, 8, 4], [1, 3, 4, 2], [5, 6, 8, 7]].iter().enumerate()
    {
        let corners: Vec<String> = corners.iter().map(|corner| format!("{corner}//{}", normal + 1)).collect();
        text += &format!("f {}\n", corners.join(" "));
    }
    text
}

/// What is in the scene of [`World::scene`].
pub struct World {
    triangles: Vec<[Vector; 3]>,
}

/// The light of the mesh, of the sphere, of the floor's two kinds of squares, and of the sky.
const MESH: Vector = [0.8, 0.1, 0.05];
const BALL: Vector = [0.05, 0.6, 0.1];
const SQUARES: [Vector; 2] = [[0.1, 0.15, 0.7], [0.6, 0.5, 0.02]];
const SKY: Vector = [0.3, 0.3, 0.3];

const EYE: Vector = [1.0, 1.5, 5.0];
const TARGET: Vector = [0.2, 0.7, 0.0];
const BALL_AT: Vector = [0.9, 0.6, 0.8];
const HEIGHT: f64 = 1.6;

impl World {
    /// A mesh of triangles or squares, without anything else in its file, in its place in the scene.
    pub fn new(obj: &str) -> World {
        let numbers =
            |line: &str| -> Vec<f64> { line.split_whitespace().skip(1).map(|it| it.parse().unwrap()).collect() };
        let lines = |keyword: &'static str| obj.lines().filter(move |line| line.starts_with(keyword)).map(numbers);
        let points: Vec<Vector> = lines("v ").map(|it| [it[0], it[1], it[2]]).collect();
        let side =
            |axis: usize, pick: fn(f64, f64) -> f64| points.iter().map(|point| point[axis]).reduce(pick).unwrap();
        let factor = HEIGHT / (side(1, f64::max) - side(1, f64::min));
        let middle = |axis| 0.5 * (side(axis, f64::min) + side(axis, f64::max));
        let base = [middle(0), side(1, f64::min), middle(2)];
        let points: Vec<Vector> = points.iter().map(|point| scale(sub(*point, base), factor)).collect();
        let triangles = lines("f ").flat_map(|face| {
            let corners: Vec<Vector> = face.iter().map(|index| points[*index as usize - 1]).collect();
            (2..corners.len()).map(|last| [corners[0], corners[last - 1], corners[last]]).collect::<Vec<_>>()
        });
        World { triangles: triangles.collect() }
    }

    /// The scene, in which everything shines.
    pub fn scene() -> String {
        let three = |it: Vector| format!("{} {} {}", it[0], it[1], it[2]);
        format!(
            "camera from {} to {} angle 35\nsky horizon {sky} zenith {sky}\nmaterial m light {}\nmaterial b light {}\n\
             material f light {}\nmaterial g light {}\nfloor f and g size 2 height -0.1\nmesh m at 0 0 0 height {HEIGHT}\n\
             sphere b at {} radius 0.3\n",
            three(EYE),
            three(TARGET),
            three(MESH),
            three(BALL),
            three(SQUARES[0]),
            three(SQUARES[1]),
            three(BALL_AT),
            sky = three(SKY),
        )
    }

    /// What a ray meets, with a number for each square of the floor, and its light. Nothing is told of the floor where it is far away, and squares are small.
    fn meets(&self, direction: Vector) -> Option<([i64; 2], Vector)> {
        let mut first = (f64::INFINITY, ([0; 2], SKY));
        let mut meet = |distance: f64, what: [i64; 2], light: Vector| {
            if distance > 0.0 && distance < first.0 {
                first = (distance, (what, light));
            }
        };
        let to_floor = (-0.1 - EYE[1]) / direction[1];
        let square = [0, 2].map(|axis| ((EYE[axis] + to_floor * direction[axis]) / 2.0).floor() as i64);
        meet(to_floor, square, SQUARES[(square[0] + square[1]).rem_euclid(2) as usize]);
        let b = dot(sub(BALL_AT, EYE), direction);
        let beside = sub(BALL_AT, add(EYE, scale(direction, b)));
        meet(b - (0.09 - dot(beside, beside)).sqrt(), [0; 2], BALL);
        for [a, b, c] in &self.triangles {
            let normal = cross(sub(*b, *a), sub(*c, *a));
            let distance = dot(sub(*a, EYE), normal) / dot(direction, normal);
            let point = add(EYE, scale(direction, distance));
            let is_left = |from: Vector, to: Vector| dot(cross(sub(to, from), sub(point, from)), normal) >= 0.0;
            if is_left(*a, *b) && is_left(*b, *c) && is_left(*c, *a) {
                meet(distance, [0; 2], MESH);
            }
        }
        let (distance, what) = first;
        (distance < 9.0 || what.1 == SKY).then_some(what)
    }

    /// Checks those pixels whose corners and middle all meet things of one kind, where no squares of the floor are too small to be missed. Returns how many
    /// these are, and how many of them show the mesh.
    pub fn check(&self, picture: &Picture) -> (usize, usize) {
        let ahead = normalize(sub(TARGET, EYE));
        let right = normalize(cross(ahead, [0.0, 1.0, 0.0]));
        let upward = cross(right, ahead);
        let half = 17.5_f64.to_radians().tan();
        let aspect = picture.width as f64 / picture.height as f64;
        let (mut checked, mut of_mesh) = (0, 0);
        for y in 0..picture.height {
            for x in 0..picture.width {
                let meets = |dx: f64, dy: f64| {
                    let across = 2.0 * (x as f64 + dx) / picture.width as f64 - 1.0;
                    let up = 1.0 - 2.0 * (y as f64 + dy) / picture.height as f64;
                    let aside = add(scale(right, across * half * aspect), scale(upward, up * half));
                    self.meets(normalize(add(ahead, aside)))
                };
                let all = [(0.5, 0.5), (0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.0, 1.0)].map(|(dx, dy)| meets(dx, dy));
                let Some((_, light)) = all[0].filter(|_| all.iter().all(|other| *other == all[0])) else { continue };
                let (found, expected) = (picture.pixel(x, y), developed(light));
                let off = found.iter().zip(expected).map(|(a, b)| a.abs_diff(b)).max().unwrap();
                assert!(off <= 1, "{found:?} instead of {expected:?} at {x}, {y}");
                checked += 1;
                of_mesh += usize::from(light == MESH);
            }
        }
        (checked, of_mesh)
    }
}
