//! What a product needs, by taking it apart: a part counts as often as its assembly is met.

use std::collections::BTreeMap;

use super::{number, story};

/// The parts of each assembly, with quantities.
type Parts<'a> = BTreeMap<&'a str, Vec<(&'a str, i64)>>;

fn take_apart<'a>(parts: &Parts<'a>, what: &'a str, quantity: i64, needs: &mut BTreeMap<&'a str, i64>) {
    match parts.get(what) {
        Some(inside) => inside.iter().for_each(|(part, each)| take_apart(parts, part, quantity * each, needs)),
        None => *needs.entry(what).or_default() += quantity,
    }
}

#[test]
fn bill_of_materials() {
    let story = story("bill_of_materials");
    for part in &story.parts {
        let components = part.rows("component");
        let mut parts = Parts::new();
        for &[assembly, part, quantity] in &components {
            parts.entry(assembly).or_default().push((part, number(quantity)));
        }
        let prices = part.rows("price").into_iter().map(|[part, cents]| (part, number(cents))).collect::<BTreeMap<_, _>>();
        let (mut needs, mut costs) = (Vec::new(), Vec::new());
        for product in parts.keys().filter(|assembly| !components.iter().any(|[_, part, _]| part == *assembly)) {
            let mut quantities = BTreeMap::new();
            take_apart(&parts, product, 1, &mut quantities);
            let cost = quantities.iter().map(|(part, quantity)| prices[part] * quantity).sum::<i64>();
            costs.push([product.to_string(), cost.to_string()]);
            needs.extend(
                quantities.into_iter().map(|(part, quantity)| [product.to_string(), part.to_owned(), quantity.to_string()]),
            );
        }
        part.holds("needs", needs);
        part.holds("cost", costs);
    }
    story.tells(&[
        "city bike,axle,5\ncity bike,ball,106\n",
        "tandem,ball,176\n",
        "product,cents\ncity bike,41914\ntandem,70744\n",
        "city bike,ball,70\ncity bike,cartridge,4\ncity bike,spoke,56\ntandem,ball,140\ntandem,cartridge,4\ntandem,spoke,56\n",
        "product,cents\ncity bike,43090\ntandem,71920\n",
        "hub,wheel,1\n",
        "city bike,ball,70\ntandem,ball,140\n",
        "product,cents\ncity bike,43090\ntandem,71920\n",
    ]);
}
