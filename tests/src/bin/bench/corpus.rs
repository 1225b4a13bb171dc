//! What is scanned and what is looked for: the project's own English, and literals as platforms have them.

use partywall_tests::process::root;

/// Clean English: the licence and the documentation.
pub fn english() -> String {
    let mut text = std::fs::read_to_string(root().join("LICENSE")).unwrap_or_default();
    let mut files: Vec<_> =
        std::fs::read_dir(root().join("docs")).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    files.sort();
    for file in files.iter().filter(|file| file.extension().is_some_and(|extension| extension == "md")) {
        text += &std::fs::read_to_string(file).unwrap_or_default();
    }
    text.chars().filter(char::is_ascii).collect()
}

/// The sentences of a text, as the words that a model would stream: every word but the first brings its space.
pub fn sentences(text: &str) -> Vec<Vec<String>> {
    let words = |sentence: &str| -> Vec<String> {
        let words = sentence.split_whitespace().filter(|word| word.chars().any(char::is_alphanumeric));
        words.enumerate().map(|(at, word)| if at == 0 { word.to_owned() } else { format!(" {word}") }).collect()
    };
    let ends = text.split(['.', ':', '|', '#', '`']).map(words);
    ends.filter(|words| words.len() >= 5 && words[0].starts_with(|c: char| c.is_ascii_uppercase())).collect()
}

struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) as usize % limit
    }

    fn of<'a>(&mut self, list: &[&'a str]) -> &'a str {
        list[self.below(list.len())]
    }

    fn word(&mut self) -> String {
        const HEADS: &[&str] = &[
            "Bren", "Cald", "Dor", "Ed", "Fal", "Gran", "Hol", "In", "Jar", "Kest", "Lan", "Mor", "Nor", "Os", "Pel",
            "Quin", "Ras", "Sil", "Thorn", "Ul", "Ver", "Wex", "Yar", "Zan", "Am", "Ar", "Be", "Ch", "Sh", "Tr",
        ];
        const MIDDLES: &[&str] = &["a", "e", "i", "o", "en", "ar", "il", "or", "ing", "am", "ess", "und"];
        const TAILS: &[&str] =
            &["ton", "ley", "wick", "dale", "son", "rel", "mont", "ford", "by", "mere", "stan", "ova"];
        format!("{}{}{}", self.of(HEADS), self.of(MIDDLES), self.of(TAILS))
    }
}

/// `count` different literals: names, code names, account numbers, hosts, keys; 24 bytes on average.
pub fn literals(count: usize, seed: u64) -> Vec<String> {
    const FIRST: &[&str] = &[
        "Anna", "Bernd", "Carla", "David", "Elena", "Farid", "Grace", "Hiro", "Ines", "Jonas", "Katja", "Liam",
        "Maria", "Nadia", "Oscar", "Paula", "Rahul", "Sofia", "Theo", "Ursula", "Victor", "Wanda", "Yusuf", "Zoe",
    ];
    const MADE: &[&str] = &["Contract", "Invoice", "Policy", "Case", "Account", "Order", "Patient", "Claim"];
    let mut random = Random(seed);
    let mut seen = std::collections::HashSet::new();
    let mut all = Vec::with_capacity(count);
    while all.len() < count {
        let literal = match random.below(6) {
            0 | 1 => format!("{} {} {}", random.of(FIRST), random.word(), random.word()),
            2 => format!("Project {} {}", random.word(), random.word()),
            3 => format!(
                "{} {}-{:06}-{:03}",
                random.of(MADE),
                random.word(),
                random.below(1_000_000),
                random.below(1000)
            ),
            4 => format!("db{}.{}.{}.example", random.below(90), random.word(), random.word()),
            _ => format!("sk_live_{:08x}{:08x}", random.below(1 << 31), random.below(1 << 31)),
        };
        if seen.insert(literal.to_lowercase()) {
            all.push(literal);
        }
    }
    all
}
