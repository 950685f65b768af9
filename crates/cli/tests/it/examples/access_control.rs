//! What a subject has, by a search from it: a tuple leads from a subject to a relation to an object, which is a subject in turn.

use std::collections::BTreeSet;

use super::{Part, story};

/// Relations to objects that one leads to.
fn next<'a>(tuples: &[[&'a str; 3]], object: &str, relation: &'a str) -> Vec<(&'a str, &'a str)> {
    let set = format!("{object}#{relation}");
    let mut next = tuples
        .iter()
        .filter(|[_, _, subject]| *subject == set)
        .map(|[object, relation, _]| (*object, *relation))
        .collect::<Vec<_>>();
    if let Some([object, ..]) = tuples.iter().find(|tuple| tuple[0] == object && relation == "editor") {
        next.push((object, "viewer"));
    }
    if relation != "member" {
        let inside = tuples.iter().filter(|[_, is, folder]| *is == "parent" && *folder == object);
        next.extend(inside.map(|[inside, ..]| (*inside, relation)));
    }
    next
}

fn reached<'a>(tuples: &[[&'a str; 3]], subject: &str) -> BTreeSet<(&'a str, &'a str)> {
    let direct = tuples.iter().filter(|[_, relation, who]| *relation != "parent" && *who == subject);
    let mut todo = direct.map(|[object, relation, _]| (*object, *relation)).collect::<Vec<_>>();
    let mut reached = BTreeSet::new();
    while let Some((object, relation)) = todo.pop() {
        if reached.insert((object, relation)) {
            todo.extend(next(tuples, object, relation));
        }
    }
    reached
}

fn check(part: &Part) {
    let tuples = part.rows::<3>("tuple");
    let (mut holds, mut can_read) = (Vec::new(), Vec::new());
    for subject in tuples.iter().map(|[_, _, subject]| *subject).collect::<BTreeSet<_>>() {
        let reached = reached(&tuples, subject);
        for (object, relation) in &reached {
            holds.push([*object, *relation, subject].map(str::to_owned));
            let person_and_document = subject.starts_with("user:") && object.starts_with("doc:");
            if *relation == "viewer" && person_and_document && !reached.contains(&(*object, "blocked")) {
                can_read.push([subject, *object].map(str::to_owned));
            }
        }
    }
    part.holds("holds", holds);
    part.holds("can_read", can_read);
}

#[test]
fn access_control() {
    let story = story("access_control");
    story.parts.iter().for_each(check);
    story.tells(&[
        "doc:layoffs,user:zoe\ndoc:roadmap,user:ann user:ben user:dan user:eve user:zoe\ndoc:salaries,user:zoe\n",
        "doc:layoffs,user:zoe\ndoc:roadmap,user:ben user:dan user:eve user:zoe\ndoc:salaries,user:zoe\n",
        "left_of_ann\n0\n",
        "doc:layoffs,user:eve user:zoe\ndoc:roadmap,user:ben user:dan user:eve user:zoe\ndoc:salaries,user:zoe\n",
        "doc:layoffs,user:dan user:eve\ndoc:roadmap,user:ben user:dan user:eve\ndoc:salaries,user:zoe\n",
    ]);
}
