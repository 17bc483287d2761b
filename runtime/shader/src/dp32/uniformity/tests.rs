use super::{FunctionId, analyze};
use crate::Diagnostic;

const HEAD: &str = "
    @group(0) @binding(0) var<storage, read_write> out: array<u32>;
    @group(0) @binding(1) var<storage, read> input: array<u32>;
    @group(0) @binding(2) var<uniform> n: u32;
    var<workgroup> tile: array<u32, 64>;
    var<workgroup> count: atomic<u32>;
    var<private> state: u32;
    fn put(to: ptr<function, u32>, value: u32) { *to = value; }
    fn divide(a: u32, b: u32) -> u32 { if (b == 0) { return 0; } return a / b; }
    fn sync() { workgroupBarrier(); }
";

/// Analyzes an entry point `main` with `lane` (varying) and `group` (uniform), after the declarations `before`.
fn analyze_body(before: &str, body: &str) -> Result<Vec<String>, Diagnostic> {
    let source = format!(
        "{HEAD}{before}
        @compute @workgroup_size(64)
        fn main(@builtin(local_invocation_index) lane: u32, @builtin(workgroup_id) group: vec3u) {{ {body} }}"
    );
    let module = naga::front::wgsl::parse_str(&source).unwrap();
    let uniformity = analyze(&module).map_err(|refusal| refusal.draw(&source))?;
    let name = |id: FunctionId| match id {
        Some(handle) => module.functions[handle].name.clone().unwrap(),
        None => "main".to_owned(),
    };
    let mut loops: Vec<String> =
        uniformity.uniform_loops.iter().map(|&(id, number)| format!("{} {number}", name(id))).collect();
    loops.sort();
    Ok(loops)
}

fn uniform_loops(before: &str, body: &str) -> Vec<String> {
    analyze_body(before, body).unwrap()
}

fn accepts(body: &str) -> bool {
    analyze_body("", body).is_ok()
}

#[test]
fn conditions_are_uniform_or_not() {
    let uniform = ["n > 3", "group.x == n", "input[group.y] > 2", "workgroupUniformLoad(&tile[n]) > 1", "true"];
    let varying = ["lane > 3", "input[lane] > 3", "out[0] > 3", "tile[0] > 3", "atomicLoad(&count) > 3", "lane < n"];
    for condition in uniform {
        assert!(accepts(&format!("if ({condition}) {{ workgroupBarrier(); }}")), "{condition}");
        assert!(accepts(&format!("while ({condition}) {{ storageBarrier(); }}")), "{condition}");
        assert!(accepts(&format!("if ({condition} && n < 9) {{ sync(); }}")), "{condition}");
    }
    for condition in varying {
        assert!(!accepts(&format!("if ({condition}) {{ workgroupBarrier(); }}")), "{condition}");
        assert!(!accepts(&format!("while ({condition}) {{ storageBarrier(); }}")), "{condition}");
        assert!(!accepts(&format!("if (n < 9 && {condition}) {{ sync(); }}")), "{condition}");
        assert!(!accepts(&format!("if ({condition}) {{ return; }} sync();")), "{condition}");
        assert!(!accepts(&format!("loop {{ if ({condition}) {{ break; }} sync(); }}")), "{condition}");
        assert!(!accepts(&format!("loop {{ if ({condition}) {{ continue; }} sync(); break; }}")), "{condition}");
        assert!(!accepts(&format!("loop {{ sync(); continuing {{ break if {condition}; }} }}")), "{condition}");
        assert!(accepts(&format!("if ({condition}) {{ out[lane] = 1; }} sync();")), "{condition}");
        assert!(accepts(&format!("while ({condition}) {{ out[lane] = 1; }} sync();")), "{condition}");
    }
}

#[test]
fn variables_are_uniform_or_not() {
    assert!(accepts("for (var i = n; i > 0; i >>= 1) { if (lane < i) { tile[lane] += tile[lane + i]; } sync(); }"));
    assert!(!accepts("for (var i = lane; i < n; i += 64) { sync(); }"));
    assert!(!accepts("var x = 0u; if (lane == 0) { x = 1; } if (x == 1) { sync(); }"));
    assert!(!accepts("var x = 0u; while (x < lane) { x += 1; } if (x == 1) { sync(); }"));
    assert!(accepts("var x = vec4u(); x[n & 3] = 7; if (x.y == 7) { sync(); }"));
    assert!(!accepts("var x = vec4u(); x[lane & 3] = 7; if (x.y == 7) { sync(); }"));
    assert!(accepts("state = n; if (state > 1) { sync(); }"));
    assert!(!accepts("if (state > 1) { sync(); } state = lane;"));
}

#[test]
fn calls_are_followed() {
    // One function, called with both kinds of arguments.
    assert!(accepts("out[lane] = divide(lane, 3); for (var t = 0u; t < divide(n, 16); t++) { sync(); }"));
    assert!(!accepts("if (divide(lane, 3) == 1) { sync(); }"));
    assert!(accepts("var x: u32; var y: u32; put(&x, n); put(&y, lane); if (x > 1) { sync(); }"));
    assert!(!accepts("var x: u32; var y: u32; put(&x, n); put(&y, lane); if (y > 1) { sync(); }"));
    assert!(!accepts("var x: u32; if (lane > 3) { put(&x, n); } if (x > 1) { sync(); }"));
    // A return in a function does not affect its caller's flow.
    let early = "fn early(c: bool) { if (c) { return; } out[0] = 1; }";
    assert!(analyze_body(early, "early(lane > 3); sync();").is_ok());
    let late = "fn late(c: bool) { if (c) { return; } sync(); }";
    assert!(analyze_body(late, "late(n > 3);").is_ok());
    assert!(analyze_body(late, "late(lane > 3);").is_err());
    assert!(analyze_body(late, "late(n > 3); if (lane > 3) { late(n > 3); }").is_err());
    // Two pointers to one variable.
    let both = "fn both(a: ptr<function, u32>, b: ptr<function, u32>, v: u32) { *a = v; if (*b > 1) { sync(); } }";
    assert!(analyze_body(both, "var x: u32; both(&x, &x, lane);").is_err());
    let global = "fn global(a: ptr<private, u32>, v: u32) { *a = v; }";
    assert!(analyze_body(global, "global(&state, lane); if (state > 1) { sync(); }").is_err());
}

#[test]
fn switches_end_where_their_cases_end() {
    let cases = "case 0: { if (lane > 3) { break; } } case 1, 2: { out[lane] = 3; } default: { }";
    assert!(accepts(&format!("switch (lane) {{ {cases} }} sync();")));
    assert!(!accepts("switch (lane) { case 0: { return; } default: { } } sync();"));
    assert!(!accepts("loop { switch (lane) { case 0: { continue; } default: { } } sync(); break; }"));
    assert!(accepts("switch (n) { case 0: { return; } default: { sync(); } } sync();"));
    assert!(!accepts("switch (n) { case 0: { if (lane > 1) { break; } sync(); } default: { } }"));
}

#[test]
fn a_variable_is_another_from_a_whole_store_on() {
    let turn = "loop { if (i >= 4) { break; } sync(); i++; }";
    assert!(accepts(&format!("var i = lane; out[lane] = i; i = 0; {turn}")));
    assert!(accepts(&format!("var i = lane; {{ out[lane] = i; i = n; }} let p = &i; *p += 1; {turn} i = lane;")));
    assert!(accepts("var a = array(lane, 2); a = array(n, n); for (var k = 0u; k < a[1]; k++) { sync(); }"));
    assert!(accepts("var i = lane; out[i] = 1; i = n; put(&i, n); if (i > 3) { sync(); }"));
    for body in [
        format!("var i = 0u; if (lane > 3) {{ i = lane; }} {turn}"),
        format!("var i = lane; if (n > 3) {{ i = 0; }} {turn}"),
        format!("var i = lane; loop {{ i = 0; break; }} {turn}"),
        format!("var i = 0u; {turn} i = lane; {turn}"),
        format!("var i = 0u; i = lane; let p = &i; {turn}"),
        format!("var i = lane; let j = i; i = 0; {turn} if (j > 3) {{ sync(); }}"),
        format!("var i = lane; i = 0; put(&i, lane); {turn}"),
        format!("var i = n; i = i + lane; {turn}"),
        format!("if (lane > 3) {{ return; }} var i = lane; i = 0; {turn}"),
        "var a = array(lane, 2); a[0] = n; for (var k = 0u; k < a[0]; k++) { sync(); }".to_owned(),
        "var i = 0u; for (var k = 0u; k < n; k++) { if (i > 3) { sync(); } i = lane; }".to_owned(),
    ] {
        assert!(!accepts(&body), "{body}");
    }
}

#[test]
fn loops_are_numbered_in_the_order_of_the_text() {
    let body = "
        for (var i = 0u; i < n; i++) {
            for (var j = 0u; j < lane; j++) { out[j] = i; }
            for (var j = 0u; j < 4; j++) { out[j] = i; }
        }
        loop { continuing { for (var j = 0u; j < 3; j++) { out[j] = 1; } break if true; } }
    ";
    assert_eq!(uniform_loops("", body), ["main 0", "main 2", "main 3", "main 4"]);
}

#[test]
fn a_loop_is_uniform_only_if_it_is_in_every_call() {
    let turn = "fn turn(k: u32) { for (var j = 0u; j < k; j++) { out[j] = 1; } }";
    assert_eq!(uniform_loops(turn, "turn(n);"), ["turn 0"]);
    assert!(uniform_loops(turn, "turn(n); turn(lane);").is_empty());
    assert!(uniform_loops(turn, "turn(n); if (lane == 0) { turn(n); }").is_empty());
    assert!(uniform_loops(turn, "").is_empty());
    let search = "fn search(k: u32) -> u32 { for (var j = 0u; ; j++) { if (j == k) { return j; } } }";
    assert!(uniform_loops(search, "out[0] = search(lane);").is_empty());
    assert_eq!(uniform_loops(search, "out[0] = search(n);"), ["search 0"]);
}

#[test]
fn inputs_in_a_struct_are_told_apart() {
    let input = "struct Input { @builtin(local_invocation_index) lane: u32, @builtin(workgroup_id) group: vec3u }
        @compute @workgroup_size(64)";
    let accepts = |condition: &str| {
        let source = format!("{input} fn main(at: Input) {{ if ({condition}) {{ workgroupBarrier(); }} }}");
        analyze(&naga::front::wgsl::parse_str(&source).unwrap()).is_ok()
    };
    assert!(accepts("at.group.x > 1"));
    assert!(!accepts("at.lane > 1"));
}

#[test]
fn a_refusal_shows_barrier_branch_call_and_source() {
    let late = "fn late(c: bool) { if (c) { return; } sync(); }";
    let message = analyze_body(late, "late(\nlane > 3);").unwrap_err().message;
    for part in ["fn sync()", "by way of this call", "lane: u32", "help: put only the loads and stores"] {
        assert!(message.contains(part), "{part}: {message}");
    }
}

/// More private variables in a chain than there are rounds: the rest count as varying.
#[test]
fn long_chains_of_private_variables_end() {
    let names: Vec<String> = (0..40).map(|number| format!("p{number}")).collect();
    let declared: String = names.iter().map(|name| format!("var<private> {name}: u32;")).collect();
    let chain: String = names.windows(2).map(|pair| pair.join(" = ") + ";").collect();
    let check = |last: &str| analyze_body(&declared, &format!("{chain} p39 = {last}; if (p0 > 1) {{ sync(); }}"));
    assert!(check("n").is_ok());
    assert!(check("lane").is_err());
}
