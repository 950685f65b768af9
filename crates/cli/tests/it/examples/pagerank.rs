//! PageRank by iterations over all pages, from nothing, in the same whole numbers.

use std::collections::BTreeMap;

use super::{Part, story};

const ITERATIONS: usize = 30;

fn ranks<'a>(pages: &[[&'a str; 1]], links: &[[&'a str; 2]]) -> BTreeMap<&'a str, i64> {
    let mut ranks = BTreeMap::<&str, i64>::new();
    for _ in 0..ITERATIONS {
        let mut next = pages.iter().map(|[page]| (*page, 150_000)).collect::<BTreeMap<_, _>>();
        for [src, dst] in links {
            let degree = links.iter().filter(|[from, _]| from == src).count();
            let degree = i64::try_from(degree).expect("there are few links");
            *next.entry(dst).or_default() += ranks.get(src).unwrap_or(&0) * 85 / (degree * 100);
        }
        ranks = next;
    }
    ranks
}

fn check(part: &Part) {
    let ranks = ranks(&part.rows("page"), &part.rows("link"));
    part.holds("rank", ranks.into_iter().map(|(page, millionths)| [page.to_owned(), millionths.to_string()]));
}

#[test]
fn pagerank() {
    let story = story("pagerank");
    story.parts.iter().for_each(check);
    let without_spam = "home,1809668\nblog,1071676\nspam1,992367\nspam2,992367\ndocs,965236\nshop,662024\nabout,453212\n";
    story.tells(&[
        without_spam,
        "spam1,1622178\nspam2,1525174\nhome,1371087\nblog,843174\ndocs,717465\nshop,538350\nabout,329115\n",
        without_spam,
        "home,2058340\nspam1,992367\nspam2,992367\nblog,949871\nabout,916887\ndocs,855527\njobs,586772\nshop,586772\n",
    ]);
}
