//! The identity of this process as Windows reports it; environment variables can be set by anybody.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use winsafe::{FreeConsole, GetComputerName, GetSystemDirectory, HPROCESS, HPROCESSLIST, co};

use crate::platform::access_list::windows::this_user;

/// The exit code of a process that runs. Source: Microsoft's documentation, GetExitCodeProcess.
const STILL_ACTIVE: u32 = 259;
/// From the start of Windows' time, 1601, to that of Unix. Source: Microsoft's documentation,
/// Converting a time_t value to a FILETIME.
const BEFORE_UNIX: Duration = Duration::from_secs(11_644_473_600);

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

/// Whether there is a process of that id. What cannot be examined counts as being there.
pub(in crate::platform) fn process_exists(pid: u32) -> bool {
    match HPROCESS::OpenProcess(co::PROCESS::QUERY_LIMITED_INFORMATION, false, pid) {
        // One that has ended stays for as long as another program has it open.
        Ok(process) => process
            .GetExitCodeProcess()
            .map_or(true, |code| code == STILL_ACTIVE),
        Err(error) => error != co::ERROR::INVALID_PARAMETER,
    }
}

/// The start time of a process; `None` if the system does not report it.
pub(in crate::platform) fn started_at(pid: u32) -> Option<SystemTime> {
    let rights = co::PROCESS::QUERY_LIMITED_INFORMATION;
    let process = HPROCESS::OpenProcess(rights, false, pid).ok()?;
    let (created, ..) = process.GetProcessTimes().ok()?;
    // Its unit is 100 ns.
    let since = Duration::from_micros(u64::from(created) / 10).checked_sub(BEFORE_UNIX)?;
    SystemTime::UNIX_EPOCH.checked_add(since)
}
