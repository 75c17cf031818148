//! Which groups nobody but one user is in, by `/etc/passwd` and `/etc/group` alone: asking a
//! directory service may hang.

use std::path::Path;

use crate::platform::read::read_regular;

/// The largest of these files that is read, in bytes; one of ten thousand accounts has a megabyte.
const FILE_MAX: u64 = 16 << 20;
/// The sources of groups that are files of this machine. Source: nsswitch.conf(5), nss-systemd(8).
const LOCAL_SOURCES: [&str; 4] = ["files", "compat", "systemd", "altfiles"];

/// The accounts of this machine, as far as its files have them.
#[derive(Debug, Default)]
pub(super) struct Accounts {
    users: Vec<User>,
    groups: Vec<Group>,
    /// Groups can come from elsewhere: one that is not in the files may have members.
    has_other_sources: bool,
}

#[derive(Debug)]
struct User {
    name: String,
    uid: u32,
    gid: u32,
}

#[derive(Debug)]
struct Group {
    gid: u32,
    members: Vec<String>,
}

impl Accounts {
    /// Reads the files; what cannot be read has nobody in it.
    pub(super) fn read() -> Self {
        let text = |path: &str| match read_regular(Path::new(path), FILE_MAX) {
            Ok(Some(contents)) => String::from_utf8_lossy(&contents.bytes).into_owned(),
            _ => String::new(),
        };
        Self::parse(
            &text("/etc/passwd"),
            &text("/etc/group"),
            &text("/etc/nsswitch.conf"),
        )
    }

    fn parse(passwd: &str, group: &str, sources: &str) -> Self {
        let user = |line: &str| {
            let mut fields = line.split(':');
            let name = fields.next()?.to_owned();
            let (uid, gid) = (fields.nth(1)?.parse().ok()?, fields.next()?.parse().ok()?);
            Some(User { name, uid, gid })
        };
        let group_of = |line: &str| {
            let mut fields = line.split(':').skip(2);
            let gid = fields.next()?.parse().ok()?;
            let members = fields.next().unwrap_or_default().split(',');
            let members = members.map(str::trim).filter(|name| !name.is_empty());
            Some(Group {
                gid,
                members: members.map(str::to_owned).collect(),
            })
        };
        let is_elsewhere = |source: &str| {
            !source.starts_with('[') && !source.ends_with(']') && !LOCAL_SOURCES.contains(&source)
        };
        Self {
            users: passwd.lines().filter_map(user).collect(),
            groups: group.lines().filter_map(group_of).collect(),
            has_other_sources: sources
                .lines()
                .filter_map(|line| line.trim().strip_prefix("group:"))
                .flat_map(|line| {
                    line.split('#')
                        .next()
                        .unwrap_or_default()
                        .split_whitespace()
                })
                .any(is_elsewhere),
        }
    }

    /// Whether a group is `uid`'s primary group and has no other member: what Debian's OpenSSH
    /// takes for the user's own. Root's is nobody's own.
    pub(super) fn is_private(&self, gid: u32, uid: u32) -> bool {
        let is_primary = |user: &User| user.uid == uid && user.gid == gid;
        gid != 0 && self.users.iter().any(is_primary) && self.has_no_other(gid, uid)
    }

    /// Whether no account of this machine but `uid` is in a group, which may have no name here: a
    /// container's `fsGroup`.
    pub(super) fn is_nobody_elses(&self, gid: u32, uid: u32) -> bool {
        gid != 0 && !self.has_other_sources && self.has_no_other(gid, uid)
    }

    fn has_no_other(&self, gid: u32, uid: u32) -> bool {
        let is_other = |name: &String| {
            let mut known = self.users.iter();
            !known.any(|user| user.name == *name && user.uid == uid)
        };
        let mut users = self.users.iter();
        let mut members = (self.groups.iter())
            .filter(|group| group.gid == gid)
            .flat_map(|group| &group.members);
        !users.any(|user| user.gid == gid && user.uid != uid) && !members.any(is_other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0::/root:/bin/sh\nana:x:1000:1000::/home/ana:/bin/sh\n\
        bob:x:1001:1001::/home/bob:/bin/sh\ncarl:x:1002:1001::/home/carl:/bin/sh\n\
        dora:x:1003:1003::/home/dora:/bin/sh\neve:x:1004:100::/home/eve:/bin/sh\nbroken\n";
    const GROUP: &str =
        "root:x:0:\nana:x:1000:ana\nbob:x:1001:\ndora:x:1003:ana\nshared:x:2000:ana,bob\n";

    #[test]
    fn a_private_group_has_one_member_and_is_not_roots() {
        let accounts = Accounts::parse(PASSWD, GROUP, "");
        let private = |gid, uid| accounts.is_private(gid, uid);
        assert!(private(1000, 1000));
        assert!(!private(1000, 1001), "another's");
        assert!(!private(1001, 1001), "it is carl's primary group, too");
        assert!(!private(1003, 1003), "ana is a member");
        assert!(!private(0, 0), "root's");
        assert!(!private(2000, 1000), "no primary group");
        assert!(!private(5000, 5000), "an account that is not here");
    }

    #[test]
    fn a_group_of_nobody_is_known_only_where_all_groups_are_in_files() {
        let of = |sources| Accounts::parse(PASSWD, GROUP, sources);
        assert!(of("").is_nobody_elses(3000, 1000));
        assert!(of("group: files systemd\n").is_nobody_elses(3000, 1000));
        let merging = "group: files [SUCCESS=merge] systemd # local\n";
        assert!(of(merging).is_nobody_elses(3000, 1000));
        assert!(!of("group: files sss\n").is_nobody_elses(3000, 1000));
        assert!(!of("").is_nobody_elses(2000, 1000), "bob is in it");
        assert!(!of("").is_nobody_elses(100, 1000), "eve's primary group");
        assert!(!of("").is_nobody_elses(0, 1000));
    }
}
