//! Reading and setting access-control lists.

use std::ffi::OsStr;
use std::fs::OpenOptions;
use std::io;
use std::os::windows::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::OnceLock;

use windows_permissions::constants::{SeObjectType, SecurityInformation};
use windows_permissions::utilities::current_process_sid;
use windows_permissions::wrappers::{
    ConvertSecurityDescriptorToStringSecurityDescriptor,
    ConvertStringSecurityDescriptorToSecurityDescriptor, ConvertStringSidToSid,
    GetNamedSecurityInfo, GetSecurityInfo, SetNamedSecurityInfo,
};
use windows_permissions::{LocalBox, SecurityDescriptor};

use super::{AccessList, private_list};
use crate::platform::sharing::BACKUP_SEMANTICS_NO_LINK;

/// The right to read who may use a file. Source: Microsoft, "Standard Access Rights".
const READ_CONTROL: u32 = 0x0002_0000;

impl AccessList {
    /// Of what is at a path; links are followed. Fails when nothing is there, or the system
    /// refuses.
    pub(in crate::platform) fn of(path: &Path) -> io::Result<Self> {
        read(GetNamedSecurityInfo(
            path,
            SeObjectType::SE_FILE_OBJECT,
            parts(),
        )?)
    }

    /// Of a link itself.
    pub(in crate::platform) fn of_link(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options
            .access_mode(READ_CONTROL)
            .custom_flags(BACKUP_SEMANTICS_NO_LINK);
        let link = options.open(path)?;
        read(GetSecurityInfo(
            &link,
            SeObjectType::SE_FILE_OBJECT,
            parts(),
        )?)
    }
}

fn parts() -> SecurityInformation {
    SecurityInformation::Owner | SecurityInformation::Dacl
}

fn read(descriptor: LocalBox<SecurityDescriptor>) -> io::Result<AccessList> {
    let text = ConvertSecurityDescriptorToStringSecurityDescriptor(&descriptor, parts())?;
    let text = text.to_string_lossy();
    let identifier_of = |name: &str| Some(ConvertStringSidToSid(name).ok()?.to_string());
    AccessList::parse(&text, &identifier_of).ok_or_else(|| {
        let what = format!("its access-control list is not understood: {text}");
        io::Error::new(io::ErrorKind::InvalidData, what)
    })
}

/// The identifier (SID) of the user that this process runs as, such as `S-1-5-21-1-2-3-1001`. Fails
/// when the system does not report it.
pub(in crate::platform) fn this_user() -> io::Result<&'static str> {
    static USER: OnceLock<String> = OnceLock::new();
    if let Some(user) = USER.get() {
        return Ok(user);
    }
    let user = current_process_sid()?.to_string();
    Ok(USER.get_or_init(|| user))
}

/// Leaves a file or directory to this user and the system. What is made in the directory from then
/// on inherits that.
pub(in crate::platform) fn make_private(path: &Path, is_dir: bool) -> io::Result<()> {
    let list = private_list(this_user()?, is_dir);
    let descriptor = ConvertStringSecurityDescriptorToSecurityDescriptor(OsStr::new(&list))?;
    let what = SecurityInformation::Dacl | SecurityInformation::ProtectedDacl;
    let kind = SeObjectType::SE_FILE_OBJECT;
    SetNamedSecurityInfo(path, kind, what, None, None, descriptor.dacl(), None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::access_list::rights;

    #[test]
    fn accounts_of_the_machine_are_named_by_whole_identifiers() {
        let sddl = OsStr::new("O:LAD:(A;;FA;;;LA)(A;;FR;;;WD)");
        let list = read(ConvertStringSecurityDescriptorToSecurityDescriptor(sddl).unwrap());
        let list = list.unwrap();
        let is_administrator = |sid: &str| sid.starts_with("S-1-5-21-") && sid.ends_with("-500");
        assert!(is_administrator(&list.owner), "{list:?}");
        assert!(list.others(&list.owner, rights::WRITE).is_empty());
    }

    #[test]
    fn what_is_made_private_is_and_so_is_what_is_made_in_it() {
        let dir = tempfile::tempdir().unwrap();
        let own = dir.path().join("own");
        std::fs::create_dir(&own).unwrap();
        make_private(&own, true).unwrap();
        let (inherited, set) = (own.join("inherited"), dir.path().join("set"));
        std::fs::write(&inherited, "x").unwrap();
        std::fs::write(&set, "x").unwrap();
        make_private(&set, false).unwrap();
        for path in [&own, &inherited, &set] {
            let list = AccessList::of(path).unwrap();
            let others = list.others(this_user().unwrap(), rights::READ | rights::WRITE);
            assert!(others.is_empty(), "{}: {others:?}", path.display());
        }
    }
}
