//! `concat` and `concat_ws`, which write a boolean as `t` or `f`, as PostgreSQL shows it; everywhere else its text is `true` or `false`.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, StringArray};
use arrow::datatypes::{DataType, Field};
use datafusion_common::{Result, ScalarValue};
use datafusion_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};

use crate::bind::errors::no_function;

/// DataFusion's function behind a translation of booleans.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Concat {
    of_texts: Arc<ScalarUDF>,
    signature: Signature,
}

impl Concat {
    pub(super) fn new(of_texts: Arc<ScalarUDF>) -> Self {
        Self { of_texts, signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for Concat {
    fn name(&self) -> &str {
        self.of_texts.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        if types.is_empty() || types.iter().any(DataType::is_nested) {
            return Err(no_function(self.name(), types).into());
        }
        let one = |t: &DataType| if *t == DataType::Boolean { DataType::Boolean } else { DataType::Utf8 };
        Ok(types.iter().map(one).collect())
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.of_texts.return_type(&vec![DataType::Utf8; types.len()])
    }

    fn invoke_with_args(&self, mut args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        for (value, field) in args.args.iter_mut().zip(&mut args.arg_fields) {
            if *field.data_type() == DataType::Boolean {
                *value = letters(value);
                *field = Arc::new(Field::clone(field).with_data_type(DataType::Utf8));
            }
        }
        self.of_texts.invoke_with_args(args)
    }
}

fn letters(value: &ColumnarValue) -> ColumnarValue {
    let letter = |b: bool| if b { "t" } else { "f" };
    match value {
        ColumnarValue::Scalar(ScalarValue::Boolean(b)) => ColumnarValue::Scalar(ScalarValue::Utf8(b.map(|b| letter(b).to_owned()))),
        ColumnarValue::Scalar(_) => ColumnarValue::Scalar(ScalarValue::Utf8(None)),
        ColumnarValue::Array(values) => {
            let letters = values.as_boolean().iter().map(|b| b.map(letter)).collect::<StringArray>();
            ColumnarValue::Array(Arc::new(letters) as ArrayRef)
        }
    }
}
