//! The cheapest way by trying all ways that visit no router twice.

use std::collections::BTreeMap;

use super::{Part, number, story};

/// The neighbours of each router, with the cost of the link.
type Network<'a> = BTreeMap<&'a str, Vec<(&'a str, i64)>>;

/// The cheapest cost to each router, and the first step there; of several ways of one cost the one with the first step by name.
type Best<'a> = BTreeMap<&'a str, (i64, &'a str)>;

fn try_all<'a>(network: &Network<'a>, way: &mut Vec<&'a str>, cost: i64, best: &mut Best<'a>) {
    let at = way[way.len() - 1];
    let found = (cost, *way.get(1).unwrap_or(&at));
    let least = best.entry(at).or_insert(found);
    *least = found.min(*least);
    for (neighbour, more) in &network[at] {
        if !way.contains(neighbour) {
            way.push(neighbour);
            try_all(network, way, cost + more, best);
            way.pop();
        }
    }
}

fn check(part: &Part) {
    let mut network = Network::new();
    for [a, b, cost] in part.rows("link") {
        network.entry(a).or_default().push((b, number(cost)));
        network.entry(b).or_default().push((a, number(cost)));
    }
    let (mut routes, mut forwarding) = (Vec::new(), Vec::new());
    for src in network.keys() {
        let mut best = Best::new();
        try_all(&network, &mut vec![*src], 0, &mut best);
        for (dst, (cost, via)) in best {
            routes.push([(*src).to_owned(), dst.to_owned(), cost.to_string()]);
            if *src != dst {
                forwarding.push([(*src).to_owned(), dst.to_owned(), via.to_owned(), cost.to_string()]);
            }
        }
    }
    part.holds("route", routes);
    part.holds("forwarding", forwarding);
}

#[test]
fn network_routing() {
    let story = story("network_routing");
    story.parts.iter().for_each(check);
    story.tells(&[
        "lon,ams,ams,3\nlon,ber,ams,8\nlon,dub,dub,4\nlon,fra,ams,5\nlon,par,par,3\nlon,vie,ams,11\nroutes,total\n42,278\n",
        "lon,ams,ams,3\nlon,ber,par,10\nlon,dub,dub,4\nlon,fra,par,7\nlon,par,par,3\nlon,vie,par,13\nroutes,total\n42,336\n",
        "lon,ams,ams,3\nlon,ber,par,10\nlon,fra,par,7\nlon,par,par,3\nlon,vie,par,13\nroutes\n0\n",
        "par,ams,lon,6\npar,ber,lon,11\npar,dub,lon,7\npar,fra,lon,8\npar,lon,lon,3\npar,vie,lon,14\nroutes,total\n42,302\n",
    ]);
}
