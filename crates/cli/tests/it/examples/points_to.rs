//! Andersen's analysis as a graph: objects flow along edges between variables and cells, and loads and stores add edges.

use std::collections::BTreeSet;

use super::{Part, story};

/// What is known of the program: which variable or object holds which object.
type Held<'a> = BTreeSet<(&'a str, &'a str)>;

fn analyse(part: &Part) -> Held<'_> {
    let pairs = |table| part.rows::<3>(table).into_iter().map(|[_, a, b]| (a, b)).collect::<Vec<_>>();
    let (assigns, loads, stores) = (pairs("assign"), pairs("load"), pairs("store"));
    let mut held = pairs("alloc").into_iter().collect::<Held<'_>>();
    loop {
        let objects = |of: &str| held.iter().filter(|(holder, _)| *holder == of).map(|(_, object)| *object).collect::<Vec<_>>();
        let loaded = loads.iter().flat_map(|(to, pointer)| objects(pointer).into_iter().map(|cell| (*to, cell)));
        let stored = stores.iter().flat_map(|(pointer, from)| objects(pointer).into_iter().map(|cell| (cell, *from)));
        let edges = assigns.iter().copied().chain(loaded).chain(stored);
        let flown = edges.flat_map(|(to, from)| objects(from).into_iter().map(move |object| (to, object))).collect::<Held<'_>>();
        if flown.is_subset(&held) {
            // Objects are named with the line that makes them; what they hold is not what variables point to.
            return held.into_iter().filter(|(holder, _)| !holder.contains('@')).collect();
        }
        held.extend(flown);
    }
}

fn check(part: &Part) {
    let points_to = analyse(part);
    part.holds("points_to", points_to.iter().map(|(pointer, object)| [*pointer, *object].map(str::to_owned)));
    let same = |a: &(&str, &str), b: &(&str, &str)| a.1 == b.1 && a.0 < b.0;
    let pairs = points_to.iter().flat_map(|a| points_to.iter().filter(move |b| same(a, b)).map(move |b| (a.0, b.0)));
    part.holds("alias", pairs.collect::<BTreeSet<_>>().into_iter().map(|(one, other)| [one, other].map(str::to_owned)));
    let mut warnings = BTreeSet::new();
    for [line, pointer] in part.rows("used") {
        for [freed_in, freed] in part.rows("freed") {
            let objects = points_to.iter().filter(|(holder, object)| *holder == pointer && points_to.contains(&(freed, *object)));
            warnings.extend(objects.map(|(_, object)| [line, pointer, *object, freed_in].map(str::to_owned)));
        }
    }
    warnings.retain(|[line, _, _, freed_in]| super::number(freed_in) < super::number(line));
    part.holds("warning", warnings);
}

#[test]
fn points_to() {
    let story = story("points_to");
    story.parts.iter().for_each(check);
    story.tells(&[
        "cursor,list@1\ncursor,node@2\ncursor,spare@3\nitem,node@2\nitem,spare@3\nlist,list@1\nnode,node@2\nspare,spare@3\n",
        "cursor,item\nitem,node\nitem,spare\nline,pointer,object,freed_in\n10,item,node@2,9\n",
        "cursor,list@1\nitem,node@2\nlist,list@1\nnode,node@2\nspare,spare@3\none,other\nitem,node\n",
        "10,item,node@2,9\n",
        "cursor,list@1\nitem,spare@3\nwarnings\n0\n",
        "cursor,list@1\ncursor,spare@3\nitem,list@1\nitem,spare@3\n",
    ]);
}
