//! Floating point numbers: the shortest digits that read back as the same number, laid out as `%g` does.

/// `real`.
pub(super) fn float4(value: f32) -> String {
    layout(value.is_nan(), value.is_infinite(), value.is_sign_negative(), &format!("{:e}", value.abs()), 6)
}

/// `double precision`.
pub(super) fn float8(value: f64) -> String {
    layout(value.is_nan(), value.is_infinite(), value.is_sign_negative(), &format!("{:e}", value.abs()), 15)
}

/// `shortest` is `d.ddde±x`; from 10^`digits` on, and below 0.0001, PostgreSQL writes an exponent.
fn layout(nan: bool, infinite: bool, negative: bool, shortest: &str, digits: i32) -> String {
    let sign = if negative { "-" } else { "" };
    if nan {
        return "NaN".to_owned();
    }
    if infinite {
        return format!("{sign}Infinity");
    }
    let (mantissa, exponent) = shortest.split_once('e').expect("the exponent format has an e");
    let exponent = exponent.parse::<i32>().expect("the exponent format has a number behind the e");
    if exponent < -4 || exponent >= digits {
        let exponent_sign = if exponent < 0 { '-' } else { '+' };
        return format!("{sign}{mantissa}e{exponent_sign}{:02}", exponent.abs());
    }
    let all = mantissa.replace('.', "");
    let text = match usize::try_from(exponent) {
        Err(_) => format!("0.{}{all}", "0".repeat(exponent.unsigned_abs() as usize - 1)),
        Ok(whole) if whole + 1 >= all.len() => format!("{all}{}", "0".repeat(whole + 1 - all.len())),
        Ok(whole) => format!("{}.{}", &all[..=whole], &all[whole + 1..]),
    };
    format!("{sign}{text}")
}
