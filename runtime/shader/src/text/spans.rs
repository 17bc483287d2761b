//! Maps the spans of a parsed module from the text that naga read to the guest's own.

use naga::{Arena, Expression, Function, Module, UniqueArena};

use super::edit::Map;
use crate::visit::for_each_statement_mut;

/// Changes every span in `module` to the place in the guest's text.
pub(crate) fn put_back(module: &mut Module, map: &Map) {
    if map.is_identity() {
        return;
    }
    let mut types = UniqueArena::new();
    for (handle, ty) in module.types.iter() {
        types.insert(ty.clone(), map.back(module.types.get_span(handle)));
    }
    module.types = types;
    arena(&mut module.constants, map);
    arena(&mut module.overrides, map);
    arena(&mut module.global_variables, map);
    arena(&mut module.global_expressions, map);
    arena(&mut module.functions, map);
    for (_, function) in module.functions.iter_mut() {
        in_function(function, map);
    }
    for entry_point in &mut module.entry_points {
        in_function(&mut entry_point.function, map);
    }
}

fn arena<T>(arena: &mut Arena<T>, map: &Map) {
    let mut moved = Arena::new();
    for (_, value, span) in arena.drain() {
        moved.append(value, map.back(span));
    }
    *arena = moved;
}

fn in_function(function: &mut Function, map: &Map) {
    arena::<Expression>(&mut function.expressions, map);
    arena(&mut function.local_variables, map);
    for_each_statement_mut(&mut function.body, &mut |_, span| *span = map.back(*span));
}
