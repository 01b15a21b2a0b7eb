//! A new file in `migrations/` is no file that the compiler has read before: without this it would not be embedded.

fn main() {
    println!("cargo:rerun-if-changed=../migrations");
}
