//! Text to intervals, in the forms that PostgreSQL takes: `1 day 02:00:00`, `2 months -3 days`, `3 hours ago`, `1-2`, `P1Y2M3DT4H`.

use arrow::array::{ArrayRef, AsArray, IntervalMonthDayNanoArray};
use arrow::datatypes::IntervalMonthDayNano;
use datafusion_common::{DataFusionError, Result};
use std::sync::Arc;

const NANOS_PER_SECOND: f64 = 1e9;

/// Text to intervals.
pub(super) fn read_intervals(values: &ArrayRef) -> Result<ArrayRef> {
    let read = values.as_string::<i32>().iter().map(|text| text.map(interval).transpose());
    Ok(Arc::new(read.collect::<Result<IntervalMonthDayNanoArray>>()?))
}

/// The interval that a text stands for.
///
/// # Errors
/// When it stands for none, or for one that is out of range, in PostgreSQL's words.
pub fn interval(text: &str) -> Result<IntervalMonthDayNano> {
    let invalid = || DataFusionError::Execution(format!("invalid input syntax for type interval: \"{text}\""));
    let out_of_range = || DataFusionError::Execution(format!("interval field value out of range: \"{text}\""));
    let words = text.trim().to_lowercase();
    let sum = match words.strip_prefix('p') {
        Some(iso) => iso_8601(iso),
        None => traditional(&words),
    };
    sum.ok_or_else(invalid)?.finish().ok_or_else(out_of_range)
}

/// Fields as they are summed up; months and days may have fractions, which go down to the next field as PostgreSQL's do.
#[derive(Default)]
struct Sum {
    months: f64,
    days: f64,
    nanos: f64,
}

impl Sum {
    /// Adds so many of a unit.
    fn add(&mut self, count: f64, unit: &str) -> Option<()> {
        let months = |sum: &mut Self, per: f64| {
            let whole = (count * per).trunc();
            sum.months += whole;
            sum.add_days((count * per - whole) * 30.0);
        };
        match unit {
            "millennium" | "millennia" | "mil" | "mils" => months(self, 12_000.0),
            "century" | "centuries" | "cent" | "c" => months(self, 1_200.0),
            "decade" | "decades" | "dec" | "decs" => months(self, 120.0),
            "year" | "years" | "yr" | "yrs" | "y" => self.months += (count * 12.0).round_ties_even(),
            "month" | "months" | "mon" | "mons" => months(self, 1.0),
            "week" | "weeks" | "w" => self.add_days(count * 7.0),
            "day" | "days" | "d" => self.add_days(count),
            "hour" | "hours" | "hr" | "hrs" | "h" => self.add_seconds(count * 3_600.0),
            "minute" | "minutes" | "min" | "mins" | "m" => self.add_seconds(count * 60.0),
            "second" | "seconds" | "sec" | "secs" | "s" => self.add_seconds(count),
            "millisecond" | "milliseconds" | "msec" | "msecs" | "ms" => self.add_seconds(count / 1e3),
            "microsecond" | "microseconds" | "usec" | "usecs" | "us" => self.add_seconds(count / 1e6),
            _ => return None,
        }
        Some(())
    }

    fn add_days(&mut self, days: f64) {
        self.days += days.trunc();
        self.add_seconds(days.fract() * 86_400.0);
    }

    /// To the microsecond.
    fn add_seconds(&mut self, seconds: f64) {
        self.nanos += (seconds * 1e6).round_ties_even() * (NANOS_PER_SECOND / 1e6);
    }

    fn negate(&mut self) {
        (self.months, self.days, self.nanos) = (-self.months, -self.days, -self.nanos);
    }

    fn finish(self) -> Option<IntervalMonthDayNano> {
        let whole = |x: f64, max: f64| (x.abs() <= max).then_some(x as i64);
        let months = i32::try_from(whole(self.months, f64::from(i32::MAX))?).ok()?;
        let days = i32::try_from(whole(self.days, f64::from(i32::MAX))?).ok()?;
        // The largest float below 2^63.
        let nanos = whole(self.nanos, 9_223_372_036_854_774_784.0)?;
        Some(IntervalMonthDayNano::new(months, days, nanos))
    }
}

/// Numbers with units, a time of day, `ago` at the end.
fn traditional(text: &str) -> Option<Sum> {
    let mut sum = Sum::default();
    let text = spaced(text);
    let mut words = text.trim_start_matches('@').split_whitespace().peekable();
    words.peek()?;
    while let Some(word) = words.next() {
        if word == "ago" {
            sum.negate();
            return words.next().is_none().then_some(sum);
        }
        if word.contains(':') {
            sum.add_seconds(time(word)?);
            continue;
        }
        let digits = word.len() - word.trim_start_matches(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.')).len();
        let (number, unit) = word.split_at(digits);
        if unit.is_empty()
            && let Some(months) = years_and_months(number)
        {
            sum.months += months;
            continue;
        }
        let count = decimal(number)?;
        match (unit.is_empty(), words.peek()) {
            (false, _) => sum.add(count, unit)?,
            // A number without a unit counts seconds, but days before a time of day.
            (true, None) => sum.add_seconds(count),
            (true, Some(next)) if next.contains(':') => sum.add_days(count),
            (true, Some(_)) => sum.add(count, words.next()?)?,
        }
    }
    Some(sum)
}

/// `1h30m` as `1h 30m`.
fn spaced(text: &str) -> String {
    let mut after_letter = false;
    let mut spaced = String::with_capacity(text.len());
    for c in text.chars() {
        if after_letter && c.is_ascii_digit() {
            spaced.push(' ');
        }
        after_letter = c.is_ascii_alphabetic();
        spaced.push(c);
    }
    spaced
}

/// `1-2`, of years and months.
fn years_and_months(text: &str) -> Option<f64> {
    let (sign, digits) = signed(text);
    let (years, months) = digits.split_once('-')?;
    let months = months.parse::<u8>().ok().filter(|m| *m < 12)?;
    Some(sign * (f64::from(years.parse::<u32>().ok()?) * 12.0 + f64::from(months)))
}

/// `[-]hours:minutes[:seconds]` in seconds.
fn time(text: &str) -> Option<f64> {
    let (sign, digits) = signed(text);
    let mut parts = digits.split(':');
    let hours = f64::from(parts.next()?.parse::<u32>().ok()?);
    let minutes = f64::from(parts.next()?.parse::<u8>().ok().filter(|m| *m < 60)?);
    let seconds = parts.next().map_or(Some(0.0), decimal).filter(|s| (0.0..60.0).contains(s))?;
    parts.next().is_none().then_some(sign * (hours * 3_600.0 + minutes * 60.0 + seconds))
}

/// `1y2m3dt4h5m6s`: what is behind the `P`, in lower case.
fn iso_8601(text: &str) -> Option<Sum> {
    let (date, time) = text.split_once('t').unwrap_or((text, ""));
    let mut sum = Sum::default();
    for (part, is_time) in [(date, false), (time, true)] {
        let mut rest = part;
        while !rest.is_empty() {
            let at = rest.find(|c: char| c.is_ascii_alphabetic())?;
            let count = decimal(&rest[..at])?;
            let unit = match (&rest[at..=at], is_time) {
                ("m", false) => "month",
                (unit @ ("y" | "w" | "d"), false) | (unit @ ("h" | "m" | "s"), true) => unit,
                _ => return None,
            };
            sum.add(count, unit)?;
            rest = &rest[at + 1..];
        }
    }
    (!text.is_empty()).then_some(sum)
}

fn signed(text: &str) -> (f64, &str) {
    match text.strip_prefix('-') {
        Some(digits) => (-1.0, digits),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    }
}

/// A number without an exponent.
fn decimal(text: &str) -> Option<f64> {
    let (sign, digits) = signed(text);
    let is_number = digits.bytes().any(|b| b.is_ascii_digit()) && digits.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    is_number.then(|| digits.parse::<f64>().ok())?.map(|x| sign * x)
}
