//! The chart by walking down from the top, and teams by walking up from everybody, once round a circle at most.

use std::collections::{BTreeMap, BTreeSet};

use super::{Part, number, story};

/// Names, bosses (none for the top) and salaries.
type Employees<'a> = Vec<[&'a str; 3]>;

/// A name, its depth, and the names from the top down to it.
type Line<'a> = (&'a str, usize, Vec<&'a str>);

/// Those below a boss, in the order of a chart.
fn walk_down<'a>(employees: &Employees<'a>, boss: &str, depth: usize, path: &[&'a str], chart: &mut Vec<Line<'a>>) {
    for [name, ..] in employees.iter().filter(|[_, its_boss, _]| *its_boss == boss) {
        let path = [path, &[name]].concat();
        chart.push((name, depth, path.clone()));
        walk_down(employees, name, depth + 1, &path, chart);
    }
}

fn managers_of<'a>(employees: &Employees<'a>, name: &str) -> BTreeSet<&'a str> {
    let boss = |of: &str| employees.iter().find(|[name, ..]| *name == of).map_or("", |[_, boss, _]| boss);
    let mut managers = BTreeSet::new();
    let mut manager = boss(name);
    while !manager.is_empty() && managers.insert(manager) {
        manager = boss(manager);
    }
    managers
}

fn check(part: &Part) {
    let employees = part.rows("employee");
    let mut chart = Vec::new();
    walk_down(&employees, "", 0, &[], &mut chart);
    let place = |path: &[&str]| format!("{{({})}}", path.join("),("));
    part.holds("chart", chart.iter().map(|(name, depth, path)| [(*name).to_owned(), depth.to_string(), place(path)]));
    assert!(chart.is_sorted_by_key(|(_, _, path)| path), "the path is what to sort by: {chart:?}");
    let lost = employees.iter().filter(|[name, ..]| !chart.iter().any(|(in_chart, ..)| in_chart == name));
    part.holds("lost", lost.map(|[name, boss, _]| [*name, *boss].map(str::to_owned)));
    let mut teams = BTreeMap::<&str, (i64, i64)>::new();
    for [name, _, salary] in &employees {
        for manager in managers_of(&employees, name) {
            let (people, budget) = teams.entry(manager).or_default();
            *people += 1;
            *budget += number(salary);
        }
    }
    part.holds("team", teams.into_iter().map(|(name, (people, budget))| [name.to_owned(), people.to_string(), budget.to_string()]));
}

#[test]
fn org_chart() {
    let story = story("org_chart");
    story.parts.iter().for_each(check);
    story.tells(&[
        "Rosa,8,849\n    Hugo,3,285\n        Ines,1,80\n            Kara,,\n        Jack,,\n    Mina,3,274\n",
        "Rosa,8,849\n    Hugo,1,95\n        Jack,,\n    Mina,5,464\n        Nils,3,260\n            Ines,1,80\n                Kara,,\n",
        "name,boss\nInes,Nils\nKara,Ines\nMina,Pete\nNils,Mina\nOlga,Mina\nPete,Nils\n",
        "Mina,6,614\nRosa,2,235\n",
        "Mina,7,699\n    Hugo,1,95\n        Jack,,\n    Nils,3,260\n        Ines,1,80\n            Kara,,\n        Pete,,\n    Olga,,\n",
        "lost\n0\n",
    ]);
}
