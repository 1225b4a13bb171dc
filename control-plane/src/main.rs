//! `partywall`: the control plane and its command line.

fn main() -> std::process::ExitCode {
    partywall::cli::run()
}
