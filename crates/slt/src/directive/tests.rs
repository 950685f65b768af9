use super::Directive;

#[test]
fn directives_are_read_and_comments_are_not() {
    assert_eq!(Directive::parse(" just a comment"), Ok(None));
    assert_eq!(Directive::parse(" refrain: checkpoint"), Ok(Some(Directive::Checkpoint)));
    assert_eq!(Directive::parse(" refrain: restart"), Ok(Some(Directive::Restart { workers: None })));
    assert_eq!(Directive::parse(" refrain: restart workers=4"), Ok(Some(Directive::Restart { workers: Some(4) })));
    assert_eq!(Directive::parse("refrain: noise off"), Ok(Some(Directive::NoiseOff)));
    assert_eq!(Directive::parse(" refrain: only"), Ok(Some(Directive::Only)));
}

#[test]
fn a_directive_that_does_not_exist_is_an_error() {
    assert!(Directive::parse(" refrain: checkpiont").is_err());
    assert!(Directive::parse(" refrain: restart workers=0").is_err());
    assert!(Directive::parse(" refrain: restart threads=2").is_err());
}
