//! Finding a program by its name. Unix does that when the program starts. Windows' own search knows
//! only `.exe` files and begins in clawkeep's directory, and npm installs `.cmd` files.
//!
//! `.bat` and `.cmd` files are run by std's [`Command`], which starts `cmd.exe` of the system
//! directory with escaped arguments and refuses those that cannot be escaped. It needs the name
//! with its extension.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::domain::shown_path;

/// The extensions of files that can be run without asking which program opens them, in the order of
/// Windows' own default for PATHEXT.
const EXTENSIONS: [&str; 4] = [".com", ".exe", ".bat", ".cmd"];

/// A command that runs the program `name`. `variable` reads the environment that is searched.
///
/// # Errors
/// When the program is not found, or may not be run. On Windows the error names the files that were
/// searched for.
pub fn program_command<'e>(
    name: &OsStr,
    variable: impl Fn(&str) -> Option<&'e OsStr>,
) -> io::Result<Command> {
    #[cfg(unix)]
    check_runs(name, variable("PATH"))?;
    if cfg!(not(windows)) {
        return Ok(Command::new(name));
    }
    let dirs = variable("PATH").map(std::env::split_paths);
    let names = program_names(name, variable("PATHEXT"));
    find(name, &names, dirs.into_iter().flatten()).map(Command::new)
}

/// The directories that are searched where PATH is not set. Source: execvp(3) of glibc.
#[cfg(unix)]
const STANDARD_PATH: &str = "/bin:/usr/bin";

/// Checks that a program is there and may be run, as execvp(3) would find it.
#[cfg(unix)]
fn check_runs(name: &OsStr, path: Option<&OsStr>) -> io::Result<()> {
    use rustix::fs::{Access, access};
    use rustix::io::Errno;

    let files: Vec<PathBuf> = match is_program_path(name) {
        true => vec![PathBuf::from(name)],
        false => std::env::split_paths(path.unwrap_or(STANDARD_PATH.as_ref()))
            .map(|dir| dir.join(name))
            .collect(),
    };
    let runs = |file: &PathBuf| file.is_file() && access(file, Access::EXEC_OK).is_ok();
    if files.iter().any(runs) {
        return Ok(());
    }
    let why = match files.iter().any(|file| file.exists()) {
        true => Errno::ACCESS,
        false => Errno::NOENT,
    };
    Err(why.into())
}

/// The file names under which a program may be found, in the order in which they are tried: on
/// Windows with the extensions of `PATHEXT`, elsewhere the name alone.
#[must_use]
pub fn program_names(name: &OsStr, path_ext: Option<&OsStr>) -> Vec<OsString> {
    match cfg!(windows) {
        true => names_with_extensions(name, path_ext),
        false => vec![name.to_owned()],
    }
}

/// Whether a program is named by a path, and not searched for: on Windows also by one relative to a
/// drive's current directory, such as `C:tool.exe`.
#[must_use]
pub fn is_program_path(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    name.contains(std::path::is_separator) || (cfg!(windows) && name.contains(':'))
}

/// The path of one of Windows' own programs, in the directory that the system names. A user who
/// sets the environment could name another.
#[must_use]
pub fn system_program(name: &str) -> PathBuf {
    let dir = super::process::system_directory();
    let dir = dir.unwrap_or_else(|| PathBuf::from(r"C:\Windows\System32"));
    dir.join(name)
}

fn names_with_extensions(name: &OsStr, path_ext: Option<&OsStr>) -> Vec<OsString> {
    let listed = path_ext
        .unwrap_or_default()
        .to_string_lossy()
        .to_lowercase();
    let listed: Vec<&str> = listed.split(';').map(str::trim).collect();
    let mut extensions: Vec<&str> = listed
        .into_iter()
        .filter(|extension| EXTENSIONS.contains(extension))
        .collect();
    if extensions.is_empty() {
        extensions = EXTENSIONS.to_vec();
    }
    let with = |extension: &str| {
        let mut name = name.to_owned();
        name.push(extension);
        name
    };
    // npm puts a script for Unix shells beside `name.cmd`, under the name without an extension.
    let has_extension = Path::new(name).extension().is_some();
    let as_is = has_extension.then(|| name.to_owned());
    as_is
        .into_iter()
        .chain(extensions.into_iter().map(with))
        .collect()
}

/// The first of `names` that is a file: in `dirs`, or where `name` is a path, there alone. Never in
/// the current directory, and in no directory that depends on it.
fn find(
    name: &OsStr,
    names: &[OsString],
    dirs: impl Iterator<Item = PathBuf>,
) -> io::Result<PathBuf> {
    let tried = |names: &[OsString]| {
        let names = names.iter().map(|name| name.to_string_lossy());
        names.collect::<Vec<_>>().join(", ")
    };
    let not_found = |why: String| Err(io::Error::new(io::ErrorKind::NotFound, why));
    if is_program_path(name) {
        let candidates = names.iter().map(OsString::as_os_str).chain([name]);
        for candidate in candidates {
            if Path::new(candidate).is_file() {
                return unambiguous(std::path::absolute(candidate)?);
            }
        }
        return not_found(format!("there is none of {}", tried(names)));
    }
    for dir in dirs.filter(|dir| dir.is_absolute()) {
        let files = names.iter().map(|name| dir.join(name));
        if let Some(file) = files.into_iter().find(|file| file.is_file()) {
            return unambiguous(file);
        }
    }
    not_found(format!("no directory of PATH has one of {}", tried(names)))
}

/// Refuses a program that std would not run: it prefers a file whose name has a further `.exe`.
fn unambiguous(program: PathBuf) -> io::Result<PathBuf> {
    let is_exe = |extension: &OsStr| extension.eq_ignore_ascii_case("exe");
    if program.extension().is_some_and(is_exe) {
        return Ok(program);
    }
    let mut longer = program.clone().into_os_string();
    longer.push(".exe");
    if !Path::new(&longer).exists() {
        return Ok(program);
    }
    let (longer, program) = (shown_path(longer.as_ref()), shown_path(&program));
    let why = format!("{longer} would run in place of {program}: remove one of the two");
    Err(io::Error::new(io::ErrorKind::InvalidInput, why))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_longer_name_does_not_run_in_place_of_a_program() {
        let dir = tempfile::tempdir().unwrap();
        for file in ["tool.cmd", "tool.cmd.exe", "plain.exe", "plain.exe.exe"] {
            std::fs::write(dir.path().join(file), "").unwrap();
        }
        let error = found("tool", Some(".CMD"), &[dir.path()]).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("tool.cmd.exe would run in place of")
        );
        let named = dir.path().join("tool.cmd");
        assert!(found(named.to_str().unwrap(), None, &[]).is_err());
        let plain = found("plain", None, &[dir.path()]).unwrap();
        assert_eq!(
            plain,
            dir.path().join("plain.exe"),
            "an .exe is run as it is"
        );
    }

    fn found(name: &str, path_ext: Option<&str>, dirs: &[&Path]) -> io::Result<PathBuf> {
        let names = names_with_extensions(name.as_ref(), path_ext.map(OsStr::new));
        let dirs = dirs.iter().map(|dir| dir.to_path_buf());
        find(name.as_ref(), &names, dirs)
    }

    #[test]
    fn a_program_is_found_by_path_and_extension() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (one, other) = (one.path(), other.path());
        for file in [
            one.join("claude"), // npm's script for Unix shells
            one.join("claude.cmd"),
            one.join("claude.ps1"),
            other.join("claude.exe"),
            other.join("tool.bat"),
            other.join("tool.exe"),
            other.join("python3.12.exe"),
        ] {
            std::fs::write(file, "").unwrap();
        }
        let dirs = [Path::new(""), Path::new("."), one, other];
        for (name, path_ext, want) in [
            ("claude", None, one.join("claude.cmd")),
            ("claude", Some(".EXE"), other.join("claude.exe")),
            ("claude.exe", None, other.join("claude.exe")),
            ("claude.ps1", None, one.join("claude.ps1")),
            ("tool", None, other.join("tool.exe")),
            ("tool", Some(".JS;.BAT; .EXE"), other.join("tool.bat")),
            ("tool", Some(".JS;.VBS"), other.join("tool.exe")),
            ("python3.12", None, other.join("python3.12.exe")),
        ] {
            let found = found(name, path_ext, &dirs).unwrap();
            assert_eq!(found, want, "{name} {path_ext:?}");
        }
    }

    #[test]
    fn a_path_is_completed_and_not_searched_for() {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("tool.cmd");
        std::fs::write(&program, "").unwrap();
        let named = dir.path().join("tool");
        let named = named.to_str().unwrap();
        assert_eq!(found(named, None, &[]).unwrap(), program);
        std::fs::write(named, "").unwrap();
        assert_eq!(found(named, None, &[]).unwrap(), program);
        std::fs::remove_file(&program).unwrap();
        assert_eq!(found(named, None, &[]).unwrap(), Path::new(named));
        assert!(found("./tool", None, &[dir.path()]).is_err());
    }

    #[test]
    fn a_drive_makes_a_path() {
        for (name, is_windows_path) in [("C:tool.exe", true), (r"a\b", true), ("tool.exe", false)] {
            let is_path = is_program_path(name.as_ref());
            assert_eq!(is_path, is_windows_path && cfg!(windows), "{name}");
        }
        assert!(is_program_path("a/b".as_ref()));
    }

    #[test]
    fn an_error_names_the_files_that_were_searched_for() {
        let dir = tempfile::tempdir().unwrap();
        let error = found("claude", None, &[dir.path()]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        assert_eq!(
            error.to_string(),
            "no directory of PATH has one of claude.com, claude.exe, claude.bat, claude.cmd"
        );
        let error = found("./x.cmd", Some(".EXE"), &[]).unwrap_err();
        assert_eq!(error.to_string(), "there is none of ./x.cmd, ./x.cmd.exe");
    }

    #[test]
    fn a_system_program_is_in_the_system_directory() {
        let program = system_program("cmd.exe");
        assert!(program.ends_with("cmd.exe"));
        assert_eq!(program.is_file(), cfg!(windows), "{}", program.display());
    }
}
