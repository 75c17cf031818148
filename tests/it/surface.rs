//! The public surface of the library, as rustdoc finds it, is the one of
//! `tests/fixtures/surface.txt`: each item with its signature, each type with the traits that it
//! derives. `CLAWKEEP_SURFACE=write` writes that file.

mod signature;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use serde_json::{Map, Value};

use crate::support::skip::skip;

/// The most items that may be promised.
const ITEMS_MAX: usize = 350;
/// The versions of rustdoc's JSON that are read here.
const FORMATS: std::ops::RangeInclusive<u64> = 53..=60;

/// What is documented, and may be named by other programs.
struct Documented {
    index: Map<String, Value>,
    listed: BTreeSet<String>,
}

impl Documented {
    fn item(&self, id: &Value) -> Option<&Value> {
        self.index.get(&id.to_string())
    }

    /// Lists an item and all that is reached by it.
    fn list(&mut self, id: &Value, path: &str) {
        let Some(item) = self.item(id).cloned() else {
            return; // it was left out, or is another crate's
        };
        let name = item["name"].as_str().unwrap_or_default();
        let path = [path, name].join("::");
        let (kind, inner) = item["inner"].as_object().unwrap().iter().next().unwrap();
        let each = |list: &Value| list.as_array().cloned().unwrap_or_default();
        match kind.as_str() {
            "module" => {
                let root = path.trim_start_matches("::");
                for id in each(&inner["items"]) {
                    self.list(&id, root);
                }
                return;
            }
            "use" => {
                let within = path.strip_suffix(&format!("::{name}")).unwrap();
                let renamed = inner["name"].as_str().unwrap();
                let target = self.item(&inner["id"]).cloned();
                match target {
                    Some(target) if target["name"].as_str() == Some(renamed) => {
                        self.list(&inner["id"], within);
                    }
                    _ => drop(self.listed.insert(format!("use {within}::{renamed}"))),
                }
                return;
            }
            "struct" => {
                let kind = &inner["kind"];
                let named = each(&kind["plain"]["fields"]);
                for id in named.iter().chain(&each(&kind["tuple"])) {
                    self.list(id, &path);
                }
            }
            "enum" => {
                for id in each(&inner["variants"]) {
                    self.list(&id, &path);
                }
            }
            "variant" => {
                let kind = &inner["kind"];
                for id in each(&kind["struct"]["fields"]) {
                    self.list(&id, &path);
                }
            }
            "trait" => {
                for id in each(&inner["items"]) {
                    self.list(&id, &path);
                }
            }
            _ => {}
        }
        let mut derived = BTreeSet::new();
        for id in each(&inner["impls"]) {
            derived.extend(self.list_impl(&id, &path));
        }
        let signature = match kind.as_str() {
            "function" => signature::of_function(inner),
            "struct_field" => format!(": {}", signature::of_type(inner)),
            "assoc_const" | "constant" => format!(": {}", signature::of_type(&inner["type"])),
            _ => signature::parameters(&inner["generics"]),
        };
        let attributes = item["attrs"].to_string();
        let mark = match attributes.contains("non_exhaustive") {
            true => " (non-exhaustive)",
            false => "",
        };
        let derived: String = derived.iter().map(|name| format!(" + {name}")).collect();
        self.listed.insert(format!(
            "{} {path}{signature}{mark}{derived}",
            kind.replace("struct_field", "field")
        ));
    }

    /// Lists the methods of a type, and the traits that it implements by hand. Returns the trait of
    /// the block if it is derived, or says that threads may share the type.
    fn list_impl(&mut self, id: &Value, path: &str) -> Option<String> {
        let item = self.item(id).cloned()?;
        let block = &item["inner"]["impl"];
        let of_trait = signature::path(&block["trait"]);
        let name = path.rsplit("::").next();
        if name != signature::of_type(&block["for"]).split('<').next() {
            return None; // it is another type's: `impl From<Public> for Private`
        }
        if block["is_synthetic"] == true {
            let is_kept = block["is_negative"] == false && ["Send", "Sync"].contains(&&*of_trait);
            return is_kept.then_some(of_trait);
        }
        if !block["blanket_impl"].is_null() {
            return None;
        }
        if item["attrs"].to_string().contains("automatically_derived") {
            return Some(of_trait).filter(|name| name != "StructuralPartialEq");
        }
        match block["trait"].is_null() {
            false => {
                let generics = &block["generics"];
                self.listed.insert(format!(
                    "impl{} {of_trait} for {path}{}",
                    signature::parameters(generics),
                    signature::conditions(generics)
                ));
            }
            true => {
                for id in block["items"].as_array().unwrap() {
                    self.list(id, path);
                }
            }
        }
        None
    }
}

/// What rustdoc says of the library, or why it cannot be asked.
fn documented() -> Result<Value, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let built = std::env::current_exe().unwrap();
    let target = built.ancestors().nth(3).unwrap();
    // `RUSTC_BOOTSTRAP` is set for rustdoc alone: cargo would compile every dependency anew.
    let dir = tempfile::tempdir().unwrap();
    let rustdoc = dir.path().join("rustdoc");
    let script = "#!/bin/sh\nRUSTC_BOOTSTRAP=1 exec rustdoc \"$@\"\n";
    fs::write(&rustdoc, script).unwrap();
    fs::set_permissions(&rustdoc, fs::Permissions::from_mode(0o755)).unwrap();
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["rustdoc", "--lib", "--offline", "--target-dir"]);
    cargo
        .arg(target)
        .args(["--", "-Zunstable-options", "--output-format=json"]);
    let output = cargo.env("RUSTDOC", &rustdoc).current_dir(root).output();
    let output = output.map_err(|error| format!("cargo does not run: {error}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let why = said.lines().find(|line| line.starts_with("error"));
        let why = why.unwrap_or("no error is named");
        return Err(format!("the library is not documented here: {why}"));
    }
    let json = fs::read_to_string(target.join("doc/clawkeep.json")).unwrap();
    serde_json::from_str(&json).map_err(|error| error.to_string())
}

#[test]
fn what_is_public_is_listed() {
    let said = match documented() {
        Ok(said) => said,
        Err(why) => return skip("rustdoc", &why),
    };
    if !FORMATS.contains(&said["format_version"].as_u64().unwrap_or_default()) {
        return skip(
            "rustdoc",
            "this version of rustdoc writes another form of JSON",
        );
    }
    let mut documented = Documented {
        index: said["index"].as_object().unwrap().clone(),
        listed: BTreeSet::new(),
    };
    documented.list(&said["root"], "");
    let listed: Vec<String> = documented.listed.into_iter().collect();
    assert!(
        listed.len() <= ITEMS_MAX,
        "{} items are public",
        listed.len()
    );
    let mut listed = listed.join("\n");
    listed.push('\n');
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/surface.txt");
    if std::env::var_os("CLAWKEEP_SURFACE").is_some_and(|what| what == "write") {
        fs::write(&file, &listed).unwrap();
    }
    let known = fs::read_to_string(&file).unwrap_or_default();
    let lines = |text: &str| {
        text.lines()
            .map(str::to_owned)
            .collect::<BTreeSet<String>>()
    };
    let (known, found) = (lines(&known), lines(&listed));
    let new: Vec<_> = found.difference(&known).collect();
    let gone: Vec<_> = known.difference(&found).collect();
    assert!(
        new.is_empty() && gone.is_empty(),
        "new: {new:#?}\ngone: {gone:#?}\nIf that is meant: CLAWKEEP_SURFACE=write"
    );
}
