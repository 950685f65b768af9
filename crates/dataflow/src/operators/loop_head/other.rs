//! The join at the start of a loop's body, fused with the head: the other side's rows, and probing one side with the other.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use refrain_plan::{Exchange, FusedJoin};
use refrain_state::{Arrangement, Entries, KeyOf, Memory, NullTest, RowLayout};
use refrain_types::errors::Errors;
use refrain_types::{Delta, Iteration, OperatorId};

use super::rows::LoopRows;
use crate::operators::Context;
use crate::operators::stage::{Packed, Stage};
use crate::part::{Captured, Part, Size};
use crate::restore::{overflow, restore_part};

const BLOCK: usize = 32;

pub(super) struct Other {
    operator: OperatorId,
    schema: SchemaRef,
    pub layout: RowLayout,
    rows: Arrangement,
    /// Another worker has the same rows and captures them.
    is_copy: bool,
    key: KeyOf,
    key_is_null: Option<NullTest>,
    variable_key: KeyOf,
    variable_key_is_null: Option<NullTest>,
    keys: Vec<u64>,
    packed: Vec<u64>,
}

impl Other {
    pub fn size(&self) -> Size {
        Size::of(&self.rows)
    }

    /// `is_copy`: another worker has the same rows, and captures them.
    pub fn new(
        operator: OperatorId,
        join: &FusedJoin,
        variable: (&SchemaRef, &RowLayout),
        schema: &SchemaRef,
        is_copy: bool,
        memory: &Arc<Memory>,
    ) -> Self {
        let types =
            join.variable_keys.iter().map(|c| (variable.0.field(*c).data_type().clone(), join.nulls_meet)).collect::<Vec<_>>();
        let key_layout = RowLayout::of_types(&types);
        let layout = RowLayout::of_schema(schema);
        let key = KeyOf::new(&layout, &join.other_keys, &key_layout);
        let entries = if join.other_append_only { Entries::OfChanges } else { Entries::OfChangesUntilTakenBack };
        let test =
            |layout: &RowLayout, keys: &[usize]| (!join.nulls_meet).then(|| NullTest::new(layout, keys)).filter(|t| !t.is_never());
        Self {
            operator,
            schema: Arc::clone(schema),
            is_copy,
            rows: Arrangement::new(layout.words(), entries, Some(key.clone())).within(memory),
            key_is_null: test(&layout, &join.other_keys),
            variable_key: KeyOf::new(variable.1, &join.variable_keys, &key_layout),
            variable_key_is_null: test(variable.1, &join.variable_keys),
            keys: vec![0; BLOCK * key.words()],
            key,
            layout,
            packed: Vec::new(),
        }
    }

    /// How the loop finds its own rows by key.
    pub fn variable_key(&self) -> &KeyOf {
        &self.variable_key
    }

    /// Pairs emitted rows of the loop with the other side.
    pub fn probe(&mut self, emitted: &Packed, stage: &mut Stage, words: usize, errors: &mut Errors) {
        let key_words = self.key.words();
        self.rows.index_keys();
        for start in (0..emitted.len()).step_by(BLOCK) {
            let end = (start + BLOCK).min(emitted.len());
            let rows = emitted.rows[start * words..end * words].chunks_exact(words);
            for (row, key) in rows.clone().zip(self.keys.chunks_exact_mut(key_words)) {
                self.variable_key.extract(row, key);
                self.rows.prefetch_key(key);
            }
            for ((i, row), key) in (start..end).zip(rows).zip(self.keys.chunks_exact(key_words)) {
                if self.variable_key_is_null.as_ref().is_some_and(|test| test.any(row)) {
                    continue;
                }
                let (iteration, weight) = (emitted.iterations[i], emitted.weights[i]);
                stage.begin(true, row);
                for (_, found, found_weight) in self.rows.matches(key) {
                    match weight.checked_mul(found_weight) {
                        Some(product) => stage.pair(found, iteration, product),
                        None => errors.push(overflow(self.operator, weight.signum() * found_weight.signum())),
                    }
                }
            }
        }
    }

    /// Takes in changes of the other side: pairs them with the rows that the body has seen, which are those below the iteration `last`,
    /// then remembers them.
    pub fn take(&mut self, delta: &Delta, (loop_rows, last): (&mut LoopRows, Iteration), stage: &mut Stage, errors: &mut Errors) {
        let (words, key_words) = (self.layout.words(), self.key.words());
        self.packed.clear();
        self.layout.pack_batch(&delta.rows, &mut self.packed);
        for block in 0..delta.num_rows().div_ceil(BLOCK) {
            let (start, end) = (block * BLOCK, ((block + 1) * BLOCK).min(delta.num_rows()));
            self.rows.prepare(&self.packed[start * words..end * words]);
            for i in start..end {
                let row = &self.packed[i * words..(i + 1) * words];
                if self.key_is_null.as_ref().is_some_and(|test| test.any(row)) {
                    continue;
                }
                let weight = delta.weight(i);
                let key = &mut self.keys[..key_words];
                self.key.extract(row, key);
                let operator = self.operator;
                stage.begin(false, row);
                loop_rows.matches(key, last, |found, iteration, found_weight| match weight.checked_mul(found_weight) {
                    Some(product) => stage.pair(found, iteration, product),
                    None => errors.push(overflow(operator, weight.signum() * found_weight.signum())),
                });
                if self.rows.add(row, weight).is_err() {
                    errors.push(overflow(self.operator, weight));
                }
            }
        }
    }

    pub fn capture(&mut self, full: bool) -> Option<Captured> {
        (!self.is_copy).then(|| {
            let rows = self.rows.capture(full);
            Captured::packed(self.operator, Part::Right, &self.schema, &self.layout, rows)
        })
    }

    pub fn note_everything(&mut self) {
        if !self.is_copy {
            self.rows.note_everything();
        }
    }

    pub fn restore(&mut self, context: &Context, placement: &Exchange) {
        let schema = Arc::clone(&self.schema);
        restore_part(context, Part::Right, placement, &schema, |delta| {
            let mut packed = Vec::new();
            self.layout.pack_batch(&delta.rows, &mut packed);
            for (i, row) in packed.chunks_exact(self.layout.words()).enumerate() {
                self.rows.add(row, delta.weight(i)).expect("captured weights add up");
            }
        });
        if !self.is_copy {
            self.rows.list_changes();
        }
    }

    pub fn compact(&mut self) {
        self.rows.compact();
    }
}
