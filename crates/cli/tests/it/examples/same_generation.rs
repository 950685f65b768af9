//! Generations by union: married people are put together, then children of people who are together, until nothing changes.

use std::collections::{BTreeMap, BTreeSet};

use super::{Part, story};

/// The generation of each person, called after the first of it by name.
fn generations<'a>(parents: &[[&'a str; 2]], marriages: &[[&'a str; 2]]) -> BTreeMap<&'a str, &'a str> {
    let mut generations = parents.iter().chain(marriages).flatten().map(|person| (*person, *person)).collect::<BTreeMap<_, _>>();
    loop {
        let together = |a: &str, b: &str| generations[a] == generations[b];
        let families = parents.iter().flat_map(|[a, p]| parents.iter().map(move |[b, q]| ([*a, *b], [*p, *q])));
        let siblings = families.filter(|(_, [p, q])| together(p, q)).map(|(children, _)| children);
        let Some([a, b]) = marriages.iter().copied().chain(siblings).find(|[a, b]| !together(a, b)) else {
            return generations;
        };
        let both = [generations[a], generations[b]];
        generations.values_mut().filter(|name| both.contains(name)).for_each(|name| *name = both[0].min(both[1]));
    }
}

fn check(part: &Part) {
    let parents = part.rows::<2>("parent");
    let generations = generations(&parents, &part.rows("marriage"));
    part.holds("generation", generations.iter().map(|(person, first)| [*person, *first].map(str::to_owned)));
    let pairs = generations.keys().flat_map(|x| generations.keys().map(move |y| (*x, *y)));
    let same = pairs.filter(|(x, y)| generations[x] == generations[y]).collect::<Vec<_>>();
    part.holds("same", same.iter().map(|(x, y)| [*x, *y].map(str::to_owned)));
    let up = |people: &BTreeSet<&str>| {
        parents.iter().filter(|[child, _]| people.contains(child)).map(|[_, p]| *p).collect::<BTreeSet<_>>()
    };
    let cousins = same.iter().filter(|(x, y)| {
        let (x_parents, y_parents) = (up(&BTreeSet::from([*x])), up(&BTreeSet::from([*y])));
        x < y && x_parents.is_disjoint(&y_parents) && !up(&x_parents).is_disjoint(&up(&y_parents))
    });
    part.holds("cousin", cousins.map(|(x, y)| [*x, *y].map(str::to_owned)));
}

#[test]
fn same_generation() {
    let story = story("same_generation");
    story.parts.iter().for_each(check);
    let apart = "generation\nAnna Bert\nCarl Dora Emil\nFinn Gerd Hans Inge Lena\nKarl Maja\nRolf\n";
    story.tells(&[
        "generation\nAnna Bert\nCarl Dora Emil\nFinn Gerd Hans Inge\nKarl Maja\nLena\nRolf\n",
        "x,y\nFinn,Hans\nFinn,Inge\nGerd,Hans\nGerd,Inge\nHans,Inge\n",
        apart,
        "generation\nAnna Bert\nCarl Dora Emil Finn Gerd Hans Inge Lena Rolf\nKarl Maja\n",
        apart,
        "x,y\nFinn,Hans\nFinn,Inge\nGerd,Hans\nGerd,Inge\n",
    ]);
}
