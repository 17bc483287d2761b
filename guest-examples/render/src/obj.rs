//! Reads meshes from Wavefront OBJ. Nothing in a file is trusted; every error names its line.
//!
//! Taken are `v`, `vn`, `f` (of any number of corners) and `usemtl`. Texture coordinates, groups, smoothing, lines and points change no picture of this renderer and
//! are passed over. Curves and surfaces are refused.

use std::collections::HashMap;

/// The most triangles: 128 MiB, the largest binding, hold as many at 48 bytes.
pub const TRIANGLES: usize = 2 * 1024 * 1024;

/// The largest coordinate.
const FAR: f32 = 1e6;

/// A mesh of triangles.
#[derive(Debug, Default, PartialEq)]
pub struct Mesh {
    pub positions: Vec<[f32; 3]>,
    pub normals: Vec<[f32; 3]>,
    pub triangles: Vec<Triangle>,
    /// The names of materials that triangles refer to.
    pub materials: Vec<String>,
}

/// Places in the lists of its mesh.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Triangle {
    pub corners: [u32; 3],
    /// As the file has them, or nothing where it has none.
    pub normals: Option<[u32; 3]>,
    /// The last `usemtl` before it.
    pub material: Option<u32>,
}

/// A corner of a face: its position, and its normal.
type Corner = (u32, Option<u32>);

/// What the reader remembers from line to line.
#[derive(Default)]
struct Reader {
    mesh: Mesh,
    /// Texture coordinates are only counted, to check what refers to them.
    textures: usize,
    known: HashMap<String, u32>,
    material: Option<u32>,
}

impl Mesh {
    /// Parses a file. It has at least one triangle, and all its numbers are finite.
    ///
    /// # Errors
    /// What is wrong, with the number of the line.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut reader = Reader::default();
        for (line, number) in text.lines().zip(1..) {
            let line = line.split('#').next().unwrap_or_default();
            reader.line(line).map_err(|error| format!("line {number}: {error}"))?;
        }
        if reader.mesh.triangles.is_empty() {
            return Err("there is no face".to_owned());
        }
        Ok(reader.mesh)
    }
}

impl Reader {
    fn line(&mut self, line: &str) -> Result<(), String> {
        let mut words = line.split_whitespace();
        let Some(keyword) = words.next() else { return Ok(()) };
        match keyword {
            "v" => push(&mut self.mesh.positions, position(words)?)?,
            "vn" => push(&mut self.mesh.normals, three(&mut words)?)?,
            "vt" => self.textures += 1,
            "f" => self.face(words)?,
            "usemtl" => {
                let name = words.next().ok_or("a material without a name")?;
                self.use_material(name)?;
            }
            "o" | "g" | "s" | "mg" | "mtllib" | "l" | "p" | "vp" => {}
            other => return Err(format!("{} is nothing that a mesh of triangles has", shown(other))),
        }
        Ok(())
    }

    fn use_material(&mut self, name: &str) -> Result<(), String> {
        let next = u32::try_from(self.mesh.materials.len()).unwrap_or(u32::MAX);
        let index = *self.known.entry(name.to_owned()).or_insert(next);
        if index == next {
            push(&mut self.mesh.materials, name.to_owned())?;
        }
        self.material = Some(index);
        Ok(())
    }

    /// A polygon becomes a fan of triangles around its first corner.
    fn face<'a>(&mut self, words: impl Iterator<Item = &'a str>) -> Result<(), String> {
        let corners = words.map(|word| self.corner(word)).collect::<Result<Vec<Corner>, _>>()?;
        let [first, rest @ ..] = corners.as_slice() else { return Err("a face without corners".to_owned()) };
        if rest.len() < 2 {
            return Err(format!("a face of {} corners: at least 3", corners.len()));
        }
        for pair in rest.windows(2) {
            let [second, third] = pair else { continue };
            if self.mesh.triangles.len() == TRIANGLES {
                return Err(format!("more than {TRIANGLES} triangles"));
            }
            let normals = [first.1, second.1, third.1];
            self.mesh.triangles.push(Triangle {
                corners: [first.0, second.0, third.0],
                normals: if let [Some(a), Some(b), Some(c)] = normals { Some([a, b, c]) } else { None },
                material: self.material,
            });
        }
        Ok(())
    }

    /// `position`, `position/texture`, `position//normal` or `position/texture/normal`.
    fn corner(&self, word: &str) -> Result<Corner, String> {
        let mut parts = word.split('/');
        let position = index(parts.next().unwrap_or_default(), self.mesh.positions.len(), "vertex")?;
        match parts.next() {
            None | Some("") => {}
            Some(texture) => {
                index(texture, self.textures, "texture coordinate")?;
            }
        }
        let normal = parts.next().map(|normal| index(normal, self.mesh.normals.len(), "normal")).transpose()?;
        match parts.next() {
            Some(_) => Err(format!("{} has more than a vertex, a texture coordinate and a normal", shown(word))),
            None => Ok((position, normal)),
        }
    }
}

/// The place of what a file refers to: from 1, or from the end with negative numbers. Only what comes before can be referred to.
fn index(word: &str, count: usize, what: &str) -> Result<u32, String> {
    let number: i64 = word.parse().map_err(|_| format!("{} is no number of a {what}", shown(word)))?;
    let found = match number {
        1.. => usize::try_from(number - 1).ok(),
        _ => usize::try_from(number.unsigned_abs()).ok().and_then(|back| count.checked_sub(back)),
    };
    let found = found.filter(|index| *index < count).and_then(|index| u32::try_from(index).ok());
    found.ok_or_else(|| format!("{what} {number}: there are {count} so far"))
}

/// A position may have a weight or a colour behind it, which are passed over.
fn position<'a>(mut words: impl Iterator<Item = &'a str>) -> Result<[f32; 3], String> {
    let position = three(&mut words)?;
    match position.iter().find(|number| number.abs() > FAR) {
        Some(number) => Err(format!("{number} is too far away: at most {FAR}")),
        None => Ok(position),
    }
}

/// Three finite numbers.
fn three<'a>(words: &mut impl Iterator<Item = &'a str>) -> Result<[f32; 3], String> {
    let mut next = || {
        let word = words.next().ok_or("three numbers are needed")?;
        let number: Option<f32> = word.parse().ok().filter(|number: &f32| number.is_finite());
        number.ok_or_else(|| format!("{} is no number", shown(word)))
    };
    Ok([next()?, next()?, next()?])
}

fn push<T>(list: &mut Vec<T>, item: T) -> Result<(), String> {
    if list.len() >= 3 * TRIANGLES {
        return Err(format!("more than {} of these", 3 * TRIANGLES));
    }
    list.push(item);
    Ok(())
}

/// A word, short enough for a message.
fn shown(word: &str) -> String {
    format!("{:?}", word.chars().take(24).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faces_of_all_forms_are_read() {
        let mesh = Mesh::parse(
            "# a comment\nmtllib a.mtl\no thing\nv 0 0 0\nv 1 0 0 1.0\nv 1 1 0 .5 .5 .5\nv 0 1 -1e-1 # behind\r\nvt 0 0\nvn 0 0 1\n\n\
             f 1 2 3 4\nusemtl red\nf 1/1 2/1 3/1\nusemtl blue\nf 1//1 2//1 -1//-1\nusemtl red\nf -4/1/1 -3/1/1 -2/1/1\n",
        )
        .unwrap();
        assert_eq!(mesh.positions.len(), 4);
        assert_eq!(mesh.positions[3], [0.0, 1.0, -0.1]);
        assert_eq!(mesh.materials, ["red", "blue"]);
        let triangle = |corners, normals, material| Triangle { corners, normals, material };
        let expected = [
            triangle([0, 1, 2], None, None),
            triangle([0, 2, 3], None, None),
            triangle([0, 1, 2], None, Some(0)),
            triangle([0, 1, 3], Some([0, 0, 0]), Some(1)),
            triangle([0, 1, 2], Some([0, 0, 0]), Some(0)),
        ];
        assert_eq!(mesh.triangles, expected);
    }

    #[test]
    fn every_broken_file_is_refused_with_its_line() {
        let three = "v 0 0 0\nv 1 0 0\nv 0 1 0\n";
        let after = |text: &str| format!("{three}{text}");
        let corpus = [
            (String::new(), "there is no face"),
            (three.to_owned(), "there is no face"),
            ("v 0 0".to_owned(), "line 1: three numbers are needed"),
            ("v 0 0 x".to_owned(), "line 1: \"x\" is no number"),
            ("v 0 nan 0".to_owned(), "line 1: \"nan\" is no number"),
            ("v 0 1e999 0".to_owned(), "line 1: \"1e999\" is no number"),
            ("v 0 2e6 0".to_owned(), "line 1: 2000000 is too far away"),
            ("\nvn 1 0".to_owned(), "line 2: three numbers are needed"),
            (after("f"), "line 4: a face without corners"),
            (after("f 1 2"), "line 4: a face of 2 corners"),
            (after("f 1 2 4"), "line 4: vertex 4: there are 3 so far"),
            (after("f 1 2 0"), "line 4: vertex 0: there are 3 so far"),
            (after("f 1 2 -4"), "line 4: vertex -4: there are 3 so far"),
            (after("f 1 2 -9223372036854775808"), "line 4: vertex -9223372036854775808"),
            (after("f 1 2 9223372036854775808"), "line 4: \"9223372036854775808\" is no number of a vertex"),
            (after("f 1 2 1.5"), "line 4: \"1.5\" is no number of a vertex"),
            (after("f 1/1 2/1 3/1"), "line 4: texture coordinate 1: there are 0 so far"),
            (after("f 1//1 2//1 3//1"), "line 4: normal 1: there are 0 so far"),
            (after("f 1// 2// 3//"), "line 4: \"\" is no number of a normal"),
            (after("f 1/1/1/1 2 3"), "line 4: texture coordinate 1"),
            (after("vt 0\nvn 0 0 1\nf 1/1/1/1 2 3"), "line 6: \"1/1/1/1\" has more than"),
            (after("f 1 2 \\\n3"), "line 4: \"\\\\\" is no number of a vertex"),
            (after("usemtl\nf 1 2 3"), "line 4: a material without a name"),
            (after("curv 0 1 1 2"), "line 4: \"curv\" is nothing that"),
            ("PK\u{3}\u{4}".to_owned(), "line 1: \"PK\\u{3}\\u{4}\" is nothing that"),
        ];
        for (text, expected) in corpus {
            let error = Mesh::parse(&text).unwrap_err();
            assert!(error.starts_with(expected), "{error} instead of {expected}");
        }
    }

    #[test]
    fn a_face_cannot_be_the_start_of_too_many_triangles() {
        let many = format!("v 0 0 0\nf{}", " 1".repeat(TRIANGLES + 3));
        assert_eq!(Mesh::parse(&many).unwrap_err(), "line 2: more than 2097152 triangles");
    }

    #[test]
    fn no_file_that_is_cut_off_or_has_a_letter_changed_panics() {
        let file = "v 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0 0\nvn 0 0 1\nusemtl a\nf 1/1/1 2/1/1 -1/1/-1\n";
        for end in 0..=file.len() {
            let _ = Mesh::parse(&file[..end]);
            for letter in ["/", "-", " ", "\n", "9", "é"] {
                let mut broken = file.to_owned();
                broken.insert_str(end, letter);
                let _ = Mesh::parse(&broken);
            }
        }
    }
}
