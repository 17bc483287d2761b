//! Declarations, functions and the program as a whole.

use super::*;

impl Generator<'_> {
    pub(super) fn module(&mut self) -> Program {
        let size: [usize; 3] =
            [[1, 1, 1], [4, 1, 1], [7, 1, 1], [8, 4, 1], [4, 2, 2], [64, 1, 1]][self.source.below(6)];
        let workgroups = [[1, 1, 1], [3, 1, 1], [2, 2, 1]][self.source.below(3)];
        self.workgroup = size.iter().product();
        for _ in 0..self.source.below(3) {
            let mut members = vec![];
            for _ in 0..1 + self.source.below(4) {
                members.push(self.any());
            }
            let number = self.structs.len();
            self.line(format!("struct S{number} {{"));
            for (index, member) in members.iter().enumerate() {
                let ty = member.name();
                self.line(format!("    m{index}: {ty},"));
            }
            self.line("}");
            self.structs.push(members);
        }
        self.line("struct Params { numbers: vec4<u32>, floats: vec4<f32>, turn: mat3x3<f32> }");
        self.line("struct Words { words: array<atomic<u32>, 6>, signed: array<atomic<i32>, 2> }");
        self.line("@group(0) @binding(0) var<storage, read> input: array<u32>;");
        self.line("@group(0) @binding(1) var<storage, read> floats: array<f32>;");
        self.line("@group(0) @binding(2) var<storage, read_write> output: array<u32>;");
        self.line("@group(0) @binding(3) var<storage, read_write> results: array<f32>;");
        self.line("@group(0) @binding(4) var<storage, read_write> shared_words: Words;");
        self.line("@group(0) @binding(5) var<uniform> params: Params;");
        let record = self.any();
        self.line(format!("@group(0) @binding(6) var<storage, read_write> records: array<{}>;", record.name()));
        let record_words = self.words(&record);
        self.line("override FACTOR: f32 = 1.0;");
        self.line("override SIZE: u32;");
        self.line("var<private> me: u32;");
        self.line("var<private> factor: f32 = FACTOR * 0.1;");
        self.line("var<workgroup> tally: atomic<u32>;");
        self.shared_scalar = self.plain();
        let scalar = self.shared_scalar.name();
        self.line(format!("var<workgroup> shared_scalar: {scalar};"));

        let given = |text: &str, ty, memory| Place {
            text: text.to_owned(),
            ty,
            writable: false,
            memory,
            local: false,
            depth: 0,
        };
        self.places.push(given("params.numbers", Type::Vector(4, U32), true));
        self.places.push(given("params.floats", Type::Vector(4, F32), true));
        self.places.push(given("params.turn", Type::Matrix(3, 3), true));
        self.places.push(Place { writable: true, ..given("records[me]", record, true) });
        self.places.push(Place { writable: true, ..given("factor", Type::Scalar(F32), true) });
        for _ in 0..self.source.below(3) {
            let (ty, name) = (self.local(), self.fresh('g'));
            self.line(format!("var<private> {name}: {};", ty.name()));
            self.places.push(Place { writable: true, ..given(&name, ty, true) });
        }
        for _ in 0..self.source.below(2) {
            let (scalar, name) = (self.numeric(), self.fresh('C'));
            let elements: Vec<String> = (0..4).map(|_| self.literal(scalar)).collect();
            let ty = Type::Array(Box::new(Type::Scalar(scalar)), 4);
            self.line(format!("const {name} = {}({});", ty.name(), elements.join(", ")));
            self.places.push(Place { memory: true, ..given(&name, ty, true) });
        }
        for _ in 0..self.source.below(3) {
            let (ty, name) = (self.any(), self.fresh('w'));
            // Within the 16 KiB of workgroup memory.
            let ty = if self.words(&ty) * self.workgroup > 1000 { Type::Scalar(F32) } else { ty };
            self.line(format!("var<workgroup> {name}: array<{}, {}>;", ty.name(), self.workgroup));
            self.shared.push((name, ty));
        }
        for _ in 0..self.source.below(4) {
            self.function();
        }
        self.main(size);

        let (invocations, text) =
            (self.workgroup * workgroups.iter().product::<usize>(), std::mem::take(&mut self.text));
        let mut words = Noise(self.source.below(1 << 16) as u32 | 1);
        let mut buffer = |count: usize, word: fn(&mut Noise) -> u32| -> Vec<u8> {
            (0..count).flat_map(|_| word(&mut words).to_le_bytes()).collect()
        };
        let buffers = vec![
            buffer(INPUTS, Noise::integer),
            buffer(INPUTS, Noise::float),
            buffer(invocations * WORDS, Noise::zero),
            buffer(invocations * WORDS, Noise::zero),
            buffer(8, Noise::integer),
            [buffer(4, Noise::integer), buffer(16, Noise::float)].concat(),
            buffer(invocations * record_words, Noise::float),
        ];
        Program {
            wgsl: text,
            constants: vec![("FACTOR".to_owned(), 0.3), ("SIZE".to_owned(), size[0] as f64)],
            buffers,
            workgroups: workgroups.map(|count| u32::try_from(count).unwrap()),
        }
    }

    /// An upper bound of a type's size in words.
    pub(super) fn words(&self, ty: &Type) -> usize {
        match ty {
            Type::Scalar(_) => 1,
            Type::Vector(..) => 4,
            Type::Matrix(columns, _) => 4 * columns,
            Type::Array(element, size) => size * self.words(element),
            Type::Struct(number) => {
                4 + self.structs[*number].iter().map(|member| 4 + self.words(member)).sum::<usize>()
            }
        }
    }

    pub(super) fn function(&mut self) {
        let name = self.fresh('f');
        let places = self.places.len();
        let returns = if self.source.chance(75) { Some(self.local()) } else { None };
        let mut parameters = vec![];
        let mut declared = vec![];
        for _ in 0..self.source.below(4) {
            let (ty, parameter, pointer) = (self.local(), self.fresh('a'), self.source.chance(25));
            let place = Place {
                text: if pointer { format!("(*{parameter})") } else { parameter.clone() },
                ty: ty.clone(),
                writable: pointer,
                memory: pointer,
                local: false,
                depth: usize::from(pointer),
            };
            let spelled = if pointer { format!("ptr<function, {}>", ty.name()) } else { ty.name() };
            declared.push(format!("{parameter}: {spelled}"));
            // Two pointers of a call must not be to the same.
            if pointer && parameters.iter().any(|(_, pointer)| *pointer) {
                declared.pop();
                continue;
            }
            self.places.push(place);
            parameters.push((ty, pointer));
        }
        let arrow = returns.as_ref().map(|ty| format!(" -> {}", ty.name())).unwrap_or_default();
        self.line(format!("fn {name}({}){arrow} {{", declared.join(", ")));
        let outside = std::mem::take(&mut self.turns);
        let spot =
            Spot { returns: Some(returns.clone()), breakable: false, continuable: false, uniform: false, nesting: 1 };
        // What the function ends with comes after all else, whatever was left before.
        self.line("    if me < 1000000u {");
        self.indent += 1;
        self.block(&spot);
        self.indent -= 1;
        self.line("    }");
        if let Some(ty) = &returns {
            let value = self.expression(ty, 3).text;
            self.line(format!("    return {value};"));
        }
        self.line("}");
        self.places.truncate(places);
        let turns = std::mem::replace(&mut self.turns, outside);
        self.functions.push(Function { name, parameters, returns, turns });
    }

    pub(super) fn main(&mut self, size: [usize; 3]) {
        self.line(format!("@compute @workgroup_size(SIZE, {}, {})", size[1], size[2]));
        self.line("fn main(");
        self.line("    @builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,");
        self.line("    @builtin(local_invocation_index) local: u32, @builtin(global_invocation_id) global: vec3<u32>,");
        self.line(") {");
        self.indent += 1;
        let count = self.workgroup;
        self.line(format!("me = ((group.z * groups.y + group.y) * groups.x + group.x) * {count}u + local;"));
        for (text, ty) in [("local", Type::Scalar(U32)), ("me", Type::Scalar(U32)), ("global", Type::Vector(3, U32))] {
            let text = text.to_owned();
            self.places.push(Place { text, ty, writable: false, memory: false, local: false, depth: 0 });
        }
        let spot = Spot { returns: None, breakable: false, continuable: false, uniform: true, nesting: 0 };
        // As in a block, but longer.
        while self.source.chance(85) && self.expressions < self.most_expressions {
            let begin = self.source.begin();
            if self.source.chance(20) {
                self.exchange();
            } else {
                self.statement(&spot);
            }
            self.source.end(begin);
        }
        // Of everything there is, a few are looked at.
        for word in 0..WORDS / 2 {
            let begin = self.source.begin();
            if self.source.chance(80) {
                let (float, integer) =
                    (self.expression(&Type::Scalar(F32), 2).text, self.expression(&Type::Scalar(U32), 2).text);
                self.line(format!("results[me * {WORDS}u + {word}u] = {float};"));
                self.line(format!("output[me * {WORDS}u + {word}u] = {integer};"));
            }
            self.source.end(begin);
        }
        self.indent -= 1;
        self.line("}");
    }
}

/// What buffers are filled with.
struct Noise(u32);

impl Noise {
    fn next(&mut self) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0
    }

    fn zero(&mut self) -> u32 {
        0
    }

    fn integer(&mut self) -> u32 {
        const EDGES: [u32; 8] = [0, 1, 2, 31, 32, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff];
        match self.next() % 4 {
            0 => EDGES[self.next() as usize % EDGES.len()],
            1 | 2 => self.next() % 100,
            _ => self.next(),
        }
    }

    /// Mostly ordinary numbers, so that not all of the results are NaN.
    fn float(&mut self) -> u32 {
        const EDGES: [f32; 12] = [
            0.0,
            -0.0,
            1.0,
            -1.0,
            f32::INFINITY,
            f32::NEG_INFINITY,
            f32::NAN,
            f32::MAX,
            f32::MIN_POSITIVE,
            1e-40,
            -1e-44,
            0.5,
        ];
        match self.next() % 16 {
            0 => EDGES[self.next() as usize % EDGES.len()].to_bits(),
            1 => self.next(),
            2 => (self.next() & 0x807f_ffff) | 0x0080_0000,
            3..=6 => (((self.next() % 41) as f32 - 20.0) / 4.0).to_bits(),
            _ => ((self.next() >> 8) as f32 / (1 << 21) as f32 - 4.0).to_bits(),
        }
    }
}
