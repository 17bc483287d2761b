;; The workload that runs a kernel alone: what `isobit run kernel.wgsl` submits beside the kernel. It is written by hand, so that nobody who has
;; only a shader needs a compiler for WebAssembly, and no binary lies in the repository.
;;
;; It takes: input `kernel`, the WGSL; an input for each binding with contents, called as the binding, GROUP.BINDING; the parameters
;;   workgroups   64,1,1
;;   entry-point  a name; the only one there is if it is not set
;;   overrides    width=64 scale=1.5e-3
;;   zeros        0.1=4096 0.2=64: bindings whose buffers begin as zeros, and their bytes
;;   outputs      0.1 0.2: bindings whose buffers become outputs of that name when the kernel has run
;;
;; Memory: 8 the result of `run`, 32 what the host returns, 1024 texts, 4096 a message, 8192 bindings (group, binding, buffer), 12288 the entries of a bind
;; group, 16384 overrides, 24576 what one call hands over, and from 65536 on what the host puts there.
(module
  (@custom "isobit:takes"
    "param workgroups how many run: X,Y,Z\n"
    "param entry-point of the kernel; the only one if it is not set\n"
    "param overrides values for overrides: NAME=VALUE NAME=VALUE\n"
    "param zeros bindings that begin as zeros, and their bytes: GROUP.BINDING=BYTES\n"
    "param outputs bindings that become outputs: GROUP.BINDING\n")
  (import "isobit:compute/io@0.1.0" "get-parameter" (func $get-parameter (param i32 i32 i32)))
  (import "isobit:compute/io@0.1.0" "input-names" (func $input-names (param i32)))
  (import "isobit:compute/io@0.1.0" "[static]input.open" (func $input.open (param i32 i32 i32)))
  (import "isobit:compute/io@0.1.0" "[method]input.size" (func $input.size (param i32) (result i64)))
  (import "isobit:compute/io@0.1.0" "[method]input.read" (func $input.read (param i32 i64 i64 i32)))
  (import "isobit:compute/io@0.1.0" "[static]output.create" (func $output.create (param i32 i32 i32)))
  (import "isobit:compute/io@0.1.0" "[resource-drop]output" (func $output.drop (param i32)))
  (import "isobit:compute/gpu@0.1.0" "[static]buffer.create" (func $buffer.create (param i64 i32 i32)))
  (import "isobit:compute/gpu@0.1.0" "[method]buffer.size" (func $buffer.size (param i32) (result i64)))
  (import "isobit:compute/gpu@0.1.0" "[method]buffer.load-from" (func $buffer.load-from (param i32 i64 i32 i64 i64 i32)))
  (import "isobit:compute/gpu@0.1.0" "[method]buffer.append-to" (func $buffer.append-to (param i32 i64 i64 i32 i32)))
  (import "isobit:compute/gpu@0.1.0" "[static]shader-module.create" (func $shader-module.create (param i32 i32 i32)))
  (import "isobit:compute/gpu@0.1.0" "[static]compute-pipeline.create"
    (func $pipeline.create (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)))
  (import "isobit:compute/gpu@0.1.0" "[method]compute-pipeline.get-bind-group-layout" (func $pipeline.layout (param i32 i32 i32)))
  (import "isobit:compute/gpu@0.1.0" "[static]bind-group.create" (func $bind-group.create (param i32 i32 i32 i32)))
  (import "isobit:compute/gpu@0.1.0" "[constructor]command-encoder" (func $encoder (result i32)))
  (import "isobit:compute/gpu@0.1.0" "[method]command-encoder.begin-compute-pass" (func $encoder.begin (param i32) (result i32)))
  (import "isobit:compute/gpu@0.1.0" "[static]command-encoder.finish" (func $encoder.finish (param i32 i32)))
  (import "isobit:compute/gpu@0.1.0" "[method]compute-pass.set-pipeline" (func $pass.set-pipeline (param i32 i32)))
  (import "isobit:compute/gpu@0.1.0" "[method]compute-pass.set-bind-group" (func $pass.set-bind-group (param i32 i32 i32 i32 i32)))
  (import "isobit:compute/gpu@0.1.0" "[method]compute-pass.dispatch-workgroups" (func $pass.dispatch (param i32 i32 i32 i32)))
  (import "isobit:compute/gpu@0.1.0" "[resource-drop]compute-pass" (func $pass.drop (param i32)))
  (import "isobit:compute/gpu@0.1.0" "submit" (func $submit (param i32 i32 i32)))

  (memory (export "memory") 1)

  (data (i32.const 1024) "kernel")
  (data (i32.const 1040) "workgroups")
  (data (i32.const 1056) "entry-point")
  (data (i32.const 1072) "overrides")
  (data (i32.const 1088) "zeros")
  (data (i32.const 1104) "outputs")
  (data (i32.const 1120) "limit ")
  (data (i32.const 1136) " exceeded: ")
  (data (i32.const 1152) " asked for, at most ")
  (data (i32.const 1184) " allowed")
  (data (i32.const 1200) "out of device memory: ")
  (data (i32.const 1232) " in use of ")
  (data (i32.const 1248) "the job has no input `")
  (data (i32.const 1280) "` cannot be an output")
  (data (i32.const 1312) "` is not as this workload takes it")
  (data (i32.const 1360) "the parameter or input `")
  (data (i32.const 1392) " asked for, ")

  (global $next (mut i32) (i32.const 65536))
  ;; The text that is read, and where.
  (global $at (mut i32) (i32.const 0))
  (global $end (mut i32) (i32.const 0))
  ;; Whether it was not as expected.
  (global $bad (mut i32) (i32.const 0))
  ;; The last place that was read.
  (global $group (mut i32) (i32.const 0))
  (global $binding (mut i32) (i32.const 0))
  (global $bindings (mut i32) (i32.const 0))
  (global $pipeline (mut i32) (i32.const 0))
  ;; Why it failed.
  (global $why (mut i32) (i32.const 4096))
  (global $why-length (mut i32) (i32.const 0))

  (func (export "cabi_realloc") (param $old i32) (param $old-size i32) (param $align i32) (param $size i32) (result i32)
    (local $new i32) (local $pages i32)
    (local.set $new (i32.and
      (i32.add (global.get $next) (i32.sub (local.get $align) (i32.const 1)))
      (i32.sub (i32.const 0) (local.get $align))))
    (global.set $next (i32.add (local.get $new) (local.get $size)))
    (local.set $pages (i32.shr_u (i32.add (global.get $next) (i32.const 65535)) (i32.const 16)))
    (if (i32.gt_u (local.get $pages) (memory.size)) (then
      (if (i32.eq (memory.grow (i32.sub (local.get $pages) (memory.size))) (i32.const -1)) (then unreachable))))
    (memory.copy (local.get $new) (local.get $old) (local.get $old-size))
    (local.get $new))

  ;; --- messages

  (func $say (param $text i32) (param $length i32)
    (if (i32.gt_u (i32.add (global.get $why-length) (local.get $length)) (i32.const 4096)) (then (return)))
    (memory.copy (i32.add (i32.const 4096) (global.get $why-length)) (local.get $text) (local.get $length))
    (global.set $why-length (i32.add (global.get $why-length) (local.get $length))))

  (func $say-number (param $number i64)
    (if (i64.ge_u (local.get $number) (i64.const 10)) (then
      (call $say-number (i64.div_u (local.get $number) (i64.const 10)))))
    (i32.store8 (i32.const 24576) (i32.add (i32.const 48) (i32.wrap_i64 (i64.rem_u (local.get $number) (i64.const 10)))))
    (call $say (i32.const 24576) (i32.const 1)))

  ;; The text that the host has returned with an error.
  (func $say-returned (call $say (i32.load (i32.const 48)) (i32.load (i32.const 52))))

  (func $say-limit
    (call $say (i32.const 1120) (i32.const 6))
    (call $say-returned)
    (call $say (i32.const 1136) (i32.const 11))
    (call $say-number (i64.load (i32.const 64)))
    (call $say (i32.const 1152) (i32.const 20))
    (call $say-number (i64.load (i32.const 56)))
    (call $say (i32.const 1184) (i32.const 8)))

  ;; Whether the host has returned an error of `gpu`, which is noted.
  (func $gpu-failed (result i32)
    (if (i32.eqz (i32.load8_u (i32.const 32))) (then (return (i32.const 0))))
    (block $done
      (block $limit
        (block $memory
          (block $validation (br_table $validation $memory $limit (i32.load8_u (i32.const 40))))
          (global.set $why (i32.load (i32.const 48)))
          (global.set $why-length (i32.load (i32.const 52)))
          (br $done))
        (call $say (i32.const 1200) (i32.const 22))
        (call $say-number (i64.load (i32.const 48)))
        (call $say (i32.const 1392) (i32.const 12))
        (call $say-number (i64.load (i32.const 56)))
        (call $say (i32.const 1232) (i32.const 11))
        (call $say-number (i64.load (i32.const 64)))
        (br $done))
      (call $say-limit))
    (i32.const 1))

  ;; Whether the host has returned an error of `io`, which is noted.
  (func $io-failed (result i32)
    (if (i32.eqz (i32.load8_u (i32.const 32))) (then (return (i32.const 0))))
    (block $done
      (if (i32.eq (i32.load8_u (i32.const 40)) (i32.const 3)) (then (call $say-limit) (br $done)))
      (if (i32.eqz (i32.load8_u (i32.const 40))) (then
        (call $say (i32.const 1248) (i32.const 22))
        (call $say-returned)
        (call $say (i32.const 1269) (i32.const 1))
        (br $done)))
      (call $say (i32.const 1269) (i32.const 1))
      (call $say-returned)
      (call $say (i32.const 1280) (i32.const 21)))
    (i32.const 1))

  ;; Notes that a parameter or input cannot be read.
  (func $not-as-taken (param $name i32) (param $length i32) (result i32)
    (call $say (i32.const 1360) (i32.const 24))
    (call $say (local.get $name) (local.get $length))
    (call $say (i32.const 1312) (i32.const 34))
    (i32.const 1))

  ;; --- reading text

  ;; Begins to read a parameter. Whether the job sets it.
  (func $parameter (param $name i32) (param $length i32) (result i32)
    (call $get-parameter (local.get $name) (local.get $length) (i32.const 32))
    (if (i32.eqz (i32.load8_u (i32.const 32))) (then (return (i32.const 0))))
    (call $read (i32.load (i32.const 36)) (i32.load (i32.const 40)))
    (i32.const 1))

  (func $read (param $text i32) (param $length i32)
    (global.set $at (local.get $text))
    (global.set $end (i32.add (local.get $text) (local.get $length)))
    (global.set $bad (i32.const 0)))

  (func $is-left (result i32) (i32.lt_u (global.get $at) (global.get $end)))

  ;; The next byte; 0 at the end.
  (func $peek (result i32)
    (if (result i32) (call $is-left) (then (i32.load8_u (global.get $at))) (else (i32.const 0))))

  ;; Reads one byte if it is this one. Whether it was.
  (func $take (param $byte i32) (result i32)
    (if (i32.ne (call $peek) (local.get $byte)) (then (return (i32.const 0))))
    (global.set $at (i32.add (global.get $at) (i32.const 1)))
    (i32.const 1))

  (func $need (param $byte i32)
    (if (i32.eqz (call $take (local.get $byte))) (then (global.set $bad (i32.const 1)))))

  (func $digit-follows (result i32) (i32.lt_u (i32.sub (call $peek) (i32.const 48)) (i32.const 10)))

  ;; Appends the digits that follow to a number.
  (func $digits (param $number i64) (result i64)
    (loop $more
      (if (call $digit-follows) (then
        (if (i64.gt_u (local.get $number) (i64.const 1000000000000000000)) (then (global.set $bad (i32.const 1))))
        (local.set $number (i64.add
          (i64.mul (local.get $number) (i64.const 10))
          (i64.extend_i32_u (i32.sub (call $peek) (i32.const 48)))))
        (global.set $at (i32.add (global.get $at) (i32.const 1)))
        (br $more))))
    (local.get $number))

  (func $whole (result i64)
    (if (i32.eqz (call $digit-follows)) (then (global.set $bad (i32.const 1))))
    (call $digits (i64.const 0)))

  (func $whole-u32 (result i32)
    (local $number i64)
    (local.set $number (call $whole))
    (if (i64.gt_u (local.get $number) (i64.const 0xffffffff)) (then (global.set $bad (i32.const 1))))
    (i32.wrap_i64 (local.get $number)))

  ;; A number such as -1.5e-3. A whole number up to 2^53 times or divided by a power of ten up to 10^22 is rounded once, and so correctly
  ;; (Clinger 1990); what has more digits is not taken.
  (func $decimal (result f64)
    (local $is-negative i32) (local $number i64) (local $point i32) (local $exponent i32) (local $value f64) (local $power f64)
    (local.set $is-negative (call $take (i32.const 45)))
    (local.set $number (call $whole))
    (if (call $take (i32.const 46)) (then
      (local.set $point (global.get $at))
      (local.set $number (call $digits (local.get $number)))
      (local.set $exponent (i32.sub (local.get $point) (global.get $at)))))
    (if (call $take (i32.const 101)) (then
      (if (call $take (i32.const 45))
        (then (local.set $exponent (i32.sub (local.get $exponent) (call $whole-u32))))
        (else (local.set $exponent (i32.add (local.get $exponent) (call $whole-u32)))))))
    (if (i32.or
      (i64.gt_u (local.get $number) (i64.const 9007199254740992))
      (i32.gt_u (i32.add (local.get $exponent) (i32.const 22)) (i32.const 44)))
      (then (global.set $bad (i32.const 1)) (return (f64.const 0))))
    (local.set $value (f64.convert_i64_u (local.get $number)))
    (local.set $power (f64.const 1))
    (local.set $point (select
      (i32.sub (i32.const 0) (local.get $exponent)) (local.get $exponent) (i32.lt_s (local.get $exponent) (i32.const 0))))
    (loop $more
      (if (local.get $point) (then
        (local.set $power (f64.mul (local.get $power) (f64.const 10)))
        (local.set $point (i32.sub (local.get $point) (i32.const 1)))
        (br $more))))
    (local.set $value (if (result f64) (i32.lt_s (local.get $exponent) (i32.const 0))
      (then (f64.div (local.get $value) (local.get $power)))
      (else (f64.mul (local.get $value) (local.get $power)))))
    (if (result f64) (local.get $is-negative) (then (f64.neg (local.get $value))) (else (local.get $value))))

  ;; Reads GROUP.BINDING.
  (func $place
    (global.set $group (call $whole-u32))
    (call $need (i32.const 46))
    (global.set $binding (call $whole-u32)))

  ;; Between two items of a list there is a space.
  (func $next-item (if (call $is-left) (then (call $need (i32.const 32)))))

  ;; --- the kernel

  (func $compile (result i32)
    (local $input i32) (local $module i32) (local $entry i32) (local $entry-length i32) (local $has-entry i32)
    (local $overrides i32) (local $override i32)
    (call $input.open (i32.const 1024) (i32.const 6) (i32.const 32))
    (if (call $io-failed) (then (return (i32.const 1))))
    (local.set $input (i32.load (i32.const 40)))
    (call $input.read (local.get $input) (i64.const 0) (call $input.size (local.get $input)) (i32.const 32))
    (call $shader-module.create (i32.load (i32.const 32)) (i32.load (i32.const 36)) (i32.const 32))
    (if (call $gpu-failed) (then (return (i32.const 1))))
    (local.set $module (i32.load (i32.const 40)))
    (if (call $parameter (i32.const 1072) (i32.const 9)) (then
      (loop $more
        (if (i32.and (call $is-left) (i32.eqz (global.get $bad))) (then
          (local.set $override (i32.add (i32.const 16384) (i32.mul (local.get $overrides) (i32.const 16))))
          (i32.store (local.get $override) (global.get $at))
          (block $named (loop $name
            (br_if $named (i32.eqz (call $is-left)))
            (br_if $named (i32.eq (call $peek) (i32.const 61)))
            (global.set $at (i32.add (global.get $at) (i32.const 1)))
            (br $name)))
          (i32.store offset=4 (local.get $override) (i32.sub (global.get $at) (i32.load (local.get $override))))
          (call $need (i32.const 61))
          (f64.store offset=8 (local.get $override) (call $decimal))
          (call $next-item)
          (local.set $overrides (i32.add (local.get $overrides) (i32.const 1)))
          (if (i32.ge_u (local.get $overrides) (i32.const 512)) (then (global.set $bad (i32.const 1))))
          (br $more))))
      (if (global.get $bad) (then (return (call $not-as-taken (i32.const 1072) (i32.const 9)))))))
    (if (call $parameter (i32.const 1056) (i32.const 11)) (then
      (local.set $has-entry (i32.const 1))
      (local.set $entry (global.get $at))
      (local.set $entry-length (i32.sub (global.get $end) (global.get $at)))))
    (call $pipeline.create
      (local.get $module)
      (local.get $has-entry) (local.get $entry) (local.get $entry-length)
      (i32.const 0) (i32.const 0) (i32.const 0)
      (i32.const 16384) (local.get $overrides)
      (i32.const 32))
    (if (call $gpu-failed) (then (return (i32.const 1))))
    (global.set $pipeline (i32.load (i32.const 40)))
    (i32.const 0))

  ;; --- buffers

  ;; The buffer of the last place that was read; -1 if it has none.
  (func $buffer-of-place (result i32)
    (local $at i32)
    (local.set $at (i32.const 8192))
    (block $none (loop $more
      (br_if $none (i32.ge_u (local.get $at) (i32.add (i32.const 8192) (i32.mul (global.get $bindings) (i32.const 12)))))
      (if (i32.and
        (i32.eq (i32.load (local.get $at)) (global.get $group))
        (i32.eq (i32.load offset=4 (local.get $at)) (global.get $binding)))
        (then (return (i32.load offset=8 (local.get $at)))))
      (local.set $at (i32.add (local.get $at) (i32.const 12)))
      (br $more)))
    (i32.const -1))

  ;; Makes a buffer for the last place that was read, which may be bound in any way. A place has one at most.
  (func $make-buffer (param $size i64) (result i32)
    (local $at i32)
    (if (i32.or (i32.ge_u (global.get $bindings) (i32.const 128)) (i32.ne (call $buffer-of-place) (i32.const -1)))
      (then (global.set $bad (i32.const 1)) (return (i32.const 0))))
    (call $buffer.create (local.get $size) (i32.const 3) (i32.const 32))
    (if (call $gpu-failed) (then (return (i32.const 1))))
    (local.set $at (i32.add (i32.const 8192) (i32.mul (global.get $bindings) (i32.const 12))))
    (i32.store (local.get $at) (global.get $group))
    (i32.store offset=4 (local.get $at) (global.get $binding))
    (i32.store offset=8 (local.get $at) (i32.load (i32.const 40)))
    (global.set $bindings (i32.add (global.get $bindings) (i32.const 1)))
    (i32.const 0))

  (func $make-zeros (result i32)
    (local $size i64)
    (if (i32.eqz (call $parameter (i32.const 1088) (i32.const 5))) (then (return (i32.const 0))))
    (loop $more
      (if (i32.and (call $is-left) (i32.eqz (global.get $bad))) (then
        (call $place)
        (call $need (i32.const 61))
        (local.set $size (call $whole))
        (if (global.get $bad) (then (return (call $not-as-taken (i32.const 1088) (i32.const 5)))))
        (if (call $make-buffer (local.get $size)) (then (return (i32.const 1))))
        (call $next-item)
        (br $more))))
    (if (global.get $bad) (then (return (call $not-as-taken (i32.const 1088) (i32.const 5)))))
    (i32.const 0))

  (func $load-inputs (result i32)
    (local $name i32) (local $names-end i32) (local $text i32) (local $length i32) (local $input i32) (local $size i64)
    (call $input-names (i32.const 32))
    (local.set $name (i32.load (i32.const 32)))
    (local.set $names-end (i32.add (local.get $name) (i32.shl (i32.load (i32.const 36)) (i32.const 3))))
    (loop $more
      (if (i32.lt_u (local.get $name) (local.get $names-end)) (then
        (local.set $text (i32.load (local.get $name)))
        (local.set $length (i32.load offset=4 (local.get $name)))
        (local.set $name (i32.add (local.get $name) (i32.const 8)))
        ;; `kernel` is no place; no other name begins with a letter.
        (br_if $more (i32.eq (i32.load8_u (local.get $text)) (i32.const 107)))
        (call $read (local.get $text) (local.get $length))
        (call $place)
        (if (i32.or (global.get $bad) (call $is-left)) (then (return (call $not-as-taken (local.get $text) (local.get $length)))))
        (call $input.open (local.get $text) (local.get $length) (i32.const 32))
        (if (call $io-failed) (then (return (i32.const 1))))
        (local.set $input (i32.load (i32.const 40)))
        (local.set $size (call $input.size (local.get $input)))
        (if (call $make-buffer (i64.and (i64.add (local.get $size) (i64.const 3)) (i64.const -4))) (then (return (i32.const 1))))
        (if (global.get $bad) (then (return (call $not-as-taken (local.get $text) (local.get $length)))))
        (call $buffer.load-from
          (call $buffer-of-place) (i64.const 0) (local.get $input) (i64.const 0) (local.get $size) (i32.const 32))
        (if (call $gpu-failed) (then (return (i32.const 1))))
        (br $more))))
    (i32.const 0))

  ;; --- the dispatch

  ;; Binds all buffers of a group. Does nothing if it has none.
  (func $bind-group (param $pass i32) (param $group i32) (result i32)
    (local $at i32) (local $entry i32)
    (local.set $at (i32.const 8192))
    (local.set $entry (i32.const 12288))
    (block $all (loop $more
      (br_if $all (i32.ge_u (local.get $at) (i32.add (i32.const 8192) (i32.mul (global.get $bindings) (i32.const 12)))))
      (if (i32.eq (i32.load (local.get $at)) (local.get $group)) (then
        (i32.store (local.get $entry) (i32.load offset=4 (local.get $at)))
        (i32.store offset=4 (local.get $entry) (i32.load offset=8 (local.get $at)))
        (i64.store offset=8 (local.get $entry) (i64.const 0))
        (i64.store offset=16 (local.get $entry) (i64.const 0))
        (local.set $entry (i32.add (local.get $entry) (i32.const 32)))))
      (local.set $at (i32.add (local.get $at) (i32.const 12)))
      (br $more)))
    (if (i32.eq (local.get $entry) (i32.const 12288)) (then (return (i32.const 0))))
    (call $pipeline.layout (global.get $pipeline) (local.get $group) (i32.const 32))
    (if (call $gpu-failed) (then (return (i32.const 1))))
    (call $bind-group.create
      (i32.load (i32.const 40))
      (i32.const 12288) (i32.shr_u (i32.sub (local.get $entry) (i32.const 12288)) (i32.const 5))
      (i32.const 32))
    (if (call $gpu-failed) (then (return (i32.const 1))))
    (call $pass.set-bind-group (local.get $pass) (local.get $group) (i32.load (i32.const 40)) (i32.const 0) (i32.const 0))
    (i32.const 0))

  (func $dispatch (result i32)
    (local $encoder i32) (local $pass i32) (local $x i32) (local $y i32) (local $z i32)
    (if (i32.eqz (call $parameter (i32.const 1040) (i32.const 10))) (then
      (return (call $not-as-taken (i32.const 1040) (i32.const 10)))))
    (local.set $x (call $whole-u32))
    (call $need (i32.const 44))
    (local.set $y (call $whole-u32))
    (call $need (i32.const 44))
    (local.set $z (call $whole-u32))
    (if (i32.or (global.get $bad) (call $is-left)) (then (return (call $not-as-taken (i32.const 1040) (i32.const 10)))))
    (local.set $encoder (call $encoder))
    (local.set $pass (call $encoder.begin (local.get $encoder)))
    (call $pass.set-pipeline (local.get $pass) (global.get $pipeline))
    (if (call $bind-group (local.get $pass) (i32.const 0)) (then (return (i32.const 1))))
    (if (call $bind-group (local.get $pass) (i32.const 1)) (then (return (i32.const 1))))
    (if (call $bind-group (local.get $pass) (i32.const 2)) (then (return (i32.const 1))))
    (call $pass.dispatch (local.get $pass) (local.get $x) (local.get $y) (local.get $z))
    (call $pass.drop (local.get $pass))
    (call $encoder.finish (local.get $encoder) (i32.const 32))
    (if (call $gpu-failed) (then (return (i32.const 1))))
    (i32.store (i32.const 24576) (i32.load (i32.const 40)))
    (call $submit (i32.const 24576) (i32.const 1) (i32.const 32))
    (call $gpu-failed))

  (func $give-outputs (result i32)
    (local $name i32) (local $length i32) (local $buffer i32) (local $output i32)
    (if (i32.eqz (call $parameter (i32.const 1104) (i32.const 7))) (then (return (i32.const 0))))
    (loop $more
      (if (i32.and (call $is-left) (i32.eqz (global.get $bad))) (then
        (local.set $name (global.get $at))
        (call $place)
        (local.set $length (i32.sub (global.get $at) (local.get $name)))
        (call $next-item)
        (local.set $buffer (call $buffer-of-place))
        (if (i32.or (global.get $bad) (i32.eq (local.get $buffer) (i32.const -1))) (then
          (return (call $not-as-taken (i32.const 1104) (i32.const 7)))))
        (call $output.create (local.get $name) (local.get $length) (i32.const 32))
        (if (call $io-failed) (then (return (i32.const 1))))
        (local.set $output (i32.load (i32.const 40)))
        (call $buffer.append-to
          (local.get $buffer) (i64.const 0) (call $buffer.size (local.get $buffer)) (local.get $output) (i32.const 32))
        (if (call $gpu-failed) (then (return (i32.const 1))))
        (call $output.drop (local.get $output))
        (br $more))))
    (if (global.get $bad) (then (return (call $not-as-taken (i32.const 1104) (i32.const 7)))))
    (i32.const 0))

  (func $all (result i32)
    (if (call $compile) (then (return (i32.const 1))))
    (if (call $make-zeros) (then (return (i32.const 1))))
    (if (call $load-inputs) (then (return (i32.const 1))))
    (if (call $dispatch) (then (return (i32.const 1))))
    (call $give-outputs))

  (func (export "run") (result i32)
    (i32.store8 (i32.const 8) (call $all))
    (i32.store (i32.const 12) (global.get $why))
    (i32.store (i32.const 16) (global.get $why-length))
    (i32.const 8)))
