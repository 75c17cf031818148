//! Types and signatures in rustdoc's JSON, written as in Rust. Paths are given by their last name.
//! What has no form here is given as its JSON, so that a change of it shows, too.

use serde_json::Value;

fn each(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

fn joined(list: &Value, between: &str, one: impl Fn(&Value) -> String) -> String {
    each(list).map(one).collect::<Vec<_>>().join(between)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// The one entry of an enum's object.
fn entry(value: &Value) -> (&str, &Value) {
    let mut entries = value.as_object().into_iter().flatten();
    entries.next().map_or(("", value), |(name, of)| (name, of))
}

/// A type.
pub(super) fn of_type(value: &Value) -> String {
    match entry(value) {
        ("primitive" | "generic", name) => text(name).to_owned(),
        ("resolved_path", of) => path(of),
        ("borrowed_ref", of) => {
            let lifetime = of["lifetime"].as_str().map(|name| format!("{name} "));
            let mutable = match of["is_mutable"] == true {
                true => "mut ",
                false => "",
            };
            let lifetime = lifetime.unwrap_or_default();
            format!("&{lifetime}{mutable}{}", of_type(&of["type"]))
        }
        ("tuple", all) => format!("({})", joined(all, ", ", of_type)),
        ("slice", of) => format!("[{}]", of_type(of)),
        ("array", of) => format!("[{}; {}]", of_type(&of["type"]), text(&of["len"])),
        ("impl_trait", all) => format!("impl {}", bounds(all)),
        ("dyn_trait", of) => {
            let traits = joined(&of["traits"], " + ", |one| path(&one["trait"]));
            let lifetime = of["lifetime"].as_str().map(|name| format!(" + {name}"));
            format!("dyn {traits}{}", lifetime.unwrap_or_default())
        }
        ("qualified_path", of) if !of["trait"].is_null() => {
            let (of_self, of_trait) = (of_type(&of["self_type"]), path(&of["trait"]));
            format!("<{of_self} as {of_trait}>::{}", text(&of["name"]))
        }
        _ => value.to_string(),
    }
}

/// A type or a trait with its arguments.
pub(super) fn path(value: &Value) -> String {
    let name = text(&value["path"]).rsplit("::").next();
    let args = match entry(&value["args"]) {
        ("angle_bracketed", of) => {
            let args = joined(&of["args"], ", ", |arg| match entry(arg) {
                ("type", of) => of_type(of),
                ("lifetime", name) => text(name).to_owned(),
                _ => arg.to_string(),
            });
            let constraints = joined(&of["constraints"], ", ", |one| {
                let equal = &one["binding"]["equality"]["type"];
                match equal.is_null() {
                    true => one.to_string(),
                    false => format!("{} = {}", text(&one["name"]), of_type(equal)),
                }
            });
            let all = [args, constraints]
                .into_iter()
                .filter(|part| !part.is_empty());
            let all: Vec<String> = all.collect();
            match all.is_empty() {
                true => String::new(),
                false => format!("<{}>", all.join(", ")),
            }
        }
        ("parenthesized", of) => {
            format!(
                "({}){}",
                joined(&of["inputs"], ", ", of_type),
                output(&of["output"])
            )
        }
        _ => String::new(),
    };
    format!("{}{args}", name.unwrap_or_default())
}

fn output(value: &Value) -> String {
    match value.is_null() {
        true => String::new(),
        false => format!(" -> {}", of_type(value)),
    }
}

fn bounds(list: &Value) -> String {
    joined(list, " + ", |bound| match entry(bound) {
        ("trait_bound", of) => match text(&of["modifier"]) {
            "maybe" => format!("?{}", path(&of["trait"])),
            _ => path(&of["trait"]),
        },
        ("outlives", lifetime) => text(lifetime).to_owned(),
        _ => bound.to_string(),
    })
}

/// The parameters of a generic item, those for `impl Trait` left out.
pub(super) fn parameters(generics: &Value) -> String {
    let all = each(&generics["params"]).filter_map(|parameter| {
        let name = text(&parameter["name"]);
        let (kind, of) = entry(&parameter["kind"]);
        let bounds = match kind {
            "type" if of["is_synthetic"] == true => return None,
            "type" => bounds(&of["bounds"]),
            "lifetime" => joined(&of["outlives"], " + ", |name| text(name).to_owned()),
            _ => parameter["kind"].to_string(),
        };
        Some(match bounds.is_empty() {
            true => name.to_owned(),
            false => format!("{name}: {bounds}"),
        })
    });
    let all: Vec<String> = all.collect();
    match all.is_empty() {
        true => String::new(),
        false => format!("<{}>", all.join(", ")),
    }
}

/// The conditions of a generic item.
pub(super) fn conditions(generics: &Value) -> String {
    let all = joined(&generics["where_predicates"], ", ", |one| {
        match entry(one) {
            ("bound_predicate", of) => {
                format!("{}: {}", of_type(&of["type"]), bounds(&of["bounds"]))
            }
            _ => one.to_string(),
        }
    });
    match all.is_empty() {
        true => all,
        false => format!(" where {all}"),
    }
}

/// What follows the name of a function.
pub(super) fn of_function(function: &Value) -> String {
    let inputs = joined(&function["sig"]["inputs"], ", ", |input| {
        let of = of_type(&input[1]);
        match (text(&input[0]), of.as_str()) {
            ("self", "Self") => "self".to_owned(),
            ("self", "&Self") => "&self".to_owned(),
            ("self", "&mut Self") => "&mut self".to_owned(),
            (name, of) => format!("{name}: {of}"),
        }
    });
    let header = &function["header"];
    let marks = ["const", "unsafe", "async"].into_iter();
    let marks = marks.filter(|mark| header[format!("is_{mark}")] == true);
    let marks: String = marks.map(|mark| format!(" [{mark}]")).collect();
    let generics = &function["generics"];
    format!(
        "{}({inputs}){}{}{marks}",
        parameters(generics),
        output(&function["sig"]["output"]),
        conditions(generics)
    )
}
