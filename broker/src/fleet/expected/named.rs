//! The machines that a JSON document names: what `terraform output -json` prints, or a list or map by itself.

use std::net::IpAddr;

use super::document::Document;
use super::{Named, Unfit, machine, unfit};

/// Outputs of these names hold machines, and then no other output does: the examples of the Terraform module have them.
const OUTPUTS: [&str; 3] = ["workers", "managers", "nodes"];
/// Where an object says what its machine is called, in this order.
const NAMES: [&str; 2] = ["hostname", "name"];
/// Where it says the address: plain names, and those of some providers.
const ADDRESSES: [&str; 8] = [
    "address",
    "ip",
    "private_ip",
    "internal_ip",
    "ip_address",
    "private_ip_address",
    "ipv4_address_private",
    "ipv4_address",
];

pub(super) fn machines(document: &Document) -> Result<Vec<Named>, Unfit> {
    let mut named = Vec::new();
    match outputs(document) {
        Some(outputs) => of_outputs(&outputs, &mut named)?,
        None => of_value(document, "", &mut named)?,
    }
    Ok(named)
}

/// The values of Terraform's outputs, by name, if that is what this is; not those that it calls sensitive.
fn outputs(document: &Document) -> Option<Vec<(&str, &Document)>> {
    let Document::Map(entries) = document else { return None };
    let outputs = entries.iter().map(|(name, output)| {
        let sensitive = output.under("sensitive").filter(|value| matches!(value, Document::Truth(_)))?;
        Some((name.as_str(), output.under("value")?, *sensitive == Document::Truth(true)))
    });
    let outputs: Vec<_> = outputs.collect::<Option<_>>()?;
    let open = outputs.into_iter().filter(|(.., sensitive)| !sensitive);
    Some(open.map(|(name, value, _)| (name, value)).collect())
}

fn of_outputs(outputs: &[(&str, &Document)], named: &mut Vec<Named>) -> Result<(), Unfit> {
    let by_name = outputs.iter().filter(|(name, _)| OUTPUTS.contains(name));
    if by_name.clone().next().is_some() {
        return by_name.into_iter().try_for_each(|(name, value)| of_value(value, name, named));
    }
    for (name, value) in outputs.iter().filter(|(_, value)| !matches!(value, Document::Text(_))) {
        let mut found = Vec::new();
        // An output may hold anything: a list of folders, say. What a secret may be is told all the same.
        match of_value(value, &unfit::cut(name), &mut found) {
            Ok(()) => named.append(&mut found),
            Err(secret @ Unfit::Secret { .. }) => return Err(secret),
            Err(_) => {}
        }
    }
    Ok(())
}

fn of_value(value: &Document, at: &str, named: &mut Vec<Named>) -> Result<(), Unfit> {
    match value {
        Document::Text(name) => named.push(machine(name, None, unfit::place(at, ""))?),
        Document::List(items) => of_list(items, at, named)?,
        Document::Map(entries) => match of_object(value, at)? {
            Some(one) => named.push(one),
            None => of_map(entries, at, Strings::AreNames, named)?,
        },
        Document::Truth(_) | Document::Other => {}
    }
    Ok(())
}

fn of_list(items: &[Document], at: &str, named: &mut Vec<Named>) -> Result<(), Unfit> {
    for (number, item) in items.iter().enumerate() {
        let at = format!("{at}[{number}]");
        match item {
            Document::Map(entries) => match of_object(item, &at)? {
                Some(one) => named.push(one),
                None => of_map(entries, &at, Strings::AreWithAddresses, named)?,
            },
            _ => of_value(item, &at, named)?,
        }
    }
    Ok(())
}

/// What a map's texts may be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Strings {
    AreNames,
    /// Further in, a text may be anything of a machine's: it is its name only where its address stands beside it.
    AreWithAddresses,
}

fn of_map(entries: &[(String, Document)], at: &str, strings: Strings, named: &mut Vec<Named>) -> Result<(), Unfit> {
    for (key, value) in entries {
        let here = unfit::place(at, key);
        match value {
            Document::Text(text) => named.push(match (text.parse::<IpAddr>(), key.parse::<IpAddr>()) {
                (Ok(address), Err(_)) => machine(key, Some(address), here)?,
                (Err(_), Ok(address)) => machine(text, Some(address), here)?,
                _ if strings == Strings::AreNames => machine(text, None, here)?,
                _ => return Err(Unfit::Nameless { at: unfit::place(at, "") }),
            }),
            Document::Map(inner) => match (of_object(value, &here)?, address(value)) {
                (Some(one), _) => named.push(one),
                (None, Some(address)) => named.push(machine(key, Some(address), here)?),
                (None, None) => of_map(inner, &here, Strings::AreWithAddresses, named)?,
            },
            Document::List(items) => of_list(items, &here, named)?,
            Document::Truth(_) | Document::Other => {}
        }
    }
    Ok(())
}

/// An object that says what it is called.
fn of_object(value: &Document, at: &str) -> Result<Option<Named>, Unfit> {
    let name = NAMES.into_iter().find_map(|key| value.text(key));
    name.map(|name| machine(name, address(value), unfit::place(at, ""))).transpose()
}

fn address(value: &Document) -> Option<IpAddr> {
    ADDRESSES.into_iter().find_map(|key| value.text(key)?.parse().ok())
}
