//! This program's own settings: `clawkeep.toml` in the state directory. They are read strictly: a
//! name that means nothing is most likely mistyped.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::agents::AgentRef;
use super::error::OwnSettingsError;
use super::notify::{NotifySettings, Written as WrittenNotify};
use super::provider_settings::ProviderSettings;
use crate::domain::{
    AgentName, ProviderId, Span, UnixMs, from_outside, is_path, named, path_of_text,
};
use crate::platform::{Access, Admitted, FileError, Trust, exists};

/// The largest settings file that is read, in bytes: clawkeep's, or another program's.
pub const SETTINGS_MAX: u64 = 1 << 20;
/// The shortest and the longest retention of events: `doctor` and the kept head need the newest
/// ones, and no record is older than 100 years.
const RETENTION: RangeInclusive<Span> = Span::days(1)..=Span::days(100 * 365);
/// The shortest and the longest time before its expiry in which a credential is expiring.
const EXPIRING: RangeInclusive<Span> = Span::minutes(1)..=Span::days(366);
/// The system log's socket on Unix. Source: syslog(3) of glibc.
const SYSLOG: &str = "/dev/log";

/// Whether a text file begins with the byte order mark of UTF-16.
fn is_utf16(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff])
}

/// The settings of clawkeep, from `clawkeep.toml`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnSettings {
    /// How long events are kept, in milliseconds; `None`: permanently. Set by `clawkeep.retention =
    /// "400d"`.
    pub retention_ms: Option<i64>,
    /// How long before its expiry a credential counts as expiring; `None`: 24 hours. Set by
    /// `clawkeep.expiring_within = "3d"`.
    pub expiring_within: Option<Span>,
    /// Whether another account may be used where the first choice cannot be. Set by
    /// `clawkeep.fallback = "any"` (the default) or `"none"`.
    pub fallback: Fallback,
    /// Where the record's head is sent whenever it is kept: a Unix datagram socket as of syslog.
    /// Set by `clawkeep.heads = "syslog"`, or `"syslog:/path/of/a/socket"`.
    pub syslog: Option<PathBuf>,
    /// The users and groups that are trusted with clawkeep's files. Set by `clawkeep.trusted =
    /// ["uid:1000", "gid:2000"]`.
    pub trusted: Vec<Admitted>,
    /// Whether the vault may lie on storage that other kernels may share. Set by
    /// `clawkeep.allow_shared_storage = true`, for a mount that only this machine uses.
    pub allow_shared_storage: bool,
    /// How agents' stores are exported. Set by `clawkeep.export = "file"`, `"runtime"` or `"off"`;
    /// see [`OwnSettings::export_of`] for the default.
    pub export: Option<ExportMode>,
    /// The same of single agents. Set by `[agents.<id>]`, `export = "…"`; an agent that is known by
    /// its directory alone is named by that, an absolute path.
    pub agents: BTreeMap<AgentName, ExportMode>,
    /// What `[providers.<id>]` says, by provider.
    pub providers: BTreeMap<ProviderId, ProviderSettings>,
    /// The alert settings of `[notify]`: targets and times.
    pub notify: NotifySettings,
    /// Why `[notify]` cannot be used. Nobody's secrets are to be kept back for that.
    pub notify_fault: Option<NotifyFault>,
}

/// Why `[notify]` cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotifyFault {
    path: PathBuf,
    line: usize,
    what: String,
}

impl NotifyFault {
    /// As an error, for what uses it.
    #[must_use]
    pub fn error(&self) -> OwnSettingsError {
        OwnSettingsError::Invalid {
            path: self.path.clone(),
            line: self.line,
            what: self.what.clone(),
        }
    }

    /// What is wrong there; any other error is no fault of that part.
    fn of(error: OwnSettingsError) -> Result<Self, OwnSettingsError> {
        match error {
            OwnSettingsError::Invalid { path, line, what } => Ok(Self { path, line, what }),
            other => Err(other),
        }
    }
}

named! {
    parsed
    /// How a store is exported. Ordered by how much of it lies open.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
    pub enum ExportMode {
        /// Stores are not exported at all.
        Off = "off",
        /// As a link to a copy in memory.
        Runtime = "runtime",
        /// As a file at the path that the gateway reads.
        File = "file",
    }
}

/// Reads settings of providers that are linked in.
///
/// # Errors
/// When they are not valid: a test checks that they are.
pub fn parse_providers(text: &str) -> Result<BTreeMap<ProviderId, ProviderSettings>, String> {
    let written: Written<IgnoredAny> =
        toml::from_str(text).map_err(|error| error.message().to_owned())?;
    Ok(by_provider(written.providers))
}

/// Returns the providers that are known without being written into `clawkeep.toml`.
#[must_use]
pub fn built_in_providers() -> BTreeMap<ProviderId, ProviderSettings> {
    parse_providers(include_str!("providers.toml")).unwrap_or_default() // a test reads it
}

fn by_provider(
    written: BTreeMap<String, toml::Spanned<ProviderSettings>>,
) -> BTreeMap<ProviderId, ProviderSettings> {
    written
        .into_iter()
        .map(|(name, settings)| (ProviderId::new(&name), settings.into_inner()))
        .collect()
}

/// What happens where the first choice cannot be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fallback {
    /// The next candidate is used; that is reported and recorded.
    #[default]
    Any,
    /// No credential is used instead.
    None,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written<N: Default> {
    #[serde(default)]
    clawkeep: Keeper,
    #[serde(default)]
    agents: BTreeMap<String, toml::Spanned<AgentSettings>>,
    #[serde(default)]
    providers: BTreeMap<String, toml::Spanned<ProviderSettings>>,
    #[serde(default)]
    notify: N,
}

impl Written<IgnoredAny> {
    /// Returns the settings without `[notify]`.
    fn without_notify(self) -> Written<WrittenNotify> {
        Written {
            clawkeep: self.clawkeep,
            agents: self.agents,
            providers: self.providers,
            notify: WrittenNotify::default(),
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Keeper {
    retention: Option<toml::Spanned<String>>,
    expiring_within: Option<toml::Spanned<String>>,
    heads: Option<toml::Spanned<String>>,
    fallback: Option<toml::Spanned<String>>,
    export: Option<toml::Spanned<String>>,
    trusted: Option<Vec<toml::Spanned<String>>>,
    #[serde(default)]
    allow_shared_storage: bool,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct AgentSettings {
    export: Option<toml::Spanned<String>>,
}

impl OwnSettings {
    /// Reads the settings at `path`; the defaults where there is no file. They say where refresh
    /// tokens are sent to, which programs are run and who is trusted, so they count only where
    /// nobody else can have changed them: whom they admit themselves has no say.
    ///
    /// # Errors
    /// When the file cannot be read or trusted, or says what means nothing.
    pub fn load(path: &Path) -> Result<Self, OwnSettingsError> {
        Self::load_by(&Trust::current().strict(), path)
    }

    /// As [`OwnSettings::load`], by a strict policy before there is one of this process.
    pub(crate) fn load_by(strict: &Trust, path: &Path) -> Result<Self, OwnSettingsError> {
        Self::parse(path, &Self::text_by(strict, path)?)
    }

    /// Reads the text of the settings at `path`, valid or not; it is empty where there is no file.
    ///
    /// # Errors
    /// When the file cannot be read or trusted.
    pub fn text(path: &Path) -> Result<String, OwnSettingsError> {
        Self::text_by(&Trust::current().strict(), path)
    }

    fn text_by(strict: &Trust, path: &Path) -> Result<String, OwnSettingsError> {
        let is_usable = || {
            strict
                .strict()
                .admitting(Vec::new())
                .check(path, Access::Read)
                .is_ok()
        };
        match strict.read(path, Access::Read, SETTINGS_MAX) {
            Ok(Some(contents)) if is_utf16(&contents.bytes) => Err(OwnSettingsError::Utf16 {
                path: path.to_owned(),
            }),
            Ok(Some(contents)) => Ok(String::from_utf8_lossy(&contents.bytes).into_owned()),
            Ok(None) => Ok(String::new()),
            // In a directory that is used because of how it is mounted, there need be no settings.
            Err(FileError::Untrusted(_)) if !exists(path) && is_usable() => Ok(String::new()),
            Err(error) => Err(error.into()),
        }
    }

    /// Reads settings; `path` is for messages.
    pub(crate) fn parse(path: &Path, text: &str) -> Result<Self, OwnSettingsError> {
        let invalid = |at: usize, what: &str| OwnSettingsError::Invalid {
            path: path.to_owned(),
            line: text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1,
            what: what.to_owned(),
        };
        let unparsed = |error: toml::de::Error| {
            let at = error.span().map_or(0, |span| span.start);
            invalid(at, &without_values(error.message()))
        };
        let mut notify_fault = None;
        let written = match toml::from_str::<Written<WrittenNotify>>(text).map_err(unparsed) {
            Ok(written) => written,
            Err(error) => match toml::from_str::<Written<IgnoredAny>>(text) {
                Ok(rest) => {
                    notify_fault = Some(NotifyFault::of(error)?);
                    rest.without_notify()
                }
                Err(_) => return Err(error),
            },
        };
        let span = |at: Option<toml::Spanned<String>>, range: RangeInclusive<Span>, what: &str| {
            let read = |text: &str| Span::parse(text).filter(|span| range.contains(span));
            let fault = |at: usize| invalid(at, what);
            at.map(|at| read(at.get_ref()).ok_or_else(|| fault(at.span().start)))
                .transpose()
        };
        let what = "clawkeep.retention is a span from a day to a hundred years, such as \"400d\"";
        let retention = span(written.clawkeep.retention, RETENTION, what)?;
        let what = "clawkeep.expiring_within is a span from a minute to a year, such as \"24h\"";
        let expiring_within = span(written.clawkeep.expiring_within, EXPIRING, what)?;
        let syslog = written.clawkeep.heads.map(|heads| {
            let what = "clawkeep.heads is \"syslog\" or \"syslog:/path/of/a/socket\"";
            if cfg!(windows) {
                let what = "clawkeep.heads is for syslog, and Windows has none: remove that line";
                return Err(invalid(heads.span().start, what));
            }
            match heads.get_ref().strip_prefix("syslog") {
                Some("") => Ok(PathBuf::from(SYSLOG)),
                Some(rest) if rest.starts_with(":/") => Ok(PathBuf::from(&rest[1..])),
                _ => Err(invalid(heads.span().start, what)),
            }
        });
        let what = "clawkeep.fallback is \"any\" or \"none\"";
        let fallback =
            written
                .clawkeep
                .fallback
                .map(|fallback| match fallback.get_ref().as_str() {
                    "any" => Ok(Fallback::Any),
                    "none" => Ok(Fallback::None),
                    _ => Err(invalid(fallback.span().start, what)),
                });
        let mut providers = written.providers.iter();
        if let Some((name, settings)) = providers.find(|(name, _)| name.trim().is_empty()) {
            let what = format!("a provider has a name: [providers.{name}]");
            return Err(invalid(settings.span().start, &from_outside(&what)));
        }
        for (name, settings) in &written.providers {
            let fault = settings.get_ref().fault(name);
            fault.map_or(Ok(()), |what| Err(invalid(settings.span().start, &what)))?;
        }
        let trusted = written.clawkeep.trusted.unwrap_or_default().into_iter();
        let trusted = trusted.map(|entry| {
            let what = match cfg!(windows) {
                true => "clawkeep.trusted is a list of \"sid:IDENTIFIER\"",
                false => "clawkeep.trusted is a list of \"uid:NUMBER\" and \"gid:NUMBER\"",
            };
            Admitted::parse(entry.get_ref()).ok_or_else(|| invalid(entry.span().start, what))
        });
        let export = export_mode(written.clawkeep.export, "clawkeep.export", &invalid)?;
        let notify = match written.notify.checked(&invalid) {
            Ok(notify) => notify,
            Err(error) => {
                notify_fault = Some(NotifyFault::of(error)?);
                NotifySettings::default()
            }
        };
        Ok(Self {
            export,
            agents: agent_modes(written.agents, &invalid)?,
            providers: by_provider(written.providers),
            notify,
            notify_fault,
            allow_shared_storage: written.clawkeep.allow_shared_storage,
            fallback: fallback.transpose()?.unwrap_or_default(),
            retention_ms: retention.map(Span::ms),
            expiring_within,
            syslog: syslog.transpose()?,
            trusted: trusted.collect::<Result<_, _>>()?,
        })
    }

    /// How an agent's store is exported, as far as that agent alone is concerned. The default is a
    /// file, but none in the directory of clawkeep's own data ([`Layout::data_dir`]): no gateway
    /// reads a store there.
    ///
    /// [`Layout::data_dir`]: super::Layout::data_dir
    #[must_use]
    pub fn export_of(&self, agent: &AgentRef, data_dir: &Path) -> ExportMode {
        let set = self.agents.get(&agent.name).copied().or(self.export);
        set.unwrap_or_else(|| match is_below(&agent.dir, data_dir) {
            true => ExportMode::Off,
            false => ExportMode::File,
        })
    }

    /// The time before which events are pruned, at `now`; `None` if they are kept permanently.
    #[must_use]
    pub fn prune_before(&self, now: UnixMs) -> Option<UnixMs> {
        self.retention_ms
            .map(|retention| now - Span::from_ms(retention))
    }
}

/// Whether a directory, which need not exist, lies in another one, also by way of links.
fn is_below(dir: &Path, above: &Path) -> bool {
    let real = |dir: &Path| std::fs::canonicalize(dir).ok();
    dir.starts_with(above)
        || real(above)
            .zip(dir.ancestors().find_map(real))
            .is_some_and(|(above, dir)| dir.starts_with(above))
}

/// What the parser says, in one short line and without the text that it quotes: a secret may have
/// been written in a wrong place.
fn without_values(said: &str) -> String {
    let quoted = said.split_once('"').zip(said.rsplit_once('"'));
    let said = match quoted {
        Some(((before, _), (_, after))) => &format!("{before}\"…\"{after}"),
        None => said,
    };
    let line = from_outside(said);
    match line.rsplit_once(", ") {
        // A list of names is cut between two of them.
        Some((whole, _)) if line.len() < said.trim().len() => format!("{whole}, …"),
        _ => line,
    }
}

/// The export mode that was written under `name`.
fn export_mode(
    written: Option<toml::Spanned<String>>,
    name: &str,
    invalid: &impl Fn(usize, &str) -> OwnSettingsError,
) -> Result<Option<ExportMode>, OwnSettingsError> {
    let known = |written: toml::Spanned<String>| {
        let refused = |what: String| invalid(written.span().start, &what);
        match ExportMode::from_name(written.get_ref()) {
            // Refused here, since a store that has no place to go is removed all the same.
            Some(ExportMode::Runtime) if cfg!(windows) => Err(refused(format!(
                "{name} is \"runtime\", and Windows has no runtime directory: set it \
                 to \"file\" or \"off\""
            ))),
            Some(mode) => Ok(mode),
            None => Err(refused(format!(
                "{name} is \"file\", \"runtime\" or \"off\""
            ))),
        }
    };
    written.map(known).transpose()
}

/// The export modes of single agents.
fn agent_modes(
    written: BTreeMap<String, toml::Spanned<AgentSettings>>,
    invalid: &impl Fn(usize, &str) -> OwnSettingsError,
) -> Result<BTreeMap<AgentName, ExportMode>, OwnSettingsError> {
    let mut modes = BTreeMap::new();
    for (name, settings) in written {
        let at = settings.span().start;
        let agent = agent_named(&name).ok_or_else(|| {
            let what = format!(
                "an agent is named by its id, or by its directory, from / on: [agents.{name:?}]"
            );
            invalid(at, &what)
        })?;
        let export = settings.into_inner().export;
        let mode = export_mode(export, "agents.<id>.export", invalid)?;
        modes.extend(mode.map(|mode| (agent, mode)));
    }
    Ok(modes)
}

/// The agent that settings are for: an id of the gateway's configuration, or a directory.
fn agent_named(written: &str) -> Option<AgentName> {
    let dir = path_of_text(written.trim_end_matches(std::path::is_separator));
    if dir.is_absolute() {
        return Some(AgentName::from_dir(&dir));
    }
    let is_empty = written.trim().is_empty() || is_path(written);
    (!is_empty).then(|| AgentName::from_id(written))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::cases;

    fn parse(text: &str) -> Result<OwnSettings, String> {
        OwnSettings::parse(Path::new("/s/clawkeep.toml"), text).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_set_is_read() {
        assert_eq!(parse(""), Ok(OwnSettings::default()));
        let both = parse("[clawkeep]\nretention = \"400d\"\nfallback = \"any\"\n").unwrap();
        assert_eq!(both.retention_ms, Some(400 * 86_400_000));
        let found = both.prune_before(UnixMs(400 * 86_400_000 + 5));
        assert_eq!(found, Some(UnixMs(5)));
        assert_eq!(both.fallback, Fallback::Any);
        let found = parse("clawkeep.fallback = \"none\"").unwrap().fallback;
        assert_eq!(found, Fallback::None);
    }

    #[test]
    fn heads_go_to_a_system_log_where_there_is_one() {
        for (written, want) in [("syslog", "/dev/log"), ("syslog:/run/log", "/run/log")] {
            let parsed = parse(&format!("clawkeep.heads = \"{written}\""));
            match parsed {
                Ok(own) if !cfg!(windows) => {
                    assert_eq!(own.syslog.as_deref(), Some(Path::new(want)));
                }
                Err(why) if cfg!(windows) => assert!(why.contains("remove that line"), "{why}"),
                other => panic!("{other:?}"),
            }
        }
    }

    /// With a setting that is refused, a store that is there stays.
    #[cfg(windows)]
    #[test]
    fn a_copy_in_memory_is_refused_on_windows() {
        for text in [
            "clawkeep.export = \"runtime\"",
            "[agents.ops]\nexport = \"runtime\"",
        ] {
            let why = parse(text).unwrap_err();
            assert!(why.contains("Windows has no runtime directory"), "{why}");
        }
    }

    #[test]
    fn export_modes_are_read_for_all_and_for_single_agents() {
        let at = |name: AgentName, dir: &str| AgentRef {
            name,
            dir: PathBuf::from(dir),
        };
        let of = |text: &str, agent: &AgentRef| {
            parse(text)
                .unwrap()
                .export_of(agent, Path::new("/data/clawkeep"))
        };
        let modes =
            |text: &str, agent: &str| of(text, &at(AgentName::from_id(agent), "/gateway/a"));
        assert_eq!(modes("", "main"), ExportMode::File);
        let unread = at(
            AgentName::from_id("main"),
            "/data/clawkeep/agents/main/agent",
        );
        assert_eq!(of("", &unread), ExportMode::Off);
        assert_eq!(of("clawkeep.export = \"file\"", &unread), ExportMode::File);
        assert_eq!(
            of("agents.main.export = \"file\"", &unread),
            ExportMode::File
        );
        let all = "clawkeep.export = \"off\"\n[agents.ops]\nexport = \"runtime\"\n[agents.\"Work \
            Agent!\"]\nexport = \"file\"\n[agents.none]\n";
        let (of_ops, all) = match cfg!(windows) {
            true => (ExportMode::File, all.replace("runtime", "file")),
            false => (ExportMode::Runtime, all.to_owned()),
        };
        for (agent, want) in [
            ("main", ExportMode::Off),
            ("ops", of_ops),
            ("work agent!", ExportMode::File), // as the gateway folds ids
            ("none", ExportMode::Off),
        ] {
            assert_eq!(modes(&all, agent), want, "{agent}");
        }
        let dir = if cfg!(windows) {
            "C:/srv/agent"
        } else {
            "/srv/agent"
        };
        let by_dir = format!("[agents.\"{dir}/\"]\nexport = \"off\"");
        let agent = at(AgentName::from_dir(Path::new(dir)), dir);
        assert_eq!(of(&by_dir, &agent), ExportMode::Off);
        assert!(ExportMode::File > ExportMode::Runtime && ExportMode::Runtime > ExportMode::Off);
    }

    #[test]
    fn a_notify_fault_keeps_nothing_else_from_being_read() {
        let text = "clawkeep.export = \"off\"\n\n[notify.comand.x]\nrun = [\"/x\"]\n";
        let own = OwnSettings::parse(Path::new("/s/clawkeep.toml"), text).unwrap();
        assert_eq!(own.export, Some(ExportMode::Off));
        assert_eq!(own.notify, NotifySettings::default());
        let fault = own.notify_fault.unwrap().error().to_string();
        assert!(fault.contains("line 3: unknown field `comand`"), "{fault}");
        let both = format!("{text}[clawkep]\n");
        assert!(parse(&both).is_err(), "that is no part of it");
    }

    #[test]
    fn shared_storage_is_allowed_by_true_alone() {
        assert!(!parse("").unwrap().allow_shared_storage);
        let own = parse("clawkeep.allow_shared_storage = true").unwrap();
        assert!(own.allow_shared_storage);
        let error = parse("[clawkeep]\nallow_shared_storage = \"yes\"").unwrap_err();
        assert!(error.contains("line 2"), "{error}");
        assert!(error.contains("expected a boolean"), "{error}");
    }

    #[test]
    fn what_means_nothing_is_refused_with_its_line() {
        for (text, words) in cases(
            r#"
            \nclawkeep.retention = "4 years" => line 2: clawkeep.retention is a span
            clawkeep.retention = "1h" => from a day to
            clawkeep.retention = "99999999999d" => from a day to
            clawkeep.retention = 400 => line 1
            clawkeep.expiring_within = "soon" => expiring_within is a
            clawkeep.expiring_within = "0s" => from a minute to
            clawkeep.heads = "mail" => clawkeep.heads is
            clawkeep.fallback = "some" => clawkeep.fallback is
            clawkeep.heads = "syslog:relative" => clawkeep.heads is
            [clawkeep]\nretentoin = "400d" => line 2: unknown field `retentoin`
            retention = "400d" => unknown field `retention`
            clawkeep = [ => line 1
            "\u001b[31m" = 1 => unknown field `?[31m`
            providers.p.expiry_margin = "sk-x" => invalid type: string "…", expected u32
            \n[clawkeep]\nexport = "Off" => line 3: clawkeep.export is "file", "runtime" or "off"
            clawkeep.export = false => line 1
            [agents.ops]\n\nexport = "none" => line 3: agents.<id>.export is
            [agents.ops]\nexprot = "off" => line 2: unknown field
            \n[agents.""]\nexport = "off" => an agent is named by
            [agents."a/b"]\nexport = "off" => an agent is named by
            \n[providers.p]\nenv = ["x;touch pwned;y"] => line 2: providers.p.env names "x;touch pwned;y"
            providers.p.env = ["A", "LD_PRELOAD"] => env names "LD_PRELOAD": programs act on
            providers.p.env = [""] => letters
            "#,
        ) {
            let error = parse(&text.replace("\\n", "\n")).unwrap_err();
            assert!(error.contains(words), "{text}: {error}");
        }
    }
}
