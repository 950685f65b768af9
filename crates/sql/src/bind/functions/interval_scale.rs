//! An interval times a number, or divided by one. What is left over of a field goes down to the next one, a month as 30 days and a day as 24
//! hours, as in PostgreSQL (its `interval_mul` and `interval_div`).

use std::sync::{Arc, LazyLock};

use arrow::array::{AsArray, IntervalMonthDayNanoArray};
use arrow::datatypes::{DataType, Float64Type, IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalUnit};
use datafusion_common::{DataFusionError, Result, ScalarValue};
use datafusion_expr::{ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility, cast};

const INTERVAL: DataType = DataType::Interval(IntervalUnit::MonthDayNano);
const DAYS_PER_MONTH: f64 = 30.0;
const SECONDS_PER_DAY: f64 = 86_400.0;
const NANOS_PER_MICRO: i64 = 1_000;

/// What happens to each field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Scaling {
    Multiplied,
    Divided,
}

/// An interval and a number, whatever their types are exactly.
pub(crate) fn scaled(interval: Expr, scaling: Scaling, number: Expr) -> Expr {
    static FUNCTIONS: LazyLock<[Arc<ScalarUDF>; 2]> = LazyLock::new(|| {
        [Scaling::Multiplied, Scaling::Divided].map(|scaling| {
            let signature = Signature::exact(vec![INTERVAL, DataType::Float64], Volatility::Immutable);
            Arc::new(ScalarUDF::new_from_impl(IntervalScale { scaling, signature }))
        })
    });
    FUNCTIONS[scaling as usize].call(vec![cast(interval, INTERVAL), cast(number, DataType::Float64)])
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct IntervalScale {
    scaling: Scaling,
    signature: Signature,
}

impl ScalarUDFImpl for IntervalScale {
    fn name(&self) -> &'static str {
        match self.scaling {
            Scaling::Multiplied => "interval_mul",
            Scaling::Divided => "interval_div",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(INTERVAL)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let (intervals, numbers) = (arrays[0].as_primitive::<IntervalMonthDayNanoType>(), arrays[1].as_primitive::<Float64Type>());
        let pairs = intervals.iter().zip(numbers);
        let scaled = pairs.map(|(interval, number)| interval.zip(number).map(|(i, n)| self.scaling.of(i, n)).transpose());
        let scaled: IntervalMonthDayNanoArray = scaled.collect::<Result<_>>()?;
        if args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_))) {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&scaled, 0)?));
        }
        Ok(ColumnarValue::Array(Arc::new(scaled)))
    }
}

impl Scaling {
    fn of(self, interval: IntervalMonthDayNano, number: f64) -> Result<IntervalMonthDayNano> {
        let out_of_range = || DataFusionError::Execution("interval out of range".to_owned());
        if self == Self::Divided && number == 0.0 {
            return Err(DataFusionError::Execution("division by zero".to_owned()));
        }
        let apply = |field: f64| match self {
            Self::Multiplied => field * number,
            Self::Divided => field / number,
        };
        let to_micros = |x: f64| (x * 1e6).round_ties_even() / 1e6;
        let field = |x: f64| (x.abs() <= f64::from(i32::MAX)).then_some(x.trunc()).ok_or_else(out_of_range);

        let (months, days) = (apply(f64::from(interval.months)), apply(f64::from(interval.days)));
        let (whole_months, mut whole_days) = (field(months)?, field(days)?);
        let days_of_months = to_micros((months - whole_months) * DAYS_PER_MONTH);
        let mut seconds = to_micros((days - whole_days + days_of_months.fract()) * SECONDS_PER_DAY);
        if seconds.abs() >= SECONDS_PER_DAY {
            whole_days += (seconds / SECONDS_PER_DAY).trunc();
            seconds -= (seconds / SECONDS_PER_DAY).trunc() * SECONDS_PER_DAY;
        }
        let whole_days = field(whole_days + days_of_months.trunc())?;
        let micros = (apply((interval.nanoseconds / NANOS_PER_MICRO) as f64) + seconds * 1e6).round_ties_even();
        // Below 2^63 nanoseconds.
        let nanos = (micros.abs() < 9.2e15).then_some(micros as i64 * NANOS_PER_MICRO).ok_or_else(out_of_range)?;
        Ok(IntervalMonthDayNano::new(whole_months as i32, whole_days as i32, nanos))
    }
}
