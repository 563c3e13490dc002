# Bash completion for joiner(1).

_joiner() {
    local words='join leave status --help --version'
    COMPREPLY=()
    case ${COMP_WORDS[1]} in
        join)
            words='--invite-file --shred-invite --advertise-addr --data-path-addr --listen-addr --timeout --on-failure'
            words+=' --docker --state --verbose --help'
            ;;
        leave) words='--if-ephemeral --timeout --docker --state --verbose --help' ;;
        status) words='--json --docker --state --verbose --help' ;;
    esac
    ((COMP_CWORD > 1)) || words='join leave status --help --version'
    case $3 in
        --invite-file | --docker) mapfile -t COMPREPLY < <(compgen -f -- "$2") ;;
        --state) mapfile -t COMPREPLY < <(compgen -d -- "$2") ;;
        --timeout) mapfile -t COMPREPLY < <(compgen -W '90s 10m 1h' -- "$2") ;;
        # What these take cannot be guessed.
        --advertise-addr | --data-path-addr | --listen-addr | --on-failure) ;;
        *) mapfile -t COMPREPLY < <(compgen -W "$words" -- "$2") ;;
    esac
}

complete -o filenames -F _joiner joiner
