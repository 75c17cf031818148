//! The links that a path leads through, each of which decides where it leads.

use std::path::{Component, Path, PathBuf};

use crate::platform::paths::LINKS_MAX;

/// A path followed to its end.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Way {
    /// The links, in the order in which they are followed; no directory above one is a link.
    pub(super) links: Vec<PathBuf>,
    /// Where the path leads: nothing in it is a link.
    pub(super) end: PathBuf,
}

/// Follows an absolute path. `target_of` returns a link's text. `None` when links form a circle.
pub(super) fn way_of(path: &Path, target_of: impl Fn(&Path) -> Option<PathBuf>) -> Option<Way> {
    let mut links = Vec::new();
    let mut path = path.to_owned();
    while links.len() <= LINKS_MAX {
        match first_link(&path, &target_of) {
            Ok(end) => return Some(Way { links, end }),
            Err((link, next)) => {
                links.push(link);
                path = next;
            }
        }
    }
    None
}

/// The path without `..`, where it has no link; else the first link in it, and the path with the
/// link's target in the link's place.
fn first_link(
    path: &Path,
    target_of: impl Fn(&Path) -> Option<PathBuf>,
) -> Result<PathBuf, (PathBuf, PathBuf)> {
    let mut at = PathBuf::new();
    let mut components = path.components();
    while let Some(component) = components.next() {
        match component {
            // Nothing before it is a link.
            Component::ParentDir => {
                at.pop();
            }
            Component::Normal(name) => {
                let above = at.clone();
                at.push(name);
                if let Some(target) = target_of(&at) {
                    return Err((at, above.join(target).join(components.as_path())));
                }
            }
            other => at.push(other),
        }
    }
    Ok(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_link_on_the_way_is_found_where_it_really_is() {
        let target_of = |path: &Path| {
            let links = [
                ("/home/store", "../shared/link"),
                ("/shared/link", "/data/dir"),
                ("/data", "disk/1"),
                ("/round", "/round/x"),
            ];
            let known = links.iter().find(|(link, _)| Path::new(link) == path);
            known.map(|(_, target)| PathBuf::from(target))
        };
        let way = |path: &str| way_of(Path::new(path), target_of);
        let found = way("/home/store/f.json").unwrap();
        assert_eq!(found.end, Path::new("/disk/1/dir/f.json"));
        let links = ["/home/store", "/shared/link", "/data"].map(PathBuf::from);
        assert_eq!(found.links, links);
        let plain = way("/home/a/../b").unwrap();
        assert_eq!((plain.end, plain.links), ("/home/b".into(), vec![]));
        assert_eq!(way("/round"), None);
    }
}
