//! Dates, times, timestamps and intervals in PostgreSQL's ISO style; timestamps with time zone in UTC.

const SECONDS_IN_DAY: i64 = 86_400;
const NANOS_IN_SECOND: i64 = 1_000_000_000;

/// Year, month and day of a day since 1970-01-01 (Hinnant, "chrono-compatible low-level date algorithms").
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// The date, and what goes behind it and behind a time of day on it: there is no year 0, the year before 1 is 1 BC.
fn date_and_era(days: i64) -> (String, &'static str) {
    let (year, month, day) = civil(days);
    let (year, era) = if year > 0 { (year, "") } else { (1 - year, " BC") };
    (format!("{year:04}-{month:02}-{day:02}"), era)
}

/// A day since 1970-01-01.
#[must_use]
pub fn date(days: i64) -> String {
    let (date, era) = date_and_era(days);
    date + era
}

/// Nanoseconds since midnight.
#[must_use]
pub fn time(nanos: i64) -> String {
    let seconds = nanos / NANOS_IN_SECOND;
    let (hours, minutes) = (seconds / 3_600, seconds / 60 % 60);
    format!("{hours:02}:{minutes:02}:{:02}{}", seconds % 60, fraction(nanos % NANOS_IN_SECOND))
}

/// A point `value / per_second` seconds after 1970-01-01 00:00:00.
#[must_use]
pub fn timestamp(value: i64, per_second: i64, with_zone: bool) -> String {
    let seconds = value.div_euclid(per_second);
    let nanos = value.rem_euclid(per_second) * (NANOS_IN_SECOND / per_second);
    let (date, era) = date_and_era(seconds.div_euclid(SECONDS_IN_DAY));
    let time = time(seconds.rem_euclid(SECONDS_IN_DAY) * NANOS_IN_SECOND + nanos);
    let zone = if with_zone { "+00" } else { "" };
    format!("{date} {time}{zone}{era}")
}

/// The part behind the second, without zeros at its end.
fn fraction(nanos: i64) -> String {
    if nanos == 0 {
        return String::new();
    }
    format!(".{nanos:09}").trim_end_matches('0').to_owned()
}

/// Months, days and nanoseconds: `1 year 2 mons -3 days +04:05:06`
#[must_use]
pub fn interval(months: i32, days: i32, nanos: i128) -> String {
    let mut parts = Vec::new();
    let mut negative_before = false;
    for (value, unit) in [(months / 12, "year"), (months % 12, "mon"), (days, "day")] {
        if value != 0 {
            let plus = if negative_before && value > 0 { "+" } else { "" };
            let plural = if value == 1 { "" } else { "s" };
            parts.push(format!("{plus}{value} {unit}{plural}"));
            negative_before = value < 0;
        }
    }
    if nanos != 0 || parts.is_empty() {
        let sign = match nanos {
            ..0 => "-",
            0 => "",
            1.. if negative_before => "+",
            1.. => "",
        };
        let absolute = i64::try_from(nanos.unsigned_abs()).unwrap_or(i64::MAX);
        parts.push(format!("{sign}{}", time(absolute)));
    }
    parts.join(" ")
}
