//! What a name stands for that no function has: a function that takes no arguments whatever, so that the error names their types.

use arrow::datatypes::DataType;
use datafusion_common::{Result, internal_err};
use datafusion_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};

use crate::bind::errors::no_function;

/// A function that does not exist.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Missing {
    name: String,
    signature: Signature,
}

impl Missing {
    pub(super) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for Missing {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        Err(no_function(&self.name, types).into())
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Err(no_function(&self.name, types).into())
    }

    fn invoke_with_args(&self, _args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        internal_err!("function {} does not exist", self.name)
    }
}
