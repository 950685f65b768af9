//! `md5`, as hexadecimal text.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringArray};
use arrow::datatypes::DataType;
use datafusion_common::{Result, ScalarValue};
use datafusion_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};
use md5::{Digest, Md5};

use crate::bind::errors::no_function;

/// `md5(text)` and `md5(bytea)`.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Md5Text {
    signature: Signature,
}

impl Md5Text {
    pub(super) fn new() -> Self {
        Self { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for Md5Text {
    fn name(&self) -> &'static str {
        "md5"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        match types {
            [DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null] => Ok(vec![DataType::Utf8]),
            [DataType::Binary | DataType::LargeBinary | DataType::BinaryView] => Ok(vec![DataType::Binary]),
            _ => Err(no_function("md5", types).into()),
        }
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Ok(match &args.args[0] {
            ColumnarValue::Scalar(value) => ColumnarValue::Scalar(ScalarValue::try_from_array(&digests(&value.to_array()?), 0)?),
            ColumnarValue::Array(values) => ColumnarValue::Array(digests(values)),
        })
    }
}

fn digests(values: &ArrayRef) -> ArrayRef {
    let hex = |bytes: &[u8]| Md5::digest(bytes).iter().map(|b| format!("{b:02x}")).collect::<String>();
    let texts: StringArray = match values.as_binary_opt::<i32>() {
        Some(bytes) => bytes.iter().map(|b| b.map(hex)).collect(),
        None => values.as_string::<i32>().iter().map(|s| s.map(|s| hex(s.as_bytes()))).collect(),
    };
    debug_assert_eq!(texts.len(), values.len(), "each value has a digest");
    Arc::new(texts)
}
