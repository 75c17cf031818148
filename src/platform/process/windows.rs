//! Who this process is, as Windows says it. Environment variables say it too, and anybody can set
//! them.

use std::path::PathBuf;

use winsafe::{
    FreeConsole, GetComputerName, GetSystemDirectory, HPROCESS, HPROCESSLIST, SID, TokenInfo, co,
};

/// The relative identifier of the user whose rights this process has: the last number of the SID.
/// An account of the machine and one of a domain may have the same. 0 where Windows does not say.
pub(super) fn effective_uid() -> u32 {
    let of_sid = |sid: &SID| sid.SubAuthority().last().map(|id| id.raw());
    of_user(of_sid).flatten().unwrap_or(0)
}

/// The SID of the user whose rights this process has, such as `S-1-5-21-1-2-3-1001`.
pub(super) fn user_sid() -> Option<String> {
    of_user(|sid| sid.to_string())
}

fn of_user<T>(read: impl FnOnce(&SID) -> T) -> Option<T> {
    let token = HPROCESS::GetCurrentProcess().OpenProcessToken(co::TOKEN::QUERY);
    let token = token.ok()?;
    let user = token.GetTokenInformation(co::TOKEN_INFORMATION_CLASS::User);
    match user.ok()? {
        TokenInfo::User(user) => user.User.Sid().map(|sid| read(sid)),
        _ => None,
    }
}

/// The directory of Windows' own programs.
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
