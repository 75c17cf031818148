//! Access-control lists of Windows: who may read and change a file, read from a security descriptor
//! as text (SDDL).
//!
//! Accounts are compared by their identifiers (SIDs), which are the same in every language of the
//! system.

#![cfg_attr(not(windows), allow(dead_code, reason = "its tests read it"))]

#[cfg(windows)]
pub(super) mod windows;

/// Rights on a file. Source: Microsoft, "File Access Rights Constants", "Access Mask Format".
pub(super) mod rights {
    const GENERIC_ALL: u32 = 0x1000_0000;
    const WRITE_DAC_OR_OWNER: u32 = 0x0004_0000 | 0x0008_0000;
    const DELETE: u32 = 0x0001_0000;
    const GENERIC_WRITE: u32 = 0x4000_0000;
    /// To read what is in it.
    pub(in crate::platform) const READ: u32 = 0x1 | 0x8000_0000 | GENERIC_ALL;
    /// The rights of [`READ`] with which nothing can be changed.
    pub(in crate::platform) const READ_ALONE: u32 = READ & !GENERIC_ALL;
    /// To decide who may use it.
    pub(in crate::platform) const OWN: u32 = WRITE_DAC_OR_OWNER | GENERIC_ALL;
    /// To change what is in it, or to put another file in its place.
    pub(in crate::platform) const WRITE: u32 =
        0x2 | 0x4 | DELETE | WRITE_DAC_OR_OWNER | GENERIC_WRITE | GENERIC_ALL;
    /// Of a directory: to put another one in its place, or in that of something in it.
    pub(in crate::platform) const REPLACE: u32 = 0x40 | DELETE | WRITE_DAC_OR_OWNER | GENERIC_ALL;
    /// Of a directory: to make files in it, or a link of it while it is empty.
    pub(in crate::platform) const CREATE_IN: u32 =
        0x2 | 0x4 | 0x40 | 0x100 | GENERIC_WRITE | REPLACE;
}

/// What everybody may do where a file has no list at all.
const EVERYTHING: u32 = u32::MAX;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AccessList {
    pub(super) owner: String,
    entries: Vec<Entry>,
}

/// Rights that an account or group has.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    sid: String,
    mask: u32,
}

/// Identifiers that SDDL abbreviates, and the names by which people know them. Source: Microsoft,
/// "SID Strings", "Well-known SIDs".
const WELL_KNOWN: [(&str, &str, &str); 14] = [
    ("WD", "S-1-1-0", "Everyone"),
    ("CO", "S-1-3-0", "CREATOR OWNER"),
    ("CG", "S-1-3-1", "CREATOR GROUP"),
    ("OW", "S-1-3-4", "OWNER RIGHTS"),
    ("NU", "S-1-5-2", "NETWORK"),
    ("IU", "S-1-5-4", "INTERACTIVE"),
    ("AN", "S-1-5-7", "ANONYMOUS LOGON"),
    ("AU", "S-1-5-11", "Authenticated Users"),
    ("SY", "S-1-5-18", "SYSTEM"),
    ("LS", "S-1-5-19", "LOCAL SERVICE"),
    ("NS", "S-1-5-20", "NETWORK SERVICE"),
    ("BA", "S-1-5-32-544", "Administrators"),
    ("BU", "S-1-5-32-545", "Users"),
    ("BG", "S-1-5-32-546", "Guests"),
];

/// Accounts that cannot be kept out: system, administrators, installer; and the owner's stand-ins.
const TRUSTED: [&str; 5] = [
    "S-1-5-18",
    "S-1-5-32-544",
    "S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464",
    "S-1-3-0",
    "S-1-3-4",
];

/// Rights that SDDL abbreviates. Source: Microsoft, "ACE Strings".
const RIGHTS: [(&str, u32); 22] = [
    ("GA", 0x1000_0000),
    ("GR", 0x8000_0000),
    ("GW", 0x4000_0000),
    ("GX", 0x2000_0000),
    ("RC", 0x0002_0000),
    ("SD", 0x0001_0000),
    ("WD", 0x0004_0000),
    ("WO", 0x0008_0000),
    ("FA", 0x001f_01ff),
    ("FR", 0x0012_0089),
    ("FW", 0x0012_0116),
    ("FX", 0x0012_00a0),
    ("CC", 0x1),
    ("DC", 0x2),
    ("LC", 0x4),
    ("SW", 0x8),
    ("RP", 0x10),
    ("WP", 0x20),
    ("DT", 0x40),
    ("LO", 0x80),
    ("CR", 0x100),
    ("KA", 0x000f_003f),
];

impl AccessList {
    /// Reads a security descriptor: `O:…G:…D:…`. An entry that denies is left out, so rights are
    /// never taken for smaller than they are. `identifier_of` returns the identifier of an account
    /// that is abbreviated and not the same on every system: `LA`, the machine's first
    /// administrator, or `DU`, the users of its domain.
    pub(super) fn parse(
        sddl: &str,
        identifier_of: &dyn Fn(&str) -> Option<String>,
    ) -> Option<Self> {
        let parts = sddl.strip_prefix("O:")?;
        let end = ["G:", "D:"].into_iter().filter_map(|mark| parts.find(mark));
        let owner = long_sid(&parts[..end.min().unwrap_or(parts.len())], identifier_of)?;
        let list = parts.split_once("D:").map(|(_, list)| list);
        let entries = match list.filter(|list| !list.starts_with("NO_ACCESS_CONTROL")) {
            // Without a list everybody may do everything. An empty one lets nobody in.
            None => vec![Entry {
                sid: long_sid("WD", identifier_of)?,
                mask: EVERYTHING,
            }],
            Some(list) => entries_of(list)?
                .into_iter()
                .map(|entry| Entry::parse(entry, identifier_of))
                .collect::<Option<Vec<_>>>()?
                .into_iter()
                .flatten()
                .collect(),
        };
        Some(Self { owner, entries })
    }

    /// Whether it is a user's own: owned by that user, or by the administrators while an entry of
    /// the user's own lets that user decide who may use it.
    #[must_use]
    pub(super) fn is_of(&self, user: &str) -> bool {
        let is_granted = |entry: &Entry| entry.sid == user && entry.mask & rights::OWN != 0;
        let is_systems = !is_other(&self.owner, user);
        self.owner == user || is_systems && self.entries.iter().any(is_granted)
    }

    /// The accounts that have one of these rights and can be kept out, but for `user`.
    #[must_use]
    pub(super) fn others(&self, user: &str, rights: u32) -> Vec<String> {
        let mut others: Vec<String> = Vec::new();
        for entry in &self.entries {
            if entry.mask & rights != 0
                && is_other(&entry.sid, user)
                && !others.contains(&entry.sid)
            {
                others.push(entry.sid.clone());
            }
        }
        others
    }
}

impl Entry {
    /// Reads what is between the parentheses:
    /// `type;flags;rights;object;inherited object;account`, and for some types a condition, which
    /// counts as met. `None` for no entry; nothing within for one that gives no right on this file
    /// itself.
    fn parse(text: &str, identifier_of: &dyn Fn(&str) -> Option<String>) -> Option<Option<Self>> {
        let mut fields = text.split(';');
        let (kind, flags, rights) = (fields.next()?, fields.next()?, fields.next()?);
        let sid = fields.nth(2)?;
        let is_allowed = matches!(kind, "A" | "XA" | "OA" | "ZA");
        // Only for what is made in the directory.
        let is_inherit_only = flags.as_bytes().chunks(2).any(|flag| flag == b"IO");
        if !is_allowed || is_inherit_only {
            return Some(None);
        }
        Some(Some(Self {
            sid: long_sid(sid, identifier_of)?,
            mask: mask_of(rights)?,
        }))
    }
}

/// Whether an account is neither `user` nor one that cannot be kept out.
pub(super) fn is_other(sid: &str, user: &str) -> bool {
    sid != user && !TRUSTED.contains(&sid)
}

/// An account as people know it: its name, where every system has it, else its identifier.
#[must_use]
pub(super) fn account_name(sid: &str) -> &str {
    let known = WELL_KNOWN.iter().find(|(_, known, _)| *known == sid);
    known.map_or(sid, |(_, _, name)| name)
}

/// The command that leaves a file or directory to a user, the system and its administrators.
#[must_use]
pub(super) fn closing_command(path: &str, is_dir: bool, user: &str, others: &[String]) -> String {
    let inherit = if is_dir { "(OI)(CI)" } else { "" };
    let grants = [user, "S-1-5-18", "S-1-5-32-544"].map(|sid| format!(" \"*{sid}:{inherit}F\""));
    let removed: String = others.iter().map(|sid| format!(" \"*{sid}\"")).collect();
    let removed = match others {
        [] => String::new(),
        _ => format!(" /remove:g{removed}"),
    };
    let grants = grants.concat();
    format!("icacls {path} /inheritance:r /grant:r{grants}{removed}")
}

/// The list for a new file or directory of `user`'s, as text. What is made in the directory gets
/// the same. Administrators get in anyway, by taking ownership, so no entry lets them in unasked.
fn private_list(user: &str, is_dir: bool) -> String {
    let flags = if is_dir { "OICI" } else { "" };
    let entries = [user, "SY"].map(|sid| format!("(A;{flags};FA;;;{sid})"));
    format!("D:P{}", entries.concat())
}

/// The entries of a list, without the parentheses around them. A condition in one has parentheses
/// and quotes of its own. `None` where a parenthesis has no partner.
fn entries_of(list: &str) -> Option<Vec<&str>> {
    let (mut entries, mut begin) = (Vec::new(), 0);
    let (mut depth, mut is_quoted) = (0_usize, false);
    for (at, c) in list.char_indices() {
        match c {
            '"' => is_quoted = !is_quoted,
            '(' if !is_quoted => {
                if depth == 0 {
                    begin = at + 1;
                }
                depth += 1;
            }
            ')' if !is_quoted => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    entries.push(&list[begin..at]);
                }
            }
            _ => {}
        }
    }
    (depth == 0 && !is_quoted).then_some(entries)
}

/// The identifier of an account as SDDL writes it.
fn long_sid(sid: &str, identifier_of: &dyn Fn(&str) -> Option<String>) -> Option<String> {
    let is_identifier = |sid: &str| sid.starts_with("S-1-");
    if is_identifier(sid) {
        return Some(sid.to_owned());
    }
    match WELL_KNOWN.iter().find(|(short, _, _)| *short == sid) {
        Some((_, long, _)) => Some((*long).to_owned()),
        None => identifier_of(sid).filter(|long| is_identifier(long)),
    }
}

fn mask_of(rights: &str) -> Option<u32> {
    if let Some(digits) = rights.strip_prefix("0x") {
        return u32::from_str_radix(digits, 16).ok();
    }
    let mut mask = 0;
    for at in (0..rights.len()).step_by(2) {
        let word = rights.get(at..at + 2)?;
        mask |= RIGHTS.iter().find(|(known, _)| *known == word)?.1;
    }
    Some(mask)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANA: &str = "S-1-5-21-1-2-3-1001";
    const ADMINISTRATOR: &str = "S-1-5-21-1-2-3-500";
    const DOMAIN_USERS: &str = "S-1-5-21-7-8-9-513";
    const BOB: &str = "S-1-5-21-1-2-3-1002";

    fn others(sddl: &str, rights: u32) -> Vec<String> {
        parse(sddl).expect(sddl).others(ANA, rights)
    }

    fn parse(sddl: &str) -> Option<AccessList> {
        let identifier_of = |name: &str| match name {
            "LA" => Some(ADMINISTRATOR.to_owned()),
            "DU" => Some(DOMAIN_USERS.to_owned()),
            _ => None,
        };
        AccessList::parse(sddl, &identifier_of)
    }

    #[test]
    fn accounts_of_the_machine_and_its_domain_are_known_by_their_identifiers() {
        let list = "D:P(A;OICI;FA;;;LA)(A;OICI;FA;;;SY)";
        let own = parse(&format!("O:LAG:LA{list}")).unwrap();
        assert_eq!(own.owner, ADMINISTRATOR);
        assert!(own.others(ADMINISTRATOR, EVERYTHING).is_empty());
        assert_eq!(own.others(ANA, rights::READ), [ADMINISTRATOR]);
        let domain = others("O:BAG:DUD:(A;;FR;;;DU)", rights::READ);
        assert_eq!(domain, [DOMAIN_USERS]);
        assert_eq!(parse("O:LAD:(A;;FR;;;ZZ)"), None, "nobody knows ZZ");
    }

    #[test]
    fn a_users_own_is_what_that_user_owns_or_was_granted_by_the_system() {
        for (sddl, is_own) in [
            (format!("O:{ANA}D:"), true),
            (format!("O:BAD:(A;;FA;;;SY)(A;;FA;;;{ANA})"), true),
            (format!("O:BAD:(A;;FA;;;SY)(A;;FR;;;{ANA})"), false),
            ("O:BAD:(A;;FA;;;BA)(A;;0x1301bf;;;AU)".to_owned(), false),
            (format!("O:{BOB}D:(A;;FA;;;{ANA})"), false),
        ] {
            assert_eq!(parse(&sddl).unwrap().is_of(ANA), is_own, "{sddl}");
        }
    }

    #[test]
    fn a_condition_counts_as_met_whatever_is_in_it() {
        let sddl = format!(
            "O:{ANA}D:(XA;;FR;;;WD;(@User.Title==\"a) D:\" && (@User.Level>1)))\
             (XD;;FA;;;AU;(Member_of {{SID(BG)}}))(A;;0x1301bf;;;AU)"
        );
        assert_eq!(others(&sddl, rights::READ), ["S-1-1-0", "S-1-5-11"]);
        assert_eq!(others(&sddl, rights::WRITE), ["S-1-5-11"]);
        assert_eq!(parse(&format!("O:{ANA}D:(XA;;FR;;;WD;((a))")), None);
    }

    #[test]
    fn what_windows_gives_a_profile_is_the_users_alone() {
        // A home directory, and a file in it.
        for sddl in [
            format!("O:BAG:SYD:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;FA;;;{ANA})"),
            format!("O:{ANA}G:{ANA}D:AI(A;ID;FA;;;SY)(A;ID;FA;;;BA)(A;ID;FA;;;{ANA})"),
            format!("O:{ANA}D:"),
        ] {
            assert!(
                others(&sddl, rights::READ | rights::WRITE).is_empty(),
                "{sddl}"
            );
        }
    }

    #[test]
    fn others_are_named_by_what_they_may_do() {
        // A directory in the root of the system's drive, and the root itself.
        let made = "O:BAG:SYD:AI(A;OICIID;FA;;;BA)(A;OICIID;FA;;;SY)(A;OICIID;0x1200a9;;;BU)\
            (A;ID;0x1301bf;;;AU)(A;OICIIOID;SDGXGWGR;;;AU)";
        let root = "O:S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464\
            D:PAI(A;;LC;;;AU)(A;OICIIO;SDGXGWGR;;;AU)(A;;FA;;;SY)(A;OICI;0x1200a9;;;BU)";
        assert_eq!(others(made, rights::WRITE), ["S-1-5-11"]);
        assert_eq!(others(made, rights::REPLACE), ["S-1-5-11"]);
        assert_eq!(others(made, rights::READ), ["S-1-5-32-545", "S-1-5-11"]);
        assert!(others(root, rights::REPLACE).is_empty());
        assert_eq!(others(root, rights::CREATE_IN), ["S-1-5-11"]);
        let bobs = format!("O:{BOB}D:(A;;FR;;;{BOB})(D;;FA;;;WD)");
        assert_eq!(others(&bobs, rights::READ), [BOB]);
        assert!(others(&bobs, rights::WRITE).is_empty());
        assert_eq!(parse(&bobs).unwrap().owner, BOB);
    }

    #[test]
    fn no_list_lets_everybody_in_and_what_is_none_is_not_guessed() {
        for none in [format!("O:{ANA}"), format!("O:{ANA}D:NO_ACCESS_CONTROL")] {
            assert_eq!(others(&none, rights::WRITE), ["S-1-1-0"], "{none}");
        }
        assert_eq!(account_name("S-1-1-0"), "Everyone");
        assert_eq!(account_name(BOB), BOB);
        for text in ["", "D:(A;;FA;;;WD)", "O:BAD:(A;;??;;;WD)", "O:BAD:(A;;FA)"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn what_we_make_and_what_we_advise_is_for_the_user_and_the_system() {
        let list = private_list(ANA, true);
        assert_eq!(list, format!("D:P(A;OICI;FA;;;{ANA})(A;OICI;FA;;;SY)"));
        assert!(others(&format!("O:{ANA}{list}"), EVERYTHING).is_empty());
        let command = closing_command("x", false, ANA, &["S-1-1-0".to_owned()]);
        assert_eq!(
            command,
            format!(
                "icacls x /inheritance:r /grant:r \"*{ANA}:F\" \"*S-1-5-18:F\" \
                 \"*S-1-5-32-544:F\" /remove:g \"*S-1-1-0\""
            )
        );
    }
}
