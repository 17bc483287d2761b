struct dp_params { zero: u32 }
@group(0) @binding(0) var<storage, read_write> dp_status: array<f32>;
var<private> varying_fuel: u32;
fn dp_sin(x: f32) -> f32 { return sin(x); }
fn exited(system_params: f32) -> f32 { var trap = system_params; loop { if trap > 1.0 { break; } trap += 0.5; } return trap; }
@compute @workgroup_size(1) fn dp_main() { dp_status[0] = dp_sin(exited(0.0)); varying_fuel = 1u; }
