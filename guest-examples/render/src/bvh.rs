//! A hierarchy of boxes around triangles, by which a ray finds those that it may meet. Built by Wald's method (*On fast construction of SAH-based bounding volume
//! hierarchies*, 2007): a node is split where it is longest, at one of a few planes, by how large and how full the halves would be.

use isobit::{Pod, Zeroable};

/// Levels of the hierarchy at most, as in the WGSL.
const LEVELS: u32 = 32;

/// Triangles of a node that is not split any further.
const LEAF: usize = 4;

/// Planes that a node may be split at, and one more.
const BINS: usize = 16;

/// A box, by its lowest and highest corner.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bounds {
    pub low: [f32; 3],
    pub high: [f32; 3],
}

impl Bounds {
    const EMPTY: Self = Self { low: [f32::INFINITY; 3], high: [f32::NEG_INFINITY; 3] };

    /// The smallest box around points.
    pub fn of(points: &[[f32; 3]]) -> Self {
        points.iter().fold(Self::EMPTY, |all, point| all.with(Self { low: *point, high: *point }))
    }

    fn with(self, other: Self) -> Self {
        // Coordinates are numbers, and `f32::min`, which minds what is none, is a call in WebAssembly.
        let least = |a: f32, b: f32| if a < b { a } else { b };
        let most = |a: f32, b: f32| if a > b { a } else { b };
        let [a, b, c] = self.low;
        let [x, y, z] = other.low;
        let low = [least(a, x), least(b, y), least(c, z)];
        let [a, b, c] = self.high;
        let [x, y, z] = other.high;
        Self { low, high: [most(a, x), most(b, y), most(c, z)] }
    }

    fn size(self) -> [f32; 3] {
        let ([a, b, c], [x, y, z]) = (self.low, self.high);
        [x - a, y - b, z - c]
    }

    fn area(self) -> f32 {
        let [x, y, z] = self.size().map(|side| side.max(0.0));
        x * y + y * z + z * x
    }

    fn middle(self, axis: usize) -> f32 {
        let of = |corner: [f32; 3]| corner.get(axis).copied().unwrap_or_default();
        0.5 * (of(self.low) + of(self.high))
    }

    /// A little larger, so that what a ray computes of it is never too small.
    fn padded(self) -> Self {
        let pad = |value: f32| 1e-6 + 1e-5 * value.abs();
        Self { low: self.low.map(|value| value - pad(value)), high: self.high.map(|value| value + pad(value)) }
    }
}

/// A box with two others in it, side by side in the list from `first`, or with `count` triangles from `first`. Field by field as in the WGSL.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
#[bytemuck(crate = "isobit::bytemuck")]
pub struct Node {
    low: [f32; 3],
    first: u32,
    high: [f32; 3],
    count: u32,
}

/// A part of the list of triangles that is still to become a node.
struct Part {
    node: usize,
    first: usize,
    count: usize,
    level: u32,
}

/// The nodes, the first of which is around all, and the order in which they have the triangles. Triangles are given by their boxes.
pub fn build(boxes: &[Bounds]) -> (Vec<Node>, Vec<u32>) {
    let mut order: Vec<u32> = (0..).take(boxes.len()).collect();
    let mut nodes = vec![Node::default()];
    let mut parts = vec![Part { node: 0, first: 0, count: boxes.len(), level: 1 }];
    while let Some(part) = parts.pop() {
        let Some(of_part) = order.get_mut(part.first..part.first + part.count) else { continue };
        let bounds = around(boxes, of_part).padded();
        let split = if part.count > LEAF { split(boxes, of_part, LEVELS - part.level) } else { None };
        let children = nodes.len();
        let number = |index: usize| u32::try_from(index).unwrap_or(u32::MAX);
        let (first, count) = match split {
            None => (number(part.first), number(part.count)),
            Some(left) => {
                let level = part.level + 1;
                nodes.extend([Node::default(); 2]);
                parts.push(Part { node: children, first: part.first, count: left, level });
                let right = Part { node: children + 1, first: part.first + left, count: part.count - left, level };
                parts.push(right);
                (number(children), 0)
            }
        };
        if let Some(node) = nodes.get_mut(part.node) {
            *node = Node { low: bounds.low, first, high: bounds.high, count };
        }
    }
    (nodes, order)
}

fn of(boxes: &[Bounds], triangle: u32) -> Bounds {
    boxes.get(triangle as usize).copied().unwrap_or(Bounds::EMPTY)
}

fn around(boxes: &[Bounds], triangles: &[u32]) -> Bounds {
    triangles.iter().fold(Bounds::EMPTY, |all, triangle| all.with(of(boxes, *triangle)))
}

/// Orders triangles into two halves, and returns how many are in the first. `levels` may still be below them; where these are needed to get to small leaves at all,
/// halves are of equal numbers.
fn split(boxes: &[Bounds], triangles: &mut [u32], levels: u32) -> Option<usize> {
    if levels == 0 {
        return None;
    }
    let middles = triangles.iter().map(|triangle| [0, 1, 2].map(|axis| of(boxes, *triangle).middle(axis)));
    let middles = Bounds::of(&middles.collect::<Vec<_>>());
    let [x, y, z] = middles.size();
    let axis = if x >= y && x >= z {
        0
    } else if y >= z {
        1
    } else {
        2
    };
    let needed = triangles.len().div_ceil(LEAF).next_power_of_two().ilog2();
    let best = if needed < levels { cheapest(boxes, triangles, middles, axis) } else { None };
    if let Some(plane) = best {
        let bin = |triangle: &u32| bin(middles, axis, of(boxes, *triangle).middle(axis));
        let (left, right): (Vec<u32>, Vec<u32>) = triangles.iter().partition(|triangle| bin(triangle) <= plane);
        triangles.iter_mut().zip(left.iter().chain(&right)).for_each(|(to, from)| *to = *from);
        return Some(left.len());
    }
    let half = triangles.len() / 2;
    triangles.select_nth_unstable_by(half, |a, b| {
        of(boxes, *a).middle(axis).total_cmp(&of(boxes, *b).middle(axis)).then(a.cmp(b))
    });
    Some(half)
}

/// The last bin of the first half where the halves' areas times their triangles are least. `None` if all triangles have one middle.
fn cheapest(boxes: &[Bounds], triangles: &[u32], middles: Bounds, axis: usize) -> Option<usize> {
    let mut bins = [(Bounds::EMPTY, 0_usize); BINS];
    for triangle in triangles {
        let bounds = of(boxes, *triangle);
        if let Some((all, count)) = bins.get_mut(bin(middles, axis, bounds.middle(axis))) {
            *all = all.with(bounds);
            *count += 1;
        }
    }
    // What all bins up to each one cost, and all from each one on.
    let cost = |all: &mut (Bounds, usize), bin: &(Bounds, usize)| {
        *all = (all.0.with(bin.0), all.1 + bin.1);
        Some((all.0.area() * all.1 as f32, all.1))
    };
    let ahead: Vec<_> = bins.iter().scan((Bounds::EMPTY, 0), cost).collect();
    let mut back: Vec<_> = bins.iter().rev().scan((Bounds::EMPTY, 0), cost).collect();
    back.reverse();
    let planes = ahead.iter().zip(back.iter().skip(1)).enumerate();
    let filled = planes.filter(|(_, ((_, left), (_, right)))| *left > 0 && *right > 0);
    let best = filled.min_by(|(_, (a, b)), (_, (c, d))| (a.0 + b.0).total_cmp(&(c.0 + d.0)));
    best.map(|(plane, _)| plane)
}

/// The bin along an axis that a middle lies in.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "from 0 to BINS, and the conversion stops at the ends of its range"
)]
fn bin(middles: Bounds, axis: usize, middle: f32) -> usize {
    let of = |corner: [f32; 3]| corner.get(axis).copied().unwrap_or_default();
    let (low, size) = (of(middles.low), of(middles.high) - of(middles.low));
    let at = if size > 0.0 { (middle - low) / size * BINS as f32 } else { 0.0 };
    (at as usize).min(BINS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Asserts that the boxes are around what is in them, and that each triangle is in one leaf. Returns the levels and the largest leaf.
    fn check(boxes: &[Bounds]) -> (u32, u32) {
        let (nodes, order) = build(boxes);
        let (mut seen, mut levels, mut largest) = (Vec::<u32>::new(), 0, 0);
        let mut waiting = vec![(0, 1)];
        while let Some((index, level)) = waiting.pop() {
            let node: Node = nodes[index as usize];
            levels = levels.max(level);
            let inner = if node.count == 0 {
                waiting.extend([(node.first, level + 1), (node.first + 1, level + 1)]);
                let child = |index: u32| Bounds { low: nodes[index as usize].low, high: nodes[index as usize].high };
                // Padding of the inner box may reach a little beyond that of the outer one.
                let all = child(node.first).with(child(node.first + 1));
                Bounds {
                    low: all.low.map(|it| it + 1e-4 + it.abs() * 1e-4),
                    high: all.high.map(|it| it - 1e-4 - it.abs() * 1e-4),
                }
            } else {
                largest = largest.max(node.count);
                let triangles = &order[node.first as usize..][..node.count as usize];
                seen.extend(triangles);
                around(boxes, triangles)
            };
            let outer = Bounds { low: node.low, high: node.high };
            assert_eq!(outer.with(inner), outer);
        }
        seen.sort_unstable();
        assert!(seen.iter().copied().eq(0..u32::try_from(boxes.len()).unwrap()));
        (levels, largest)
    }

    fn point(x: f32, y: f32, z: f32) -> Bounds {
        Bounds::of(&[[x, y, z], [x + 0.5, y + 0.25, z]])
    }

    #[test]
    fn every_triangle_is_in_one_leaf_and_no_leaf_is_large() {
        assert_eq!(check(&[point(0.0, 0.0, 0.0)]), (1, 1));
        let grid: Vec<Bounds> =
            (0..5000_u16).map(|i| point(f32::from(i % 17), f32::from(i / 17 % 19), f32::from(i / 323))).collect();
        let (levels, largest) = check(&grid);
        assert!(levels <= 16 && largest <= 4, "{levels} levels, {largest} in a leaf");
    }

    #[test]
    fn levels_are_bounded_whatever_the_triangles() {
        // All in one place; and each a thousand times further away than the one before, where planes separate one after the other.
        let (levels, largest) = check(&vec![point(1.0, 1.0, 1.0); 3000]);
        assert!(levels <= 32 && largest <= 4, "{levels} levels, {largest} in a leaf");
        let far: Vec<Bounds> = (0..3000_u16).map(|i| point(1e-5 * 1.01_f32.powi(i32::from(i)), 0.0, 0.0)).collect();
        let (levels, largest) = check(&far);
        assert!(levels <= 32 && largest <= 4, "{levels} levels, {largest} in a leaf");
    }
}
