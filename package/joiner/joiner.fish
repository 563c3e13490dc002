# Fish completion for joiner(1).

complete -c joiner -f
complete -c joiner -n __fish_use_subcommand -a join -d 'Bring this machine into the swarm'
complete -c joiner -n __fish_use_subcommand -a leave -d 'Bring this machine out of the swarm'
complete -c joiner -n __fish_use_subcommand -a status -d 'Say what is known here'
complete -c joiner -n __fish_use_subcommand -s V -l version -d 'Print the version'
complete -c joiner -s h -l help -d 'Print the help'

set -l join '__fish_seen_subcommand_from join'
complete -c joiner -n $join -l invite-file -rF -d 'The invite is in this file'
complete -c joiner -n $join -l shred-invite -d 'When this machine is in, remove that file and its copies'
complete -c joiner -n $join -l advertise-addr -x -d 'Where other nodes reach this one'
complete -c joiner -n $join -l data-path-addr -x -d 'For the traffic of overlay networks'
complete -c joiner -n $join -l listen-addr -x -d 'What the engine listens on'
complete -c joiner -n $join -l timeout -x -a '90s 10m 1h' -d 'For everything together'
complete -c joiner -n $join -l on-failure -x -d 'Run when this machine will not join'

set -l leave '__fish_seen_subcommand_from leave'
complete -c joiner -n $leave -l if-ephemeral -d 'Do nothing unless the invite said ephemeral'
complete -c joiner -n $leave -l timeout -x -a '30s 60s 5m' -d 'For the brokers and for the tasks'

complete -c joiner -n '__fish_seen_subcommand_from status' -l json -d 'Print one JSON object'

set -l both '__fish_seen_subcommand_from join leave status'
complete -c joiner -n $both -l docker -rF -d 'Docker socket'
complete -c joiner -n $both -l state -x -a '(__fish_complete_directories)' -d 'State folder'
complete -c joiner -n $both -s v -l verbose -d 'Tell each try, and what it cost'
