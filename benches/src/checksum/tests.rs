use super::{Answer, RowHash};

fn one(row: RowHash) -> u64 {
    let mut answer = Answer::default();
    answer.add(row, 1);
    answer.checksum
}

#[test]
fn columns_and_their_borders_count() {
    assert_ne!(one(RowHash::of_pair(&1, &2)), one(RowHash::of_pair(&2, &1)));
    assert_ne!(one(RowHash::of_pair("ab", "c")), one(RowHash::of_pair("a", "bc")));
    assert_ne!(one(RowHash::of_pair("", "a")), one(RowHash::of_pair("a", "")));
    assert_ne!(one(RowHash::of_pair("12345678", "")), one(RowHash::of_pair("12345678", "\0")));
}

#[test]
fn an_integer_hashes_alike_in_every_width() {
    assert_eq!(one(RowHash::of_pair(&-7i32, &3i32)), one(RowHash::of_pair(&-7i64, &3i64)));
}

#[test]
fn a_retraction_undoes_a_row_in_any_order() {
    let mut answer = Answer::default();
    answer.add(RowHash::of_pair("a", "b"), -1);
    answer.add(RowHash::of_pair("c", "d"), 2);
    answer.add(RowHash::of_pair("a", "b"), 1);
    answer.add(RowHash::of_pair("c", "d"), -2);
    assert_eq!(answer, Answer::default());
}
