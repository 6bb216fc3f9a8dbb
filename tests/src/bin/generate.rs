//! `make generate`: writes the generated files of the project, from its root.

#![expect(clippy::print_stdout, reason = "a command says what it did")]

use todo_tests::generated;

fn main() -> std::io::Result<()> {
    for (path, text) in generated::files() {
        let changed = std::fs::read_to_string(path).ok().as_ref() != Some(&text);
        if changed {
            std::fs::write(path, text)?;
        }
        println!("{} {path}", if changed { "wrote" } else { "unchanged" });
    }
    Ok(())
}
