//! Resource ids: a slot and its generation, so that a stale id is noticed and never reused.

use std::marker::PhantomData;

macro_rules! ids {
    ($($(#[$doc:meta])* $id:ident => $variant:ident, $name:literal;)*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
            pub struct $id(Key);

            impl From<$id> for ResourceId {
                fn from(id: $id) -> Self {
                    Self::$variant(id)
                }
            }

            impl Id for $id {
                const NAME: &'static str = $name;
                fn new(key: Key) -> Self {
                    Self(key)
                }
                fn key(self) -> Key {
                    self.0
                }
            }
        )*

        /// Any resource of a device.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[expect(missing_docs, reason = "each variant is documented at its id type")]
        pub enum ResourceId {
            $($variant($id),)*
        }
    };
}

ids! {
    /// A buffer.
    BufferId => Buffer, "buffer";
    /// A shader module.
    ShaderModuleId => ShaderModule, "shader module";
    /// A bind group layout.
    BindGroupLayoutId => BindGroupLayout, "bind group layout";
    /// A bind group.
    BindGroupId => BindGroup, "bind group";
    /// A compute pipeline.
    ComputePipelineId => ComputePipeline, "compute pipeline";
}

/// A slot and which of its tenants is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    slot: u32,
    generation: u32,
}

/// What all id types have in common.
pub(crate) trait Id: Copy {
    const NAME: &'static str;
    fn new(key: Key) -> Self;
    fn key(self) -> Key;
}

/// Resources of one kind by id. A slot whose generations are used up is retired.
#[derive(Debug)]
pub(crate) struct Slots<I, T> {
    slots: Vec<(u32, Option<T>)>,
    free: Vec<u32>,
    ids: PhantomData<I>,
}

impl<I, T> Default for Slots<I, T> {
    fn default() -> Self {
        Self { slots: Vec::new(), free: Vec::new(), ids: PhantomData }
    }
}

impl<I: Id, T> Slots<I, T> {
    /// None if all 2^32 slots are taken.
    pub(crate) fn insert(&mut self, value: T) -> Option<I> {
        if let Some(slot) = self.free.pop()
            && let Some(entry) = self.slots.get_mut(usize::try_from(slot).ok()?)
        {
            entry.1 = Some(value);
            let generation = entry.0;
            return Some(I::new(Key { slot, generation }));
        }
        let slot = u32::try_from(self.slots.len()).ok()?;
        self.slots.push((0, Some(value)));
        let generation = 0;
        Some(I::new(Key { slot, generation }))
    }

    pub(crate) fn get(&self, id: I) -> Option<&T> {
        let Key { slot, generation } = id.key();
        let (current, value) = self.slots.get(usize::try_from(slot).ok()?)?;
        value.as_ref().filter(|_| *current == generation)
    }

    #[cfg(test)]
    pub(crate) fn get_mut(&mut self, id: I) -> Option<&mut T> {
        let Key { slot, generation } = id.key();
        let (current, value) = self.slots.get_mut(usize::try_from(slot).ok()?)?;
        value.as_mut().filter(|_| *current == generation)
    }

    pub(crate) fn remove(&mut self, id: I) -> Option<T> {
        let Key { slot, generation } = id.key();
        let (current, value) = self.slots.get_mut(usize::try_from(slot).ok()?)?;
        let removed = value.take_if(|_| *current == generation)?;
        if let Some(next) = current.checked_add(1) {
            *current = next;
            self.free.push(slot);
        }
        Some(removed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_removed_id_stays_stale_when_its_slot_is_taken_again() {
        let mut slots = Slots::<BufferId, &str>::default();
        let first = slots.insert("first").unwrap();
        assert_eq!(slots.remove(first), Some("first"));
        let second = slots.insert("second").unwrap();
        assert_ne!(first, second);
        assert_eq!(slots.get(first), None);
        assert_eq!(slots.remove(first), None);
        assert_eq!(slots.get(second), Some(&"second"));
    }
}
