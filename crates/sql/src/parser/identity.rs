//! The options of an identity column in whatever order they are written: sqlparser takes them in one alone.

use datafusion_sql::sqlparser::tokenizer::{Token, TokenWithSpan};

/// The first words of options, in the order of sqlparser. `NO` belongs to the word behind it.
const ORDER: [&str; 6] = ["increment", "minvalue", "maxvalue", "start", "cache", "cycle"];

/// The tokens with the options behind each `IDENTITY` in the order of sqlparser.
pub(super) fn rewritten(mut tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let mut at = 0;
    while let Some((open, close)) = next_list(&tokens, at) {
        let mut options: Vec<(usize, Vec<TokenWithSpan>)> = Vec::new();
        let mut negated = false;
        for token in tokens.drain(open + 1..close).collect::<Vec<_>>() {
            let rank = word(&token).and_then(|word| ORDER.iter().position(|first| *first == word));
            let no = word(&token).is_some_and(|word| word == "no");
            match (rank, options.last_mut()) {
                (Some(rank), Some((last, tokens))) if negated => {
                    tokens.push(token);
                    *last = rank;
                }
                (None, Some((_, tokens))) if !no => tokens.push(token),
                (rank, _) => options.push((rank.unwrap_or(0), vec![token])),
            }
            negated = no || (negated && rank.is_none());
        }
        options.sort_by_key(|(rank, _)| *rank);
        tokens.splice(open + 1..open + 1, options.into_iter().flat_map(|(_, tokens)| tokens));
        at = close;
    }
    tokens
}

/// The parentheses behind the next `IDENTITY`.
fn next_list(tokens: &[TokenWithSpan], from: usize) -> Option<(usize, usize)> {
    let is_space = |at: &usize| matches!(tokens[*at].token, Token::Whitespace(_));
    let mut identities = (from..tokens.len()).filter(|at| word(&tokens[*at]).is_some_and(|word| word == "identity"));
    identities.find_map(|identity| {
        let open = (identity + 1..tokens.len()).find(|at| !is_space(at)).filter(|at| tokens[*at].token == Token::LParen)?;
        let close = (open..tokens.len()).find(|at| tokens[*at].token == Token::RParen)?;
        Some((open, close))
    })
}

fn word(token: &TokenWithSpan) -> Option<String> {
    match &token.token {
        Token::Word(word) if word.quote_style.is_none() => Some(word.value.to_lowercase()),
        _ => None,
    }
}
