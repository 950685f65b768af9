use super::{Column, Format, Kind, Row};

fn printed(format: Format) -> String {
    let columns = [Column::new("id", Kind::Number), Column::new("what", Kind::Text), Column::new("ok", Kind::Boolean)];
    let text = |t: &str| Some(t.to_owned());
    let rows: Vec<Row> =
        vec![vec![text("1"), text("a|b"), text("t")], vec![text("-20"), None, None], vec![None, text("日本\n\"x\", y"), text("f")]];
    let mut out = Vec::new();
    format.print(&mut out, &columns, &rows).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn a_table_is_aligned_by_what_is_seen() {
    let expected = "  id  |     what     |  ok
------+--------------+------
    1 | a|b          | t
  -20 | NULL         | NULL
 NULL | 日本\\n\"x\", y | f
(3 rows)
";
    assert_eq!(printed(Format::Table), expected);
}

#[test]
fn csv_tells_null_from_an_empty_string() {
    assert_eq!(printed(Format::Csv), "id,what,ok\n1,a|b,t\n-20,,\n,\"日本\n\"\"x\"\", y\",f\n");
    let mut out = Vec::new();
    Format::Csv.print(&mut out, &[Column::new("a", Kind::Text)], &[vec![Some(String::new())], vec![None]]).unwrap();
    assert_eq!(out, b"a\n\"\"\n\n");
}

#[test]
fn json_has_one_object_per_line_with_its_types() {
    let expected = r#"{"id":1,"what":"a|b","ok":true}
{"id":-20,"what":null,"ok":null}
{"id":null,"what":"日本\n\"x\", y","ok":false}
"#;
    assert_eq!(printed(Format::Json), expected);
    let mut out = Vec::new();
    let special = [vec![Some("NaN".to_owned())], vec![Some("1e+20".to_owned())]];
    Format::Json.print(&mut out, &[Column::new("x", Kind::Number)], &special).unwrap();
    assert_eq!(out, b"{\"x\":\"NaN\"}\n{\"x\":1e+20}\n");
}

#[test]
fn markdown_escapes_its_own_bars() {
    let expected =
        "| id | what | ok |\n|---:|---|---|\n| 1 | a\\|b | t |\n| -20 | NULL | NULL |\n| NULL | 日本<br>\"x\", y | f |\n";
    assert_eq!(printed(Format::Markdown), expected);
}

#[test]
fn a_stream_is_printed_row_by_row() {
    let columns = [Column::new("epoch", Kind::Number), Column::new("name", Kind::Text)];
    let mut out = Vec::new();
    Format::Table.begin(&mut out, &columns).unwrap();
    Format::Table.row(&mut out, &columns, &vec![Some("7".into()), Some("longer than its column".into())]).unwrap();
    let expected = "  epoch   |   name\n----------+----------\n        7 | longer than its column\n";
    assert_eq!(String::from_utf8(out).unwrap(), expected);
}
