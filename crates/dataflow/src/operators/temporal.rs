//! A filter that compares columns of a row with the time.
//!
//! A row is there from one point in time on until another. What waits for its time to come or to go is remembered, in a calendar by the next
//! point in time at which that changes; rows that stay for ever pass through, and rows whose time is over are forgotten, so the state does not
//! grow with what was. The time is the row of a relation, so it only changes with the input, and a restart or another number of workers
//! changes nothing. Rows and times may come in any order: a row that is let through too early is taken back when the later time comes.
//!
//! The definition is that of temporal filters in Materialize (its documentation, "Temporal filters").

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use refrain_plan::{Exchange, Temporal};
use refrain_state::{Arrangement, Entries, RowLayout};
use refrain_types::errors::Errors;
use refrain_types::physical::physical_schema;
use refrain_types::{Delta, OperatorId, Weight};
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::progress::operate::FrontierInterest;

use super::stage::Packed;
use super::{Context, Edge, Stateful, connect, output};
use crate::part::{Captured, Part, Size};
use crate::restore::{overflow, restore_part};
use crate::time::Path;

/// Microseconds since 1970.
type Micros = i64;

/// The rows that are filtered.
pub(crate) struct Rows<'a, 'scope> {
    pub stream: Edge<'scope>,
    pub exchange: &'a Exchange,
    /// Where they are at rest.
    pub placement: Exchange,
    pub schema: &'a SchemaRef,
}

struct State {
    operator: OperatorId,
    schema: SchemaRef,
    physical: SchemaRef,
    layout: RowLayout,
    bounds: Temporal,
    /// Rows whose time changes, and how often each is there.
    rows: Arrangement,
    /// When the time of a row comes or goes next: its ids. Rows that were taken back stay in it until then.
    calendar: BTreeMap<Micros, Vec<u32>>,
    clock_schema: SchemaRef,
    clock_layout: RowLayout,
    clock: Arrangement,
    /// Another worker captures the clock.
    is_copy: bool,
    /// `None` while it is not known.
    now: Option<Micros>,
}

impl State {
    fn new(context: &Context, schema: &SchemaRef, clock_schema: &SchemaRef, bounds: &Temporal) -> Self {
        let (layout, clock_layout) = (RowLayout::of_schema(schema), RowLayout::of_schema(clock_schema));
        Self {
            operator: context.operator,
            schema: Arc::clone(schema),
            physical: physical_schema(schema),
            bounds: bounds.clone(),
            rows: Arrangement::new(layout.words(), Entries::OfRows, None).within(context.memory()),
            layout,
            calendar: BTreeMap::new(),
            clock_schema: Arc::clone(clock_schema),
            clock: Arrangement::new(clock_layout.words(), Entries::OfRows, None),
            clock_layout,
            is_copy: context.worker > 0,
            now: None,
        }
    }

    /// From when and until when a row is there; never, where a bound is NULL.
    fn bounds(&self, row: &[u64]) -> Option<(Micros, Micros)> {
        let bound = |column: Option<usize>, none| column.map_or(Some(none), |column| micros(&self.layout, row, column));
        Some((bound(self.bounds.from, Micros::MIN)?, bound(self.bounds.until, Micros::MAX)?))
    }

    /// Takes rows in and gives those that are there now.
    fn take_rows(&mut self, mut delta: Delta) -> Delta {
        let mut errors = std::mem::take(&mut delta.errors);
        let (mut packed, mut there) = (Vec::new(), Packed::default());
        self.layout.pack_batch(&delta.rows, &mut packed);
        for (i, row) in packed.chunks_exact(self.layout.words()).enumerate() {
            let weight = delta.weight(i);
            let Some((from, until)) = self.bounds(row) else { continue };
            let is_over = self.now.is_some_and(|now| until <= now);
            let has_come = self.now.is_some_and(|now| from <= now);
            if is_over {
                continue;
            }
            if has_come {
                there.push(row, 0, weight);
            }
            let changes_next = if has_come { until } else { from };
            // One that never changes again need not be known when it is taken back.
            if changes_next < Micros::MAX {
                self.remember(row, weight, changes_next, &mut errors);
            }
        }
        self.given(&there, errors)
    }

    fn remember(&mut self, row: &[u64], weight: Weight, changes_next: Micros, errors: &mut Errors) {
        let known = self.rows.len();
        match self.rows.add(row, weight) {
            Ok(changed) if changed.id as usize == known => self.calendar.entry(changes_next).or_default().push(changed.id),
            Ok(_) => {}
            Err(_) => errors.push(overflow(self.operator, weight)),
        }
    }

    /// Takes in that the time is another, and gives the rows whose time has come, and takes back those whose time is over.
    fn take_clock(&mut self, mut delta: Delta) -> Delta {
        let errors = std::mem::take(&mut delta.errors);
        let mut packed = Vec::new();
        self.clock_layout.pack_batch(&delta.rows, &mut packed);
        for (i, row) in packed.chunks_exact(self.clock_layout.words()).enumerate() {
            self.clock.add(row, delta.weight(i)).expect("the clock has one row");
            let time = micros(&self.clock_layout, row, 0).expect("the time is never NULL");
            self.now = self.now.max((delta.weight(i) > 0).then_some(time));
        }
        let changed = self.advance();
        self.given(&changed, errors)
    }

    fn advance(&mut self) -> Packed {
        let mut changed = Packed::default();
        let Some(now) = self.now else { return changed };
        while let Some(next) = self.calendar.first_entry().filter(|next| *next.key() <= now) {
            let (at, ids) = next.remove_entry();
            for id in ids {
                let (row, weight) = (self.rows.row(id).to_vec(), self.rows.weight(id));
                let (from, until) = self.bounds(&row).expect("a row without bounds is not remembered");
                let goes = from < until && at == until;
                let comes = !goes && now < until;
                if weight != 0 && (comes || goes) {
                    changed.push(&row, 0, if goes { -weight } else { weight });
                }
                if comes && until < Micros::MAX {
                    self.calendar.entry(until).or_default().push(id);
                } else if weight != 0 {
                    self.rows.add(&row, -weight).expect("a weight and its opposite are nothing");
                }
            }
        }
        changed
    }

    fn given(&self, rows: &Packed, errors: Errors) -> Delta {
        let mut delta = rows.to_delta(&self.layout, &self.physical);
        delta.errors = errors;
        delta
    }

    /// Finds out when each row changes next. So do those that were taken back: their ids are known when they come again.
    fn fill_calendar(&mut self) {
        self.calendar.clear();
        for id in 0..u32::try_from(self.rows.len()).expect("ids fit 32 bits") {
            let (from, until) = self.bounds(self.rows.row(id)).expect("a row without bounds is not remembered");
            let changes_next = if self.now.is_some_and(|now| from <= now) { until } else { from };
            if changes_next < Micros::MAX && self.now.is_none_or(|now| now < changes_next) {
                self.calendar.entry(changes_next).or_default().push(id);
            }
        }
    }

    fn restore(&mut self, context: &Context, placement: &Exchange) {
        let mut clock = Vec::new();
        restore_part(context, Part::Right, &Exchange::Broadcast, &self.clock_schema, |delta| clock.push(delta));
        for delta in clock {
            let mut packed = Vec::new();
            self.clock_layout.pack_batch(&delta.rows, &mut packed);
            for (i, row) in packed.chunks_exact(self.clock_layout.words()).enumerate() {
                self.clock.add(row, delta.weight(i)).expect("captured weights add up");
            }
        }
        self.now = self.clock.iter().filter_map(|(_, row, _)| micros(&self.clock_layout, row, 0)).max();
        let (layout, rows) = (&self.layout, &mut self.rows);
        restore_part(context, Part::Left, placement, &self.schema, |delta| {
            let mut packed = Vec::new();
            layout.pack_batch(&delta.rows, &mut packed);
            for (i, row) in packed.chunks_exact(layout.words()).enumerate() {
                rows.add(row, delta.weight(i)).expect("captured weights add up");
            }
        });
        self.fill_calendar();
        self.rows.list_changes();
        self.clock.list_changes();
    }
}

fn micros(layout: &RowLayout, row: &[u64], column: usize) -> Option<Micros> {
    let bits = layout.cell(row, column)?;
    Some(u64::try_from(bits).expect("a point in time has 64 bits").cast_signed())
}

impl Stateful for State {
    fn capture(&mut self, full: bool) -> Vec<Captured> {
        let rows = self.rows.capture(full);
        let mut parts = vec![Captured::packed(self.operator, Part::Left, &self.schema, &self.layout, rows)];
        if !self.is_copy {
            let clock = self.clock.capture(full);
            parts.push(Captured::packed(self.operator, Part::Right, &self.clock_schema, &self.clock_layout, clock));
        }
        parts
    }

    fn note_everything(&mut self) {
        self.rows.note_everything();
        self.clock.note_everything();
    }

    fn rest(&mut self) {
        self.clock.compact();
        let entries = self.rows.len();
        self.rows.compact();
        if self.rows.len() != entries {
            // Ids are others now.
            self.fill_calendar();
        }
    }

    fn operator(&self) -> OperatorId {
        self.operator
    }

    fn sizes(&self, each: &mut dyn FnMut(Part, Size)) {
        let calendar = self.calendar.len() * (size_of::<Micros>() + size_of::<Vec<u32>>()) + self.rows.len() * size_of::<u32>();
        each(Part::Left, Size { rows: self.rows.live(), bytes: self.rows.size_bytes() + calendar });
        each(Part::Right, Size::of(&self.clock));
    }
}

/// The rows whose time it is.
pub(crate) fn filter<'scope>(
    context: &Context,
    rows: Rows<'_, 'scope>,
    (clock, clock_schema): (Edge<'scope>, &SchemaRef),
    bounds: &Temporal,
) -> Edge<'scope> {
    let mut state = State::new(context, rows.schema, clock_schema, bounds);
    if context.control.restored_tick.is_some() {
        state.restore(context, &rows.placement);
    }
    let state = Rc::new(RefCell::new(state));
    context.registry.borrow_mut().stateful.push(state.clone());

    let mut builder = OperatorBuilder::new("Temporal".into(), rows.stream.scope());
    let (mut out, stream) = output(&mut builder);
    let mut rows_inbox = connect(&mut builder, rows.stream, rows.exchange, rows.schema, &[Path::default()]);
    let mut clock_inbox = connect(&mut builder, clock, &Exchange::Broadcast, clock_schema, &[Path::default()]);
    builder.set_notify_for(0, FrontierInterest::Never);
    builder.set_notify_for(1, FrontierInterest::Never);
    let outstanding = context.outstanding.clone();
    builder.build(|_| {
        context.timed(move |_| {
            let state = &mut *state.borrow_mut();
            let mut out = out.activate();
            for (inbox, is_clock) in [(&mut rows_inbox, false), (&mut clock_inbox, true)] {
                inbox(&mut |capability, delta| {
                    let delta = if is_clock { state.take_clock(delta) } else { state.take_rows(delta) };
                    outstanding.sent(delta.num_rows());
                    if !delta.is_empty() {
                        out.session_with_builder(&capability).give_container(&mut delta.into());
                    }
                });
            }
        })
    });
    stream
}
