//! The files of shard and proxy import each other in one direction: no circle over more than three of them.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::Visit;
use syn::{Attribute, ItemMod, ItemUse, Macro, Meta, UseTree, Visibility};

/// Files that may import each other, at most.
const MOST: usize = 3;

/// A crate's files by their modules' paths, and which ones each imports.
type Imports = BTreeMap<Vec<String>, BTreeSet<Vec<String>>>;

/// The paths that a file names, but for those in tests.
#[derive(Default)]
struct Paths(Vec<Vec<String>>);

fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && matches!(&attribute.meta, Meta::List(list) if list.tokens.to_string() == "test")
    })
}

impl Paths {
    fn uses(&mut self, before: &[String], tree: &UseTree) {
        let with = |name: String| [before, &[name]].concat();
        match tree {
            UseTree::Path(path) => self.uses(&with(path.ident.to_string()), &path.tree),
            UseTree::Name(name) => self.0.push(with(name.ident.to_string())),
            UseTree::Rename(rename) => self.0.push(with(rename.ident.to_string())),
            UseTree::Glob(_) => self.0.push(before.to_vec()),
            UseTree::Group(group) => group.items.iter().for_each(|item| self.uses(before, item)),
        }
    }

    /// Within a macro's arguments, names with `::` between them.
    fn tokens(&mut self, tokens: TokenStream) {
        let (mut path, mut colons) = (Vec::new(), 0);
        for tree in tokens {
            match tree {
                TokenTree::Ident(name) if colons == 2 => path.push(name.to_string()),
                TokenTree::Ident(name) => self.0.push(std::mem::replace(&mut path, vec![name.to_string()])),
                TokenTree::Punct(punct) if punct.as_char() == ':' => {
                    colons += 1;
                    continue;
                }
                TokenTree::Group(group) => self.tokens(group.stream()),
                _ => self.0.push(std::mem::take(&mut path)),
            }
            colons = 0;
        }
        self.0.push(path);
    }
}

impl<'a> Visit<'a> for Paths {
    fn visit_item_mod(&mut self, module: &'a ItemMod) {
        if !is_for_tests(&module.attrs) {
            syn::visit::visit_item_mod(self, module);
        }
    }

    fn visit_item_use(&mut self, item: &'a ItemUse) {
        if !is_for_tests(&item.attrs) {
            self.uses(&[], &item.tree);
        }
    }

    /// Who may see something is no import.
    fn visit_visibility(&mut self, _: &'a Visibility) {}

    fn visit_path(&mut self, path: &'a syn::Path) {
        self.0.push(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        syn::visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, called: &'a Macro) {
        self.tokens(called.tokens.clone());
    }
}

fn files_below(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files_below(&path, found);
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            found.push(path);
        }
    }
}

/// The module that a file is.
fn module(root: &Path, file: &Path) -> Vec<String> {
    let path = file.strip_prefix(root).unwrap().with_extension("");
    path.iter().map(|part| part.to_string_lossy().into_owned()).collect()
}

fn imports(member: &str) -> Imports {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(member).join("src");
    let mut found = Vec::new();
    files_below(&root, &mut found);
    let of_tests = |module: &[String]| module.iter().any(|name| name == "tests");
    let modules: BTreeMap<Vec<String>, PathBuf> = found
        .into_iter()
        .map(|file| (module(&root, &file), file))
        .filter(|(module, _)| {
            !of_tests(module) && module.as_slice() != ["lib"] && module.as_slice() != ["main"]
        })
        .collect();
    let imported = |module: &Vec<String>, file: &PathBuf| {
        let mut paths = Paths::default();
        paths.visit_file(&syn::parse_file(&std::fs::read_to_string(file).unwrap()).unwrap());
        let found = paths.0.iter().filter_map(|path| resolve(&modules, module, path));
        found.filter(|other| other != module).collect::<BTreeSet<_>>()
    };
    modules.iter().map(|(module, file)| (module.clone(), imported(module, file))).collect()
}

/// The file that a path in a module leads to, if it is one of this crate.
fn resolve(
    modules: &BTreeMap<Vec<String>, PathBuf>,
    module: &[String],
    path: &[String],
) -> Option<Vec<String>> {
    let above = path.iter().take_while(|name| *name == "super").count();
    let mut full = match path.first()?.as_str() {
        "crate" => path[1..].to_vec(),
        "super" => [module.get(..module.len().checked_sub(above)?)?, &path[above..]].concat(),
        "self" => [module, &path[1..]].concat(),
        // A module of this one.
        first if modules.contains_key(&[module, &[first.to_owned()]].concat()) => [module, path].concat(),
        _ => return None,
    };
    while !full.is_empty() && !modules.contains_key(&full) {
        full.pop();
    }
    (!full.is_empty()).then_some(full)
}

/// The modules that can be reached from one.
fn reachable<'a>(imports: &'a Imports, from: &'a Vec<String>) -> BTreeSet<&'a Vec<String>> {
    let (mut seen, mut next) = (BTreeSet::new(), vec![from]);
    while let Some(module) = next.pop() {
        next.extend(imports.get(module).into_iter().flatten().filter(|other| seen.insert(*other)));
    }
    seen
}

/// Those that can be reached from one another.
fn circles(imports: &Imports) -> Vec<Vec<String>> {
    let reached: BTreeMap<_, _> = imports.keys().map(|module| (module, reachable(imports, module))).collect();
    let reaches =
        |from: &Vec<String>, to: &Vec<String>| reached.get(from).is_some_and(|all| all.contains(to));
    let circle = |module: &Vec<String>| -> Vec<String> {
        let others = imports.keys().filter(|other| reaches(module, other) && reaches(other, module));
        others.map(|other| other.join("::")).collect()
    };
    let found: BTreeSet<Vec<String>> = imports.keys().map(circle).collect();
    found.into_iter().filter(|circle| !circle.is_empty()).collect()
}

#[test]
fn no_circle_of_imports_is_over_more_than_three_files() {
    for member in ["shard", "proxy"] {
        let large: Vec<_> =
            circles(&imports(member)).into_iter().filter(|circle| circle.len() > MOST).collect();
        assert!(large.is_empty(), "{member}: {large:#?}");
    }
}

/// Between the folders of the shard there is no circle at all: each room knows only those below it.
#[test]
fn the_rooms_of_the_shard_know_only_those_below_them() {
    let mut rooms = Imports::new();
    for (module, imported) in imports("shard") {
        let room = |module: &[String]| vec![module[0].clone()];
        let below = imported.iter().map(|other| room(other)).filter(|other| *other != room(&module));
        rooms.entry(room(&module)).or_default().extend(below.collect::<Vec<_>>());
    }
    let large: Vec<_> = circles(&rooms).into_iter().filter(|circle| circle.len() > 1).collect();
    assert!(large.is_empty(), "{large:#?}");
}

#[test]
fn a_circle_is_found() {
    let module = |name: &str| vec![name.to_owned()];
    let edges = [("a", "b"), ("b", "c"), ("c", "a"), ("c", "d"), ("d", "e")];
    let mut imports = Imports::new();
    for (from, to) in edges {
        imports.entry(module(from)).or_default().insert(module(to));
    }
    assert_eq!(circles(&imports), [["a", "b", "c"]]);
}
