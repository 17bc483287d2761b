//! What optimizers are known to break.

use crate::runner::{Form, Gpu, Program, interpret, prepare};

#[test]
fn a_device_that_leaves_a_loop_early_says_so() {
    let program = Program {
        wgsl: "@group(0) @binding(0) var<storage, read_write> turns: array<u32>;
            @compute @workgroup_size(1) fn main() {
                for (var i = 0u; i < 300u; i++) { for (var j = 0u; j < 300u; j++) { turns[0]++; } }
            }"
        .to_owned(),
        buffers: vec![vec![0; 4]],
        workgroups: [1, 1, 1],
        ..Program::default()
    };
    let kernel = prepare(&program).unwrap();
    let expected = interpret(&kernel, &program).unwrap();
    assert_eq!(expected.buffers[0], 90_000_u32.to_le_bytes());
    for gpu in Gpu::all() {
        let found = gpu.run(&kernel, &program, Form::Dp32(isobit_shader::Tier::A)).unwrap();
        assert!(found.status.left_loop || found == expected, "{}: {:?}", gpu.name, found.status);
        assert_eq!(found.status.left_loop, gpu.name.contains("llvmpipe"), "{}: {:?}", gpu.name, found.status);
    }
}
