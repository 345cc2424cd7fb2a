//! New migrations make the crate compile again.

fn main() {
    println!("cargo:rerun-if-changed=migrations");
}
