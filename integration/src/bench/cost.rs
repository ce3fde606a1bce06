//! What a program costs: processor time and memory of all its processes, as the kernel counts them.

use std::fs;

/// A reading.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Time on a processor of all threads that live, in nanoseconds (`/proc/PID/task/*/schedstat`).
    pub cpu_ns: u64,
    /// Resident memory in bytes (`VmRSS`), summed up: what processes share counts for each.
    pub rss: u64,
    /// The greatest that resident memory has been, in bytes (`VmHWM`), summed up.
    pub peak: u64,
    /// Resident memory in bytes, what is shared divided by who shares it (`Pss`).
    pub pss: u64,
}

/// The cost of a process and of all that it has started.
pub fn of(pid: u32) -> Cost {
    let mut all = vec![pid];
    let mut next = 0;
    while let Some(&one) = all.get(next) {
        all.extend(children(one));
        next += 1;
    }
    all.into_iter().fold(Cost::default(), |sum, one| Cost {
        cpu_ns: sum.cpu_ns + cpu_ns(one),
        rss: sum.rss + kib(&format!("/proc/{one}/status"), "VmRSS:") * 1024,
        peak: sum.peak + kib(&format!("/proc/{one}/status"), "VmHWM:") * 1024,
        pss: sum.pss + kib(&format!("/proc/{one}/smaps_rollup"), "Pss:") * 1024,
    })
}

/// The processor time of each thread of a process and its name, in nanoseconds.
pub fn by_thread(pid: u32) -> Vec<(String, u64)> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let each = tasks.map(|task| {
        let read = |file: &str| fs::read_to_string(task.path().join(file)).unwrap_or_default();
        (read("comm").trim().to_owned(), first_number(&read("schedstat")))
    });
    each.collect()
}

fn children(pid: u32) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists = tasks.map(|task| fs::read_to_string(task.path().join("children")));
    let words = lists.flatten().collect::<String>();
    words.split_ascii_whitespace().filter_map(|word| word.parse().ok()).collect()
}

fn cpu_ns(pid: u32) -> u64 {
    by_thread(pid).iter().map(|(_, ns)| ns).sum()
}

fn first_number(text: &str) -> u64 {
    text.split_ascii_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or_default()
}

fn kib(file: &str, key: &str) -> u64 {
    let text = fs::read_to_string(file).unwrap_or_default();
    text.lines().find_map(|line| line.strip_prefix(key)).map_or(0, first_number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_s_cost_is_its_parent_s() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        assert!(children(std::process::id()).contains(&child.id()));
        let (own, both) = (of(child.id()), of(std::process::id()));
        assert!(own.rss > 0 && both.rss > own.rss);
        assert!(both.cpu_ns > 0);
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(of(child.id()), Cost::default());
    }
}
