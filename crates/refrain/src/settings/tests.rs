use super::*;

fn set(name: &str, value: &str) -> Result<String> {
    let mut values = Values::default();
    let definition = Definition::find(name)?;
    values.set(definition, Some(value))?;
    Ok(values.get(definition).to_owned())
}

#[test]
fn durations_are_shown_as_postgresql_shows_them() {
    for (value, shown) in [("60000", "1min"), ("60s", "1min"), ("1500", "1500ms"), ("0", "0"), ("2h", "2h"), ("90 s", "90s")] {
        assert_eq!(set("statement_timeout", value).unwrap(), shown);
    }
    assert_eq!(set("statement_timeout", "5 weeks").unwrap_err().code(), "22023");
}

#[test]
fn amounts_are_shown_as_postgresql_shows_them() {
    for (value, shown) in
        [("65536", "64MB"), ("64MB", "64MB"), ("1500 kB", "1500kB"), ("0", "0"), ("3GB", "3GB"), ("100B", "100B"), ("-1", "-1")]
    {
        assert_eq!(set("temp_file_limit", value).unwrap(), shown);
    }
    for value in ["-2", "64mb", "1.5GB", "99999999TB", "much"] {
        assert_eq!(set("loop_memory_limit", value).unwrap_err().code(), "22023", "{value}");
    }
    let mut values = Values::default();
    assert_eq!((EngineSettings::of(&values).loop_memory, EngineSettings::of(&values).temporary_files), (256 << 20, u64::MAX));
    values.set(Definition::find("temp_file_limit").unwrap(), Some("7")).unwrap();
    assert_eq!(EngineSettings::of(&values).temporary_files, 7 << 10);
}

#[test]
fn values_are_checked() {
    assert_eq!(set("reads", "EAGER").unwrap(), "eager");
    let error = set("reads", "maybe").unwrap_err();
    assert_eq!(error.message(), "invalid value for parameter \"reads\": \"maybe\"");
    assert_eq!(error.hint(), Some("Available values: strict, eager."));
    assert_eq!(set("timezone", "utc").unwrap(), "UTC");
    assert_eq!(set("no_such", "1").unwrap_err().code(), "42704");
    assert_eq!(set("admit_after_ms", "0").unwrap_err().code(), "22023");
}

#[test]
fn typed_settings_follow_the_values() {
    let mut values = Values::default();
    assert!(EngineSettings::of(&values).checkpoint_interval.is_none());
    values.set(Definition::find("checkpoint_interval_ms").unwrap(), Some("250")).unwrap();
    assert_eq!(EngineSettings::of(&values).checkpoint_interval, Some(Duration::from_millis(250)));
    values.set(Definition::find("statement_timeout").unwrap(), Some("3s")).unwrap();
    assert_eq!(SessionSettings::of(&values).statement_timeout, Some(Duration::from_secs(3)));
    values.reset();
    assert_eq!(SessionSettings::of(&values).statement_timeout, None);
}
