//! The function that an identity column has for its default.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::Int64Array;
use arrow::datatypes::DataType;
use datafusion_common::{DataFusionError, Result};
use datafusion_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};

use crate::catalog::{Catalog, Identity};

/// No function that can be named begins so.
const PREFIX: &str = "\u{1}number ";

/// A call of the function of an identity column, as text.
pub(in crate::bind) fn call(identity: &Identity) -> String {
    format!("\"{PREFIX}{}\"()", identity.key)
}

/// The function of an identity column, by its name.
pub(in crate::bind) fn find(catalog: &Catalog, name: &str) -> Option<Arc<ScalarUDF>> {
    let key = name.strip_prefix(PREFIX)?.parse::<u64>().ok()?;
    let mut identities = catalog.relations().flat_map(|relation| &relation.columns).filter_map(|column| column.identity.as_ref());
    let identity = identities.find(|identity| identity.key == key)?.clone();
    Some(Arc::new(ScalarUDF::new_from_impl(Numbering {
        name: name.to_owned(),
        identity,
        signature: Signature::nullary(Volatility::Volatile),
    })))
}

#[derive(Debug, PartialEq, Eq)]
struct Numbering {
    name: String,
    identity: Identity,
    signature: Signature,
}

impl Hash for Numbering {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ScalarUDFImpl for Numbering {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int64)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let numbers = self.identity.take(args.number_rows).map_err(|error| DataFusionError::External(Box::new(error)))?;
        Ok(ColumnarValue::Array(Arc::new(Int64Array::from(numbers))))
    }
}
