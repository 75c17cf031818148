//! Why a file is not used, and what the reader can do about it.

use std::fmt;
use std::fs::Metadata;
use std::path::{Path, PathBuf};

use crate::domain::{shell_shown_path, shown_path};

/// What is wrong with a file, directory or link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Another user owns the file or directory.
    Owner,
    /// Other users may write the file or directory.
    Writable,
    /// Its group, in which there are others, may write it.
    GroupWritable,
    /// Others may read the secret in it.
    Readable,
    /// It has so many names, and another one may be somebody else's file.
    Links(u64),
}

/// Why changing the mode would not help.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Obstacle {
    /// The modes come from the mount.
    NoModes { point: PathBuf, kind: String },
    /// The file system is mounted read-only.
    ReadOnly { point: PathBuf },
    /// An access list names single users or groups.
    AccessList,
}

/// The owner of the place of a refused file: a remedy changes no other place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// It is the home directory.
    Home,
    /// It lies in the home directory, or where the vault does.
    Own,
    /// It is the system's, a device, or somebody else's.
    Elsewhere,
}

/// A refused file or directory: its path, its owner, and the users who may use it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The path of the refused file or directory.
    pub path: PathBuf,
    /// What was to be used, where that is something below or behind it.
    pub asked: Option<PathBuf>,
    /// What is wrong with it.
    pub fault: Fault,
    /// The user id of its owner.
    pub owner: u32,
    /// The group id of the file or directory.
    pub group: u32,
    /// Its permission bits, the sticky bit included.
    pub mode: u32,
    /// The user id of this process.
    pub uid: u32,
    /// Whether a secret was to be read.
    pub(in crate::platform) is_secret: bool,
    reach: Reach,
    is_dir: bool,
    /// Whether it is a directory whose new files get its group.
    is_set_group_id: bool,
    /// On Windows, the accounts that own or may use it, and the user that this runs as.
    accounts: Option<Accounts>,
    /// The argument of `chmod` that fixes it.
    change: &'static str,
    obstacle: Option<Obstacle>,
}

impl Refusal {
    #[cfg(unix)]
    pub(super) fn new(
        path: &Path,
        meta: &Metadata,
        (fault, change): (Fault, &'static str),
        (obstacle, reach): (Option<Obstacle>, Reach),
    ) -> Self {
        use std::os::unix::fs::MetadataExt as _;
        Self {
            path: path.to_owned(),
            asked: None,
            fault,
            owner: meta.uid(),
            group: meta.gid(),
            mode: meta.mode() & 0o1777,
            uid: crate::platform::process::effective_uid(),
            is_secret: false,
            reach,
            is_dir: meta.is_dir(),
            is_set_group_id: meta.is_dir() && meta.mode() & 0o2000 != 0,
            accounts: None,
            change,
            obstacle,
        }
    }

    /// Of what other accounts of Windows own or may use.
    #[cfg(windows)]
    pub(super) fn of_accounts(
        path: &Path,
        is_dir: bool,
        fault: Fault,
        (user, others): (String, Vec<String>),
        reach: Reach,
    ) -> Self {
        Self {
            path: path.to_owned(),
            asked: None,
            fault,
            owner: 0,
            group: 0,
            mode: 0,
            uid: 0,
            is_secret: false,
            reach,
            is_dir,
            is_set_group_id: false,
            accounts: Some(Accounts { user, others }),
            change: "",
            obstacle: None,
        }
    }

    /// Whether the mode of a file is at fault, not its owner and not a directory.
    #[cfg(unix)]
    pub(super) fn is_of_file_mode(&self) -> bool {
        !self.is_dir && !matches!(self.fault, Fault::Owner | Fault::Links(_))
    }

    /// Whether taking rights away with `chmod` fixes it, and this user may.
    #[must_use]
    pub fn is_fixed_by_chmod(&self) -> bool {
        let is_of_mode = !matches!(self.fault, Fault::Owner | Fault::Links(_));
        is_of_mode
            && self.accounts.is_none()
            && self.obstacle.is_none()
            && !self.is_shared_dir()
            && self.owner == self.uid
            && !self.needs_another_file()
    }

    /// Whether [`Refusal::remedy`] is to name another file, since changing this one could break the
    /// machine.
    #[must_use]
    pub fn needs_another_file(&self) -> bool {
        let is_secret = self.is_secret && !self.is_changed_by_this_user();
        self.reach == Reach::Elsewhere
            && self.fault != Fault::Owner
            && !self.is_shared_dir()
            && !matches!(self.obstacle, Some(Obstacle::NoModes { .. }))
            && !is_secret
    }

    /// Whether this user may change its mode, or its owner, here.
    fn is_changed_by_this_user(&self) -> bool {
        let is_fixed_there = matches!(self.obstacle, Some(Obstacle::ReadOnly { .. }));
        (self.owner == self.uid || self.uid == 0) && !is_fixed_there
    }

    /// How to hand over a secret whose file this user cannot change.
    fn secret_remedy(&self) -> String {
        let begin = match self.fault {
            Fault::Owner => format!(
                "If that user may know it: CLAWKEEP_TRUSTED=uid:{}. Else give",
                self.owner
            ),
            _ => "You cannot change that here. Give".to_owned(),
        };
        format!(
            "{begin} the passphrase through a pipe (--passphrase-file -), mount the file as a \
             container's secret, or have systemd hand it over in CREDENTIALS_DIRECTORY \
             (LoadCredential=clawkeep.key:FILE or clawkeep.passphrase:FILE)"
        )
    }

    /// Whether it is a directory to keep files in, and this user can make files there only because
    /// others can: Kubernetes' `emptyDir` with `fsGroup` (root's, mode 2777).
    fn is_needed_open(&self) -> bool {
        let is_kept_in =
            (self.asked.as_deref()).is_none_or(|asked| asked.parent() == Some(self.path.as_path()));
        let is_foreign = self.uid != 0 && self.owner != self.uid;
        self.is_set_group_id && is_foreign && is_kept_in && !self.is_shared_dir()
    }

    fn is_shared_dir(&self) -> bool {
        self.is_dir && self.mode & 0o1000 != 0
    }

    /// Returns its owner: the user id, on Windows the account.
    #[must_use]
    pub fn owner_name(&self) -> String {
        match &self.accounts {
            Some(accounts) => accounts.names(),
            None => self.owner.to_string(),
        }
    }

    /// Returns its permissions or its owner, for parentheses.
    #[must_use]
    pub fn rights(&self) -> String {
        match &self.accounts {
            Some(accounts) => accounts.names(),
            None => format!("mode {:03o}, owner {}", self.mode & 0o777, self.owner),
        }
    }

    /// [`Refusal::remedy`], to be shown after the word `fix`.
    #[must_use]
    pub fn fix(&self) -> String {
        let remedy = self.remedy();
        match remedy.strip_prefix("Fix it with: ") {
            Some(command) if self.accounts.is_some() => command.to_owned(),
            _ => remedy,
        }
    }

    /// What the reader can do, one sentence with a command.
    #[must_use]
    pub fn remedy(&self) -> String {
        let path = shell_shown_path(&self.path);
        if let Some(accounts) = &self.accounts {
            return match (self.needs_another_file(), self.fault, self.reach) {
                (true, ..) => "Name another file.".to_owned(),
                // Its owner may have planted it.
                (_, Fault::Owner, Reach::Own) => format!(
                    "Move it away: move {path} {}. {}",
                    shell_shown_path(&self.path.with_added_extension("aside")),
                    accounts.admission()
                ),
                (_, Fault::Owner, _) => format!("Name another file. {}", accounts.admission()),
                _ => accounts.remedy(&path, self.is_dir, self.reach),
            };
        }
        let (owner, uid) = (self.owner, self.uid);
        let sudo = if self.uid == 0 || self.owner == self.uid {
            ""
        } else {
            "sudo "
        };
        let is_home = self.reach == Reach::Home;
        let own_home = if is_home {
            ". To use root's own home: sudo -H clawkeep …"
        } else {
            ""
        };
        let chmod = format!("{sudo}chmod {} {path}", self.change);
        match (self.fault, &self.obstacle) {
            _ if self.is_secret && !self.is_changed_by_this_user() => self.secret_remedy(),
            _ if self.needs_another_file() => "Name another file.".to_owned(),
            (Fault::Owner, _) if is_home && uid != 0 => format!(
                "HOME names another user's directory: set it to your own, or run the command as \
                 the owner: sudo -u '#{owner}' clawkeep …"
            ),
            (Fault::Owner, _) if uid == 0 => {
                let chown = match self.reach {
                    Reach::Own => format!("chown 0 {path}, or "),
                    Reach::Home | Reach::Elsewhere => String::new(),
                };
                format!(
                    "Run the command as the owner: sudo -u '#{owner}' clawkeep … (or: runuser \
                     -u \"$(id -nu {owner})\" -- clawkeep …). To use it as root: {chown}admit the \
                     owner: CLAWKEEP_TRUSTED=uid:{owner}{own_home}"
                )
            }
            (Fault::Owner, _) if self.reach == Reach::Own => format!(
                "If it is to be yours: sudo chown {uid} {path}. Else run the command as the \
                 owner: sudo -u '#{owner}' clawkeep …"
            ),
            (Fault::Owner, _) => {
                format!(
                    "Name another file, or run the command as the owner: sudo -u '#{owner}' \
                     clawkeep …"
                )
            }
            (Fault::Links(_), _) => format!("Fix it with: rm {path}"),
            (_, Some(Obstacle::NoModes { point, kind })) => format!(
                "chmod has no effect on {kind}: mount {} with uid={uid},umask=077, or keep the \
                 files on another disk.",
                shell_shown_path(point)
            ),
            (_, Some(Obstacle::ReadOnly { point })) => {
                let point = shell_shown_path(point);
                format!(
                    "{point} is mounted read-only: copy the files to another disk, or run: mount \
                     -o remount,rw {point} && {chmod}"
                )
            }
            (_, Some(Obstacle::AccessList)) => {
                format!("Fix it with: {sudo}setfacl -b {path} && {chmod}")
            }
            _ if self.is_needed_open() => {
                let own = shell_shown_path(&self.path.join("clawkeep"));
                format!(
                    "chmod would lock you out, since it is not yours. Make a directory of your \
                     own in it, and use that as your home directory: mkdir -m 700 {own} && \
                     HOME={own} clawkeep …"
                )
            }
            _ if self.is_shared_dir() => {
                "That directory is shared by all users; use one of your own.".to_owned()
            }
            (Fault::GroupWritable, _) if self.group != 0 => format!(
                "Fix it with: {chmod} (if only you are in group {0}: CLAWKEEP_TRUSTED=gid:{0})",
                self.group
            ),
            _ => format!("Fix it with: {chmod}"),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Accounts {
    /// The user that this runs as.
    user: String,
    /// Those who own it or may use it.
    others: Vec<String>,
}

impl Accounts {
    fn names(&self) -> String {
        #[cfg(windows)]
        let name = crate::platform::access_list::account_name;
        #[cfg(not(windows))]
        let name = |sid| sid;
        let names: Vec<&str> = self.others.iter().map(|sid| name(&**sid)).collect();
        names.join(", ")
    }

    /// How to use what another account owns.
    fn admission(&self) -> String {
        let owner = self.others.first().map_or("", String::as_str);
        format!("To use it as it is: CLAWKEEP_TRUSTED=sid:{owner}")
    }

    #[cfg(any(windows, test))]
    fn remedy(&self, path: &str, is_dir: bool, reach: Reach) -> String {
        use crate::platform::access_list::closing_command;
        match reach {
            // The home directory has entries of the system's, which a command would take away.
            Reach::Home => format!(
                "Take the rights of {} away, in its properties, on the page Security.",
                self.names()
            ),
            _ => format!(
                "Fix it with: {}",
                closing_command(path, is_dir, &self.user, &self.others)
            ),
        }
    }

    #[cfg(not(any(windows, test)))]
    fn remedy(&self, _: &str, _: bool, _: Reach) -> String {
        String::new() // there are none
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (path, rights) = (shown_path(&self.path), self.rights());
        match self.fault {
            Fault::Owner => {
                let owner = self.owner_name();
                let user = match &self.accounts {
                    Some(accounts) => accounts.user.clone(),
                    None => self.uid.to_string(),
                };
                write!(f, "{path} belongs to user {owner}, not to user {user}")?;
                if self.accounts.is_none() {
                    write!(f, " (mode {:03o})", self.mode & 0o777)?;
                }
            }
            Fault::Writable | Fault::GroupWritable => {
                write!(f, "{path} can be written by other users ({rights})")?;
            }
            Fault::Readable => write!(f, "{path} can be read by other users ({rights})")?,
            Fault::Links(count) => write!(
                f,
                "{path} has {count} hard links, so writing it could change another file ({rights})"
            )?,
        }
        match &self.asked {
            Some(asked) => write!(f, ", so {} is not used", shown_path(asked)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_remedy_changes_an_access_list_elsewhere() {
        let of = |fault, reach| Refusal {
            path: PathBuf::from("x"),
            asked: None,
            fault,
            owner: 0,
            group: 0,
            mode: 0,
            uid: 0,
            is_secret: false,
            reach,
            is_dir: true,
            is_set_group_id: false,
            accounts: Some(Accounts {
                user: "S-1-5-21-1-2-3-1001".to_owned(),
                others: vec!["S-1-5-11".to_owned()],
            }),
            change: "",
            obstacle: None,
        };
        let shared = of(Fault::Writable, Reach::Elsewhere);
        assert!(shared.needs_another_file());
        assert_eq!(shared.remedy(), "Name another file.");
        let home = of(Fault::Writable, Reach::Home).remedy();
        assert!(!home.contains("icacls"), "{home}");
        let remedy = of(Fault::Owner, Reach::Elsewhere).remedy();
        assert!(!remedy.contains("takeown"), "{remedy}");
        let remedy = of(Fault::Writable, Reach::Own).remedy();
        assert!(remedy.starts_with("Fix it with: icacls x "), "{remedy}");
        let fix = of(Fault::Writable, Reach::Own).fix();
        assert!(fix.starts_with("icacls x "), "{fix}");
        let remedy = of(Fault::Owner, Reach::Own).remedy();
        assert!(
            remedy.starts_with("Move it away: move x x.aside. "),
            "{remedy}"
        );
    }
}
