//! The references of a query to bindings, wherever they stand in it.

use super::{Condition, Query, Recursion, Recursive, Relation, Select};

impl Recursive {
    /// Shows the number of each reference to a binding: one of its own, one around it, or one of a recursion inside.
    pub(crate) fn each_reference(&mut self, see: &mut dyn FnMut(&mut usize)) {
        match &mut self.recursion {
            Recursion::Linear(bindings) => {
                bindings.iter_mut().flat_map(|binding| [&mut binding.base, &mut binding.step]).for_each(|q| q.each_reference(see));
            }
            Recursion::Mutual(bindings, _) => bindings.iter_mut().for_each(|binding| binding.query.each_reference(see)),
        }
        self.query.each_reference(see);
    }
}

impl Query {
    pub(crate) fn each_reference(&mut self, see: &mut dyn FnMut(&mut usize)) {
        match self {
            Self::Select(select) => select.each_reference(see),
            Self::Values(..) => {}
            Self::Set(_, left, right) => {
                left.each_reference(see);
                right.each_reference(see);
            }
            Self::Top(of, _) => of.each_reference(see),
            Self::With(recursive) => recursive.each_reference(see),
        }
    }
}

impl Select {
    fn each_reference(&mut self, see: &mut dyn FnMut(&mut usize)) {
        let joined = self.joins.iter_mut().map(|join| &mut join.relation);
        let looked_through = self.conditions.iter_mut().filter_map(|condition| match condition {
            Condition::Where(_) => None,
            Condition::Exists { relation, .. } | Condition::In { relation, .. } => Some(relation),
        });
        for relation in std::iter::once(&mut self.from).chain(joined).chain(looked_through) {
            match relation {
                Relation::Table(_) => {}
                Relation::Binding(number) => see(number),
                Relation::Derived(query) => query.each_reference(see),
            }
        }
    }
}
