//! `COPY table FROM 'file'` and `COPY table TO 'file'`, with PostgreSQL's options in both of its spellings.

use std::path::{Path, PathBuf};

use datafusion_sql::sqlparser::tokenizer::Token;

use super::{Parser, fold, settings};
use crate::error::{Result, SqlError, code};
use crate::statement::{CopyFormat, CopyFrom, CopySource, CopyTo, CsvOptions, Statement, TextOptions};

/// Options as they are written; `None` is "not said".
#[derive(Default)]
struct Options {
    format: Option<String>,
    header: Option<bool>,
    delimiter: Option<char>,
    null: Option<String>,
    quote: Option<char>,
    escape: Option<char>,
}

impl Parser<'_> {
    pub(super) fn copy(&mut self) -> Result<Statement> {
        self.expect_word("copy")?;
        if self.inner.consume_token(&Token::LParen) {
            let source = CopySource::Query(self.query()?);
            self.expect(&Token::RParen)?;
            self.expect_word("to")?;
            return self.copy_to(source);
        }
        let name = self.relation()?;
        let columns = self.optional_columns()?;
        if self.word("to") {
            return self.copy_to(CopySource::Relation { name, columns });
        }
        self.expect_word("from")?;
        let (path, format) = self.copy_file("stdin")?;
        if self.peek_word("where") {
            return Err(SqlError::unsupported("COPY … WHERE is not supported"));
        }
        Ok(Statement::CopyFrom(CopyFrom { table: name, columns, path, format }))
    }

    fn copy_to(&mut self, source: CopySource) -> Result<Statement> {
        let (path, format) = self.copy_file("stdout")?;
        Ok(Statement::CopyTo(CopyTo { source, path, format }))
    }

    /// `'file' [WITH (…)]`
    fn copy_file(&mut self, standard: &str) -> Result<(PathBuf, CopyFormat)> {
        if self.peek_word(standard) || self.peek_word("program") {
            return Err(SqlError::unsupported("COPY from or to anything but a file is not supported"));
        }
        let token = self.inner.peek_token();
        let Token::SingleQuotedString(path) = token.token else { return Err(self.unexpected(&token)) };
        self.inner.next_token();
        let path = PathBuf::from(path);
        let mut options = Options::default();
        self.word("with");
        if self.inner.consume_token(&Token::LParen) {
            loop {
                self.copy_option(&mut options)?;
                if !self.inner.consume_token(&Token::Comma) {
                    break;
                }
            }
            self.expect(&Token::RParen)?;
        } else {
            self.copy_words(&mut options)?;
        }
        let format = options.format(&path)?;
        Ok((path, format))
    }

    /// `NAME [value]`
    fn copy_option(&mut self, options: &mut Options) -> Result<()> {
        let name = fold(&self.identifier()?);
        let bare = matches!(self.peek(), Token::Comma | Token::RParen);
        match name.as_str() {
            "format" => options.format = Some(self.value()?),
            "header" => options.header = Some(bare || settings::boolean("header", &self.value()?)?),
            "delimiter" => options.delimiter = Some(self.character("delimiter")?),
            "null" => options.null = Some(self.value()?),
            "quote" => options.quote = Some(self.character("quote")?),
            "escape" => options.escape = Some(self.character("escape")?),
            "freeze" | "force_not_null" | "force_null" | "force_quote" | "encoding" => {
                return Err(SqlError::unsupported(format!("COPY option \"{name}\" is not supported")));
            }
            _ => return Err(SqlError::syntax(format!("option \"{name}\" not recognized"))),
        }
        Ok(())
    }

    /// `CSV HEADER DELIMITER ',' NULL ''`, in any order.
    fn copy_words(&mut self, options: &mut Options) -> Result<()> {
        loop {
            if self.word("csv") {
                options.format = Some("csv".to_owned());
            } else if self.word("json") {
                options.format = Some("json".to_owned());
            } else if self.word("parquet") {
                options.format = Some("parquet".to_owned());
            } else if self.word("header") {
                options.header = Some(true);
            } else if self.word("delimiter") {
                self.word("as");
                options.delimiter = Some(self.character("delimiter")?);
            } else if self.word("null") {
                self.word("as");
                options.null = Some(self.value()?);
            } else if self.word("quote") {
                self.word("as");
                options.quote = Some(self.character("quote")?);
            } else if self.word("escape") {
                self.word("as");
                options.escape = Some(self.character("escape")?);
            } else if self.peek_word("binary") {
                return Err(SqlError::unsupported("COPY format \"binary\" is not supported"));
            } else {
                return Ok(());
            }
        }
    }

    fn character(&mut self, option: &str) -> Result<char> {
        let value = self.value()?;
        let mut characters = value.chars();
        match (characters.next(), characters.next()) {
            (Some(c), None) if c.is_ascii() => Ok(c),
            _ => Err(SqlError::unsupported(format!("COPY {option} must be a single one-byte character"))),
        }
    }
}

impl Options {
    /// What is not said follows from the file's name, or is PostgreSQL's default.
    fn format(self, path: &Path) -> Result<CopyFormat> {
        let by_name = || {
            let name = path.to_string_lossy().to_lowercase();
            let name = name.strip_suffix(".gz").unwrap_or(&name).to_owned();
            ["csv", "json", "parquet"].into_iter().find(|e| name.ends_with(&format!(".{e}"))).map(str::to_owned)
        };
        match self.format.clone().or_else(by_name).as_deref() {
            Some("csv") => Ok(CopyFormat::Csv(self.csv()?)),
            Some("text") | None => Ok(CopyFormat::Text(self.text()?)),
            Some("json") => self.without_options(CopyFormat::Json),
            Some("parquet") => self.without_options(CopyFormat::Parquet),
            Some("binary") => Err(SqlError::unsupported("COPY format \"binary\" is not supported")),
            Some(other) => Err(SqlError::new(code::INVALID_PARAMETER_VALUE, format!("COPY format \"{other}\" not recognized"))),
        }
    }

    fn text(self) -> Result<TextOptions> {
        let defaults = TextOptions::default();
        for (option, is_given) in [("quote", self.quote.is_some()), ("escape", self.escape.is_some())] {
            if is_given {
                return Err(SqlError::unsupported(format!("COPY {option} available only in CSV mode")));
            }
        }
        let text = TextOptions {
            header: self.header.unwrap_or(defaults.header),
            delimiter: self.delimiter.unwrap_or(defaults.delimiter),
            null: self.null.unwrap_or(defaults.null),
        };
        check(text.delimiter, &text.null)?;
        if text.delimiter.is_ascii_lowercase() || text.delimiter.is_ascii_digit() || matches!(text.delimiter, '\\' | '.') {
            return invalid(format!("COPY delimiter cannot be \"{}\"", text.delimiter));
        }
        Ok(text)
    }

    fn csv(self) -> Result<CsvOptions> {
        let defaults = CsvOptions::default();
        let quote = self.quote.unwrap_or(defaults.quote);
        let csv = CsvOptions {
            header: self.header.unwrap_or(defaults.header),
            delimiter: self.delimiter.unwrap_or(defaults.delimiter),
            null: self.null.unwrap_or(defaults.null),
            quote,
            escape: self.escape.unwrap_or(quote),
        };
        check(csv.delimiter, &csv.null)?;
        if csv.delimiter == csv.quote {
            return Err(SqlError::unsupported("COPY delimiter and quote must be different"));
        }
        if csv.null.contains(csv.quote) {
            return Err(SqlError::unsupported("CSV quote character must not appear in the NULL specification"));
        }
        Ok(csv)
    }

    fn without_options(self, format: CopyFormat) -> Result<CopyFormat> {
        if self.header.is_some() || self.delimiter.is_some() || self.null.is_some() || self.quote.is_some() || self.escape.is_some()
        {
            return Err(SqlError::unsupported("COPY HEADER, DELIMITER, NULL, QUOTE and ESCAPE are for text and csv only"));
        }
        Ok(format)
    }
}

/// What holds for text and csv.
fn check(delimiter: char, null: &str) -> Result<()> {
    if matches!(delimiter, '\n' | '\r') {
        return invalid("COPY delimiter cannot be newline or carriage return");
    }
    if null.contains(['\n', '\r']) {
        return invalid("COPY null representation cannot use newline or carriage return");
    }
    if null.contains(delimiter) {
        return Err(SqlError::unsupported("COPY delimiter must not appear in the NULL specification"));
    }
    Ok(())
}

fn invalid<T>(message: impl std::fmt::Display) -> Result<T> {
    Err(SqlError::new(code::INVALID_PARAMETER_VALUE, message))
}
