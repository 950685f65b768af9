//! Packed rows: the cells of a row side by side in as few `u64` words as they fit.
//!
//! Cells stand in the order of decreasing width, then come the null bits, one for each nullable column that is not coded. A NULL is
//! zero bits and a null bit, a NULL of a coded column is code 0; so two rows are equal exactly when their words are. (NULL equals
//! NULL here; where SQL says otherwise, [`NullTest`] tells which rows to leave out.)
//!
//! Columns are packed and unpacked one at a time; [`Repack`] moves cells from row to row without unpacking.
//!
//! # Known limitation
//! A physical schema does not tell the codes of a text column from a `UInt32` column that is declared not null. Both are packed
//! alike, but [`NullTest`] and [`RowLayout::rows_with_null`] take a 0 in such a column for NULL. SQL has no type that gives such a column.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, PrimitiveArray, RecordBatch, RecordBatchOptions, downcast_primitive,
};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, ScalarBuffer};
use arrow::datatypes::{ArrowNativeType, DataType, Schema, SchemaRef};

use refrain_types::physical::{fixed_width_bits, is_coded, physical_type};

mod repack;

pub use repack::{NullTest, Repack};

/// How rows of some columns are packed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowLayout {
    cells: Vec<Cell>,
    words: usize,
}

/// Where a column stands in a row.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Cell {
    /// Physical.
    data_type: DataType,
    bits: u32,
    /// 0 stands for NULL.
    coded: bool,
    at: Position,
    null: Option<Position>,
}

/// A bit of a row. Cells of 128 bits start at bit 0 of a word and take the next one too, low half first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Position {
    word: usize,
    shift: u32,
}

impl Position {
    fn of_bit(bit: usize) -> Self {
        Self { word: bit / 64, shift: (bit % 64) as u32 }
    }
}

const WIDTHS: [u32; 6] = [128, 64, 32, 16, 8, 1];

impl RowLayout {
    /// The layout of rows of a schema, physical or logical.
    #[must_use]
    pub fn of_schema(schema: &Schema) -> Self {
        let types = schema.fields().iter().map(|field| (field.data_type().clone(), field.is_nullable()));
        Self::of_types(&types.collect::<Vec<_>>())
    }

    /// The layout of rows of columns of these types, physical or logical, and whether each may be NULL.
    ///
    /// # Panics
    /// When a fixed-width type has a width that no cell has.
    #[must_use]
    pub fn of_types(types: &[(DataType, bool)]) -> Self {
        let widths = types.iter().map(|(data_type, _)| fixed_width_bits(data_type).unwrap_or(32)).collect::<Vec<_>>();
        assert!(widths.iter().all(|width| WIDTHS.contains(width)), "each width has its place in the layout");
        let mut positions = vec![Position { word: 0, shift: 0 }; types.len()];
        let mut bit = 0;
        for width in WIDTHS {
            for (position, _) in positions.iter_mut().zip(&widths).filter(|(_, w)| **w == width) {
                *position = Position::of_bit(bit);
                bit += width as usize;
            }
        }
        let cells = types.iter().zip(positions).zip(&widths).map(|(((data_type, nullable), at), bits)| {
            let logically_coded = is_coded(data_type);
            let null = (*nullable && !logically_coded).then(|| {
                bit += 1;
                Position::of_bit(bit - 1)
            });
            let coded = logically_coded || (*data_type == DataType::UInt32 && !nullable);
            Cell { data_type: physical_type(data_type), bits: *bits, coded, at, null }
        });
        let cells = cells.collect();
        Self { cells, words: bit.div_ceil(64).max(1) }
    }

    /// Words of a row, at least 1.
    #[inline]
    #[must_use]
    pub fn words(&self) -> usize {
        self.words
    }

    /// How many columns a row has.
    #[must_use]
    pub fn width(&self) -> usize {
        self.cells.len()
    }

    /// Appends the packed rows of physical columns to `out`.
    ///
    /// # Panics
    /// When the columns are not what the layout is of, or a column holds NULL that may not.
    pub fn pack(&self, columns: &[ArrayRef], rows: usize, out: &mut Vec<u64>) {
        assert_eq!(columns.len(), self.cells.len(), "one array per column of the layout");
        self.pack_each(columns.iter(), rows, out, true);
    }

    /// Appends the packed rows of a physical batch to `out`.
    ///
    /// # Panics
    /// As [`Self::pack`].
    pub fn pack_batch(&self, batch: &RecordBatch, out: &mut Vec<u64>) {
        self.pack(batch.columns(), batch.num_rows(), out);
    }

    /// Appends packed rows of some columns of a physical batch to `out`; the layout is of these columns in this order.
    ///
    /// # Panics
    /// As [`Self::pack`].
    pub fn pack_columns_subset(&self, batch: &RecordBatch, columns: &[usize], out: &mut Vec<u64>) {
        assert_eq!(columns.len(), self.cells.len(), "one array per column of the layout");
        self.pack_each(columns.iter().map(|column| batch.column(*column)), batch.num_rows(), out, true);
    }

    /// The same for rows whose hash decides where they go: where the layout has no place for a NULL it becomes zero bits, as in a
    /// [`Repack`].
    ///
    /// # Panics
    /// When the columns are not what the layout is of.
    pub fn pack_for_hash(&self, batch: &RecordBatch, columns: &[usize], out: &mut Vec<u64>) {
        assert_eq!(columns.len(), self.cells.len(), "one array per column of the layout");
        self.pack_each(columns.iter().map(|column| batch.column(*column)), batch.num_rows(), out, false);
    }

    fn pack_each<'a>(&self, columns: impl Iterator<Item = &'a ArrayRef>, rows: usize, out: &mut Vec<u64>, keeps_nulls: bool) {
        let start = out.len();
        out.resize(start + rows * self.words, 0);
        let out = &mut out[start..];
        for (cell, array) in self.cells.iter().zip(columns) {
            assert_eq!(array.len(), rows, "columns of one batch have one length");
            self.pack_column(cell, array, out, keeps_nulls);
        }
    }

    fn pack_column(&self, cell: &Cell, array: &ArrayRef, out: &mut [u64], keeps_nulls: bool) {
        assert_eq!(array.data_type(), &cell.data_type, "the column has the type that the layout is of");
        let nulls = array.nulls().filter(|nulls| nulls.null_count() > 0);
        let rows = Rows { words: self.words, at: cell.at, nulls };
        match cell.bits {
            1 => {
                let values = array.as_boolean().values();
                rows.write(out, (0..values.len()).map(|i| u64::from(values.value(i))));
            }
            8 => rows.write(out, raw::<u8>(array).iter().map(|v| u64::from(*v))),
            16 => rows.write(out, raw::<u16>(array).iter().map(|v| u64::from(*v))),
            32 => rows.write(out, raw::<u32>(array).iter().map(|v| u64::from(*v))),
            64 => rows.write(out, raw::<u64>(array).iter().copied()),
            _ => {
                // Halves, since the values of an interval need not be aligned as those of a decimal are.
                let (halves, _) = raw::<u64>(array).as_chunks::<2>();
                rows.write(out, halves.iter().map(|[low, _]| *low));
                Rows { at: Position { word: cell.at.word + 1, shift: 0 }, ..rows }.write(out, halves.iter().map(|[_, high]| *high));
            }
        }
        if let Some(nulls) = nulls.filter(|_| keeps_nulls || cell.null.is_some()) {
            let at = cell.null.expect("a column that is declared not null holds no NULL");
            for (row, valid) in out.chunks_exact_mut(self.words).zip(nulls) {
                row[at.word] |= u64::from(!valid) << at.shift;
            }
        }
    }

    /// The rows packed in `words`, in a physical schema.
    ///
    /// # Panics
    /// When the schema is not what the layout is of, or `words` are no whole number of rows.
    #[must_use]
    pub fn unpack(&self, words: &[u64], schema: &SchemaRef) -> RecordBatch {
        let columns = (0..self.cells.len()).map(|column| self.unpack_column(words, column)).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(words.len() / self.words));
        RecordBatch::try_new_with_options(SchemaRef::clone(schema), columns, &options)
            .expect("the schema is the one that the layout was made of")
    }

    /// One column of the rows packed in `words`.
    ///
    /// # Panics
    /// When `words` are no whole number of rows.
    #[must_use]
    pub fn unpack_column(&self, words: &[u64], column: usize) -> ArrayRef {
        assert_eq!(words.len() % self.words, 0, "only whole rows are unpacked");
        let cell = &self.cells[column];
        let nulls = cell.null.and_then(|at| self.unpack_nulls(words, at));
        let Position { word, shift } = cell.at;
        let cells = words.chunks_exact(self.words).map(|row| row[word] >> shift);
        let buffer = match cell.bits {
            1 => {
                let value = |row: usize| (words[row * self.words + word] >> shift) & 1 == 1;
                return Arc::new(BooleanArray::new(BooleanBuffer::collect_bool(words.len() / self.words, value), nulls));
            }
            8 => Buffer::from_vec(cells.map(|v| v as u8).collect::<Vec<_>>()),
            16 => Buffer::from_vec(cells.map(|v| v as u16).collect::<Vec<_>>()),
            32 => Buffer::from_vec(cells.map(|v| v as u32).collect::<Vec<_>>()),
            64 => Buffer::from_vec(cells.collect::<Vec<_>>()),
            _ => {
                let both = |row: &[u64]| ((u128::from(row[word + 1]) << 64) | u128::from(row[word])) as i128;
                Buffer::from_vec(words.chunks_exact(self.words).map(both).collect::<Vec<_>>())
            }
        };
        array_of(&cell.data_type, buffer, words.len() / self.words, nulls)
    }

    fn unpack_nulls(&self, words: &[u64], at: Position) -> Option<NullBuffer> {
        let valid = |row: usize| (words[row * self.words + at.word] >> at.shift) & 1 == 0;
        let nulls = NullBuffer::new(BooleanBuffer::collect_bool(words.len() / self.words, valid));
        (nulls.null_count() > 0).then_some(nulls)
    }

    /// The bits of one cell of a packed row, `None` where it is NULL.
    #[inline]
    #[must_use]
    pub fn cell(&self, row: &[u64], column: usize) -> Option<u128> {
        let cell = &self.cells[column];
        if cell.null.is_some_and(|at| (row[at.word] >> at.shift) & 1 == 1) {
            return None;
        }
        let low = row[cell.at.word] >> cell.at.shift;
        let bits = match cell.bits {
            128 => u128::from(row[cell.at.word + 1]) << 64 | u128::from(low),
            bits => u128::from(low & (u64::MAX >> (64 - bits))),
        };
        (bits != 0 || !cell.coded).then_some(bits)
    }

    /// Where a cell of at most one word stands: the word, its first bit there, its bits, and the word and the bit that is set where it is
    /// NULL.
    pub(crate) fn place(&self, column: usize) -> (usize, u32, u32, Option<(usize, u64)>) {
        let Cell { at, bits, null, .. } = &self.cells[column];
        (at.word, at.shift, *bits, null.map(|null| (null.word, 1 << null.shift)))
    }

    /// Writes one cell into a packed row in which its bits are zero, as [`Repack::partial`] leaves them.
    ///
    /// # Panics
    /// When it is NULL and may not be.
    #[inline]
    pub fn set_cell(&self, row: &mut [u64], column: usize, value: Option<u128>) {
        let cell = &self.cells[column];
        match value {
            Some(bits) => {
                row[cell.at.word] |= (bits as u64) << cell.at.shift;
                if cell.bits == 128 {
                    row[cell.at.word + 1] |= (bits >> 64) as u64;
                }
            }
            None if cell.coded => {}
            None => {
                let at = cell.null.expect("a column that is declared not null holds no NULL");
                row[at.word] |= 1 << at.shift;
            }
        }
    }

    /// For each row of a physical batch, whether one of these columns is NULL; `None` when there is no such row. The layout is that of
    /// the batch.
    #[must_use]
    pub fn rows_with_null(&self, batch: &RecordBatch, columns: &[usize]) -> Option<BooleanBuffer> {
        let mut found: Option<BooleanBuffer> = None;
        for &column in columns {
            let array = batch.column(column);
            let nulls = if self.cells[column].coded {
                let codes = raw::<u32>(array);
                codes.contains(&0).then(|| BooleanBuffer::collect_bool(codes.len(), |i| codes[i] == 0))
            } else {
                array.nulls().filter(|nulls| nulls.null_count() > 0).map(|nulls| !nulls.inner())
            };
            found = match (found, nulls) {
                (Some(a), Some(b)) => Some(&a | &b),
                (a, b) => a.or(b),
            };
        }
        found
    }
}

/// Rows that one column is written into.
#[derive(Clone, Copy)]
struct Rows<'a> {
    words: usize,
    at: Position,
    nulls: Option<&'a NullBuffer>,
}

impl Rows<'_> {
    /// Writes a value into each row, but where it is NULL: what stands there in the array means nothing.
    #[inline]
    fn write(self, out: &mut [u64], values: impl Iterator<Item = u64>) {
        let Position { word, shift } = self.at;
        if let Some(nulls) = self.nulls {
            for ((row, value), valid) in out.chunks_exact_mut(self.words).zip(values).zip(nulls) {
                row[word] |= if valid { value << shift } else { 0 };
            }
        } else if self.words == 1 {
            for (row, value) in out.iter_mut().zip(values) {
                *row |= value << shift;
            }
        } else {
            for (row, value) in out.chunks_exact_mut(self.words).zip(values) {
                row[word] |= value << shift;
            }
        }
    }
}

/// The values of an array whose type is as wide as `T`, or a multiple of it.
pub(crate) fn raw<T: ArrowNativeType>(array: &ArrayRef) -> &[T] {
    macro_rules! values {
        ($t:ty) => {
            array.as_primitive::<$t>().values().inner().typed_data::<T>()
        };
    }
    downcast_primitive!(
        array.data_type() => (values),
        other => unreachable!("{other} is not a physical type of whole bytes")
    )
}

/// An array of a fixed-width type over a buffer of its values.
pub(crate) fn array_of(data_type: &DataType, buffer: Buffer, rows: usize, nulls: Option<NullBuffer>) -> ArrayRef {
    macro_rules! array {
        ($t:ty) => {{
            let values = ScalarBuffer::<<$t as ArrowPrimitiveType>::Native>::new(buffer, 0, rows);
            Arc::new(PrimitiveArray::<$t>::new(values, nulls).with_data_type(data_type.clone()))
        }};
    }
    downcast_primitive!(
        data_type => (array),
        other => unreachable!("{other} is not a physical type of whole bytes")
    )
}

#[cfg(test)]
mod tests;
