//! Reads scenes: a line for each thing, its keyword first. Nothing in a file is trusted; every error names its line.
//!
//! ```text
//! camera from X Y Z to X Y Z angle DEGREES [lens RADIUS] [turn DEGREES]
//! sky horizon R G B zenith R G B
//! sun toward X Y Z color R G B size DEGREES
//! material NAME diffuse R G B
//! material NAME metal R G B rough AMOUNT
//! material NAME glass R G B index RATIO
//! material NAME light R G B
//! floor MATERIAL [and MATERIAL size SIDE] height Y
//! sphere MATERIAL at X Y Z radius R
//! mesh MATERIAL at X Y Z height H [turn DEGREES]
//! ```
//!
//! Y is up. `angle` is what the camera sees from the lower to the upper edge; `lens` blurs what is nearer or further than `to`; each frame turns the camera by `turn`
//! around `to`. A sun gives light of its colour to what faces it. `mesh` puts the mesh of the job on a place, so high; a material of the mesh's own that the
//! scene defines is used where the mesh says so.

use std::str::SplitWhitespace;

/// The most materials, spheres and meshes each.
const MANY: usize = 256;

/// The largest coordinate.
const FAR: f32 = 1e4;

/// How a surface scatters light.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    Diffuse,
    /// With how much the reflection is spread, 0 to 1.
    Metal(f32),
    /// With its refractive index.
    Glass(f32),
    Light,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Material {
    pub name: String,
    pub kind: Kind,
    pub color: [f32; 3],
}

/// Materials are given by their place in the scene's list.
#[derive(Clone, Debug, PartialEq)]
pub struct Sphere {
    pub material: u32,
    pub center: [f32; 3],
    pub radius: f32,
}

/// A level floor without end: of one material, or of two in squares.
#[derive(Clone, Debug, PartialEq)]
pub struct Floor {
    pub materials: [u32; 2],
    pub side: f32,
    pub height: f32,
}

/// Where the mesh of the job stands: the middle of its base.
#[derive(Clone, Debug, PartialEq)]
pub struct Placed {
    pub material: u32,
    pub at: [f32; 3],
    pub height: f32,
    pub turn: f32,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Camera {
    pub from: [f32; 3],
    pub to: [f32; 3],
    pub angle: f32,
    pub lens: f32,
    pub turn: f32,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Sky {
    pub horizon: [f32; 3],
    pub zenith: [f32; 3],
}

/// `size` is the angle that its disc takes.
#[derive(Clone, Debug, PartialEq)]
pub struct Sun {
    pub toward: [f32; 3],
    pub color: [f32; 3],
    pub size: f32,
}

/// All that is to be seen, and from where.
#[derive(Clone, Debug, PartialEq)]
pub struct Scene {
    pub camera: Camera,
    pub sky: Sky,
    pub sun: Option<Sun>,
    pub materials: Vec<Material>,
    pub floor: Option<Floor>,
    pub spheres: Vec<Sphere>,
    pub meshes: Vec<Placed>,
}

#[derive(Default)]
struct Reader {
    camera: Option<Camera>,
    sky: Option<Sky>,
    sun: Option<Sun>,
    materials: Vec<Material>,
    floor: Option<Floor>,
    spheres: Vec<Sphere>,
    meshes: Vec<Placed>,
}

impl Scene {
    /// # Errors
    /// What is wrong, with the number of the line where it is about one.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut reader = Reader::default();
        for (line, number) in text.lines().zip(1..) {
            let line = line.split('#').next().unwrap_or_default();
            reader.line(line).map_err(|error| format!("line {number}: {error}"))?;
        }
        Ok(Self {
            camera: reader.camera.ok_or("there is no camera")?,
            sky: reader.sky.unwrap_or(Sky { horizon: [0.0; 3], zenith: [0.0; 3] }),
            sun: reader.sun,
            materials: reader.materials,
            floor: reader.floor,
            spheres: reader.spheres,
            meshes: reader.meshes,
        })
    }

    /// The place of a material in the list.
    pub fn material(&self, name: &str) -> Option<u32> {
        place(&self.materials, name)
    }
}

fn place(materials: &[Material], name: &str) -> Option<u32> {
    materials.iter().position(|material| material.name == name).and_then(|index| u32::try_from(index).ok())
}

impl Reader {
    fn line(&mut self, line: &str) -> Result<(), String> {
        let mut words = Words(line.split_whitespace());
        let Some(keyword) = words.0.next() else { return Ok(()) };
        match keyword {
            "camera" => once(&mut self.camera, camera(&mut words)?)?,
            "sky" => {
                once(&mut self.sky, Sky { horizon: words.color("horizon")?, zenith: words.color("zenith")? })?;
            }
            "sun" => once(&mut self.sun, sun(&mut words)?)?,
            "material" => {
                let material = material(&mut words)?;
                if place(&self.materials, &material.name).is_some() {
                    return Err(format!("a second material {:?}", material.name));
                }
                push(&mut self.materials, material)?;
            }
            "floor" => {
                let first = words.material(&self.materials)?;
                let (second, side) = if words.has("and") {
                    (words.material(&self.materials)?, words.number("size", 1e-3, FAR)?)
                } else {
                    (first, 1.0)
                };
                let height = words.number("height", -FAR, FAR)?;
                once(&mut self.floor, Floor { materials: [first, second], side, height })?;
            }
            "sphere" => {
                let material = words.material(&self.materials)?;
                let sphere =
                    Sphere { material, center: words.point("at")?, radius: words.number("radius", 1e-3, FAR)? };
                push(&mut self.spheres, sphere)?;
            }
            "mesh" => {
                let material = words.material(&self.materials)?;
                let (at, height) = (words.point("at")?, words.number("height", 1e-3, FAR)?);
                push(&mut self.meshes, Placed { material, at, height, turn: words.optional("turn", -360.0, 360.0)? })?;
            }
            other => return Err(format!("{other:?} is nothing that a scene has")),
        }
        words.end()
    }
}

fn camera(words: &mut Words<'_>) -> Result<Camera, String> {
    let camera = Camera {
        from: words.point("from")?,
        to: words.point("to")?,
        angle: words.number("angle", 1.0, 150.0)?,
        lens: words.optional("lens", 0.0, 10.0)?,
        turn: words.optional("turn", -360.0, 360.0)?,
    };
    // A view straight down would have no up.
    let across = (camera.from[0] - camera.to[0]).hypot(camera.from[2] - camera.to[2]);
    if across < 1e-3 {
        return Err("the camera looks straight up or down, or nowhere".to_owned());
    }
    Ok(camera)
}

fn sun(words: &mut Words<'_>) -> Result<Sun, String> {
    let toward = words.point("toward")?;
    let sun = Sun { toward, color: words.color("color")?, size: words.number("size", 0.1, 90.0)? };
    if toward.iter().all(|number| number.abs() < 1e-3) {
        return Err("the sun is toward nothing".to_owned());
    }
    Ok(sun)
}

fn material(words: &mut Words<'_>) -> Result<Material, String> {
    let name = words.0.next().ok_or("a material without a name")?.to_owned();
    let kind = words.0.next().ok_or("a material is diffuse, metal, glass or light")?;
    let (color, kind) = match kind {
        "light" => (words.three(0.0, 1e4)?, Kind::Light),
        "diffuse" => (words.three(0.0, 1.0)?, Kind::Diffuse),
        "metal" => (words.three(0.0, 1.0)?, Kind::Metal(words.number("rough", 0.0, 1.0)?)),
        "glass" => (words.three(0.0, 1.0)?, Kind::Glass(words.number("index", 1.0, 4.0)?)),
        other => return Err(format!("a material is diffuse, metal, glass or light, not {other:?}")),
    };
    Ok(Material { name, kind, color })
}

fn once<T>(slot: &mut Option<T>, value: T) -> Result<(), String> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err("a second one: a scene has one".to_owned()),
    }
}

fn push<T>(list: &mut Vec<T>, item: T) -> Result<(), String> {
    if list.len() == MANY {
        return Err(format!("more than {MANY} of these"));
    }
    list.push(item);
    Ok(())
}

/// The words of a line that are still to be read.
struct Words<'a>(SplitWhitespace<'a>);

impl Words<'_> {
    /// Takes this word, if it is the next one.
    fn has(&mut self, word: &str) -> bool {
        let mut ahead = self.0.clone();
        let found = ahead.next() == Some(word);
        if found {
            self.0 = ahead;
        }
        found
    }

    fn word(&mut self, word: &str) -> Result<(), String> {
        match self.0.next() {
            Some(found) if found == word => Ok(()),
            Some(found) => Err(format!("{found:?} where {word:?} has to be")),
            None => Err(format!("the line ends where {word:?} has to be")),
        }
    }

    fn value(&mut self, least: f32, most: f32) -> Result<f32, String> {
        let word = self.0.next().ok_or("the line ends where a number has to be")?;
        let number: Option<f32> = word.parse().ok().filter(|number| (least..=most).contains(number));
        number.ok_or_else(|| format!("{word:?} is no number from {least} to {most}"))
    }

    fn three(&mut self, least: f32, most: f32) -> Result<[f32; 3], String> {
        Ok([self.value(least, most)?, self.value(least, most)?, self.value(least, most)?])
    }

    fn number(&mut self, name: &str, least: f32, most: f32) -> Result<f32, String> {
        self.word(name)?;
        self.value(least, most)
    }

    /// Zero if it is not there.
    fn optional(&mut self, name: &str, least: f32, most: f32) -> Result<f32, String> {
        if self.has(name) { self.value(least, most) } else { Ok(0.0) }
    }

    fn point(&mut self, name: &str) -> Result<[f32; 3], String> {
        self.word(name)?;
        self.three(-FAR, FAR)
    }

    fn color(&mut self, name: &str) -> Result<[f32; 3], String> {
        self.word(name)?;
        self.three(0.0, 1e4)
    }

    fn material(&mut self, materials: &[Material]) -> Result<u32, String> {
        let name = self.0.next().ok_or("the line ends where a material has to be")?;
        place(materials, name).ok_or_else(|| format!("no material {name:?} so far"))
    }

    fn end(mut self) -> Result<(), String> {
        match self.0.next() {
            Some(more) => Err(format!("{more:?} after the end")),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAMERA: &str = "camera from 0 1 5 to 0 0 0 angle 40\n";

    #[test]
    fn every_kind_of_line_is_read() {
        let scene = Scene::parse(
            "# all of it\ncamera from 0 1 5 to 0 0 0 angle 40 lens .1 turn 6\nsky horizon 1 1 1 zenith 0 0 1\n\
             sun toward 1 1 0 color 3 3 3 size 2 # warm\nmaterial a diffuse 1 0 0\nmaterial b metal 1 1 0 rough 0.5\n\
             material c glass 1 1 1 index 1.5\nmaterial d light 9 9 9\n\nfloor a and b size 2 height -1\n\
             sphere c at 1 2 3 radius 4\nmesh d at 0 0 0 height 2 turn 90\nmesh a at 1 0 0 height 1",
        )
        .unwrap();
        assert_eq!(scene.camera, Camera { from: [0.0, 1.0, 5.0], to: [0.0; 3], angle: 40.0, lens: 0.1, turn: 6.0 });
        assert_eq!(scene.sun, Some(Sun { toward: [1.0, 1.0, 0.0], color: [3.0; 3], size: 2.0 }));
        let kinds: Vec<Kind> = scene.materials.iter().map(|material| material.kind).collect();
        assert_eq!(kinds, [Kind::Diffuse, Kind::Metal(0.5), Kind::Glass(1.5), Kind::Light]);
        assert_eq!(scene.floor, Some(Floor { materials: [0, 1], side: 2.0, height: -1.0 }));
        assert_eq!(scene.spheres, [Sphere { material: 2, center: [1.0, 2.0, 3.0], radius: 4.0 }]);
        assert_eq!(scene.meshes[0], Placed { material: 3, at: [0.0; 3], height: 2.0, turn: 90.0 });
        assert_eq!(scene.meshes[1].turn, 0.0);
        assert_eq!((scene.material("c"), scene.material("e")), (Some(2), None));
    }

    #[test]
    fn every_broken_scene_is_refused_with_its_line() {
        let many = "sphere a at 0 0 0 radius 1\n".repeat(MANY + 1);
        let after = |text: &str| format!("{CAMERA}material a diffuse 1 1 1\n{text}");
        let corpus = [
            (String::new(), "there is no camera"),
            ("camera".to_owned(), "line 1: the line ends where \"from\" has to be"),
            ("camera at 1 2 3".to_owned(), "line 1: \"at\" where \"from\" has to be"),
            ("camera from 1 2".to_owned(), "line 1: the line ends where a number has to be"),
            ("camera from 0 1 0 to 0 0 0 angle 40".to_owned(), "line 1: the camera looks straight"),
            ("camera from 0 1 1 to 0 0 0 angle 0".to_owned(), "line 1: \"0\" is no number from 1 to 150"),
            (format!("{CAMERA}{CAMERA}"), "line 2: a second one"),
            (after("sky horizon 1 1 1"), "line 3: the line ends where \"zenith\" has to be"),
            (after("sky horizon 1 1 nan zenith 0 0 0"), "line 3: \"nan\" is no number from 0 to 10000"),
            (after("sun toward 0 0 0 color 1 1 1 size 1"), "line 3: the sun is toward nothing"),
            (after("material a light 1 1 1"), "line 3: a second material \"a\""),
            (after("material b wood 1 1 1"), "line 3: a material is diffuse, metal, glass or light, not \"wood\""),
            (after("material b"), "line 3: a material is diffuse"),
            (after("material"), "line 3: a material without a name"),
            (after("material b diffuse 1 1 2"), "line 3: \"2\" is no number from 0 to 1"),
            (after("sphere b at 0 0 0 radius 1"), "line 3: no material \"b\" so far"),
            (after("sphere"), "line 3: the line ends where a material has to be"),
            (after("sphere a at 0 0 inf radius 1"), "line 3: \"inf\" is no number"),
            (after("sphere a at 0 0 0 radius 0"), "line 3: \"0\" is no number from 0.001"),
            (after("floor a and a height 0"), "line 3: \"height\" where \"size\" has to be"),
            (after("mesh a at 0 0 0 height 1 turn"), "line 3: the line ends where a number"),
            (after("mesh a at 0 0 0 height 1 twice"), "line 3: \"twice\" after the end"),
            (after("cone a"), "line 3: \"cone\" is nothing that a scene has"),
            (after(&many), "line 259: more than 256 of these"),
        ];
        for (text, expected) in corpus {
            let error = Scene::parse(&text).unwrap_err();
            assert!(error.starts_with(expected), "{error} instead of {expected}");
        }
    }
}
