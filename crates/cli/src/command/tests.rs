use std::time::Duration;

use super::Command;
use crate::format::Format;

#[test]
fn commands_are_read() {
    assert_eq!(Command::parse("\\q").unwrap(), Command::Quit);
    assert_eq!(Command::parse(" \\d  edge ; ").unwrap(), Command::Describe(Some("edge".into())));
    assert_eq!(Command::parse("\\d").unwrap(), Command::Describe(None));
    assert_eq!(Command::parse("\\dt").unwrap(), Command::Tables);
    assert_eq!(Command::parse("\\dv").unwrap(), Command::Views);
    assert_eq!(Command::parse("\\timing on").unwrap(), Command::Timing(Some(true)));
    assert_eq!(Command::parse("\\format JSON").unwrap(), Command::Format(Some(Format::Json)));
    assert_eq!(Command::parse("\\echo  two words").unwrap(), Command::Echo("two words".into()));
    assert_eq!(Command::parse("\\watch 0.5").unwrap(), Command::Watch(Duration::from_millis(500)));
}

#[test]
fn what_is_no_command_is_said_so() {
    let message = |line: &str| Command::parse(line).unwrap_err().to_string();
    assert_eq!(message("\\x 1"), "ERROR:  there is no command \\x 1; \\? lists them");
    assert_eq!(message("\\timing maybe"), "ERROR:  \\timing takes on or off; \\? lists the commands");
    assert_eq!(message("\\watch -1"), "ERROR:  \\watch takes a number of seconds; \\? lists the commands");
    assert_eq!(message("\\q now"), "ERROR:  there is no command \\q now; \\? lists them");
}
