//! Rings by union and find over accounts and what they use.

use std::collections::BTreeMap;

use super::{Part, number, story};

/// A forest in which each root is the least of its tree.
struct Forest(BTreeMap<i64, i64>);

impl Forest {
    fn root(&self, mut account: i64) -> i64 {
        while self.0[&account] != account {
            account = self.0[&account];
        }
        account
    }

    fn unite(&mut self, a: i64, b: i64) {
        let (a, b) = (self.root(a), self.root(b));
        self.0.insert(a.max(b), a.min(b));
    }
}

fn check(part: &Part) {
    let accounts = part.rows("account").into_iter().map(|[id, _]| number(id)).collect::<Vec<_>>();
    let mut forest = Forest(accounts.iter().map(|id| (*id, *id)).collect());
    let mut users = BTreeMap::new();
    for [account, item] in part.rows("uses") {
        let first = *users.entry(item).or_insert(number(account));
        forest.unite(first, number(account));
    }
    part.holds("ring", accounts.iter().map(|id| [*id, forest.root(*id)].map(|number| number.to_string())));
    let mut rings = BTreeMap::<i64, (i64, Option<i64>)>::new();
    for id in &accounts {
        let lost =
            part.rows("chargeback").into_iter().filter(|[account, _]| number(account) == *id).map(|[_, cents]| number(cents));
        let (count, cents) = rings.entry(forest.root(*id)).or_default();
        *count += 1;
        *cents = lost.map(Some).fold(*cents, |sum, lost| Some(sum.unwrap_or(0) + lost?));
    }
    let several = rings.into_iter().filter(|(_, (count, _))| *count > 1);
    let cents = |cents: Option<i64>| cents.map(|cents| cents.to_string()).unwrap_or_default();
    part.holds("suspicious", several.map(|(ring, (count, sum))| [ring.to_string(), count.to_string(), cents(sum)]));
}

#[test]
fn fraud_rings() {
    let story = story("fraud_rings");
    story.parts.iter().for_each(check);
    story.tells(&[
        "1,Abe Bea Cal Dot Eli Fay\n7,Gus Hal\n9,Ida\nring,accounts,cents\n1,6,46900\n7,2,700\n",
        "1,Abe Bea Cal\n4,Dot Eli Fay\n7,Gus Hal\n9,Ida\nring,accounts,cents\n1,3,1900\n4,3,45000\n7,2,700\n",
        "ring,accounts,cents\n1,3,1900\n4,6,45800\n",
        "1,Abe Bea Cal\n5,Eli Fay Gus Hal Ida\nring,accounts,cents\n1,3,1900\n5,5,45800\n",
    ]);
}
