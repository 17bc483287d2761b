//! The new entry point: computes the builtin values, calls the guest's entry point, and reports the fuel that it spent.

use naga::{
    AtomicFunction, BinaryOperator, Binding, BuiltIn, EntryPoint, Expression, Function, FunctionArgument, Handle,
    Scalar, Statement, Type, TypeInner, VectorSize,
};

use super::body::{Body, Shape, Value};
use super::content::Content;
use super::{Definer, Meters, System};
use crate::Refusal;
use crate::dp32::system::params as member;
use crate::dp32::system::{SLOTS, status as reported};

const UINT3: Shape = Shape::Vector(VectorSize::Tri);

/// The builtin values of an invocation: from the device, or computed from those.
struct Ids {
    workgroup: Value,
    local: Value,
    local_index: Value,
    global: Value,
    num_workgroups: Value,
}

impl Ids {
    fn of(&self, builtin: BuiltIn) -> Result<Value, Refusal> {
        match builtin {
            BuiltIn::WorkGroupId => Ok(self.workgroup),
            BuiltIn::LocalInvocationId => Ok(self.local),
            BuiltIn::LocalInvocationIndex => Ok(self.local_index),
            BuiltIn::GlobalInvocationId => Ok(self.global),
            BuiltIn::NumWorkGroups => Ok(self.num_workgroups),
            other => Err(Refusal::new(format!("the builtin value {other:?} is not available in profile dp32"))),
        }
    }
}

pub(super) fn wrap(
    definer: &mut Definer<'_>,
    entry: &EntryPoint,
    guest: Handle<Function>,
    meters: Meters,
) -> Result<Function, Refusal> {
    let uint = definer.ty(TypeInner::Scalar(Scalar::U32));
    let uint3 = definer.ty(TypeInner::Vector { size: VectorSize::Tri, scalar: Scalar::U32 });
    let system = definer.system;
    let mut body = Body::new();

    let builtins = [
        ("workgroup_id", uint3, BuiltIn::WorkGroupId),
        ("local_id", uint3, BuiltIn::LocalInvocationId),
        ("local_index", uint, BuiltIn::LocalInvocationIndex),
    ];
    let arguments = builtins.iter().map(|(name, ty, builtin)| FunctionArgument {
        name: Some((*name).to_owned()),
        ty: *ty,
        binding: Some(Binding::BuiltIn(*builtin)),
    });
    let mut function = Function { arguments: arguments.collect(), ..Function::default() };

    let (raw, local, local_index) = (argument(&mut body, 0), argument(&mut body, 1), argument(&mut body, 2));
    let params = body.global(system.params);
    let load = |body: &mut Body, member| {
        let pointer = body.index(params, member);
        body.load(pointer)
    };
    let offset = load(&mut body, member::WORKGROUP_OFFSET);
    let num_workgroups = load(&mut body, member::NUM_WORKGROUPS);
    let workgroup = body.binary(BinaryOperator::Add, raw, offset, UINT3);
    let size = entry.workgroup_size.map(|side| body.uint(side)).to_vec();
    let size = body.compose(uint3, size);
    let first = body.binary(BinaryOperator::Multiply, workgroup, size, UINT3);
    let global = body.binary(BinaryOperator::Add, first, local, UINT3);
    let ids = Ids { workgroup, local, local_index, global, num_workgroups };

    let budget = load(&mut body, member::BUDGET);
    for (fuel, used) in [(system.uniform_fuel, meters.uniform), (system.varying_fuel, meters.varying)] {
        if used {
            let pointer = body.global(fuel);
            body.store(pointer, budget);
        }
    }

    for (handle, variable) in definer.guest.global_variables.iter() {
        if let Some(init) = variable.init.filter(|init| definer.contents.constant(*init) == Content::Moved) {
            let value = body.constant(definer.guest, init, &mut Ok)?;
            let pointer = body.global(handle);
            body.store(pointer, value);
        }
    }
    let arguments = guest_arguments(definer, &mut body, entry, &ids)?;
    body.push(Statement::Call { function: guest, arguments, result: None });

    if meters.any() {
        report(&mut body, uint, system, meters, &ids, budget);
    }
    body.finish(&mut function);
    Ok(function)
}

/// Writes the report that an invocation of a kernel with loops makes at its end.
fn report(body: &mut Body, uint: Handle<Type>, system: System, meters: Meters, ids: &Ids, budget: Value) {
    let status = body.global(system.status);
    let none = body.uint(0);
    let trap = body.global(system.trap);
    let trap = body.load(trap);
    let raised = body.binary(BinaryOperator::NotEqual, trap, none, Shape::Scalar);
    body.when(raised, |body| {
        let counter = body.index(status, reported::TRAP);
        atomic(body, uint, counter, AtomicFunction::InclusiveOr, trap);
    });
    let slot = own_slot(body, status, ids);
    if meters.varying {
        let pointer = body.global(system.varying_fuel);
        let left = body.load(pointer);
        let spent = body.binary(BinaryOperator::Subtract, budget, left, Shape::Scalar);
        let any = body.binary(BinaryOperator::NotEqual, spent, none, Shape::Scalar);
        body.when(any, |body| add_wide(body, uint, slot, reported::VARYING, spent));
    }
    let leads = body.binary(BinaryOperator::Equal, ids.local_index, none, Shape::Scalar);
    body.when(leads, |body| {
        if meters.uniform {
            let pointer = body.global(system.uniform_fuel);
            let left = body.load(pointer);
            let spent = body.binary(BinaryOperator::Subtract, budget, left, Shape::Scalar);
            add_wide(body, uint, slot, reported::UNIFORM, spent);
        }
        let (finished, one) = (body.index(status, reported::FINISHED), body.uint(1));
        atomic(body, uint, finished, AtomicFunction::Add, one);
    });
}

fn argument(body: &mut Body, index: u32) -> Value {
    body.declare(Expression::FunctionArgument(index))
}

fn guest_arguments(
    definer: &Definer<'_>,
    body: &mut Body,
    entry: &EntryPoint,
    ids: &Ids,
) -> Result<Vec<Value>, Refusal> {
    let unknown = || Refusal::new("the entry point has an argument that is not a builtin value");
    let mut arguments = Vec::with_capacity(entry.function.arguments.len());
    for argument in &entry.function.arguments {
        let value = match (&argument.binding, &definer.guest.types[argument.ty].inner) {
            (Some(Binding::BuiltIn(builtin)), _) => ids.of(*builtin)?,
            (None, TypeInner::Struct { members, .. }) => {
                let mut components = Vec::with_capacity(members.len());
                for member in members {
                    match member.binding {
                        Some(Binding::BuiltIn(builtin)) => components.push(ids.of(builtin)?),
                        _ => return Err(unknown()),
                    }
                }
                body.compose(argument.ty, components)
            }
            _ => return Err(unknown()),
        };
        arguments.push(value);
    }
    Ok(arguments)
}

/// The counters of this workgroup. Neighbouring workgroups use different ones.
fn own_slot(body: &mut Body, status: Value, ids: &Ids) -> Value {
    let [x, y, z] = [0, 1, 2].map(|axis| body.index(ids.workgroup, axis));
    let sum = body.binary(BinaryOperator::Add, x, y, Shape::Scalar);
    let sum = body.binary(BinaryOperator::Add, sum, z, Shape::Scalar);
    let mask = body.uint(SLOTS.get() - 1);
    let index = body.binary(BinaryOperator::And, sum, mask, Shape::Scalar);
    let slots = body.index(status, reported::SLOTS);
    body.emit(Expression::Access { base: slots, index }, 1)
}

/// Adds to a counter of 64 bits in two words. The low word's old value shows whether this addition carried.
fn add_wide(body: &mut Body, uint: Handle<Type>, slot: Value, member: u32, amount: Value) {
    let (low, high) = (body.index(slot, member), body.index(slot, member + 1));
    let before = atomic(body, uint, low, AtomicFunction::Add, amount);
    let after = body.binary(BinaryOperator::Add, before, amount, Shape::Scalar);
    let carried = body.binary(BinaryOperator::Less, after, amount, Shape::Scalar);
    body.when(carried, |body| {
        let one = body.uint(1);
        atomic(body, uint, high, AtomicFunction::Add, one);
    });
}

fn atomic(body: &mut Body, uint: Handle<Type>, pointer: Value, fun: AtomicFunction, value: Value) -> Value {
    let result = body.declare(Expression::AtomicResult { ty: uint, comparison: false });
    body.push(Statement::Atomic { pointer, fun, value, result: Some(result) });
    result
}
