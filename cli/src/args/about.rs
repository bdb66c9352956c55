//! What the help and the manual page say beside the options.
#![forbid(unsafe_code)]

/// Below the long help.
pub const MORE: &str = "\
Exit statuses:
  run has the status of its command: 128 and a number if a signal ended it.
  Else:
  1    check has found a fault
  64   the command line is wrong
  69   a host cannot be reached
  71   the system refused something
  73   the file of a key cannot be used
  75   an app was not quiet in time; nothing was run
  76   that is no control endpoint; nothing was run
  77   access is denied; nothing was run
  78   the configuration file is wrong
  79   another caller's pause or stop is active; nothing was run
  80   a pause was lost
  81   the end of a pause was not confirmed; the leases are over
  126  the command cannot be run
  127  the command was not found
  128 and the number of a signal that came before the command ran

Environment:
  INTERMISSION_HOSTS        hosts, with spaces between
  INTERMISSION_CONFIG       the configuration file
  INTERMISSION_PASSWORD     the password for basic auth
  INTERMISSION_BY           your name
  INTERMISSION_RUNTIME_DIR  the folder for the files of keys
  NO_COLOR                  no colours

Files:
  ~/.config/intermission.toml, /etc/intermission.toml

docs/cli.md says it all.";
