use refrain_sql::statement::CsvOptions;
use refrain_sql::{Catalog, Statement, parse};

use super::*;
use crate::display;

fn entry() -> Entry {
    let sql = "CREATE TABLE t (a INT, b TEXT, c BOOLEAN)";
    let Statement::CreateTable(create) = parse(sql).unwrap().remove(0).0 else { panic!("not a table") };
    let mut catalog = Catalog::default();
    let id = catalog.create_table(&create).unwrap();
    catalog.get(id).unwrap().clone()
}

fn read_text(text: &str, options: &CsvOptions) -> Result<Vec<Vec<Option<String>>>> {
    let entry = entry();
    let columns = [0, 1, 2];
    let mut rows = delimited::Rows::csv(Box::new(std::io::Cursor::new(text.as_bytes().to_vec())), options, "t");
    let defaults = Defaults::of(&crate::database::Database::empty(refrain_sql::Rules::default()), &entry).unwrap();
    let mut builder = RowBuilder::new(&entry, &defaults, &columns);
    while let Some(line) = rows.next()? {
        builder.add(&rows, line)?;
    }
    Ok(display::rows(&builder.finish()?))
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

#[test]
fn quotes_lines_and_nulls() {
    let text = "1,\"a \"\"b\"\", c\",t\r\n 2 ,\"\",no\n,,\n3,\"two\nlines\",on";
    let rows = read_text(text, &CsvOptions::default()).unwrap();
    assert_eq!(
        rows,
        [
            [some("1"), some("a \"b\", c"), some("t")],
            [some("2"), some(""), some("f")],
            [None, None, None],
            [some("3"), some("two\nlines"), some("t")],
        ]
    );
}

#[test]
fn options_are_followed() {
    let options = CsvOptions { header: true, delimiter: ';', null: "\\N".to_owned(), ..CsvOptions::default() };
    let rows = read_text("a;b;c\n1;\\N;t\n2;\"\\N\";f\n", &options).unwrap();
    assert_eq!(rows, [[some("1"), None, some("t")], [some("2"), some("\\N"), some("f")]]);
}

#[test]
fn errors_name_line_and_column() {
    let error = |text: &str| read_text(text, &CsvOptions::default()).unwrap_err();
    let bad = error("1,\"x\ny\",t\nabc,y,t\n");
    assert_eq!((bad.code(), bad.message()), ("22P02", "invalid input syntax for type integer: \"abc\""));
    assert_eq!(bad.detail(), Some("COPY t, line 3, column a: \"abc\""));
    assert_eq!(error("99999999999,y,t\n").message(), "value \"99999999999\" is out of range for type integer");
    assert_eq!(error("1,y\n").message(), "missing data for column \"c\"");
    assert_eq!(error("1,y,t,4\n").detail(), Some("COPY t, line 1: \"1,y,t,4\""));
    assert_eq!(error("1,\"y,t\n").message(), "unterminated CSV quoted field");
}
