//! Passphrases and recovery codes: from a file, a descriptor, the service manager, or a person.

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use clawkeep::internal::config::Layout;
use clawkeep::internal::crypto::{PASSPHRASE_MAX, check_passphrase};
use clawkeep::internal::domain::{shown_path, utf8_of_utf16, without_bom};
use clawkeep::internal::platform::{
    Access, FileError, check_handed_over, exists, keep_from_children, read_trusted,
};
use clawkeep::internal::vault::{KeyProblem, SecretSource};
use secrecy::SecretString;
use zeroize::Zeroizing;

use crate::failure::Failure;
use crate::terminal::prompt::{self, HiddenQuestions, person};

/// The option for the file with the passphrase of a new slot.
pub(crate) const NEW_FILE: &str = "--new-passphrase-file";
/// The number of attempts at the prompt.
const PROMPTS: u32 = 3;
/// The largest input, in bytes: more than any passphrase or code has.
const FILE_MAX: usize = 2 * PASSPHRASE_MAX;

/// The source that was named for this command.
#[derive(Clone, Debug)]
pub(crate) enum Named {
    /// In a file; `-` is stdin.
    File(PathBuf),
    /// On an open descriptor.
    Descriptor(u32),
}

/// The sources of this command's passphrase.
#[derive(Debug)]
pub(crate) struct Passphrases {
    pub(crate) named: Option<Named>,
    /// The permanent sources: the file that `CLAWKEEP_PASSPHRASE_FILE` names, and a credential of
    /// the service manager.
    default_files: Vec<PathBuf>,
    /// The question at the prompt.
    vault: String,
    tries: Cell<u32>,
    prompts: Cell<u32>,
    /// The hidden prompt, from the first question until the vault is open.
    questions: RefCell<Option<HiddenQuestions>>,
}

impl Passphrases {
    pub(crate) fn new(layout: &Layout, named: Option<Named>) -> Self {
        let own = layout.passphrase_file().map(Path::to_owned);
        let credential = layout
            .credential_passphrase_file()
            .filter(|path| exists(path));
        let default_files = own.into_iter().chain(credential).collect();
        if let Some(number @ 3..) = named.as_ref().and_then(Named::descriptor) {
            keep_from_children(number);
        }
        Self {
            named,
            default_files,
            vault: layout.shorten_home(&layout.vault_file),
            tries: Cell::new(0),
            prompts: Cell::new(0),
            questions: RefCell::default(),
        }
    }

    /// The provided passphrase for a new vault; `None` if none was provided.
    ///
    /// # Errors
    /// When it cannot be read or is too short: another key in its place would open the vault where
    /// it was created, and nowhere else.: another key in its place would open the vault where it
    /// was made, and nowhere else.
    pub(crate) fn for_new_vault(&self) -> Result<Option<SecretString>, Failure> {
        let read = match (&self.named, self.default_files.first()) {
            (Some(named), _) => named.read(),
            (None, Some(path)) => read_file(path),
            (None, None) => return Ok(None),
        };
        let candidate = read.map_err(|problem| match problem {
            KeyProblem::File(error) => error.into(),
            problem => self.not_for_new_vault(&problem.to_string()),
        })?;
        match check_passphrase(&candidate) {
            Ok(()) => Ok(Some(candidate)),
            Err(fault) => Err(self.not_for_new_vault(&fault.to_string())),
        }
    }

    fn not_for_new_vault(&self, why: &str) -> Failure {
        let place = match self.file() {
            Some(path) => shown_path(path).into_owned(),
            None => "the input".to_owned(),
        };
        Failure::Refused {
            what: format!("the new vault gets no key: {place} holds no passphrase: {why}"),
            next: "Nothing was created. Put one line of 12 characters or more there, or name \
                another file."
                .to_owned(),
        }
    }

    /// The file that provides a passphrase.
    pub(crate) fn file(&self) -> Option<&Path> {
        match &self.named {
            Some(named @ Named::File(path)) => Some(&**path).filter(|_| !named.is_stdin()),
            Some(Named::Descriptor(_)) => None,
            None => self.default_files.first().map(PathBuf::as_path),
        }
    }
}

impl SecretSource for Passphrases {
    fn is_named(&self) -> bool {
        self.named.is_some()
    }

    fn next(&self, before: Option<&KeyProblem>) -> Result<Option<SecretString>, KeyProblem> {
        if before.is_none() {
            self.tries.set(0); // the next vault
            self.prompts.set(0);
        }
        let attempt = self.tries.replace(self.tries.get() + 1);
        if let Some(named) = &self.named {
            return (attempt == 0).then(|| named.read()).transpose();
        }
        let default_files = usize::try_from(attempt)
            .ok()
            .and_then(|at| self.default_files.get(at));
        if let Some(path) = default_files {
            return read_file(path).map(Some);
        }
        if !prompt::hidden_is_possible() || self.prompts.replace(self.prompts.get() + 1) >= PROMPTS
        {
            return Ok(None);
        }
        if let Some(problem) = before {
            person::print_line(&format!("That does not open it: {problem}."));
        }
        let question = format!("Passphrase or recovery code of the vault {}", self.vault);
        let mut questions = self.questions.borrow_mut();
        let questions = questions.get_or_insert_with(HiddenQuestions::begin);
        Ok(questions.ask(&question).ok())
    }

    fn end(&self) {
        self.questions.take();
    }
}

impl Named {
    /// Whether it comes from stdin.
    pub(crate) fn is_stdin(&self) -> bool {
        match self {
            Self::File(path) => path == Path::new("-"),
            Self::Descriptor(number) => *number == 0,
        }
    }

    /// The descriptor of this process that it comes from.
    fn descriptor(&self) -> Option<u32> {
        match self {
            Self::Descriptor(number) => Some(*number),
            Self::File(path) if is_own_descriptor(path) => path.file_name()?.to_str()?.parse().ok(),
            Self::File(_) => None,
        }
    }

    /// Reads it to its end. Programs that are started later do not inherit the descriptor.
    pub(crate) fn read(&self) -> Result<SecretString, KeyProblem> {
        if self.is_stdin() && prompt::hidden_is_possible() {
            // Otherwise the terminal would show it.
            let typed = prompt::hidden("Passphrase or recovery code");
            return typed.map_err(|_| KeyProblem::NoSecret);
        }
        let read = self.contents();
        if let Some(number @ 3..) = self.descriptor() {
            keep_from_children(number);
        }
        read
    }

    fn contents(&self) -> Result<SecretString, KeyProblem> {
        if cfg!(windows) && self.is_stdin() {
            return read_opened(Path::new("-"), Ok(io::stdin().lock())); // it has no name there
        }
        let path = match self {
            Self::File(path) if path == Path::new("-") => PathBuf::from("/dev/stdin"),
            Self::File(path) => path.clone(),
            Self::Descriptor(number) => PathBuf::from(format!("/dev/fd/{number}")),
        };
        match self {
            Self::File(name) if name != Path::new("-") => read_file(&path),
            _ => read_stream(&path), // the shell opened what was redirected
        }
    }
}

/// Reads a passphrase from a named file: a regular file that no other user can read or change, or
/// an open descriptor of this process, as `<(...)` names one.
fn read_file(path: &Path) -> Result<SecretString, KeyProblem> {
    let is_file = std::fs::metadata(path).is_ok_and(|meta| meta.is_file());
    let is_stream = is_own_descriptor(path) && !is_file;
    if !is_stream && let Some(contents) = read_trusted(path, Access::Secret, FILE_MAX as u64)? {
        return text(&contents.bytes);
    }
    if is_own_descriptor(path) {
        return read_stream(path); // a pipe, or a file without a name
    }
    Err(unreadable(
        path,
        io::Error::new(io::ErrorKind::NotFound, "the file does not exist"),
    ))
}

/// Reads a passphrase from a descriptor that this process was started with, to its end. A regular
/// file behind it is judged as one that is named.
fn read_stream(path: &Path) -> Result<SecretString, KeyProblem> {
    let file = File::open(path).map_err(|error| unreadable(path, error))?;
    check_handed_over(path, &file)?;
    read_opened(path, Ok(file))
}

fn read_opened(path: &Path, opened: io::Result<impl io::Read>) -> Result<SecretString, KeyProblem> {
    // a growing buffer would leave copies
    let mut bytes = Zeroizing::new(Vec::with_capacity(FILE_MAX + 1));
    opened
        .and_then(|file| file.take(FILE_MAX as u64).read_to_end(&mut bytes))
        .map_err(|error| unreadable(path, error))?;
    text(&bytes)
}

/// Whether a path names an open descriptor of this process by the system's own names for them.
fn is_own_descriptor(path: &Path) -> bool {
    let is_number = |name: &std::ffi::OsStr| name.as_encoded_bytes().iter().all(u8::is_ascii_digit);
    let is_in = |dir: &str| path.parent() == Some(Path::new(dir));
    path == Path::new("/dev/stdin")
        || ((is_in("/dev/fd") || is_in("/proc/self/fd")) && path.file_name().is_some_and(is_number))
}

fn unreadable(path: &Path, source: io::Error) -> KeyProblem {
    let path = path.to_owned();
    KeyProblem::File(FileError::Io {
        action: "read",
        path,
        source,
    })
}

fn text(bytes: &[u8]) -> Result<SecretString, KeyProblem> {
    let decoded = utf8_of_utf16(bytes);
    let bytes = without_bom(decoded.as_ref().map_or(bytes, |text| text.as_bytes()));
    match std::str::from_utf8(bytes).map(str::trim) {
        Ok("") => Err(KeyProblem::NoSecret),
        Ok(text) => Ok(SecretString::from(text)),
        Err(_) => Err(KeyProblem::WrongSecret),
    }
}

/// Gets a passphrase for a new slot: from the named source, else from two prompts, else from stdin.
/// `option` names the file option.
pub(crate) fn new_passphrase(
    named: Option<&Named>,
    question: &str,
    option: &str,
) -> Result<SecretString, Failure> {
    let unread = |problem| unread(problem, option);
    let checked = |candidate: SecretString| match check_passphrase(&candidate) {
        Ok(()) => Ok(candidate),
        Err(fault) => Err(Failure::BadArgument(fault.to_string())),
    };
    if let Some(named) = named {
        return checked(named.read().map_err(unread)?);
    }
    if !prompt::hidden_is_possible() {
        return checked(Named::File("-".into()).read().map_err(unread)?);
    }
    loop {
        let candidate = prompt::hidden(question)?;
        if let Err(fault) = check_passphrase(&candidate) {
            person::print_line(&format!("That is not accepted: {fault}. Try again."));
            continue;
        }
        if prompt::is_repeated(&candidate)? {
            return Ok(candidate);
        }
        person::print_line("The two differ. Try again.");
    }
}

fn unread(problem: KeyProblem, option: &str) -> Failure {
    match problem {
        KeyProblem::File(error) => error.into(),
        KeyProblem::NoSecret => Failure::BadArgument(format!(
            "no passphrase was given; type it at the prompt, or give it on stdin or with {option} \
             FILE"
        )),
        _ => Failure::BadArgument("the input is not text".to_owned()),
    }
}
