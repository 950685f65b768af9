//! Whole columns and batches from logical to physical and back.
//!
//! Text and binary are coded by their bytes. Any other type of no fixed width (lists, structs, wide decimals, …) is coded by arrow's
//! row format, whose bytes are equal for equal values and ordered as the values are. The codes of a dictionary-encoded array are
//! those of its values, so that it does not matter how text arrives.
//!
//! Floats are given one NaN each on the way in. Where −0 must equal 0 (keys, DISTINCT, UNION) the operator calls
//! [`canonicalise_zeros`] as well: elsewhere −0 is a value of its own, as in PostgreSQL.
//!
//! # Known limitation
//! The text of one batch is at most 2 GiB. Floats inside lists and structs keep their NaN's bits.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BinaryArray, DictionaryArray, PrimitiveArray, RecordBatch, RecordBatchOptions,
    StringArray, UInt32Array, UInt64Array, new_null_array,
};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::compute::{CastOptions, cast, cast_with_options, take};
use arrow::datatypes::{DataType, Field, Float32Type, Float64Type, Schema, SchemaRef, UInt32Type};
use arrow::row::{RowConverter, SortField};
use refrain_types::physical::{is_coded, physical_schema};

use crate::Dictionary;

/// The physical column of a logical one.
///
/// # Panics
/// When the column is of a type that has no rows in arrow; the planner admits no such type.
#[must_use]
pub fn encode_column(dictionary: &Dictionary, logical: &ArrayRef) -> ArrayRef {
    match logical.data_type() {
        DataType::Float32 | DataType::Float64 => canonicalise_nans(logical),
        other if is_coded(other) => Arc::new(UInt32Array::new(encode(dictionary, logical).into(), None)),
        _ => Arc::clone(logical),
    }
}

/// The logical column of a physical one.
///
/// # Panics
/// When a code was not made from a value of this type.
#[must_use]
pub fn decode_column(dictionary: &Dictionary, physical: &ArrayRef, logical: &DataType) -> ArrayRef {
    if is_coded(logical) {
        decode(dictionary, physical.as_primitive::<UInt32Type>().values(), logical)
    } else {
        Arc::clone(physical)
    }
}

/// The physical batch of a logical one.
///
/// # Panics
/// As [`encode_column`].
#[must_use]
pub fn encode_batch(dictionary: &Dictionary, logical: &RecordBatch) -> RecordBatch {
    let columns = logical.columns().iter().map(|column| encode_column(dictionary, column)).collect();
    batch(physical_schema(&logical.schema()), columns, logical.num_rows())
}

/// The logical batch of a physical one.
///
/// # Panics
/// As [`decode_column`].
#[must_use]
pub fn decode_batch(dictionary: &Dictionary, physical: &RecordBatch, logical: &SchemaRef) -> RecordBatch {
    let decode = |(column, field): (&ArrayRef, &Arc<Field>)| decode_column(dictionary, column, field.data_type());
    let columns = physical.columns().iter().zip(logical.fields()).map(decode).collect();
    batch(Arc::clone(logical), columns, physical.num_rows())
}

/// The batch as it is written to disk: text columns are dictionary arrays of the values that occur in them, the others logical.
/// [`encode_batch`] reads it back.
///
/// # Panics
/// As [`decode_column`].
#[must_use]
pub fn decode_batch_for_disk(dictionary: &Dictionary, physical: &RecordBatch, logical: &SchemaRef) -> RecordBatch {
    let columns = physical.columns().iter().zip(logical.fields()).map(|(column, field)| {
        if is_text(field.data_type()) {
            decode_to_dictionary_array(dictionary, column.as_primitive::<UInt32Type>().values())
        } else {
            decode_column(dictionary, column, field.data_type())
        }
    });
    batch(disk_schema(logical), columns.collect(), physical.num_rows())
}

/// The schema of [`decode_batch_for_disk`].
#[must_use]
pub fn disk_schema(logical: &Schema) -> SchemaRef {
    let text = DataType::Dictionary(Box::new(DataType::UInt32), Box::new(DataType::Utf8));
    let fields = logical.fields().iter().map(|field| {
        if is_text(field.data_type()) {
            Arc::new(Field::new(field.name(), text.clone(), field.is_nullable()))
        } else {
            Arc::clone(field)
        }
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// The column with one bit pattern for NaN. Columns that are not of floats are as they were.
#[must_use]
pub fn canonicalise_nans(column: &ArrayRef) -> ArrayRef {
    match column.data_type() {
        DataType::Float32 => {
            let other = |v: f32| v.is_nan() && v.to_bits() != f32::NAN.to_bits();
            map_floats::<Float32Type>(column, other, f32::NAN)
        }
        DataType::Float64 => {
            let other = |v: f64| v.is_nan() && v.to_bits() != f64::NAN.to_bits();
            map_floats::<Float64Type>(column, other, f64::NAN)
        }
        _ => Arc::clone(column),
    }
}

/// The column with 0 for −0. Columns that are not of floats are as they were.
#[must_use]
pub fn canonicalise_zeros(column: &ArrayRef) -> ArrayRef {
    match column.data_type() {
        DataType::Float32 => map_floats::<Float32Type>(column, |v| v.to_bits() == (-0.0f32).to_bits(), 0.0),
        DataType::Float64 => map_floats::<Float64Type>(column, |v| v.to_bits() == (-0.0f64).to_bits(), 0.0),
        _ => Arc::clone(column),
    }
}

/// Puts one value in the place of each that is found; mostly there is none.
fn map_floats<T: ArrowPrimitiveType>(column: &ArrayRef, found: impl Fn(T::Native) -> bool, put: T::Native) -> ArrayRef {
    let array = column.as_primitive::<T>();
    if array.values().iter().any(|v| found(*v)) {
        let values = array.values().iter().map(|v| if found(*v) { put } else { *v }).collect::<Vec<_>>();
        Arc::new(PrimitiveArray::<T>::new(values.into(), array.nulls().cloned()))
    } else {
        Arc::clone(column)
    }
}

fn batch(schema: SchemaRef, columns: Vec<ArrayRef>, rows: usize) -> RecordBatch {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(schema, columns, &options).expect("columns were made for this schema")
}

/// Whether values of a type are text, which on disk is in dictionary arrays.
#[must_use]
pub fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

/// Codes of a column of a coded type, 0 where it is NULL.
fn encode(dictionary: &Dictionary, logical: &ArrayRef) -> Vec<u32> {
    let mut codes = Vec::new();
    match logical.data_type() {
        DataType::Utf8 => dictionary.intern_all(logical.as_string::<i32>().iter().map(|v| v.map(str::as_bytes)), &mut codes),
        DataType::LargeUtf8 => dictionary.intern_all(logical.as_string::<i64>().iter().map(|v| v.map(str::as_bytes)), &mut codes),
        DataType::Utf8View => dictionary.intern_all(logical.as_string_view().iter().map(|v| v.map(str::as_bytes)), &mut codes),
        DataType::Binary => dictionary.intern_all(logical.as_binary::<i32>().iter(), &mut codes),
        DataType::LargeBinary => dictionary.intern_all(logical.as_binary::<i64>().iter(), &mut codes),
        DataType::BinaryView => dictionary.intern_all(logical.as_binary_view().iter(), &mut codes),
        DataType::Dictionary(..) => encode_dictionary_array(dictionary, logical, &mut codes),
        DataType::Null => codes.resize(logical.len(), 0),
        other => encode_rows(dictionary, logical, other, &mut codes),
    }
    codes
}

/// Each value of the array's dictionary is looked up once, if it is used at all.
fn encode_dictionary_array(dictionary: &Dictionary, logical: &ArrayRef, codes: &mut Vec<u32>) {
    let array = logical.as_any_dictionary();
    let strict = CastOptions { safe: false, ..CastOptions::default() };
    let keys = cast_with_options(array.keys(), &DataType::UInt32, &strict).expect("a dictionary has at most 2^32 values");
    let keys = keys.as_primitive::<UInt32Type>();
    let mut by_value = vec![0; array.values().len()];
    // 1 marks what is used. What stands under a NULL may be any number.
    match keys.nulls() {
        None => keys.values().iter().for_each(|key| by_value[*key as usize] = 1),
        Some(_) => keys.iter().flatten().for_each(|key| by_value[key as usize] = 1),
    }
    let used = (0..by_value.len() as u64).filter(|value| by_value[*value as usize] == 1).collect::<Vec<_>>();
    let values = take(array.values(), &UInt64Array::from(used.clone()), None).expect("indices are within the values");
    // Values of a fixed width are coded too when they stand in a dictionary: the type of the column is a coded one.
    let values = match values.data_type() {
        other if is_coded(other) => encode(dictionary, &values),
        other => {
            let mut codes = Vec::new();
            encode_rows(dictionary, &values, other, &mut codes);
            codes
        }
    };
    for (value, code) in used.into_iter().zip(values) {
        by_value[value as usize] = code;
    }
    match keys.nulls() {
        None => codes.extend(keys.values().iter().map(|key| by_value[*key as usize])),
        Some(_) => codes.extend(keys.iter().map(|key| key.map_or(0, |key| by_value[key as usize]))),
    }
}

fn encode_rows(dictionary: &Dictionary, logical: &ArrayRef, data_type: &DataType, codes: &mut Vec<u32>) {
    let rows =
        row_converter(data_type).convert_columns(std::slice::from_ref(logical)).expect("the column has the converter's type");
    let nulls = logical.logical_nulls();
    let is_valid = |row: usize| nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row));
    dictionary.intern_all((0..rows.num_rows()).map(|row| is_valid(row).then(|| rows.row(row).data())), codes);
}

fn row_converter(data_type: &DataType) -> RowConverter {
    RowConverter::new(vec![SortField::new(data_type.clone())]).expect("the planner admits only types that rows can be made of")
}

fn decode(dictionary: &Dictionary, codes: &[u32], logical: &DataType) -> ArrayRef {
    match logical {
        DataType::Utf8 => Arc::new(decode_text(dictionary, codes)),
        DataType::LargeUtf8 | DataType::Utf8View => {
            cast(&decode_text(dictionary, codes), logical).expect("text is text in each of its forms")
        }
        DataType::Binary => {
            let (offsets, values, nulls) = decode_bytes(dictionary, codes);
            Arc::new(BinaryArray::new(offsets, values, nulls))
        }
        DataType::LargeBinary | DataType::BinaryView => {
            cast(&decode(dictionary, codes, &DataType::Binary), logical).expect("bytes are bytes in each of their forms")
        }
        DataType::Dictionary(_, value) if is_coded(value) => {
            cast(&decode(dictionary, codes, value), logical).expect("values can be put into a dictionary array")
        }
        DataType::Dictionary(_, value) => {
            cast(&decode_rows(dictionary, codes, value), logical).expect("values can be put into a dictionary array")
        }
        DataType::Null => new_null_array(logical, codes.len()),
        other => decode_rows(dictionary, codes, other),
    }
}

fn decode_text(dictionary: &Dictionary, codes: &[u32]) -> StringArray {
    let (offsets, values, nulls) = decode_bytes(dictionary, codes);
    StringArray::try_new(offsets, values, nulls).expect("codes of a text column stand for text")
}

fn decode_bytes(dictionary: &Dictionary, codes: &[u32]) -> (OffsetBuffer<i32>, Buffer, Option<NullBuffer>) {
    let mut offsets = Vec::with_capacity(codes.len() + 1);
    // A guess from the first values saves most of the growing.
    let sample = codes.iter().take(16).map(|code| if *code == 0 { 0 } else { dictionary.bytes(*code).len() }).sum::<usize>();
    let mut values = Vec::with_capacity(sample * codes.len() / codes.len().clamp(1, 16));
    offsets.push(0);
    for &code in codes {
        if code != 0 {
            values.extend_from_slice(dictionary.bytes(code));
        }
        offsets.push(i32::try_from(values.len()).expect("the text of one batch is at most 2 GiB"));
    }
    (OffsetBuffer::new(offsets.into()), Buffer::from_vec(values), nulls_of(codes))
}

fn decode_rows(dictionary: &Dictionary, codes: &[u32], logical: &DataType) -> ArrayRef {
    let converter = row_converter(logical);
    // The row format spells out NULL as well; any row of it will do.
    let null_row = converter.convert_columns(&[new_null_array(logical, 1)]).expect("the column has the converter's type");
    let parser = converter.parser();
    let rows = codes.iter().map(|code| parser.parse(if *code == 0 { null_row.row(0).data() } else { dictionary.bytes(*code) }));
    let mut columns = converter.convert_rows(rows).expect("codes of a column stand for values of its type");
    columns.pop().expect("one column went in")
}

fn nulls_of(codes: &[u32]) -> Option<NullBuffer> {
    codes.contains(&0).then(|| NullBuffer::from_iter(codes.iter().map(|code| *code != 0)))
}

fn decode_to_dictionary_array(dictionary: &Dictionary, codes: &[u32]) -> ArrayRef {
    let mut places: HashMap<u32, u32, BuildHasherDefault<CodeHasher>> = HashMap::default();
    let mut used = Vec::new();
    let keys = codes.iter().map(|&code| match code {
        0 => 0,
        _ => *places.entry(code).or_insert_with(|| {
            used.push(code);
            used.len() as u32 - 1
        }),
    });
    let keys = UInt32Array::new(ScalarBuffer::from(keys.collect::<Vec<_>>()), nulls_of(codes));
    let values = decode_text(dictionary, &used);
    Arc::new(DictionaryArray::<UInt32Type>::try_new(keys, Arc::new(values)).expect("keys are places of values"))
}

/// Codes are counters: one multiplication spreads them.
#[derive(Default)]
struct CodeHasher(u64);

impl Hasher for CodeHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write_u32(&mut self, code: u32) {
        self.0 = crate::hash_word(u64::from(code));
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("only codes are hashed");
    }
}

#[cfg(test)]
mod tests;
