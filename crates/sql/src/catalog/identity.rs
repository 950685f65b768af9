//! Columns that number the rows of their table: `GENERATED … AS IDENTITY`.
//!
//! Where the numbers have come to is the one thing in a catalog that moves by itself: all clones of a column share it, and what is stored is
//! where it was then. Rows say the rest: whoever restores a table passes the numbers that were written since.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use datafusion_sql::sqlparser::ast::{self, SequenceOptions};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::{Result, SqlError, code};
use crate::types::SqlType;

/// How a column numbers rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// By which the function that gives its numbers is found. No other column of the catalog has it.
    pub(crate) key: u64,
    /// What it is called in errors.
    sequence: String,
    /// `GENERATED ALWAYS`: statements bring no numbers of their own.
    pub always: bool,
    /// The first number.
    pub start: i64,
    /// From one number to the next; not 0.
    pub increment: i64,
    /// The least number.
    pub minimum: i64,
    /// The greatest.
    pub maximum: i64,
    given: Given,
}

/// The last number that was given, if any was.
#[derive(Clone, Debug, Default)]
struct Given(Arc<Mutex<Option<i64>>>);

impl PartialEq for Given {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Given {}

impl Serialize for Given {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Given {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        Ok(Self(Arc::new(Mutex::new(Option::deserialize(deserializer)?))))
    }
}

impl Identity {
    /// A column of this type that numbers rows from 1 on, or as the options say.
    ///
    /// # Errors
    /// `22023` where the type has no whole numbers or the options contradict each other, in PostgreSQL's words.
    pub fn new(always: bool, sql_type: &SqlType, options: &[SequenceOptions]) -> Result<Self> {
        let (least, greatest) = match sql_type {
            SqlType::SmallInt => (i64::from(i16::MIN), i64::from(i16::MAX)),
            SqlType::Integer => (i64::from(i32::MIN), i64::from(i32::MAX)),
            SqlType::BigInt => (i64::MIN, i64::MAX),
            _ => return Err(invalid("identity column type must be smallint, integer, or bigint")),
        };
        let (mut increment, mut minimum, mut maximum, mut start) = (1, None, None, None);
        for option in options {
            match option {
                SequenceOptions::IncrementBy(by, _) => increment = number(by)?,
                SequenceOptions::MinValue(value) => minimum = value.as_ref().map(number).transpose()?,
                SequenceOptions::MaxValue(value) => maximum = value.as_ref().map(number).transpose()?,
                SequenceOptions::StartWith(value, _) => start = Some(number(value)?),
                // How many numbers a session takes at once is nothing that it could see.
                SequenceOptions::Cache(_) => {}
                // What sqlparser says is whether it is NO CYCLE.
                SequenceOptions::Cycle(no) if *no => {}
                SequenceOptions::Cycle(_) => {
                    return Err(SqlError::unsupported("an identity column with CYCLE is not supported"));
                }
            }
        }
        if increment == 0 {
            return Err(invalid("INCREMENT must not be zero"));
        }
        for (name, value) in [("MAXVALUE", maximum), ("MINVALUE", minimum)] {
            if let Some(value) = value.filter(|value| !(least..=greatest).contains(value)) {
                return Err(invalid(format!("{name} ({value}) is out of range for sequence data type {sql_type}")));
            }
        }
        let maximum = maximum.unwrap_or(if increment > 0 { greatest } else { -1 });
        let minimum = minimum.unwrap_or(if increment > 0 { 1 } else { least });
        if minimum >= maximum {
            return Err(invalid(format!("MINVALUE ({minimum}) must be less than MAXVALUE ({maximum})")));
        }
        let start = start.unwrap_or(if increment > 0 { minimum } else { maximum });
        if start < minimum {
            return Err(invalid(format!("START value ({start}) cannot be less than MINVALUE ({minimum})")));
        }
        if start > maximum {
            return Err(invalid(format!("START value ({start}) cannot be greater than MAXVALUE ({maximum})")));
        }
        Ok(Self { key: 0, sequence: String::new(), always, start, increment, minimum, maximum, given: Given::default() })
    }

    /// Makes it that of a column of a table.
    pub(super) fn of_column(&mut self, key: u64, table: &str, column: &str) {
        (self.key, self.sequence) = (key, format!("{table}_{column}_seq"));
        self.given = Given::default();
    }

    /// The next numbers, so many of them. None is given twice.
    ///
    /// # Errors
    /// `2200H` when there are not so many left; then none is given.
    pub(crate) fn take(&self, count: usize) -> Result<Vec<i64>> {
        let mut given = self.given.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut last = *given;
        let mut numbers = Vec::with_capacity(count);
        for _ in 0..count {
            let next = match last {
                None => Some(self.start),
                Some(last) => last.checked_add(self.increment).filter(|next| (self.minimum..=self.maximum).contains(next)),
            };
            let Some(next) = next else {
                let (which, limit) = if self.increment > 0 { ("maximum", self.maximum) } else { ("minimum", self.minimum) };
                let message = format!("nextval: reached {which} value of sequence \"{}\" ({limit})", self.sequence);
                return Err(SqlError::new(code::SEQUENCE_LIMIT_EXCEEDED, message));
            };
            numbers.push(next);
            last = Some(next);
        }
        *given = last;
        Ok(numbers)
    }

    /// Rows have these numbers: those that come next are beyond them.
    pub fn pass(&self, numbers: impl IntoIterator<Item = i64>) {
        let numbers = numbers.into_iter().filter(|number| (self.minimum..=self.maximum).contains(number));
        let furthest = if self.increment > 0 { numbers.max() } else { numbers.min() };
        let mut given = self.given.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(number) = furthest {
            let is_further = |last: i64| if self.increment > 0 { number > last } else { number < last };
            if given.is_none_or(is_further) {
                *given = Some(number);
            }
        }
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "generated {} as identity", if self.always { "always" } else { "by default" })
    }
}

fn invalid(message: impl fmt::Display) -> SqlError {
    SqlError::new(code::INVALID_PARAMETER_VALUE, message)
}

/// A whole number with its sign.
fn number(expression: &ast::Expr) -> Result<i64> {
    let text = expression.to_string().replace(' ', "");
    text.parse().map_err(|_| SqlError::syntax(format!("invalid sequence option: \"{text}\" is not a whole number")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_given_once_and_rows_that_were_written_are_passed() {
        let identity = Identity::new(false, &SqlType::SmallInt, &[]).unwrap();
        assert_eq!(identity.take(3).unwrap(), [1, 2, 3]);
        assert_eq!(identity.clone().take(1).unwrap(), [4]);
        identity.pass([2, 9, 7]);
        identity.pass([8]);
        assert_eq!(identity.take(2).unwrap(), [10, 11]);
        let stored: Identity = serde_json::from_str(&serde_json::to_string(&identity).unwrap()).unwrap();
        assert_eq!(stored.take(1).unwrap(), [12]);
        identity.pass([32_766]);
        let error = identity.take(2).unwrap_err();
        assert_eq!(error.code, code::SEQUENCE_LIMIT_EXCEEDED);
        assert_eq!(identity.take(1).unwrap(), [32_767]);
    }

    #[test]
    fn downwards_the_furthest_is_the_least() {
        let by = SequenceOptions::IncrementBy(ast::Expr::value(ast::Value::Number("-5".to_owned(), false)), true);
        let identity = Identity::new(true, &SqlType::Integer, &[by]).unwrap();
        assert_eq!(identity.take(2).unwrap(), [-1, -6]);
        identity.pass([-3, -100, 7]);
        assert_eq!(identity.take(1).unwrap(), [-105]);
    }
}
