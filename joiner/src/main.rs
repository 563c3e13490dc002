//! `joiner`: brings one machine into the swarm, on an operator's invite. All of it is in the library.

fn main() -> std::process::ExitCode {
    joiner::run()
}
