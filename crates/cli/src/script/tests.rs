use super::{Feeder, Input, InputKind};

fn inputs(text: &str) -> Vec<(usize, String)> {
    let mut feeder = Feeder::default();
    let mut inputs = text.split_inclusive('\n').flat_map(|line| feeder.feed(line)).collect::<Vec<_>>();
    inputs.extend(feeder.finish());
    inputs.into_iter().map(|Input { text, line, .. }| (line, text)).collect()
}

#[test]
fn statements_come_as_they_end_with_the_line_they_begin_on() {
    let text = "-- a script;\nSELECT 1;  SELECT\n 2;\n\nSELECT ';\n';\n/* open\n; */ SELECT 3";
    let expected = [(2, "-- a script;\nSELECT 1"), (2, "SELECT\n 2"), (5, "SELECT ';\n'"), (8, "/* open\n; */ SELECT 3")];
    assert_eq!(inputs(text), expected.map(|(line, text)| (line, text.to_owned())));
}

#[test]
fn a_backslash_is_a_command_only_between_statements() {
    let mut feeder = Feeder::default();
    let command = feeder.feed("  \\timing on\n");
    assert_eq!(command, [Input { kind: InputKind::Command, text: "\\timing on".into(), line: 1 }]);
    assert_eq!(feeder.feed("SELECT E'\n"), []);
    assert_eq!(feeder.feed("\\n';\n").len(), 1);
    assert_eq!(feeder.feed("\\q\n")[0].line, 4);
    assert_eq!(feeder.finish(), None);
}

#[test]
fn blanks_and_comments_at_the_end_are_no_statement() {
    assert_eq!(inputs("SELECT 1;\n-- the end\n"), [(1, "SELECT 1".to_owned())]);
    assert_eq!(inputs(""), []);
    assert_eq!(inputs("SELECT 'open"), [(1, "SELECT 'open".to_owned())]);
}
