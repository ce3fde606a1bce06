//! The family's commands (IPVS_CMD_*).

/// A command of the family, in requests and in answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Command {
    /// Adds a service, and answers a query for one.
    NewService,
    /// Changes a service.
    SetService,
    /// Removes a service and its destinations.
    DelService,
    /// Asks for one service, or in a dump for all.
    GetService,
    /// Adds a destination, and answers a dump of them.
    NewDestination,
    /// Changes a destination.
    SetDestination,
    /// Removes a destination.
    DelDestination,
    /// Asks for the destinations of one service; dumps only.
    GetDestination,
    /// Starts a sync daemon, and answers a dump of them.
    NewDaemon,
    /// Stops a sync daemon.
    DelDaemon,
    /// Asks for the sync daemons; dumps only.
    GetDaemon,
    /// Sets the timeouts, and answers a query for them.
    SetConfig,
    /// Asks for the timeouts.
    GetConfig,
    /// Answers [`Command::GetInfo`]; not a request.
    SetInfo,
    /// Asks for the version and the size of the connection table.
    GetInfo,
    /// Zeroes the counters of one service or of all.
    Zero,
    /// Removes every service of the namespace.
    Flush,
    /// A number without a name.
    Other(u8),
}

impl From<u8> for Command {
    fn from(number: u8) -> Self {
        match number {
            1 => Self::NewService,
            2 => Self::SetService,
            3 => Self::DelService,
            4 => Self::GetService,
            5 => Self::NewDestination,
            6 => Self::SetDestination,
            7 => Self::DelDestination,
            8 => Self::GetDestination,
            9 => Self::NewDaemon,
            10 => Self::DelDaemon,
            11 => Self::GetDaemon,
            12 => Self::SetConfig,
            13 => Self::GetConfig,
            14 => Self::SetInfo,
            15 => Self::GetInfo,
            16 => Self::Zero,
            17 => Self::Flush,
            other => Self::Other(other),
        }
    }
}

impl From<Command> for u8 {
    fn from(command: Command) -> Self {
        match command {
            Command::NewService => 1,
            Command::SetService => 2,
            Command::DelService => 3,
            Command::GetService => 4,
            Command::NewDestination => 5,
            Command::SetDestination => 6,
            Command::DelDestination => 7,
            Command::GetDestination => 8,
            Command::NewDaemon => 9,
            Command::DelDaemon => 10,
            Command::GetDaemon => 11,
            Command::SetConfig => 12,
            Command::GetConfig => 13,
            Command::SetInfo => 14,
            Command::GetInfo => 15,
            Command::Zero => 16,
            Command::Flush => 17,
            Command::Other(number) => number,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Command;

    #[test]
    fn every_number_is_read_and_written_alike() {
        for number in 0..=u8::MAX {
            assert_eq!(u8::from(Command::from(number)), number);
        }
    }
}
