//! Which names of environment variables may carry a secret.

/// Variables that loaders, shells, interpreters and the system's libraries act on. Sources:
/// ld.so(8), bash(1), zshparam(1), environ(7), and the manuals of the interpreters.
#[rustfmt::skip]
const ACTED_ON: [&str; 101] = [
    "ALL_PROXY", "APPDATA", "BASH", "BASHOPTS", "BASHPID", "BROWSER", "CDPATH", "COLUMNS",
    "COMSPEC", "CREDENTIALS_DIRECTORY", "DIRSTACK", "DISPLAY", "EDITOR", "EGID", "ENV",
    "EPOCHREALTIME", "EPOCHSECONDS", "ERRNO", "EUID", "FIGNORE", "FPATH", "FTP_PROXY", "FUNCNAME",
    "FUNCNEST", "GCONV_PATH", "GETCONF_DIR", "GID", "GLIBC_TUNABLES", "GLOBIGNORE", "GROUPS",
    "HISTCMD", "HISTFILE", "HOME", "HOSTALIASES", "HTTPS_PROXY", "HTTP_PROXY", "IFS", "INPUTRC",
    "JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "LANG", "LANGUAGE", "LESSCLOSE", "LESSOPEN", "LINENO",
    "LINES", "LOCALAPPDATA", "LOCALDOMAIN", "LOCPATH", "LOGNAME", "MAIL", "MAILPATH", "MANPATH",
    "MODULE_PATH", "NLSPATH", "NODE_OPTIONS", "NODE_PATH", "NO_PROXY", "OLDPWD", "OPTARG",
    "OPTIND", "PAGER", "PATH", "PATHEXT", "PERLLIB", "PHPRC", "PHP_INI_SCAN_DIR", "PPID",
    "PROGRAMDATA", "PROMPT", "PROMPT_COMMAND", "PSMODULEPATH", "PWD", "RANDOM", "REPLY",
    "RESOLV_HOST_CONF", "RES_OPTIONS", "SECONDS", "SHELL", "SHELLOPTS", "SHLVL", "SRANDOM",
    "SSL_CERT_DIR", "SSL_CERT_FILE", "SYSTEMROOT", "TEMP", "TERM", "TERMCAP", "TMOUT", "TMP",
    "TMPDIR", "TZ", "TZDIR", "UID", "USER", "USERNAME", "USERPROFILE", "VISUAL", "WINDIR", "_",
    "_JAVA_OPTIONS",
];

/// How the names of further such variables begin.
#[rustfmt::skip]
const FAMILIES: [&str; 27] = [
    "BASH_", "CLAWKEEP_", "COMP_", "COR_", "CORECLR_", "DBUS_", "DOTNET_", "DYLD_", "GIT_", "LC_",
    "LD_", "LUA_", "MALLOC_", "OPENSSL_", "PERL5", "PS0", "PS1", "PS2", "PS3", "PS4", "PYTHON",
    "RUBY", "SSH_", "SUDO_", "TERMINFO", "XDG_", "ZDOTDIR",
];

/// Checks the name of a variable that is to carry a secret: letters, digits and `_`, and none that
/// a loader, a shell or an interpreter acts on, in any case.
///
/// # Errors
/// What is wrong with it, as the rest of a sentence. The name is not in it.
pub fn check_variable_name(name: &str) -> Result<(), &'static str> {
    let is_begun = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if !is_begun || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Err("a variable's name has letters, digits and _, such as MY_API_KEY");
    }
    // zsh has `path` beside `PATH`, and Windows ignores the case of all.
    let upper = name.to_ascii_uppercase();
    let is_acted_on = ACTED_ON.contains(&upper.as_str())
        || FAMILIES.iter().any(|family| upper.starts_with(family));
    match is_acted_on {
        true => Err("programs act on that variable; name one that only carries a secret"),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::env::PROVIDER_VARIABLES;

    #[test]
    fn a_secret_goes_into_no_variable_that_programs_act_on() {
        for name in [
            "LD_PRELOAD",
            "LD_AUDIT",
            "DYLD_INSERT_LIBRARIES",
            "PATH",
            "path",
            "IFS",
            "ENV",
            "BASH_ENV",
            "BASH_FUNC_x",
            "PS4",
            "PROMPT_COMMAND",
            "SHELLOPTS",
            "BASHOPTS",
            "RANDOM",
            "SECONDS",
            "PYTHONPATH",
            "PYTHONSTARTUP",
            "PERL5OPT",
            "PERL5LIB",
            "RUBYOPT",
            "NODE_OPTIONS",
            "JAVA_TOOL_OPTIONS",
            "_JAVA_OPTIONS",
            "GIT_SSH_COMMAND",
            "HOME",
            "USER",
            "SHELL",
            "TERM",
            "TMPDIR",
            "LANG",
            "LC_ALL",
            "MALLOC_CHECK_",
            "GLIBC_TUNABLES",
            "GCONV_PATH",
            "CLAWKEEP_KEY_FILE",
            "XDG_CONFIG_HOME",
            "DBUS_SESSION_BUS_ADDRESS",
            "https_proxy",
            "_",
        ] {
            let why = check_variable_name(name).unwrap_err();
            assert!(why.contains("act on"), "{name}");
        }
        for name in [
            "",
            "1A",
            "A B",
            "x;touch pwned;y",
            "A=B",
            "A\n",
            "\u{e9}",
            "A-B",
            "BASH_FUNC_x%%",
        ] {
            let why = check_variable_name(name).unwrap_err();
            assert!(why.contains("letters"), "{name:?}");
        }
        let known = PROVIDER_VARIABLES
            .iter()
            .flat_map(|(_, names)| names.iter().copied());
        for name in known.chain([
            "X",
            "MINE",
            "_MY_KEY",
            "TEST_KEY",
            "GITLAB_TOKEN",
            "ENVIRONMENT_KEY",
        ]) {
            assert_eq!(check_variable_name(name), Ok(()), "{name}");
        }
    }
}
