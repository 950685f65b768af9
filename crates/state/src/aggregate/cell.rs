//! One physical value on its own.

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer};
use arrow::datatypes::DataType;
use refrain_types::physical::{fixed_width_bits, physical_type};

use crate::layout::{array_of, raw};

/// The bits of a physical value, in the low bits of a number, the others 0; `None` is NULL, also for codes. Cells of one type are
/// equal when the values are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Cell(pub Option<u128>);

impl Cell {
    /// NULL.
    pub const NULL: Self = Self(None);
}

/// Calls `each` with the row and the value of each cell of a physical column that is not NULL. `coded` says whether the column is one of
/// codes.
pub(super) fn for_each_value(column: &ArrayRef, coded: bool, mut each: impl FnMut(usize, u128)) {
    macro_rules! values {
        ($values:expr) => {
            match column.nulls().filter(|nulls| nulls.null_count() > 0) {
                None => $values.enumerate().for_each(|(row, value)| each(row, value)),
                Some(nulls) => {
                    $values.enumerate().filter(|(row, _)| nulls.is_valid(*row)).for_each(|(row, value)| each(row, value))
                }
            }
        };
    }
    match fixed_width_bits(column.data_type()) {
        Some(1) => values!(column.as_boolean().values().iter().map(u128::from)),
        Some(8) => values!(raw::<u8>(column).iter().map(|v| u128::from(*v))),
        Some(16) => values!(raw::<u16>(column).iter().map(|v| u128::from(*v))),
        Some(32) if coded => {
            for (row, code) in raw::<u32>(column).iter().enumerate().filter(|(_, code)| **code != 0) {
                each(row, u128::from(*code));
            }
        }
        Some(32) => values!(raw::<u32>(column).iter().map(|v| u128::from(*v))),
        Some(64) => values!(raw::<u64>(column).iter().map(|v| u128::from(*v))),
        _ => values!(raw::<u64>(column).as_chunks::<2>().0.iter().map(|[low, high]| u128::from(*high) << 64 | u128::from(*low))),
    }
}

/// The cells of a physical column. `logical` is its logical type.
#[must_use]
pub fn cells(column: &ArrayRef, logical: &DataType) -> Vec<Cell> {
    let mut cells = vec![Cell::NULL; column.len()];
    for_each_value(column, refrain_types::physical::is_coded(logical), |row, value| cells[row] = Cell(Some(value)));
    cells
}

/// The physical column of these cells. `logical` is its logical type.
#[must_use]
pub fn cell_column(cells: impl ExactSizeIterator<Item = Cell> + Clone, logical: &DataType) -> ArrayRef {
    let rows = cells.len();
    let values = cells.clone().map(|cell| cell.0.unwrap_or(0));
    let coded = refrain_types::physical::is_coded(logical);
    let nulls = (!coded).then(|| NullBuffer::from_iter(cells.map(|cell| cell.0.is_some()))).filter(|nulls| nulls.null_count() > 0);
    let data_type = physical_type(logical);
    let buffer = match fixed_width_bits(&data_type) {
        Some(1) => return std::sync::Arc::new(BooleanArray::new(BooleanBuffer::from_iter(values.map(|v| v != 0)), nulls)),
        Some(8) => Buffer::from_vec(values.map(|v| v as u8).collect::<Vec<_>>()),
        Some(16) => Buffer::from_vec(values.map(|v| v as u16).collect::<Vec<_>>()),
        Some(32) => Buffer::from_vec(values.map(|v| v as u32).collect::<Vec<_>>()),
        Some(64) => Buffer::from_vec(values.map(|v| v as u64).collect::<Vec<_>>()),
        _ => Buffer::from_vec(values.map(|v| v as i128).collect::<Vec<_>>()),
    };
    array_of(&data_type, buffer, rows, nulls)
}
