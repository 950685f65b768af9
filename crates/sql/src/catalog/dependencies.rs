//! `DROP`: who goes, who is in the way.

use std::collections::BTreeSet;

use refrain_types::RelationId;

use super::schema::split;
use super::{Catalog, Relation, RelationKind};
use crate::error::{Result, SqlError, code};
use crate::statement::Drop;

/// What a `DROP` takes out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DropPlan {
    /// The relations, dependents before what they depend on.
    pub relations: Vec<RelationId>,
    /// What PostgreSQL would say besides: what does not exist and is skipped, what goes because of CASCADE.
    pub notices: Vec<DropNotice>,
}

/// A notice of a `DROP`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DropNotice {
    /// The notice.
    pub message: String,
    /// The names, where there are several.
    pub detail: Option<String>,
}

impl Catalog {
    /// Decides what a `DROP` takes out. Changes nothing.
    ///
    /// # Errors
    /// `42P01` when a relation does not exist, `42809` when it is of another kind, `2BP01` when something depends on it and CASCADE
    /// is not said.
    pub fn plan_drop(&self, drop: &Drop) -> Result<DropPlan> {
        let mut plan = DropPlan::default();
        let mut named = Vec::new();
        for name in &drop.names {
            match self.find(name) {
                Some(relation) => named.push(check_kind(relation, drop.kind)?),
                None if self.with_index(name).is_some() => {
                    return Err(SqlError::new(code::WRONG_OBJECT_TYPE, format!("\"{name}\" is not a {}", drop.kind))
                        .with_hint("Use DROP INDEX to remove an index."));
                }
                None => {
                    let missing = self.check_schema_of(name).err().unwrap_or_else(|| {
                        SqlError::new(code::UNDEFINED_TABLE, format!("{} \"{}\" does not exist", drop.kind, split(name).1))
                    });
                    if !drop.if_exists {
                        return Err(missing);
                    }
                    plan.notices.push(DropNotice { message: format!("{}, skipping", missing.message), detail: None });
                }
            }
        }
        let dependents = self.dependents(&named.iter().map(|r| r.id).collect());
        if !dependents.is_empty() && !drop.cascade {
            let named = named.iter().map(|relation| format!("{} {}", relation.kind, relation.name)).collect::<Vec<_>>();
            return Err(in_the_way(&named, std::iter::empty(), &dependents));
        }
        plan.notices.extend(cascade_notice(&dependents.iter().map(|(view, _)| *view).collect::<Vec<_>>()));
        let gone = named.iter().map(|r| r.id).chain(dependents.iter().map(|(r, _)| r.id)).collect();
        plan.relations = self.dependents_first(gone);
        Ok(plan)
    }

    /// Whatever depends on these, directly or not, each with one reason; the ids themselves left out.
    pub(super) fn dependents(&self, ids: &BTreeSet<RelationId>) -> Vec<(&Relation, &Relation)> {
        let mut gone = ids.clone();
        let mut found = Vec::new();
        loop {
            let next = self.relations().find_map(|view| {
                let reason = view.depends_on().intersection(&gone).next().copied()?;
                (!gone.contains(&view.id)).then(|| (view, self.get(reason).expect("what a view depends on is there")))
            });
            let Some((view, reason)) = next else { return found };
            gone.insert(view.id);
            found.push((view, reason));
        }
    }

    /// The first of these relations that the rows of another come from, directly or not.
    #[must_use]
    pub fn source_among(&self, relation: RelationId, sources: &BTreeSet<RelationId>) -> Option<&Relation> {
        let mut seen = BTreeSet::from([relation]);
        let mut open = vec![relation];
        while let Some(next) = open.pop().and_then(|id| self.get(id)) {
            let read = next.depends_on();
            if let Some(source) = read.intersection(sources).next() {
                return self.get(*source);
            }
            open.extend(read.into_iter().filter(|id| seen.insert(*id)));
        }
        None
    }

    pub(super) fn dependents_first(&self, mut ids: BTreeSet<RelationId>) -> Vec<RelationId> {
        let mut ordered = Vec::with_capacity(ids.len());
        while !ids.is_empty() {
            let needed = ids.iter().filter_map(|id| self.get(*id)).flat_map(Relation::depends_on).collect::<BTreeSet<_>>();
            let free = ids.difference(&needed).max().copied().expect("views do not depend on themselves");
            ids.remove(&free);
            ordered.push(free);
        }
        ordered
    }
}

fn check_kind(relation: &Relation, kind: RelationKind) -> Result<&Relation> {
    if relation.kind == kind {
        return Ok(relation);
    }
    if matches!(relation.kind, RelationKind::System | RelationKind::Clock) {
        return Err(SqlError::new(code::WRONG_OBJECT_TYPE, format!("cannot drop system table {}", relation.name)));
    }

    let right = relation.kind.to_string().to_uppercase();
    Err(SqlError::new(code::WRONG_OBJECT_TYPE, format!("\"{}\" is not a {kind}", relation.name))
        .with_hint(format!("Use DROP {right} to remove a {}.", relation.kind)))
}

/// The error for what cannot be dropped, each as PostgreSQL names it: what is in it, and what depends on that or on it.
pub(super) fn in_the_way<'a>(
    named: &[String],
    inside: impl Iterator<Item = (&'a Relation, String)>,
    dependents: &[(&'a Relation, &'a Relation)],
) -> SqlError {
    let message = match named {
        [one] => format!("cannot drop {one} because other objects depend on it"),
        _ => "cannot drop desired object(s) because other objects depend on them".to_owned(),
    };
    depended_on(message, inside, dependents).with_hint("Use DROP ... CASCADE to drop the dependent objects too.")
}

/// The error for a materialized view that cannot be altered because of the materialized views that depend on it, if there are any.
pub(super) fn maintained_in_the_way(view: Option<&Relation>, dependents: &[(&Relation, &Relation)]) -> Option<SqlError> {
    let view = view.filter(|_| !dependents.is_empty())?;
    let message = format!("cannot alter {} {} because other objects depend on it", view.kind, view.name);
    Some(depended_on(message, std::iter::empty(), dependents).with_hint("Drop them, and create them again afterwards."))
}

fn depended_on<'a>(
    message: String,
    inside: impl Iterator<Item = (&'a Relation, String)>,
    dependents: &[(&'a Relation, &'a Relation)],
) -> SqlError {
    let outside = dependents.iter().map(|(view, on)| (*view, format!("{} {}", on.kind, on.name)));
    let lines = inside.chain(outside).map(|(relation, on)| format!("{} {} depends on {on}", relation.kind, relation.name));
    SqlError::new(code::DEPENDENT_OBJECTS_STILL_EXIST, message).with_detail(lines.collect::<Vec<_>>().join("\n"))
}

pub(super) fn cascade_notice(gone: &[&Relation]) -> Option<DropNotice> {
    match gone {
        [] => None,
        [one] => Some(DropNotice { message: format!("drop cascades to {} {}", one.kind, one.name), detail: None }),
        several => {
            let lines = several.iter().map(|one| format!("drop cascades to {} {}", one.kind, one.name));
            Some(DropNotice {
                message: format!("drop cascades to {} other objects", several.len()),
                detail: Some(lines.collect::<Vec<_>>().join("\n")),
            })
        }
    }
}
