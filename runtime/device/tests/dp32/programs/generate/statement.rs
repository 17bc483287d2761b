//! Statements.

use super::*;

impl Generator<'_> {
    /// Statements between braces, the places in them forgotten afterwards.
    pub(super) fn block(&mut self, spot: &Spot) {
        let places = self.places.len();
        self.indent += 1;
        let most = 1 + self.source.below(4);
        for _ in 0..most {
            let begin = self.source.begin();
            let ended = self.statement(spot);
            self.source.end(begin);
            if ended {
                break;
            }
        }
        self.indent -= 1;
        self.places.truncate(places);
    }

    /// One statement. True if none can follow it.
    pub(super) fn statement(&mut self, spot: &Spot) -> bool {
        let inner = Spot { nesting: spot.nesting + 1, ..spot.clone() };
        let can_nest = spot.nesting < 4 && self.expressions < self.most_expressions;
        match self.source.below(20) {
            0 | 1 => self.assign(),
            2..=4 => self.declare(),
            5 | 6 => self.store(),
            7 if can_nest => self.branch(&inner),
            8 if can_nest => self.switch(&inner),
            9..=11 if can_nest => self.repeat(&inner),
            12 => self.atomic(),
            13 | 14 if spot.uniform => self.exchange(),
            15 => {
                if let Some(call) = self.call(None, 2) {
                    let void =
                        self.functions.iter().any(|f| f.returns.is_none() && call.starts_with(&format!("{}(", f.name)));
                    self.line(if void { format!("{call};") } else { format!("_ = {call};") });
                }
            }
            16 => {
                if self.source.chance(40) && (spot.breakable || spot.continuable || spot.returns.is_some()) {
                    return self.leave(spot);
                }
                self.leave_if(spot);
            }
            17 if can_nest => {
                self.line("{");
                self.block(&inner);
                self.line("}");
            }
            18 => self.point(),
            _ => self.assign(),
        }
        false
    }

    pub(super) fn declare(&mut self) {
        let ty = self.local();
        let value = self.expression(&ty, 3);
        let name = self.fresh('v');
        // What is bound to a constant is one.
        let writable = self.source.chance(60) || value.constant;
        let keyword = if writable { "var" } else { "let" };
        if writable && self.source.chance(20) {
            self.line(format!("var {name}: {};", ty.name()));
        } else {
            self.line(format!("{keyword} {name}: {} = {};", ty.name(), value.text));
        }
        self.places.push(Place { text: name, ty, writable, memory: writable, local: writable, depth: 0 });
    }

    pub(super) fn assign(&mut self) {
        let ty = match self.source.below(4) {
            0 => Type::Scalar(F32),
            1 => Type::Scalar(U32),
            2 => self.plain(),
            _ => self.local(),
        };
        let Some(place) = self.choose(&ty, 1, |place| place.writable) else { return self.declare() };
        let scalar = ty.shape().map(|(scalar, _)| scalar);
        match scalar {
            Some(F32) if self.source.chance(40) => {
                let operator = self.source.pick(&["+=", "*=", "-=", "/="]);
                let value = self.varying(&ty, 3);
                self.line(format!("{place} {operator} {value};"));
            }
            Some(U32 | I32) if self.source.chance(40) => {
                let operator = self.source.pick(&["+=", "*=", "-=", "^=", "|=", "&=", "%="]);
                let value = self.varying(&ty, 3);
                self.line(format!("{place} {operator} {value};"));
            }
            Some(U32 | I32) if matches!(ty, Type::Scalar(_)) && self.source.chance(20) => {
                let operator = self.source.pick(&["++", "--"]);
                self.line(format!("{place}{operator};"));
            }
            _ => {
                let value = self.expression(&ty, 3).text;
                self.line(format!("{place} = {value};"));
            }
        }
    }

    /// Writes some of the invocation's own output.
    pub(super) fn store(&mut self) {
        let (word, as_float) = (self.source.below(WORDS), self.source.chance(50));
        let scalar = if as_float { F32 } else { U32 };
        let value = self.expression(&Type::Scalar(scalar), 3).text;
        let buffer = if as_float { "results" } else { "output" };
        self.line(format!("{buffer}[me * {WORDS}u + {word}u] = {value};"));
    }

    pub(super) fn branch(&mut self, spot: &Spot) {
        // Only what all invocations know alike keeps them together.
        let uniform = spot.uniform && self.source.chance(30);
        let condition = if uniform {
            format!(
                "(params.numbers.{} & {}u) != 0u",
                ["x", "y", "z", "w"][self.source.below(4)],
                1 << self.source.below(4)
            )
        } else {
            self.varying(&Type::Scalar(Bool), 3)
        };
        let mut spot = Spot { uniform, ..spot.clone() };
        self.line(format!("if {condition} {{"));
        self.block(&spot);
        while self.source.chance(25) {
            let condition = self.varying(&Type::Scalar(Bool), 2);
            spot.uniform = false;
            self.line(format!("}} else if {condition} {{"));
            self.block(&spot);
        }
        if self.source.chance(50) {
            self.line("} else {");
            self.block(&spot);
        }
        self.line("}");
    }

    pub(super) fn switch(&mut self, spot: &Spot) {
        let scalar = [U32, I32][self.source.below(2)];
        let selector = self.varying(&Type::Scalar(scalar), 2);
        let suffix = if scalar == U32 { "u" } else { "i" };
        let spot = &Spot { uniform: false, breakable: true, ..spot.clone() };
        self.line(format!("switch {selector} & 7{suffix} {{"));
        self.indent += 1;
        let mut next = 0;
        for _ in 0..1 + self.source.below(3) {
            let mut values = vec![];
            for _ in 0..1 + self.source.below(2) {
                values.push(format!("{next}{suffix}"));
                next += 1;
            }
            self.line(format!("case {}: {{", values.join(", ")));
            self.block(spot);
            self.line("}");
        }
        self.line("default: {");
        self.block(spot);
        self.line("}");
        self.indent -= 1;
        self.line("}");
    }

    pub(super) fn repeat(&mut self, spot: &Spot) {
        let most = 1 + self.source.below(8);
        let turns = self.times * most;
        if self.turns + turns > MOST_TURNS {
            return self.assign();
        }
        self.turns += turns;
        let uniform = spot.uniform && self.source.chance(40);
        let counter = self.fresh('i');
        let spot = &Spot { uniform, breakable: !uniform, continuable: !uniform, ..spot.clone() };
        let bound = match self.source.below(3) {
            _ if uniform => format!("1u + params.numbers.y % {most}u"),
            0 => format!("{most}u"),
            _ => format!("{} % {}u", self.varying(&Type::Scalar(U32), 1), most + 1),
        };
        let (places, times) = (self.places.len(), std::mem::replace(&mut self.times, turns));
        let place = |memory| Place {
            text: counter.clone(),
            ty: Type::Scalar(U32),
            writable: false,
            memory,
            local: false,
            depth: 0,
        };
        match self.source.below(3) {
            0 => {
                self.line(format!("for (var {counter} = 0u; {counter} < {bound}; {counter}++) {{"));
                self.places.push(place(true));
                self.block(spot);
                self.line("}");
            }
            1 => {
                self.line(format!("var {counter} = {bound};"));
                self.line(format!("while {counter} > 0u {{"));
                self.indent += 1;
                self.line(format!("{counter}--;"));
                self.indent -= 1;
                self.places.push(place(true));
                self.block(spot);
                self.line("}");
            }
            _ => {
                self.line(format!("var {counter} = 0u;"));
                self.line("loop {");
                self.places.push(place(true));
                self.block(spot);
                self.indent += 1;
                self.line("continuing {");
                self.indent += 1;
                self.line(format!("{counter}++;"));
                self.line(format!("break if {counter} >= {bound};"));
                self.indent -= 1;
                self.line("}");
                self.indent -= 1;
                self.line("}");
            }
        }
        self.places.truncate(places);
        self.times = times;
    }

    /// `break`, `continue` or `return`.
    pub(super) fn leave(&mut self, spot: &Spot) -> bool {
        let mut ways = vec![];
        if spot.breakable {
            ways.push(0);
        }
        if spot.continuable {
            ways.push(1);
        }
        if spot.returns.is_some() {
            ways.push(2);
        }
        if ways.is_empty() {
            return false;
        }
        match (ways[self.source.below(ways.len())], &spot.returns) {
            (0, _) => self.line("break;"),
            (1, _) => self.line("continue;"),
            (_, Some(Some(ty))) => {
                let value = self.expression(ty, 2).text;
                self.line(format!("return {value};"));
            }
            _ => self.line("return;"),
        }
        true
    }

    pub(super) fn leave_if(&mut self, spot: &Spot) {
        if !spot.breakable && !spot.continuable && spot.returns.is_none() {
            return self.assign();
        }
        let condition = self.varying(&Type::Scalar(Bool), 2);
        self.line(format!("if {condition} {{"));
        self.indent += 1;
        self.leave(spot);
        self.indent -= 1;
        self.line("}");
    }

    /// A pointer to a part of a variable.
    pub(super) fn point(&mut self) {
        let ty = self.any();
        let Some(place) = self.choose(&ty, 1, |place| place.local && place.writable) else { return self.declare() };
        let name = self.fresh('p');
        self.line(format!("let {name} = &{place};"));
        self.places.push(Place {
            text: format!("(*{name})"),
            ty,
            writable: true,
            memory: true,
            local: false,
            depth: 1,
        });
    }

    /// An atomic operation; each word is for one that commutes with itself.
    pub(super) fn atomic(&mut self) {
        let word = self.source.below(8);
        let (operation, scalar) = [
            ("atomicAdd", U32),
            ("atomicAnd", U32),
            ("atomicOr", U32),
            ("atomicXor", U32),
            ("atomicMin", U32),
            ("atomicMax", U32),
            ("atomicMin", I32),
            ("atomicMax", I32),
        ][word];
        let operation = if word == 0 && self.source.chance(50) { "atomicSub" } else { operation };
        let place =
            if word < 6 { format!("shared_words.words[{word}]") } else { format!("shared_words.signed[{}]", word - 6) };
        let value = self.expression(&Type::Scalar(scalar), 2).text;
        self.line(format!("{operation}(&{place}, {value});"));
    }

    /// Values that go from one invocation of the workgroup to another.
    pub(super) fn exchange(&mut self) {
        let name = self.fresh('v');
        let ty = match self.source.below(4) {
            0 => {
                let ty = self.shared_scalar.clone();
                let value = self.expression(&ty, 2).text;
                self.line("if local == 0u {");
                self.line(format!("    shared_scalar = {value};"));
                self.line("}");
                self.line("workgroupBarrier();");
                self.line(format!("let {name} = shared_scalar;"));
                ty
            }
            1 => {
                let value = self.expression(&Type::Scalar(U32), 2).text;
                self.line(format!("atomicAdd(&tally, {value});"));
                self.line("workgroupBarrier();");
                self.line(format!("let {name} = atomicLoad(&tally);"));
                Type::Scalar(U32)
            }
            _ if self.shared.is_empty() => return self.assign(),
            _ => {
                let (array, ty) = self.shared[self.source.below(self.shared.len())].clone();
                let (value, distance) = (self.expression(&ty, 2).text, self.source.below(self.workgroup));
                self.line(format!("{array}[local] = {value};"));
                self.line("workgroupBarrier();");
                self.line(format!("let {name} = {array}[(local + {distance}u) % {}u];", self.workgroup));
                ty
            }
        };
        self.line("workgroupBarrier();");
        let mut place = Place { text: name, ty, writable: false, memory: false, local: false, depth: 0 };
        self.places.push(place.clone());
        // Looked at at once: what nobody uses is not even loaded.
        let scalar = loop {
            match place.ty {
                Type::Scalar(scalar) => break scalar,
                _ => {
                    let parts = self.parts(&place);
                    place = parts[self.source.below(parts.len())].clone();
                }
            }
        };
        let (value, word) = (self.indexed(&place, 0), self.source.below(WORDS));
        let value = if scalar == U32 { value } else { format!("bitcast<u32>({value})") };
        self.line(format!("output[me * {WORDS}u + {word}u] ^= {value};"));
    }

    // The module.
}
