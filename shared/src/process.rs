//! What both tiers export about their process: memory, processor time, file descriptors, under the names that every
//! Prometheus client library uses; and the memory that it may use, for which there is no such name.

use std::{fs, path::Path};

use prometheus::{IntGauge, Registry, process_collector::ProcessCollector};

/// Registers the metrics of this process.
///
/// # Errors
/// Where one of the names is taken.
pub fn register(registry: &Registry) -> prometheus::Result<()> {
    registry.register(Box::new(ProcessCollector::for_self()))?;
    if let Some(octets) = memory_limit() {
        let limit =
            IntGauge::new("process_memory_limit_bytes", "The memory that the process may use, as it was at start.")?;
        limit.set(i64::try_from(octets).unwrap_or(i64::MAX));
        registry.register(Box::new(limit))?;
    }
    Ok(())
}

/// The memory that the process may use, in octets; `None` where the system does not say.
pub fn memory_limit() -> Option<u64> {
    least_granted(Path::new("/"))
}

/// The least that is granted: by the control groups that the process is in, or by the machine.
fn least_granted(root: &Path) -> Option<u64> {
    let groups = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    let machine = fs::read_to_string(root.join("proc/meminfo")).ok().as_deref().and_then(total_memory);
    groups.lines().filter_map(|group| group_limit(root, group)).chain(machine).min()
}

/// The least of a group's limit and of those above it, since each of them ends the process that exceeds it. A container
/// may not see the path that the kernel names; its own group is then the topmost one that it sees.
fn group_limit(root: &Path, group: &str) -> Option<u64> {
    let mut parts = group.splitn(3, ':').skip(1);
    let (controllers, path) = (parts.next()?, parts.next()?);
    let (mount, file) = match controllers {
        "" => ("sys/fs/cgroup", "memory.max"),
        _ if controllers.split(',').any(|controller| controller == "memory") => {
            ("sys/fs/cgroup/memory", "memory.limit_in_bytes")
        }
        _ => return None,
    };
    let groups = Path::new(path.trim_start_matches('/')).ancestors();
    // A group without a limit says `max`, or in version 1 a number larger than any machine.
    groups
        .filter_map(|group| fs::read_to_string(root.join(mount).join(group).join(file)).ok()?.trim().parse().ok())
        .min()
}

fn total_memory(meminfo: &str) -> Option<u64> {
    let total = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    total.trim().strip_suffix(" kB")?.parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The limit on a machine with these files.
    fn limit(files: &[(&str, &str)]) -> Option<u64> {
        let root = std::env::temp_dir().join(format!("todo-process-{}", uuid::Uuid::new_v4()));
        fs::create_dir(&root).expect("a folder");
        for (path, text) in files {
            let path = root.join(path);
            fs::create_dir_all(path.parent().expect("a folder above")).expect("folders");
            fs::write(path, text).expect("a file");
        }
        let limit = least_granted(&root);
        fs::remove_dir_all(&root).expect("clean up");
        limit
    }

    const MACHINE: (&str, &str) = ("proc/meminfo", "MemTotal:         4096 kB\nMemFree:          1 kB\n");

    #[test]
    fn the_least_of_what_is_granted_is_the_limit() {
        let group = ("proc/self/cgroup", "0::/a.slice/b.service\n");
        let (own, above) = ("sys/fs/cgroup/a.slice/b.service/memory.max", "sys/fs/cgroup/a.slice/memory.max");
        assert_eq!(limit(&[MACHINE, group, (own, "1000\n"), (above, "max\n")]), Some(1000));
        assert_eq!(limit(&[MACHINE, group, (own, "2000\n"), (above, "1000\n")]), Some(1000));
        assert_eq!(limit(&[MACHINE, group, (own, "max\n"), (above, "max\n")]), Some(4096 * 1024));
        assert_eq!(limit(&[MACHINE, ("proc/self/cgroup", "0::/\n"), ("sys/fs/cgroup/memory.max", "7\n")]), Some(7));
    }

    #[test]
    fn the_first_version_of_control_groups_is_read_as_well() {
        let groups = ("proc/self/cgroup", "5:devices:/x\n4:cpu,memory:/docker/1f\n0::/\n");
        let (seen, named) =
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "sys/fs/cgroup/memory/docker/1f/memory.limit_in_bytes");
        assert_eq!(limit(&[MACHINE, groups, (seen, "1000\n")]), Some(1000), "inside a container");
        assert_eq!(limit(&[MACHINE, groups, (named, "1000\n"), (seen, "9223372036854771712\n")]), Some(1000));
        assert_eq!(limit(&[MACHINE, groups, (named, "9223372036854771712\n")]), Some(4096 * 1024));
    }

    #[test]
    fn without_control_groups_the_machine_is_the_limit() {
        assert_eq!(limit(&[MACHINE]), Some(4096 * 1024));
        assert_eq!(limit(&[]), None);
    }
}
