//! Loops: `~SEQ(NAME, first, step, last) rest`, `~SEQx(…)` in hexadecimal, `~LST(NAME, one, two) rest`, `~LST({A, B}, {1, 2}) rest`.

use crate::MAX_STATEMENTS;

/// A loop, unfolded.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Loop {
    /// The definitions that each round makes.
    pub(crate) names: Vec<String>,
    /// Their values, round by round.
    pub(crate) rounds: Vec<Vec<String>>,
    /// The line that each round reads.
    pub(crate) rest: String,
}

/// The loop that a line is.
pub(crate) fn unfold(text: &str) -> Result<Loop, String> {
    let (head, body) = text.split_once('(').ok_or("a loop without a parenthesis")?;
    let (inner, rest) = body.split_once(')').ok_or("a loop whose parenthesis is not closed")?;
    let rest = rest.trim_start().to_owned();
    match head.trim_end() {
        "~SEQ" => sequence(inner, rest, false),
        "~SEQx" => sequence(inner, rest, true),
        "~LST" => list(inner, rest),
        other => Err(format!("`{other}` is no loop")),
    }
}

fn sequence(inner: &str, rest: String, hexadecimal: bool) -> Result<Loop, String> {
    let mut parts = inner.split(',').map(str::trim);
    let name = parts.next().unwrap_or_default().to_owned();
    let numbers = parts.map(number).collect::<Result<Vec<_>, _>>()?;
    let toward = |first: i64, last: i64| if last < first { -1 } else { 1 };
    let (first, step, last) = match *numbers.as_slice() {
        [last] => {
            let one = if last < 0 { -1 } else { 1 };
            (one, one, last)
        }
        [first, last] => (first, toward(first, last), last),
        [first, step, last] => (first, step, last),
        _ => return Err("`~SEQ` takes one to three numbers".to_owned()),
    };
    if step == 0 {
        return Err("`~SEQ` with a step of 0 never ends".to_owned());
    }
    let span = if step > 0 { last - first } else { first - last };
    if span >= 0 && (span / step.abs()).unsigned_abs() >= MAX_STATEMENTS as u64 {
        return Err(format!("`~SEQ` with more than {MAX_STATEMENTS} rounds"));
    }
    let mut rounds = Vec::new();
    let mut value = first;
    while if step > 0 { value <= last } else { value >= last } {
        rounds.push(vec![if hexadecimal { format!("{value:x}") } else { value.to_string() }]);
        let Some(next) = value.checked_add(step) else { break };
        value = next;
    }
    Ok(Loop { names: vec![name], rounds, rest })
}

fn number(text: &str) -> Result<i64, String> {
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |digits| (-1, digits));
    let read = match digits.strip_prefix("0x") {
        Some(digits) => i64::from_str_radix(digits, 16),
        None => digits.parse(),
    };
    // Beyond 32 bits no address and no number has room for it.
    match read {
        Ok(number) if (0..1 << 32).contains(&number) => Ok(sign * number),
        _ => Err(format!("`{text}` is no number of a loop")),
    }
}

fn list(inner: &str, rest: String) -> Result<Loop, String> {
    let parts = groups(inner);
    let (names, values) = parts.split_first().ok_or("`~LST` without a name")?;
    if values.iter().any(|value| value.len() != names.len()) {
        return Err("`~LST` with more or fewer values than names".to_owned());
    }
    Ok(Loop { names: names.clone(), rounds: values.to_vec(), rest })
}

/// What commas separate, where what is in braces is one.
fn groups(text: &str) -> Vec<Vec<String>> {
    let mut parts = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (part, after) = match rest.strip_prefix('{').and_then(|inner| inner.split_once('}')) {
            Some((inner, after)) => (
                inner.split(',').map(|word| word.trim().to_owned()).collect(),
                after.trim_start().strip_prefix(',').unwrap_or_default(),
            ),
            None => {
                let (word, after) = rest.split_once(',').unwrap_or((rest, ""));
                (vec![word.trim().to_owned()], after)
            }
        };
        parts.push(part);
        rest = after.trim_start();
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_and_lists_unfold_as_the_manual_says() {
        let found = unfold("~SEQx(SUBNET, 0x90, 0x10, 0xc0) ip ${SUBNET}").unwrap();
        assert_eq!(found.rounds, [["90"], ["a0"], ["b0"], ["c0"]]);
        assert_eq!(unfold("~SEQ(A, 3) x").unwrap().rounds, [["1"], ["2"], ["3"]]);
        assert_eq!(unfold("~SEQ(A, 1, -1) x").unwrap().rounds, [["1"], ["0"], ["-1"]]);
        let found = unfold("~LST({IP, IP1}, {10,1},{20,4}) x").unwrap();
        assert_eq!(
            (found.names.len(), found.rounds),
            (2, vec![vec!["10".into(), "1".into()], vec!["20".into(), "4".into()]])
        );
        assert!(unfold("~SEQ(A, 1, 0, 5) x").is_err());
        assert!(unfold("~LST({A, B}, 1) x").is_err());
    }
}
