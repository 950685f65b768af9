//! `USING KEY`: the columns that a clause names.

use arrow::datatypes::{DataType, Schema};

use super::{KeyWinner, RecursionKey};
use crate::error::{Result, SqlError, code};
use crate::parser::using_key::UsingKey;
use crate::types::type_name;

/// What a clause says of the columns of its query.
pub(super) fn resolved(clause: &UsingKey, variable: &Schema) -> Result<RecursionKey> {
    let column = |name: &String| match variable.fields().iter().position(|field| field.name() == name) {
        Some(column) => Ok(column),
        None => Err(SqlError::syntax(format!("key column \"{name}\" not in WITH query column list"))),
    };
    let columns = clause.columns.iter().map(column).collect::<Result<Vec<_>>>()?;
    let of = clause.function.as_ref().map(|(_, name)| column(name)).transpose()?;
    let all = columns.iter().chain(&of).collect::<Vec<_>>();
    if let Some((_, twice)) = all.iter().enumerate().find(|(i, column)| all[..*i].contains(column)) {
        let name = variable.field(**twice).name();
        return Err(SqlError::new(code::DUPLICATE_COLUMN, format!("key column \"{name}\" specified more than once")));
    }
    if columns.is_empty() {
        return Err(SqlError::syntax("USING KEY names no key column"));
    }
    let winner = match clause.function.as_ref().zip(of) {
        None => KeyWinner::Latest,
        Some(((function, _), column)) => winner(function, column, variable.field(column).data_type())?,
    };
    Ok(RecursionKey { columns, winner })
}

fn winner(function: &str, column: usize, data_type: &DataType) -> Result<KeyWinner> {
    match function {
        "min" | "max" if matches!(data_type, DataType::Interval(_)) => {}
        "min" => return Ok(KeyWinner::Least(column)),
        "max" => return Ok(KeyWinner::Greatest(column)),
        "bool_and" | "every" | "bool_or" if *data_type != DataType::Boolean => {
            let message = format!("function {function}({}) does not exist", type_name(data_type));
            return Err(SqlError::new(code::UNDEFINED_FUNCTION, message));
        }
        "bool_and" | "every" => return Ok(KeyWinner::Least(column)),
        "bool_or" => return Ok(KeyWinner::Greatest(column)),
        _ => {}
    }
    Err(SqlError::unsupported(format!("USING KEY with {function}({}) is not supported", type_name(data_type)))
        .with_hint("A key has the row with the least or the greatest value: min, max, bool_and, bool_or."))
}
