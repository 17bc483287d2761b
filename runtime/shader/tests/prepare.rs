//! What `prepare` accepts, what it refuses, and how it says so.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test's helpers panic like the test")]

use isobit_shader::{BufferBindingType, Diagnostic, Kernel, KernelError, MAX_WGSL_BYTES, Profile};

fn prepare(wgsl: &str) -> Result<Kernel, Diagnostic> {
    isobit_shader::prepare(wgsl, Profile::Native).map_err(KernelError::diagnostic)
}

const DOUBLE: &str = "
struct Shape { count: u32, scale: f32 }
@group(0) @binding(0) var<storage, read> source: array<f32>;
@group(0) @binding(1) var<storage, read_write> target_: array<vec4f>;
@group(1) @binding(0) var<uniform> shape: Shape;
@group(2) @binding(7) var<storage, read_write> unused: array<u32>;
var<workgroup> tile: array<f32, 65>;
@compute @workgroup_size(8, 4)
fn double(@builtin(global_invocation_id) id: vec3u) {
    tile[0] = source[id.x];
    target_[id.x] = vec4f(2.0 * shape.scale * tile[0]);
}
";

fn message(wgsl: &str) -> String {
    prepare(wgsl).unwrap_err().message
}

#[test]
fn an_entry_point_tells_what_it_binds() {
    let kernel = prepare(DOUBLE).unwrap();
    let entry = kernel.entry_point(None).unwrap();
    assert_eq!(entry.name, "double");
    assert_eq!(entry.workgroup_size, [8, 4, 1]);
    assert_eq!(entry.workgroup_bytes, 272);
    let bindings: Vec<_> = entry.bindings.iter().map(|b| (b.group, b.binding, b.ty, b.min_size)).collect();
    assert_eq!(
        bindings,
        [
            (0, 0, BufferBindingType::ReadOnlyStorage, 4),
            (0, 1, BufferBindingType::Storage, 16),
            (1, 0, BufferBindingType::Uniform, 8),
        ]
    );
}

#[test]
fn a_syntax_error_is_shown_with_line_and_caret() {
    let error = prepare("fn f() {\n    let x = ;\n}\n").unwrap_err();
    let location = error.location.unwrap();
    assert_eq!((location.line, location.column), (2, 13));
    assert_eq!((location.offset, location.length), (21, 1));
    assert!(error.message.contains("    let x = ;"), "{error}");
    assert!(error.message.contains('^'), "{error}");
    assert!(!error.message.contains('\u{1b}'), "no colours: {error}");
}

#[test]
fn a_type_error_is_shown_with_line_and_caret() {
    let error = prepare("@compute @workgroup_size(1)\nfn f() { var x: u32 = 1.5; }\n").unwrap_err();
    assert_eq!(error.location.unwrap().line, 2);
    assert!(error.message.contains('^'), "{error}");
}

#[test]
fn a_validation_error_is_shown_with_line_and_caret() {
    let error = prepare("var<private> a: i32;\nfn f() -> i32 {\n  if (a > 1) { return 1; }\n}\n").unwrap_err();
    assert!(error.location.is_some(), "{error:?}");
    assert!(error.message.contains('^'), "{error}");
}

#[test]
fn columns_count_bytes() {
    let error = prepare("/* ü */ fn f() { let x = ; }").unwrap_err();
    let location = error.location.unwrap();
    assert_eq!((location.line, location.column, location.offset), (1, 27, 26));
}

#[test]
fn what_the_interface_lacks_is_refused_where_it_is_declared() {
    let texture = message("@group(0) @binding(0) var t: texture_2d<f32>;");
    assert!(texture.contains("textures and samplers") && texture.contains('^'), "{texture}");
    let group = message("\n@group(3) @binding(0) var<storage> a: array<u32>;");
    assert!(group.contains("@group(3) is not available"), "{group}");
    assert!(message("enable f16; var<private> h: f16;").contains("f16"));
    let subgroups = "@compute @workgroup_size(4) fn f() { let x = subgroupAdd(1u); }";
    assert!(prepare(subgroups).is_err());
    assert!(message(&" ".repeat(MAX_WGSL_BYTES + 1)).contains("1048576"));
}

#[test]
fn an_entry_point_is_found_by_name_or_because_it_is_alone() {
    let two = prepare("@compute @workgroup_size(1) fn a() {} @compute @workgroup_size(1) fn b() {}").unwrap();
    assert_eq!(two.entry_point(Some("b")).unwrap().name, "b");
    assert!(two.entry_point(None).unwrap_err().to_string().contains("a, b"));
    assert!(two.entry_point(Some("c")).unwrap_err().to_string().contains("a, b"));
    let none = prepare("fn f() {}").unwrap();
    assert!(
        none.entry_point(None)
            .unwrap_err()
            .to_string()
            .contains("no compute entry point; mark a function with `@compute")
    );
    // Entry points of other stages do not count.
    let vertex = prepare("@vertex fn v() -> @builtin(position) vec4f { return vec4f(); }").unwrap();
    assert_eq!(vertex.entry_point_names().len(), 0);
}

fn overridable() -> Kernel {
    prepare(
        "override width: u32 = 4; @id(7) override scale: f32;
        var<workgroup> tile: array<f32, width>;
        @group(0) @binding(0) var<storage, read_write> out: array<f32>;
        @compute @workgroup_size(width) fn main() { tile[0] = scale; out[0] = tile[0]; }",
    )
    .unwrap()
}

#[test]
fn overrides_are_resolved_by_name_and_by_id() {
    let kernel = overridable();
    let constants = [("width".to_owned(), 32.0), ("7".to_owned(), 0.5)];
    let resolved = kernel.resolve(None, &constants).unwrap();
    let entry = resolved.entry_point();
    assert_eq!(entry.workgroup_size, [32, 1, 1]);
    assert_eq!(entry.workgroup_bytes, 128);
}

#[test]
fn a_wrong_override_is_named() {
    let refused = |constants: &[(&str, f64)]| {
        let constants: Vec<_> = constants.iter().map(|&(n, v)| (n.to_owned(), v)).collect();
        overridable().resolve(None, &constants).unwrap_err().to_string()
    };
    assert_eq!(refused(&[("width", 4.0)]), "the override `7` (scale) has no value");
    let unknown = "the shader has no override `height`; it has `width`, `7` (scale)";
    assert_eq!(refused(&[("height", 4.0), ("7", 1.0)]), unknown);
    assert_eq!(refused(&[("scale", 4.0)]), "the override `scale` has an @id; give its value to `7`");
    let unfit =
        "the value NaN of the override `7` does not fit its type, f32; give it a number between -3.4e38 and 3.4e38";
    assert_eq!(refused(&[("7", f64::NAN)]), unfit);
    assert!(refused(&[("7", 1.0), ("7", 2.0)]).contains("twice"));
    assert!(
        refused(&[("7", 1.0), ("width", -1.0)]).ends_with("fit its type, u32; give it a number from 0 to 4294967295")
    );
    let empty = refused(&[("7", 1.0), ("width", 0.0)]);
    assert!(empty.contains("a side of the workgroup is not positive") && empty.contains('^'), "{empty}");
    let large = refused(&[("7", 1.0), ("width", 300_000.0)]);
    assert!(large.contains("note: Workgroup size is out of range") && large.contains("help: "), "{large}");
}

#[test]
fn what_is_wrong_why_and_what_to_write_instead_come_apart() {
    let unaligned = "struct S { a: array<f32, 4> }\n@group(0) @binding(0) var<uniform> x: S;";
    let error = prepare(unaligned).unwrap_err();
    assert_eq!(error.reason, "Global variable [0] 'x' is invalid");
    assert!(error.notes.last().unwrap().contains("not a multiple of the required alignment 16"), "{error:?}");
    assert!(error.help.as_deref().unwrap().contains("use `var<storage>`"), "{error:?}");
    assert!(error.message_in("a b.wgsl").contains("┌─ a b.wgsl:2:23\n"), "{error}");
    let immediate = prepare("var<immediate> x: u32;").unwrap_err();
    assert!(immediate.help.as_deref().unwrap().contains("var<uniform>"), "{immediate:?}");
    let without_return = prepare("fn f(x: i32) -> i32 { if x > 1 { return 1; } }").unwrap_err();
    assert!(without_return.help.as_deref().unwrap().contains("`return`"), "{without_return:?}");
    let syntax = prepare("fn f() { let x = ; }").unwrap_err();
    assert!(!syntax.reason.contains('\n') && syntax.help.is_none(), "{syntax:?}");
}

/// 1 MiB of the most deeply nested text that each construct allows: an answer, never an overflow.
#[test]
fn hostile_nesting_gets_an_answer() {
    let fill = |head: &str, unit: &str, tail: &str| {
        let room = MAX_WGSL_BYTES - head.len() - tail.len();
        format!("{head}{}{tail}", unit.repeat(room / unit.len()))
    };
    let too_deep = [
        fill("const a = 1", "+1", ";"),
        fill("fn f() { let x = ", "-", "1; }"),
        fill("fn f() { let x = ", "(", "1; }"),
        fill("fn f(p: vec4f) -> f32 { return p", ".xyzw", ".x; }"),
        fill("fn f() -> f32 { let p = vec4f(); return ", "max(1,2)+", "p.x; }"),
        fill("const a = array(1)", "[0]", ";"),
        fill("var<private> a: ", "array<", "u32"),
        fill("fn f() ", "{", "}"),
        fill("fn f() { ", "if true {", "}"),
        fill("fn f() { ", "loop {", "}"),
        fill("/*", "/*", ""),
    ];
    for source in &too_deep {
        let head: String = source.chars().take(40).collect();
        assert!(prepare(source).is_err(), "{head}");
    }
    let longest_chain = format!("const a = 1{};", "+1".repeat(4000));
    assert!(prepare(&longest_chain).is_ok());
    let comment = format!("//{}\nconst a = 1;", "-".repeat(100_000));
    assert!(prepare(&comment).is_ok());
}

/// A short name for each number, so that many declarations fit.
fn name(mut number: usize) -> String {
    let mut name = String::from("z");
    while number > 0 {
        name.push(char::from(b"abcdefghijklmnopqrstuvwxyz"[number % 26]));
        number /= 26;
    }
    name
}

#[test]
fn long_chains_of_declarations_get_an_answer() {
    let mut chain = String::new();
    let mut number = 0;
    while number < 10_000 {
        chain += &format!("const {}={};", name(number), name(number + 1));
        number += 1;
    }
    chain += &format!("const {}=1;", name(number));
    assert!(prepare(&chain).is_ok());
}

#[test]
fn branches_nest_only_so_deep() {
    let branches = |count: usize| {
        let more = "else if x == 3 { return 4; }".repeat(count);
        prepare(&format!("fn f(x: i32) -> i32 {{ if x == 1 {{ return 2; }} {more} return 1; }}"))
    };
    assert!(branches(250).is_ok());
    let error = branches(1000).unwrap_err();
    assert!(error.message.contains("nest") && error.message.contains('^'), "{error}");
    let error = branches(30_000).unwrap_err();
    assert!(error.message.contains("too long"), "{error}");
}
