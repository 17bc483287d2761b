//! From a scene and its mesh to what the kernels read: triangles in their places, in the order of a hierarchy of boxes.

use isobit::{Pod, Zeroable};

use crate::bvh::{self, Bounds, Node};
use crate::obj::{Mesh, TRIANGLES};
use crate::scene::{Kind, Material, Placed, Scene, Sphere};
use crate::vector::{Vector, add, cross, length, normalize, scale, sub, turn};

/// Field by field as in the WGSL.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
#[bytemuck(crate = "isobit::bytemuck")]
pub struct Triangle {
    corner: Vector,
    material: u32,
    edge1: Vector,
    pad1: u32,
    edge2: Vector,
    pad2: u32,
}

/// Field by field as in the WGSL.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
#[bytemuck(crate = "isobit::bytemuck")]
pub struct Ball {
    center: Vector,
    radius: f32,
    material: u32,
    pad: [u32; 3],
}

/// Field by field as in the WGSL.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
#[bytemuck(crate = "isobit::bytemuck")]
pub struct Surface {
    color: Vector,
    kind: u32,
    amount: f32,
    pad: [f32; 3],
}

impl From<&Material> for Surface {
    fn from(material: &Material) -> Self {
        let (kind, amount) = match material.kind {
            Kind::Diffuse => (0, 0.0),
            Kind::Metal(rough) => (1, rough),
            Kind::Glass(index) => (2, index),
            Kind::Light => (3, 0.0),
        };
        Self { color: material.color, kind, amount, pad: [0.0; 3] }
    }
}

impl From<&Sphere> for Ball {
    fn from(sphere: &Sphere) -> Self {
        Self { center: sphere.center, radius: sphere.radius, material: sphere.material, pad: [0; 3] }
    }
}

/// All triangles of a scene, and the boxes around them.
#[derive(Default)]
pub struct Geometry {
    pub triangles: Vec<Triangle>,
    /// Three for each triangle, with a fourth number that means nothing.
    pub normals: Vec<[f32; 4]>,
    pub nodes: Vec<Node>,
}

/// A triangle in its place.
struct Facet {
    corners: [Vector; 3],
    normals: [Vector; 3],
    material: u32,
}

impl Geometry {
    /// # Errors
    /// More triangles than a binding holds.
    pub fn new(scene: &Scene, mesh: &Mesh) -> Result<Self, String> {
        let count = mesh.triangles.len() * scene.meshes.len();
        if count > TRIANGLES {
            return Err(format!("{count} triangles in all places of the mesh: at most {TRIANGLES}"));
        }
        let smooth = smooth_normals(mesh);
        let facets: Vec<Facet> = scene.meshes.iter().flat_map(|placed| facets(scene, mesh, &smooth, placed)).collect();
        if facets.is_empty() {
            return Ok(Self::default());
        }
        let boxes: Vec<Bounds> = facets.iter().map(|facet| Bounds::of(&facet.corners)).collect();
        let (nodes, order) = bvh::build(&boxes);
        let ordered = || order.iter().filter_map(|index| facets.get(*index as usize));
        let normals = ordered().flat_map(|facet| facet.normals).map(|[x, y, z]| [x, y, z, 0.0]).collect();
        Ok(Self { triangles: ordered().map(Facet::triangle).collect(), normals, nodes })
    }
}

impl Facet {
    fn triangle(&self) -> Triangle {
        let [a, b, c] = self.corners;
        Triangle { corner: a, material: self.material, edge1: sub(b, a), edge2: sub(c, a), ..Triangle::default() }
    }
}

/// A normal at each position: the mean of the triangles around it, by their areas.
fn smooth_normals(mesh: &Mesh) -> Vec<Vector> {
    let mut normals = vec![[0.0; 3]; mesh.positions.len()];
    for triangle in &mesh.triangles {
        let [a, b, c] = triangle.corners.map(|corner| at(&mesh.positions, corner));
        // As long as twice the area.
        let normal = cross(sub(b, a), sub(c, a));
        for corner in triangle.corners {
            if let Some(sum) = normals.get_mut(corner as usize) {
                *sum = add(*sum, normal);
            }
        }
    }
    normals.into_iter().map(normalize).collect()
}

/// The triangles of a mesh in one of its places, without those that have no area.
fn facets(scene: &Scene, mesh: &Mesh, smooth: &[Vector], placed: &Placed) -> Vec<Facet> {
    let materials: Vec<Option<u32>> = mesh.materials.iter().map(|name| scene.material(name)).collect();
    let bounds = Bounds::of(&mesh.positions);
    let [_, tall, _] = sub(bounds.high, bounds.low);
    let [x, _, z] = scale(add(bounds.low, bounds.high), 0.5);
    let [_, base, _] = bounds.low;
    let factor = if tall > 0.0 { placed.height / tall } else { 1.0 };
    let put = |position: Vector| add(placed.at, scale(turn(sub(position, [x, base, z]), placed.turn), factor));
    let of_triangle = |triangle: &crate::obj::Triangle| {
        let corners = triangle.corners.map(|corner| put(at(&mesh.positions, corner)));
        let [a, b, c] = corners;
        let normals = match triangle.normals {
            Some(normals) => normals.map(|normal| normalize(at(&mesh.normals, normal))),
            None => triangle.corners.map(|corner| at(smooth, corner)),
        };
        let own = triangle.material.and_then(|name| *materials.get(name as usize)?);
        let material = own.unwrap_or(placed.material);
        let has_area = length(cross(sub(b, a), sub(c, a))) > 0.0;
        has_area.then_some(Facet { corners, normals: normals.map(|normal| turn(normal, placed.turn)), material })
    };
    mesh.triangles.iter().filter_map(of_triangle).collect()
}

fn at(list: &[Vector], index: u32) -> Vector {
    list.get(index as usize).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mesh_stands_where_and_as_high_as_the_scene_says() {
        let scene = "camera from 0 1 5 to 0 0 0 angle 40\nmaterial a diffuse 1 1 1\nmaterial b diffuse 0 0 0\n\
                     mesh a at 10 20 30 height 4 turn 90\nmesh b at 0 0 0 height 1";
        let mesh = "v 1 5 1\nv 3 5 1\nv 2 7 1\nv 2 7 1\nf 1 2 3\nusemtl b\nf 1 2 3\nf 1 2 1\nusemtl c\nf 2 1 3";
        let (scene, mesh) = (Scene::parse(scene).unwrap(), Mesh::parse(mesh).unwrap());
        let all = facets(&scene, &mesh, &smooth_normals(&mesh), &scene.meshes[0]);
        // One has no area.
        assert_eq!(all.iter().map(|facet| facet.material).collect::<Vec<_>>(), [0, 1, 0]);
        let near = |found: Vector, expected: Vector| length(sub(found, expected)) < 1e-5;
        // The base's middle is in its place; across becomes along.
        assert!(near(all[0].corners[0], [10.0, 20.0, 32.0]), "{:?}", all[0].corners);
        assert!(near(all[0].corners[1], [10.0, 20.0, 28.0]), "{:?}", all[0].corners);
        assert!(near(all[0].corners[2], [10.0, 24.0, 30.0]), "{:?}", all[0].corners);
        // Two of three faces look forward, which is to the side now.
        assert!(near(all[0].normals[0], [1.0, 0.0, 0.0]), "{:?}", all[0].normals);
        let geometry = Geometry::new(&scene, &mesh).unwrap();
        assert_eq!((geometry.triangles.len(), geometry.normals.len()), (6, 18));
    }
}
