//! Which functions the core modules of a component import from the host.

use std::collections::BTreeSet;
use wasmparser::{
    BinaryReaderError, CanonicalFunction, ComponentAlias, Encoding, ExternalKind, Instance, Parser, Payload,
};

/// Names of imports of a module (of the module they are from, their own) that are functions of the host.
pub(super) type OfModule = BTreeSet<(String, String)>;

/// Follows functions from where the component makes them to the modules that import them. All that the canonical ABI makes counts as the host's: a call
/// through it costs much more than a call within a module, also where the other end is another component.
///
/// A component's modules and instances of modules are its own: `bounds` refuses modules that are handed over as values.
#[derive(Default)]
pub(super) struct HostImports {
    /// Of every module, in the order in which a parser meets them.
    modules: Vec<OfModule>,
    /// The components around the payload, the innermost last. A module has none of its own.
    open: Vec<Option<Scope>>,
}

/// What has an index in a component.
#[derive(Default)]
struct Scope {
    /// Its modules, by their place in [`HostImports::modules`].
    modules: Vec<usize>,
    /// Its core functions: whether each is the host's.
    functions: Vec<bool>,
    /// Its instances: the names of functions of the host in each.
    instances: Vec<BTreeSet<String>>,
}

impl HostImports {
    pub(super) fn of(component: &[u8]) -> Result<Self, BinaryReaderError> {
        let mut imports = Self::default();
        for payload in Parser::new(0).parse_all(component) {
            imports.follow(payload?)?;
        }
        Ok(imports)
    }

    pub(super) fn into_modules(self) -> Vec<OfModule> {
        self.modules
    }

    fn follow(&mut self, payload: Payload<'_>) -> Result<(), BinaryReaderError> {
        match payload {
            Payload::Version { encoding: Encoding::Component, .. } => self.open.push(Some(Scope::default())),
            Payload::Version { encoding: Encoding::Module, .. } => self.open.push(None),
            Payload::End(_) => {
                self.open.pop();
            }
            Payload::ModuleSection { .. } => {
                if let Some(Some(scope)) = self.open.last_mut() {
                    scope.modules.push(self.modules.len());
                    self.modules.push(OfModule::new());
                }
            }
            Payload::ComponentCanonicalSection(section) => {
                for function in section {
                    if !matches!(function?, CanonicalFunction::Lift { .. }) {
                        self.function(true);
                    }
                }
            }
            Payload::ComponentAliasSection(section) => {
                for alias in section {
                    if let ComponentAlias::CoreInstanceExport { kind, instance_index, name } = alias?
                        && is_function(kind)
                    {
                        let of_host = self.scope().and_then(|scope| at(&scope.instances, instance_index));
                        let of_host = of_host.is_some_and(|names| names.contains(name));
                        self.function(of_host);
                    }
                }
            }
            Payload::InstanceSection(section) => {
                for instance in section {
                    self.instance(&instance?);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn scope(&self) -> Option<&Scope> {
        self.open.last()?.as_ref()
    }

    fn function(&mut self, of_host: bool) {
        if let Some(Some(scope)) = self.open.last_mut() {
            scope.functions.push(of_host);
        }
    }

    fn instance(&mut self, instance: &Instance<'_>) {
        let Some(Some(scope)) = self.open.last_mut() else { return };
        let names = match instance {
            Instance::Instantiate { module_index, args } => {
                let module = at(&scope.modules, *module_index).and_then(|module| self.modules.get_mut(*module));
                if let Some(module) = module {
                    for arg in args {
                        let names = at(&scope.instances, arg.index).into_iter().flatten();
                        module.extend(names.map(|name| (arg.name.to_owned(), name.clone())));
                    }
                }
                // What a module exports spends fuel by itself before it calls the host.
                BTreeSet::new()
            }
            Instance::FromExports(exports) => {
                let of_host = |export: &&wasmparser::Export<'_>| {
                    is_function(export.kind) && at(&scope.functions, export.index).is_some_and(|of_host| *of_host)
                };
                exports.iter().filter(of_host).map(|export| export.name.to_owned()).collect()
            }
        };
        scope.instances.push(names);
    }
}

fn is_function(kind: ExternalKind) -> bool {
    matches!(kind, ExternalKind::Func | ExternalKind::FuncExact)
}

fn at<T>(items: &[T], index: u32) -> Option<&T> {
    items.get(usize::try_from(index).ok()?)
}
