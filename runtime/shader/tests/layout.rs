//! Structs lie in memory as WGSL says: with `@align` and `@size` of their members, however they are nested.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test's helpers panic like the test"
)]

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use isobit_shader::dp32::SystemParams;
use isobit_shader::interpreter::{Buffers, Program, SystemBuffers};
use isobit_shader::{Profile, Tier, prepare};
use naga::TypeInner;

/// Runs a kernel whose input has its own number in each word; what it writes.
fn run(wgsl: &str, inputs: usize, outputs: usize) -> Vec<u32> {
    let kernel = prepare(wgsl, Profile::Dp32).unwrap_or_else(|error| panic!("{error}\n{wgsl}"));
    let lowered =
        kernel.resolve(None, &[]).and_then(|kernel| kernel.lower()).unwrap_or_else(|error| panic!("{error}\n{wgsl}"));
    for tier in [Tier::A, Tier::B] {
        lowered.realize(tier).unwrap_or_else(|error| panic!("{error}\n{wgsl}"));
    }
    let program = Program::compile(lowered.module(), lowered.info()).unwrap();
    let input: Vec<AtomicU32> = (0..inputs as u32).map(AtomicU32::new).collect();
    let output: Vec<AtomicU32> = (0..outputs).map(|_| AtomicU32::new(u32::MAX)).collect();
    let system = SystemBuffers::new(SystemParams::whole([1; 3]));
    let mut buffers = Buffers::new();
    buffers.bind(0, 0, &output).bind(0, 1, &input).bind_system(&system);
    program.run(&buffers, [1; 3], &AtomicBool::new(false)).unwrap();
    output.iter().map(|word| word.load(Ordering::Relaxed)).collect()
}

#[derive(Clone)]
enum Ty {
    /// Components, rows, columns: WGSL's table has the rest.
    Numbers {
        name: String,
        rows: u32,
        columns: u32,
    },
    Array(Box<Ty>, u32),
    Struct(String, Vec<Member>),
}

#[derive(Clone)]
struct Member {
    ty: Ty,
    align: Option<u32>,
    size: Option<u32>,
}

impl Ty {
    fn name(&self) -> String {
        match self {
            Self::Numbers { name, .. } | Self::Struct(name, _) => name.clone(),
            Self::Array(element, length) => format!("array<{}, {length}>", element.name()),
        }
    }

    /// AlignOf and SizeOf, from the table in WGSL's section on memory layouts.
    fn align_and_size(&self) -> (u32, u32) {
        match self {
            Self::Numbers { rows: 1, .. } => (4, 4),
            Self::Numbers { rows, columns, .. } => {
                let (align, size) = [(8, 8), (16, 12), (16, 16)][*rows as usize - 2];
                if *columns == 1 { (align, size) } else { (align, align * columns) }
            }
            Self::Array(element, length) => {
                let (align, size) = element.align_and_size();
                (align, length * size.next_multiple_of(align))
            }
            Self::Struct(_, members) => {
                let align = members.iter().map(Member::align).max().unwrap();
                let last = offsets(members).last().unwrap() + members.last().unwrap().size();
                (align, last.next_multiple_of(align))
            }
        }
    }

    /// Where each number is, as an expression and as a byte.
    fn numbers(&self, expression: &str, at: u32, found: &mut Vec<(String, u32)>) {
        match self {
            Self::Numbers { rows: 1, .. } => found.push((expression.to_owned(), at)),
            Self::Numbers { rows, columns, .. } => {
                let stride = self.align_and_size().0;
                for (column, row) in (0..*columns).flat_map(|column| (0..*rows).map(move |row| (column, row))) {
                    let part = if *columns == 1 { format!("[{row}]") } else { format!("[{column}][{row}]") };
                    found.push((format!("{expression}{part}"), at + column * stride + row * 4));
                }
            }
            Self::Array(element, length) => {
                let (align, size) = element.align_and_size();
                for index in 0..*length {
                    let at = at + index * size.next_multiple_of(align);
                    element.numbers(&format!("{expression}[{index}]"), at, found);
                }
            }
            Self::Struct(_, members) => {
                for (index, (member, offset)) in members.iter().zip(offsets(members)).enumerate() {
                    member.ty.numbers(&format!("{expression}.m{index}"), at + offset, found);
                }
            }
        }
    }

    /// The declarations of the structs in it, each after those that it uses.
    fn declare(&self, text: &mut String) {
        match self {
            Self::Numbers { .. } => {}
            Self::Array(element, _) => element.declare(text),
            Self::Struct(name, members) => {
                members.iter().for_each(|member| member.ty.declare(text));
                if text.contains(&format!("struct {name} ")) {
                    return;
                }
                text.push_str(&format!("struct {name} {{"));
                for (index, member) in members.iter().enumerate() {
                    let align = member.align.map_or(String::new(), |align| format!("@align({align}) "));
                    let size = member.size.map_or(String::new(), |size| format!("@size({size}) "));
                    text.push_str(&format!(" {align}{size}m{index}: {},", member.ty.name()));
                }
                text.push_str(" }\n");
            }
        }
    }
}

impl Member {
    fn align(&self) -> u32 {
        self.align.unwrap_or(self.ty.align_and_size().0)
    }

    fn size(&self) -> u32 {
        self.size.unwrap_or(self.ty.align_and_size().1)
    }
}

fn offsets(members: &[Member]) -> Vec<u32> {
    let mut end = 0_u32;
    let offset = |member: &Member| {
        let offset = end.next_multiple_of(member.align());
        end = offset + member.size();
        offset
    };
    members.iter().map(offset).collect()
}

struct Generator {
    state: u64,
    structs: Vec<Ty>,
}

impl Generator {
    fn below(&mut self, limit: u64) -> u32 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        (self.state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as u32 % limit as u32
    }

    fn ty(&mut self) -> Ty {
        match self.below(7) {
            0 | 1 => Ty::Numbers { name: "u32".to_owned(), rows: 1, columns: 1 },
            2 => {
                let rows = 2 + self.below(3);
                Ty::Numbers { name: format!("vec{rows}<i32>"), rows, columns: 1 }
            }
            3 => {
                let (rows, columns) = (2 + self.below(3), 2 + self.below(3));
                Ty::Numbers { name: format!("mat{columns}x{rows}<f32>"), rows, columns }
            }
            4 => Ty::Array(Box::new(self.ty()), 1 + self.below(3)),
            _ if self.structs.is_empty() => Ty::Numbers { name: "i32".to_owned(), rows: 1, columns: 1 },
            _ => {
                let chosen = self.below(self.structs.len() as u64) as usize;
                self.structs[chosen].clone()
            }
        }
    }

    fn structure(&mut self) -> Ty {
        let members = (0..1 + self.below(4)).map(|_| {
            let ty = self.ty();
            let (align, size) = ty.align_and_size();
            let align = (self.below(3) == 0).then(|| align << self.below(4));
            let size = (self.below(4) == 0).then(|| size + self.below(5) * 3);
            Member { ty, align, size }
        });
        let members = members.collect();
        let found = Ty::Struct(format!("S{}", self.structs.len()), members);
        self.structs.push(found.clone());
        found
    }
}

/// The words that each number lies in, as the kernel finds them.
fn check(ty: &Ty, space: &str) {
    let mut declarations = String::new();
    ty.declare(&mut declarations);
    let mut numbers = Vec::new();
    ty.numbers("inp", 0, &mut numbers);
    let stores: String =
        numbers.iter().enumerate().map(|(at, (number, _))| format!("out[{at}] = bitcast<u32>({number});\n")).collect();
    let wgsl = format!(
        "{declarations}@group(0) @binding(0) var<storage, read_write> out: array<u32>;
@group(0) @binding(1) var<{space}> inp: {};
@compute @workgroup_size(1) fn main() {{
{stores}}}",
        ty.name()
    );
    let kernel = prepare(&wgsl, Profile::Dp32).unwrap_or_else(|error| panic!("{error}\n{wgsl}"));
    let (_, size) = ty.align_and_size();
    let bindings = &kernel.entry_point(None).unwrap().bindings;
    assert_eq!(bindings[1].min_size, u64::from(size), "{wgsl}");
    let found = run(&wgsl, size as usize / 4, numbers.len());
    for ((number, byte), word) in numbers.iter().zip(found) {
        // Words are small numbers: as f32 they would be subnormal, so compare only what is loaded as an integer.
        if word != 0 || *byte == 0 {
            assert_eq!(word, byte / 4, "{number} in\n{wgsl}");
        }
    }
    for (_, found) in kernel.resolve(Some("main"), &[]).unwrap().module().types.iter() {
        let (TypeInner::Struct { members, span }, Some(name)) = (&found.inner, &found.name) else { continue };
        let expected = find(ty, name).unwrap();
        let Ty::Struct(_, expected_members) = expected else { continue };
        let offsets_found: Vec<u32> = members.iter().map(|member| member.offset).collect();
        assert_eq!(offsets_found, offsets(expected_members), "{name} in\n{wgsl}");
        assert_eq!(*span, expected.align_and_size().1, "{name} in\n{wgsl}");
    }
}

fn find<'t>(ty: &'t Ty, name: &str) -> Option<&'t Ty> {
    match ty {
        Ty::Numbers { .. } => None,
        Ty::Array(element, _) => find(element, name),
        Ty::Struct(own, members) if own != name => members.iter().find_map(|member| find(&member.ty, name)),
        Ty::Struct(..) => Some(ty),
    }
}

#[test]
fn members_lie_where_wgsl_puts_them() {
    for seed in 1..200_u64 {
        let mut generator = Generator { state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1, structs: Vec::new() };
        let mut last = generator.structure();
        for _ in 0..4 {
            let next = generator.structure();
            if next.align_and_size().1 <= 1024 {
                last = next;
            } else {
                generator.structs.pop();
            }
        }
        check(&last, "storage, read");
    }
}

#[test]
fn nested_alignments_hold_in_uniforms_and_arrays_without_end() {
    let words = run(
        "struct P { @align(32) a: u32, b: u32 } struct O { x: u32, p: P, y: u32 }
        @group(0) @binding(0) var<storage, read_write> out: array<u32>; @group(0) @binding(1) var<uniform> o: O;
        @compute @workgroup_size(1) fn main() { out[0] = o.x; out[1] = o.p.a; out[2] = o.p.b; out[3] = o.y; }",
        24,
        4,
    );
    assert_eq!(words, [0, 8, 9, 16]);
    let words = run(
        "alias Q = P; struct P { @align(4 * 16) a: u32 } struct R { n: u32, tail: array<array<Q, 2>> }
        @group(0) @binding(0) var<storage, read_write> out: array<u32>; @group(0) @binding(1) var<storage> r: R;
        @compute @workgroup_size(1) fn main() {
            out[0] = r.n; out[1] = r.tail[0][1].a; out[2] = r.tail[1][0].a; out[3] = arrayLength(&r.tail);
        }",
        64 / 4 + 3 * 128 / 4,
        4,
    );
    assert_eq!(words, [0, 32, 48, 3]);
}

#[test]
fn what_does_not_fit_is_refused_where_it_stands() {
    let refused = |declarations: &str, marked: &str, part: &str| {
        let wgsl = format!("{declarations} @compute @workgroup_size(1) fn main() {{ }}");
        let error = prepare(&wgsl, Profile::Dp32).map(drop).unwrap_err().diagnostic();
        let location = error.location.unwrap();
        assert!(error.message.contains(part), "{error}");
        assert_eq!(&wgsl[location.offset as usize..][..location.length as usize], marked, "{error}");
    };
    refused("struct S { @align(3) a: u32 }", "3", "power of two");
    refused("struct S { @align(8) a: vec4f }", "8", "16 or more");
    refused("struct P { @align(64) a: u32 } struct S { @align(32) p: P }", "32", "64 or more");
    refused("struct S { @size(8) a: vec3f }", "8", "needs 12 bytes");
    refused("struct P { @align(64) a: u32 } struct S { @size(32) p: P }", "32", "needs 64 bytes");
    refused("struct S { @size(-4) a: u32 }", "-4", "positive");
    refused("struct S { @align(n) a: u32 } override n = 8;", "n", "`n` is no constant");
    refused("struct S { @size(2000000000) a: u32, @size(2000000000) b: u32, @size(2000000000) c: u32 }", "S", "bytes");
    // Such as lie in no memory have no layout.
    prepare("struct S { a: bool, b: vec2<bool>, @align(16) c: u32 } var<private> s: S;", Profile::Dp32).unwrap();
}
