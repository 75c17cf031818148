//! Names that Windows gives to no file, refused before anything is made.

use std::path::{Component, Path, Prefix};

/// What no name has. Source: Microsoft, "Naming Files, Paths, and Namespaces".
const FORBIDDEN: [char; 7] = ['<', '>', ':', '"', '|', '?', '*'];
/// Devices, whatever comes after a dot. Those of `NUMBERED` have a digit.
const DEVICES: [&str; 4] = ["CON", "PRN", "AUX", "NUL"];
const NUMBERED: [&str; 2] = ["COM", "LPT"];

/// Why Windows makes no file at a path that is absolute; `None` where it can.
pub(super) fn fault_of_path(path: &Path) -> Option<&'static str> {
    path.components().find_map(|component| match component {
        Component::Prefix(prefix) => {
            let is_device = matches!(prefix.kind(), Prefix::DeviceNS(_));
            is_device.then_some("that is the name of a device")
        }
        Component::Normal(name) => fault_of_name(&name.to_string_lossy()),
        _ => None,
    })
}

fn fault_of_name(name: &str) -> Option<&'static str> {
    if name.contains(FORBIDDEN) || name.contains(char::is_control) {
        return Some("no name on Windows has any of < > : \" | ? *");
    }
    if name.ends_with(['.', ' ']) {
        return Some("no name on Windows ends in a dot or a blank");
    }
    let stem = name.split('.').next().unwrap_or_default();
    let stem = stem.trim_end().to_ascii_uppercase();
    let is_numbered = |device: &str| {
        let digit = stem.strip_prefix(device).map(str::as_bytes);
        matches!(digit, Some([b'0'..=b'9']))
    };
    let is_device = DEVICES.contains(&&*stem) || NUMBERED.iter().any(|device| is_numbered(device));
    is_device.then_some("that is the name of a device")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_devices_and_streams_are_no_files() {
        for name in [
            "nul", "con.db", "Com1", "LPT9.x", "aux .txt", "v.db:s", "a?", "a.", "a ",
        ] {
            assert!(fault_of_name(name).is_some(), "{name}");
        }
        for name in [
            "vault.db",
            "null",
            "com",
            "com10",
            "console",
            ".clawdbot",
            "Zoë x",
            "a.con",
        ] {
            assert_eq!(fault_of_name(name), None, "{name}");
        }
        assert_eq!(fault_of_path(Path::new("/a/nul/b")), fault_of_name("nul"));
        assert_eq!(fault_of_path(Path::new("/a/b")), None);
    }
}
