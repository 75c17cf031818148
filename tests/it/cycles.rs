//! Files import each other in one direction. A name is followed to the file that defines it: what a
//! `mod.rs` re-exports counts as an import of the file below it, and not of the `mod.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use syn::visit::{self, Visit};

/// Names from `crate` down, such as `["vault", "error", "VaultError"]`.
type Names = Vec<String>;

/// A module and what it says about names.
#[derive(Default)]
struct Module {
    file: PathBuf,
    children: BTreeSet<String>,
    items: BTreeSet<String>,
    /// A name in this module, and the path it stands for as it is written.
    imports: BTreeMap<String, Vec<Names>>,
    /// Paths that end in `*`.
    globs: Vec<Names>,
    /// Paths that need what they name: private imports, and paths in code.
    uses: BTreeSet<Names>,
}

struct Crate {
    modules: BTreeMap<Names, Module>,
}

fn is_for_tests(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let syn::Meta::List(list) = &attribute.meta else {
            return false;
        };
        list.path.is_ident("cfg") && list.tokens.to_string() == "test"
    })
}

fn attributes(item: &syn::Item) -> &[syn::Attribute] {
    match item {
        syn::Item::Fn(item) => &item.attrs,
        syn::Item::Mod(item) => &item.attrs,
        syn::Item::Use(item) => &item.attrs,
        syn::Item::Impl(item) => &item.attrs,
        syn::Item::Struct(item) => &item.attrs,
        syn::Item::Const(item) => &item.attrs,
        _ => &[],
    }
}

fn defined_name(item: &syn::Item) -> Option<&syn::Ident> {
    match item {
        syn::Item::Const(item) => Some(&item.ident),
        syn::Item::Enum(item) => Some(&item.ident),
        syn::Item::Fn(item) => Some(&item.sig.ident),
        syn::Item::Static(item) => Some(&item.ident),
        syn::Item::Struct(item) => Some(&item.ident),
        syn::Item::Trait(item) => Some(&item.ident),
        syn::Item::Type(item) => Some(&item.ident),
        syn::Item::Macro(item) => item.ident.as_ref(),
        _ => None,
    }
}

/// Collects the paths in code.
struct Paths<'m>(&'m mut Module);

impl<'ast> Visit<'ast> for Paths<'_> {
    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names = path.segments.iter().map(|name| name.ident.to_string());
        self.0.uses.insert(names.collect());
        visit::visit_path(self, path);
    }

    /// `pub(crate)` needs nothing of the root.
    fn visit_vis_restricted(&mut self, _: &'ast syn::VisRestricted) {}

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.0.read_use(&item.tree, &mut Vec::new(), true);
    }
}

impl Module {
    fn import(&mut self, name: String, path: Names, is_private: bool) {
        if is_private {
            self.uses.insert(path.clone());
        }
        self.imports.entry(name).or_default().push(path);
    }

    /// Notes what one `use` brings in, a private one for this module, another for those outside.
    fn read_use(&mut self, tree: &syn::UseTree, before: &mut Names, is_private: bool) {
        match tree {
            syn::UseTree::Path(path) => {
                before.push(path.ident.to_string());
                self.read_use(&path.tree, before, is_private);
                before.pop();
            }
            syn::UseTree::Name(name) if name.ident == "self" => {
                let name = before.last().expect("`self` is in braces").clone();
                self.import(name, before.clone(), is_private);
            }
            syn::UseTree::Name(name) => {
                let name = name.ident.to_string();
                let path = [before.as_slice(), std::slice::from_ref(&name)].concat();
                self.import(name, path, is_private);
            }
            syn::UseTree::Rename(renamed) => {
                let path = [before.as_slice(), &[renamed.ident.to_string()]].concat();
                self.import(renamed.rename.to_string(), path, is_private);
            }
            syn::UseTree::Glob(_) => {
                self.globs.push(before.clone());
                if is_private {
                    self.uses.insert(before.clone());
                }
            }
            syn::UseTree::Group(group) => {
                for tree in &group.items {
                    self.read_use(tree, before, is_private);
                }
            }
        }
    }
}

impl Crate {
    fn read(root: &Path) -> Self {
        let mut modules = Self {
            modules: BTreeMap::new(),
        };
        modules.read_file(root, root.parent().unwrap(), Vec::new());
        modules
    }

    /// `below` is the directory of the module's children.
    fn read_file(&mut self, file: &Path, below: &Path, name: Names) {
        let text = fs::read_to_string(file).unwrap();
        let parsed = syn::parse_file(&text).unwrap_or_else(|error| panic!("{file:?}: {error}"));
        self.read_items(&parsed.items, file, below, name);
    }

    fn read_items(&mut self, items: &[syn::Item], file: &Path, below: &Path, name: Names) {
        let mut module = Module {
            file: file.to_owned(),
            ..Module::default()
        };
        for item in items.iter().filter(|item| !is_for_tests(attributes(item))) {
            module
                .items
                .extend(defined_name(item).map(ToString::to_string));
            match item {
                syn::Item::Use(item) => {
                    let is_private = matches!(item.vis, syn::Visibility::Inherited);
                    module.read_use(&item.tree, &mut Vec::new(), is_private);
                }
                syn::Item::Mod(child) => {
                    let child_name = child.ident.to_string();
                    module.children.insert(child_name.clone());
                    let names = [name.as_slice(), std::slice::from_ref(&child_name)].concat();
                    let below = below.join(&child_name);
                    match &child.content {
                        Some((_, items)) => self.read_items(items, file, &below, names),
                        None if below.join("mod.rs").exists() => {
                            self.read_file(&below.join("mod.rs"), &below, names);
                        }
                        None => self.read_file(&below.with_extension("rs"), &below, names),
                    }
                }
                item => Paths(&mut module).visit_item(item),
            }
        }
        self.modules.insert(name, module);
    }

    /// The files that define what `path` names in `module`; none for another crate's.
    fn files_of(&self, module: &Names, path: &[String], depth: usize) -> BTreeSet<&Path> {
        let mut files = BTreeSet::new();
        let Some((first, rest)) = path.split_first() else {
            files.extend(self.modules.get(module).map(|module| module.file.as_path()));
            return files;
        };
        // A name that imports itself from a crate of that name.
        if depth > 20 {
            return files;
        }
        let here = &self.modules[module];
        let child = [module.as_slice(), std::slice::from_ref(first)].concat();
        match first.as_str() {
            "crate" => files = self.files_of(&Vec::new(), rest, depth),
            "self" => files = self.files_of(module, rest, depth),
            "super" => {
                let parent = module[..module.len() - 1].to_vec();
                files = self.files_of(&parent, rest, depth);
            }
            _ if here.children.contains(first) && self.modules.contains_key(&child) => {
                files = self.files_of(&child, rest, depth);
            }
            _ if here.items.contains(first) => {
                files.insert(&here.file);
            }
            _ => {
                for import in here.imports.get(first).into_iter().flatten() {
                    let whole = [import.as_slice(), rest].concat();
                    files.extend(self.files_of(module, &whole, depth + 1));
                }
                if files.is_empty() {
                    for glob in &here.globs {
                        let whole = [glob.as_slice(), path].concat();
                        files.extend(self.files_of(module, &whole, depth + 1));
                    }
                }
            }
        }
        files
    }

    /// Each file and those that it imports.
    fn imports(&self) -> BTreeMap<&Path, BTreeSet<&Path>> {
        let mut imports = BTreeMap::<_, BTreeSet<_>>::new();
        for (name, module) in &self.modules {
            let file = imports.entry(module.file.as_path()).or_default();
            for path in &module.uses {
                file.extend(self.files_of(name, path, 0));
            }
            file.remove(module.file.as_path());
        }
        imports
    }
}

/// The files that each file reaches by its imports, itself only in a cycle.
fn reached<'p>(
    imports: &BTreeMap<&'p Path, BTreeSet<&'p Path>>,
    from: &Path,
) -> BTreeSet<&'p Path> {
    let mut reached = BTreeSet::new();
    let mut next: Vec<&Path> = imports[from].iter().copied().collect();
    while let Some(file) = next.pop() {
        if reached.insert(file) {
            next.extend(&imports[file]);
        }
    }
    reached
}

/// The cycles of a crate, as sets of files that all reach each other.
fn cycles<'p>(imports: &BTreeMap<&'p Path, BTreeSet<&'p Path>>) -> BTreeSet<BTreeSet<&'p Path>> {
    let reached: BTreeMap<_, _> = imports
        .keys()
        .map(|file| (*file, reached(imports, file)))
        .collect();
    let in_cycles = imports.keys().filter(|file| reached[*file].contains(*file));
    in_cycles
        .map(|file| {
            let both = reached[file]
                .iter()
                .filter(|other| reached[*other].contains(file));
            both.copied().collect()
        })
        .collect()
}

#[test]
fn imports_form_no_cycles() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = String::new();
    for root in ["lib.rs", "bin/clawkeep/main.rs"] {
        let parsed = Crate::read(&src.join(root));
        let imports = parsed.imports();
        let short = |file: &Path| file.strip_prefix(&src).unwrap().display().to_string();
        for cycle in cycles(&imports) {
            found += &format!("\n{} files import each other:\n", cycle.len());
            for file in &cycle {
                let within = imports[file].intersection(&cycle).map(|file| short(file));
                let within: Vec<_> = within.collect();
                found += &format!("  {} -> {}\n", short(file), within.join(", "));
            }
        }
    }
    assert!(found.is_empty(), "{found}");
}

/// The files that `file` imports. In the binary, `clawkeep` names the library.
fn imports_of<'c>(file: &Path, library: &'c Crate, binary: &'c Crate) -> BTreeSet<&'c Path> {
    let mut files = BTreeSet::new();
    for parsed in [library, binary] {
        let modules = parsed.modules.iter();
        for (name, module) in modules.filter(|(_, module)| module.file == file) {
            for path in &module.uses {
                files.extend(match path[0].as_str() {
                    "clawkeep" => library.files_of(&Vec::new(), &path[1..], 0),
                    _ => parsed.files_of(name, path, 0),
                });
            }
        }
    }
    files
}

/// `docs/architecture.md` numbers the files through which a credential goes.
#[test]
fn a_credential_goes_through_ten_files_and_each_imports_the_next() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let src = root.join("src");
    let page = fs::read_to_string(root.join("docs/architecture.md")).unwrap();
    let section = page.split("\n## The way of a credential\n").nth(1).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let way: Vec<PathBuf> = section
        .lines()
        .filter_map(|line| {
            let (number, rest) = line.split_once(". `")?;
            number.parse::<u32>().ok()?;
            Some(src.join(rest.split_once('`')?.0))
        })
        .collect();
    assert!((5..=10).contains(&way.len()), "{way:?}");
    let library = Crate::read(&src.join("lib.rs"));
    let binary = Crate::read(&src.join("bin/clawkeep/main.rs"));
    for pair in way.windows(2) {
        let imports = imports_of(&pair[0], &library, &binary);
        assert!(
            imports.contains(pair[1].as_path()),
            "{pair:?}: {imports:#?}"
        );
    }
}
