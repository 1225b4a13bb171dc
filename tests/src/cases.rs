//! Cases that are data: `tests/data/**/*.toml`.

use crate::process::root;
use serde::de::DeserializeOwned;

/// The cases of a file, or of every file in a directory, below `tests/data`; each with the file's name.
pub fn load<T: DeserializeOwned>(path: &str) -> Vec<(String, T)> {
    #[derive(serde::Deserialize)]
    struct File<T> {
        case: Vec<T>,
    }
    let path = root().join("tests/data").join(path);
    let mut files = if path.is_dir() {
        std::fs::read_dir(&path).expect("a directory").flatten().map(|entry| entry.path()).collect()
    } else {
        vec![path]
    };
    files.sort();
    files
        .iter()
        .filter(|file| file.extension().is_some_and(|extension| extension == "toml"))
        .flat_map(|file| {
            let text = std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            let cases: File<T> = toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            cases.case.into_iter().map(move |case| (name.clone(), case))
        })
        .collect()
}
