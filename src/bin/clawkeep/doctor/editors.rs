//! Where editors and the desktop's trash keep copies of files. Source: those programs' defaults.

use std::path::{Path, PathBuf};

use clawkeep::internal::config::Layout;
use clawkeep::internal::platform::read_regular;

/// Directories in a home in which copies keep a recognisable name: swap, backup and undo files of
/// Vim, Neovim and Emacs, and the trash.
const KEPT_BY_NAME: [&str; 16] = [
    ".vim/backup",
    ".vim/swap",
    ".vim/undo",
    ".vim/tmp",
    ".cache/vim/backup",
    ".cache/vim/swap",
    ".cache/vim/undo",
    ".local/state/nvim/backup",
    ".local/state/nvim/swap",
    ".local/state/nvim/undo",
    ".local/share/nvim/swap",
    ".emacs.d/backups",
    ".emacs.d/auto-save-list",
    ".emacs.d/auto-saves",
    ".local/share/Trash/files",
    ".Trash",
];
/// Where the editors that are made from VS Code keep their settings: each save of a file is kept
/// below, under a random name.
const VS_CODES: [&str; 8] = [
    ".config/Code",
    ".config/Code - OSS",
    ".config/VSCodium",
    ".config/Cursor",
    ".vscode-server/data",
    "Library/Application Support/Code",
    "Library/Application Support/VSCodium",
    "Library/Application Support/Cursor",
];
/// How many files with a history are examined in each of them.
const HISTORIES_MAX: usize = 10_000;
/// The largest list of one file's history that is read, in bytes.
const LIST_LIMIT: u64 = 1 << 20;

/// Returns the directories in which copies have recognisable names.
pub(super) fn dirs(layout: &Layout) -> impl Iterator<Item = PathBuf> {
    KEPT_BY_NAME.iter().map(|dir| layout.home.join(dir))
}

/// Returns the kept copies of stores that have no recognisable names.
pub(super) fn histories(layout: &Layout) -> Vec<PathBuf> {
    let roots = VS_CODES
        .iter()
        .map(|dir| layout.home.join(dir).join("User/History"));
    roots.flat_map(|root| kept_in(&root)).collect()
}

fn kept_in(root: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root).into_iter().flatten().flatten();
    let dirs = entries.take(HISTORIES_MAX).map(|entry| entry.path());
    let of_stores = dirs.filter(|dir| {
        let list = read_regular(&dir.join("entries.json"), LIST_LIMIT);
        list.is_ok_and(|list| {
            list.is_some_and(|list| {
                let text = String::from_utf8_lossy(&list.bytes);
                text.contains("auth-profiles") || text.contains("auth.json")
            })
        })
    });
    let mut kept: Vec<PathBuf> = of_stores
        .flat_map(|dir| std::fs::read_dir(dir).into_iter().flatten().flatten())
        .map(|entry| entry.path())
        .filter(|path| path.file_name().is_some_and(|name| name != "entries.json"))
        .collect();
    kept.sort();
    kept
}
