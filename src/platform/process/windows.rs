//! The identity of this process as Windows reports it; environment variables can be set by anybody.

use std::path::PathBuf;

use winsafe::{FreeConsole, GetComputerName, GetSystemDirectory, HPROCESSLIST, co};

use crate::platform::access_list::windows::this_user;

/// The relative identifier of the user whose rights this process has: the last number of the SID.
/// An account of the machine and one of a domain may have the same. 0 where Windows does not say.
pub(super) fn effective_uid() -> u32 {
    let sid = user_sid();
    let number = sid.as_deref().and_then(|sid| sid.rsplit('-').next());
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// The SID of the user whose rights this process has, such as `S-1-5-21-1-2-3-1001`.
pub(super) fn user_sid() -> Option<String> {
    this_user().ok().map(str::to_owned)
}

pub(super) fn system_directory() -> Option<PathBuf> {
    GetSystemDirectory().ok().map(PathBuf::from)
}

pub(super) fn leave_console() {
    let _ = FreeConsole(); // there may be none
}

/// The computer's NetBIOS name.
pub(super) fn host_name() -> Option<String> {
    GetComputerName().ok().filter(|name| !name.is_empty())
}

/// The name of the program that started this process. Another process may have the parent's id, if
/// that one has ended.
pub(super) fn parent_name() -> Option<String> {
    let mut list = HPROCESSLIST::CreateToolhelp32Snapshot(co::TH32CS::SNAPPROCESS, None).ok()?;
    let processes: Vec<(u32, u32, String)> = list
        .iter_processes()
        .map_while(Result::ok)
        .map(|entry| {
            let ids = (entry.th32ProcessID, entry.th32ParentProcessID);
            (ids.0, ids.1, entry.szExeFile())
        })
        .collect();
    let own = std::process::id();
    let (_, parent, _) = processes.iter().find(|(id, ..)| *id == own)?;
    let mut others = processes.iter();
    let (.., name) = others.find(|(id, ..)| id == parent)?;
    Some(name.clone())
}
