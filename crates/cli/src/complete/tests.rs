use std::sync::{Arc, Mutex};

use super::WordCompleter;

fn candidates(line: &str) -> Vec<String> {
    let names = Arc::new(Mutex::new(vec!["edge".to_owned(), "refrain.loops".to_owned(), "select_me".to_owned()]));
    WordCompleter::new(names).candidates(line, line.len()).1
}

#[test]
fn names_come_before_keywords_in_the_case_that_is_typed() {
    assert_eq!(candidates("sel"), ["select_me", "select"]);
    assert_eq!(candidates("SEL"), ["select_me", "SELECT"]);
    assert_eq!(candidates("SELECT * FROM ed"), ["edge"]);
    assert_eq!(candidates("SELECT * FROM refrain.l"), ["refrain.loops"]);
    assert_eq!(candidates("SELECT (ma"), ["materialized view", "max"]);
}

#[test]
fn nothing_is_offered_where_no_word_begins() {
    assert_eq!(candidates(""), Vec::<String>::new());
    assert_eq!(candidates("SELECT "), Vec::<String>::new());
}
