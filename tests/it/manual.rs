//! The manual: a page a command, the same each time, and such that the formatters have nothing to
//! say.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use crate::support::home::Home;

fn pages(home: &Home, dir: &str, day: Option<&str>) -> BTreeMap<String, String> {
    let mut command = home.command(&["man", "--to", dir]);
    if let Some(day) = day {
        command.env("SOURCE_DATE_EPOCH", day);
    }
    assert!(command.output().unwrap().status.success());
    let files = home.files().into_iter();
    files
        .filter_map(|file| {
            let name = file.strip_prefix(dir)?.strip_prefix('/')?.to_owned();
            Some((name, home.read(&file)))
        })
        .collect()
}

#[test]
fn each_command_has_a_page_and_each_build_the_same() {
    let home = Home::new();
    let made = pages(&home, "deep/down/man1", None);
    for name in [
        "clawkeep.1",
        "clawkeep-models-auth-order.1",
        "clawkeep-models-auth-order-set.1",
        "clawkeep-token.1",
    ] {
        assert!(made.contains_key(name), "{name}: {:?}", made.keys());
    }
    assert_eq!(pages(&home, "again", None), made);
    assert_eq!(home.run(&["man"]).ok(), made["clawkeep.1"]);
    let dated = pages(&home, "dated", Some("1790000000"));
    let title = |pages: &BTreeMap<String, String>| {
        let page = pages["clawkeep-token.1"].lines();
        page.filter(|line| line.starts_with(".TH"))
            .collect::<String>()
    };
    assert!(title(&made).starts_with(".TH CLAWKEEP-TOKEN 1 \"\" \"clawkeep "));
    assert!(title(&dated).starts_with(".TH CLAWKEEP-TOKEN 1 \"2026-09-21\" \"clawkeep "));
    assert_eq!(
        home.files().iter().find(|file| file.contains("vault")),
        None,
        "no vault is made for it"
    );
}

#[test]
fn a_page_has_its_examples_as_they_are_typed() {
    let home = Home::new();
    let page = &pages(&home, "man", None)["clawkeep-export.1"];
    let (_, examples) = page.split_once(".SH EXAMPLES\n.nf\n").unwrap();
    assert!(examples.starts_with("clawkeep export  "), "{examples}");
}

/// A planted link must not choose which of root's files a page replaces.
#[cfg(unix)]
#[test]
fn no_page_is_written_where_somebody_else_chooses_what_it_replaces() {
    use std::fs;
    use std::os::unix::fs::symlink;

    use crate::support::damage::chmod;
    use crate::support::users::{ANA, can_be_others, give};

    let home = Home::new();
    let run = |dir: &str| home.run(&["man", "--to", dir]);
    // Anything that is no earlier page stays.
    home.write("mine/clawkeep.1", "my own notes");
    let refused = run("mine");
    assert_eq!(refused.status, 64, "{refused:?}");
    assert!(refused.stderr.contains("clawkeep.1 is there already"));
    assert_eq!(home.read("mine/clawkeep.1"), "my own notes");
    fs::create_dir(home.at("pipe")).unwrap();
    let pipe = home.at("pipe/clawkeep.1");
    assert!(Command::new("mkfifo").arg(pipe).status().unwrap().success());
    assert_ne!(run("pipe").status, 0);
    // A directory that others can write, and one below it.
    fs::create_dir(home.at("open")).unwrap();
    chmod(&home.at("open"), 0o777);
    for dir in ["open", "open/man1"] {
        let refused = run(dir);
        assert_eq!(refused.status, 1, "{refused:?}");
        assert!(refused.stderr.contains("can be written by other users"));
    }
    assert_eq!(fs::read_dir(home.at("open")).unwrap().count(), 0);
    if !can_be_others("no_page_is_written_where_somebody_else_chooses_what_it_replaces") {
        return;
    }
    home.write("precious", "root's");
    fs::create_dir(home.at("anas")).unwrap();
    symlink(home.at("precious"), home.at("anas/clawkeep.1")).unwrap();
    symlink(home.at("dangling"), home.at("anas/clawkeep-token.1")).unwrap();
    give(&home.at("anas"), ANA, ANA);
    assert_ne!(run("anas").status, 0);
    assert_eq!(home.read("precious"), "root's");
    assert!(!home.at("dangling").exists());
}

/// With the formatter that is here; troff is part of what `man` needs.
#[cfg(unix)] // groff or mandoc
#[test]
fn the_formatters_have_nothing_to_say() {
    let home = Home::new();
    let pages = pages(&home, "man", Some("1790000000"));
    let formatters: [&[&str]; 2] = [
        &["groff", "-ww", "-Kutf8", "-man", "-Tutf8", "-z"],
        &["mandoc", "-Tlint", "-Wwarning"],
    ];
    let mut found = 0;
    for formatter in formatters {
        let mut command = Command::new(formatter[0]);
        command.args(&formatter[1..]).current_dir(home.at("man"));
        command.args(pages.keys()).stdin(Stdio::null());
        let Ok(output) = command.output() else {
            continue;
        };
        found += 1;
        let said = [output.stdout, output.stderr].concat();
        assert_eq!(String::from_utf8_lossy(&said), "", "{}", formatter[0]);
    }
    assert!(
        found > 0,
        "neither groff nor mandoc is installed; the package groff-base has one"
    );
}
