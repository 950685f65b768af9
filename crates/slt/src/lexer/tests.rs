use super::{Kind, is_blank, statements, tokens};

fn texts(sql: &str) -> Vec<&str> {
    tokens(sql).0.into_iter().map(|t| t.text).collect()
}

#[test]
fn strings_names_and_comments_are_taken_whole() {
    assert_eq!(
        texts("SELECT 'it''s; ok' -- a;b\n, \"a\"\"b\" /* x /* y */ ; */ FROM t.u"),
        ["SELECT", "'it''s; ok'", ",", "\"a\"\"b\"", "FROM", "t.u"]
    );
    assert_eq!(texts(r"E'a\'b' $$x;'y$$ $q$ $$ $q$ $1"), [r"E'a\'b'", "$$x;'y$$", "$q$ $$ $q$", "$", "1"]);
    assert_eq!(texts("a*b/c-1.5"), ["a", "*", "b", "/", "c", "-", "1.5"]);
}

#[test]
fn names_fold_unless_quoted() {
    let (tokens, open) = tokens("Foo \"Foo\"\"s\"");
    assert!(!open);
    assert_eq!(tokens[0].kind, Kind::Word);
    assert_eq!(tokens.iter().map(super::Token::name).collect::<Vec<_>>(), ["foo", "Foo\"s"]);
}

#[test]
fn statements_end_at_semicolons_outside_of_strings() {
    let cut = statements("SELECT ';'; ;-- c;\nSELECT 2;\n SELECT 3");
    assert_eq!(cut.complete, ["SELECT ';'", "-- c;\nSELECT 2"]);
    assert_eq!(cut.rest, "\n SELECT 3");
    assert_eq!(statements("SELECT 'a;").complete, Vec::<&str>::new());
    assert_eq!(statements("SELECT 1 /* ; */").rest, "SELECT 1 /* ; */");
}

#[test]
fn an_open_string_is_not_blank() {
    assert!(is_blank(" -- nothing\n /* here */ "));
    assert!(!is_blank("/* open"));
    assert!(!is_blank("'"));
    assert!(!is_blank("x"));
}
