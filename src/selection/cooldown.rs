//! How long a profile cools down after failures.

/// Cooldowns after the first, second and third failure in a row, milliseconds. Source:
/// `spec/compat.md`, Selection.
const COOLDOWNS_MS: [i64; 3] = [60_000, 5 * 60_000, 25 * 60_000];

/// The cooldown after every further failure, milliseconds. Source: as above.
const LONGEST_COOLDOWN_MS: i64 = 60 * 60_000;

/// The cooldown after the `failures`-th failure in a row, in milliseconds: 1, 5, 25, 60 minutes.
#[must_use]
pub fn cooldown_ms(failures: u32) -> i64 {
    let index = usize::try_from(failures.saturating_sub(1)).unwrap_or(usize::MAX);
    COOLDOWNS_MS
        .get(index)
        .copied()
        .unwrap_or(LONGEST_COOLDOWN_MS)
}
