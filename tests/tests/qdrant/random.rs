//! Random points, filters and queries, the same for the same seed.

use serde_json::{Value, json};

/// A small generator of numbers (xorshift).
pub struct Random {
    state: u64,
    /// With conditions that the fake does not know.
    wide: bool,
}

/// Ids that all tenants use: numbers and UUIDs.
pub const POOL: usize = 14;

impl Random {
    pub fn new(seed: u64) -> Self {
        Self { state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1, wide: false }
    }

    pub fn wide(self) -> Self {
        Self { wide: true, ..self }
    }

    pub fn below(&mut self, n: usize) -> usize {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        (self.state >> 11) as usize % n
    }

    pub fn one<'t, T: ?Sized>(&mut self, of: &[&'t T]) -> &'t T {
        of[self.below(of.len())]
    }

    pub fn flip(&mut self) -> bool {
        self.below(2) == 0
    }

    pub fn list<T>(&mut self, most: usize, mut item: impl FnMut(&mut Self) -> T) -> Vec<T> {
        (0..self.below(most + 1)).map(|_| item(self)).collect()
    }

    pub fn id(&mut self) -> Value {
        id(self.below(POOL))
    }

    pub fn vector(&mut self) -> Value {
        let mut part = || (self.below(20_001) as f64 - 10_000.0) / 10_000.0;
        json!([part(), part(), part()])
    }

    /// A payload; `n` is unique.
    pub fn payload(&mut self, n: usize) -> Value {
        let mut payload = json!({"n": n, "kind": self.one(&["x", "y", "z"])});
        if self.flip() {
            payload["tags"] = json!(self.list(3, |r| r.one(&["a", "b", "c"]).to_owned()));
        }
        if self.flip() {
            payload["deep"] =
                json!({"k": self.below(5), "list": self.list(3, |r| json!({"a": r.below(3), "b": r.below(3)}))});
        }
        if self.below(4) == 0 {
            payload["none"] = Value::Null;
        }
        if self.wide {
            payload["at"] = json!(format!("2026-01-{:02}T00:00:00Z", 1 + self.below(28)));
            payload["place"] = json!({"lon": self.below(10), "lat": self.below(10)});
            payload["text"] =
                json!(format!("the {} of the {}", self.one(&["price", "menu"]), self.one(&["day", "year"])));
        }
        payload
    }

    /// A condition that holds in a tenant's own store exactly when it holds for its records in the shared one.
    pub fn condition(&mut self, depth: usize) -> Value {
        if self.wide && self.below(4) == 0 {
            return match self.below(6) {
                0 => json!({"key": "at", "range": {"lt": format!("2026-01-{:02}T00:00:00Z", 1 + self.below(28))}}),
                1 => {
                    json!({"key": "place", "geo_radius": {"center": {"lon": 5.0, "lat": self.below(10) as f64}, "radius": 300_000.0}})
                }
                2 => json!({"key": "tags", "values_count": {self.one(&["gt", "lte"]): self.below(3)}}),
                3 => json!({"key": "text", "match": {"text": self.one(&["price", "day"])}}),
                4 => json!({"key": "tags", self.one(&["is_empty", "is_null"]): self.flip()}),
                _ => json!({"key": "deep.list[].a", "match": {"value": self.below(3)}}),
            };
        }
        match self.below(if depth == 0 { 10 } else { 13 }) {
            0 => json!({"key": "tenant_id", "match": {"value": self.one(&["t_beta", "t_gamma", "acme"])}}),
            1 => json!({"key": "tenant_id", "match": {"any": ["t_beta", "t_gamma"]}}),
            2 => json!({"key": "n", "range": {self.one(&["gt", "gte", "lt", "lte"]): self.below(60)}}),
            3 => json!({"key": "kind", "match": {"value": self.one(&["x", "y", "q"])}}),
            4 => json!({"key": "tags[]", "match": {"any": [self.one(&["a", "b"]), "c"]}}),
            5 => json!({"key": "kind", "match": {"except": ["x", self.one(&["y", "q"])]}}),
            6 => json!({"has_id": self.list(6, Self::id)}),
            7 => {
                json!({self.one(&["is_empty", "is_null"]): {"key": self.one(&["tags", "none", "deep.list", "nothing"])}})
            }
            8 => json!({"key": "deep.k", "range": {"gte": self.below(4)}}),
            9 => json!({"has_vector": self.one(&["", "other"])}),
            10 => json!({"nested": {"key": "deep.list", "filter": {
                self.one(&["must", "must_not"]): [{"key": "a", "match": {"value": self.below(3)}}, {"key": "b", "range": {"lt": 2}}]}}}),
            _ => self.filter(depth - 1),
        }
    }

    pub fn filter(&mut self, depth: usize) -> Value {
        let mut filter = json!({});
        for name in ["must", "should", "must_not"] {
            match self.below(5) {
                0 | 1 => filter[name] = json!(self.list(3, |r| r.condition(depth))),
                2 if name != "must_not" => filter[name] = self.condition(depth),
                3 => filter[name] = Value::Null,
                _ => {}
            }
        }
        if self.below(6) == 0 {
            let conditions: Vec<Value> = (0..3).map(|_| self.condition(depth)).collect();
            filter["min_should"] = json!({"conditions": conditions, "min_count": self.below(3)});
        }
        filter
    }

    fn query(&mut self, prefetched: bool) -> Value {
        match self.below(if prefetched { 9 } else { 6 }) {
            0 => self.vector(),
            1 => json!({"nearest": self.vector()}),
            2 => {
                json!({"recommend": {"positive": [self.vector(), self.vector()], "negative": self.list(1, Self::vector)}})
            }
            3 => {
                json!({"discover": {"target": self.vector(), "context": [{"positive": self.vector(), "negative": self.vector()}]}})
            }
            4 => json!({"context": {"positive": self.vector(), "negative": self.vector()}}),
            5 => json!({"order_by": "n"}),
            6 | 7 => json!({"fusion": "rrf"}),
            _ => {
                json!({"formula": {"sum": ["$score", {"mult": [3, self.condition(1)]}, {"neg": {"has_id": [self.id(), self.id()]}}]}})
            }
        }
    }

    fn with_payload(&mut self) -> Value {
        match self.below(6) {
            0 => json!(false),
            1 => json!(["n", "deep"]),
            2 => json!({"include": ["kind"]}),
            3 => json!({"exclude": ["n", "tags"]}),
            4 => Value::Null,
            _ => json!(true),
        }
    }

    /// What every search may have.
    pub fn search(&mut self) -> Value {
        let mut ask = json!({"limit": 1 + self.below(9)});
        if self.below(4) != 0 {
            ask["filter"] = self.filter(3);
        }
        if self.flip() {
            ask["with_payload"] = self.with_payload();
        }
        if self.below(3) == 0 {
            ask["with_vector"] = json!(true);
        }
        ask
    }

    pub fn query_request(&mut self) -> Value {
        let mut ask = self.search();
        let prefetched = self.below(3) == 0;
        if prefetched {
            let one = |r: &mut Self| {
                let mut fetch = json!({"query": r.query(false), "limit": 1 + r.below(9)});
                if r.flip() {
                    fetch["filter"] = r.filter(2);
                }
                if r.below(3) == 0 {
                    fetch["prefetch"] = json!({"query": r.vector(), "limit": 1 + r.below(9)});
                }
                fetch
            };
            ask["prefetch"] = if self.flip() { one(self) } else { json!([one(self), one(self)]) };
        }
        if self.below(8) != 0 || prefetched {
            ask["query"] = self.query(prefetched);
        }
        if self.below(4) == 0 {
            ask["offset"] = json!(self.below(3));
        }
        ask
    }
}

/// The ids of the pool: every other one a UUID.
pub fn id(n: usize) -> Value {
    if n.is_multiple_of(2) { json!(n) } else { json!(format!("00000000-0000-4000-8000-0000000000{n:02}")) }
}
