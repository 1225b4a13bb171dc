use partywall_core::phrase::*;
use partywall_tests::prose;
use std::collections::{HashMap, HashSet};
fn main() {
    let paragraphs = prose::paragraphs(40_000_000);
    let n: usize = paragraphs.iter().map(|p| p.len()).sum();
    println!("{} bytes {} paragraphs", n, paragraphs.len());
    let (d, h): (Vec<_>, Vec<_>) = paragraphs.into_iter().enumerate().partition(|(at, _)| at % 2 == 0);
    let join = |all: Vec<(usize, String)>| all.into_iter().map(|(_, p)| p + "\n").collect::<String>();
    let (d, h) = (join(d), join(h));
    let key = WordKey::new(&[7; 16]);
    let s = Selector::new(WordKey::new(&[7; 16]));
    let t = std::time::Instant::now();
    let c = s.choose(&d);
    println!(
        "choose {} phrases of {} words, {:.1} MB/s",
        c.phrases.len(),
        c.words,
        d.len() as f64 / t.elapsed().as_secs_f64() / 1e6
    );
    let mut sets: Vec<HashSet<u32>> = vec![HashSet::new(); 5];
    for p in &c.phrases {
        sets[0].insert(p.anchor);
        for i in 0..4 {
            sets[i + 1].insert(p.inner[i]);
        }
    }
    println!("distinct prefixes {:?}", sets.iter().map(|s| s.len()).collect::<Vec<_>>());
    let words: Vec<String> = partywall_core::scan::fold::text(&h).split(' ').map(str::to_owned).collect();
    let hs: Vec<u64> = words.iter().map(|w| key.word(w.as_bytes())).collect();
    let mut live = [0usize; 6];
    let mut by: HashMap<&str, usize> = HashMap::new();
    for i in 0..hs.len().saturating_sub(6) {
        let mut p = hs[i];
        if !sets[0].contains(&(p as u32)) {
            continue;
        }
        *by.entry(&words[i]).or_default() += 1;
        live[0] += 1;
        for k in 1..5 {
            p = key.chain(p, hs[i + k]);
            if !sets[k].contains(&(p as u32)) {
                break;
            }
            live[k] += 1;
        }
    }
    println!(
        "live per word {:?}",
        live.iter().map(|n| (*n as f64 / hs.len() as f64 * 1000.0).round() / 1000.0).collect::<Vec<_>>()
    );
    // simulate holds, word level
    let dw: Vec<String> = partywall_core::scan::fold::text(&d).split(' ').map(str::to_owned).collect();
    let dh: Vec<u64> = dw.iter().map(|w| key.word(w.as_bytes())).collect();
    let pos: HashMap<u64, usize> = {
        let mut m = HashMap::new();
        for i in 0..dh.len() - 5 {
            let mut p = dh[i];
            for k in 1..6 {
                p = key.chain(p, dh[i + k]);
            }
            m.insert(p, i);
        }
        m
    };
    let cutw = |w: &str, n: usize| {
        let b = w.as_bytes();
        key.word(&b[..b.len().min(n)])
    };
    for n in [1usize, 2, 3, 4, 6] {
        let mut f: Vec<HashSet<u64>> = vec![HashSet::new(); 5];
        for ph in &c.phrases {
            let i = pos[&ph.id];
            let mut p = dh[i];
            for k in 1..6 {
                f[k - 1].insert(key.chain(p, cutw(&dw[i + k], n)));
                p = key.chain(p, dh[i + k]);
            }
        }
        let mut res = vec![];
        for levels in 0..6 {
            let mut sum = 0usize;
            for i in 6..hs.len() {
                let mut held = 0;
                for k in (1..6).rev() {
                    // k complete words before i
                    let mut p = hs[i - k];
                    let mut ok = sets[0].contains(&(p as u32));
                    for j in 1..k {
                        if !ok {
                            break;
                        }
                        p = key.chain(p, hs[i - k + j]);
                        ok = sets[j].contains(&(p as u32));
                    }
                    if ok && k <= levels {
                        ok = f[k - 1].contains(&key.chain(p, cutw(&words[i], n)));
                    }
                    if ok {
                        held = k;
                        break;
                    }
                }
                sum += held;
            }
            res.push(sum as f64 / hs.len() as f64);
        }
        println!(
            "first {n} bytes, levels 0..5 filtered: {res:.3?}; entries {:?}",
            f.iter().map(|s| s.len()).collect::<Vec<_>>()
        );
    }
    let mut by: Vec<_> = by.into_iter().collect();
    by.sort_by_key(|x| std::cmp::Reverse(x.1));
    println!("{:?}", &by[..60]);
    let mut f: HashMap<u32, usize> = HashMap::new();
    for p in &c.phrases {
        *f.entry(p.anchor).or_default() += 1;
    }
    let mut f: Vec<_> = f.into_values().collect();
    f.sort();
    f.reverse();
    println!("anchor uses {:?} singles {}", &f[..30], f.iter().filter(|n| **n == 1).count());
}
