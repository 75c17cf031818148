use chrono::Utc;

use super::*;

const HOUR: i64 = 3_600_000;
/// 2026-11-20 00:00 UTC.
const START: i64 = 1_795_132_800_000;
const PLAIN: Palette = Palette {
    unicode: true,
    colour: false,
};
const ASCII: Palette = Palette {
    unicode: false,
    colour: false,
};

fn whose(agent: Option<&str>, profile: &str) -> ProfileRef {
    ProfileRef {
        agent: agent.map(Into::into),
        id: profile.into(),
    }
}

fn lane(whose: ProfileRef, parts: usize, valid: &[(i64, Option<i64>)]) -> Lane {
    let at = |hours: i64| UnixMs::from_ms(START + hours * HOUR);
    let span = |(from, until): &(i64, Option<i64>)| Span {
        from: at(*from),
        until: until.map(at),
    };
    Lane {
        profile: whose,
        provider: None,
        valid: valid.iter().map(span).collect(),
        cooldowns: Vec::new(),
        refreshes: vec![0; parts],
        failures: vec![0; parts],
        uses: vec![0; parts],
    }
}

fn sample(parts: usize) -> Timeline {
    let count = i64::try_from(parts).unwrap_or(1);
    let bound = |part: i64| UnixMs::from_ms(START + 120 * HOUR * part / count);
    let mut work = lane(
        whose(Some("main"), "anthropic:work"),
        parts,
        &[(0, Some(50)), (60, Some(130))],
    );
    work.refreshes[parts / 2] = 4;
    work.failures[parts * 5 / 12] = 1;
    work.refreshes[parts * 5 / 12] = 1;
    work.uses[2] = 9;
    work.uses[parts / 2] = 9;
    let key = lane(whose(Some("ci"), "openai:key"), parts, &[(41, None)]);
    let gone = lane(whose(None, "google:old"), parts, &[(-9, Some(30))]);
    Timeline {
        bounds: (0..=count).map(bound).collect(),
        lanes: vec![work, key, gone],
    }
}

fn at(hours: i64) -> UnixMs {
    UnixMs::from_ms(START + hours * HOUR)
}

#[test]
fn a_chart_reads_without_colour() {
    let profiles: Vec<ProfileRef> = sample(20)
        .lanes
        .into_iter()
        .map(|lane| lane.profile)
        .collect();
    let parts = lane_columns(&profiles, 75);
    assert_eq!(parts, 60);
    let text = chart_in(&Utc, &sample(parts), 75, at(108), PLAIN);
    let expected = "\
anthropic:work ━━•━━━━━━━━━━━━━━━━━━━━━━x┄┄┄┄R━━━━━━━━━━━━━━━━━━━━━━━━━━━━━
ci/openai:key                      ─━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━
google:old     ━━━━━━━━━━━━━━━┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄
               ┬───────────┬───────────┬───────────┬───────────┬─────▲────┬
            Nov 20      Nov 21      Nov 22      Nov 23      Nov 24  now
━ valid  ─ partly  ┄ not valid  R refresh  x failure  • use  1 column = 2h
";
    assert_eq!(text, expected);
}

#[test]
fn a_chart_is_ascii_where_it_must() {
    let mut timeline = sample(24);
    timeline.lanes[1].profile = whose(None, "ключ:é");
    let text = chart_in(&Utc, &timeline, 40, at(108), ASCII);
    let expected = "\
anthropic:work ==o=======x.R===========
????:?                 -===============
google:old     ======................
               ----+---------+------^-+
                Nov 21    Nov 23   now
= valid  - partly  . not valid
R refresh  x failure  o use
1 column = 5h
";
    assert_eq!(text, expected);
    assert!(text.is_ascii());
}

#[test]
fn colours_come_in_runs_and_end() {
    let mut lane = lane(whose(None, "a"), 20, &[(0, Some(60))]);
    lane.failures[1] = 1;
    lane.failures[2] = 1;
    lane.refreshes[3] = 1;
    let bounds = (0..=20).map(|part| at(part * 6)).collect();
    let timeline = Timeline {
        bounds,
        lanes: vec![lane],
    };
    let palette = Palette {
        unicode: true,
        colour: true,
    };
    let text = chart_in(&Utc, &timeline, 80, at(200), palette);
    let first = text.lines().next();
    assert_eq!(
        first,
        Some("a ━\u{1b}[31mxx\u{1b}[0m\u{1b}[32mR\u{1b}[0m━━━━━━\u{1b}[31m┄┄┄┄┄┄┄┄┄┄\u{1b}[0m")
    );
    assert!(!text.contains("now"), "it is later than the axis");
}

#[test]
fn a_cooldown_is_drawn_and_explained() {
    let mut lane = lane(whose(None, "a"), 10, &[(0, None)]);
    lane.cooldowns = vec![Span {
        from: at(20),
        until: Some(at(50)),
    }];
    let bounds = (0..=10).map(|part| at(part * 10)).collect();
    let timeline = Timeline {
        bounds,
        lanes: vec![lane],
    };
    let text = chart_in(&Utc, &timeline, 80, at(200), PLAIN);
    assert!(text.starts_with("a ━━▒▒▒━━━━━\n"), "{text}");
    assert!(text.contains("▒ in cooldown"), "{text}");
    let text = chart_in(&Utc, &timeline, 80, at(200), ASCII);
    assert!(text.starts_with("a ==###=====\n"), "{text}");
}

#[test]
fn every_width_holds() {
    for columns in [30, 40, 57, 80, 120, 200] {
        let long = whose(Some("agent"), &"x".repeat(300));
        let parts = lane_columns([&long, &whose(None, "a")], columns);
        let mut timeline = sample(parts);
        timeline.lanes[2].profile = long;
        for hours in [0, 60, 119, 120] {
            let text = chart_in(&Utc, &timeline, columns, at(hours), PLAIN);
            assert!(
                text.lines().all(|line| line.chars().count() <= columns),
                "{text}"
            );
            assert!(text.contains("now") && text.contains("Nov 2"), "{text}");
            assert!(
                text.lines()
                    .nth(2)
                    .is_some_and(|line| line.starts_with("agen") && line.contains('…'))
            );
        }
    }
}

#[test]
fn nothing_from_outside_moves_the_cursor() {
    let mut timeline = sample(20);
    timeline.lanes[0].profile = whose(Some("a\n"), "b\u{1b}\u{202e}c");
    let text = chart_in(&Utc, &timeline, 80, at(1), PLAIN);
    assert!(text.starts_with(r"a\u000a/b\u001b\u202ec "), "{text}");
    assert!(!text.contains(['\u{1b}', '\u{202e}']));
}

#[test]
fn without_lanes_there_is_no_chart() {
    let empty = Timeline {
        bounds: vec![at(0), at(1)],
        lanes: Vec::new(),
    };
    assert_eq!(chart(&empty, 80, at(0), PLAIN), "");
    let mut damaged = sample(20);
    damaged.bounds.clear();
    assert_eq!(chart(&damaged, 80, at(0), PLAIN), "");
    assert_eq!(lane_columns([], 0), LANE_MIN);
}
