//! Types, and the places that values of them are in.

use super::*;

impl Generator<'_> {
    pub(super) fn numeric(&mut self) -> Scalar {
        [F32, U32, I32][self.source.below(3)]
    }

    pub(super) fn plain(&mut self) -> Type {
        let scalar = self.numeric();
        match self.source.below(5) {
            0 | 1 => Type::Scalar(scalar),
            2 | 3 => Type::Vector(2 + self.source.below(3), scalar),
            _ => Type::Matrix(2 + self.source.below(3), 2 + self.source.below(3)),
        }
    }

    /// Any type that can be in any memory.
    pub(super) fn any(&mut self) -> Type {
        match self.source.below(8) {
            6 => Type::Array(Box::new(self.plain()), 1 + self.source.below(5)),
            7 if !self.structs.is_empty() => Type::Struct(self.source.below(self.structs.len())),
            _ => self.plain(),
        }
    }

    /// Any type of a variable in a function.
    pub(super) fn local(&mut self) -> Type {
        match self.source.below(10) {
            8 => Type::Scalar(Bool),
            9 => Type::Vector(2 + self.source.below(3), Bool),
            _ => self.any(),
        }
    }

    // Places.

    /// All that can be reached from what is in scope, and is of this type.
    pub(super) fn reachable(&self, ty: &Type, wanted: impl Fn(&Place) -> bool) -> Vec<Place> {
        let mut found = vec![];
        let mut open = self.places.clone();
        while let Some(place) = open.pop() {
            if place.depth < 3 {
                open.extend(self.parts(&place));
            }
            if place.ty == *ty && wanted(&place) {
                found.push(place);
            }
        }
        found
    }

    /// The parts of a composite. `?n` stands for an index below n.
    pub(super) fn parts(&self, place: &Place) -> Vec<Place> {
        let part = |suffix: String, ty: Type, local: bool| Place {
            text: format!("{}{suffix}", place.text),
            ty,
            local: place.local && local,
            depth: place.depth + 1,
            ..place.clone()
        };
        match &place.ty {
            Type::Scalar(_) => vec![],
            Type::Vector(size, scalar) => {
                let component = [".x", ".y", ".z", ".w"][place.text.len() % size].to_owned();
                let scalar = Type::Scalar(*scalar);
                vec![part(component, scalar.clone(), false), part(format!("[?{size}]"), scalar, false)]
            }
            Type::Matrix(columns, rows) => vec![part(format!("[?{columns}]"), Type::Vector(*rows, F32), false)],
            Type::Array(element, size) => vec![part(format!("[?{size}]"), (**element).clone(), true)],
            Type::Struct(number) => {
                let members = self.structs[*number].iter().enumerate();
                members.map(|(index, ty)| part(format!(".m{index}"), ty.clone(), true)).collect()
            }
        }
    }

    /// The place's text with its indices chosen.
    pub(super) fn indexed(&mut self, place: &Place, depth: usize) -> String {
        let mut pieces = place.text.split('?');
        let mut text = pieces.next().unwrap_or_default().to_owned();
        for piece in pieces {
            let (size, rest) = piece.split_at(1);
            let size: usize = size.parse().unwrap();
            let index = if depth > 0 && place.memory && self.source.chance(40) {
                let scalar = [U32, I32][self.source.below(2)];
                let index = self.expression(&Type::Scalar(scalar), depth - 1);
                (!index.constant).then_some(index.text)
            } else {
                None
            };
            let index = index.unwrap_or_else(|| self.source.below(size).to_string());
            text += &index;
            text += rest;
        }
        text
    }

    pub(super) fn choose(&mut self, ty: &Type, depth: usize, wanted: impl Fn(&Place) -> bool) -> Option<String> {
        let found = self.reachable(ty, wanted);
        if found.is_empty() {
            return None;
        }
        let place = found[self.source.below(found.len())].clone();
        Some(self.indexed(&place, depth))
    }

    // Expressions.
}
