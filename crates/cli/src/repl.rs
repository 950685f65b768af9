//! The shell on a terminal: history, statements over several lines, completion.

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::PoisonError;

use reedline::{
    ColumnarMenu, EditCommand, Emacs, FileBackedHistory, KeyCode, KeyModifiers, MenuBuilder, Prompt, PromptEditMode,
    PromptHistorySearch, Reedline, ReedlineEvent, ReedlineMenu, Signal, ValidationResult, Validator, default_emacs_keybindings,
};
use refrain::TransactionStatus;
use refrain_slt::lexer;

use crate::command::Command;
use crate::complete::{Names, WordCompleter};
use crate::failure::Failure;
use crate::script::{Feeder, Input, InputKind};
use crate::shell::Shell;

const HISTORY_LINES_MAX: usize = 10_000;
const MENU: &str = "completion";

/// Reads and runs until `\q` or Ctrl-D. Errors of statements are printed and do not end it.
pub(crate) async fn run(shell: &mut Shell) -> Result<(), Failure> {
    eprintln!("Refrain {}. \\? lists the commands, \\q leaves.", env!("CARGO_PKG_VERSION"));
    let names = Names::default();
    let mut editor = editor(&names);
    let mut last = None;
    refresh(shell, &names).await;
    loop {
        match editor.read_line(&Line(shell.transaction_status()))? {
            Signal::Success(text) => {
                for input in inputs(&text) {
                    match step(shell, input, &mut last, &names).await {
                        Ok(true) => {}
                        Ok(false) => return Ok(()),
                        Err(failure) => {
                            eprintln!("{failure}");
                            break;
                        }
                    }
                }
            }
            Signal::CtrlD => return Ok(()),
            // Ctrl-C clears the line; the other signals are not asked for.
            _ => {}
        }
    }
}

fn inputs(text: &str) -> Vec<Input> {
    let mut feeder = Feeder::default();
    let mut inputs = text.split_inclusive('\n').flat_map(|line| feeder.feed(line)).collect::<Vec<_>>();
    inputs.extend(feeder.finish());
    inputs
}

async fn step(shell: &mut Shell, input: Input, last: &mut Option<String>, names: &Names) -> Result<bool, Failure> {
    match input.kind {
        InputKind::Command => Command::parse(&input.text)?.run(shell, last.as_deref()).await,
        InputKind::Statement => {
            let (tokens, _) = lexer::tokens(&input.text);
            let changes_names = tokens.first().is_some_and(|token| token.is("create") || token.is("drop"));
            let done = shell.execute(&input.text).await;
            *last = Some(input.text);
            if changes_names {
                refresh(shell, names).await;
            }
            done.map(|()| true)
        }
    }
}

/// Reads the names of tables and views again. Completion is a convenience: without an answer it keeps what it has.
async fn refresh(shell: &Shell, names: &Names) {
    let system = ["checkpoints", "loops", "memory", "operators"];
    let mut found = system.map(|name| format!("refrain.{name}")).to_vec();
    for list in ["SHOW TABLES", "SHOW VIEWS"] {
        let Ok(rows) = shell.texts(list).await else { return };
        found.extend(rows.into_iter().filter_map(|row| row.into_iter().next().flatten()));
    }
    *names.lock().unwrap_or_else(PoisonError::into_inner) = found;
}

fn editor(names: &Names) -> Reedline {
    let mut keys = default_emacs_keybindings();
    let complete = ReedlineEvent::UntilFound(vec![ReedlineEvent::Menu(MENU.to_owned()), ReedlineEvent::MenuNext]);
    keys.add_binding(KeyModifiers::NONE, KeyCode::Tab, complete);
    keys.add_binding(KeyModifiers::ALT, KeyCode::Enter, ReedlineEvent::Edit(vec![EditCommand::InsertNewline]));
    let mut editor = Reedline::create()
        .with_validator(Box::new(Complete))
        .with_completer(Box::new(WordCompleter::new(names.clone())))
        // One candidate, or what all candidates begin with, needs no menu.
        .with_quick_completions(true)
        .with_partial_completions(true)
        .with_menu(ReedlineMenu::EngineCompleter(Box::new(ColumnarMenu::default().with_name(MENU))))
        .with_edit_mode(Box::new(Emacs::new(keys)));
    match history().map(|path| FileBackedHistory::with_file(HISTORY_LINES_MAX, path)) {
        Some(Ok(history)) => editor = editor.with_history(Box::new(history)),
        Some(Err(error)) => eprintln!("WARNING:  the history is not kept: {error}"),
        None => {}
    }
    editor
}

fn history() -> Option<PathBuf> {
    std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".refrain_history"))
}

/// Enter ends the input where a statement ends; a backslash command ends with its line.
struct Complete;

impl Validator for Complete {
    fn validate(&self, text: &str) -> ValidationResult {
        let is_command = text.trim_start().starts_with('\\');
        let (_, open) = lexer::tokens(text);
        if is_command || (!open && lexer::is_blank(lexer::statements(text).rest)) {
            ValidationResult::Complete
        } else {
            ValidationResult::Incomplete
        }
    }
}

/// As psql has it: `*` in a transaction block, `!` in one that has failed.
struct Line(TransactionStatus);

impl Prompt for Line {
    fn render_prompt_left(&self) -> Cow<'_, str> {
        Cow::Borrowed("refrain")
    }

    fn render_prompt_right(&self) -> Cow<'_, str> {
        Cow::Borrowed("")
    }

    fn render_prompt_indicator(&self, _: PromptEditMode) -> Cow<'_, str> {
        Cow::Borrowed(match self.0 {
            TransactionStatus::Idle => "> ",
            TransactionStatus::InBlock => "*> ",
            TransactionStatus::Failed => "!> ",
        })
    }

    fn render_prompt_multiline_indicator(&self) -> Cow<'_, str> {
        Cow::Borrowed("      -> ")
    }

    fn render_prompt_history_search_indicator(&self, search: PromptHistorySearch) -> Cow<'_, str> {
        Cow::Owned(format!("(search: {}) ", search.term))
    }
}
