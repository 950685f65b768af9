//! The lexical surface of SQL: where words, strings, comments and statements begin and end. No grammar.
//!
//! The modes split `VALUES` lists with it, and the shell finds the end of a statement with it.

use std::ops::Range;

/// What a token is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A keyword, a name or a number.
    Word,
    /// A name in double quotes.
    Quoted,
    /// A string: `'…'`, `E'…'`, `$tag$…$tag$`.
    Literal,
    /// One character of anything else.
    Symbol,
}

/// A token and where it stands in the text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Token<'a> {
    /// What it is.
    pub kind: Kind,
    /// Its text.
    pub text: &'a str,
    /// Byte offsets in the whole text.
    pub span: Range<usize>,
}

impl Token<'_> {
    /// Whether it is this keyword, in any case.
    #[must_use]
    pub fn is(&self, keyword: &str) -> bool {
        self.kind == Kind::Word && self.text.eq_ignore_ascii_case(keyword)
    }

    /// Whether it is this character.
    #[must_use]
    pub fn is_symbol(&self, symbol: &str) -> bool {
        self.kind == Kind::Symbol && self.text == symbol
    }

    /// The name it stands for: folded to lower case unless it is quoted.
    #[must_use]
    pub fn name(&self) -> String {
        match self.kind {
            Kind::Quoted => self.text[1..self.text.len() - 1].replace("\"\"", "\""),
            _ => self.text.to_lowercase(),
        }
    }
}

/// The tokens of a text without its comments, and whether it ends inside a string or a comment.
#[must_use]
pub fn tokens(text: &str) -> (Vec<Token<'_>>, bool) {
    let mut tokens = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let (kind, end) = next(text, at);
        let Some(end) = end else { return (tokens, true) };
        if let Some(kind) = kind {
            tokens.push(Token { kind, text: &text[at..end], span: at..end });
        }
        at = end;
    }
    (tokens, false)
}

/// Kind (`None` for blanks and comments) and end (`None` when it never ends) of what begins at `at`.
fn next(text: &str, at: usize) -> (Option<Kind>, Option<usize>) {
    let rest = &text[at..];
    let first = rest.chars().next().expect("the caller stops at the end");
    let until = |closing: &str, from: usize| rest[from..].find(closing).map(|i| at + from + i + closing.len());
    match first {
        c if c.is_whitespace() => (None, Some(at + c.len_utf8())),
        '-' if rest.starts_with("--") => (None, Some(rest.find('\n').map_or(text.len(), |i| at + i + 1))),
        '/' if rest.starts_with("/*") => (None, nested_comment(rest).map(|n| at + n)),
        '\'' => (Some(Kind::Literal), quoted(rest, '\'', 1, false).map(|n| at + n)),
        'e' | 'E' if rest[1..].starts_with('\'') => (Some(Kind::Literal), quoted(rest, '\'', 2, true).map(|n| at + n)),
        '"' => (Some(Kind::Quoted), quoted(rest, '"', 1, false).map(|n| at + n)),
        '$' => match dollar_tag(rest) {
            Some(tag) => (Some(Kind::Literal), until(tag, tag.len())),
            None => (Some(Kind::Symbol), Some(at + 1)),
        },
        c if is_word(c) => (Some(Kind::Word), Some(at + rest.find(|c| !is_word(c) && c != '.').unwrap_or(rest.len()))),
        c => (Some(Kind::Symbol), Some(at + c.len_utf8())),
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Bytes up to and with the closing quote; a doubled quote does not close, nor does one after a backslash where those escape.
fn quoted(rest: &str, quote: char, from: usize, backslash: bool) -> Option<usize> {
    let mut chars = rest[from..].char_indices().peekable();
    while let Some((i, c)) = chars.next() {
        if backslash && c == '\\' {
            chars.next();
        } else if c == quote && chars.next_if(|(_, c)| *c == quote).is_none() {
            return Some(from + i + quote.len_utf8());
        }
    }
    None
}

/// Bytes up to and with the `*/` that closes; comments nest in PostgreSQL.
fn nested_comment(rest: &str) -> Option<usize> {
    let mut depth = 0usize;
    let mut at = 0;
    while let Some(i) = rest[at..].find(['*', '/']) {
        let here = &rest[at + i..];
        at += i + 2;
        if here.starts_with("/*") {
            depth += 1;
        } else if here.starts_with("*/") {
            depth -= 1;
            if depth == 0 {
                return Some(at);
            }
        } else {
            at -= 1;
        }
    }
    None
}

/// The opening `$tag$`, if that is what stands here.
fn dollar_tag(rest: &str) -> Option<&str> {
    let end = rest[1..].find('$')? + 2;
    let tag = &rest[1..end - 1];
    (tag.chars().all(is_word) && !tag.starts_with(|c: char| c.is_ascii_digit())).then_some(&rest[..end])
}

/// A text cut at its semicolons.
#[derive(PartialEq, Eq, Debug)]
pub struct Statements<'a> {
    /// Complete statements without the semicolon; none is empty.
    pub complete: Vec<&'a str>,
    /// What follows the last semicolon: blank, or a statement that has not ended.
    pub rest: &'a str,
}

/// Cuts a text at the semicolons that are not in strings or comments.
#[must_use]
pub fn statements(text: &str) -> Statements<'_> {
    let mut complete = Vec::new();
    let mut from = 0;
    let mut empty = true;
    for token in tokens(text).0 {
        if !token.is_symbol(";") {
            empty = false;
            continue;
        }
        if !empty {
            complete.push(text[from..token.span.start].trim());
        }
        from = token.span.end;
        empty = true;
    }
    Statements { complete, rest: &text[from..] }
}

/// Whether there is nothing in it but blanks and comments.
#[must_use]
pub fn is_blank(text: &str) -> bool {
    let (tokens, open) = tokens(text);
    tokens.is_empty() && !open
}

#[cfg(test)]
mod tests;
