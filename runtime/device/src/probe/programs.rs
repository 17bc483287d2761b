//! Random kernels: checks of single operations do not show how drivers compile them in combination.

use std::fmt::Write as _;

use super::vectors::Vectors;

/// How many variables of type F a program has, besides its operands.
const VARIABLES: u32 = 4;

/// Constants that a driver may find out. naga does not, so it does not refuse 1 / 0.
const CONSTANTS: &str = "var<private> p: F;
var<private> zero = F(0.0);
var<private> tenth = F(0.1);
var<private> one = F(1.0);
var<private> three = F(-3.0);
var<private> large = F(16777216.0);
";

/// Declarations and body of a program, for `super::kernels::kernel_with`.
pub(crate) fn program(seed: u64) -> (String, String) {
    let mut writer = Writer { random: Vectors::new(seed), functions: 0 };
    let mut declarations = String::from(CONSTANTS);
    for _ in 0..2 {
        let result = writer.number(3);
        let _ = writeln!(declarations, "fn f{}(x: F, y: F, z: F) -> F {{\n    return {result};\n}}", writer.functions);
        writer.functions += 1;
    }
    let mut body = String::from("var v0 = x;\n    var v1: F;\n    var v2 = F(1.0);\n    var v3 = F(0.0);\n");
    for statement in writer.statements(2) {
        body += &statement;
    }
    body +=
        "    return bitcast<U>(v0) ^ (bitcast<U>(v1) * U(3u)) ^ (bitcast<U>(v2) * U(5u)) ^ (bitcast<U>(v3) * U(7u));";
    // The variables are operands of expressions in the body, but not in the functions.
    (declarations, body)
}

struct Writer {
    random: Vectors,
    functions: u32,
}

impl Writer {
    fn statements(&mut self, depth: u32) -> Vec<String> {
        let count = 3 + self.random.below(3);
        (0..count).map(|_| self.statement(depth)).collect()
    }

    fn statement(&mut self, depth: u32) -> String {
        let variable = self.random.below(VARIABLES);
        if depth == 0 || self.random.below(2) == 0 {
            let value = self.value(3);
            let operator = self.choice(&["=", "+=", "-=", "*="]);
            return format!("    v{variable} {operator} {value};\n");
        }
        let inner = self.statements(depth - 1).concat();
        match self.random.below(4) {
            0 => {
                let condition = self.condition();
                let other = self.statements(0).concat();
                format!("    if all({condition}) {{\n{inner}    }} else {{\n{other}    }}\n")
            }
            1 => {
                // A driver may or may not unroll it.
                let turns = 1 + self.random.below(7);
                let name = format!("i{depth}_{}", self.random.below(1_000_000));
                format!("    for (var {name} = 0u; {name} < {turns}u; {name}++) {{\n{inner}    }}\n")
            }
            2 => {
                let name = format!("n{depth}_{}", self.random.below(1_000_000));
                let turns = self.random.below(7) + 1;
                format!(
                    "    var {name} = arrayLength(&first) % {turns}u + 2u;\n    while {name} > 0u {{\n{inner}        {name}--;\n    }}\n"
                )
            }
            _ => format!(
                "    {{\n        let k = v{variable};\n        p = k;\n{inner}        v{variable} = k * 0.5 + p;\n    }}\n"
            ),
        }
    }

    fn choice(&mut self, choices: &[&'static str]) -> &'static str {
        let index = usize::try_from(self.random.bits()).unwrap_or(0) % choices.len().max(1);
        choices.get(index).copied().unwrap_or("x")
    }

    fn condition(&mut self) -> String {
        let (left, right) = (self.value(1), self.value(1));
        let operator = self.choice(&["<", "<=", ">", ">=", "==", "!="]);
        let negated = if self.random.below(3) == 0 { "!" } else { "" };
        format!("({negated}({left} {operator} {right}))")
    }

    /// An expression of operands, variables and calls.
    fn value(&mut self, depth: u32) -> String {
        match self.random.below(6) {
            0 => format!("v{}", self.random.below(VARIABLES)),
            1 if depth > 0 && self.functions > 0 => {
                let [a, b, c] = [depth - 1; 3].map(|depth| self.value(depth));
                format!("f{}({a}, {b}, {c})", self.random.below(self.functions))
            }
            _ if depth > 0 => {
                let (a, b) = (self.value(depth - 1), self.value(depth - 1));
                self.combined(&a, &b)
            }
            _ => format!("v{}", self.random.below(VARIABLES)),
        }
    }

    /// An expression of the operands alone.
    fn number(&mut self, depth: u32) -> String {
        if depth == 0 {
            return self.choice(&["x", "y", "z", "zero", "tenth", "one", "three", "large"]).to_owned();
        }
        let (a, b) = (self.number(depth - 1), self.number(depth - 1));
        self.combined(&a, &b)
    }

    fn combined(&mut self, a: &str, b: &str) -> String {
        match self.random.below(22) {
            0..4 => format!("({a} + {b})"),
            4..8 => format!("({a} - {b})"),
            8..13 => format!("({a} * {b})"),
            13 => format!("({a} / {b})"),
            14 => format!("sqrt({a})"),
            15 => format!("inverseSqrt({a})"),
            16 => format!("(-{a})"),
            17 => format!("abs({a})"),
            18 => format!("({a} - floor({a}))"),
            19 => {
                let operator = self.choice(&["<", "<=", ">", ">=", "==", "!="]);
                format!("select({a}, {b}, {a} {operator} {b})")
            }
            20 => format!("F(I({a}))"),
            _ => format!("fma({a}, {b}, {a})"),
        }
    }
}
