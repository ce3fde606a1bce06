//! The table of command lines in `cases.txt`, whose head explains its form.

/// A step of a scenario.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    /// Its line in the file.
    pub(crate) number: usize,
    /// The command line as it stands there.
    pub(crate) shown: String,
    pub(crate) words: Vec<Vec<u8>>,
    pub(crate) input: Vec<u8>,
    /// The deliberate difference that the step shows.
    pub(crate) difference: Option<String>,
}

/// Steps that begin with an empty table.
#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    pub(crate) title: String,
    pub(crate) steps: Vec<Step>,
}

/// Every scenario.
pub(crate) fn scenarios() -> Vec<Scenario> {
    let mut scenarios: Vec<Scenario> = Vec::new();
    let mut difference = None;
    for (index, line) in include_str!("cases.txt").lines().enumerate() {
        let number = index + 1;
        let (mark, rest) = line.split_at(line.len().min(1));
        let rest = rest.strip_prefix(' ').unwrap_or(rest);
        match mark {
            "" | "#" => {}
            "=" => scenarios.push(Scenario { title: rest[2..].to_owned(), steps: Vec::new() }),
            "!" => difference = Some(rest.to_owned()),
            "$" => scenarios.last_mut().expect("a scenario").steps.push(Step {
                number,
                shown: rest.to_owned(),
                words: rest.split_whitespace().map(word).collect(),
                input: Vec::new(),
                difference: difference.take(),
            }),
            "<" => {
                let step = scenarios.last_mut().and_then(|last| last.steps.last_mut());
                let input = &mut step.expect("a command line").input;
                match rest.strip_prefix("| ") {
                    Some(unfinished) => input.extend(bytes(unfinished)),
                    None => {
                        input.extend(bytes(rest));
                        input.push(b'\n');
                    }
                }
            }
            _other => panic!("line {number}: {line}"),
        }
    }
    scenarios
}

fn word(text: &str) -> Vec<u8> {
    if text == "%" { Vec::new() } else { bytes(text) }
}

/// `%XX` is a byte.
fn bytes(text: &str) -> Vec<u8> {
    let mut parts = text.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let (code, rest) = part.split_at(2);
        bytes.push(u8::from_str_radix(code, 16).expect("two hexadecimal digits"));
        bytes.extend(rest.as_bytes());
    }
    bytes
}
